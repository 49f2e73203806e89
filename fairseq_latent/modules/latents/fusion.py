"""Late fusion of a latent with decoder states: act(W [state; z]), before the output projection (T-CVAE)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...selection import VocabularyScorer
from ..activations import ACTIVATIONS
from ..packed import PackedStates
from .head import bias_free


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
        """(..., Z) -> (..., H): the part of W [state; z] that the latent adds; outside autocast, for z is."""
        weight = self.linear.weight[:, self.embed_dim :]
        with torch.autocast(z.device.type, enabled=False):
            return F.linear(z.to(weight.dtype), weight)

    def forward(self, states: Tensor, z: Tensor) -> Tensor:
        """(..., H), (..., Z) -> (..., H)"""
        return self.activation(self.of_states(states) + self.of_latent(z))


class DecodedResponse:
    """Decoder states of a batch of responses, real tokens alone, waiting for latents z (..., B, Z).

    T-CVAE's latent enters after the decoder body, so that K latents cost K fusions and projections, not K decodings.
    added: (N', H) that no latent changes, added after the fusion.
    """

    def __init__(
        self,
        fusion: LatentFusion,
        projection: nn.Linear,
        response: PackedStates,
        target: Tensor,
        added: Tensor | None = None,
    ):
        self.fusion, self.projection = fusion, projection
        self.mask = response.packing.mask
        self.words = response.packing.words(target)  # (N,)
        # with the rows that a packing adds to make their number round; only `_real` ones leave this class
        self.states = fusion.of_states(response.states)  # (N', H)
        self.added = added
        self.sentence = response.packing.sentences  # (N',)

    def _hidden(self, z: Tensor) -> Tensor:
        """(..., B, Z) -> (..., N', H)"""
        hidden = self.fusion.activation(self.states + self.fusion.of_latent(z)[..., self.sentence, :])
        return hidden if self.added is None else hidden + self.added

    def _real(self, rows: Tensor) -> Tensor:
        """(..., N', W) -> (..., N, W)"""
        return rows[..., : len(self.words), :]

    def logits(self, z: Tensor) -> Tensor:
        """(..., B, Z) -> (..., N, V)"""
        return self._real(self.projection(self._hidden(z)))

    def nll(self, z: Tensor, dtype: torch.dtype = torch.float32, words: int = 0) -> Tensor:
        """(..., B, Z) -> (..., B) nats per sentence, unsmoothed, without gradient and without N x V logits.

        dtype, words: precision and extent of the sum over the vocabulary, see `VocabularyScorer`.
        """
        score = VocabularyScorer(self.projection.weight, self.words, dtype, words)
        latents = z.flatten(0, -3) if z.dim() > 2 else z.unsqueeze(0)  # (K, B, Z)
        together = max(1, score.rows // max(1, len(self.words)))  # small batches: several latents fill a tile
        nll = score.of_latents(latents.split(together), lambda part: self._real(self._hidden(part)), self.mask)
        return nll.view(z.shape[:-1])
