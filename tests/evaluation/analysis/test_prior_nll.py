"""Perplexity under the prior, of models that read profiles and of those that do not; perplexity per word."""

import importlib.util
import json
import math
import shutil

import pytest
import torch
from fairseq.data import Dictionary

from fairseq_latent.cli import main
from fairseq_latent.evaluation.analysis import latents as measure
from fairseq_latent.evaluation.analysis import prior_nll
from fairseq_latent.evaluation.analysis.checkpoint import load
from fairseq_latent.gaussian import seeded_noise
from tests.helpers import programs

needs_gpt2 = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="transformers is not installed"
)


@pytest.fixture(scope="module")
def spread(data_bin, tmp_path_factory):
    """A tiny model whose posteriors have left the prior."""
    folder = tmp_path_factory.mktemp("spread")
    programs.fit(data_bin, folder, "--kl-weight", "0", "--max-update", "3")
    return folder / "checkpoint_last.pt"


def statistics(data, checkpoint, **flags):
    return measure.statistics(checkpoint, data, "valid", cpu=True, **flags)


def test_it_is_the_mean_perplexity_of_passes_with_latents_of_the_prior(data_bin, spread):
    """Against scoring each sample by the way that training does."""
    trained = load(spread, data_bin, "valid", cpu=True)
    batch = trained.examples(list(range(21)))
    inputs, target = batch["net_input"], batch["target"]
    with torch.no_grad():
        prior, _, decoded = trained.model.distributions(inputs["src_tokens"], inputs["prev_output_tokens"], target)
        noise = seeded_noise(inputs["noise_seed"], 3, prior.mean.size(-1)).unbind(1)
        nll = torch.stack([decoded.nll(prior.rsample(each)) for each in noise]).double().sum(1)  # (3,)
    tokens = int(target.ne(trained.task.target_dictionary.pad()).sum())
    found = statistics(data_bin, spread, prior_samples=3)
    assert found.prior_ppl == pytest.approx((nll / tokens).exp().mean().item(), rel=1e-5)
    assert found.prior_ppl != pytest.approx(found.rec_ppl, rel=1e-3)  # or nothing was tested
    assert "|prior-samples:3|" in found.signature


def test_neither_batches_nor_rows_change_it(data_bin, spread, monkeypatch):
    together = statistics(data_bin, spread, prior_samples=2).prior_ppl
    monkeypatch.setattr(prior_nll, "LOGITS", 1)
    assert statistics(data_bin, spread, prior_samples=2).prior_ppl == pytest.approx(together, rel=1e-5)


def test_words_are_those_of_the_text(data_bin, text, spread):
    """The corpus has no subwords: a word is a token, and the end of a sentence counts in both."""
    found = statistics(data_bin, spread, prior_samples=1)
    lines = (text / "valid.tgt").read_text(encoding="utf-8").splitlines()
    assert found.words == sum(len(line.split()) + 1 for line in lines) == found.tokens
    names = ("prior", "rec", "elbo")
    for name in names:
        assert getattr(found, f"{name}_word_ppl") == getattr(found, f"{name}_ppl")


def test_pieces_are_joined_to_words(tmp_path):
    """▁gre en ▁tea: two words and the end, three pieces and the end: the same nats, a higher perplexity."""
    dictionary = Dictionary()
    tokens = torch.tensor([dictionary.add_symbol(piece) for piece in ("▁gre", "en", "▁tea")] + [dictionary.eos()])
    assert prior_nll.word_counter(tmp_path, dictionary)(tokens) == 3
    padded = torch.cat([tokens, torch.tensor([dictionary.pad()] * 2)])
    assert prior_nll.word_counter(tmp_path, dictionary)(padded) == 3


@needs_gpt2
def test_a_persona_model_infers_both_latents_from_the_context(persona_bin, persona_run, tmp_path):
    """Other profiles and similarities: another posterior, the same perplexity under the prior."""
    found = statistics(persona_bin, persona_run[0], prior_samples=2)
    other = shutil.copytree(persona_bin, tmp_path / "other")
    (other / "valid.fader").write_text("0.25\n" * 11, encoding="utf-8")
    changed = statistics(other, persona_run[0], prior_samples=2)
    assert changed.prior_ppl == found.prior_ppl
    assert changed.rec_ppl != found.rec_ppl
    assert found.fader_kl > 0 and changed.fader_kl != found.fader_kl


@needs_gpt2
def test_a_persona_models_numbers_are_those_of_its_validation(persona_bin, tmp_path):
    flags = ("--task", "persona_dialogue", "--max-update", "2", "--lr", "0.03")
    log = programs.fit(persona_bin, tmp_path, *flags, arch="persona_cvae_gpt2_tiny", criterion="podi_elbo")
    validated = log.numbers("valid")[-1]
    found = statistics(persona_bin, tmp_path / "checkpoint_last.pt", importance_samples=1)
    for name in ("rec_ppl", "elbo_ppl", "kl", "fader_kl", "au"):
        assert getattr(found, name) == pytest.approx(validated[name], rel=1e-3), name
    # the bound of one sample: NLL + fader KL + log q - log p, whose mean is the bound's
    assert math.log(found.iw_ppl) == pytest.approx(math.log(found.elbo_ppl), rel=0.05)


