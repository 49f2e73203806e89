"""The two halves of the persona CVAE on GPT-2 (Cho et al., 2022): an encoder that infers both latents from the context, a
decoder that reads latents, context and response as one sequence, and responses that wait for a latent in training."""

import math

import torch
import torch.nn.functional as F
from fairseq.models import FairseqEncoder, FairseqIncrementalDecoder
from torch import Tensor

from ..gaussian import DiagonalGaussian
from ..losses import sum_by_sentence
from ..selection import VocabularyScorer
from .drawing import draw
from .language_model import LanguageModelBody
from .persona_latents import PersonaEmbedding, PersonaLatents, Tokens
from .word_table import WordTable

OF_FADER = 0x5EED  # its noise is another stream than that of Zp


class PersonaEncoder(FairseqEncoder):
    """Infers both latents from the context alone; the decoder reads the context itself."""

    def __init__(self, dictionary, embedding: PersonaEmbedding, latents: PersonaLatents | None, longest: int):
        super().__init__(dictionary)
        self.embedding, self.latents, self.longest = embedding, latents, longest

    @property
    def embed_tokens(self) -> WordTable:
        """The word table."""
        return self.embedding.embed_tokens

    @property
    def latent_dim(self) -> int:
        """D, or 0 without latents."""
        return 0 if self.latents is None else self.embed_tokens.embedding_dim

    def prior(self, context: Tokens) -> DiagonalGaussian:
        """p(Zp|C) over (B, D)."""
        if self.latents is None:
            return self.nothing(context)
        return self.latents.prior(context, self.embedding)

    def nothing(self, context: Tokens) -> DiagonalGaussian:
        """A Gaussian of no dimension."""
        empty = context.vectors.new_zeros(context.vectors.size(0), 0)
        return DiagonalGaussian(empty, empty)

    def forward(
        self,
        src_tokens: Tensor,
        src_lengths: Tensor | None = None,
        noise_seed: Tensor | None = None,
        num_latents: int = 1,
        latent_mean: bool = False,
        fader: float | None = None,
        fader_noise: float = 0.0,
    ) -> dict[str, list[Tensor]]:
        """(B, S) -> the context, and out["latent"] = [Zp (B, D)], out["fader"] = [(B, D)] of the prior.

        With num_latents = N, src_tokens holds every context N times in a row; each is read once and gets N latents.
        `fader` sets that variable by hand, from 0 to 1; each dimension then varies by N(0, fader_noise^2) of itself.
        """
        tokens = src_tokens[::num_latents]
        context = self.embedding.context(tokens, with_end=True)
        prior = self.prior(context)
        z = draw(prior, noise_seed, num_latents, latent_mean, "persona_dialogue")
        rows = torch.arange(len(tokens), device=src_tokens.device).repeat_interleave(num_latents)
        if self.latents is None:
            chosen = z
        elif fader is None:
            chosen = self.latents.fader(z, context[rows], self.embedding)
        else:
            chosen = self.latents.of_number(torch.full_like(z[:, 0], fader))
            if fader_noise:
                seeds = None if noise_seed is None else noise_seed ^ OF_FADER
                logvar = torch.full_like(prior.mean, 2 * math.log(fader_noise))
                around_one = DiagonalGaussian(torch.ones_like(logvar), logvar)
                chosen = chosen * draw(around_one, seeds, num_latents, False, "persona_dialogue")
        return {"src_tokens": [src_tokens], "latent": [z], "fader": [chosen]}

    def reorder_encoder_out(self, encoder_out, new_order):
        """For beams: each keeps its context and its latents."""
        return {name: [value.index_select(0, new_order) for value in values] for name, values in encoder_out.items()}

    def max_positions(self) -> int:
        """The longest context."""
        return self.longest


