"""Reads contexts and responses: two text files whose lines belong together, the form that `preprocess.split` writes.

The turns of a context are joined by ` <eot> `. Every pair becomes a conversation of its own, its response the last turn;
speakers A and B take turns.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from fairseq_latent.errors import InputError
from fairseq_latent.symbols import EOT

from ..conversation import Conversation, Turn
from ..lines import check_parallel, read_lines


def read_pairs(
    source: str | Path, target: str | Path, lang: str | None = None, counts: Counter | None = None
) -> Iterator[Conversation]:
    """Yield a conversation a line, in order; the id of one is the source file's name and the line's number.

    `counts` is filled with "pairs" read, "empty" ones left out, where a turn or the response is empty, and "turns"
    yielded. InputError where the files are empty, of different lengths or no UTF-8, or a response has turns.
    """
    counts = Counter() if counts is None else counts
    check_parallel([source, target])
    for number, (context, response) in enumerate(zip(read_lines(source), read_lines(target), strict=True), 1):
        if EOT in response:
            raise InputError(f"{target}:{number}: {EOT} in a response; remedy: keep its last turn, or swap the files")
        texts = [text.strip() for text in (*context.split(EOT), response)]
        counts.update(pairs=1, empty=int(not all(texts)))
        if all(texts):
            counts["turns"] += len(texts)
            turns = tuple(Turn("AB"[index % 2], text) for index, text in enumerate(texts))
            yield Conversation(f"{Path(source).stem}-{number}", turns, lang=lang, source="pairs")
    if not counts["turns"]:
        raise InputError(f"{source} and {target} have no pair without an empty turn; remedy: give other files")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this corpus."""
    parser.add_argument("source", metavar="SRC", help=f"a context a line, its turns joined by ' {EOT} ' (or .gz)")
    parser.add_argument("target", metavar="TGT", help="a response per line (or .gz)")
    parser.add_argument("--lang", metavar="CODE", help="language to note in every conversation, e.g. en or ja")


def read(options: argparse.Namespace, counts: Counter) -> Iterator[Conversation]:
    """What the flags ask for; counts what is read and what is left out."""
    return read_pairs(options.source, options.target, options.lang, counts)


def account(counts: Counter, kept: int) -> str:
    """One line about what was read, once `kept` conversations are written."""
    return (
        f"{counts['pairs']:,} pairs read, {counts['empty']:,} with an empty turn left out, "
        f"{kept:,} conversations, {counts['turns']:,} turns kept"
    )
