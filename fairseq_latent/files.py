"""Files that are written whole or not at all."""

import errno
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from .errors import InputError

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


@contextmanager
def written_whole(path: str | Path, mode: str = "w") -> Iterator[IO]:
    """Open a temporary neighbour of `path`; rename it to `path` on success, remove it on any error."""
    with written_together([path], mode) as (file,):
        yield file


@contextmanager
def written_together(paths: Iterable[str | Path], mode: str = "w") -> Iterator[list[IO]]:
    """Several files that belong together: no name changes before all of them are complete and on disk.

    They are renamed in the given order, so the last one can serve as the mark that all are there.
    """
    targets = [_replaceable(path) for path in paths]
    parts = [target.with_name(f".{target.name}.{secrets.token_hex(4)}.part") for target in targets]
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        with ExitStack() as opened:
            files = [opened.enter_context(open(part, mode.replace("w", "x"), **text)) for part in parts]
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
