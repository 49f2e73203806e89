"""KL, mutual information, active units and importance-weighted NLL beside the formulas of He et al. (2019), written out
number by number as their code has them (https://arxiv.org/abs/1901.05534), on the same posteriors and the same noise."""

import math

import pytest
import torch

from fairseq_latent import losses
from fairseq_latent.gaussian import DiagonalGaussian

SIZE, DIMENSIONS = 12, 16
DRAWS = 300


@pytest.fixture
def posterior(random) -> DiagonalGaussian:
    """Means that vary much in the first dimensions and not at all in the last, whose variances are nearly the prior's."""
    scale = torch.tensor([1.0, 0.7, 0.3] + [0.0] * (DIMENSIONS - 3))
    return DiagonalGaussian(torch.randn(SIZE, DIMENSIONS) * scale, -torch.rand(SIZE, DIMENSIONS) * (scale + 0.1))


@pytest.fixture
def prior() -> DiagonalGaussian:
    return DiagonalGaussian(torch.zeros(SIZE, DIMENSIONS), torch.zeros(SIZE, DIMENSIONS))


def log_density(z: list[float], mean: list[float], logvar: list[float]) -> float:
    """log N(z; mean, exp(logvar)), nats."""
    squared = sum((each - at) ** 2 / math.exp(log) for each, at, log in zip(z, mean, logvar, strict=True))
    return -0.5 * squared - 0.5 * (len(z) * math.log(2 * math.pi) + sum(logvar))


def log_sum_exp(values: list[float]) -> float:
    largest = max(values)
    return largest + math.log(sum(math.exp(value - largest) for value in values))


def negative_entropy(logvars: list[list[float]]) -> float:
    """E log q(z|x) in closed form, mean over examples."""
    each = [-0.5 * len(row) * math.log(2 * math.pi) - 0.5 * sum(1 + log for log in row) for row in logvars]
    return sum(each) / len(each)


def calc_mi(posterior: DiagonalGaussian, z: torch.Tensor) -> float:
    """Theirs: -H(q(z|x)) - E log q(z), with q(z) the mixture of the batch."""
    means, logvars = posterior.mean.tolist(), posterior.logvar.tolist()
    of_mixture = [
        log_sum_exp([log_density(row, *at) for at in zip(means, logvars, strict=True)]) - math.log(SIZE)
        for row in z.tolist()
    ]
    return negative_entropy(logvars) - sum(of_mixture) / SIZE


def test_kl(posterior, prior):
    expected = [
        0.5 * sum(mean**2 + math.exp(log) - log - 1 for mean, log in zip(means, logvars, strict=True))
        for means, logvars in zip(posterior.mean.tolist(), posterior.logvar.tolist(), strict=True)
    ]
    assert posterior.kl(prior).tolist() == pytest.approx(expected, rel=1e-5)


def test_mutual_information_differs_by_the_sampled_entropy_alone(posterior):
    """Theirs takes E log q(z|x) in closed form, ours at the sampled z: the difference has expectation 0."""
    z = posterior.rsample()
    sampled = [
        log_density(*each) for each in zip(z.tolist(), posterior.mean.tolist(), posterior.logvar.tolist(), strict=True)
    ]
    expected = calc_mi(posterior, z) + sum(sampled) / SIZE - negative_entropy(posterior.logvar.tolist())
    assert losses.mutual_information(posterior, z).mean().item() == pytest.approx(expected, rel=1e-5)


def test_mutual_information_has_their_expectation_and_less_spread(posterior):
    ours, theirs = torch.empty(DRAWS).double(), torch.empty(DRAWS).double()
    for draw in range(DRAWS):
        z = posterior.rsample()
        ours[draw], theirs[draw] = losses.mutual_information(posterior, z).mean(), calc_mi(posterior, z)
    difference = ours - theirs
    assert abs(difference.mean()) < 4 * difference.std() / DRAWS**0.5
    assert 0 < ours.std() < 0.5 * theirs.std()


def test_active_units(posterior):
    """The variance of each mean over the data, divided by one less than their number, against 0.01."""
    means = posterior.mean.double().tolist()
    centre = [sum(column) / SIZE for column in zip(*means, strict=True)]
    variance = [
        sum((value - middle) ** 2 for value in column) / (SIZE - 1)
        for column, middle in zip(zip(*means, strict=True), centre, strict=True)
    ]
    sums = posterior.mean.sum(0), posterior.mean.square().sum(0)
    assert losses.active_units(*sums, SIZE) == sum(value >= 0.01 for value in variance) == 3


def test_importance_weighted_nll(posterior, prior, random):
    """-log 1/n sum of p(x, z) / q(z|x), log p(x|z) being any numbers."""
    z = torch.stack([posterior.rsample() for _ in range(5)])
    nll = 20 * torch.rand(5, SIZE)
    found = losses.importance_weighted_nll(nll, prior.log_prob(z), posterior.log_prob(z))
    expected = []
    for example in range(SIZE):
        mean, logvar = posterior.mean[example].tolist(), posterior.logvar[example].tolist()
        joint = [
            -nll[draw, example].item() + log_density(row, [0.0] * DIMENSIONS, [0.0] * DIMENSIONS)
            for draw, row in enumerate(z[:, example].tolist())
        ]
        weights = [
            each - log_density(row, mean, logvar) for each, row in zip(joint, z[:, example].tolist(), strict=True)
        ]
        expected.append(-(log_sum_exp(weights) - math.log(5)))
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
