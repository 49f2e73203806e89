"""A latent that is one of C codes (PLATO: Bao et al., 2020; arXiv 1910.07931), with the interface of `DiagonalGaussian`.

z is a one-hot vector, so that the decoder's linear map of it is the table of codes. Gaussian noise chooses the code, as it
chooses a Gaussian's sample: whatever seeds and carries noise serves both.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST = 1e-30  # of a probability, before its logarithm


@dataclass(frozen=True)
class Categorical:
    """Log probabilities (..., C) of the codes, float32."""

    log_probs: Tensor

    @classmethod
    def of_scores(cls, scores: Tensor) -> "Categorical":
        """(..., C), whatever their sum -> softmax of them."""
        return cls(scores.float().log_softmax(-1))

    @classmethod
    def of_moments(cls, mean: Tensor, logvar: Tensor) -> "Categorical":
        """From the mean of z alone."""
        return cls(mean.clamp(min=SMALLEST).log())

    @property
    def mean(self) -> Tensor:
        """(..., C): of z, the codes' probabilities."""
        return self.log_probs.exp()

    @property
    def logvar(self) -> Tensor:
        """(..., C): of each element of z."""
        return (self.mean * (1 - self.mean)).clamp(min=SMALLEST).log()

    def noise(self, count: int) -> Tensor:
        """(count, ..., C) standard normal; as many as there are codes, or more: noise (C, ..., C) that chooses each once."""
        codes = self.log_probs.size(-1)
        if count < codes:
            return torch.randn_like(self.log_probs.expand(count, *self.log_probs.shape))
        each = torch.eye(codes, dtype=torch.bool, device=self.log_probs.device)
        forced = self.log_probs.new_zeros(codes, codes).masked_fill(each, math.inf)
        return forced.view(codes, *[1] * (self.log_probs.dim() - 1), codes).expand(codes, *self.log_probs.shape)

    def rsample(self, noise: Tensor | None = None) -> Tensor:
        """(..., C): a one-hot vector, whose gradient goes to the probabilities straight through (Bengio et al., 2013).

        Normal noise becomes Gumbel noise, whose argmax with log probabilities samples them; noise 0 is the likeliest code.
        """
        noise = torch.randn_like(self.log_probs) if noise is None else noise.to(self.log_probs)
        gumbel = -torch.log(-torch.special.log_ndtr(noise))
        chosen = F.one_hot((self.log_probs + gumbel).argmax(-1), noise.size(-1)).to(self.log_probs)
        return chosen + (self.mean - self.mean.detach())

    def kl_per_dim(self, other: "Categorical") -> Tensor:
        """(..., C) nats: what each code adds to KL(self || other), and may take off it."""
        return self.mean * (self.log_probs - other.log_probs)

    def kl(self, other: "Categorical") -> Tensor:
        """(...) nats: KL(self || other)."""
        return self.kl_per_dim(other).sum(-1)

    def log_prob(self, z: Tensor) -> Tensor:
        """One-hot (..., C) -> (...) nats."""
        return (z * self.log_probs).sum(-1)

    def pairwise_log_prob(self, z: Tensor) -> Tensor:
        """One-hot (M, C) -> (M, B) nats: of every z under every one of our B distributions."""
        return z.double() @ self.log_probs.double().T

    def scaled(self, factor: float) -> "Categorical":
        """Codes have no scale: the factor is 1."""
        return self

    def __getitem__(self, index) -> "Categorical":
        """Select examples."""
        return Categorical(self.log_probs[index])

    def unsqueeze(self, dim: int) -> "Categorical":
        """Add a batch dimension, for broadcasting."""
        return Categorical(self.log_probs.unsqueeze(dim))

    def detach(self) -> "Categorical":
        """Cut from the graph."""
        return Categorical(self.log_probs.detach())
