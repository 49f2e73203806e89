"""Which files an archive has, and which of them are read together: many small ones at once, a large one alone."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from fairseq_latent.errors import InputError

LARGE = 1 << 22  # bytes of a file that is read alone
MOST_BYTES, MOST_FILES = 1 << 25, 2000


@dataclass(frozen=True)
class File:
    """A file as it is now: if size or time are others, it is another one."""

    path: Path
    size: int
    changed: int  # nanoseconds since 1970

    @classmethod
    def of(cls, path: Path) -> "File":
        """The file at a path."""
        state = path.stat()
        return cls(path, state.st_size, state.st_mtime_ns)

    def noted(self) -> list:
        """As JSON has it."""
        return [str(self.path), self.size, self.changed]


@dataclass(frozen=True)
class Batch:
    """Files that are read together, in a process."""

    files: tuple[File, ...]

    @property
    def name(self) -> str:
        """Of what is written of them: the same for the same files, and for no others."""
        noted = json.dumps([file.noted() for file in self.files])
        return blake2b(noted.encode(), digest_size=10).hexdigest()

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.size for file in self.files)

    def __str__(self) -> str:
        first, *others = self.files
        return str(first.path) if not others else f"{first.path} and {len(others):,} other files"


def batches(files: Sequence[File]) -> Iterator[Batch]:
    """Files in their order, small ones together."""
    waiting: list[File] = []
    size = 0
    for file in files:
        if file.size >= LARGE:
            yield Batch((file,))
            continue
        waiting.append(file)
        size += file.size
        if size >= MOST_BYTES or len(waiting) == MOST_FILES:
            yield Batch(tuple(waiting))
            waiting, size = [], 0
    if waiting:
        yield Batch(tuple(waiting))


def archive_files(paths: Iterable[Path]) -> list[Path]:
    """The files meant by files and folders, in a fixed order; a folder means all files under it but hidden ones."""
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder; remedy: name tweet archives, or a folder of them")
        if path.is_dir():
            files += _files_below(path)
        elif path.is_file():
            files.append(path)
        else:
            raise InputError(f"{path} is not a regular file; remedy: write what it gives to a file first")
    if not files:
        raise InputError("no files in the folders named; remedy: name tweet archives, or a folder of them")
    return files


def _files_below(folder: Path) -> list[Path]:
    files = []
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found = [Path(parent, name) for name in sorted(names) if not name.startswith(".")]
        for path in found:
            if not path.exists():
                raise InputError(f"{path}: a link to nothing; remedy: remove it, or bring back what it leads to")
        files += [path for path in found if path.is_file()]
    return files


def _raise(error: OSError) -> None:
    raise error
