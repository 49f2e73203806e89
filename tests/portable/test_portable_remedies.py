"""Exported models whose training changed the network: normed or scaled posteriors, pooled states, codes for latents."""

import numpy as np
import pytest

import fairseq_latent
from fairseq_latent import portable

from ..helpers import programs

NORMED = ("--posterior-norm", "batch", "--posterior-norm-scale", "0.7")
REMEDIES = [
    ("t_cvae", (*NORMED, "--latent-scale", "2")),
    ("t_cvae", ("--latent-kind", "categorical", "--latent-codes", "5")),
    ("t_cvae", ("--lexical-model",)),
    ("gru_vae", (*NORMED, "--encoder-pooling", "max")),
    ("rnn_cvae", ("--latent-scale", "3", "--encoder-pooling", "mean")),
    ("vhred", NORMED),
]


@pytest.mark.parametrize(("arch", "remedy"), REMEDIES, ids=lambda each: each if isinstance(each, str) else each[-1])
def test_they_say_and_score_as_their_checkpoints(data_bin, sentences_bin, text, tmp_path, arch, remedy):
    data, task = (sentences_bin, "text_vae") if arch == "gru_vae" else (data_bin, "dialogue")
    flags = ("--task", task, "--max-update", "8", "--lr", "0.02", *remedy)
    programs.fit(data, tmp_path / "run", *flags, arch=f"{arch}_tiny")
    done = programs.tool("export", tmp_path / "run", tmp_path / "exported")
    assert done.returncode == 0, done.stderr
    contexts, responses = ((text / f"test.{side}").read_text("utf-8").splitlines()[:9] for side in ("src", "tgt"))
    if arch == "gru_vae":
        contexts = responses
    whole = fairseq_latent.load(tmp_path / "run", data, cpu=True)
    model = portable.load(tmp_path / "exported", cpu=True)
    for name, values in vars(whole.score(contexts, responses, prior_samples=2, importance_samples=3)).items():
        found = getattr(model.score(contexts, responses, prior_samples=2, importance_samples=3), name)
        np.testing.assert_allclose(found, values, rtol=1e-5, atol=1e-5, err_msg=name)
    said = [
        [[reply.text for reply in each] for each in loaded.reply(contexts, 3, beam=2, max_length=8)]
        for loaded in (whole, model)
    ]
    assert said[0] == said[1]
