"""How an encoder samples its latents for decoding."""

from torch import Tensor

from ...errors import InputError
from ...gaussian import DiagonalGaussian, seeded_noise


def sample_latent(
    source: DiagonalGaussian, noise_seed: Tensor | None, num_latents: int, latent_mean: bool, task: str
) -> Tensor:
    """N latents (B * N, Z) of each Gaussian over (B, Z): its mean, or samples that each example's own seed decides.

    noise_seed (B * N,) holds every example's N times in a row; only the first is looked at. Without any, latents would
    depend on the batch: InputError, with the `task` that gives seeds as the remedy.
    """
    size, latent_dim = source.mean.shape
    if latent_mean:
        noise = source.mean.new_zeros(size, num_latents, latent_dim)
    elif noise_seed is not None:
        noise = seeded_noise(noise_seed[::num_latents], num_latents, latent_dim)
    else:
        raise InputError(f"no noise seeds to sample latents; remedy: --task {task}")
    return source.unsqueeze(1).rsample(noise).flatten(0, 1)
