"""T-CVAE, a Transformer with one latent a response (Wang and Wan, 2019), as Sato et al. (2021) train it for dialogue.

Encoder and decoder share their layers; the prior reads the context's states, the posterior the states of context and
response; z joins the decoder's last states just before the tied output projection. The paper's text says nothing of most of
this; the defaults are those of the authors' code.
"""

from argparse import Namespace
from dataclasses import dataclass, field
from typing import Optional

from fairseq.dataclass import ChoiceEnum
from fairseq.models import register_model, register_model_architecture
from fairseq.models.transformer import (
    TransformerConfig,
    TransformerDecoderBase,
    TransformerEncoderBase,
    base_architecture,
)
from fairseq.modules.fairseq_dropout import FairseqDropout
from torch import Tensor, nn

from ..errors import InputError
from ..gaussian import DiagonalGaussian
from ..modules.activations import ACTIVATIONS
from ..modules.embeddings import shared_embeddings
from ..modules.initialisation import INITS, initialise
from ..modules.latent_transformer import LatentDecoding, LatentReading, share_layers
from ..modules.latents.categorical import Categorical
from ..modules.latents.fusion import DecodedResponse, LatentFusion
from ..modules.latents.head import CategoricalHead, LatentHead, add_prior_bias
from ..modules.lexical_model import LexicalModel
from ..modules.packed import packings
from ..ranges import DEPTH, SHARE_BELOW_ONE, SIZE, SIZE_OR_NONE, Range
from ..text.vocabulary import joined_dictionary
from .latent_model import LatentConfig, LatentModel, latent_scaling, set_defaults

NO_LAYER = -1
ACTIVATION_CHOICES = ChoiceEnum(list(ACTIVATIONS))


@dataclass
class TCVAEConfig(LatentConfig):
    embed_dim: int = field(default=512, metadata={"help": "width of embeddings and layers (H)", "range": SIZE})
    ffn_dim: int = field(default=2048, metadata={"help": "width of the feed-forward layers", "range": SIZE})
    layers: int = field(default=6, metadata={"help": "layers of the encoder, and of the decoder", "range": DEPTH})
    heads: int = field(
        default=8, metadata={"help": "attention heads, of the latent's query attention too", "range": SIZE}
    )
    dropout: float = field(
        default=0.1, metadata={"help": "dropout on embeddings and on each sublayer's output", "range": SHARE_BELOW_ONE}
    )
    attention_dropout: float = field(
        default=0.1, metadata={"help": "dropout on attention weights", "range": SHARE_BELOW_ONE}
    )
    activation_dropout: float = field(
        default=0.1, metadata={"help": "dropout inside the feed-forward layers", "range": SHARE_BELOW_ONE}
    )
    activation: ACTIVATION_CHOICES = field(
        default="leaky_relu", metadata={"help": "activation of the feed-forward layers"}
    )
    fusion_activation: ACTIVATION_CHOICES = field(
        default="leaky_relu", metadata={"help": "activation after [decoder state; z]; the original T-CVAE has tanh"}
    )
    latent_dim: int = field(default=512, metadata={"help": "size of the latent (Z)", "range": SIZE})
    latent_kind: ChoiceEnum(["gaussian", "categorical"]) = field(
        default="gaussian",
        metadata={"help": "a vector of --latent-dim numbers, or one of --latent-codes codes (PLATO: Bao et al., 2020)"},
    )
    latent_codes: int = field(
        default=20,
        metadata={
            "help": "codes of a categorical latent; --k of as many tries each, so that the best of K is exact",
            "range": Range(2, 10_000),
        },
    )
    prior_hidden_dim: int = field(
        default=256,
        metadata={
            "help": "width of the prior's tanh layer, which the posterior lacks; 0 leaves it out",
            "range": SIZE_OR_NONE,
        },
    )
    posterior_input: ChoiceEnum(["decoder_input", "target"]) = field(
        default="decoder_input",
        metadata={"help": "response the posterior reads: the decoder's input, without its last token, or all of it"},
    )
    posterior_encoding: ChoiceEnum(["separate", "joint"]) = field(
        default="separate",
        metadata={"help": "encode context and response apart and join their states in time, or as one sequence"},
    )
    no_share_layers: bool = field(
        default=False,
        metadata={"help": "give encoder and decoder layers of their own (default: shared, but LayerNorms)"},
    )
    no_share_output: bool = field(
        default=False, metadata={"help": "give the output projection weights of its own (default: the embeddings)"}
    )
    encoder_embed_path: Optional[str] = field(
        default=None,
        metadata={"help": "word vectors (text, or .bin of word2vec; also .gz) that initialise the shared embeddings"},
    )
    init: ChoiceEnum(list(INITS)) = field(
        default="fairseq8",
        metadata={
            "help": "initial weights of the layers and of the latent's networks: as in fairseq 0.8, which the authors' code "
            "runs on, or as in fairseq 0.12, with Xavier weights for the latent's networks"
        },
    )
    lexical_model: bool = field(
        default=False,
        metadata={
            "help": "add attention over the embeddings of the context's words to what meets the output projection: words of "
            "the context, and words like them, become likelier (Nguyen and Chiang, 2018)"
        },
    )


