"""What the readers of JSON and of tables share: texts with speakers, or without, become turns."""

import argparse
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from fairseq_latent.errors import InputError

from ..conversation import Conversation, Turn

SPEAKERS = ("A", "B")  # of turns that name none
SENTENCE_END = re.compile(r"\n+|(?<=[.!?])\s+|(?<=[。！？])\s*")


def add_text_arguments(parser: argparse.ArgumentParser) -> None:
    """What may have to be done to the texts."""
    parser.add_argument(
        "--split", metavar="MARK", help="a text holds several turns with MARK between them, e.g. __eou__"
    )
    parser.add_argument(
        "--replace",
        action="append",
        type=replacement,
        default=[],
        metavar="OLD=NEW",
        help="write NEW for OLD in all texts, e.g. _comma_=, ; may be repeated",
    )


def replacement(text: str) -> tuple[str, str]:
    """`_comma_=,` -> ("_comma_", ",")."""
    old, mark, new = text.partition("=")
    if not (old and mark):
        raise argparse.ArgumentTypeError(f"{text!r} is no replacement, like _comma_=,")
    return old, new


def texts_of(options: argparse.Namespace) -> Callable[[str], list[str]]:
    """The function from a text to the texts of its turns."""
    if options.split == "":
        raise InputError("--split '': nothing stands between any two characters; remedy: the mark, e.g. __eou__")

    def texts(text: str) -> list[str]:
        for old, new in options.replace:
            text = text.replace(old, new)
        parts = [text] if options.split is None else [each for each in text.split(options.split) if each.strip()]
        return [each.strip() for each in parts]

    return texts


def conversation(
    identity: str, said: Sequence[tuple[Any, Any]], personas: dict[str, list[str]] | None, source: str, counts: Counter
) -> Conversation | None:
    """(speaker, text) of each turn -> a conversation; None, and its reason counted, where it is none.

    If no turn names a speaker, two take turns.
    """
    counts["conversations"] += 1
    counts["turns"] += len(said)
    unnamed = all(speaker is None for speaker, _ in said)
    names = [SPEAKERS[i % 2] if unnamed else name_of(speaker) for i, (speaker, _) in enumerate(said)]
    reason = (
        "without turns"
        if not said
        else "with a turn without text"
        if not all(isinstance(text, str) for _, text in said)
        else "with a turn without speaker"
        if not all(names)
        else None
    )
    if reason:
        counts[f"left out {reason}"] += 1
        return None
    turns = tuple(Turn(str(name), text) for name, (_, text) in zip(names, said, strict=True))
    return Conversation(identity, turns, personas, source=source)


def name_of(value: Any) -> str | None:
    """A speaker or an id: a text or a whole number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip() or None


def sentences(persona: Any) -> list[str] | None:
    """Of a persona: a list as it is, a text sentence by sentence; None for anything else."""
    if isinstance(persona, str):
        return [each.strip() for each in SENTENCE_END.split(persona) if each.strip()]
    if isinstance(persona, list) and all(isinstance(each, str) for each in persona):
        return persona
    return None


def account_of(counts: Counter, kept: int) -> str:
    """One line about what was read."""
    reasons = [f"{count:,} {name}" for name, count in sorted(counts.items()) if name.startswith("left out") and count]
    reasons += [f"{counts['personas left out']:,} personas that are none"] * bool(counts["personas left out"])
    line = f"{counts['conversations']:,} conversations, {counts['turns']:,} turns read, {kept:,} conversations kept"
    return "; ".join([line, *reasons])
