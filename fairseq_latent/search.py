"""Decoding that fairseq lacks: top-k and top-p together, and several latents a context."""

import hashlib
import math
from collections.abc import Sequence

import torch
from fairseq.search import Sampling, Search
from torch import Tensor


class TopKTopPSampling(Sampling):
    """Keep the k best words, then the smallest nucleus of them with probability p (Cho et al., 2022, use 4 and 0.8)."""

    def _sample_topp(self, lprobs: Tensor):
        if self.sampling_topk > 0:
            best, words = lprobs.topk(min(self.sampling_topk, lprobs.size(-1)), dim=-1)
            # exactly k, ties or not
            lprobs = torch.full_like(lprobs, -math.inf).scatter(-1, words, best).log_softmax(-1)
        return super()._sample_topp(lprobs)


def restrict(search: Search, forbidden: Sequence[int], repetition_penalty: float = 1.0) -> None:
    """Let a search never choose some words, and choose those less that a hypothesis has already.

    Log probabilities of the latter are multiplied by the penalty (Keskar et al., 2019, apply it to scores before softmax).
    Sampling then draws from what is left, made probabilities again; beams keep their scores.
    """
    choose = search.step

    def step(number, lprobs: Tensor, scores, prev_output_tokens=None, original_batch_idxs=None):
        if repetition_penalty != 1 and number:
            said = prev_output_tokens[..., 1:].reshape(*lprobs.shape[:-1], -1)
            lprobs = lprobs.scatter(-1, said, lprobs.gather(-1, said) * repetition_penalty)
        lprobs[..., list(forbidden)] = -math.inf
        if isinstance(search, Sampling):
            lprobs = lprobs.log_softmax(-1)
        return choose(number, lprobs, scores, prev_output_tokens, original_batch_idxs)

    search.step = step


def content_seeds(tokens: Tensor, pad: int, seed: int) -> Tensor:
    """(B, S) -> (B,): a noise seed for each context from its words, where there is no example id (fairseq-interactive)."""
    rows = [row[row.ne(pad)].cpu().numpy().astype("<i8").tobytes() for row in tokens]
    digests = [hashlib.blake2b(row, digest_size=8, key=str(seed).encode()).digest() for row in rows]
    return torch.tensor([int.from_bytes(digest, "little") >> 1 for digest in digests], device=tokens.device)


def expand_contexts(net_input: dict, num_latents: int) -> dict:
    """Repeat every context N times in a row, so that beam search sees N sentences; the encoder encodes each once."""
    expanded = {
        name: value.repeat_interleave(num_latents, dim=0) if torch.is_tensor(value) else value
        for name, value in net_input.items()
    }
    return {**expanded, "num_latents": num_latents}


def regroup(hypotheses: list[list[dict]], num_latents: int, nbest: int) -> list[list[dict]]:
    """B * N beams -> B lists: the `nbest` hypotheses of the first latent, then those of the second, ..."""
    best = [beam[:nbest] for beam in hypotheses]
    return [sum(best[start : start + num_latents], []) for start in range(0, len(best), num_latents)]
