"""What HRED, VHRED and the CVAE of Zhao et al. (2017) share: flags, and a model of a hierarchical encoder and a decoder."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from torch import Tensor, nn

from ..errors import InputError
from ..gaussian import DiagonalGaussian
from ..modules.embeddings import start_from
from ..modules.hierarchical.encoder_decoder import DecodedTurn, DialogueEncoder, ResponseDecoder
from ..modules.hierarchical.latent import ContextLatent
from ..modules.hierarchical.turns import TurnReader
from ..modules.recurrent import POOLINGS
from ..ranges import AMOUNT, SHARE_BELOW_ONE, SIZE
from ..symbols import EOT
from ..text.vocabulary import index_of, joined_dictionary
from .latent_model import LatentModel, fairseq_form

logger = logging.getLogger(__name__)

LEAST_TOKENS = 3


@dataclass
class HierarchicalConfig(FairseqDataclass):
    embed_dim: int = field(
        default=500, metadata={"help": "width of the word embeddings, of contexts and responses (E)", "range": SIZE}
    )
    utterance_dim: int = field(
        default=1000, metadata={"help": "width of the GRU over a turn's words, in each direction", "range": SIZE}
    )
    context_dim: int = field(default=1000, metadata={"help": "width of the GRU over turns", "range": SIZE})
    decoder_dim: int = field(default=1000, metadata={"help": "width of the decoder's GRU (H)", "range": SIZE})
    dropout: float = field(
        default=0.2,
        metadata={"help": "dropout on word embeddings and on the decoder's states", "range": SHARE_BELOW_ONE},
    )
    context_utterances: int = field(
        default=0, metadata={"help": "the newest turns of a context that are read; 0: all", "range": AMOUNT}
    )
    utterance_tokens: int = field(
        default=30,
        metadata={
            "help": "longest turn of a context in tokens, its end included; longer ones are cut; 0: no limit",
            "range": AMOUNT,
        },
    )
    encoder_pooling: ChoiceEnum(list(POOLINGS)) = field(  # type: ignore[valid-type]
        default="last",
        metadata={"help": "what stands for a turn, of the states of the GRU over its words (Long et al., 2019)"},
    )
    encoder_embed_path: Optional[str] = field(
        default=None,
        metadata={"help": "word vectors (text, or .bin of word2vec; also .gz) that initialise the word embeddings"},
    )


class HierarchicalModel(LatentModel):
    """A child says which parts it has: `build_latent`, `initialise`, and the attributes below."""

    encoder: DialogueEncoder
    decoder: ResponseDecoder
    called = "hred"  # on the command line
    reads_turns = True  # asked by tasks: contexts without <eot> are worth a warning
    floor = False  # turns are read with the speaker
    begins = False  # turns are read with <s> before them
    tanh = True  # of the decoder's first state

    @classmethod
    def build_model(cls, cfg: HierarchicalConfig, task) -> "HierarchicalModel":
        """Everything the configuration says ends here: the parts take plain arguments."""
        if not getattr(task, "reads_context", True):
            raise InputError(f"{cls.called} answers the turns of a context; remedy: --task dialogue, or --arch gru_vae")
        dictionary = joined_dictionary(task)
        if cfg.utterance_tokens and cfg.utterance_tokens < LEAST_TOKENS:
            raise InputError(
                f"--utterance-tokens {cfg.utterance_tokens}: {LEAST_TOKENS} are a turn's beginning, one word and its end; "
                "remedy: more, or 0 for whole turns"
            )
        end_of_turn = index_of(dictionary, EOT)
        if end_of_turn < 0:
            logger.warning(
                f"the dictionary has no {EOT}, which stands between turns: {cls.called} reads every context as one turn; "
                f"remedy: data with {EOT} between turns"
            )
        longest_source, longest_target = task.max_positions()
        embed_tokens = nn.Embedding(len(dictionary), cfg.embed_dim, dictionary.pad())
        begin = dictionary.bos() if cls.begins else -1
        reader = TurnReader(
            dictionary.pad(), dictionary.eos(), end_of_turn, begin, cfg.context_utterances, cfg.utterance_tokens
        )
        latent = cls.build_latent(cfg)
        encoder = fairseq_form(DialogueEncoder)(
            dictionary, embed_tokens, reader, cfg.utterance_dim, cfg.context_dim, cls.floor, latent, cfg.dropout,
            longest_source, str(cfg.encoder_pooling),
        )  # fmt: skip
        decoder = fairseq_form(ResponseDecoder)(
            dictionary, embed_tokens, cfg.context_dim + encoder.latent_dim, cfg.decoder_dim, cls.tanh, cfg.dropout,
            longest_target,
        )  # fmt: skip
        model = cls(encoder, decoder, encoder.latent_dim)
        model.initialise()
        if cfg.encoder_embed_path:
            start_from(cfg.encoder_embed_path, embed_tokens, dictionary.symbols)
        return model

    @classmethod
    def build_latent(cls, cfg: HierarchicalConfig) -> ContextLatent | None:
        """The networks of prior and posterior; None for a model without a latent."""
        return None

    def initialise(self) -> None:
        """Start the parameters as the reference does."""

    def distributions(
        self, src_tokens: Tensor, prev_output_tokens: Tensor, target: Tensor
    ) -> tuple[DiagonalGaussian, DiagonalGaussian, DecodedTurn]:
        """p(z|x) and q(z|x, y) of each pair, and the responses waiting for z."""
        context, prior, posterior = self.encoder.distributions(src_tokens, target)
        return prior, posterior, DecodedTurn(self.decoder, context, prev_output_tokens, target)

    def inference_parameters(self) -> Iterator[nn.Parameter]:
        """Those of the recognition network, for aggressive training; what reads turns serves the prior too."""
        if self.encoder.latent is None:
            raise InputError("this model has no latent, and nothing to infer; remedy: without --aggressive")
        return iter(self.encoder.latent.recognition_parameters())


def start_as_serban(model: HierarchicalModel) -> None:
    """Recurrent matrices orthogonal, each as one (3H, H), and update gates almost closed: their hidden bias is 2."""
    for gru in (model.encoder.utterance_gru, model.encoder.context_gru, model.decoder.gru):
        for name, parameter in gru.named_parameters():
            if name.startswith("weight_hh"):
                nn.init.orthogonal_(parameter)
            elif name.startswith("bias_hh"):
                nn.init.constant_(parameter.chunk(3)[1], 2.0)  # reset, update, new
