"""Hostile inputs for property tests: valid files with something wrong in them, flags with impossible values, and what may
come of them: success, or one line that begins with `error:` and exit code 2; no traceback, no memory, nothing half-written.

The suite tries the same 100 examples each time. By hand: HYPOTHESIS_PROFILE=long tries 5,000 new ones of each
(HYPOTHESIS_EXAMPLES=N another number), and keeps what failed in .hypothesis, to begin with it next time.
"""

import argparse
import contextlib
import io
import os
import re
import resource
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from fairseq_latent import errors

PROFILES = {
    "suite": {"max_examples": 100, "derandomize": True, "database": None},
    "long": {"max_examples": int(os.environ.get("HYPOTHESIS_EXAMPLES", "5000")), "print_blob": True},
}
for name, options in PROFILES.items():
    settings.register_profile(name, deadline=None, suppress_health_check=list(HealthCheck), **options)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

DEAR = settings(max_examples=max(1, settings.default.max_examples // 20))  # for what takes a second an example
MOST = 2 << 30  # bytes that an input may cost
PATIENCE = 60  # seconds after which a command hangs
ERROR = re.compile(r"(?:\S.*: )?error: .*\S.*")  # argparse puts the command's name before it

TOKENS = (
    b"", b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r", b"\n", b"\r\n", b"\t", b" ", b"\x1b]0;x\a",
    b'"', b"\\", b"\\ud800", b"\\u0000", b"\\u2028", b"'", b"|", b",", b":", b"{", b"}", b"[", b"]", b"[" * 20_000,
    b"0", b"-1", b"1e999", b"9" * 5000, b"18446744073709551616", b"NaN", b"-Infinity", b"null", b"true", b"{}", b"[]",
    b"<eot>", b" <eot> ", b"<unk>", b"<s>", b"#part2", b"#branch2", b"&#x110000;", b"&amp;lt;", b"@a @b", b"#x", b"http://x",
    "\u3000".encode(), "\u2028".encode(), "\u202e".encode(), "\U0001f468\u200d\U0001f469".encode(), "e\u0301".encode(),
    "ｱ".encode(), b"x" * 20_000, b"\n" * 3000, b"H-99999999999\t-1\ty\n", b"H-1\tnan\ty\n", b"1 1\n", b"\x1f\x8b",
)  # fmt: skip
ODD = (
    None, True, 0, -1, 1.5, 10**30, float("inf"), "", " ", "x", "\0", "\ud800", "\u2028", "\U0001f600", "a\nb", "a\tb",
    "<eot>", "x#part2", "9" * 5000, "2020-01-01T00:00:00", "99999-01-01", [], {}, [[]], [None], [""], {"": None}, "é" * 300,
)  # fmt: skip


@st.composite
def edited(draw, seed: bytes) -> bytes:
    """The file with up to four edits: bytes removed, repeated, moved or altered, something put in, or its end cut off."""
    data = seed
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        if draw(st.booleans()):  # where a line begins
            start = data.rfind(b"\n", 0, start) + 1
        end = min(len(data), start + draw(st.sampled_from((0, 1, 1, 2, 8, 40, len(data)))))
        kind = draw(st.sampled_from(("put", "put", "cut", "flip", "repeat", "end", "line")))
        if kind == "put":
            data = data[:start] + draw(st.sampled_from(TOKENS) | st.binary(max_size=6)) + data[end:]
        elif kind == "cut":
            data = data[:start] + data[end:]
        elif kind == "flip" and data:
            data = data[: start - 1] + bytes([draw(st.integers(0, 255))]) + data[start:]
        elif kind == "repeat":
            data = data[:end] + data[start:end] * draw(st.sampled_from((1, 2, 50))) + data[end:]
        elif kind == "end":
            data = data[:start]
        elif kind == "line":
            lines = data.splitlines(keepends=True)
            if lines:
                line = lines.pop(draw(st.integers(0, len(lines) - 1)))
                lines.insert(draw(st.integers(0, len(lines))), line)
                data = b"".join(lines)
    return data


@st.composite
def altered(draw, seed: object) -> object:
    """The JSON value with up to three places that hold another value, lack a key, or have one more."""
    value = _copied(seed)
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(value))
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        kind = draw(st.sampled_from(("other", "other", "without", "more")))
        other = _copied(draw(st.sampled_from(ODD)))
        if kind == "other":
            holder[key] = other
        elif kind == "without":
            del holder[key]
        elif isinstance(holder, dict):
            holder[draw(st.sampled_from(("", "x", "id", "text", "format", "version", "candidates", "\ud800")))] = other
        else:
            holder.append(_copied(holder[key]))
    return value


def _copied(value: object) -> object:
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list | tuple) else value


