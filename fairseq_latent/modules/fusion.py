"""Late fusion of a latent with decoder states: act(W [state; z]), before the output projection (T-CVAE)."""

import torch.nn.functional as F
from torch import Tensor, nn

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
