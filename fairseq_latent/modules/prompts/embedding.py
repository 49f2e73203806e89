"""Vectors of prompts and replies: words, special tokens that no response has, token types."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_latent.errors import InputError

from ..language_models.word_table import WordTable
from ..latents.persona import Tokens


class PromptEmbedding(nn.Module):
    """Embeds token ids below V by the word table, and the ids V, V + 1, ... by `specials` rows of its own, of N(0, 0.02).

    A token type is an id as well: its vector is added to that of the token (Wolf et al., 2019). The special rows are
    trained, whatever of the word table is, and no logit belongs to them. `longest`: positions of prompt and reply.
    """

    def __init__(self, embed_tokens: WordTable, specials: int, longest: int, dictionary):
        super().__init__()
        self.embed_tokens, self.longest = embed_tokens, longest
        self.words, self.pad = len(dictionary), dictionary.pad()
        self.specials = nn.Embedding(specials, embed_tokens.embedding_dim) if specials else None
        if self.specials is not None:
            nn.init.normal_(self.specials.weight, std=0.02)

    def vectors(self, tokens: Tensor, types: Tensor | None = None) -> Tensor:
        """Ids (...), types (...) -> (..., D)"""
        found = self._rows(tokens)
        return found if types is None else found + self._rows(types)

    def prompt(self, tokens: Tensor, types: Tensor | None = None) -> Tokens:
        """(B, L), padded on either side -> at positions from 0 on."""
        if tokens.size(1) > self.longest:
            raise InputError(
                f"{tokens.size(1)} tokens before the reply, --positions of the model are {self.longest}; remedy: fewer"
            )
        mask = tokens.ne(self.pad)
        return Tokens(self.vectors(tokens, types), (mask.cumsum(1) - 1).clamp(min=0), mask)

    def reply(self, tokens: Tensor, start: Tensor, reply_type: int | None = None) -> Tokens:
        """(B, T), padded on the right, at positions from `start` (B,) on, all of one type."""
        positions = start.unsqueeze(1) + torch.arange(tokens.size(1), device=tokens.device)
        types = None if reply_type is None else torch.full_like(tokens, reply_type)
        vectors = self.vectors(tokens, types)
        return Tokens(vectors, positions.clamp(max=self.longest - 1), tokens.ne(self.pad))

    def _rows(self, tokens: Tensor) -> Tensor:
        if self.specials is None:
            return self.embed_tokens(tokens)
        special = tokens.ge(self.words)
        words = self.embed_tokens(tokens.masked_fill(special, self.pad))
        rows = F.embedding((tokens - self.words).clamp(min=0), self.specials.weight)
        return torch.where(special.unsqueeze(-1), rows, words)
