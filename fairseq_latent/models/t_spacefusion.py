"""SpaceFusion on the T-CVAE backbone (Gao et al., 2019), as Sato et al. (2021) port it.

The posterior encodes the response alone; prior and posterior have learned means and one fixed sigma. Its loss is
`--criterion spacefusion`.
"""

from dataclasses import dataclass, field

from fairseq.models import register_model, register_model_architecture
from torch import nn

from ..errors import InputError
from ..modules.latents.head import FixedVarianceHead
from ..ranges import POSITIVE
from .latent_model import latent_scaling
from .t_cvae import TCVAEConfig, TCVAEModel, small, tiny


@dataclass
class TSpaceFusionConfig(TCVAEConfig):
    sigma: float = field(
        default=0.1, metadata={"help": "standard deviation of the noise on both latents", "range": POSITIVE}
    )


@register_model("t_spacefusion", dataclass=TSpaceFusionConfig)
class TSpaceFusionModel(TCVAEModel):
    """--arch t_spacefusion"""

    response_alone = True

    @classmethod
    def build_head(cls, cfg: TSpaceFusionConfig) -> nn.Module:
        """Means alone; sigma is a constant."""
        if str(cfg.latent_kind) != "gaussian":
            raise InputError(
                "t_spacefusion fuses two spaces, codes are none; remedy: --arch t_cvae, or --latent-kind gaussian"
            )
        if str(cfg.posterior_encoding) == "joint":
            raise InputError("t_spacefusion encodes the response alone; remedy: drop --posterior-encoding joint")
        return FixedVarianceHead(
            cfg.embed_dim, cfg.latent_dim, cfg.heads, cfg.attention_dropout, cfg.prior_hidden_dim, cfg.sigma,
            latent_scaling(cfg, cfg.latent_dim),
        )  # fmt: skip


register_model_architecture("t_spacefusion", "t_spacefusion_small")(small)
register_model_architecture("t_spacefusion", "t_spacefusion_tiny")(tiny)