@needs_gpt2
def test_a_persona_models_prior_is_what_decoding_draws(persona_bin, persona_run):
    trained = load(persona_run[0], persona_bin, "valid", cpu=True)
    batch = trained.examples([3, 1])
    inputs, target = batch["net_input"], batch["target"]
    with torch.no_grad():
        logits, _ = trained.model(
            inputs["src_tokens"], inputs["src_lengths"], inputs["prev_output_tokens"], noise_seed=inputs["noise_seed"]
        )
        expected = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), target, ignore_index=1, reduction="none"
        ).sum(1)
        found = prior_nll.prior_nll(trained.model, batch, 1, 3)
    assert found.shape == (3, 2)
    torch.testing.assert_close(found[0], expected)
    assert not torch.allclose(found[1], found[0])


@needs_gpt2
def test_without_latents_all_perplexities_are_one(persona_bin, tmp_path):
    flags = ("--task", "persona_dialogue", "--no-latents", "--max-update", "2")
    programs.fit(persona_bin, tmp_path, *flags, arch="persona_cvae_gpt2_tiny", criterion="elbo")
    found = statistics(persona_bin, tmp_path / "checkpoint_last.pt", prior_samples=3)
    assert (found.kl, found.au, found.mi, found.fader_kl) == (0, 0, 0, None)
    assert found.prior_ppl == pytest.approx(found.rec_ppl) and found.elbo_ppl == pytest.approx(found.rec_ppl)


@needs_gpt2
def test_without_latents_one_pass_stands_for_all(persona_bin, tmp_path):
    flags = ("--task", "persona_dialogue", "--no-latents", "--max-update", "2")
    programs.fit(persona_bin, tmp_path, *flags, arch="persona_cvae_gpt2_tiny", criterion="elbo")
    trained = load(tmp_path / "checkpoint_last.pt", persona_bin, "valid", cpu=True)
    batch, read = trained.examples([3, 1]), []
    trained.model.encoder.register_forward_hook(lambda *passed: read.append(passed))
    with torch.no_grad():
        found = prior_nll.prior_nll(trained.model, batch, 1, 3)
    assert found.shape == (3, 2) and torch.equal(found[0], found[2]) and len(read) == 1


def test_in_bfloat16_all_is_nearly_the_same(data_bin, spread):
    exact, rounded = (statistics(data_bin, spread, prior_samples=2, autocast=each) for each in ("none", "bfloat16"))
    assert exact.signature + "|precision:bfloat16" == rounded.signature
    for name in ("prior_ppl", "rec_ppl", "kl"):
        assert getattr(rounded, name) == pytest.approx(getattr(exact, name), rel=0.02), name
        assert getattr(rounded, name) != getattr(exact, name), name


def test_what_is_printed(data_bin, spread, capsys):
    def printed(*flags):
        code = main(["latents", str(data_bin), "--path", str(spread), "--cpu", *flags])
        return code, *capsys.readouterr()

    code, out, _ = printed()
    assert code == 0
    header = [" ".join(part.split()) for part in out.splitlines()[0].split("  ") if part.strip()]
    assert header == ["model", "KLD", "AU", "MI", "prior PPL", "rec PPL", "elbo PPL", "prior PPL/word", "rec PPL/word",
                      "elbo PPL/word", "context worth", "latent worth"]  # fmt: skip
    _, out, _ = printed("--prior-samples", "0", "--format", "json")
    assert json.loads(out)["prior_ppl"] is None
    code, _, err = printed("--prior-samples", "-2")
    assert code == 2 and "error: --prior-samples -2; remedy" in err


@pytest.mark.parametrize(
    ("data", "flags"),
    [
        ("data_bin", {"arch": "t_cvae_tiny"}),
        ("sentences_bin", {"arch": "gru_vae_tiny", "task": "text_vae"}),
        pytest.param("persona_bin", {"arch": "persona_cvae_gpt2_tiny", "task": "persona_dialogue"}, marks=needs_gpt2),
    ],
)
def test_validation_has_it_where_it_picks_the_best_checkpoint(request, tmp_path, data, flags):
    """The same latents as `latents --prior-samples 1`: neither profiles nor responses reach them."""
    folder = request.getfixturevalue(data)
    words = ("--task", flags["task"]) if "task" in flags else ()
    metric = ("--best-checkpoint-metric", "prior_ppl", "--no-epoch-checkpoints")
    printed = programs.fit(folder, tmp_path, *words, *metric, "--kl-weight", "0", "--lr", "0.03", arch=flags["arch"])
    found = statistics(folder, tmp_path / "checkpoint_last.pt", prior_samples=1)
    assert printed.numbers("valid")[-1]["prior_ppl"] == pytest.approx(found.prior_ppl, rel=1e-4)
    assert found.prior_ppl != pytest.approx(found.rec_ppl, rel=1e-4)
    assert (tmp_path / "checkpoint_best.pt").is_file()
    without = programs.fit(folder, tmp_path / "without", *words, "--no-save", arch=flags["arch"])
    assert "prior_ppl" not in without.numbers("valid")[-1]
