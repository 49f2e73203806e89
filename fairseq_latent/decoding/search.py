"""Decoding that fairseq lacks: sampling that no batch changes, top-k and top-p together, and several latents per context."""

import hashlib
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from fairseq.search import Sampling, Search
from torch import Tensor

# SplitMix64 (Steele et al., 2014), as signed 64-bit integers: torch multiplies them modulo 2^64 on every device alike
GOLDEN = 0x9E3779B97F4A7C15 - 2**64
MULTIPLIERS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)
NOISE_ELEMENTS = 2**20  # numbers made at once: some megabytes, however large batch and vocabulary are
OF_WORDS = 0x776F726473  # another stream than the latent's


class TopKTopPSampling(Sampling):
    """Keep the k best words, then the smallest nucleus of them with probability p (Cho et al., 2022, use 4 and 0.8)."""

    def _sample_topp(self, lprobs: Tensor):
        if self.sampling_topk > 0:
            best, words = lprobs.topk(min(self.sampling_topk, lprobs.size(-1)), dim=-1)
            # exactly k, ties or not
            lprobs = renormalised(torch.full_like(lprobs, -math.inf).scatter(-1, words, best))
        return super()._sample_topp(lprobs)


class SeededSampling(Sampling):
    """Samples each word with noise of the example's own, from (seed, example, latent, hypothesis, step), in any batch.

    Each word has a number of its own (Gumbel-max; Yellott, 1977): what a batch's rounding does to one word, or to the edge
    of top-k and top-p, changes a text only where that word is sampled. Scores are fairseq's: log probabilities before top-k
    and top-p; where both are given, among the k best.
    """

    def __init__(self, tgt_dict, sampling_topk: int = -1, sampling_topp: float = -1.0):
        super().__init__(tgt_dict, sampling_topk, sampling_topp)
        self.streams: Tensor | None = None  # (B, beam)

    def begin(self, noise_seed: Tensor, num_latents: int, beam_size: int) -> None:
        """A stream for each hypothesis of the next batch; noise_seed (B * N,) holds every example's N times in a row."""
        latents = torch.arange(len(noise_seed), device=noise_seed.device) % num_latents
        of_latents = splitmix(noise_seed ^ OF_WORDS, latents)
        self.streams = splitmix(of_latents.unsqueeze(1), torch.arange(beam_size, device=noise_seed.device))

    def step(self, step, lprobs: Tensor, scores, prev_output_tokens=None, original_batch_idxs=None):
        """(B', beam, V) of the sentences `original_batch_idxs` (B',) of the batch -> scores, words, beams (B', beam)."""
        if self.streams is None:
            raise ValueError("SeededSampling.begin gives the hypotheses of a batch their streams")
        size, beam_size, _ = lprobs.size()
        if step == 0:  # all hypotheses are equal
            lprobs = lprobs[:, :1]
        lprobs, words = self._kept(lprobs)
        lprobs, words = lprobs.expand(size, beam_size, -1), words.expand(size, beam_size, -1)
        numbers = splitmix(self.streams[original_batch_idxs], torch.tensor(step)).unsqueeze(-1)
        rows = max(1, NOISE_ELEMENTS // (beam_size * lprobs.size(-1)))
        parts = zip(lprobs.split(rows), numbers.split(rows), words.split(rows), strict=True)
        places = torch.cat([(each + gumbel(splitmix(*of))).argmax(-1, keepdim=True) for each, *of in parts])
        scored, chosen = lprobs.gather(-1, places).squeeze(-1), words.gather(-1, places).squeeze(-1)
        beams = torch.arange(beam_size, device=lprobs.device).repeat(size, 1)
        if step == 0:
            return scored, chosen, torch.zeros_like(beams)
        return scored + scores[:, :, step - 1], chosen, beams

    def _kept(self, lprobs: Tensor) -> tuple[Tensor, Tensor]:
        """(..., V) -> log probabilities (..., W) and words of top-k and top-p, or all of them."""
        topk, topp = self.sampling_topk > 0, self.sampling_topp > 0
        if not topk and not topp:
            return lprobs, torch.arange(lprobs.size(-1), device=lprobs.device)
        lprobs, words = lprobs.topk(min(self.sampling_topk, lprobs.size(-1)) if topk else lprobs.size(-1))
        if topp:
            lprobs = renormalised(lprobs) if topk else lprobs
            before = F.pad(lprobs.exp().cumsum(-1)[..., :-1], (1, 0))  # the word that crosses p belongs to it
            nucleus = before < self.sampling_topp
            nucleus[..., 0] = True  # a p of 1e-300 is 0 in float32
            width = int(nucleus.sum(-1).max())
            lprobs, words = lprobs.masked_fill(~nucleus, -math.inf)[..., :width], words[..., :width]
        return lprobs, words


def splitmix(streams: Tensor, places: Tensor) -> Tensor:
    """int64: the numbers at these places, from 0, of SplitMix64's streams, the same on every device; shapes broadcast."""
    state = streams + GOLDEN * (places + 1)
    for shift, multiplier in zip((30, 27), MULTIPLIERS, strict=True):
        state ^= _shifted(state, shift)
        state *= multiplier
    return state ^ _shifted(state, 31)


def gumbel(numbers: Tensor) -> Tensor:
    """int64 -> float32: standard Gumbel noise. The largest has the smallest share of (0, 1), which floats resolve best."""
    share = _shifted(numbers, 11).double().add_(0.5).mul_(2.0**-53).float().clamp_(max=1 - 2.0**-24)
    return share.neg_().log1p_().neg_().log_().neg_()


def _shifted(value: Tensor, places: int) -> Tensor:
    """To the right, with zeros from the left."""
    return (value >> places).bitwise_and_((1 << (64 - places)) - 1)


def renormalised(lprobs: Tensor) -> Tensor:
    """Probabilities again; where no word is possible none becomes so."""
    return lprobs.log_softmax(-1).nan_to_num(nan=-math.inf, neginf=-math.inf)


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
