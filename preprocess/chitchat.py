"""Reads the Chit-Chat Challenge of BYU, packaged as `chitchat-dataset` (MIT): the quickstart's real conversations."""

import argparse
import importlib.util
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from fairseq_latent.errors import InputError, missing_extra, run
from fairseq_latent.text.json_values import loads

from .conversation import Conversation, Turn, write_conversations

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


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m preprocess.chitchat",
        description="Write the Chit-Chat Challenge conversations (English, pip install 'fairseq_latent[quickstart]') "
        "as conversations.jsonl.",
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="conversations.jsonl (or .jsonl.gz) to write")
    parser.add_argument("--dataset", metavar="FILE", help="a dataset.json; default: the one of the installed package")
    options = parser.parse_args(arguments)
    counts = Counter()
    conversations = read_chitchat(options.dataset, counts)
    kept = write_conversations(options.out, tqdm(conversations, "chitchat", unit=" conversations", disable=None))
    read = f"{counts['conversations']:,} conversations, {counts['messages']:,} messages read"
    print(f"{read}, {kept:,} kept -> {options.out}")


if __name__ == "__main__":
    sys.exit(run(main))
