"""VHRED: HRED with a latent per response (Serban et al., 2017; arXiv 1605.06069), which sees no profile.

The prior reads the state after the context's turns, the posterior that and the response, encoded as a turn is; both have two
layers with tanh, and softplus makes their variances, as in the PyTorch code of Park et al. (2018; arXiv 1804.03424).
"""

from argparse import Namespace
from dataclasses import dataclass, field

from fairseq.models import register_model, register_model_architecture

from ..modules.hierarchical.latent import ContextLatent, tanh_layers
from ..ranges import SIZE
from . import hred
from .hierarchical_model import HierarchicalConfig, HierarchicalModel, start_as_serban
from .latent_model import LatentConfig, latent_scaling, set_defaults

LAYERS = 2  # of prior and posterior, before their means and variances


@dataclass
class VHREDConfig(LatentConfig, HierarchicalConfig):
    latent_dim: int = field(default=100, metadata={"help": "size of the latent (Z)", "range": SIZE})


@register_model("vhred", dataclass=VHREDConfig)
class VHREDModel(HierarchicalModel):
    """--arch vhred"""

    called = "vhred"

    @classmethod
    def build_latent(cls, cfg: VHREDConfig) -> ContextLatent:
        """Hidden layers are as wide as the context's state."""
        context, response, outputs = cfg.context_dim, 2 * cfg.utterance_dim, 2 * cfg.latent_dim
        prior = tanh_layers(context, context, outputs, LAYERS)
        recognition = tanh_layers(context + response, context, outputs, LAYERS)
        return ContextLatent(cfg.latent_dim, prior, recognition, True, latent_scaling(cfg, cfg.latent_dim))

    def initialise(self) -> None:
        """As HRED."""
        start_as_serban(self)


def small(args: Namespace) -> None:
    """HRED's, 32 latent dimensions: a table's row on two CPU cores."""
    set_defaults(args, latent_dim=32)
    hred.small(args)


def tiny(args: Namespace) -> None:
    """GRUs of 16: for tests."""
    set_defaults(args, latent_dim=8)
    hred.tiny(args)


register_model_architecture("vhred", "vhred_small")(small)
register_model_architecture("vhred", "vhred_tiny")(tiny)
