"""What keeps latents of different examples apart before a decoder reads them: batch norm of posterior means, a factor.

Both are the last step of the networks of prior and posterior (BN-VAE: Zhu et al., 2020, arXiv 2004.12585; Scale-VAE: Song et
al., 2024, https://aclanthology.org/2024.lrec-main.1250).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...gaussian import DiagonalGaussian
from ..full_precision import full_dtype

MOMENTUM = 0.1  # of the running statistics, as in torch.nn.BatchNorm1d
EPSILON = 1e-10  # its 1e-5 is more than the variance of an untrained network's means, which could hide behind it


class PosteriorNorm(nn.Module):
    """Each dimension's mean over a batch becomes `shift`, which is learned, its standard deviation `scale`, which is not.

    Against N(0, I) the batch mean of the KL is then at least Z * scale² / 2 nats, whatever the network: a posterior that
    collapsed would have to give the same mean to every example. A learned prior can follow, and has no such bound.
    Evaluation, and a batch of one in training, use the running statistics.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, latent_dim: int, scale: float):
        super().__init__()
        self.scale = scale
        self.shift = nn.Parameter(torch.zeros(latent_dim))
        self.register_buffer("running_mean", torch.zeros(latent_dim))
        self.register_buffer("running_var", torch.ones(latent_dim))

    def forward(self, mean: Tensor) -> Tensor:
        """(B, Z) -> (B, Z), in float32, or in float64 if the parameters are."""
        of_batch = self.training and len(mean) > 1
        dtype = full_dtype(self.shift)
        shift, running_mean, running_var = (
            each.to(dtype) for each in (self.shift, self.running_mean, self.running_var)
        )
        scale = torch.full_like(shift, self.scale)
        normed = F.batch_norm(mean.to(dtype), running_mean, running_var, scale, shift, of_batch, MOMENTUM, EPSILON)
        if running_mean is not self.running_mean:  # the statistics were copied, for half precision
            self.running_mean.copy_(running_mean)
            self.running_var.copy_(running_var)
        return normed


class LatentScaling(nn.Module):
    """The last step of prior and posterior: norm_scale > 0 normalises posterior means, `factor` multiplies both means.

    What `factor` does is for the decoder alone: training charges the KL from before (`LatentOutput.charged_kl`).
    """

    def __init__(self, latent_dim: int, norm_scale: float = 0.0, factor: float = 1.0):
        super().__init__()
        self.norm = PosteriorNorm(latent_dim, norm_scale) if norm_scale else None
        self.factor = factor

    def prior(self, read: DiagonalGaussian) -> DiagonalGaussian:
        """p(z|x) as its network reads it -> as it is sampled."""
        return read.scaled(self.factor)

    def posterior(self, read: DiagonalGaussian) -> DiagonalGaussian:
        """q(z|x, y) as its network reads it -> as it is sampled."""
        if self.norm is not None:
            read = DiagonalGaussian(self.norm(read.mean), read.logvar)
        return read.scaled(self.factor)
