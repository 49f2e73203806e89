"""JSON values that follow each other in a text, whatever is between them, and where to go on after a broken one."""

import json
import re
from collections.abc import Iterator
from typing import Any

BETWEEN = re.compile(r"[\s,]*")
# where the next object or line may begin: not within an object over several lines, which is indented
NEXT = re.compile(r"\}[ \t]*(?=\{)|\n(?=[^\s\]}])")
# window.YTD.tweets.part0 = [ ... ]: what a user can download of an account
ASSIGNMENT = re.compile(rb"\s*[A-Za-z_$][\w.$]*\s*=\s*(?=[\[{])")
BROKEN = object()

_decode = json.JSONDecoder().raw_decode
_decode_loosely = json.JSONDecoder(strict=False).raw_decode


def without_assignment(start: bytes) -> bytes:
    """The beginning of a file without `window.YTD.tweets.part0 =`."""
    found = ASSIGNMENT.match(start)
    return start[found.end() :] if found else start


def decoded(text: str, at: int) -> tuple[Any, int]:
    """The value that begins at `at`, and where it ends; ValueError where there is none."""
    try:
        return _decode(text, at)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def decoded_loosely(text: str, at: int) -> tuple[Any, int]:
    """The same; line feeds may stand within strings."""
    try:
        return _decode_loosely(text, at)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def values(text: str) -> Iterator[tuple[str, Any]]:
    """(text, value) of one value after the other; of a stretch that cannot be read, BROKEN in place of a value."""
    at = 0
    while (at := _after(text, at)) < len(text):
        start = at
        try:
            value, at = decoded(text, start)
        except ValueError:
            value, at = BROKEN, next_start(text, start)
        yield text[start:at], value


def next_start(text: str, at: int) -> int:
    """Where something may begin after what is broken at `at`."""
    found = NEXT.search(text, at + 1)
    return found.end() if found else len(text)


def complete(block: bytes) -> int:
    """The bytes of the objects that stand, one after the other, at the start of `block`, but for the last of them."""
    text, at, end = block.decode("utf-8", "surrogateescape"), 0, 0
    while text.startswith("{", at):
        end = at
        try:
            at = _after(text, decoded(text, at)[1])
        except ValueError:
            break
    return len(text[:end].encode("utf-8", "surrogateescape"))


def _after(text: str, at: int) -> int:
    found = BETWEEN.match(text, at)
    return found.end() if found else at
