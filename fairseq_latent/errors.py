"""How the project fails: one line that says what, where and the remedy, and exit code 2."""

import argparse
import errno
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn

EXIT_CODE = 2
TRACEBACK = "FAIRSEQ_LATENT_TRACEBACK"  # set to anything: every error's traceback, before its line
REMEDIES = {
    errno.ENOENT: "check the path",
    errno.EACCES: "ask for permission, or name another",
    errno.EISDIR: "name a file",
    errno.ENOTDIR: "name a folder",
    errno.ENOSPC: "free space",
}
INTERRUPTED = 128 + signal.SIGINT  # what a shell reports for a command that was stopped by Ctrl-C

# Control characters (terminal escapes, line breaks), turned writing direction, and bytes that were no UTF-8.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
LAYOUT = "\t\n"  # of a page of text


class InputError(Exception):
    """The user's data, flags or files are wrong. The message is one line: file, line, what is wrong, the remedy."""


def printable(text: str) -> str:
    """Text as one line that does to a terminal nothing but appear there: what is not printable as \\u and four digits."""
    return UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class Parser(argparse.ArgumentParser):
    """argparse's, whose complaints are one printable line, whatever was typed."""

    def error(self, message: str) -> NoReturn:
        """Exit code 2."""
        super().error(printable(message))


OUT_OF_MEMORY = re.compile(  # torch's allocators and numpy's
    r"can't allocate memory: you tried to allocate (\d+ bytes)|CUDA out of memory|Unable to allocate ([\d.]+ \w+)"
)


class Page:
    """A stream that a person reads: its text keeps lines and tabs, everything else of it is `printable`."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As the stream's; a progress bar returns to its line's beginning."""
        start = "\r" if text.startswith("\r") else ""
        kept = UNPRINTABLE.sub(
            lambda found: found[0] if found[0] in LAYOUT else printable(found[0]), text[len(start) :]
        )
        self._stream.write(start + kept)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """As the stream's."""
        for line in lines:
            self.write(line)


@contextmanager
def read_by_people() -> Iterator[None]:
    """Nothing that a command says can control a terminal. What it writes to a file or pipe is data, and stays as it is."""
    before = sys.stdout, sys.stderr
    if sys.stdout.isatty():
        sys.stdout = Page(sys.stdout)
    sys.stderr = Page(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def missing_extra(package: str, extra: str) -> InputError:
    """The error for an optional package that is not installed."""
    return InputError(f"{package} is not installed; remedy: pip install 'fairseq_latent[{extra}]'")


def describe(error: BaseException) -> str | None:
    """One line for the errors that a user can repair; None for defects of the program, which need a traceback."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        name = str(error.filename or "")
        where = f"{name if name.strip() else repr(name)}: " if name else ""
        remedy = f"; remedy: {REMEDIES[error.errno]}" if error.errno in REMEDIES else ""
        return f"{where}{error.strerror}{remedy}"
    if isinstance(error, UnicodeDecodeError):
        return f"invalid UTF-8 at byte {error.start}; remedy: convert the file, e.g. iconv -f LATIN1 -t UTF-8"
    if (found := OUT_OF_MEMORY.search(str(error))) or isinstance(error, MemoryError):
        asked = next((size for size in found.groups() if size), None) if found else None
        lacking = f", {asked} more are not to be had" if asked else ""
        return f"out of memory{lacking}; remedy: smaller numbers, batches or files"
    return None


def run(main: Callable[[], int | None]) -> int:
    """Call a command's main function; a user's mistake becomes one line on stderr and exit code 2."""
    for stream in (sys.stdout, sys.stderr):  # a terminal without UTF-8, a file name of any bytes: escapes, no traceback
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        with _terminated_like_exit(), read_by_people():
            code = main() or 0
            sys.stdout.flush()  # here, where a closed pipe is still ours to handle
            return code
    except BrokenPipeError:  # `command | head` closed our output
        _discard_output()
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        line = describe(error)
        if line is None:
            raise
        if os.environ.get(TRACEBACK):
            traceback.print_exc()
        print(f"error: {printable(line)}", file=sys.stderr)
        return EXIT_CODE


def _discard_output() -> None:
    """Send what is still buffered nowhere: Python flushes stdout again at exit and would complain (exit code 120)."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


@contextmanager
def _terminated_like_exit() -> Iterator[None]:
    """Let SIGTERM (a cluster's time limit) unwind the program, so that half-written files are removed."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
