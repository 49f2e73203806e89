"""What own context and own response are worth: in `latents` and in validation, against a loop over examples."""

import json
import shutil

import numpy as np
import pytest
import torch

from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.analysis.checkpoint import load
from fairseq_latent.gaussian import seeded_noise
from fairseq_latent.losses import sequence_nll
from fairseq_latent.tasks.strangers import strangers_of
from tests.helpers import programs

EXAMPLES = 21
BY_WORTH = ("--best-checkpoint-metric", "context_worth")


@pytest.fixture(scope="module")
def with_ids(data_bin, tmp_path_factory):
    """Seven dialogues of three responses."""
    folder = shutil.copytree(data_bin, tmp_path_factory.mktemp("ids") / "data")
    for split in ("valid", "test"):
        (folder / f"{split}.ids").write_text("".join(f"talk:{row // 3}:{row % 3}\n" for row in range(EXAMPLES)))
    return folder


@pytest.fixture(scope="module")
def run(with_ids, tmp_path_factory):
    """A model that is validated by what it listens: its checkpoint, and what training printed."""
    folder = tmp_path_factory.mktemp("run")
    flags = (*BY_WORTH, "--maximize-best-checkpoint-metric", "--lr", "0.01", "--max-update", "6", "--kl-weight", "0")
    log = programs.fit(with_ids, folder, *flags, "--save-interval-updates", "3")
    return folder, log


@pytest.fixture(scope="module")
def measured(with_ids, run):
    shown = programs.tool("latents", with_ids, "--path", run[0] / "checkpoint_last.pt", "--cpu", "--format", "json")
    return json.loads(shown.stdout)


def saved(with_ids, checkpoint) -> np.ndarray:
    """(N, 2): what context and posterior save, an example at a time."""
    trained = load(checkpoint, with_ids, "valid", cpu=True)
    dataset, model = trained.task.dataset("valid"), trained.model
    rows = strangers_of(trained.task, model, "valid")
    found = []
    for row, other in enumerate(rows):
        assert row // 3 != other // 3
        own = trained.examples([row])
        context = dataset.collater([{**dataset[row], "source": dataset[other]["source"]}])
        response = dataset.collater([{**dataset[row], "target": dataset[other]["target"]}])
        with torch.no_grad():
            nll = []
            for batch in (own, context):
                logits, _ = model(**batch["net_input"])
                nll.append(sequence_nll(logits.flatten(0, 1), batch["target"], 1)[1].item())
            noise = seeded_noise(own["net_input"]["noise_seed"], 1, model.latent_dim)[:, 0]
            inputs = own["net_input"]
            words = inputs["src_tokens"], inputs["prev_output_tokens"], own["target"]
            _, posterior, decoded = model.distributions(*words)
            inputs = response["net_input"]
            _, theirs, _ = model.distributions(inputs["src_tokens"], inputs["prev_output_tokens"], response["target"])
            latent = [decoded.nll(each.rsample(noise)).item() for each in (posterior, theirs)]
        found.append((nll[1] - nll[0], latent[1] - latent[0]))
    return np.array(found)


def test_worth_is_what_a_loop_finds(with_ids, run, measured):
    found = saved(with_ids, run[0] / "checkpoint_last.pt")
    assert np.abs(found).max() > 0.01
    for name, column in zip(("context_worth", "latent_worth"), found.T, strict=True):
        assert measured[name] == pytest.approx(column.mean(), rel=1e-3, abs=1e-5)
        assert measured[f"{name}_low"] < measured[name] < measured[f"{name}_high"]
    assert measured["marginal_kl"] is None  # each context has a prior of its own
    assert measured["dialogues"] == 7 and "|strangers:dialogues,alone:0|" in measured["signature"]


def test_validation_has_the_same_and_the_best_checkpoint_is_the_one_that_listens(run, measured):
    numbers = run[1].numbers("valid")
    assert len(numbers) >= 2
    for name in ("context_worth", "latent_worth"):
        assert numbers[-1][name] == pytest.approx(measured[name], abs=2e-4)
    best = torch.load(run[0] / "checkpoint_best.pt", weights_only=False)["extra_state"]["best"]
    assert best == pytest.approx(max(each["context_worth"] for each in numbers), abs=1e-4)


def test_low_is_not_the_best(with_ids, tmp_path, refused):
    line = refused(programs.fit, with_ids, tmp_path, *BY_WORTH)
    assert "--maximize-best-checkpoint-metric" in line


def test_one_dialogue_has_no_stranger(with_ids, run, tmp_path):
    one = shutil.copytree(with_ids, tmp_path / "one")
    (one / "valid.ids").write_text("talk:0:0\n" * EXAMPLES)
    shown = programs.tool("latents", one, "--path", run[0] / "checkpoint_last.pt", "--cpu")
    assert "no example has a stranger" in shown.stderr and "context worth" not in shown.stdout
    with pytest.raises(InputError, match="no example has a stranger"):
        programs.fit(one, tmp_path / "run", "--context-worth", "--max-update", "1")


def test_without_ids_there_is_no_interval_and_without_the_prior_no_context_worth(data_bin, run):
    flags = ("latents", data_bin, "--path", run[0] / "checkpoint_last.pt", "--cpu")
    shown = programs.tool(*flags)
    assert "valid.ids is not there: no intervals; remedy: copy valid.ids" in shown.stderr
    assert "context worth" in shown.stdout and "±" not in shown.stdout and "|strangers:texts,alone:" in shown.stdout
    shown = programs.tool(*flags, "--prior-samples", "0")
    assert "context worth" not in shown.stdout and "latent worth" in shown.stdout and "ids is not" not in shown.stderr


def test_sentences_have_a_latent_worth_alone(sentences_bin, tmp_path):
    flags = ("--task", "text_vae", "--max-update", "2", "--context-worth")
    log = programs.fit(sentences_bin, tmp_path, *flags, arch="gru_vae_tiny")
    shown = programs.tool(
        "latents", sentences_bin, "--path", tmp_path / "checkpoint_last.pt", "--cpu", "--format", "json"
    )
    found = json.loads(shown.stdout)
    assert found["context_worth"] is None and found["latent_worth"] is not None
    assert found["marginal_kl"] == pytest.approx(found["kl"] - found["mi"])
    assert log.numbers("valid")[-1]["latent_worth"] == pytest.approx(found["latent_worth"], abs=2e-4)
    assert "context_worth" not in log.numbers("valid")[-1]


def test_a_printed_perplexity_is_explained(with_ids, run, measured):
    flags = ("latents", with_ids, "--path", run[0] / "checkpoint_last.pt", "--cpu", "--explain", "7")
    shown = programs.tool(*flags).stdout.split("\n\n")[-1].splitlines()
    assert shown[0].split()[:3] == ["perplexity", "per", "here"] and "off 7 by %" in shown[0]
    values = [float(line.split()[-2]) for line in shown[2:]]
    assert len(values) == 6 and values == sorted(values, key=lambda value: abs(np.log(value / 7)))
    names = ("prior_ppl", "rec_ppl", "elbo_ppl", "prior_word_ppl", "rec_word_ppl", "elbo_word_ppl")
    # the prior's is a mean of passes, which the power of a mean per token is not
    assert sorted(values) == pytest.approx(sorted(measured[name] for name in names), rel=1e-2)
    nearest = min(names, key=lambda name: abs(np.log(measured[name] / 7)))
    assert ("word" in nearest) == (shown[2].split()[-3] == "word")
    assert programs.tool(*flags, "--format", "json").returncode == 2
