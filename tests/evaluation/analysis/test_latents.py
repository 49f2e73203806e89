"""`fairseq-latent latents`: what is counted, and what is left out."""

import json
import math

import pytest
import torch

from fairseq_latent.cli import main
from fairseq_latent.evaluation.analysis import latents as measure
from fairseq_latent.evaluation.analysis.checkpoint import Trained, load
from fairseq_latent.evaluation.analysis.latent_statistics import read_statistics
from fairseq_latent.gaussian import seeded_noise
from tests.helpers import corpus, programs


@pytest.fixture(scope="module")
def checkpoint(data_bin, tmp_path_factory):
    """A tiny model after five updates."""
    folder = tmp_path_factory.mktemp("run")
    programs.fit(data_bin, folder)
    return folder / "checkpoint_last.pt"


@pytest.fixture(scope="module")
def with_long_pairs(data_bin, binarise, tmp_path_factory):
    """The same data, but that two of the 21 validation contexts have more words than the model has positions, 1024."""
    folder = corpus.write_splits(tmp_path_factory.mktemp("long"))
    lines = (folder / "valid.src").read_text(encoding="utf-8").splitlines()
    lines[0] = lines[7] = " ".join(["tea"] * 1100)
    (folder / "valid.src").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return binarise(folder, "--srcdict", data_bin / "dict.src.txt")


def latents(data, checkpoint, *flags):
    return main(["latents", str(data), "--path", str(checkpoint), "--cpu", *flags])


def test_pairs_that_are_too_long_are_counted_and_said(with_long_pairs, checkpoint, capfd):
    assert latents(with_long_pairs, checkpoint, "--format", "json") == 0
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert found["sentences"] == 19
    assert found["signature"].endswith("|too-long:2")
    assert "valid: 2 of 21 pairs are too long for the model and left out" in err.splitlines()


def test_where_all_pairs_fit_nothing_is_said(data_bin, checkpoint, capfd):
    assert latents(data_bin, checkpoint) == 0
    out, err = capfd.readouterr()
    assert out.rstrip().endswith("|too-long:0")
    assert "too long" not in err


def statistics(data, checkpoint, importance_samples=0):
    return measure.statistics(checkpoint, data, "valid", cpu=True, importance_samples=importance_samples)


def sampled(data, checkpoint, num_latents, of="posterior"):
    """NLL, log p(z|x), log q(z|x, y) (K, B) each of the whole split's samples, one scored at a time, and its tokens."""
    trained = load(checkpoint, data, "valid", cpu=True)
    batch = trained.examples(list(range(21)))
    inputs, target = batch["net_input"], batch["target"]
    with torch.no_grad():
        prior, posterior, decoded = trained.model.distributions(
            inputs["src_tokens"], inputs["prev_output_tokens"], target
        )
        noise = seeded_noise(inputs["noise_seed"], num_latents, prior.mean.size(-1)).unbind(1)
        z = [(posterior if of == "posterior" else prior).rsample(each) for each in noise]
        columns = [(decoded.nll(each), prior.log_prob(each), posterior.log_prob(each)) for each in z]
    tokens = int(target.ne(trained.task.target_dictionary.pad()).sum())
    return [torch.stack(column).double() for column in zip(*columns, strict=True)], tokens


@pytest.fixture(scope="module")
def spread_checkpoint(data_bin, tmp_path_factory):
    """A tiny model whose posteriors have left the prior, but not too far for samples to find their way back."""
    folder = tmp_path_factory.mktemp("spread")
    programs.fit(data_bin, folder, "--kl-weight", "0", "--max-update", "7", "--lr", "0.01")
    return folder / "checkpoint_last.pt"


def test_with_one_importance_sample_it_is_the_sampled_elbo(data_bin, spread_checkpoint):
    (nll, log_prior, log_posterior), tokens = sampled(data_bin, spread_checkpoint, 1)
    found = statistics(data_bin, spread_checkpoint, 1)
    expected = math.exp((nll + log_posterior - log_prior).sum().item() / tokens)
    assert found.iw_ppl == pytest.approx(expected, rel=1e-5)
    assert found.rec_ppl == pytest.approx(math.exp(nll.sum().item() / tokens), rel=1e-5)
    assert found.kl > 0.5  # the posterior differs from the prior, or nothing was tested


