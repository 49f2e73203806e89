"""Prompts that grow from turn to turn, read once each: keys and values stay, what is new is read."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .decoder import SpeakerDecoder

Choose = Callable[[Tensor, Tensor, int], Tensor]  # log-probabilities (B, V), tokens so far (B, t), t -> words (B,)


class PromptCache:
    """Of B prompts what a language model has read of them. All is computed without gradient, in evaluation mode."""

    def __init__(self, decoder: SpeakerDecoder):
        self.decoder, self.pad = decoder, decoder.embedding.pad
        self.device = decoder.embedding.embed_tokens.weight.device
        self.prompts: list[list[int]] = []
        self.cache = self.mask = None

    @torch.no_grad()
    def reply(self, prompts: Sequence[Sequence[int]], choose: Choose, longest: int, end: int) -> tuple[list, Tensor]:
        """B prompts -> the replies to them without their end, and whether each has ended (B,); at most `longest` tokens.

        Prompts that begin with those of the last time are read from there on, others anew. Replies are not kept: in a
        later prompt they stand otherwise, without the token that opens a reply.
        """
        training = self.decoder.training
        self.decoder.eval()
        try:
            columns, states = self._read(prompts)
            return self._say(columns, states, choose, longest, end)
        finally:
            self.decoder.train(training)

    def _read(self, prompts: Sequence[Sequence[int]]) -> tuple[int, Tensor]:
        """Columns of the cache that the prompts fill, and the states (B, D) of what opens the replies, read behind them."""
        known = [len(prompt) for prompt in self.prompts]
        grown = len(known) == len(prompts) and all(
            list(prompt[:length]) == before for prompt, before, length in zip(prompts, self.prompts, known, strict=True)
        )
        if not grown:
            self.cache, known = self.decoder.body.new_cache(), [0] * len(prompts)
            self.mask = torch.zeros(len(prompts), 0, dtype=torch.bool, device=self.device)
        fresh = [list(prompt[length:]) for prompt, length in zip(prompts, known, strict=True)]
        self.prompts = [list(prompt) for prompt in prompts]
        width = max(map(len, fresh))
        rows = [[self.pad] * (width - len(row)) + row + [self.decoder.opening] for row in fresh]
        states = self._feed(torch.tensor(rows, device=self.device))
        return self.mask.size(1) - 1, states[:, -1]

    def _feed(self, tokens: Tensor) -> Tensor:
        """(B, n), padded on the left -> states (B, n, D)"""
        mask = tokens.ne(self.pad)
        positions = (self.mask.sum(1, keepdim=True) + mask.cumsum(1) - 1).clamp(min=0)
        self.mask = torch.cat([self.mask, mask], 1)
        embedding = self.decoder.embedding
        vectors = embedding.vectors(tokens)
        return self.decoder.body(self.decoder.latents(tokens, None), vectors, positions, self.mask, self.cache)

    def _say(self, columns: int, states: Tensor, choose: Choose, longest: int, end: int) -> tuple[list, Tensor]:
        size = len(self.prompts)
        said = torch.full((size, 0), self.pad, device=self.device)
        ended = torch.zeros(size, dtype=torch.bool, device=self.device)
        for step in range(longest):
            lprobs = self.decoder.project(states).float().log_softmax(-1)
            word = choose(lprobs, said, step).masked_fill(ended, self.pad)
            ended = ended | word.eq(end)
            said = torch.cat([said, word.unsqueeze(1)], 1)
            if ended.all() or step + 1 == longest:
                break
            states = self._feed(word.unsqueeze(1).masked_fill(ended.unsqueeze(1), self.pad))[:, -1]
        self.cache.crop(columns - self.mask.size(1))
        self.mask = self.mask[:, :columns]
        return [[word for word in row if word not in (self.pad, end)] for row in said.tolist()], ended
