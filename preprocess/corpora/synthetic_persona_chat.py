"""Reads Synthetic-Persona-Chat (Jandaghi et al., 2023, https://arxiv.org/abs/2312.10007): machine-written English.

Its `.csv` files have the columns `user 1 personas`, `user 2 personas` (a sentence per line) and
`Best Generated Conversation`, whose lines begin with `User 1:` or `User 2:`, here and there in asterisks. Lines that
name no speaker (stage directions, recipes) are left out.
"""

import argparse
import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from fairseq_latent.errors import InputError

from ..conversation import Conversation, Turn
from .archives import Member, members

SOURCE = "synthetic_persona_chat"
COLUMNS = ("user 1 personas", "user 2 personas", "best generated conversation")
SPLITS = {
    "train": "*_train.csv",
    "valid": "*_valid.csv",
    "test": "*_test.csv",
    "new": "New-Persona*.csv",
    "all": "*.csv",
}
SPOKEN = re.compile(r"([*\s]*)User ([12])[*\s]*:(.*)", re.IGNORECASE)


def read_synthetic_persona_chat(
    path: str | Path, split: str = "all", counts: Counter | None = None
) -> Iterator[Conversation]:
    """Yield the conversations of one split, or of all, with both personas; the id of one is its file and row.

    `path`: an archive, a folder or a `.csv`. `counts` is filled with "conversations" read, "without personas" and
    "without speakers" left out, and of those yielded "turns", "personas" (different ones) and "lines" left out.
    InputError "FILE:LINE: ..." where a file is no CSV of this form.
    """
    counts = Counter() if counts is None else counts
    personas = set()
    for member in members(path, SPLITS[split], plain="*" if split == "all" else SPLITS[split]):
        for row, cells in enumerate(_rows(member), 1):
            counts["conversations"] += 1
            own = {str(user): _sentences(cell) for user, cell in enumerate(cells[:2], 1)}
            turns, unspoken = _turns(cells[2])
            if not all(own.values()):
                counts["without personas"] += 1
            elif not turns:
                counts["without speakers"] += 1
            else:
                personas.update(map(frozenset, own.values()))
                counts.update(turns=len(turns), lines=unspoken)
                counts["personas"] = len(personas)
                yield Conversation(f"{member.stem}-{row}", turns, own, lang="en", source=SOURCE)
    if not counts["turns"]:
        raise InputError(f"{path} has no conversations; remedy: download it again")


def _rows(member: Member) -> Iterator[list[str]]:
    """The cells of the three columns, row by row."""
    rows = csv.reader((f"{line}\n" for _, line in member.lines()), strict=True)
    try:
        names = [name.strip().lower() for name in next(rows, [])]
        for column in COLUMNS:
            if column not in names:
                raise InputError(f"{member.where}:1: no column {column!r}; remedy: give a .csv as it was released")
        places = [names.index(column) for column in COLUMNS]
        for row in rows:
            if len(row) != len(names):
                fields = f"{len(row)} fields, not {len(names)}"
                raise InputError(f"{member.where}:{rows.line_num}: {fields}; remedy: download the file again")
            yield [row[place] for place in places]
    except csv.Error as error:
        raise InputError(f"{member.where}:{rows.line_num}: no CSV ({error}); remedy: download the file again") from None


def _sentences(cell: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in cell.split("\n") if line.strip())


def _turns(cell: str) -> tuple[tuple[Turn, ...], int]:
    """What the two say, and how many lines name no speaker."""
    turns, lines = [], _sentences(cell)
    for line in lines:
        if spoken := SPOKEN.fullmatch(line):
            mark, user, text = spoken.groups()
            turns.append(Turn(user, text.strip("* ") if mark else text.strip()))
    return tuple(turns), len(lines) - len(turns)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this corpus."""
    parser.add_argument("file", metavar="FILE", help="an archive or a folder with the .csv files, or one of them")
    parser.add_argument(
        "--split", choices=SPLITS, default="all", help="official split; new: the part with new personas (default: all)"
    )


def read(options: argparse.Namespace, counts: Counter) -> Iterator[Conversation]:
    """What the flags ask for; counts what is read and what is left out."""
    return read_synthetic_persona_chat(options.file, options.split, counts)


def account(counts: Counter, kept: int) -> str:
    """One line about what was read, once `kept` conversations are written."""
    return (
        f"{counts['conversations']:,} conversations read, {counts['without personas']:,} without both personas and "
        f"{counts['without speakers']:,} without speakers left out, {kept:,} conversations, {counts['turns']:,} turns, "
        f"{counts['personas']:,} personas kept, {counts['lines']:,} lines of no speaker left out of them"
    )
