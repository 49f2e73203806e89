"""Which of K latent samples a training step keeps: the best one (speculative sampling, Sato et al., 2021), one by its
importance weight (Burda et al., 2016), or their mean.

"Speculative sampling" here is best-of-K *training* of the latent, never draft-model decoding. The choice is made on the
noise, without gradient; one differentiable pass with the chosen noise follows. Memory does not grow with K but for noise and
latents themselves, K x B x Z floats each.
"""

import math
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from .gaussian import DiagonalGaussian
from .losses import sum_by_sentence

TILE = {"cpu": (512, 1024), "cuda": (4096, 8192)}  # rows and words of logits held at once: what a cache, a GPU takes
ROUNDED = 64  # rows

Score = Callable[[Tensor], Tensor]  # latents (K, B, Z) -> what they cost (K, B), nats


@runtime_checkable
class DecodedTarget(Protocol):
    """The target of a batch, decoded as far as no latent is needed: the third result of a model's `distributions`."""

    @property
    def words(self) -> Tensor:
        """(N,): the target tokens without pads, example by example."""

    def logits(self, z: Tensor) -> Tensor:
        """(..., B, Z) -> (..., N, V), with gradient."""

    def nll(self, z: Tensor, dtype: torch.dtype = torch.float32, words: int = 0) -> Tensor:
        """(..., B, Z) -> (..., B) nats per response, unsmoothed, without gradient; see `VocabularyScorer`."""


def choose_noise(
    posterior: DiagonalGaussian, num_latents: int, reduce: str, score: Score, noise: Sequence[Tensor] | None = None
) -> tuple[Tensor, Tensor | None]:
    """Noise (B, Z) for the one differentiable pass, and the index (B,) of the kept sample where one was chosen.

    reduce="best" keeps each example's sample of least `score`. "importance" keeps one with probability proportional to
    exp(-score), its importance weight where `score` is -log p(y|x, z) p(z|x) / q(z|x, y): in expectation the gradient of the
    kept one is that of the importance-weighted bound (Burda et al., 2016, eq. 14; arXiv 1509.00519). "mean" averages the K
    samples in latent space, which is one pass with their mean noise ("Monte Carlo sampling", Kruengkrai, 2019). K = 1 never
    calls `score`: it is the plain ELBO, with the same random numbers. `noise`: K tensors (B, Z) to choose from, sampled here
    where not given. Of a categorical posterior with K codes or fewer each is scored once, and the best is exact.
    """
    noise = posterior.noise(num_latents) if noise is None else torch.stack(list(noise))
    if num_latents == 1:
        return noise[0], None
    if reduce == "mean":
        return noise.mean(0), None
    if reduce not in ("best", "importance"):
        raise ValueError(f"reduce={reduce} is neither best, importance nor mean")
    with torch.no_grad():
        scores = score(posterior.rsample(noise))
        if reduce == "importance":  # -log of an exponential variable is Gumbel noise, whose argmax samples a softmax
            scores = scores + torch.empty_like(scores).exponential_().log()
        chosen = scores.argmin(0)
    return noise[chosen, torch.arange(noise.size(1), device=noise.device)], chosen


