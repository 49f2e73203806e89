"""What DuckDB could not make a tweet of, read again one by one: objects that share a line or take several, other forms of
tweets, JSON that is no tweet, and what is broken."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

from .decompress import MAX_LINE
from .json_text import BROKEN, values
from .other_forms import is_known, itself, keys_of, line_of, within

FORMS = 50  # of which the keys are remembered
SHOWN = 60  # characters of a broken line


@dataclass
class Findings:
    """Counts of lines, and what a message can show of them: where something is broken, the keys of what is no tweet."""

    counts: Counter = field(default_factory=Counter)
    broken: str | None = None
    forms: Counter = field(default_factory=Counter)


@dataclass(frozen=True)
class Spooled:
    """Lines of JSON on disk, where each file begins in them, (byte, name), and the owner of what an account downloaded."""

    path: Path
    starts: list[tuple[int, str]]
    owners: Mapping[str, Mapping[str, str]]
    unfolded: frozenset[str] = frozenset()  # files whose objects take several lines


def look_again(
    spooled: Spooled, unread: Iterable[bool], found: Findings, alone: IO[bytes], contained: IO[bytes]
) -> None:
    """Write the tweets that `unread` lines are to `alone`, those that they hold to `contained`; count all else.

    `unread`: for each line that is not blank, in order.
    """
    for where, number, run in _runs(spooled, unread):
        count = 0
        for text, value in _values_of(run):
            for each in _flat(value):
                count += 1
                _judge(each, spooled.owners.get(where, {}), found, alone, contained)
                if each is BROKEN and found.broken is None:
                    place = f", object {number}" if where in spooled.unfolded else f":{number}"
                    found.broken = f"{where}{place}: {text.strip()[:SHOWN]!r}"
        found.counts["lines"] += count - len(run)


def _judge(value: Any, owner: Mapping[str, str], found: Findings, alone: IO[bytes], contained: IO[bytes]) -> None:
    if value is BROKEN or not isinstance(value, dict):
        found.counts["lines broken"] += 1
    elif is_known(value):
        alone.write(line_of(value))
    elif (tweet := itself(value, owner)) is not None:
        alone.write(line_of(tweet))
    elif (tweets := within(value)) is not None:
        found.counts["lines page"] += 1
        contained.writelines(map(line_of, tweets))
    else:
        found.counts["lines other"] += 1
        keys = keys_of(value)
        if keys in found.forms or len(found.forms) < FORMS:
            found.forms[keys] += 1


def _flat(value: Any) -> Iterator[Any]:
    """The objects of a list, one by one; a list without any is one value."""
    if isinstance(value, list) and any(isinstance(each, dict | list) for each in value):
        for each in value:
            yield from _flat(each)
    else:
        yield value


def _values_of(run: list[bytes]) -> Iterator[tuple[str, Any]]:
    if len(run) == 1:
        try:
            yield "", orjson.loads(run[0])
            return
        except orjson.JSONDecodeError:
            pass
    yield from values(b"".join(run).decode("utf-8", "replace"))


def _runs(spooled: Spooled, unread: Iterable[bool]) -> Iterator[tuple[str, int, list[bytes]]]:
    """(file, number of the first line, lines) of the unread lines that follow each other in one file."""
    flags = iter(unread)
    starts = [*spooled.starts, (-1, "")]
    at, place, number, size = 0, 0, 0, 0
    run: list[bytes] = []
    where, first = "", 0
    with open(spooled.path, "rb") as lines:
        for line in lines:
            while at == starts[place][0]:
                if run:
                    yield where, first, run
                    run, size = [], 0
                where, number = starts[place][1], 0
                place += 1
            at += len(line)
            number += 1
            if not line.strip(b" \t\r\n"):
                continue
            if next(flags):
                first = first if run else number
                run.append(line)
                size += len(line)
            if run and (size > MAX_LINE or run[-1] is not line):
                yield where, first, run
                run, size = [], 0
    if run:
        yield where, first, run


def first_row_broken(path: Path, starts: list[tuple[int, str]]) -> str | None:
    """Where the first line stands that is no row of a table."""
    at, place, number = 0, 0, 0
    with open(path, "rb") as lines:
        for line in lines:
            while place < len(starts) and at == starts[place][0]:
                place, number = place + 1, 0
            at += len(line)
            number += 1
            if line.strip() and not (line[:2] in (b"T\t", b"M\t") and line.count(b"\t") >= 7):
                text = line.decode("utf-8", "replace").strip()
                return f"{starts[place - 1][1]}:{number}: {text[:SHOWN]!r}"
    return None
