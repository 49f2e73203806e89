"""A GRU sentence VAE with a standard normal prior (Bowman et al., 2016), on which Cho et al. (2022) probe collapse.

The paper says no more than "seq2seq GRU VAE"; the defaults are near those of He et al. (2019) and Fu et al. (2019).
"""

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass, field

from fairseq.dataclass import ChoiceEnum
from fairseq.models import register_model, register_model_architecture
from torch import Tensor, nn

from ..errors import InputError
from ..gaussian import DiagonalGaussian
from ..modules.recurrent import POOLINGS, DecodedSentence, SentenceDecoder, SentenceEncoder
from ..ranges import DEPTH, SHARE_BELOW_ONE, SIZE
from .latent_model import LatentConfig, LatentModel, fairseq_form, latent_scaling, set_defaults


@dataclass
class GRUVAEConfig(LatentConfig):
    embed_dim: int = field(default=256, metadata={"help": "width of the word embeddings (E)", "range": SIZE})
    hidden_dim: int = field(default=512, metadata={"help": "width of the GRUs (H)", "range": SIZE})
    latent_dim: int = field(default=32, metadata={"help": "size of the latent (Z)", "range": SIZE})
    encoder_layers: int = field(default=1, metadata={"help": "layers of the encoder GRU", "range": DEPTH})
    decoder_layers: int = field(default=1, metadata={"help": "layers of the decoder GRU", "range": DEPTH})
    bidirectional: bool = field(default=False, metadata={"help": "bidirectional encoder GRU"})
    encoder_pooling: ChoiceEnum(list(POOLINGS)) = field(  # type: ignore[valid-type]
        default="last", metadata={"help": "what the posterior reads of the encoder GRU's states (Long et al., 2019)"}
    )
    dropout_in: float = field(
        default=0.5, metadata={"help": "dropout on the decoder's word embeddings", "range": SHARE_BELOW_ONE}
    )
    dropout_out: float = field(
        default=0.5, metadata={"help": "dropout on the decoder's states, and between layers", "range": SHARE_BELOW_ONE}
    )
    word_dropout: float = field(
        default=0.0,
        metadata={"help": "share of the words that the decoder reads as unknown in training", "range": SHARE_BELOW_ONE},
    )


@register_model("gru_vae", dataclass=GRUVAEConfig)
class GRUVAEModel(LatentModel):
    """--arch gru_vae"""

    @classmethod
    def build_model(cls, cfg: GRUVAEConfig, task) -> "GRUVAEModel":
        """Everything the configuration says ends here: the parts take plain arguments."""
        if getattr(task, "reads_context", True):
            raise InputError("gru_vae reads one sentence and writes it again; remedy: --task text_vae")
        longest_source, longest_target = task.max_positions()
        sizes = cfg.embed_dim, cfg.hidden_dim, cfg.latent_dim
        encoder = fairseq_form(SentenceEncoder)(
            task.source_dictionary, *sizes, cfg.encoder_layers, cfg.bidirectional, cfg.dropout_out, longest_source,
            str(cfg.encoder_pooling), latent_scaling(cfg, cfg.latent_dim),
        )  # fmt: skip
        decoder = fairseq_form(SentenceDecoder)(
            task.target_dictionary, *sizes, cfg.decoder_layers, cfg.dropout_in, cfg.dropout_out, cfg.word_dropout,
            longest_target,
        )  # fmt: skip
        return cls(encoder, decoder, cfg.latent_dim)

    def distributions(
        self, src_tokens: Tensor, prev_output_tokens: Tensor, target: Tensor
    ) -> tuple[DiagonalGaussian, DiagonalGaussian, DecodedSentence]:
        """N(0, I), the posterior of each sentence, and the sentence waiting for a latent."""
        decoded = DecodedSentence(self.decoder, prev_output_tokens, target)
        return self.encoder.prior(src_tokens), self.encoder.posterior(src_tokens), decoded

    def inference_parameters(self) -> Iterator[nn.Parameter]:
        """What the posterior alone uses: the whole encoder."""
        return self.encoder.parameters()


def small(args: Namespace) -> None:
    """GRUs of 256, as in the Penn Treebank runs of Fu et al. (2019): many epochs on two CPU cores."""
    set_defaults(args, embed_dim=256, hidden_dim=256, latent_dim=32)


def tiny(args: Namespace) -> None:
    """GRUs of 16: for tests."""
    set_defaults(args, embed_dim=8, hidden_dim=16, latent_dim=8)


register_model_architecture("gru_vae", "gru_vae_small")(small)
register_model_architecture("gru_vae", "gru_vae_tiny")(tiny)
