"""The parts of a recurrent sentence VAE (Bowman et al., 2016; arXiv 1511.06349): a GRU that reads, a GRU that writes.

The latent is the decoder's first state, through a linear map, and stands beside every word that it reads (He et al., 2019).
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from ..gaussian import DiagonalGaussian
from ..selection import VocabularyScorer
from .coders import Encoder, StepwiseDecoder
from .full_precision import full_dtype, in_full
from .latents.sampling import sample_latent
from .latents.scaling import LatentScaling
from .packed import Packing

INITIAL_EMBEDDING = 0.1  # uniform between plus and minus this
ROWS = 256  # sentences decoded at once where several latents are scored
POOLINGS = ("last", "mean", "max")


def embeddings(words: int, embed_dim: int, pad: int) -> nn.Embedding:
    """(V, E), uniform in ±0.1 as He et al. (2019) have it, the pad row zero."""
    table = nn.Embedding(words, embed_dim, pad)
    nn.init.uniform_(table.weight, -INITIAL_EMBEDDING, INITIAL_EMBEDDING)
    nn.init.zeros_(table.weight[pad])
    return table


def pool(states: PackedSequence, last: Tensor, pooling: str) -> Tensor:
    """All states of R sequences, and the last (layers * directions, R, H) -> (R, H * directions).

    last: that of each direction. mean, max: over all states of the last layer, with which collapse is rarer (Long et al.,
    2019; arXiv 1911.03976).
    """
    if pooling == "last":
        directions = states.data.size(-1) // last.size(-1)
        return last[-directions:].transpose(0, 1).flatten(1)
    padded, lengths = pad_packed_sequence(
        states, True, -math.inf if pooling == "max" else 0.0
    )  # (R, S, H * directions)
    if pooling == "max":
        return padded.max(1).values
    return padded.sum(1) / lengths.to(padded).unsqueeze(1)


def words_first(tokens: Tensor, pad: int) -> Tensor:
    """(B, S) -> (B, S): all pads on the right, the words in their order."""
    return tokens.gather(1, tokens.eq(pad).byte().argsort(dim=1, stable=True))


class SentenceEncoder(Encoder):
    """Reads a sentence into its posterior; for decoding it samples the latent, from there or from the prior N(0, I)."""

    def __init__(
        self, dictionary, embed_dim: int, hidden_dim: int, latent_dim: int, layers: int, bidirectional: bool, dropout: float,
        longest: int, pooling: str = "last", scaling: LatentScaling | None = None,
    ):  # fmt: skip
        super().__init__(dictionary)
        self.padding_idx, self.latent_dim, self.longest = dictionary.pad(), latent_dim, longest
        self.pooling, self.scaling = pooling, scaling or LatentScaling(latent_dim)
        self.embed_tokens = embeddings(len(dictionary), embed_dim, self.padding_idx)
        self.gru = nn.GRU(
            embed_dim,
            hidden_dim,
            layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if layers > 1 else 0.0,
        )
        self.posterior_net = nn.Linear(hidden_dim * (2 if bidirectional else 1), 2 * latent_dim)

    def posterior(self, src_tokens: Tensor) -> DiagonalGaussian:
        """(B, S) -> q(z|x) over (B, Z), read off the GRU's states; pads are not read."""
        tokens = words_first(src_tokens, self.padding_idx)
        lengths = tokens.ne(self.padding_idx).sum(1).clamp(min=1).cpu()
        packed = pack_padded_sequence(self.embed_tokens(tokens), lengths, batch_first=True, enforce_sorted=False)
        states, last = self.gru(packed)
        state = pool(states, last, self.pooling)  # (B, H * directions)
        with torch.autocast(state.device.type, enabled=False):
            return self.scaling.posterior(DiagonalGaussian(*in_full(self.posterior_net, state).chunk(2, -1)))

    def prior(self, src_tokens: Tensor) -> DiagonalGaussian:
        """(B, S) -> N(0, I) over (B, Z): the sentence is not looked at."""
        weight = self.posterior_net.weight
        zeros = weight.new_zeros(src_tokens.size(0), self.latent_dim, dtype=full_dtype(weight))
        return DiagonalGaussian(zeros, zeros)  # whose mean no factor moves

    def forward(
        self,
        src_tokens: Tensor,
        src_lengths: Tensor | None = None,
        noise_seed: Tensor | None = None,
        num_latents: int = 1,
        latent_mean: bool = False,
        reconstruct: bool = False,
        latent: Tensor | None = None,
    ) -> dict[str, list[Tensor]]:
        """(B, S) -> {"latent": [z (B, Z)]} sampled from the prior, or with `reconstruct` from the posterior; or as given.

        With num_latents = N, src_tokens holds every sentence N times in a row; each is read once and gets N latents.
        """
        if latent is not None:
            return {"latent": [latent]}
        tokens = src_tokens[::num_latents]
        source = self.posterior(tokens) if reconstruct else self.prior(tokens)
        return {"latent": [sample_latent(source, noise_seed, num_latents, latent_mean, "text_vae")]}

    def reorder_encoder_out(self, encoder_out, new_order):
        """For beams: each keeps its sentence's latent."""
        return {"latent": [encoder_out["latent"][0].index_select(0, new_order)]}

    def max_positions(self) -> int:
        """The longest sentence."""
        return self.longest


