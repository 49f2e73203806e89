"""Files that are written whole or not at all, and lines that are read with their numbers."""

import errno
import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from .errors import InputError

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def numbered_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, line) of a UTF-8 file; only a newline ends a line, whatever else Unicode calls a break."""
    with open(path, "rb") as file:
        for number, raw in enumerate(file, start=1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{path}: line {number}: invalid UTF-8 at byte {error.start + 1} of the line; "
                    "remedy: convert the file, e.g. iconv -f LATIN1 -t UTF-8"
                ) from None
            yield number, line.rstrip("\r\n")


@contextmanager
def written_whole(path: str | Path, mode: str = "w") -> Iterator[IO]:
    """Open a temporary neighbour of `path`; rename it to `path` on success, remove it on any error."""
    with written_together([path], mode) as (file,):
        yield file


@contextmanager
def written_together(paths: Iterable[str | Path], mode: str = "w") -> Iterator[list[IO]]:
    """Several files that belong together: no name changes before all of them are complete and on disk.

    They are renamed in the given order, so the last one can serve as the sign that all are there. What a killed process
    left of the same files is removed.
    """
    targets = [_replaceable(path) for path in paths]
    parts: list[Path] = []
    try:
        with ExitStack() as opened:
            files = []
            for target in targets:
                _remove_abandoned(target)
                files.append(opened.enter_context(_open_part(target, mode, parts)))
            yield files
            for file in files:
                file.flush()
                os.fsync(file.fileno())
            for part, target in zip(parts, targets, strict=True):
                os.replace(part, target)
    except BaseException as error:
        for part in parts:
            part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            _name_the_target(error, parts, targets)
        raise


def _open_part(target: Path, mode: str, parts: list[Path]) -> IO:
    """A new file beside `target`, added to `parts`, whose lock says that its writer lives."""
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    while True:
        parts.append(target.with_name(f".{target.name}.{secrets.token_hex(4)}.part"))
        file = open(parts[-1], mode.replace("w", "x"), **text)  # noqa: SIM115 (the caller closes it)
        _lock(file, fcntl.LOCK_EX)
        if _is_at(file, parts[-1]):
            return file
        file.close()  # another writer took it for abandoned before it was locked
        parts.pop()


def _remove_abandoned(target: Path) -> None:
    """Remove the parts of `target` that nobody holds: their writers were killed."""
    name = re.compile(re.escape(f".{target.name}.") + r"[0-9a-f]{8}\.part")
    for part in [path for path in target.parent.iterdir() if name.fullmatch(path.name)]:
        with suppress(OSError), open(part, "rb") as file:
            if _lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB):
                part.unlink()


def lock_within(file: IO | int, seconds: float) -> None:
    """Lock an open file; BlockingIOError if somebody else has it for longer than that.

    A process that was killed takes a moment to go.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.1)


def _lock(file: IO, how: int) -> bool:
    """Hold the file as long as it is open; False where another process holds it or the file system knows no locks."""
    try:
        fcntl.flock(file, how)
    except OSError:
        return False
    return True


def _is_at(file: IO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _replaceable(path: str | Path) -> Path:
    """The file behind `path`, its folder made; renaming onto a device would replace the device, so that is refused."""
    if not str(path).strip():
        raise InputError(f"{str(path)!r} is no name of a file to write; remedy: name one")
    target = Path(os.path.realpath(path))  # writing to a symbolic link changes what it points to, not the link
    if target.exists() and not target.is_file():
        raise InputError(f"{path} is not a regular file; remedy: name a file to write")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _name_the_target(error: OSError, parts: list[Path], targets: list[Path]) -> None:
    """The user knows neither our temporary names nor, where the disk is full, which file it was."""
    for part, target in zip(parts, targets, strict=True):
        if error.filename is not None and str(error.filename) == str(part):
            error.filename = str(target)
    if error.filename is None and error.errno in DISK_ERRORS:
        error.filename = str(targets[0] if len(targets) == 1 else targets[0].parent)
