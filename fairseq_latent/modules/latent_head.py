"""Heads that read a prior and a posterior off encoder states (T-CVAE: Wang and Wan, 2019; Sato et al., 2021)."""

import math

import torch
from torch import Tensor, nn

from ..gaussian import DiagonalGaussian


def bias_free(inputs: int, outputs: int) -> nn.Linear:
    """A Xavier-initialised linear map without bias."""
    linear = nn.Linear(inputs, outputs, bias=False)
    nn.init.xavier_uniform_(linear.weight)
    return linear


class QueryAttention(nn.Module):
    """One learned query attends over encoder states: a sequence becomes a vector."""

    def __init__(self, embed_dim: int, heads: int, dropout: float):
        super().__init__()
        self.query = nn.Parameter(torch.empty(1, 1, embed_dim))
        nn.init.xavier_normal_(self.query)
        self.attention = nn.MultiheadAttention(embed_dim, heads, dropout=dropout, bias=False)

    def forward(self, states: Tensor, padding_mask: Tensor) -> Tensor:
        """(S, B, H), (B, S) -> (B, H)"""
        query = self.query.expand(-1, states.size(1), -1)
        pooled, _ = self.attention(query, states, states, key_padding_mask=padding_mask, need_weights=False)
        return pooled[0]


def prior_network(embed_dim: int, hidden_dim: int, outputs: int) -> nn.Module:
    """H -> 256, tanh -> outputs, as in the released code; `hidden_dim=0` leaves the tanh layer out."""
    if not hidden_dim:
        return bias_free(embed_dim, outputs)
    return nn.Sequential(bias_free(embed_dim, hidden_dim), nn.Tanh(), bias_free(hidden_dim, outputs))


class LatentHead(nn.Module):
    """Means and log variances of prior and posterior; query and attention are shared between the two."""

    def __init__(self, embed_dim: int, latent_dim: int, heads: int, dropout: float, prior_hidden_dim: int):
        super().__init__()
        self.pool = QueryAttention(embed_dim, heads, dropout)
        self.prior_net = prior_network(embed_dim, prior_hidden_dim, 2 * latent_dim)
        self.posterior_net = bias_free(embed_dim, 2 * latent_dim)

    def prior(self, states: Tensor, padding_mask: Tensor) -> DiagonalGaussian:
        """(S, B, H), (B, S) -> p(z|x) over (B, Z)"""
        return DiagonalGaussian(*self.prior_net(self.pool(states, padding_mask)).chunk(2, -1))

    def posterior(self, states: Tensor, padding_mask: Tensor) -> DiagonalGaussian:
        """(S + T, B, H), (B, S + T) -> q(z|x, y) over (B, Z)"""
        return DiagonalGaussian(*self.posterior_net(self.pool(states, padding_mask)).chunk(2, -1))


class FixedVarianceHead(nn.Module):
    """SpaceFusion's latents (Gao et al., 2019): learned means, both perturbed with the same fixed sigma."""

    def __init__(
        self, embed_dim: int, latent_dim: int, heads: int, dropout: float, prior_hidden_dim: int, sigma: float
    ):
        super().__init__()
        self.pool = QueryAttention(embed_dim, heads, dropout)
        self.prior_net = prior_network(embed_dim, prior_hidden_dim, latent_dim)
        self.posterior_net = bias_free(embed_dim, latent_dim)
        self.logvar = 2 * math.log(sigma)

    def prior(self, states: Tensor, padding_mask: Tensor) -> DiagonalGaussian:
        """(S, B, H), (B, S) -> (B, Z) around the context's mean"""
        return self._around(self.prior_net(self.pool(states, padding_mask)))

    def posterior(self, states: Tensor, padding_mask: Tensor) -> DiagonalGaussian:
        """(T, B, H), (B, T) -> (B, Z) around the response's mean"""
        return self._around(self.posterior_net(self.pool(states, padding_mask)))

    def _around(self, mean: Tensor) -> DiagonalGaussian:
        return DiagonalGaussian(mean, torch.full_like(mean, self.logvar))
