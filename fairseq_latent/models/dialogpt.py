"""DialoGPT (Zhang et al., 2020; arXiv 1911.00536): a language model that goes on with the turns of a dialogue.

One token ends turns and the response alike, there are neither token types nor latents, and no profile is read. Any
decoder-only language model can be the body.
"""

from argparse import Namespace
from dataclasses import dataclass, field

from fairseq.dataclass import ChoiceEnum
from fairseq.models import register_model, register_model_architecture
from torch import Tensor

from ..gaussian import DiagonalGaussian
from ..modules.language_models.turns import DecodedTurns, TurnsDecoder
from ..modules.prompts.embedding import PromptEmbedding
from ..modules.prompts.encoder import PromptEncoder
from ..symbols import EOT
from ..text.vocabulary import index_of, joined_dictionary
from .language_model_config import FOUND, LanguageModelConfig, words_and_body
from .latent_model import LatentModel, fairseq_form, set_defaults

LOSS_ON = ("all-turns", "response")


@dataclass
class DialoGPTConfig(LanguageModelConfig):
    symbols_from: ChoiceEnum(["mean", "end"]) = field(  # type: ignore[valid-type]
        default="end",
        metadata={
            "help": "what symbols that --lm-path lacks start as: <eot> and </s> as its end of text, which ends turns and "
            "responses in DialoGPT; or near the mean of its rows"
        },
    )
    loss_on: ChoiceEnum(LOSS_ON) = field(  # type: ignore[valid-type]
        default="all-turns",
        metadata={
            "help": "tokens that are trained: all turns after the first one and the response, as DialoGPT, or the response "
            "alone; validation is of the response alone"
        },
    )


@register_model("dialogpt", dataclass=DialoGPTConfig)
class DialoGPTModel(LatentModel):
    """--arch dialogpt"""

    encoder: PromptEncoder
    decoder: TurnsDecoder
    says_words_alone = True  # asked by tasks: no special token is decoded
    reads_turns = True  # asked by tasks: contexts without <eot> are worth a warning
    found_options: dict  # of the language model's folder, for the checkpoint, which is loaded without it

    def __init__(self, encoder: PromptEncoder, decoder: TurnsDecoder, loss_on: str):
        super().__init__(encoder, decoder, latent_dim=0)
        self.loss_on = loss_on

    @classmethod
    def build_model(cls, cfg: DialoGPTConfig, task) -> "DialoGPTModel":
        """Everything the configuration says ends here: the parts take plain arguments."""
        dictionary = joined_dictionary(task)
        embed_tokens, body = words_and_body(cfg, dictionary)
        embedding = PromptEmbedding(embed_tokens, 0, cfg.positions, dictionary)
        response = cfg.positions // 4  # of the positions that context and response share
        end_of_turn = index_of(dictionary, EOT)
        encoder = fairseq_form(PromptEncoder)(dictionary, embedding, cfg.positions - response)
        decoder = fairseq_form(TurnsDecoder)(dictionary, embedding, body, response, end_of_turn)
        made = cls(encoder, decoder, str(cfg.loss_on))
        made.found_options = {name: getattr(cfg, name) for name in FOUND}
        return made

    def distributions(
        self, src_tokens: Tensor, prev_output_tokens: Tensor, target: Tensor
    ) -> tuple[DiagonalGaussian, DiagonalGaussian, DecodedTurns]:
        """Two Gaussians of no dimension, and the responses."""
        nothing = self.encoder.nothing(src_tokens)
        return nothing, nothing, DecodedTurns(self.decoder, src_tokens, prev_output_tokens, target)

    def further_losses(self, decoded: DecodedTurns) -> dict[str, Tensor]:
        """{"turns_nll": (B,) nats}: the turns of the context after the first one."""
        return {"turns_nll": decoded.turns_nll()} if self.loss_on == "all-turns" else {}


def small(args: Namespace) -> None:
    """The sizes of the smallest GPT-2, 124M."""
    set_defaults(args, embed_dim=768, layers=12, heads=12)


def tiny(args: Namespace) -> None:
    """2 layers of 16: for tests."""
    set_defaults(args, embed_dim=16, layers=2, heads=2, positions=128)


register_model_architecture("dialogpt", "dialogpt_small")(small)
register_model_architecture("dialogpt", "dialogpt_tiny")(tiny)
