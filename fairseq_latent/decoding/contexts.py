"""Contexts as decoding takes them: their noise seeds, several latents of each, and no more turns than fit; torch alone."""

import hashlib

import numpy as np
import torch
from torch import Tensor


def example_seeds(ids: Tensor, seed: int) -> Tensor:
    """(B,) -> (B,): a 63-bit seed from (seed, example id)."""
    states = [np.random.SeedSequence([seed, example]).generate_state(1, np.uint64)[0] for example in ids.tolist()]
    return torch.tensor([int(state) >> 1 for state in states])


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


def newest_turns(tokens: Tensor, longest: int, end_of_turn: int) -> Tensor:
    """(S,) u1 <eot> u2 ... </s> -> at most `longest` of the last tokens, of whole turns where one at least fits."""
    if len(tokens) <= longest:
        return tokens
    kept = tokens[-longest:]
    if tokens[-longest - 1] == end_of_turn:
        return kept
    starts = kept[:-1].eq(end_of_turn).nonzero() + 1
    return kept[int(starts[0]) :] if len(starts) and starts[0] < longest - 1 else kept
