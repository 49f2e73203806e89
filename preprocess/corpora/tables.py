"""Any corpus that is a table, a turn or a conversation per row, by the names of its columns; or lines of text."""

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from fairseq_latent.errors import InputError, missing_extra
from fairseq_latent.memory import available_memory

from ..conversation import Conversation
from .records import account_of, add_text_arguments, conversation, texts_of

ROWS = 10_000  # fetched at once
SHOWN = 20  # columns in a message
KINDS = (".csv", ".tsv", ".parquet", ".txt")
PLAIN = (
    "header=false, auto_detect=false, delim='\x1f', quote='', escape='', columns={'line': 'VARCHAR'}, strict_mode=false"
)
DELIMITED = "header=true, all_varchar=true, strict_mode=false, null_padding=true"
QUOTED = """, quote='"', escape='"'"""

TABULATOR = ", delim='\t', quote='', escape=''"  # in such files, a quotation mark is mostly a character of the text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The columns."""
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help=".csv, .tsv (also .gz), .parquet, or .txt: one column, `line`")
    add("--text", required=True, metavar="COLUMN", help="what is said")
    add("--conversation", metavar="COLUMN", help="rows that have the same here are one (default: each row is one)")
    add("--speaker", metavar="COLUMN", help="who says it (default: two take turns)")
    add("--order", metavar="COLUMN", help="a number or time by which turns are put in order (default: as they stand)")
    add_text_arguments(parser)


def read(options: argparse.Namespace, counts: Counter) -> Iterator[Conversation]:
    """The rows, a conversation at a time; conversations in the order in which they begin in the file."""
    try:
        from .tweets.database import database
    except ImportError:
        raise missing_extra("duckdb", "tweets") from None
    texts, path = texts_of(options), options.file
    if not path.is_file():
        raise InputError(f"{path}: no such file; remedy: a table (.csv, .tsv, .parquet or .txt)")
    if _kind(path) not in KINDS:
        raise InputError(f"{path}: not a table by its name; remedy: one of {', '.join(KINDS)}, also with .gz")
    if set(str(path)) & set("*?["):
        raise InputError(f"{path}: its name means several files to DuckDB; remedy: rename it")
    memory = f"{max(256, available_memory() // 2_000_000)}MB"
    with (
        tempfile.TemporaryDirectory() as spill,
        database(path, memory, 1, Path(spill, "spill")) as base,
    ):
        table = _table(path)
        columns = [str(row[0]) for row in base.execute(f"DESCRIBE FROM {table}").fetchall()]
        for name in (options.text, options.conversation, options.speaker, options.order):
            if name is not None and name not in columns:
                raise InputError(f"{path} has no column {name!r}; remedy: one of {', '.join(columns[:SHOWN])}")
        found = base.execute(_query(options, table))
        rows = (row for block in iter(lambda: found.fetchmany(ROWS), []) for row in block)
        for (_, name), turns in groupby(rows, key=lambda row: row[:2]):
            if name is None:
                counts["left out rows of no conversation"] += sum(1 for _ in turns)
                continue
            said = [
                (speaker, each) for _, _, speaker, text in turns for each in ([None] if text is None else texts(text))
            ]
            made = conversation(name, said, None, path.name.partition(".")[0], counts)
            if made is not None:
                counts["kept"] += 1
                yield made
    if not counts["kept"]:
        raise InputError(f"{path}: no conversations; {account_of(counts, 0)}; remedy: other columns")


def account(counts: Counter, kept: int) -> str:
    """One line about what was read."""
    return account_of(counts, kept)


def _table(path: Path) -> str:
    quoted = "'" + str(path).replace("'", "''") + "'"
    kind = _kind(path)
    if kind == ".parquet":
        return f"read_parquet({quoted})"
    return f"read_csv({quoted}, {PLAIN if kind == '.txt' else DELIMITED + (TABULATOR if kind == '.tsv' else QUOTED)})"


def _kind(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _query(options: argparse.Namespace, table: str) -> str:
    """(number of the conversation's first row, id, speaker, text), conversation by conversation."""

    def column(name: str | None) -> str:
        return "NULL" if name is None else f'CAST("{name.replace(chr(34), chr(34) * 2)}" AS VARCHAR)'

    stem = options.file.name.partition(".")[0].replace("'", "''")
    identity = column(options.conversation) if options.conversation else f"'{stem}-' || row_number() OVER ()"
    number, text = f"try_cast({column(options.order)} AS DOUBLE)", column(options.order)  # both NULL without --order
    return f"""
        SELECT min(place) OVER (PARTITION BY identity) AS begins, identity, speaker, said
        FROM (SELECT {identity} AS identity, {column(options.speaker)} AS speaker, {column(options.text)} AS said,
                     row_number() OVER () AS place, {number} AS number, {text} AS word
              FROM {table})
        ORDER BY begins, number, word, place"""