class PersonaDecoder(FairseqIncrementalDecoder):
    """A language model over (Zp, fader, context, response); the end of the context is the response's first input."""

    def __init__(self, dictionary, embedding: PersonaEmbedding, body: LanguageModelBody, longest: int):
        super().__init__(dictionary)
        self.embedding, self.body, self.longest = embedding, body, longest

    def forward(self, prev_output_tokens: Tensor, encoder_out=None, incremental_state=None, **kwargs):
        """(B, T) and an encoder output -> logits (B, T, V), or (B, 1, V) step by step."""
        latents = self.latents(encoder_out["latent"][0], encoder_out["fader"][0])
        context = self.embedding.context(encoder_out["src_tokens"][0], with_end=False)
        if incremental_state is None:
            states = self.states(latents, context, prev_output_tokens)
        else:
            states = self._step(latents, context, prev_output_tokens, incremental_state)
        return self.project(states), {"attn": [None]}

    def latents(self, z: Tensor, fader: Tensor) -> Tensor:
        """(B, D), (B, D) -> (B, 2, D), the vectors before the context; (B, 0, D) where there are none."""
        if not z.size(-1):
            return self.embedding.embed_tokens.weight.new_zeros(len(z), 0, self.embedding.embed_tokens.embedding_dim)
        dtype = self.embedding.embed_tokens.weight.dtype
        return torch.stack([z.to(dtype), fader.to(dtype)], dim=1)

    def states(self, latents: Tensor, context: Tokens, prev_output_tokens: Tensor) -> Tensor:
        """(B, L, D), (B, S), (B, T) -> (B, T, D): all words of the responses at once."""
        read = self._joined(latents, context, prev_output_tokens)
        return self.body(latents, read.vectors, read.positions, read.mask)[:, -prev_output_tokens.size(1) :]

    def project(self, states: Tensor) -> Tensor:
        """(..., D) -> logits (..., V), by the word table."""
        return self.embedding.embed_tokens.project(states)

    def _joined(self, latents: Tensor, context: Tokens, prev_output_tokens: Tensor) -> Tokens:
        """Context and response as one sequence; its mask covers the latents too."""
        response = self.embedding.response(prev_output_tokens, context.mask.sum(1))
        return Tokens(
            torch.cat([context.vectors, response.vectors], 1),
            torch.cat([context.positions, response.positions], 1),
            F.pad(torch.cat([context.mask, response.mask], 1), (latents.size(1), 0), value=True),
        )

    def _step(self, latents: Tensor, context: Tokens, prev_output_tokens: Tensor, incremental_state: dict) -> Tensor:
        """The state of the last word; all before it stand in the cache, or go there now."""
        read = self._joined(latents, context, prev_output_tokens)
        state = self.get_incremental_state(incremental_state, "body")
        cache = self.body.new_cache() if state is None else state["cache"]
        if seen := cache.get_seq_length():
            new = seen - latents.size(1)
            latents = latents[:, :0]
        else:
            new = 0
        states = self.body(latents, read.vectors[:, new:], read.positions[:, new:], read.mask, cache)
        self.set_incremental_state(incremental_state, "body", {"cache": cache})
        return states[:, -1:]

    def reorder_incremental_state(self, incremental_state, new_order: Tensor) -> None:
        """For beams."""
        state = self.get_incremental_state(incremental_state, "body")
        if state is not None:
            state["cache"].reorder_cache(new_order)

    def max_positions(self) -> int:
        """The longest response."""
        return self.longest


class DecodedReply:
    """A batch of responses waiting for Zp (..., B, D), each of which is one pass through the language model.

    similarity (B,): the fader's posterior, what training shows the decoder.
    """

    def __init__(
        self, decoder: PersonaDecoder, src_tokens: Tensor, prev_output_tokens: Tensor, target: Tensor, fader: Tensor
    ):
        self.decoder, self.prev_output_tokens, self.fader = decoder, prev_output_tokens, fader
        self.context = decoder.embedding.context(src_tokens, with_end=False)
        self.mask = target.ne(decoder.embedding.pad)
        self.words = target[self.mask]  # (N,)

    def logits(self, z: Tensor) -> Tensor:
        """(..., B, D) -> (..., N, V): pads are never projected to the vocabulary."""
        rows = [self.decoder.project(self._states(each)) for each in _one_by_one(z)]
        return torch.stack(rows).view(*z.shape[:-2], *rows[0].shape)

    def nll(self, z: Tensor, dtype: torch.dtype = torch.float32, words: int = 0) -> Tensor:
        """(..., B, D) -> (..., B) nats a sentence, unsmoothed, without gradient and without dropout, one latent at a time.

        dtype, words: precision and extent of the sum over the vocabulary, see `VocabularyScorer`.
        """
        score = VocabularyScorer(self.decoder.embedding.embed_tokens.whole_output(), self.words, dtype, words)
        training = self.decoder.training
        self.decoder.eval()
        try:
            with torch.no_grad():
                parts = [sum_by_sentence(score(self._states(each)), self.mask) for each in _one_by_one(z)]
        finally:
            self.decoder.train(training)
        return torch.stack(parts).view(z.shape[:-1])

    def _states(self, z: Tensor) -> Tensor:
        """(B, D) -> (N, D)"""
        latents = self.decoder.latents(z, self.fader)
        return self.decoder.states(latents, self.context, self.prev_output_tokens)[self.mask]


def _one_by_one(z: Tensor) -> Tensor:
    """(..., B, D) -> (K, B, D)"""
    return z.flatten(0, -3) if z.dim() > 2 else z.unsqueeze(0)
