"""TransferTransfo's network (Wolf et al., 2019): a language model over persona, history and reply, and a head that chooses.

Candidates of one prompt are branches of one sequence: the prompt is computed once, each candidate sees it and itself.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_latent.losses import sum_by_sentence
from fairseq_latent.selection import VocabularyScorer

from ..language_models.body import LanguageModelBody
from ..language_models.decoder import LanguageModelDecoder
from ..latents.persona import Tokens
from ..packed import Packing
from .embedding import PromptEmbedding


class ChoiceHead(nn.Module):
    """A state (..., D) at the end of a candidate -> its score (...): dropout and a linear map, of N(0, 0.02) and bias 0."""

    def __init__(self, embed_dim: int, dropout: float):
        super().__init__()
        self.dropout, self.score = nn.Dropout(dropout), nn.Linear(embed_dim, 1)
        nn.init.normal_(self.score.weight, std=0.02)
        nn.init.zeros_(self.score.bias)

    def forward(self, states: Tensor) -> Tensor:
        """(..., D) -> (...)"""
        return self.score(self.dropout(states)).squeeze(-1)


@dataclass(frozen=True)
class Branches:
    """Candidates (B, C, R) read after their prompt.

    states (B, C, 1 + R, D): the first is that of the token before the reply. tokens (B, C, R) with their ends.
    """

    states: Tensor
    tokens: Tensor
    pad: int

    @property
    def lengths(self) -> Tensor:
        """(B, C) tokens, 0 where there is no candidate."""
        return self.tokens.ne(self.pad).sum(-1)

    def ends(self) -> Tensor:
        """(B, C, D): states at the candidates' last tokens."""
        last = self.lengths[..., None, None].expand(-1, -1, 1, self.states.size(-1))
        return self.states.gather(2, last).squeeze(2)

    def before(self, candidate: int) -> Tensor:
        """(N, D): states that the tokens of a candidate are predicted from, packed."""
        packing = Packing(self.tokens[:, candidate].ne(self.pad))
        return packing.real(packing.pack(self.states[:, candidate, :-1]))


class SpeakerDecoder(LanguageModelDecoder):
    """A language model over a prompt and the reply behind `opening`, a special token, all of one token type."""

    embedding: PromptEmbedding

    def __init__(
        self,
        dictionary,
        embedding: PromptEmbedding,
        body: LanguageModelBody,
        longest: int,
        opening: int,
        reply_type: int | None,
    ):
        super().__init__(dictionary, embedding, body, longest)
        self.opening, self.reply_type = opening, reply_type

    def read(self, encoder_out: dict[str, list[Tensor]]) -> tuple[Tensor, Tokens]:
        """No latents, and the prompt."""
        (prompt,), types = encoder_out["prompt"], encoder_out["prompt_types"]
        return self.latents(prompt, None), self.embedding.prompt(prompt, types[0] if types else None)

    def respond(self, prev_output_tokens: Tensor, start: Tensor) -> Tokens:
        """(B, T) at positions from `start` (B,) on; fairseq's first token, </s>, becomes the opening."""
        opening = torch.full_like(prev_output_tokens[:, :1], self.opening)
        return self.embedding.reply(torch.cat([opening, prev_output_tokens[:, 1:]], 1), start, self.reply_type)

    def branches(self, prompt: Tokens, candidates: Tensor) -> Branches:
        """Candidates (B, C, R) of reply tokens with their ends, padded on the right; the prompt is computed once."""
        size, count, length = candidates.shape
        pad = self.embedding.pad
        there = candidates[..., :1].ne(pad)
        opening = torch.full_like(candidates[..., :1], self.opening).masked_fill(~there, pad)
        inputs = torch.cat([opening, candidates], -1).flatten(0, 1)  # (B * C, 1 + R)
        start = prompt.mask.sum(1).repeat_interleave(count)
        read = self.embedding.reply(inputs, start, self.reply_type)
        parts = (read.vectors, read.positions, read.mask)
        vectors, positions, mask = (each.unflatten(0, (size, count)).flatten(1, 2) for each in parts)
        number = torch.arange(1, count + 1, device=mask.device).repeat_interleave(1 + length).expand(size, -1)
        branches = F.pad(number, (prompt.mask.size(1), 0), value=0)
        states = self.body(
            self.latents(candidates, None),
            torch.cat([prompt.vectors, vectors], 1),
            torch.cat([prompt.positions, positions], 1),
            torch.cat([prompt.mask, mask], 1),
            branches=branches,
        )
        return Branches(states[:, prompt.mask.size(1) :].unflatten(1, (count, 1 + length)), candidates, pad)

    @torch.no_grad()
    def nll(self, branches: Branches) -> Tensor:
        """(B, C) nats of every candidate, unsmoothed; 0 where there is none."""
        mask = branches.tokens.ne(self.embedding.pad)
        score = VocabularyScorer(self.embedding.embed_tokens.whole_output(), branches.tokens[mask])
        nll = score(branches.states[:, :, :-1][mask])
        return sum_by_sentence(nll, mask.flatten(0, 1)).view(mask.shape[:2])


def side_by_side(candidates: Tensor | None, replies: Tensor, pad: int) -> Tensor:
    """(B, C, R) or None, (B, T) -> (B, C + 1, max(R, T)): the replies come last."""
    replies = replies.unsqueeze(1)
    if candidates is None:
        return replies
    length = max(candidates.size(-1), replies.size(-1))
    return torch.cat([F.pad(each, (0, length - each.size(-1)), value=pad) for each in (candidates, replies)], 1)
