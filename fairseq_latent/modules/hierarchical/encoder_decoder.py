"""A hierarchical recurrent encoder-decoder (HRED: Serban et al., 2016; arXiv 1507.04808), with or without a latent.

A bidirectional GRU reads each turn, a GRU the turns of a context, and a GRU whose first state comes from there, and from
the latent, generates the response. No network steps on a pad.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from fairseq_latent.gaussian import DiagonalGaussian

from ..coders import Encoder, StepwiseDecoder
from ..latents.sampling import sample_latent
from ..packed import Packing
from ..recurrent import DecodedSentence, pool
from .latent import ContextLatent
from .turns import Ragged, TurnReader, Turns

FLOORS = 2  # who responds, and who does not


def steps(gru: nn.GRU, packed: PackedSequence, hidden: Tensor | None = None) -> tuple[PackedSequence, Tensor]:
    """All states, and the last; on a CPU in full precision, whose library compiles a kernel for every number of rows."""
    device = packed.data.device.type
    with torch.autocast(device, enabled=device != "cpu" and torch.is_autocast_enabled(device)):
        return gru(packed, hidden)


class DialogueEncoder(Encoder):
    """Reads contexts into states, and infers their latents.

    floor: turns are read with a one-hot vector that says whether they are of who responds (Zhao et al., 2017).
    """

    def __init__(
        self, dictionary, embed_tokens: nn.Embedding, reader: TurnReader, utterance_dim: int, context_dim: int,
        floor: bool, latent: ContextLatent | None, dropout: float, longest: int, pooling: str = "last",
    ):  # fmt: skip
        super().__init__(dictionary)
        self.embed_tokens, self.reader, self.latent = embed_tokens, reader, latent
        self.floor, self.dropout, self.longest, self.pooling = floor, dropout, longest, pooling
        self.utterance_gru = nn.GRU(embed_tokens.embedding_dim, utterance_dim, bidirectional=True)
        self.context_gru = nn.GRU(2 * utterance_dim + FLOORS * floor, context_dim)

    @property
    def latent_dim(self) -> int:
        """Z, or 0 without a latent."""
        return 0 if self.latent is None else self.latent.latent_dim

    def contexts(self, src_tokens: Tensor) -> Tensor:
        """(B, S) -> (B, C): the state after the last turn of each context."""
        turns = self.reader.contexts(src_tokens)
        return self._over_turns(turns, self._turns(turns.words, turns.lengths))

    def distributions(self, src_tokens: Tensor, target: Tensor) -> tuple[Tensor, DiagonalGaussian, DiagonalGaussian]:
        """(B, S), (B, T) -> contexts (B, C), p(z|x) and q(z|x, y) over (B, Z); one pass over all turns and responses."""
        if self.latent is None:
            context = self.contexts(src_tokens)
            return context, self.nothing(context), self.nothing(context)
        turns, said = self.reader.contexts(src_tokens), self.reader.responses(target)
        words, lengths = torch.cat([turns.words, said.words]), torch.cat([turns.lengths, said.lengths])
        vectors, responses = self._turns(words, lengths).split([len(turns.lengths), len(said.lengths)])
        context = self._over_turns(turns, vectors)
        return context, self.latent.prior(context), self.latent.posterior(context, responses)

    def nothing(self, context: Tensor) -> DiagonalGaussian:
        """A Gaussian of no dimension."""
        empty = context.new_zeros(len(context), 0)
        return DiagonalGaussian(empty, empty)

    def forward(
        self,
        src_tokens: Tensor,
        src_lengths: Tensor | None = None,
        noise_seed: Tensor | None = None,
        num_latents: int = 1,
        latent_mean: bool = False,
    ) -> dict[str, list[Tensor]]:
        """(B, S) -> {"context": [(B, C)], "latent": [z (B, Z)]}, z of the prior, for decoding without a response.

        With num_latents = N, src_tokens holds every context N times in a row; each is read once and gets N latents.
        """
        context = self.contexts(src_tokens[::num_latents])
        prior = self.nothing(context) if self.latent is None else self.latent.prior(context)
        z = sample_latent(prior, noise_seed, num_latents, latent_mean or self.latent is None, "dialogue")
        return {"context": [context.repeat_interleave(num_latents, dim=0)], "latent": [z]}

    def reorder_encoder_out(self, encoder_out, new_order):
        """For beams: each keeps its context and its latent."""
        return {name: [value.index_select(0, new_order) for value in values] for name, values in encoder_out.items()}

    def max_positions(self) -> int:
        """The longest context, in tokens."""
        return self.longest

    def _turns(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (N,) of turns (U,) -> (U, 2H): the last state of each direction, or as `pooling` says."""
        ragged = Ragged(lengths, words.device)
        embedded = F.dropout(self.embed_tokens(words[ragged.places]), self.dropout, self.training)
        return pool(*steps(self.utterance_gru, ragged.packed(embedded)), self.pooling)

    def _over_turns(self, turns: Turns, vectors: Tensor) -> Tensor:
        """(U, 2H) -> (B, C)"""
        if self.floor:
            floor = F.one_hot(turns.own.long(), FLOORS).to(vectors.device, vectors.dtype, non_blocking=True)
            vectors = torch.cat([vectors, floor], dim=-1)
        ragged = Ragged(turns.counts, vectors.device)
        return steps(self.context_gru, ragged.packed(vectors[ragged.places]))[1].squeeze(0)


