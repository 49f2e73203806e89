"""Latents of a pair: where they come from, what they are worth, and pairs and models that can't be drawn."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.analysis import checkpoint, latent_samples
from fairseq_latent.evaluation.analysis.latent_samples import project, sample_latents, sample_pairs
from fairseq_latent.gaussian import DiagonalGaussian
from tests.helpers import tiny


def test_latents_that_are_all_the_same_stay_one_point():
    assert project(np.ones((9, 3)), seed=1).tolist() == [[0, 0]] * 9


def test_projection_repeats_with_its_seed():
    pytest.importorskip("openTSNE")
    z = np.random.default_rng(0).standard_normal((30, 4))
    first = project(z, seed=3)
    assert first.shape == (30, 2)
    assert np.isfinite(first).all()
    assert (first == project(z, seed=3)).all()


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_small_latents_and_repeated_points_can_be_projected(latent_dim):
    pytest.importorskip("openTSNE")
    z = np.random.default_rng(0).standard_normal((40, latent_dim))
    z[30:] = z[30]  # a posterior that has shrunk to a point
    assert np.isfinite(project(z, seed=3)).all()


@pytest.fixture
def loads(monkeypatch, task, random):
    """A tiny model with random weights and five pairs, in place of every checkpoint; the paths that were loaded."""
    pytest.importorskip("openTSNE")
    model = tiny.build_model(task, **tiny.NO_DROPOUT).eval()
    task.datasets["test"] = tiny.dataset(task)
    found = checkpoint.Trained(model, task, "test", torch.device("cpu"))
    paths = []
    monkeypatch.setattr(checkpoint, "load", lambda path, *rest: paths.append(path) or found)
    return SimpleNamespace(trained=found, paths=paths)


@pytest.fixture
def unprojected(monkeypatch):
    """Points are the latents themselves."""
    monkeypatch.setattr(latent_samples, "project", lambda z, seed: z)


def sampled(loads, example=0, num_prior=20, num_posterior=10, seed=1):
    return sample_latents(loads.trained, example, num_prior, num_posterior, seed)


def test_log_probability_of_the_reference_under_each_latent(loads, unprojected):
    found = sampled(loads, example=2, num_prior=6, num_posterior=4, seed=5)
    batch = loads.trained.examples([2])
    _, _, decoded = loads.trained.model.distributions(
        batch["net_input"]["src_tokens"], batch["net_input"]["prev_output_tokens"], batch["target"]
    )
    assert found.tokens == batch["target"].numel()
    for z, mean, total in zip(found.points, found.log_prob, found.log_likelihood, strict=True):
        lprobs = decoded.logits(torch.from_numpy(z).float().unsqueeze(0)).log_softmax(-1)
        expected = lprobs[range(found.tokens), batch["target"][0]].sum().item()
        assert total == pytest.approx(expected, abs=1e-4)
        assert mean == pytest.approx(expected / found.tokens, abs=1e-5)


def fake_distributions(loads, monkeypatch, prior, posterior, nll):
    decoded = SimpleNamespace(words=torch.zeros(2), nll=lambda z: z.new_full(z.shape[:-1], nll))
    monkeypatch.setattr(loads.trained.model, "distributions", lambda *args: (prior, posterior, decoded))


def test_samples_come_from_prior_and_posterior(loads, unprojected, monkeypatch):
    prior = DiagonalGaussian(torch.full((1, 8), -3.0), torch.full((1, 8), -4.0))
    posterior = DiagonalGaussian(torch.full((1, 8), 3.0), torch.full((1, 8), -4.0))
    fake_distributions(loads, monkeypatch, prior, posterior, 1.0)
    found = sampled(loads, num_prior=200, num_posterior=100)
    assert len(found.points) == 300
    assert found.points[found.of("prior")].mean() == pytest.approx(-3, abs=0.05)
    assert found.points[found.of("posterior")].mean() == pytest.approx(3, abs=0.05)
    # Equal variances exp(-4), means 6 apart, 8 dimensions: KL = 8 * 36 / (2 * exp(-4)) = 144 * exp(4).
    assert found.kl == pytest.approx(144 * np.exp(4), rel=1e-4)


def test_a_collapsed_model_is_sampled_without_harm(loads, monkeypatch):
    same = DiagonalGaussian(torch.zeros(1, 8), torch.zeros(1, 8))
    fake_distributions(loads, monkeypatch, same, same, 6.0)
    found = sampled(loads)
    assert found.kl == 0
    assert found.spread("prior") == found.spread("posterior") == (-3.0, -3.0)
    assert np.isfinite(found.points).all()
    monkeypatch.setattr(latent_samples, "project", lambda z, seed: z)
    assert len(np.unique(sampled(loads).points, axis=0)) == 30  # no posterior sample repeats a prior one


def test_sampling_repeats_with_its_seed_and_differs_between_pairs(loads, unprojected, monkeypatch):
    first, second, other_seed = (sampled(loads, 1, seed=seed) for seed in (1, 1, 2))
    assert (first.points == second.points).all()
    assert (first.log_prob == second.log_prob).all()
    assert (first.log_prob != other_seed.log_prob).any()
    standard = DiagonalGaussian(torch.zeros(1, 8), torch.zeros(1, 8))
    fake_distributions(loads, monkeypatch, standard, standard, 1.0)
    assert (sampled(loads, 1).points != sampled(loads, 2).points).all()


def test_a_model_is_loaded_once_for_all_pairs(loads):
    pairs = sample_pairs({"a": "a.pt", "b": "b.pt"}, "data", "test", [3, 0, 3], 12, 6)
    assert loads.paths == ["a.pt", "b.pt"]
    assert [pair.id for pair in pairs] == [3, 0]
    alone = sample_pairs({"a": "a.pt"}, "data", "test", [0], 12, 6)[0]
    assert list(pairs[1].samples) == ["a", "b"]
    np.testing.assert_array_equal(pairs[1].samples["a"].points, alone.samples["a"].points)
    assert len(alone.context.split()) == tiny.LENGTHS[0][0]
    assert len(alone.reference.split()) == tiny.LENGTHS[0][1]


def test_pieces_are_joined_and_words_are_not(loads, monkeypatch):
    for text, expected in (("▁so ▁b ad", "so bad"), ("so bad", "so bad")):
        monkeypatch.setattr(loads.trained.task.target_dictionary, "string", lambda tokens, text=text: text)
        assert loads.trained.texts(0) == (expected, expected)


def test_bad_requests(loads, monkeypatch):
    def request(example, **sizes):
        sample_pairs({"a": "a.pt"}, "data", "test", [example], **sizes)

    with pytest.raises(InputError, match="test has no example 5; remedy: ids from 0 to 4"):
        request(5)
    with pytest.raises(InputError, match="test has no example -1"):
        request(-1)
    with pytest.raises(InputError, match="0 and 50 samples are too few"):
        request(0, num_prior=0)
    monkeypatch.setattr(loads.trained.model, "max_positions", lambda: (5, 6))
    with pytest.raises(InputError, match="test example 2 has 3 and 7 tokens, the model takes 5 and 6; remedy: another"):
        request(2)
    monkeypatch.setitem(sys.modules, "openTSNE", None)
    with pytest.raises(InputError, match=r"openTSNE is not installed; remedy: pip install 'fairseq_latent\[plot\]'"):
        request(0)


def test_a_model_that_has_diverged_is_refused(loads, monkeypatch):
    broken = DiagonalGaussian(torch.full((1, 8), float("nan")), torch.zeros(1, 8))
    fake_distributions(loads, monkeypatch, broken, broken, 1.0)
    with pytest.raises(InputError, match="test example 0: .* its training has diverged; remedy: an earlier checkpoint"):
        sampled(loads)
