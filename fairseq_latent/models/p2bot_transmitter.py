"""P²BOT's transmitter: a language model that reads its own persona, a head for the next utterance (Liu et al., 2020).

`<pstart> persona <pend>`, then the partner's utterances within `<t1start> <t1end>` and one's own as they are, then `<start>`
and the reply. The head says of a reply whether it is the next utterance (`--criterion double_heads`). Any decoder-only
language model can be the body; the authors' is GPT.
"""

from argparse import Namespace
from dataclasses import dataclass, field

from fairseq.models import register_model, register_model_architecture
from torch import nn

from ..data.own_persona import PromptLayout
from ..errors import InputError
from ..modules.prompts.decoder import SpeakerDecoder
from ..modules.prompts.embedding import PromptEmbedding
from ..modules.prompts.encoder import PromptEncoder
from ..modules.prompts.next_utterance import NextUtteranceHead
from ..ranges import SHARE_BELOW_ONE, Range
from ..text.vocabulary import joined_dictionary
from .language_model_config import FOUND, LanguageModelConfig, words_and_body
from .latent_model import fairseq_form, set_defaults
from .transfertransfo import LONGEST_CONTEXT, TransferTransfoModel

SPECIALS = 5  # <pstart> <pend> <t1start> <t1end> <start>: ids beyond the dictionary


@dataclass
class P2BotTransmitterConfig(LanguageModelConfig):
    max_context_tokens: int = field(
        default=256,
        metadata={
            "help": "tokens of persona and history that are read; the oldest utterances of longer ones are left out whole, "
            "the persona stays",
            "range": Range(8),
        },
    )
    max_reply_tokens: int = field(
        default=32,
        metadata={
            "help": "the longest reply with its end, in tokens; longer ones are cut, in training too",
            "range": Range(2),
        },
    )
    choice_dropout: float = field(
        default=0.2,
        metadata={"help": "dropout before the next-utterance head", "range": SHARE_BELOW_ONE},
    )


@register_model("p2bot_transmitter", dataclass=P2BotTransmitterConfig)
class P2BotTransmitterModel(TransferTransfoModel):
    """--arch p2bot_transmitter"""

    choice_loss = "binary"  # asked by the criterion: is this the next utterance, of every candidate by itself
    persona_order = "shuffle"  # of training: no order of its sentences is learnt
    cuts_replies = True

    @classmethod
    def build_model(cls, cfg: P2BotTransmitterConfig, task) -> "P2BotTransmitterModel":
        """Everything the configuration says ends here: the parts take plain arguments."""
        if not getattr(task, "reads_profiles", False):
            raise InputError("this task gives p2bot_transmitter no persona; remedy: --task persona_dialogue")
        dictionary = joined_dictionary(task)
        embed_tokens, body = words_and_body(cfg, dictionary)
        room = cfg.positions - cfg.max_reply_tokens - 1  # <start> has one
        if room < 8:
            raise InputError(
                f"--positions {cfg.positions} have no room for --max-reply-tokens {cfg.max_reply_tokens} and a context; "
                "remedy: fewer, or more positions"
            )
        layout = wrapped_partner(dictionary, min(cfg.max_context_tokens, room))
        embedding = PromptEmbedding(embed_tokens, SPECIALS, cfg.positions, dictionary)
        decoder = fairseq_form(SpeakerDecoder)(dictionary, embedding, body, cfg.max_reply_tokens, layout.reply[0], None)
        made = cls(
            fairseq_form(PromptEncoder)(dictionary, embedding, LONGEST_CONTEXT), decoder, layout, cfg.choice_dropout
        )
        made.found_options = {name: getattr(cfg, name) for name in FOUND}
        return made

    def new_choice_head(self) -> nn.Module:
        """Whether a reply is the next utterance."""
        return NextUtteranceHead(self.encoder.embed_tokens.embedding_dim, self.choice_dropout)


def wrapped_partner(dictionary, longest: int) -> PromptLayout:
    """<pstart> persona <pend> <t1start> the partner's <t1end> one's own ... <start>; at most `longest` tokens."""
    persona_start, persona_end, turn_start, turn_end, start = range(len(dictionary), len(dictionary) + SPECIALS)
    return PromptLayout(
        persona=((persona_start,), (persona_end,)),
        partner=((turn_start,), (turn_end,)),
        reply=(start,),
        longest=longest,
    )


def small(args: Namespace) -> None:
    """The sizes of the smallest GPT-2, 124M, and so of GPT, the authors' body."""
    set_defaults(args, embed_dim=768, layers=12, heads=12, positions=512)


def tiny(args: Namespace) -> None:
    """2 layers of 16: for tests."""
    set_defaults(args, embed_dim=16, layers=2, heads=2, positions=128)


register_model_architecture("p2bot_transmitter", "p2bot_transmitter_small")(small)
register_model_architecture("p2bot_transmitter", "p2bot_transmitter_tiny")(tiny)
