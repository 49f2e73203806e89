"""Reads the Chit-Chat Challenge of BYU, packaged as `chitchat-dataset` (MIT): the quickstart's real conversations."""

import argparse
import importlib.util
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from fairseq_latent.errors import InputError, missing_extra
from fairseq_latent.text.json_values import loads

from ..conversation import Conversation, Turn

PACKAGE = "chitchat-dataset"


def packaged_file() -> Path:
    """Where the installed package keeps its dataset.json; the package itself is not executed."""
    spec = importlib.util.find_spec("chitchat_dataset")
    if spec is None or not spec.submodule_search_locations:
        raise missing_extra(PACKAGE, "quickstart")
    return Path(spec.submodule_search_locations[0]) / "dataset.json"


def read_chitchat(path: str | Path | None = None, counts: Counter | None = None) -> Iterator[Conversation]:
    """Yield the conversations of dataset.json; consecutive messages of one sender are one turn.

    `counts`, where given, is filled with "conversations" and "messages" read; conversations that nobody wrote in are
    left out.
    """
    path = packaged_file() if path is None else Path(path)
    counts = Counter() if counts is None else counts
    for identity, record in _load(path).items():
        try:
            messages = record["messages"]
            turns = tuple(_turn(block) for block in messages if block)
            counts.update(conversations=1, messages=sum(map(len, messages)))
        except (KeyError, TypeError) as error:
            raise InputError(
                f"{path}: conversation {identity}: not the form of {PACKAGE} 0.9.0 ({error!r}); "
                f"remedy: pip install --force-reinstall {PACKAGE}==0.9.0"
            ) from None
        if turns:
            yield Conversation(identity, turns, lang="en", source=PACKAGE)


def _load(path: Path) -> dict[str, dict]:
    try:
        data = loads(path.read_bytes())
    except ValueError as error:  # no JSON or no UTF-8
        raise InputError(f"{path}: {error}; remedy: pip install --force-reinstall {PACKAGE}") from None
    if not isinstance(data, dict):
        raise InputError(f"{path}: not an object of conversations; remedy: pip install --force-reinstall {PACKAGE}")
    return data


def _turn(block: list[dict]) -> Turn:
    """[{text, timestamp, sender}, ...] of one sender -> one turn, with the time of the first message."""
    text = " ".join(message["text"] for message in block)
    return Turn(block[0]["sender"], text, time=block[0]["timestamp"])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this corpus."""
    parser.add_argument("--dataset", metavar="FILE", help="a dataset.json; default: the one of the installed package")


def read(options: argparse.Namespace, counts: Counter) -> Iterator[Conversation]:
    """What the flags ask for; counts what is read and what is left out."""
    return read_chitchat(options.dataset, counts)


def account(counts: Counter, kept: int) -> str:
    """One line about what was read, once `kept` conversations are written."""
    return f"{counts['conversations']:,} conversations, {counts['messages']:,} messages read, {kept:,} kept"
