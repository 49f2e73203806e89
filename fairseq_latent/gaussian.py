"""Diagonal Gaussians and the record of a model's latent: the only place with exp(0.5 * logvar) or a KL formula."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class DiagonalGaussian:
    """N(mean, diag(exp(logvar))): two tensors (..., Z). Densities and divergences are float32, in nats."""

    mean: Tensor
    logvar: Tensor

    @property
    def stddev(self) -> Tensor:
        """(..., Z)"""
        return torch.exp(0.5 * self.logvar)

    @classmethod
    def of_moments(cls, mean: Tensor, logvar: Tensor) -> "DiagonalGaussian":
        """As its constructor."""
        return cls(mean, logvar)

    def noise(self, count: int) -> Tensor:
        """(count, ..., Z) standard normal, for `rsample`."""
        return torch.randn_like(self.mean.expand(count, *self.mean.shape))

    def rsample(self, noise: Tensor | None = None) -> Tensor:
        """(..., Z): mean + stddev * noise, differentiable in both (Kingma and Welling, 2014); noise defaults to N(0, I)."""
        noise = torch.randn_like(self.mean) if noise is None else noise.to(self.mean)
        return self.mean + self.stddev * noise

    def kl_per_dim(self, other: "DiagonalGaussian") -> Tensor:
        """(..., Z) nats: KL(self || other) of each dimension; shapes broadcast."""
        mean, logvar = self.mean.float(), self.logvar.float()
        other_mean, other_logvar = other.mean.float(), other.logvar.float()
        squared = (mean - other_mean).square() * torch.exp(-other_logvar)
        return 0.5 * (other_logvar - logvar + torch.exp(logvar - other_logvar) + squared - 1)

    def kl_of_means(self, other: "DiagonalGaussian") -> Tensor:
        """(...) nats: the part of KL(self || other) that is due to means, what is left where variances are equal."""
        squared = (self.mean.float() - other.mean.float()).square() * torch.exp(-other.logvar.float())
        return 0.5 * squared.sum(-1)

    def kl(self, other: "DiagonalGaussian") -> Tensor:
        """(...) nats: KL(self || other), summed over dimensions."""
        return self.kl_per_dim(other).sum(-1)

    def log_prob(self, z: Tensor) -> Tensor:
        """(..., Z) -> (...) nats: log density, summed over dimensions."""
        mean, logvar = self.mean.float(), self.logvar.float()
        squared = (z.float() - mean).square() * torch.exp(-logvar)
        return -0.5 * (squared + logvar + math.log(2 * math.pi)).sum(-1)

    def pairwise_log_prob(self, z: Tensor) -> Tensor:
        """(M, Z) -> (M, B) nats: log density of every z under every one of our B Gaussians, by matrix products."""
        mean, logvar, z = self.mean.double(), self.logvar.double(), z.double()
        precision = torch.exp(-logvar)
        squared = z.square() @ precision.T - 2 * z @ (precision * mean).T + (precision * mean.square()).sum(-1)
        return -0.5 * (squared + (logvar + math.log(2 * math.pi)).sum(-1))

    def __getitem__(self, index) -> "DiagonalGaussian":
        """Select examples."""
        return DiagonalGaussian(self.mean[index], self.logvar[index])

    def unsqueeze(self, dim: int) -> "DiagonalGaussian":
        """Add a batch dimension, for broadcasting."""
        return DiagonalGaussian(self.mean.unsqueeze(dim), self.logvar.unsqueeze(dim))

    def scaled(self, factor: float) -> "DiagonalGaussian":
        """N(factor * mean, diag(exp(logvar))): further from the others, as wide."""
        return self if factor == 1 else DiagonalGaussian(factor * self.mean, self.logvar)

    def detach(self) -> "DiagonalGaussian":
        """Cut from the graph."""
        return DiagonalGaussian(self.mean.detach(), self.logvar.detach())


@dataclass(frozen=True)
class LatentOutput:
    """What a latent model tells its criterion about one batch.

    z (B, Z): the latent that was decoded. prior, posterior: over (B, Z).
    bow_logits (B, V): the bag-of-words head's scores, where the model has one.
    chosen (B,): index of the kept sample among K, where one was chosen.
    prior_z (B, Z): a sample of the prior, where the model was asked to decode it too.
    divergences: {name: (B,) nats}, further terms of the bound, of latents beside z.
    losses: {name: (B,)}, further terms of the training loss, no part of the bound.
    choice (B, C): scores of candidate responses, the right one last, -inf where an example has fewer.
    factor: what the means of prior and posterior were multiplied by for the decoder alone (Scale-VAE).
    """

    z: Tensor
    prior: DiagonalGaussian
    posterior: DiagonalGaussian
    bow_logits: Tensor | None = None
    chosen: Tensor | None = None
    prior_z: Tensor | None = None
    divergences: dict[str, Tensor] = field(default_factory=dict)
    losses: dict[str, Tensor] = field(default_factory=dict)
    choice: Tensor | None = None
    factor: float = 1.0

    @property
    def charged_kl(self) -> Tensor:
        """(B, Z) nats: KL(posterior || prior) of each dimension before `factor`, what training charges."""
        undone = 1 / self.factor
        return self.posterior.scaled(undone).kl_per_dim(self.prior.scaled(undone))


def seeded_noise(seeds: Tensor, num_latents: int, latent_dim: int) -> Tensor:
    """(B,) -> (B, N, Z): standard normal noise that depends on each example's own seed alone, on every device.

    The first rows for a larger N are the rows for a smaller one, so more latents per context only add responses.
    """
    return next(seeded_noise_chunks(seeds, num_latents, latent_dim, num_latents))


def seeded_noise_chunks(seeds: Tensor, num_latents: int, latent_dim: int, chunk: int) -> Iterator[Tensor]:
    """(B,) -> (B, n, Z) with n at most `chunk`: the same rows as `seeded_noise`, in order, without holding all of them."""
    generators = [np.random.default_rng(int(seed)) for seed in seeds.tolist()]
    for start in range(0, num_latents, chunk):
        size = (min(chunk, num_latents - start), latent_dim)
        rows = np.stack([generator.standard_normal(size) for generator in generators])
        yield torch.from_numpy(rows).float().to(seeds.device)
