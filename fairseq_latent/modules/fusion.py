"""Late fusion of a latent with decoder states: act(W [state; z]), before the output projection (T-CVAE)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..losses import sentence_index, sum_by_sentence
from ..selection import projected_nll
from .activations import ACTIVATIONS
from .latent_head import bias_free


class LatentFusion(nn.Module):
    """The two halves of W are applied apart, so that K latents share one product with the decoder states."""

    def __init__(self, embed_dim: int, latent_dim: int, activation: str):
        super().__init__()
        self.embed_dim = embed_dim
        self.linear = bias_free(embed_dim + latent_dim, embed_dim)
        self.activation = ACTIVATIONS[activation]

    def of_states(self, states: Tensor) -> Tensor:
        """(..., H) -> (..., H): the part of W [state; z] that no latent changes."""
        return F.linear(states, self.linear.weight[:, : self.embed_dim])

    def of_latent(self, z: Tensor) -> Tensor:
        """(..., Z) -> (..., H): the part of W [state; z] that the latent adds."""
        return F.linear(z, self.linear.weight[:, self.embed_dim :])

    def forward(self, states: Tensor, z: Tensor) -> Tensor:
        """(..., H), (..., Z) -> (..., H)"""
        return self.activation(self.of_states(states) + self.of_latent(z))


class DecodedResponse:
    """Decoder states of a batch of responses, real tokens alone, waiting for latents z (..., B, Z).

    T-CVAE's latent enters after the decoder body, so that K latents cost K fusions and projections, not K decodings.
    """

    def __init__(self, fusion: LatentFusion, projection: nn.Linear, states: Tensor, target: Tensor, pad: int):
        self.fusion, self.projection = fusion, projection
        self.mask = target.ne(pad)
        self.words = target[self.mask]  # (N,)
        self.sentence = sentence_index(self.mask)
        self.states = fusion.of_states(states[self.mask])  # (N, H)

    def hidden(self, z: Tensor) -> Tensor:
        """(..., B, Z) -> (..., N, H)"""
        return self.fusion.activation(self.states + self.fusion.of_latent(z)[..., self.sentence, :])

    def logits(self, z: Tensor) -> Tensor:
        """(..., B, Z) -> (..., N, V)"""
        return self.projection(self.hidden(z))

    def nll(self, z: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """(B, Z) -> (B,) nats a sentence, unsmoothed, without gradient and without N x V logits."""
        return sum_by_sentence(projected_nll(self.hidden(z), self.projection.weight, self.words, dtype), self.mask)
