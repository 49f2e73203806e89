"""Diagonal Gaussians against torch.distributions, and noise that belongs to its example."""

import math

import pytest
import torch
from torch import distributions

from fairseq_latent.gaussian import DiagonalGaussian, seeded_noise, seeded_noise_chunks


def gaussian(*shape: int) -> DiagonalGaussian:
    return DiagonalGaussian(torch.randn(shape), torch.randn(shape))


def oracle(ours: DiagonalGaussian) -> distributions.Normal:
    return distributions.Normal(ours.mean, (0.5 * ours.logvar).exp())


def test_kl_equals_torch(random):
    posterior, prior = gaussian(5, 3), gaussian(5, 3)
    expected = distributions.kl_divergence(oracle(posterior), oracle(prior))
    torch.testing.assert_close(posterior.kl_per_dim(prior), expected)
    torch.testing.assert_close(posterior.kl(prior), expected.sum(-1))


def test_kl_of_means_is_what_equal_variances_leave(random):
    """KL(self || other) less the KL of the same two with one mean; by hand 0.5 * (3^2 / 4 + 1^2 / 1) = 1.625."""
    one, other = gaussian(5, 3), gaussian(5, 3)
    centred = DiagonalGaussian(other.mean, one.logvar)
    torch.testing.assert_close(one.kl_of_means(other), one.kl(other) - centred.kl(other), rtol=1e-4, atol=1e-5)
    here = DiagonalGaussian(torch.tensor([[3.0, 1.0]]), torch.tensor([[-5.0, 9.0]]))
    there = DiagonalGaussian(torch.zeros(1, 2), torch.tensor([[math.log(4), 0.0]]))
    assert here.kl_of_means(there).item() == pytest.approx(1.625)


def test_kl_of_equal_is_zero(random):
    one = gaussian(4, 6)
    assert one.kl(DiagonalGaussian(one.mean.clone(), one.logvar.clone())).abs().max() == 0


def test_kl_equals_monte_carlo_within_two_percent(random):
    posterior, prior = gaussian(1, 4), gaussian(1, 4)
    many = DiagonalGaussian(posterior.mean.expand(400_000, -1), posterior.logvar.expand(400_000, -1))
    z = many.rsample()
    estimate = (posterior.log_prob(z) - prior.log_prob(z)).mean()
    assert estimate.item() == pytest.approx(posterior.kl(prior).item(), rel=0.02)


def test_kl_is_float32_whatever_the_input(random):
    posterior, prior = gaussian(3, 8), gaussian(3, 8)
    half = [DiagonalGaussian(one.mean.bfloat16(), one.logvar.bfloat16()) for one in (posterior, prior)]
    assert half[0].kl(half[1]).dtype == torch.float32


def test_log_prob_equals_torch(random):
    one, z = gaussian(5, 3), torch.randn(5, 3)
    torch.testing.assert_close(one.log_prob(z), oracle(one).log_prob(z).sum(-1))


def test_pairwise_log_prob_equals_log_prob_of_every_pair(random):
    one, z = gaussian(4, 6), torch.randn(7, 6)
    expected = torch.stack([torch.stack([one[b].log_prob(row) for b in range(4)]) for row in z])
    torch.testing.assert_close(one.pairwise_log_prob(z).float(), expected)


def test_pairwise_log_prob_survives_far_means():
    """Squares of 1000 cancel: float32 products would leave nothing of a distance of 0.1."""
    one = DiagonalGaussian(torch.tensor([[1000.0]]), torch.tensor([[-4.0]]))
    z = torch.tensor([[1000.1]])
    torch.testing.assert_close(one.pairwise_log_prob(z).float()[0], one.log_prob(z), rtol=1e-4, atol=1e-4)


def test_rsample_is_mean_plus_stddev_times_noise_and_passes_gradients():
    mean = torch.tensor([[1.0, -2.0]], requires_grad=True)
    logvar = torch.tensor([[0.0, math.log(4)]], requires_grad=True)
    z = DiagonalGaussian(mean, logvar).rsample(torch.tensor([[3.0, 0.5]]))
    torch.testing.assert_close(z, torch.tensor([[4.0, -1.0]]))  # 1 + 1 * 3, -2 + 2 * 0.5
    z.sum().backward()
    torch.testing.assert_close(mean.grad, torch.ones(1, 2))
    torch.testing.assert_close(logvar.grad, torch.tensor([[1.5, 0.5]]))  # stddev * noise / 2


def test_rsample_without_noise_has_the_right_moments(random):
    one = DiagonalGaussian(torch.full((100_000, 1), 3.0), torch.full((100_000, 1), math.log(0.25)))
    z = one.rsample()
    assert z.mean().item() == pytest.approx(3, abs=0.01)
    assert z.std().item() == pytest.approx(0.5, rel=0.01)


def test_seeded_noise_does_not_depend_on_the_batch():
    seeds = torch.tensor([11, 2**62, 13])
    together = seeded_noise(seeds, 2, 4)
    assert together.shape == (3, 2, 4)
    for index in range(3):
        assert torch.equal(seeded_noise(seeds[index : index + 1], 2, 4)[0], together[index])
    assert torch.equal(seeded_noise(seeds.flip(0), 2, 4), together.flip(0))
    assert not torch.equal(together[0], together[1])


def test_more_latents_only_add_rows():
    seeds = torch.tensor([3, 4])
    assert torch.equal(seeded_noise(seeds, 5, 4)[:, :2], seeded_noise(seeds, 2, 4))


def test_chunks_of_noise_are_its_rows():
    seeds = torch.tensor([3, 4])
    chunks = list(seeded_noise_chunks(seeds, 7, 4, chunk=3))
    assert [chunk.size(1) for chunk in chunks] == [3, 3, 1]
    assert torch.equal(torch.cat(chunks, 1), seeded_noise(seeds, 7, 4))


def test_seeded_noise_is_standard_normal():
    noise = seeded_noise(torch.arange(400), 5, 50)
    assert noise.mean().item() == pytest.approx(0, abs=0.02)
    assert noise.std().item() == pytest.approx(1, abs=0.02)
