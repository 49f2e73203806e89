"""Lines of conversations.jsonl -> pairs of a context and its response, and the digests that stand for ids and texts.

A block of the file is read again in every pass over it. The first pass validates; the others trust it.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from orjson import loads

from fairseq_latent.errors import InputError
from fairseq_latent.symbols import EOT

from ..conversation import checked_records
from ..lines import raw_lines
from ..parallel import block_lines

LINE_BREAK = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
WIDTH = 8  # bytes of a digest: among 2 * 10^7, two are equal by chance once in 10^5 corpora


class Pair(NamedTuple):
    """A response and its context.

    The id is that of the conversation and the response's place in it, from 0; `turns` the ids of the context's turns between
    spaces and, after a tabulator, that of the response, or None where one of them has no id.
    """

    id: str
    source: str
    target: str
    turns: str | None = None

    @property
    def context(self) -> str:
        """What a context is recognised by: the ids of its turns, where they have ids, and its text."""
        ids = self.turns.partition("\t")[0] if self.turns else ""
        return f"{ids}\n{self.source}"


def pairs(record: dict, context_turns: int) -> Iterator[Pair]:
    """Every turn but the first of a conversation's JSON object, as the response to the last turns before it."""
    turns, identity = record["turns"], record["id"]
    texts = [turn["text"] for turn in turns]
    ids = [_plain(turn.get("id")) for turn in turns]
    for index in range(1, len(texts)):
        start = max(0, index - context_turns)
        named = None
        if None not in ids[start : index + 1]:
            named = f"{' '.join(ids[start:index])}\t{ids[index]}"
        yield Pair(f"{identity}:{index}", f" {EOT} ".join(texts[start:index]), texts[index], named)


def _plain(identity: str | None) -> str | None:
    """An id that can stand between spaces."""
    return identity if identity and identity.isprintable() and " " not in identity else None


def has_ids(record: dict) -> bool:
    """Whether a turn has an id by which others can find it."""
    return any(_plain(turn.get("id")) for turn in record["turns"])


def checked(first: int, data: bytes, path: str) -> Iterator[tuple[int, dict]]:
    """(line number, JSON object) of the conversations in a block; InputError, with file and line, where one is wrong."""
    for number, record in checked_records(path, first, data):
        try:
            _check_texts(record)
        except InputError as error:
            raise InputError(f"{path}:{number}: {error}") from None
        yield number, record


def trusted(first: int, data: bytes) -> Iterator[tuple[int, dict]]:
    """What `checked` yields, for a block that was checked before."""
    for number, line in block_lines(first, data):
        record = loads(line)
        if number > 1 or "format" not in record:
            yield number, record


def digest(text: str) -> bytes:
    """WIDTH bytes that stand for a text."""
    return hashlib.blake2b(text.encode(), digest_size=WIDTH).digest()


def numbers(digests: Iterable[bytes]) -> np.ndarray:
    """Digests -> (N,) uint64."""
    return np.frombuffer(b"".join(digests), ">u8").astype(np.uint64)


def places(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where each value stands in an ordered array, or -1: (M,), (N,) -> (N,)."""
    if not len(ordered):
        return np.full(len(values), -1)
    found = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return np.where(ordered[found] == values, found, -1)


def refuse_repeated_ids(path: Path, ids: np.ndarray) -> None:
    """InputError where an id stands twice in a checked file; ids (N,): digests of all of them, in the file's order.

    Equal digests are suspects; the file says whether their ids are equal.
    """
    ordered = np.sort(ids)
    suspects = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(suspects):
        return
    wanted = set(np.flatnonzero(places(suspects, ids) >= 0).tolist())
    lines: dict[str, int] = {}
    place = 0
    for number, line in raw_lines(path):
        if number == 1 and not list(trusted(number, line)):
            continue  # the header
        for _, record in trusted(number, line) if place in wanted else ():
            if (identity := record["id"]) in lines:
                raise InputError(
                    f"{path}:{number}: id {identity!r} stands in line {lines[identity]} too; remedy: make ids unique"
                )
            lines[identity] = number
        place += 1


def _check_texts(record: dict) -> None:
    """Text that would break the lines of the output, or pose as its symbols, has to be cleaned before."""
    for index, turn in enumerate(record["turns"]):
        text = turn["text"]
        wrong = (
            (not text.strip() and "is empty")
            or (not text.isprintable() and LINE_BREAK.search(text) and "has a line break")
            or (EOT in text and f"contains the symbol {EOT}")
        )
        if wrong:
            raise InputError(f"conversation {record['id']}: turns[{index}] {wrong}; remedy: python -m preprocess.clean")