class VocabularyScorer:
    """Cross-entropy of softmax(hidden @ weight.T + bias) for N target words, without gradient and without ever N x V logits.

    The matrix products run in `dtype`, whatever autocast says; normaliser and target score are float32. What all latents
    share, the weights in that precision and the targets' rows, is made once.

    `words` > 0 sums the normaliser over that many words in place of all V: the target, the first ids (a fairseq dictionary
    begins with the frequent words) and, weighted up, a random sample of the others, sampled anew for every scorer and the
    same for all latents, whose order it hardly changes (sampled softmax: Jean et al., 2015).
    """

    def __init__(
        self,
        weight: Tensor,
        target: Tensor,
        dtype: torch.dtype = torch.float32,
        words: int = 0,
        bias: Tensor | None = None,
    ):
        weight = weight.detach()
        self.biased = bias is not None
        if self.biased:  # as the weight of a further unit, which is always 1
            weight = torch.cat([weight, bias.detach().unsqueeze(1)], dim=1)
        self.rows, width = TILE["cpu" if weight.device.type == "cpu" else "cuda"]
        self.of_target = weight[target].float()  # (N, H)
        self.place = None  # (N,): the target's place in the sample; -1: in the head, whose sum has it; -2: in neither
        head = max(1, words // 2) if 0 < words < weight.size(0) else weight.size(0)
        self.tiles = [
            (tile.T, 1.0, -1) for tile in weight[:head].to(dtype).split(width)
        ]  # (H, W), what a word counts, start
        if head < weight.size(0):
            rest = weight.size(0) - head
            sampled = head + torch.randperm(rest, device=weight.device)[: max(1, words - head)]
            places = torch.full((weight.size(0),), -2, device=weight.device)
            places[:head] = -1
            places[sampled] = torch.arange(len(sampled), device=weight.device)
            self.place = places[target]
            starts = range(0, len(sampled), width)
            tiles = weight[sampled].to(dtype).split(width)
            self.tiles += [(tile.T, rest / len(sampled), start) for tile, start in zip(tiles, starts, strict=True)]

    @torch.no_grad()
    def __call__(self, hidden: Tensor) -> Tensor:
        """(..., N, H) -> (..., N) nats"""
        nll = self._nll(hidden, self._normaliser)
        return nll if nll.isfinite().all() else self._nll(hidden, self._safe_normaliser)

    @torch.no_grad()
    def of_latents(self, parts: Sequence[Tensor], hidden: Callable[[Tensor], Tensor], mask: Tensor) -> Tensor:
        """Latents (k, B, Z), (k', B, Z), ...; `hidden` of one part is (k, N, H); mask (B, T) -> (K, B) nats per sentence.

        Whether a logit was too large is asked once, of all latents: each question makes the host wait for a GPU.
        """

        def added(normaliser: Callable[..., Tensor]) -> Tensor:
            return torch.cat([sum_by_sentence(self._nll(hidden(part), normaliser), mask) for part in parts])

        nll = added(self._normaliser)
        return nll if nll.isfinite().all() else added(self._safe_normaliser)

    def _nll(self, hidden: Tensor, normaliser_of: Callable[..., Tensor]) -> Tensor:
        """(..., N, H) -> (..., N) nats"""
        with torch.autocast(hidden.device.type, enabled=False):
            if self.biased:
                hidden = F.pad(hidden, (0, 1), value=1.0)
            target_score = torch.einsum("...nh,nh->...n", hidden.float(), self.of_target)
            columns = [hidden.to(self.tiles[0][0].dtype).flatten(0, -2), target_score.flatten()]
            if self.place is not None:
                columns.append(self.place.expand_as(target_score).flatten())
            # a round number of rows: libraries compile and keep a kernel for every shape they meet
            columns = [F.pad(column, (0, 0) * (column.dim() - 1) + (0, -len(column) % ROUNDED)) for column in columns]
            parts = list(zip(*(column.split(self.rows) for column in columns), strict=True))
            normaliser = torch.cat([normaliser_of(*part) for part in parts])
        return normaliser[: target_score.numel()].view_as(target_score) - target_score

    def _normaliser(self, hidden: Tensor, target_score: Tensor, place: Tensor | None = None) -> Tensor:
        """(R, H) -> (R,): log sum exp, relative to the largest logit of the first tile.

        Taken off within the matrix product, before it is rounded: where the precision is low, the likely words keep most.
        """
        logits = hidden @ self.tiles[0][0]
        largest = logits.amax(-1, keepdim=True)
        total = (logits - largest).exp_().sum(-1, dtype=torch.float32)
        for tile, factor, start in self.tiles[1:]:
            values = torch.addmm(-largest, hidden, tile).exp_()
            summed = values.sum(-1, dtype=torch.float32)
            if start >= 0:  # of the sample: the target counts once, below
                column = (place - start).clamp(0, tile.size(1) - 1).unsqueeze(-1)
                inside = (place >= start) & (place < start + tile.size(1))
                summed = (summed - inside * values.gather(-1, column).squeeze(-1).float()).clamp_(min=0)
            total += factor * summed
        largest = largest.squeeze(-1).float()
        if place is not None:
            total += (place != -1) * (target_score - largest).exp()
        return total.log() + largest

    def _safe_normaliser(self, hidden: Tensor, target_score: Tensor, place: Tensor | None = None) -> Tensor:
        """The same where some logit is larger by 88 and more than those of the first tile."""
        parts = []
        for tile, factor, start in self.tiles:
            logits = (hidden @ tile).float()
            if start >= 0:
                inside = ((place >= start) & (place < start + tile.size(1))).nonzero().squeeze(-1)
                logits[inside, place[inside] - start] = -math.inf
            parts.append(logits.logsumexp(-1) + math.log(factor))
        if place is not None:
            parts.append(target_score.masked_fill(place == -1, -math.inf))
        return torch.stack(parts).logsumexp(0)