class ResponseDecoder(StepwiseDecoder):
    """Generates a response; context and latent are its first state, through a linear map and, for HRED, tanh.

    What fairseq puts before a response, the end of sentence, is read as its beginning, <s>.
    """

    def __init__(
        self, dictionary, embed_tokens: nn.Embedding, condition_dim: int, hidden_dim: int, tanh: bool, dropout: float,
        longest: int,
    ):  # fmt: skip
        super().__init__(dictionary)
        self.begin_idx, self.end_idx, self.padding_idx = dictionary.bos(), dictionary.eos(), dictionary.pad()
        self.embed_tokens, self.tanh, self.dropout, self.longest = embed_tokens, tanh, dropout, longest
        self.first_state = nn.Linear(condition_dim, hidden_dim)
        self.gru = nn.GRU(embed_tokens.embedding_dim, hidden_dim, batch_first=True)
        self.output_projection = nn.Linear(hidden_dim, len(dictionary))

    def embed(self, prev_output_tokens: Tensor) -> Tensor:
        """(...) -> (..., E), with dropout"""
        words = prev_output_tokens.masked_fill(prev_output_tokens.eq(self.end_idx), self.begin_idx)
        return F.dropout(self.embed_tokens(words), self.dropout, self.training)

    def begin(self, context: Tensor, z: Tensor) -> Tensor:
        """(B, C), (B, Z) -> (1, B, H): the first state; outside autocast, for z is."""
        with torch.autocast(z.device.type, enabled=False):
            condition = torch.cat([context, z], dim=-1).to(self.first_state.weight.dtype)
            state = self.first_state(condition)
        return (state.tanh() if self.tanh else state).unsqueeze(0)

    def forward(self, prev_output_tokens: Tensor, encoder_out=None, incremental_state=None, **kwargs):
        """(B, T) and an encoder output with a latent -> logits (B, T, V), or (B, 1, V) step by step."""
        hidden = None
        if incremental_state is not None:
            prev_output_tokens = prev_output_tokens[:, -1:]
            hidden = (self.get_incremental_state(incremental_state, "gru") or {}).get("hidden")
        if hidden is None:
            hidden = self.begin(encoder_out["context"][0], encoder_out["latent"][0])
        states, hidden = self.gru(self.embed(prev_output_tokens), hidden)
        if incremental_state is not None:
            self.set_incremental_state(incremental_state, "gru", {"hidden": hidden})
        return self.output_projection(F.dropout(states, self.dropout, self.training)), {"attn": [None]}

    def reorder_incremental_state(self, incremental_state, new_order: Tensor) -> None:
        """For beams."""
        cached = self.get_incremental_state(incremental_state, "gru")
        if cached is not None:
            self.set_incremental_state(
                incremental_state, "gru", {"hidden": cached["hidden"].index_select(1, new_order)}
            )

    def max_positions(self) -> int:
        """The longest response."""
        return self.longest


class DecodedTurn(DecodedSentence):
    """A batch of responses to contexts (B, C) waiting for latents z (..., B, Z), which only the GRU's first state sees."""

    decoder: ResponseDecoder

    def __init__(self, decoder: ResponseDecoder, context: Tensor, prev_output_tokens: Tensor, target: Tensor):
        mask = target.ne(decoder.padding_idx)
        self.lengths = mask.sum(1).cpu()
        super().__init__(decoder, prev_output_tokens, target, Packing(mask, int(self.lengths.sum())))
        self.context = context

    def _embedded(self, prev_output_tokens: Tensor) -> Tensor:
        """(B, T) -> (N, E): real tokens alone."""
        return self.decoder.embed(self.packing.words(prev_output_tokens))

    def _states(self, z: Tensor) -> Tensor:
        """(K, B, Z) -> (K, N', H), with dropout"""
        size, real = z.size(0), len(self.words)
        ragged = Ragged(self.lengths.repeat(size), z.device)
        context = self.context.expand(size, *self.context.shape).flatten(0, 1)
        packed = ragged.packed(self.embedded[ragged.places % real])
        states, _ = steps(self.decoder.gru, packed, self.decoder.begin(context, z.flatten(0, 1)))
        states = ragged.end_to_end(states.data).unflatten(0, (size, real))
        return self.dropped(F.pad(states, (0, 0, 0, len(self.packing) - real)), self.decoder.dropout)
