"""DialoGPT's form of a dialogue (Zhang et al., 2020): turns and the response, the end of a text after each of them."""

import torch
from torch import Tensor

from fairseq_latent.losses import sum_by_sentence, token_nll

from ..latents.persona import Tokens
from ..packed import Packing
from ..prompts.embedding import PromptEmbedding
from .body import LanguageModelBody
from .decoder import DecodedReply, LanguageModelDecoder


class TurnsDecoder(LanguageModelDecoder):
    """A language model over u1 </s> u2 </s> ... </s> response; the end of the context is the response's first input."""

    embedding: PromptEmbedding

    def __init__(self, dictionary, embedding: PromptEmbedding, body: LanguageModelBody, longest: int, end_of_turn: int):
        super().__init__(dictionary, embedding, body, longest)
        self.end_of_turn, self.eos = end_of_turn, dictionary.eos()

    def turns(self, src_tokens: Tensor) -> Tensor:
        """(B, S) u1 <eot> u2 ... </s> -> </s> in place of every <eot>."""
        return src_tokens.masked_fill(src_tokens.eq(self.end_of_turn), self.eos)

    def prompt(self, src_tokens: Tensor) -> Tokens:
        """(B, S), padded on either side -> the turns without the last one's end."""
        inner = src_tokens.masked_fill(src_tokens.eq(self.eos), self.embedding.pad)
        return self.embedding.prompt(self.turns(inner))

    def read(self, encoder_out: dict[str, list[Tensor]]) -> tuple[Tensor, Tokens]:
        """No latents, and the turns."""
        src_tokens = encoder_out["src_tokens"][0]
        return self.latents(src_tokens, None), self.prompt(src_tokens)

    def respond(self, prev_output_tokens: Tensor, start: Tensor) -> Tokens:
        """(B, T) at positions from `start` (B,) on."""
        return self.embedding.reply(prev_output_tokens, start)


class DecodedTurns(DecodedReply):
    """Responses and the turns before them; one pass through the language model serves both."""

    decoder: TurnsDecoder

    def __init__(self, decoder: TurnsDecoder, src_tokens: Tensor, prev_output_tokens: Tensor, target: Tensor):
        super().__init__(decoder, decoder.prompt(src_tokens), prev_output_tokens, target)
        self.labels, self.scored = scored_turns(decoder.turns(src_tokens), self.prompt.mask, decoder.eos)
        self.of_turns: Tensor | None = None  # states (M, D) that the scored tokens of the turns are predicted from

    def _states(self, z: Tensor) -> Tensor:
        states = self._whole(z)
        length = self.prompt.mask.size(1)
        scored = Packing(self.scored, len(self.labels))
        self.of_turns = scored.real(scored.pack(states[:, :length]))
        return self.packing.real(self.packing.pack(states[:, length:]))

    def turns_nll(self) -> Tensor:
        """(B,) nats, unsmoothed: all tokens of the turns after the first one with their ends; after `logits`."""
        nll = token_nll(self.decoder.project(self.of_turns), self.labels)[1]
        return sum_by_sentence(nll, self.scored)


def scored_turns(turns: Tensor, inner: Tensor, eos: int) -> tuple[Tensor, Tensor]:
    """(B, S) u1 </s> u2 </s>, inner (B, S): false at pads and at the last end -> next tokens (M,), where they are predicted.

    The end of the first turn predicts the second turn's first token, as in DialoGPT; the first turn itself is not scored.
    """
    ended = (turns.eq(eos) & inner).cumsum(1).gt(0)
    scored = ended & inner
    following = torch.cat([turns[:, 1:], turns.new_full((len(turns), 1), eos)], dim=1)
    return following[scored], scored
