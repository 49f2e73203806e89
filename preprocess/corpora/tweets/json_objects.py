"""JSON that does not stand on a line each: one list of all tweets, or objects over several lines."""

import codecs
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from .decompress import BLOCK, MAX_LINE, Truncated, pieces_of

BETWEEN = re.compile(r"[\s,\[\]]*")
FLAT = bytes(max(byte, 32) for byte in range(256))  # outside strings all white space is alike, inside it may not stand


def unfold(path: Path, out: Path, counts: Counter) -> None:
    """Write every object of `path` to a line of its own in `out`; what cannot be read ends the file, as one broken line.

    Counts objects as "lines", and as "invalid UTF-8" and "truncated files" what is so.
    """
    with open(out, "w", encoding="utf-8") as target:
        for value in _values(pieces_of(path), counts):
            counts["lines"] += 1
            if "\ufffd" in value:  # put there by the decoder, or by another one before
                counts["invalid UTF-8"] += 1
            else:
                target.write(value + "\n")


def _values(pieces: Iterable[bytes], counts: Counter) -> Iterator[str]:
    """The text of one value after the other, each without a line end."""
    decode = json.JSONDecoder().raw_decode
    more = codecs.iterdecode((piece.translate(FLAT) for piece in _whole(pieces, counts)), "utf-8", errors="replace")
    text, at, step = "", 0, BLOCK
    while True:
        at = BETWEEN.match(text, at).end()
        try:
            end = decode(text, at)[1]
        except (ValueError, RecursionError):
            added = _gather(more, step)
            if not added or len(text) - at > MAX_LINE:
                break
            text, at, step = text[at:] + added, 0, 2 * step
            continue
        yield text[at:end]
        at, step = end, BLOCK
    if text[at:].strip(" ,]\ufeff"):
        counts["truncated files"] = 1
        yield "{"


def _whole(pieces: Iterable[bytes], counts: Counter) -> Iterator[bytes]:
    first = True
    try:
        for piece in pieces:
            yield piece.removeprefix(codecs.BOM_UTF8) if first else piece
            first = False
    except Truncated:
        counts["truncated files"] = 1


def _gather(pieces: Iterator[str], size: int) -> str:
    """Pieces of about `size` characters together: an object of many megabytes is not begun anew with each."""
    found, count = [], 0
    while count < size and (piece := next(pieces, "")):
        found.append(piece)
        count += len(piece)
    return "".join(found)
