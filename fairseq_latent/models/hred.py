"""HRED, a hierarchical recurrent encoder-decoder (Serban et al., 2016; arXiv 1507.04808), which sees no profile.

Sizes and start are those of the PyTorch code of Park et al. (2018; arXiv 1804.03424): a bidirectional GRU over the words of
a turn, a GRU over turns, whose last state becomes the first of the decoder's GRU through a linear map and tanh.
"""

from argparse import Namespace

from fairseq.models import register_model, register_model_architecture

from .hierarchical_model import HierarchicalConfig, HierarchicalModel, start_as_serban
from .latent_model import set_defaults


@register_model("hred", dataclass=HierarchicalConfig)
class HREDModel(HierarchicalModel):
    """--arch hred"""

    def initialise(self) -> None:
        """As PyTorch does, but for recurrent matrices and update gates."""
        start_as_serban(self)


def small(args: Namespace) -> None:
    """Embeddings of 128, GRUs of 256: a table's row on two CPU cores."""
    set_defaults(args, embed_dim=128, utterance_dim=256, context_dim=256, decoder_dim=256)


def tiny(args: Namespace) -> None:
    """GRUs of 16: for tests."""
    set_defaults(args, embed_dim=8, utterance_dim=16, context_dim=16, decoder_dim=16)


register_model_architecture("hred", "hred_small")(small)
register_model_architecture("hred", "hred_tiny")(tiny)
