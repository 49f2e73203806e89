"""Words sampled with noise of each example's own, so that no batch changes a text; torch alone."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# SplitMix64 (Steele et al., 2014), as signed 64-bit integers: torch multiplies them modulo 2^64 on every device alike
GOLDEN = 0x9E3779B97F4A7C15 - 2**64
MULTIPLIERS = (0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64)
NOISE_ELEMENTS = 2**20  # numbers made at once: some megabytes, however large batch and vocabulary are
OF_WORDS = 0x776F726473  # another stream than the latent's


class SeededWords:
    """Samples each word with noise of the example's own, from (seed, example, latent, hypothesis, step), in any batch.

    Each word has a number of its own (Gumbel-max; Yellott, 1977): what a batch's rounding does to one word, or to the edge
    of top-k and top-p, changes a text only where that word is sampled. Scores are fairseq's: log probabilities before top-k
    and top-p; where both are given, among the k best.
    """

    sampling_topk: int
    sampling_topp: float
    streams: Tensor | None = None  # (B, beam)

    def begin(self, noise_seed: Tensor, num_latents: int, beam_size: int) -> None:
        """A stream for each hypothesis of the next batch; noise_seed (B * N,) holds every example's N times in a row."""
        latents = torch.arange(len(noise_seed), device=noise_seed.device) % num_latents
        of_latents = splitmix(noise_seed ^ OF_WORDS, latents)
        self.streams = splitmix(of_latents.unsqueeze(1), torch.arange(beam_size, device=noise_seed.device))

    def step(self, step, lprobs: Tensor, scores, prev_output_tokens=None, original_batch_idxs=None):
        """(B', beam, V) of the sentences `original_batch_idxs` (B',) of the batch -> scores, words, beams (B', beam)."""
        if self.streams is None:
            raise ValueError(f"{type(self).__name__}.begin gives the hypotheses of a batch their streams")
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
