"""`fairseq-latent chat`: talk to a dialogue model in a terminal.

Every turn shows several replies, each from a latent of its own, and for a model with a fader how far the prior would take up
what it believes of you. The first reply goes on with the conversation, or the one whose number you type.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..errors import InputError, printable
from ..evaluation.analysis.checkpoint import Trained, load
from ..evaluation.arguments import add_word_sampling, check_word_sampling
from ..symbols import EOT
from ..text.tokenizers import Pieces, pieces_of
from ..text.vocabulary import index_of

LONGEST_NUMBER = 9  # digits
NO_TEXT = re.compile("[\ud800-\udfff]")  # bytes that could not be decoded
HELP = "a number: the reply that goes on with the conversation; /new: another one; /quit"


@dataclass(frozen=True)
class Reply:
    """Text, and how far its fader goes, from 0 to 1, where the model has one."""

    text: str
    fader: float | None = None

    def line(self, number: int) -> str:
        """As it is shown."""
        fader = "" if self.fader is None else f"  (fader {self.fader:.2f})"
        return f"{number}. {self.text or '(an empty reply)'}{fader}"


class Partner:
    """A model that answers the last turns of a conversation."""

    def __init__(self, trained: Trained, pieces: Pieces, replies: int, generation):
        self.trained, self.pieces, self.replies = trained, pieces, replies
        self.generator = trained.task.build_generator([trained.model], generation)

    def answer(self, turns: list[str]) -> list[Reply]:
        """What it could say to the last of the turns, a reply a latent."""
        import torch

        from ..data.newest_turns import newest_turns

        task, model = self.trained.task, self.trained.model
        line = self.pieces.encode(f" {EOT} ".join(turns))
        tokens = task.source_dictionary.encode_line(line, add_if_not_exist=False).long()
        words = task.source_dictionary
        tokens = newest_turns(tokens, model.max_positions()[0], index_of(words, EOT))
        dataset = task.build_dataset_for_inference([tokens], [len(tokens)])
        sample = dataset.collater([dataset[0]])
        net_input = {name: value for name, value in sample["net_input"].items() if name != "noise_seed"}
        net_input = {
            name: value.to(self.trained.device) if torch.is_tensor(value) else value
            for name, value in net_input.items()
        }
        with torch.no_grad():
            (beams,) = task.inference_step(self.generator, [model], {**sample, "net_input": net_input})
        texts = [self._text(beam["tokens"]) for beam in beams[: self.replies]]
        return [Reply(text, fader) for text, fader in zip(texts, self._faders(net_input), strict=True)]

    def unknown(self, text: str) -> list[str]:
        """The words of a turn that the model cannot read, in part or at all."""
        dictionary = self.trained.task.source_dictionary
        return [
            word
            for word in text.split()
            if any(dictionary.index(piece) == dictionary.unk() for piece in self.pieces.encode(word).split())
        ]

    def _faders(self, net_input: dict) -> list[float | None]:
        """Of each reply, in its order."""
        import torch

        from ..decoding.search import content_seeds, expand_contexts

        latents = getattr(self.trained.model.encoder, "latents", None)
        if latents is None:
            return [None] * self.replies
        task = self.trained.task
        seeds = content_seeds(net_input["src_tokens"], task.source_dictionary.pad(), task.cfg.seed)
        inputs = {**net_input, "noise_seed": seeds, **task.drawing()}
        inputs = expand_contexts(inputs, self.replies) if self.replies > 1 else inputs
        inputs.pop("prev_output_tokens", None)
        with torch.no_grad():
            return latents.number(self.trained.model.encoder(**inputs)["fader"][0]).tolist()

    def _text(self, tokens) -> str:
        return self.pieces.decode(self.trained.task.target_dictionary.string(tokens))


@dataclass
class Conversation:
    """The turns so far, and the replies that one of them can still be."""

    partner: Partner
    context_turns: int
    turns: list[str] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)

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
            yield from (reply.line(number) for number, reply in enumerate(self.replies, 1))
            self.turns.append(self.replies[0].text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent chat`."""
    parser.add_argument("data", metavar="DATA", help="folder made by fairseq-preprocess, with its subword model")
    parser.add_argument("--path", required=True, metavar="FILE", help="a checkpoint of a dialogue model")
    parser.add_argument("--replies", type=int, default=3, metavar="N", help="shown a turn (default: 3)")
    parser.add_argument("--context-turns", type=int, default=5, metavar="N", help="that it remembers (default: 5)")
    parser.add_argument(
        "--persona",
        metavar="FILE_OR_TEXT",
        help="what the model is to be like, of models that read a persona of their own (transfertransfo): a file with a "
        "sentence per line, or one sentence",
    )
    parser.add_argument("--fader", type=float, help="set the fader by hand, from 0 to 1")
    parser.add_argument("--beam", type=int, default=0, help="beam search of this width (default: sampling)")
    add_word_sampling(parser, "reply")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other replies (default: 1)")
    parser.add_argument("--cpu", action="store_true", help="leave a GPU alone")


def main(args: argparse.Namespace) -> None:
    """Read what is typed, a line a turn, until the end of the input."""
    from fairseq.dataclass.configs import GenerationConfig

    for name, least in (("replies", 1), ("context_turns", 1), ("beam", 0)):
        if getattr(args, name) < least:
            raise InputError(f"--{name.replace('_', '-')} {getattr(args, name)}; remedy: {least} or more")
    check_word_sampling(args)
    options = {"latent_samples": args.replies}
    if args.fader is not None:
        options["fader"] = args.fader
    if args.persona is not None:
        options["persona"] = args.persona
    trained = load(args.path, args.data, None, args.seed, args.cpu, **options)
    if not getattr(trained.task, "reads_context", True):
        raise InputError(
            f"{args.path} writes its sentence again, it does not answer; remedy: fairseq-latent interpolate"
        )
    if args.fader is not None and getattr(trained.model.encoder, "latents", None) is None:
        raise InputError(f"--fader {args.fader}: {args.path} has no fader; remedy: a checkpoint of persona_cvae_gpt2")
    _check_persona(args, trained)
    search = {"beam": args.beam} if args.beam else {
        "beam": 1, "sampling": True, "sampling_topk": args.sampling_topk, "sampling_topp": args.sampling_topp,
    }  # fmt: skip
    generation = GenerationConfig(max_len_a=0, max_len_b=args.max_length, **search)
    talk = Conversation(Partner(trained, pieces_of(args.data), args.replies, generation), args.context_turns)
    typed = sys.stdin.isatty()
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="surrogateescape")  # what is no text is told, and the conversation goes on
    if typed:
        print(f"({HELP})")
    while line := _typed(typed):
        if line.strip() == "/quit":
            break
        for shown in talk.hear(line.strip()):
            print(printable(shown), flush=True)


def _check_persona(args: argparse.Namespace, trained: Trained) -> None:
    """Refuse a persona that no one reads; say so where the model never learnt to read one."""
    from fairseq import checkpoint_utils

    if getattr(trained.model, "prompt_layout", None) is None:
        if args.persona is not None:
            raise InputError(
                f"--persona: {args.path} reads no persona of its own; remedy: a checkpoint of transfertransfo, or without it"
            )
        return
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
