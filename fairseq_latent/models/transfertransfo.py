"""TransferTransfo (Wolf et al., 2019; arXiv 1901.08149): a language model that reads its own persona and the history.

Special tokens tell the speakers apart, a token type says whose every token is. A second head scores candidate replies
(`--criterion double_heads`). Any decoder-only language model can be the body.
"""

from argparse import Namespace
from dataclasses import dataclass, field

import torch
from fairseq.models import register_model, register_model_architecture
from torch import Tensor

from ..data.own_persona import PromptLayout
from ..errors import InputError
from ..gaussian import DiagonalGaussian, LatentOutput
from ..modules.language_models.decoder import DecodedReply
from ..modules.prompts.decoder import ChoiceHead, SpeakerDecoder, side_by_side
from ..modules.prompts.embedding import PromptEmbedding
from ..modules.prompts.encoder import PromptEncoder
from ..ranges import SHARE_BELOW_ONE, Range
from ..text.vocabulary import joined_dictionary
from .language_model_config import FOUND, LanguageModelConfig, words_and_body
from .latent_model import LatentModel, fairseq_form, set_defaults

LONGEST_CONTEXT = 1 << 20  # tokens: what a prompt has no room for is left out of it


@dataclass
class TransferTransfoConfig(LanguageModelConfig):
    max_history: int = field(
        default=2,
        metadata={"help": "read the last 2 N + 1 utterances of the history (N); -1: all", "range": Range(-1)},
    )
    choice_dropout: float = field(
        default=0.1,
        metadata={"help": "dropout before the head that scores candidates", "range": SHARE_BELOW_ONE},
    )


