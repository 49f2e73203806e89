"""`fairseq-latent chat`: talk to a dialogue model in a terminal.

Every turn shows several replies, each from a latent of its own, and for a model with a fader how far the prior would take up
what it believes of you. The first reply goes on with the conversation, or the one whose number you type.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, printable
from ..evaluation.arguments import add_running, add_word_sampling, check_word_sampling
from ..reranking import WITH_MODEL

if TYPE_CHECKING:
    from ..interface import Reply, TrainedModel

LONGEST_NUMBER = 9  # digits
NO_TEXT = re.compile("[\ud800-\udfff]")  # bytes that could not be decoded
HELP = "a number: the reply that goes on with the conversation; /new: another one; /quit"


def shown(reply: "Reply", number: int) -> str:
    """A reply as it is shown."""
    fader = "" if reply.fader is None else f"  (fader {reply.fader:.2f})"
    score = "" if reply.score is None else f"  ({reply.score:.3f})"
    return f"{number}. {reply.text or '(an empty reply)'}{fader}{score}"


@dataclass
class Partner:
    """A model that answers the last turns of a conversation, with the flags of the command."""

    model: "TrainedModel"
    args: argparse.Namespace

    def answer(self, turns: list[str]) -> "list[Reply]":
        """What it could say to the last of the turns, one reply per latent."""
        args = self.args
        (replies,) = self.model.reply(
            [turns], args.replies, beam=args.beam, top_k=args.sampling_topk, top_p=args.sampling_topp,
            max_length=args.max_length, fader=args.fader, persona=args.persona, rerank=args.rerank,
            rerank_model=args.rerank_model, candidates=args.candidates,
        )  # fmt: skip
        return replies

    def unknown(self, text: str) -> list[str]:
        """The words of a turn that the model cannot read."""
        return self.model.unknown_words(text)


@dataclass
class Conversation:
    """The turns so far, and the replies that one of them can still be."""

    partner: Partner
    context_turns: int
    turns: list[str] = field(default_factory=list)
    replies: "list[Reply]" = field(default_factory=list)

    def hear(self, line: str) -> Iterator[str]:
        """Lines to show for what was typed."""
        if line == "/new":
            self.turns, self.replies = [], []
            yield "(a new conversation)"
        elif line.isdecimal() and self.replies:
            number = int(line) if len(line) <= LONGEST_NUMBER else 0
            if 1 <= number <= len(self.replies):
                self.turns[-1] = self.replies[number - 1].text
                yield f"({line} goes on)"
            else:
                yield f"({HELP})"
        elif NO_TEXT.search(line):
            yield f"(not in the terminal's encoding: {line}; type it again)"
        elif line.startswith("/") or not line:
            yield f"({HELP})"
        else:
            if unknown := self.partner.unknown(line):
                yield f"(unknown to the model: {' '.join(unknown)})"
            self.turns.append(line)
            self.replies = self.partner.answer(self.turns[-self.context_turns :])
            yield from (shown(reply, number) for number, reply in enumerate(self.replies, 1))
            self.turns.append(self.replies[0].text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent chat`."""
    parser.add_argument("data", metavar="DATA", help="folder made by fairseq-preprocess, with its subword model")
    parser.add_argument("--path", required=True, metavar="FILE", help="a checkpoint of a dialogue model")
    parser.add_argument("--replies", type=int, default=3, metavar="N", help="replies shown per turn (default: 3)")
    parser.add_argument(
        "--context-turns",
        type=int,
        default=5,
        metavar="N",
        help="turns of the conversation that the model reads (default: 5)",
    )
    parser.add_argument(
        "--persona",
        metavar="FILE_OR_TEXT",
        help="persona of the model, if it reads its own (transfertransfo): "
        "a file with a sentence per line, or one sentence",
    )
    parser.add_argument("--fader", type=float, help="use this value of the fader, from 0 to 1, in place of the prior's")
    parser.add_argument("--beam", type=int, default=0, help="beam search of this width (default: sampling)")
    parser.add_argument(
        "--rerank",
        choices=tuple(WITH_MODEL),
        help="decode --candidates replies and show the best --replies of them, with their scores: by mmi, the context's "
        "log probability given the reply; relevance, the cosine of both; lm, the reply's own log probability",
    )
    parser.add_argument("--rerank-model", metavar="PATH", help=f"of --rerank: {'; '.join(WITH_MODEL.values())}")
    parser.add_argument("--candidates", type=int, metavar="N", help="replies that are ranked (default: 20)")
    add_word_sampling(parser, "reply")
    add_running(parser, "latents and words")


def main(args: argparse.Namespace) -> None:
    """Read what is typed, a line per turn, until the end of the input."""
    from ..interface import load

    for name, least in (("replies", 1), ("context_turns", 1), ("beam", 0)):
        if getattr(args, name) < least:
            raise InputError(f"--{name.replace('_', '-')} {getattr(args, name)}; remedy: {least} or more")
    check_word_sampling(args)
    if not Path(args.path).is_file():
        raise InputError(f"{args.path}: no such checkpoint; remedy: a checkpoint*.pt of the run's --save-dir")
    model = load(args.path, args.data, args.seed, args.cpu)
    if not model.answers_contexts:
        raise InputError(
            f"{args.path} writes its sentence again, it does not answer; remedy: fairseq-latent interpolate"
        )
    if model.reads_own_persona:
        _tell_of_persona(args)

    model.check_options(args.fader, args.persona)
    talk = Conversation(Partner(model, args), args.context_turns)
    typed = sys.stdin.isatty()
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="surrogateescape")  # what is no text is told, and the conversation goes on
    if typed:
        print(f"({HELP})")
    while line := _typed(typed):
        if line.strip() == "/quit":
            break
        for said in talk.hear(line.strip()):
            print(printable(said), flush=True)


def _tell_of_persona(args: argparse.Namespace) -> None:
    """Say so if there is no persona to read, or if the model never learnt to read one."""
    from fairseq import checkpoint_utils

    if args.persona is None:
        print("(it has no persona; --persona FILE, or --persona 'i like tea .')", file=sys.stderr)
    if not checkpoint_utils.load_checkpoint_to_cpu(args.path)["optimizer_history"][-1]["num_updates"]:
        print(
            "(this model has never been trained on dialogues with a persona: it goes on with any text, or says nothing; "
            "scripts/recipes/persona_transfertransfo.sh trains it)",
            file=sys.stderr,
        )


def _typed(prompt: bool) -> str:
    """The next line with its end; nothing at the end of the input."""
    if prompt:
        print("> ", end="", flush=True)
    return sys.stdin.readline()
