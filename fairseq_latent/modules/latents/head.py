"""Heads that read a prior and a posterior off encoder states (T-CVAE: Wang and Wan, 2019; Sato et al., 2021)."""

import functools
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...gaussian import DiagonalGaussian
from ..full_precision import full_dtype, in_full
from ..packed import PackedStates
from .categorical import Categorical
from .scaling import LatentScaling


def bias_free(inputs: int, outputs: int) -> nn.Linear:
    """A linear map without bias."""
    return nn.Linear(inputs, outputs, bias=False)


class QueryAttention(nn.Module):
    """One learned query attends over encoder states: sequences become vectors.

    The query never changes within a batch, so that it is taken through the key projection once, and the weighted mean of
    the states, not each state, through the value projection: what `nn.MultiheadAttention` computes, with `heads` scalar
    products a token in place of two projections.
    """

    def __init__(self, embed_dim: int, heads: int, dropout: float):
        super().__init__()
        self.query = nn.Parameter(torch.empty(1, 1, embed_dim))
        nn.init.xavier_normal_(self.query)
        self.attention = nn.MultiheadAttention(embed_dim, heads, dropout=dropout, bias=False)

    def forward(self, parts: Sequence[PackedStates]) -> Tensor:
        """Sequences of the same B examples, joined in time -> (B, H), in the states' precision"""
        heads, embed_dim, dtype = self.attention.num_heads, self.attention.embed_dim, parts[0].states.dtype
        of_query, of_key, of_value = self.attention.in_proj_weight.to(dtype).view(3, heads, -1, embed_dim)
        query = (of_query @ self.query.to(dtype).flatten()) * (embed_dim // heads) ** -0.5  # (heads, H / heads)
        key = torch.einsum("hd,hde->eh", query, of_key)  # (H, heads)
        scores = [part.packing.pad(part.states @ key, -math.inf) for part in parts]  # (B, S, heads) each
        weights = F.dropout(torch.cat(scores, dim=1).softmax(1), self.attention.dropout, self.training)
        weights = weights.transpose(1, 2).split([score.size(1) for score in scores], dim=2)
        pooled = sum(weight @ part.padded() for weight, part in zip(weights, parts, strict=True))  # (B, heads, H)
        values = torch.einsum("bhe,hde->bhd", pooled, of_value)
        return F.linear(values.flatten(1), self.attention.out_proj.weight.to(dtype))


def prior_network(embed_dim: int, hidden_dim: int, outputs: int) -> nn.Module:
    """H -> 256 with a bias, tanh -> outputs, as in the authors' code; `hidden_dim=0` leaves the tanh layer out."""
    if not hidden_dim:
        return bias_free(embed_dim, outputs)
    return nn.Sequential(nn.Linear(embed_dim, hidden_dim), nn.Tanh(), bias_free(hidden_dim, outputs))


def add_prior_bias(head: nn.Module, state: dict[str, Tensor], prefix: str) -> None:
    """Checkpoints written before the prior's tanh layer had a bias get a zero one, with which they compute the same."""
    bias = getattr(head.prior_net[0], "bias", None) if isinstance(head.prior_net, nn.Sequential) else None
    if bias is not None and f"{prefix}prior_net.0.weight" in state:
        state.setdefault(f"{prefix}prior_net.0.bias", torch.zeros_like(bias))


def outside_autocast(read: Callable) -> Callable:
    """Read a Gaussian in float32, or in float64 if the parameters are."""

    @functools.wraps(read)
    def in_full(self, parts: Sequence[PackedStates]) -> DiagonalGaussian:
        dtype = full_dtype(self.pool.query)
        with torch.autocast(self.pool.query.device.type, enabled=False):
            return read(self, [PackedStates(part.states.to(dtype), part.packing) for part in parts])

    return in_full


class LatentHead(nn.Module):
    """Means and log variances of prior and posterior; query and attention are shared between the two."""

    def __init__(
        self, embed_dim: int, latent_dim: int, heads: int, dropout: float, prior_hidden_dim: int,
        scaling: LatentScaling | None = None,
    ):  # fmt: skip
        super().__init__()
        self.pool = QueryAttention(embed_dim, heads, dropout)
        self.prior_net = prior_network(embed_dim, prior_hidden_dim, 2 * latent_dim)
        self.posterior_net = bias_free(embed_dim, 2 * latent_dim)
        self.scaling = scaling or LatentScaling(latent_dim)

    @outside_autocast
    def prior(self, parts: Sequence[PackedStates]) -> DiagonalGaussian:
        """States of contexts -> p(z|x) over (B, Z)"""
        return self.scaling.prior(DiagonalGaussian(*in_full(self.prior_net, self.pool(parts)).chunk(2, -1)))

    @outside_autocast
    def posterior(self, parts: Sequence[PackedStates]) -> DiagonalGaussian:
        """States of contexts and responses -> q(z|x, y) over (B, Z)"""
        return self.scaling.posterior(DiagonalGaussian(*in_full(self.posterior_net, self.pool(parts)).chunk(2, -1)))


class CategoricalHead(nn.Module):
    """Probabilities of one of several codes under prior and posterior (PLATO: Bao et al., 2020)."""

    def __init__(self, embed_dim: int, codes: int, heads: int, dropout: float, prior_hidden_dim: int):
        super().__init__()
        self.pool = QueryAttention(embed_dim, heads, dropout)
        self.prior_net = prior_network(embed_dim, prior_hidden_dim, codes)
        self.posterior_net = bias_free(embed_dim, codes)

    @outside_autocast
    def prior(self, parts: Sequence[PackedStates]) -> Categorical:
        """States of contexts -> p(z|x) over (B, C)"""
        return Categorical.of_scores(in_full(self.prior_net, self.pool(parts)))

    @outside_autocast
    def posterior(self, parts: Sequence[PackedStates]) -> Categorical:
        """States of contexts and responses -> q(z|x, y) over (B, C)"""
        return Categorical.of_scores(in_full(self.posterior_net, self.pool(parts)))


class FixedVarianceHead(nn.Module):
    """SpaceFusion's latents (Gao et al., 2019): learned means, both perturbed with the same fixed sigma."""

    def __init__(
        self, embed_dim: int, latent_dim: int, heads: int, dropout: float, prior_hidden_dim: int, sigma: float,
        scaling: LatentScaling | None = None,
    ):  # fmt: skip
        super().__init__()
        self.pool = QueryAttention(embed_dim, heads, dropout)
        self.prior_net = prior_network(embed_dim, prior_hidden_dim, latent_dim)
        self.posterior_net = bias_free(embed_dim, latent_dim)
        self.logvar = 2 * math.log(sigma)
        self.scaling = scaling or LatentScaling(latent_dim)

    @outside_autocast
    def prior(self, parts: Sequence[PackedStates]) -> DiagonalGaussian:
        """States of contexts -> (B, Z) around the context's mean"""
        return self.scaling.prior(self._around(in_full(self.prior_net, self.pool(parts))))

    @outside_autocast
    def posterior(self, parts: Sequence[PackedStates]) -> DiagonalGaussian:
        """States of responses -> (B, Z) around the response's mean"""
        return self.scaling.posterior(self._around(in_full(self.posterior_net, self.pool(parts))))

    def _around(self, mean: Tensor) -> DiagonalGaussian:
        return DiagonalGaussian(mean, torch.full_like(mean, self.logvar))