def _places(value: object) -> Iterator[tuple]:
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])


INTEGERS = (
    "0",
    "1",
    "2",
    "3",
    "-1",
    "-5",
    "64",
    str(2**31),
    str(2**63),
    str(2**64),
    "9" * 5000,
    "1.5",
    "x",
    "",
    "nan",
    "١",
)
FLOATS = ("0", "1", "0.5", "-1", "1.5", "nan", "inf", "-inf", "1e400", "1e-300", "x", "", "9" * 400, "1_0")
NAMES = (
    "",
    " ",
    "x",
    "no/such/file",
    "/dev/null",
    "\udcff",
    "a=b",
    "=",
    "-",
    "--",
    "en",
    "ja",
    "x" * 5000,
    "\x1b[2J",
    "a\nb",
)


@st.composite
def flags(draw, parser: argparse.ArgumentParser, most: int = 4, without: tuple[str, ...] = ()) -> list[str]:
    """Up to `most` of a parser's options with values that may be impossible, by the kind that each option takes."""
    options = [action for action in parser._actions if action.option_strings and action.dest not in ("help", *without)]
    chosen = draw(st.lists(st.sampled_from(options), min_size=0, max_size=most)) if options else []
    words: list[str] = []
    for action in chosen:
        words.append(draw(st.sampled_from(action.option_strings)))
        if action.nargs == 0:
            continue
        count = action.nargs if isinstance(action.nargs, int) else draw(st.integers(1, 2)) if action.nargs else 1
        words += [draw(_value(action)) for _ in range(count)]
    return words


class _Asked(Exception):
    """Carries the parser that a command would have used."""


def parser_of(main: Callable, *words: str) -> argparse.ArgumentParser:
    """The parser of a command, or of its sub-command `words`."""

    def found(parser: argparse.ArgumentParser, *arguments: object):
        raise _Asked(parser)

    with mock.patch.object(argparse.ArgumentParser, "parse_args", found):
        try:
            main([*words])
        except _Asked as asked:
            (parser,) = asked.args
    for word in words:
        (choices,) = (action.choices for action in parser._actions if isinstance(action.choices, dict))
        parser = choices[word]
    return parser


def _value(action: argparse.Action) -> st.SearchStrategy[str]:
    """Half of the time one that may do."""
    if action.choices:
        return st.sampled_from([*map(str, action.choices), "x"])
    default = action.default[0] if isinstance(action.default, list) and action.default else action.default
    if isinstance(default, bool) or default is None and action.type is None:
        return st.sampled_from(NAMES)
    numbers = INTEGERS if isinstance(default, int) or action.type is int else FLOATS
    if isinstance(default, int | float) or action.type in (int, float):
        return st.just(str(default)) | st.sampled_from(numbers)
    return st.sampled_from((*NAMES, *INTEGERS, *FLOATS))


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str


def outcome(main: Callable[[list[str]], int | None], *words: object, stdin: bytes = b"") -> Outcome:
    """Run a command's `main` as its program would, and check that it ended as it may."""
    handlers = ("strict", "backslashreplace")  # as Python opens them
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=each) for each in handlers]
    with (
        _bounded(),
        mock.patch("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")),
        contextlib.redirect_stdout(streams[0]),
        contextlib.redirect_stderr(streams[1]),
    ):
        try:
            code = errors.run(lambda: main([*map(str, words)]))
        except SystemExit as stop:
            code = stop.code
    for stream in streams:
        stream.flush()
    found = Outcome(code or 0, *(stream.buffer.getvalue().decode() for stream in streams))
    assert found.code in (0, 2), found
    assert "Traceback" not in found.err, found
    if found.code == 2:
        last = found.err.splitlines()[-1] if found.err else ""
        assert ERROR.fullmatch(last), found
        assert found.err.count("error: ") == 1 or "usage: " not in found.err, found
    return found


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """An example's own, where it works; in the end nothing in it may be half-written."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as name, contextlib.chdir(name):
        yield Path(name)
        left = [path for path in Path(name).rglob("*") if path.name.endswith(".part")]
        assert not left, left


def refused_or_written(found: Outcome, *outs: Path) -> None:
    """What was refused wrote none of these files, and nothing into these folders."""
    for out in outs if found.code else ():
        assert not out.is_file() and not list(out.rglob("*")), found


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Fail where the code within asks for more memory than `MOST`, or for more time than a hanging program needs."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    alarmed = signal.signal(signal.SIGALRM, _hangs)
    resource.setrlimit(resource.RLIMIT_AS, (mapped + 2 * MOST, hard))  # threads map much that they never touch
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, alarmed)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < MOST, f"{grown >> 20} MB"


def _hangs(number, frame):
    raise AssertionError(f"no end after {PATIENCE} s")