class TCVAEEncoder(LatentReading, TransformerEncoderBase):
    """Encodes contexts and responses, and owns the heads that turn their states into prior and posterior."""

    def __init__(self, cfg, dictionary, embed_tokens, head: nn.Module, posterior_encoding: str, response_alone: bool):
        super().__init__(cfg, dictionary, embed_tokens)
        self.latent = head
        self.posterior_encoding = posterior_encoding
        self.response_alone = response_alone


class TCVAEDecoder(LatentDecoding, TransformerDecoderBase):
    """A Transformer decoder whose last states meet the latent before the output projection."""

    def __init__(self, cfg, dictionary, embed_tokens, fusion: LatentFusion, lexical: LexicalModel | None):
        super().__init__(cfg, dictionary, embed_tokens)
        self.fusion, self.lexical = fusion, lexical

    def forward(self, prev_output_tokens, encoder_out=None, incremental_state=None, **kwargs):
        """(B, T) and an encoder output with a latent -> logits (B, T, V), extras."""
        # attention weights are for --print-alignment alone; beam search would carry them along at every step
        alignment_layer = None if self.layers[-1].need_attn else NO_LAYER
        states, extra = self.extract_features(
            prev_output_tokens, encoder_out, incremental_state, alignment_layer=alignment_layer
        )
        return self.output_layer(self.hidden(states, encoder_out)), extra


