"""P²BOT's receiver: who could have said this? Utterances and persona sentences as vectors (Liu et al., 2020; ACL)."""

from argparse import Namespace
from dataclasses import dataclass, field
from typing import Optional

from fairseq.dataclass import FairseqDataclass
from fairseq.models import BaseFairseqModel, register_model, register_model_architecture
from torch import Tensor

from ..errors import InputError
from ..modules.language_models.pretrained import configuration
from ..modules.sentence_encoder import (
    SENTENCE,
    UTTERANCE,
    SentenceEncoder,
    bert_of_configuration,
    bert_of_folder,
    fresh_bert,
)
from ..ranges import DEPTH, POSITIONS, SHARE_BELOW_ONE, SIZE
from .latent_model import set_defaults

FOUND = ("encoder_dim", "encoder_layers", "encoder_heads", "encoder_ffn_dim", "encoder_positions", "encoder_config")


@dataclass
class P2BotReceiverConfig(FairseqDataclass):
    encoder_path: Optional[str] = field(
        default=None,
        metadata={
            "help": "folder of a BERT in transformers' form, with its tokenizer (fairseq-latent weights minilm); without it "
            "a BERT with random weights over the data's own tokens"
        },
    )
    encoder_config: Optional[str] = field(
        default=None,
        metadata={
            "help": "set by --encoder-path: its configuration as JSON, by which a checkpoint is loaded without the folder"
        },
    )
    encoder_dim: int = field(default=768, metadata={"help": "width of BERT; of --encoder-path its own", "range": SIZE})
    encoder_layers: int = field(
        default=12, metadata={"help": "BERT's layers; of --encoder-path its own", "range": DEPTH}
    )
    encoder_heads: int = field(
        default=12, metadata={"help": "BERT's attention heads; of --encoder-path its own", "range": SIZE}
    )
    encoder_ffn_dim: int = field(
        default=3072, metadata={"help": "width of BERT's feed-forward layers; of --encoder-path its own", "range": SIZE}
    )
    encoder_positions: int = field(
        default=512, metadata={"help": "BERT's longest text, in tokens; of --encoder-path its own", "range": POSITIONS}
    )
    encoder_dropout: float = field(
        default=0.1, metadata={"help": "dropout on BERT's states and attention weights", "range": SHARE_BELOW_ONE}
    )
    train_tables: bool = field(
        default=False,
        metadata={
            "help": "train the word and segment tables of --encoder-path too, which the authors leave as they are"
        },
    )


@register_model("p2bot_receiver", dataclass=P2BotReceiverConfig)
class P2BotReceiver(BaseFairseqModel):
    """--arch p2bot_receiver"""

    refuses_diverged = True  # asked by compat.checkpoints.checkpoint_files: weights that are not finite are not loaded
    found_options: dict  # of the encoder's folder, for the checkpoint, which is loaded without it

    def __init__(self, encoder: SentenceEncoder):
        super().__init__()
        self.encoder = encoder
        self.num_updates = 0

    @classmethod
    def build_model(cls, cfg: P2BotReceiverConfig, task) -> "P2BotReceiver":
        """Everything the configuration says ends here."""
        if not getattr(task, "reads_persona_sets", False):
            raise InputError("p2bot_receiver reads sets of personas; remedy: --task persona_receiver")
        types, pad = task.encoder_types(), task.encoder_pad()
        if cfg.encoder_path:
            model = bert_of_folder(cfg.encoder_path, cfg.encoder_dropout)
        elif cfg.encoder_config:
            model = bert_of_configuration(cfg.encoder_config, cfg.encoder_dropout)
        else:
            if cfg.encoder_dim % cfg.encoder_heads:
                raise InputError(
                    f"--encoder-heads {cfg.encoder_heads} does not divide --encoder-dim {cfg.encoder_dim}; "
                    "remedy: one that does"
                )
            model = fresh_bert(
                types, cfg.encoder_dim, cfg.encoder_layers, cfg.encoder_heads, cfg.encoder_ffn_dim,
                cfg.encoder_positions, cfg.encoder_dropout,
            )  # fmt: skip
        if types > model.config.vocab_size:
            raise InputError(
                f"{cfg.encoder_path or 'this checkpoint'}: its tokenizer has {types:,} tokens, its weights "
                f"{model.config.vocab_size:,}; remedy: the tokenizer that belongs to the weights"
            )
        if cfg.encoder_path:
            config = model.config
            cfg.encoder_dim, cfg.encoder_layers = config.hidden_size, config.num_hidden_layers
            cfg.encoder_heads, cfg.encoder_ffn_dim = config.num_attention_heads, config.intermediate_size
            cfg.encoder_positions, cfg.encoder_config = config.max_position_embeddings, configuration(model)
        made = cls(SentenceEncoder(model, pad))
        if cfg.encoder_config and not cfg.train_tables:
            made.encoder.freeze_tables()
        made.found_options = {name: getattr(cfg, name) for name in FOUND}
        return made

    def forward(self, utterances: Tensor, personas: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B, U, L), (B, C, P, L) -> encodings (B, U, D) with a mask (B, U), (B, C, P, D) with a mask (B, C, P)."""
        real, persona_real = (tokens.ne(self.encoder.pad).any(-1) for tokens in (utterances, personas))
        return self.encoder(utterances, UTTERANCE), real, self.encoder(personas, SENTENCE), persona_real

    def set_num_updates(self, num_updates: int) -> None:
        """Remember the update for the criterion's attention."""
        super().set_num_updates(num_updates)
        self.num_updates = num_updates


def small(args: Namespace) -> None:
    """The sizes of MiniLM-L6."""
    set_defaults(args, encoder_dim=384, encoder_layers=6, encoder_ffn_dim=1536)


def tiny(args: Namespace) -> None:
    """2 layers of 16: for tests."""
    set_defaults(args, encoder_dim=16, encoder_layers=2, encoder_heads=2, encoder_ffn_dim=32, encoder_positions=64)


register_model_architecture("p2bot_receiver", "p2bot_receiver_small")(small)
register_model_architecture("p2bot_receiver", "p2bot_receiver_tiny")(tiny)
