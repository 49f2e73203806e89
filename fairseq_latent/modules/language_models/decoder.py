"""A decoder that reads latents, a prompt and a response as one sequence, and responses that wait for a latent."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_latent.losses import sum_by_sentence
from fairseq_latent.selection import VocabularyScorer

from ..coders import StepwiseDecoder
from ..latents.persona import Tokens
from ..packed import Packing
from .body import LanguageModelBody
from .packed_attention import Layout


class LanguageModelDecoder(StepwiseDecoder):
    """A language model over (latents, prompt, response). A child says what it reads (`read`, `respond`).

    embedding: has `embed_tokens`, a word table, and `pad`. longest: tokens of a response.
    """

    def __init__(self, dictionary, embedding: nn.Module, body: LanguageModelBody, longest: int):
        super().__init__(dictionary)
        self.embedding, self.body, self.longest = embedding, body, longest

    def read(self, encoder_out: dict[str, list[Tensor]]) -> tuple[Tensor, Tokens]:
        """The latents (B, L, D) and the prompt of an encoder's output."""
        raise NotImplementedError

    def respond(self, prev_output_tokens: Tensor, start: Tensor) -> Tokens:
        """The response's inputs (B, T) at positions from `start` (B,) on."""
        raise NotImplementedError

    def forward(self, prev_output_tokens: Tensor, encoder_out=None, incremental_state=None, **kwargs):
        """(B, T) and an encoder output -> logits (B, T, V), or (B, 1, V) step by step."""
        latents, prompt = self.read(encoder_out)
        if incremental_state is None:
            states = self.states(latents, prompt, prev_output_tokens)
        else:
            states = self._step(latents, prompt, prev_output_tokens, incremental_state)
        return self.project(states), {"attn": [None]}

    def latents(self, z: Tensor, fader: Tensor | None) -> Tensor:
        """Latents (B, Z) -> vectors before the prompt (B, L, D); here none."""
        return self.embedding.embed_tokens.weight.new_zeros(len(z), 0, self.embedding.embed_tokens.embedding_dim)

    def states(self, latents: Tensor, prompt: Tokens, prev_output_tokens: Tensor) -> Tensor:
        """(B, L, D), (B, S), (B, T) -> (B, T, D): all words of the responses at once."""
        read = self.joined(latents.size(1), prompt, prev_output_tokens)
        return self.body(latents, read.vectors, read.positions, read.mask)[:, -prev_output_tokens.size(1) :]

    def project(self, states: Tensor) -> Tensor:
        """(..., D) -> logits (..., V), by the word table."""
        return self.embedding.embed_tokens.project(states)

    def joined(self, num_latents: int, prompt: Tokens, prev_output_tokens: Tensor) -> Tokens:
        """Prompt and response as one sequence; its mask covers the latents too."""
        response = self.respond(prev_output_tokens, prompt.mask.sum(1))
        return Tokens(
            torch.cat([prompt.vectors, response.vectors], 1),
            torch.cat([prompt.positions, response.positions], 1),
            F.pad(torch.cat([prompt.mask, response.mask], 1), (num_latents, 0), value=True),
        )

    @torch.no_grad()
    def replies_nll(self, encoder_out: dict[str, list[Tensor]], previous: Tensor, target: Tensor) -> Tensor:
        """Inputs and tokens (B, C, R) of C replies to each context -> (B, C) nats, unsmoothed; 0 where there is none.

        Replies are branches of one sequence: a context is computed once.
        """
        latents, prompt = self.read(encoder_out)
        size, count, length = target.shape
        read = self.respond(previous.flatten(0, 1), prompt.mask.sum(1).repeat_interleave(count))
        parts = (read.vectors, read.positions, read.mask)
        vectors, positions, mask = (each.unflatten(0, (size, count)).flatten(1, 2) for each in parts)
        number = torch.arange(1, count + 1, device=mask.device).repeat_interleave(length).expand(size, -1)
        before = prompt.mask.size(1)
        states = self.body(
            latents,
            torch.cat([prompt.vectors, vectors], 1),
            torch.cat([prompt.positions, positions], 1),
            F.pad(torch.cat([prompt.mask, mask], 1), (latents.size(1), 0), value=True),
            branches=F.pad(number, (latents.size(1) + before, 0), value=0),
        )[:, before:]
        there = target.ne(self.embedding.pad)
        score = VocabularyScorer(self.embedding.embed_tokens.whole_output(), target[there])
        nll = score(states[there.flatten(1)])
        return sum_by_sentence(nll, there.flatten(0, 1)).view(size, count)

    def _step(self, latents: Tensor, prompt: Tokens, prev_output_tokens: Tensor, incremental_state: dict) -> Tensor:
        """The state of the last word; all before it stand in the cache, or go there now."""
        read = self.joined(latents.size(1), prompt, prev_output_tokens)
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
    """Responses to `prompt` waiting for a latent (..., B, Z), each of which is one pass through the language model.

    fader (B, D): that of the persona model's posterior, what training shows the decoder; None: a model without.
    """

    def __init__(
        self,
        decoder: LanguageModelDecoder,
        prompt: Tokens,
        prev_output_tokens: Tensor,
        target: Tensor,
        fader: Tensor | None = None,
    ):
        self.decoder, self.prompt, self.prev_output_tokens, self.fader = decoder, prompt, prev_output_tokens, fader
        self.packing = Packing(target.ne(decoder.embedding.pad))
        self.words = self.packing.words(target)  # (N,)
        self.read = decoder.joined(decoder.body.num_latents, prompt, prev_output_tokens)  # what all latents share
        self.layout = Layout.of(self.read.mask)

    def logits(self, z: Tensor) -> Tensor:
        """(..., B, D) -> (..., N, V): pads are never projected to the vocabulary."""
        rows = [self.decoder.project(self._states(each)) for each in _one_by_one(z)]
        return torch.stack(rows).view(*z.shape[:-2], *rows[0].shape)

    def nll(self, z: Tensor, dtype: torch.dtype = torch.float32, words: int = 0) -> Tensor:
        """(..., B, D) -> (..., B) nats per sentence, unsmoothed, without gradient and without dropout, one latent at a time.

        dtype, words: precision and extent of the sum over the vocabulary, see `VocabularyScorer`.
        """
        score = VocabularyScorer(self.decoder.embedding.embed_tokens.whole_output(), self.words, dtype, words)
        training = self.decoder.training
        self.decoder.eval()
        try:
            nll = score.of_latents(
                _one_by_one(z).unsqueeze(1).unbind(), lambda each: self._states(each[0]).unsqueeze(0), self.packing.mask
            )
        finally:
            self.decoder.train(training)
        return nll.view(z.shape[:-1])

    def _states(self, z: Tensor) -> Tensor:
        """(B, D) -> (N, D)"""
        states = self._whole(z)[:, -self.prev_output_tokens.size(1) :]
        return self.packing.real(self.packing.pack(states))

    def _whole(self, z: Tensor) -> Tensor:
        """(B, D) -> (B, S + T, D): states of prompts and responses"""
        latents, read = self.decoder.latents(z, self.fader), self.read
        return self.decoder.body(latents, read.vectors, read.positions, read.mask, layout=self.layout)


def _one_by_one(z: Tensor) -> Tensor:
    """(..., B, D) -> (K, B, D)"""
    return z.flatten(0, -3) if z.dim() > 2 else z.unsqueeze(0)
