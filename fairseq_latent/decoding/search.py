"""Decoding that fairseq lacks: sampling that no batch changes, top-k and top-p together, and words that are never said."""

import math
from collections.abc import Sequence

import torch
from fairseq.search import Sampling, Search
from torch import Tensor

from .seeded_words import SeededWords, renormalised


class TopKTopPSampling(Sampling):
    """Keep the k best words, then the smallest nucleus of them with probability p (Cho et al., 2022, use 4 and 0.8)."""

    def _sample_topp(self, lprobs: Tensor):
        if self.sampling_topk > 0:
            best, words = lprobs.topk(min(self.sampling_topk, lprobs.size(-1)), dim=-1)
            # exactly k, ties or not
            lprobs = renormalised(torch.full_like(lprobs, -math.inf).scatter(-1, words, best))
        return super()._sample_topp(lprobs)


class SeededSampling(SeededWords, Sampling):
    """As fairseq's generator takes searches."""


def restrict(search: Search, forbidden: Sequence[int], repetition_penalty: float = 1.0) -> None:
    """Let a search never choose some words, and choose those less that a hypothesis has already.

    Log probabilities of the latter are multiplied by the penalty (Keskar et al., 2019, apply it to scores before softmax).
    Sampling then samples from what is left, made probabilities again; beams keep their scores.
    """
    choose = search.step

    def step(number, lprobs: Tensor, scores, prev_output_tokens=None, original_batch_idxs=None):
        if repetition_penalty != 1 and number:
            said = prev_output_tokens[..., 1:].reshape(*lprobs.shape[:-1], -1)
            lprobs = lprobs.scatter(-1, said, lprobs.gather(-1, said) * repetition_penalty)
        lprobs[..., list(forbidden)] = -math.inf
        if isinstance(search, Sampling):
            lprobs = renormalised(lprobs)
        return choose(number, lprobs, scores, prev_output_tokens, original_batch_idxs)

    search.step = step


FREE = 3  # tokens of a response before a repeated bigram is forbidden (P²BOT; Liu et al., 2020)


def ban_bigrams(lprobs: Tensor, tokens: Tensor, generated: int) -> Tensor:
    """(..., V), (..., t) -> (..., V): -inf for what would repeat a bigram of the tokens, once three were generated."""
    if generated < FREE or tokens.size(-1) < 2:
        return lprobs
    followed = tokens[..., :-1].eq(tokens[..., -1:]).nonzero(as_tuple=True)
    lprobs = lprobs.clone()
    lprobs[(*followed[:-1], tokens[..., 1:][followed])] = -math.inf
    return lprobs