def test_the_kl_in_closed_form_is_that_of_samples(data_bin, spread_checkpoint):
    (_, log_prior, log_posterior), _ = sampled(data_bin, spread_checkpoint, 2000)
    assert statistics(data_bin, spread_checkpoint).kl == pytest.approx(
        (log_posterior - log_prior).mean().item(), rel=0.02
    )


def test_importance_weighted_perplexity_finds_the_likelihood(data_bin, spread_checkpoint):
    """log p(y|x) is also the mean likelihood under samples of the prior, which needs no density of z."""
    (nll, _, _), tokens = sampled(data_bin, spread_checkpoint, 3000, of="prior")
    likelihood = (-nll).logsumexp(0) - math.log(3000)
    found = statistics(data_bin, spread_checkpoint, 1000)
    assert found.iw_ppl == pytest.approx(math.exp(-likelihood.sum().item() / tokens), rel=0.02)
    assert found.iw_ppl < found.elbo_ppl / 1.2  # most of the gap is closed


def test_neither_batches_nor_chunks_change_it(data_bin, spread_checkpoint, monkeypatch):
    together = statistics(data_bin, spread_checkpoint, 7)
    monkeypatch.setattr(measure, "LATENT_ELEMENTS", 1)  # one of the seven samples at a time
    batches = Trained.batches
    monkeypatch.setattr(Trained, "batches", lambda trained, **given: batches(trained, 30, **given))
    differences = ("context_worth", "latent_worth")  # of two float32 sums of some 20 nats, which are exact to 1e-6
    assert vars(statistics(data_bin, spread_checkpoint, 7)) == {
        name: value
        if name in ("au", "signature") or value is None
        else pytest.approx(value, rel=1e-5, abs=1e-5 if name.startswith(differences) else 0)
        for name, value in vars(together).items()
    }


def test_fixed_variances_have_a_bound_too(data_bin, tmp_path):
    programs.fit(data_bin, tmp_path, arch="t_spacefusion_tiny", criterion="spacefusion")
    path = tmp_path / "checkpoint_last.pt"
    found = statistics(data_bin, path, 20)
    (nll, log_prior, log_posterior), tokens = sampled(data_bin, path, 20)
    weights = log_prior - log_posterior - nll
    expected = math.exp((math.log(20) - weights.logsumexp(0)).sum().item() / tokens)
    assert found.iw_ppl == pytest.approx(expected, rel=1e-5)


def test_without_importance_samples_nothing_is_said_of_them(data_bin, checkpoint, capsys):
    assert latents(data_bin, checkpoint) == 0
    plain = capsys.readouterr().out
    assert "iw" not in plain
    assert latents(data_bin, checkpoint, "--importance-samples", "3") == 0
    weighted = capsys.readouterr().out
    assert "iw PPL" in weighted
    assert weighted.rstrip().endswith("|iw-samples:3")
    assert latents(data_bin, checkpoint, "--importance-samples", "-1") == 2
    assert "error: --importance-samples -1; remedy: a positive number" in capsys.readouterr().err


def test_statistics_are_read_back(data_bin, checkpoint, tmp_path):
    for samples in ("0", "2"):
        file = tmp_path / f"{samples}.json"
        assert (
            latents(data_bin, checkpoint, "--importance-samples", samples, "--format", "json", "--out", str(file)) == 0
        )
        assert vars(read_statistics(file)) == json.loads(file.read_text(encoding="utf-8"))
    earlier = json.loads((tmp_path / "0.json").read_text(encoding="utf-8"))
    del earlier["iw_ppl"]  # as the version before importance weights wrote it
    (tmp_path / "earlier.json").write_text(json.dumps(earlier), encoding="utf-8")
    assert read_statistics(tmp_path / "earlier.json").iw_ppl is None
