"""Which of K latent samples a training step keeps: the best one (speculative sampling, Sato et al., 2021) or their mean.

"Speculative sampling" here is best-of-K *training* of the latent, never draft-model decoding. The choice is made on the
noise, without gradient; one differentiable pass with the chosen noise follows. Memory does not grow with K but for the
noise itself, K x B x Z floats.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .gaussian import DiagonalGaussian

TILE = {"cpu": (512, 1024), "cuda": (4096, 8192)}  # rows and words of logits held at once: what a cache, a GPU takes
ROUNDED = 64  # rows

Score = Callable[[Tensor], Tensor]  # latents (K, B, Z) -> unsmoothed NLL (K, B), nats


def choose_noise(
    posterior: DiagonalGaussian, num_latents: int, reduce: str, score: Score, noise: Sequence[Tensor] | None = None
) -> tuple[Tensor, Tensor | None]:
    """Noise (B, Z) for the one differentiable pass, and the index (B,) of the kept sample where one was chosen.

    reduce="best" keeps each example's sample of least `score`; "mean" averages the K samples in latent space, which
    is one pass with their mean noise ("Monte Carlo sampling", Kruengkrai, 2019). K = 1 never calls `score`: it is
    the plain ELBO, with the same random numbers. `noise`: K tensors (B, Z) to choose from, drawn here where not given.
    """
    if noise is None:
        noise = torch.randn_like(posterior.mean.expand(num_latents, *posterior.mean.shape))
    else:
        noise = torch.stack(list(noise))
    if num_latents == 1:
        return noise[0], None
    if reduce == "mean":
        return noise.mean(0), None
    if reduce != "best":
        raise ValueError(f"reduce={reduce} is neither best nor mean")
    with torch.no_grad():
        chosen = score(posterior.rsample(noise)).argmin(0)
    return noise[chosen, torch.arange(noise.size(1), device=noise.device)], chosen


class VocabularyScorer:
    """Cross-entropy of softmax(hidden @ weight.T) for N target words, without gradient and without ever N x V logits.

    The matrix products run in `dtype`, whatever autocast says; normaliser and target score are float32. What all latents
    share, the weights in that precision and the targets' rows, is made once.

    `words` > 0 sums the normaliser over that many words in place of all V: the target, the first ids (a fairseq dictionary
    begins with the frequent words) and, weighted up, a random sample of the others, drawn anew for every scorer and the
    same for all latents, whose order it hardly changes (sampled softmax: Jean et al., 2015).
    """

    def __init__(self, weight: Tensor, target: Tensor, dtype: torch.dtype = torch.float32, words: int = 0):
        weight = weight.detach()
        self.rows, width = TILE["cpu" if weight.device.type == "cpu" else "cuda"]
        self.of_target = weight[target].float()  # (N, H)
        self.left_out = None  # (N,): how much of the target's own probability the sum over words lacks
        head = words // 2 if 0 < words < weight.size(0) else weight.size(0)
        self.tiles = [(tile.T, 1.0) for tile in weight[:head].to(dtype).split(width)]  # (H, W), and what a word counts
        if head < weight.size(0):
            rest = weight.size(0) - head
            sampled = head + torch.randperm(rest, device=weight.device)[: words - head]
            factor = rest / len(sampled)
            self.tiles += [(tile.T, factor) for tile in weight[sampled].to(dtype).split(width)]
            self.left_out = (target >= head) * (1 - factor * torch.isin(target, sampled).float())

    @torch.no_grad()
    def __call__(self, hidden: Tensor) -> Tensor:
        """(..., N, H) -> (..., N) nats"""
        with torch.autocast(hidden.device.type, enabled=False):
            target_score = torch.einsum("...nh,nh->...n", hidden.float(), self.of_target)
            columns = [hidden.to(self.tiles[0][0].dtype).flatten(0, -2), target_score.flatten()]
            if self.left_out is not None:
                columns.append(self.left_out.expand_as(target_score).flatten())
            # a round number of rows: libraries compile and keep a kernel for every shape they meet
            columns = [F.pad(column, (0, 0) * (column.dim() - 1) + (0, -len(column) % ROUNDED)) for column in columns]
            parts = list(zip(*(column.split(self.rows) for column in columns), strict=True))
            normaliser = torch.cat([self._normaliser(*part) for part in parts])
            if not normaliser.isfinite().all():
                normaliser = torch.cat([self._safe_normaliser(*part) for part in parts])
        return normaliser[: target_score.numel()].view_as(target_score) - target_score

    def _normaliser(self, hidden: Tensor, target_score: Tensor, left_out: Tensor | None = None) -> Tensor:
        """(R, H) -> (R,): log sum exp, relative to the largest logit of the first tile.

        Taken off within the matrix product, before it is rounded: where the precision is low, the likely words keep most.
        """
        logits = hidden @ self.tiles[0][0]
        largest = logits.amax(-1, keepdim=True)
        total = (logits - largest).exp_().sum(-1, dtype=torch.float32)
        for tile, factor in self.tiles[1:]:
            total += factor * torch.addmm(-largest, hidden, tile).exp_().sum(-1, dtype=torch.float32)
        largest = largest.squeeze(-1).float()
        if left_out is not None:
            total += left_out * (target_score - largest).exp()
        return total.log() + largest

    def _safe_normaliser(self, hidden: Tensor, target_score: Tensor, left_out: Tensor | None = None) -> Tensor:
        """The same where some logit is larger by 88 and more than those of the first tile."""
        parts = [(hidden @ tile).float().logsumexp(-1) + math.log(factor) for tile, factor in self.tiles]
        normaliser = torch.stack(parts).logsumexp(0)
        if left_out is None:
            return normaliser
        inside = normaliser + torch.log1p(left_out * (target_score - normaliser).clamp(max=0).exp())
        return torch.where(left_out == 1, torch.logaddexp(normaliser, target_score), inside)
