"""One latent per response that the state of a context GRU predicts (VHRED: Serban et al., 2017; Zhao et al., 2017)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_latent.gaussian import DiagonalGaussian

from ..full_precision import in_full
from ..latents.scaling import LatentScaling

LOGVAR_RANGE = 8.0  # log variances stay between plus and minus this
SMALLEST = 1e-8  # of a variance, before its logarithm


class ContextLatent(nn.Module):
    """p(z|x) of the context's state, q(z|x, y) of that state and the encoded response.

    prior_net: C -> 2Z. recognition_net: C + R -> 2Z. Their outputs are mean and log variance, or with `softplus` mean and
    what softplus makes a variance.
    """

    def __init__(
        self, latent_dim: int, prior_net: nn.Module, recognition_net: nn.Module, softplus: bool = False,
        scaling: LatentScaling | None = None,
    ):  # fmt: skip
        super().__init__()
        self.latent_dim, self.softplus = latent_dim, softplus
        self.prior_net, self.recognition_net = prior_net, recognition_net
        self.scaling = scaling or LatentScaling(latent_dim)

    def prior(self, context: Tensor) -> DiagonalGaussian:
        """(B, C) -> p(z|x) over (B, Z)"""
        return self.scaling.prior(self._read(self.prior_net, context))

    def posterior(self, context: Tensor, response: Tensor) -> DiagonalGaussian:
        """(B, C), (B, R) -> q(z|x, y) over (B, Z)"""
        return self.scaling.posterior(self._read(self.recognition_net, torch.cat([context, response], dim=-1)))

    def recognition_parameters(self) -> list[nn.Parameter]:
        """Those of the posterior alone."""
        return [*self.recognition_net.parameters(), *self.scaling.parameters()]

    def _read(self, net: nn.Module, states: Tensor) -> DiagonalGaussian:
        """In float32, or in float64 if the parameters are."""
        with torch.autocast(states.device.type, enabled=False):
            mean, spread = in_full(net, states).chunk(2, -1)
            logvar = F.softplus(spread).clamp(min=SMALLEST).log() if self.softplus else spread
            return DiagonalGaussian(mean, logvar.clamp(-LOGVAR_RANGE, LOGVAR_RANGE))


def tanh_layers(inputs: int, hidden_dim: int, outputs: int, layers: int) -> nn.Sequential:
    """`layers` linear maps to `hidden_dim`, each with tanh, and one to the outputs."""
    widths = [inputs, *[hidden_dim] * layers]
    maps = [part for pair in zip(widths, widths[1:], strict=False) for part in (nn.Linear(*pair), nn.Tanh())]
    return nn.Sequential(*maps, nn.Linear(widths[-1], outputs))
