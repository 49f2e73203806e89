"""The CVAE of Zhao et al. (2017; arXiv 1703.10960) without dialogue acts, topics and profiles: "CVAE" of Cho et al. (2022).

One bidirectional GRU encodes turns and response. Context and latent meet in g = [c; z], from which the decoder's first state
and the bag of words come (`--bow-weight 1 --bow-target tokens --bow-hidden-dim 400`); later steps see neither.
"""

from argparse import Namespace
from dataclasses import dataclass, field, fields

import torch
from fairseq.models import register_model, register_model_architecture
from torch import Tensor, nn

from ..modules.hierarchical.encoder_decoder import DecodedTurn
from ..modules.hierarchical.latent import ContextLatent, tanh_layers
from ..ranges import SIZE
from .hierarchical_model import HierarchicalConfig, HierarchicalModel
from .latent_model import LatentConfig, latent_scaling, set_defaults

SPREAD = 0.08  # of uniform weights


def _as_hred(name: str, default: float):
    """HRED's flag with another default."""
    (flag,) = (each for each in fields(HierarchicalConfig) if each.name == name)
    return field(default=default, metadata=dict(flag.metadata))


@dataclass
class RNNCVAEConfig(LatentConfig, HierarchicalConfig):
    embed_dim: int = _as_hred("embed_dim", 200)
    utterance_dim: int = _as_hred("utterance_dim", 300)
    context_dim: int = _as_hred("context_dim", 600)
    decoder_dim: int = _as_hred("decoder_dim", 400)
    dropout: float = _as_hred("dropout", 0.0)
    context_utterances: int = _as_hred("context_utterances", 9)
    utterance_tokens: int = _as_hred("utterance_tokens", 40)
    latent_dim: int = field(default=200, metadata={"help": "size of the latent (Z)", "range": SIZE})
    prior_hidden_dim: int = field(
        default=400, metadata={"help": "width of the prior's tanh layer, which the posterior lacks", "range": SIZE}
    )


@register_model("rnn_cvae", dataclass=RNNCVAEConfig)
class RNNCVAEModel(HierarchicalModel):
    """--arch rnn_cvae"""

    called = "rnn_cvae"
    floor = True
    begins = True
    tanh = False

    @classmethod
    def build_latent(cls, cfg: RNNCVAEConfig) -> ContextLatent:
        """A prior with one hidden layer, a recognition network without."""
        context, response, outputs = cfg.context_dim, 2 * cfg.utterance_dim, 2 * cfg.latent_dim
        prior = tanh_layers(context, cfg.prior_hidden_dim, outputs, 1)
        recognition = nn.Linear(context + response, outputs)
        return ContextLatent(cfg.latent_dim, prior, recognition, scaling=latent_scaling(cfg, cfg.latent_dim))

    def initialise(self) -> None:
        """Embeddings, GRUs and output uniform in ±0.08, gates open; what maps to and from the latent Xavier."""
        for gru in (self.encoder.utterance_gru, self.encoder.context_gru, self.decoder.gru):
            for name, parameter in gru.named_parameters():
                if name.startswith("weight"):
                    nn.init.uniform_(parameter, -SPREAD, SPREAD)
                else:
                    nn.init.zeros_(parameter)
                    if name.startswith("bias_ih"):  # one of the two biases, which are added
                        nn.init.ones_(parameter[: 2 * gru.hidden_size])  # reset and update; the new state's is 0
        table, output = self.encoder.embed_tokens, self.decoder.output_projection
        for weight in (table.weight, output.weight):
            nn.init.uniform_(weight, -SPREAD, SPREAD)
        nn.init.zeros_(table.weight[table.padding_idx])
        nn.init.zeros_(output.bias)
        _xavier(self.encoder.latent)
        _xavier(self.decoder.first_state)

    @property
    def bow_dim(self) -> int:
        """Of [c; z]."""
        return self.decoder.first_state.in_features

    def bow_input(self, z: Tensor, decoded: DecodedTurn) -> Tensor:
        """(B, Z) -> [c; z] (B, C + Z)"""
        return torch.cat([decoded.context.to(z.dtype), z], dim=-1)

    def add_bow_head(self, hidden_dim: int) -> None:
        """With Xavier weights, as all fully connected layers."""
        if self.bow_head is None:
            super().add_bow_head(hidden_dim)
            _xavier(self.bow_head)


def _xavier(module: nn.Module) -> None:
    for linear in (part for part in module.modules() if isinstance(part, nn.Linear)):
        nn.init.xavier_uniform_(linear.weight)
        nn.init.zeros_(linear.bias)


def small(args: Namespace) -> None:
    """About half of them, 32 latent dimensions: a table's row on two CPU cores."""
    set_defaults(args, embed_dim=128, utterance_dim=128, context_dim=256, decoder_dim=256, latent_dim=32)
    set_defaults(args, prior_hidden_dim=100)


def tiny(args: Namespace) -> None:
    """GRUs of 16: for tests."""
    set_defaults(args, embed_dim=8, utterance_dim=16, context_dim=16, decoder_dim=16, latent_dim=8, prior_hidden_dim=16)


register_model_architecture("rnn_cvae", "rnn_cvae_small")(small)
register_model_architecture("rnn_cvae", "rnn_cvae_tiny")(tiny)