@register_model("t_cvae", dataclass=TCVAEConfig)
class TCVAEModel(LatentModel):
    """--arch t_cvae"""

    response_alone = False  # the posterior reads context and response
    aligns = True

    def __init__(self, encoder: TCVAEEncoder, decoder: TCVAEDecoder, latent_dim: int, posterior_input: str):
        super().__init__(encoder, decoder, latent_dim)
        self.posterior_input = posterior_input

    @classmethod
    def build_model(cls, cfg: TCVAEConfig, task) -> "TCVAEModel":
        """Everything the configuration says ends here: the parts take plain arguments."""
        if not getattr(task, "reads_context", True):
            raise InputError(
                "t_cvae would read the sentence as its own context, and leave nothing to the latent; remedy: --arch gru_vae"
            )
        dictionary = joined_dictionary(task)
        max_source, max_target = task.max_positions()
        transformer = _transformer_config(cfg, max_source, max_target)
        embed_tokens = shared_embeddings(dictionary, cfg.embed_dim, cfg.encoder_embed_path)
        encoder = TCVAEEncoder(
            transformer, dictionary, embed_tokens, cls.build_head(cfg), str(cfg.posterior_encoding), cls.response_alone
        )
        categorical = str(cfg.latent_kind) == "categorical"
        latent_dim = cfg.latent_codes if categorical else cfg.latent_dim
        fusion = LatentFusion(cfg.embed_dim, latent_dim, str(cfg.fusion_activation))
        lexical = LexicalModel(cfg.embed_dim, FairseqDropout(cfg.attention_dropout)) if cfg.lexical_model else None
        decoder = TCVAEDecoder(transformer, dictionary, embed_tokens, fusion, lexical)
        for layer in [*encoder.layers, *decoder.layers]:
            layer.activation_fn = ACTIVATIONS[str(cfg.activation)]
        initialise(str(cfg.init), [*encoder.layers, *decoder.layers], encoder.latent, fusion)
        if not cfg.no_share_layers:
            share_layers(encoder, decoder)
        model = cls(encoder, decoder, latent_dim, str(cfg.posterior_input))
        if categorical:
            model.latent_class = Categorical
        return model

    @classmethod
    def build_head(cls, cfg: TCVAEConfig) -> nn.Module:
        """The heads of prior and posterior."""
        if str(cfg.latent_kind) == "categorical":
            if str(cfg.posterior_norm) != "none" or cfg.latent_scale != 1:
                raise InputError(
                    "--posterior-norm and --latent-scale are about means, which codes do not have; remedy: without them, or "
                    "--latent-kind gaussian"
                )
            return CategoricalHead(
                cfg.embed_dim, cfg.latent_codes, cfg.heads, cfg.attention_dropout, cfg.prior_hidden_dim
            )
        return LatentHead(
            cfg.embed_dim, cfg.latent_dim, cfg.heads, cfg.attention_dropout, cfg.prior_hidden_dim,
            latent_scaling(cfg, cfg.latent_dim),
        )  # fmt: skip

    def upgrade_state_dict_named(self, state_dict, name):
        """Take checkpoints that lack the prior's bias."""
        super().upgrade_state_dict_named(state_dict, name)
        add_prior_bias(self.encoder.latent, state_dict, f"{name}.encoder.latent." if name else "encoder.latent.")

    def distributions(
        self, src_tokens: Tensor, prev_output_tokens: Tensor, target: Tensor
    ) -> tuple[DiagonalGaussian, DiagonalGaussian, DecodedResponse]:
        """Prior and posterior of each pair, and its response decoded up to the latent; measures and pictures use it too."""
        # the decoder's input is as long as the target
        of_context, of_response = packings(self.encoder.real(src_tokens), self.encoder.real(target))
        response = prev_output_tokens if self.posterior_input == "decoder_input" else target
        context, prior, posterior = self.encoder.distributions(src_tokens, response, of_context, of_response)
        return prior, posterior, self.decoder.decode(prev_output_tokens, of_response, context, src_tokens, target)


def _transformer_config(cfg: TCVAEConfig, max_source: int, max_target: int) -> TransformerConfig:
    """fairseq's nested configuration, from our flat one."""
    flat = Namespace(
        dropout=cfg.dropout,
        attention_dropout=cfg.attention_dropout,
        activation_dropout=cfg.activation_dropout,
        max_source_positions=max_source,
        max_target_positions=max_target,
        share_decoder_input_output_embed=not cfg.no_share_output,
    )
    for side in ("encoder", "decoder"):
        setattr(flat, f"{side}_embed_dim", cfg.embed_dim)
        setattr(flat, f"{side}_ffn_embed_dim", cfg.ffn_dim)
        setattr(flat, f"{side}_layers", cfg.layers)
        setattr(flat, f"{side}_attention_heads", cfg.heads)
    base_architecture(flat)
    return TransformerConfig.from_namespace(flat)


def small(args: Namespace) -> None:
    """2 layers of 128, 64 latent dimensions: minutes on two CPU cores."""
    set_defaults(args, embed_dim=128, ffn_dim=512, layers=2, heads=4, latent_dim=64, prior_hidden_dim=64)


def tiny(args: Namespace) -> None:
    """2 layers of 16: for tests."""
    set_defaults(args, embed_dim=16, ffn_dim=32, layers=2, heads=2, latent_dim=8, prior_hidden_dim=8)


register_model_architecture("t_cvae", "t_cvae_small")(small)
register_model_architecture("t_cvae", "t_cvae_tiny")(tiny)