class SentenceDecoder(StepwiseDecoder):
    """Writes a sentence word by word; every step sees the latent."""

    def __init__(
        self, dictionary, embed_dim: int, hidden_dim: int, latent_dim: int, layers: int, dropout_in: float,
        dropout_out: float, word_dropout: float, longest: int,
    ):  # fmt: skip
        super().__init__(dictionary)
        self.padding_idx, self.unknown_idx, self.longest = dictionary.pad(), dictionary.unk(), longest
        self.dropout_in, self.dropout_out, self.word_dropout = dropout_in, dropout_out, word_dropout
        self.embed_tokens = embeddings(len(dictionary), embed_dim, self.padding_idx)
        self.first_state = nn.Linear(latent_dim, layers * hidden_dim)
        self.gru = nn.GRU(
            embed_dim + latent_dim, hidden_dim, layers, batch_first=True, dropout=dropout_out if layers > 1 else 0.0
        )
        self.output_projection = nn.Linear(hidden_dim, len(dictionary), bias=False)

    def embed(self, prev_output_tokens: Tensor) -> Tensor:
        """(B, T) -> (B, T, E); in training some words are read as unknown ones (word dropout: Bowman et al., 2016)."""
        if self.training and self.word_dropout:
            dropped = torch.rand(prev_output_tokens.shape, device=prev_output_tokens.device) < self.word_dropout
            dropped &= prev_output_tokens.ne(self.padding_idx)
            dropped[:, 0] = False  # the token of the beginning
            prev_output_tokens = prev_output_tokens.masked_fill(dropped, self.unknown_idx)
        return F.dropout(self.embed_tokens(prev_output_tokens), self.dropout_in, self.training)

    def begin(self, z: Tensor) -> Tensor:
        """(B, Z) -> (layers, B, H): the first state; outside autocast, for z is."""
        with torch.autocast(z.device.type, enabled=False):
            hidden = self.first_state(z.to(self.first_state.weight.dtype))
        return hidden.unflatten(1, (self.gru.num_layers, -1)).transpose(0, 1).contiguous()

    def run(self, embedded: Tensor, z: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, E), (B, Z), (layers, B, H) -> states (B, T, H), the last hidden state."""
        beside = z.to(embedded.dtype).unsqueeze(1).expand(-1, embedded.size(1), -1)
        return self.gru(torch.cat([embedded, beside], dim=-1), hidden)

    def forward(self, prev_output_tokens: Tensor, encoder_out=None, incremental_state=None, **kwargs):
        """(B, T) and an encoder output with a latent -> logits (B, T, V), or (B, 1, V) step by step."""
        z = encoder_out["latent"][0]
        hidden = None
        if incremental_state is not None:
            prev_output_tokens = prev_output_tokens[:, -1:]
            hidden = (self.get_incremental_state(incremental_state, "gru") or {}).get("hidden")
        states, hidden = self.run(self.embed(prev_output_tokens), z, self.begin(z) if hidden is None else hidden)
        if incremental_state is not None:
            self.set_incremental_state(incremental_state, "gru", {"hidden": hidden})
        return self.output_projection(F.dropout(states, self.dropout_out, self.training)), {"attn": None}

    def reorder_incremental_state(self, incremental_state, new_order: Tensor) -> None:
        """For beams."""
        cached = self.get_incremental_state(incremental_state, "gru")
        if cached is not None:
            self.set_incremental_state(
                incremental_state, "gru", {"hidden": cached["hidden"].index_select(1, new_order)}
            )

    def max_positions(self) -> int:
        """The longest sentence."""
        return self.longest


class DecodedSentence:
    """A batch of sentences waiting for latents z (..., B, Z), each of which is one pass through the GRU.

    What dropout leaves out is sampled once: all latents of a sentence are compared on the same words and units.
    """

    def __init__(self, decoder: Any, prev_output_tokens: Tensor, target: Tensor, packing: Packing | None = None):
        self.decoder = decoder
        self.packing = packing or Packing(target.ne(decoder.padding_idx))
        self.words = self.packing.words(target)  # (N,)
        self.embedded = self._embedded(prev_output_tokens)
        self.kept: Tensor | None = None  # (N', H)

    def logits(self, z: Tensor) -> Tensor:
        """(..., B, Z) -> (..., N, V): pads are never projected to the vocabulary."""
        latents = z.flatten(0, -3) if z.dim() > 2 else z.unsqueeze(0)
        rows = [
            self.packing.real(self.decoder.output_projection(self._states(each.unsqueeze(0))[0])) for each in latents
        ]
        return torch.stack(rows).view(*z.shape[:-2], *rows[0].shape) if z.dim() > 2 else rows[0]

    def nll(self, z: Tensor, dtype: torch.dtype = torch.float32, words: int = 0) -> Tensor:
        """(..., B, Z) -> (..., B) nats per sentence, unsmoothed, without gradient, in memory that does not grow with K.

        dtype, words: precision and extent of the sum over the vocabulary, see `VocabularyScorer`.
        """
        projection = self.decoder.output_projection
        score = VocabularyScorer(projection.weight, self.words, dtype, words, projection.bias)
        latents = z.flatten(0, -3) if z.dim() > 2 else z.unsqueeze(0)  # (K, B, Z)
        together = max(1, ROWS // max(1, latents.size(1)))

        def hidden(part: Tensor) -> Tensor:
            return self._states(part)[..., : len(self.words), :]

        return score.of_latents(latents.split(together), hidden, self.packing.mask).view(z.shape[:-1])

    def _embedded(self, prev_output_tokens: Tensor) -> Tensor:
        """(B, T) -> (B, T, E)"""
        return self.decoder.embed(prev_output_tokens)

    def _states(self, z: Tensor) -> Tensor:
        """(K, B, Z) -> (K, N', H), with dropout"""
        size = z.size(0)
        embedded = self.embedded.expand(size, *self.embedded.shape).flatten(0, 1) if size > 1 else self.embedded
        flat = z.flatten(0, 1)
        states, _ = self.decoder.run(embedded, flat, self.decoder.begin(flat))
        packed = [self.packing.pack(each) for each in states.unflatten(0, (size, -1))]
        return self.dropped(torch.stack(packed) if size > 1 else packed[0].unsqueeze(0), self.decoder.dropout_out)

    def dropped(self, states: Tensor, dropout: float) -> Tensor:
        """(K, N', H) -> (K, N', H): the same dropout for all latents, in training."""
        if not (self.decoder.training and dropout):
            return states
        if self.kept is None:
            self.kept = F.dropout(torch.ones_like(states[0]), dropout)
        return states * self.kept
