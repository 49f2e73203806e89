"""JSON that does not stand on a line each: one list of all tweets, or objects over several lines."""

import codecs
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import IO

from .decompress import BLOCK, MAX_LINE, Truncated
from .json_text import decoded_loosely, without_assignment

BETWEEN = re.compile(r"[\s,\[\];]*")
SHOWN = 60  # characters of what is broken
NEXT_OBJECT = re.compile(r"\n(?=\{)")
# outside strings all white space is alike, inside it may not stand; line feeds show where an object may begin
BLANKED = bytes(byte if byte == 10 else max(byte, 32) for byte in range(256))


def unfold(pieces: Iterable[bytes], target: IO[bytes], counts: Counter) -> None:
    """Write every object to a line of its own; what cannot be read is a broken line, up to an object that begins one.

    Counts objects as "lines", and as "invalid UTF-8" and "truncated files" what is so.
    """
    broken_off: Counter[str] = Counter()
    for value in _values(pieces, broken_off):
        counts["lines"] += 1
        if "\ufffd" in value:  # put there by the decoder, or by another one before
            counts["invalid UTF-8"] += 1
        else:
            target.write(value.replace("\n", " ").encode("utf-8", "replace") + b"\n")
    counts["truncated files"] += bool(broken_off)


def _values(pieces: Iterable[bytes], counts: Counter) -> Iterator[str]:
    """The text of one value after the other."""
    more = codecs.iterdecode((piece.translate(BLANKED) for piece in _whole(pieces, counts)), "utf-8", errors="replace")
    text, at, step = "", 0, BLOCK
    while True:
        at = _after(text, at)
        try:
            end = decoded_loosely(text, at)[1]
        except ValueError:
            added = _gather(more, step)
            if added and len(text) - at <= MAX_LINE:
                text, at, step = text[at:] + added, 0, 2 * step
                continue
            text = text[at:] + added
            if not text.strip(" ,];\n\ufeff"):
                return
            yield text[:SHOWN].partition("\n")[0].replace("\ufffd", "?")
            found = NEXT_OBJECT.search(text, 1)
            if not found:
                counts["truncated files"] = 1
                return
            at, step = found.end(), BLOCK
            continue
        yield text[at:end]
        at, step = end, BLOCK


def _after(text: str, at: int) -> int:
    found = BETWEEN.match(text, at)
    return found.end() if found else at


def _whole(pieces: Iterable[bytes], counts: Counter) -> Iterator[bytes]:
    first = True
    try:
        for piece in pieces:
            if first:
                piece = without_assignment(piece.removeprefix(codecs.BOM_UTF8))
            yield piece
            first = False
    except Truncated:
        counts["truncated files"] = 1


def _gather(pieces: Iterator[str], size: int) -> str:
    """Pieces of about `size` characters together: an object of many megabytes is not begun anew with each."""
    found: list[str] = []
    count = 0
    while count < size and (piece := next(pieces, "")):
        found.append(piece)
        count += len(piece)
    return "".join(found)
