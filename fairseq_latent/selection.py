"""Which of K latent samples a training step keeps: the best one (speculative sampling, Sato et al., 2021) or their mean.

"Speculative sampling" here is best-of-K *training* of the latent, never draft-model decoding. The choice is made on the
noise, without gradient; one differentiable pass with the chosen noise follows. Memory does not grow with K but for the
noise itself, K x B x Z floats.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .gaussian import DiagonalGaussian

TILE_ROWS, TILE_WORDS = 512, 4096  # one tile of logits stays in the processor's cache

Score = Callable[[Tensor], Tensor]  # latents (B, Z) -> unsmoothed NLL (B,), nats


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
        nll = torch.stack([score(posterior.rsample(sample)) for sample in noise])  # (K, B)
    chosen = nll.argmin(0)
    return noise[chosen, torch.arange(noise.size(1), device=noise.device)], chosen


@torch.no_grad()
def projected_nll(hidden: Tensor, weight: Tensor, target: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """(N, H), (V, H), (N,) -> (N,) nats: cross-entropy of softmax(hidden @ weight.T) without ever holding N x V logits.

    The matrix products run in `dtype`, whatever autocast says; normaliser and target score are float32.
    """
    with torch.autocast(hidden.device.type, enabled=False):
        return _projected_nll(hidden, weight, target, dtype)


def _projected_nll(hidden: Tensor, weight: Tensor, target: Tensor, dtype: torch.dtype) -> Tensor:
    target_score = torch.einsum("nh,nh->n", hidden.float(), weight[target].float())
    hidden, words = hidden.to(dtype), weight.to(dtype).split(TILE_WORDS)
    normaliser = [
        torch.stack([(rows @ tile.T).float().logsumexp(-1) for tile in words]).logsumexp(0)
        for rows in hidden.split(TILE_ROWS)
    ]
    return torch.cat(normaliser) - target_score