@register_model("transfertransfo", dataclass=TransferTransfoConfig)
class TransferTransfoModel(LatentModel):
    """--arch transfertransfo"""

    encoder: PromptEncoder
    decoder: SpeakerDecoder
    posterior_inputs = ("distractors",)  # what training and validation read alone
    says_words_alone = True
    found_options: dict  # of the language model's folder, for the checkpoint, which is loaded without it

    def __init__(self, encoder: PromptEncoder, decoder: SpeakerDecoder, layout: PromptLayout, choice_dropout: float):
        super().__init__(encoder, decoder, latent_dim=0)
        self.prompt_layout, self.choice_dropout = layout, choice_dropout
        self.choice_head: ChoiceHead | None = None

    @classmethod
    def build_model(cls, cfg: TransferTransfoConfig, task) -> "TransferTransfoModel":
        """Everything the configuration says ends here: the parts take plain arguments."""
        if not getattr(task, "reads_profiles", False):
            raise InputError("this task gives transfertransfo no persona; remedy: --task persona_dialogue")
        dictionary = joined_dictionary(task)
        embed_tokens, body = words_and_body(cfg, dictionary)
        response = cfg.positions // 4  # of the positions that prompt and reply share, one for the speaker's token
        layout = speakers(
            dictionary, 2 * cfg.max_history + 1 if cfg.max_history >= 0 else 0, cfg.positions - response - 1
        )
        embedding = PromptEmbedding(embed_tokens, 2, cfg.positions, dictionary)
        (opening,), (reply_type, _) = layout.reply, layout.types
        decoder = fairseq_form(SpeakerDecoder)(dictionary, embedding, body, response, opening, reply_type)
        made = cls(
            fairseq_form(PromptEncoder)(dictionary, embedding, LONGEST_CONTEXT), decoder, layout, cfg.choice_dropout
        )
        made.found_options = {name: getattr(cfg, name) for name in FOUND}
        return made

    def add_choice_head(self) -> None:
        """Build the head that scores candidates, which only a criterion that uses it asks for."""
        if self.choice_head is None:
            self.choice_head = self.new_choice_head().to(
                self.encoder.embed_tokens.weight
            )  # a checkpoint may bring it late

    def new_choice_head(self) -> torch.nn.Module:
        """States at the ends of candidates (..., D) -> scores (...)."""
        return ChoiceHead(self.encoder.embed_tokens.embedding_dim, self.choice_dropout)

    def upgrade_state_dict_named(self, state_dict: dict, name: str) -> None:
        """A checkpoint brings its head; where it has none, a new head stays as it was initialised."""
        super().upgrade_state_dict_named(state_dict, name)
        prefix = f"{name}.choice_head." if name else "choice_head."
        if any(key.startswith(prefix) for key in state_dict):
            self.add_choice_head()
        elif self.choice_head is not None:
            state_dict.update({prefix + key: value for key, value in self.choice_head.state_dict().items()})

    def forward(
        self,
        src_tokens: Tensor,
        src_lengths: Tensor,
        prev_output_tokens: Tensor,
        target: Tensor | None = None,
        distractors: Tensor | None = None,
        **inputs,
    ):
        """With a target (B, T) and a head: packed logits (N, V) of the right reply, {"latent": LatentOutput with `choice`}.

        distractors (B, C - 1, R): wrong replies. Otherwise as `LatentModel.forward`.
        """
        if target is None or self.choice_head is None:
            return super().forward(src_tokens, src_lengths, prev_output_tokens, target, **inputs)
        read = self.branches(inputs["prompt"], inputs.get("prompt_types"), side_by_side(distractors, target, self.pad))
        nothing = self.encoder.nothing(src_tokens)
        choice = self.choice_head(read.ends()).masked_fill(read.lengths.eq(0), -torch.inf)
        logits = self.decoder.project(read.before(-1))
        return logits, {"latent": LatentOutput(nothing.mean, nothing, nothing, choice=choice)}

    @property
    def pad(self) -> int:
        """The id of pads."""
        return self.encoder.embedding.pad

    def branches(self, prompt: Tensor, prompt_types: Tensor | None, candidates: Tensor):
        """Prompts (B, L), candidates (B, C, R) with their ends -> `Branches`."""
        return self.decoder.branches(self.encoder.embedding.prompt(prompt, prompt_types), candidates)

    @torch.no_grad()
    def score_replies(self, net_input: dict, candidates: Tensor) -> dict[str, Tensor]:
        """Candidates (B, C, R) -> {"nll": (B, C) nats, "choice": (B, C) where there is a head}."""
        read = self.branches(net_input["prompt"], net_input.get("prompt_types"), candidates)
        scores = {"nll": self.decoder.nll(read)}
        return scores if self.choice_head is None else scores | {"choice": self.choice_head(read.ends())}

    def distributions(
        self,
        src_tokens: Tensor,
        prev_output_tokens: Tensor,
        target: Tensor,
        prompt: Tensor,
        prompt_types: Tensor | None = None,
        distractors: Tensor | None = None,
    ) -> tuple[DiagonalGaussian, DiagonalGaussian, DecodedReply]:
        """Two Gaussians of no dimension, and the replies."""
        nothing = self.encoder.nothing(src_tokens)
        read = self.encoder.embedding.prompt(prompt, prompt_types)
        return nothing, nothing, DecodedReply(self.decoder, read, prev_output_tokens, target)


def speakers(dictionary, max_utterances: int, longest: int) -> PromptLayout:
    """<s> persona, <speaker2> utterance, <speaker1> utterance, ...: the two are ids beyond the dictionary."""
    own, partner = len(dictionary), len(dictionary) + 1
    return PromptLayout(
        persona=((dictionary.bos(),), ()), own=((own,), ()), partner=((partner,), ()), reply=(own,), types=(own, partner),
        max_utterances=max_utterances, longest=longest,
    )  # fmt: skip


def small(args: Namespace) -> None:
    """The sizes of the smallest GPT-2, 124M, and so of GPT, the authors' body."""
    set_defaults(args, embed_dim=768, layers=12, heads=12)


def tiny(args: Namespace) -> None:
    """2 layers of 16: for tests."""
    set_defaults(args, embed_dim=16, layers=2, heads=2, positions=128)


register_model_architecture("transfertransfo", "transfertransfo_small")(small)
register_model_architecture("transfertransfo", "transfertransfo_tiny")(tiny)
