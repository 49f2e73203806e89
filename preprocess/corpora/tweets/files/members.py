"""The files of an archive (tar, compressed in whatever way, or zip) as streams of bytes, one after the other; nothing is
unpacked."""

import io
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Self

from .decompress import DAMAGED, Truncated, pieces_from, pieces_of

TAR_MARK, TAR_MARK_AT = b"ustar", 257
ZIPS = (b"PK\x03\x04", b"PK\x05\x06")
HEAD = 512


@dataclass(frozen=True)
class Stream:
    """A file, of a folder or of an archive: where it stands in messages, and its decompressed bytes, to be read at once."""

    where: str
    pieces: Iterator[bytes]
    beside: Callable[[str], bytes | None] = lambda name: None  # the bytes of another file of the same folder


def streams_of(path: Path, counts: Counter) -> Iterator[Stream]:
    """A file as one stream, an archive as a stream for each file in it but hidden ones.

    Counts "damaged members" of an archive, and as "truncated files" archives that cannot be read to their end.
    """
    with open(path, "rb") as file:
        start = file.read(8)
    if start.startswith(ZIPS) and zipfile.is_zipfile(path):
        yield from _of_zip(path, counts)
    else:
        yield from _of_pieces(Stream(str(path), pieces_of(path), beside_file(path)), counts)


def beside_file(path: Path) -> Callable[[str], bytes | None]:
    """What gives the bytes of another file of its folder."""

    def read(name: str) -> bytes | None:
        with suppress(OSError):
            return path.with_name(name).read_bytes()
        return None

    return read


def broken_off() -> Iterator[bytes]:
    """No bytes, but Truncated."""
    raise Truncated
    yield b""


def is_archive(path: Path) -> bool:
    """Whether a file is a zip or a tar, compressed or not."""
    with open(path, "rb") as file:
        if file.read(8).startswith(ZIPS):
            return zipfile.is_zipfile(path)
    return _is_tar(_head(pieces_of(path))[0])


def _of_pieces(stream: Stream, counts: Counter) -> Iterator[Stream]:
    head, pieces = _head(stream.pieces)
    if _is_tar(head):
        yield from _of_tar(Stream(stream.where, pieces), counts)
    else:
        yield Stream(stream.where, pieces, stream.beside)


def _of_zip(path: Path, counts: Counter) -> Iterator[Stream]:
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.is_dir() or _hidden(info.filename):
                    continue
                try:
                    file = archive.open(info)
                except (OSError, ValueError, *DAMAGED):  # a place that cannot be
                    counts["damaged members"] += 1
                    continue
                with file:

                    def beside(name: str, own: str = info.filename) -> bytes | None:
                        with suppress(KeyError, *DAMAGED):
                            return archive.read(str(PurePosixPath(own).with_name(name)))
                        return None

                    yield from _of_pieces(Stream(f"{path}/{info.filename}", pieces_from(file), beside), counts)
    except (ValueError, *DAMAGED):
        counts["truncated files"] += 1


def _of_tar(stream: Stream, counts: Counter) -> Iterator[Stream]:
    headers = _headers(counts)
    try:
        # what is no header is passed over, up to the next one
        with tarfile.open(fileobj=_File(stream.pieces), mode="r|", ignore_zeros=True, tarinfo=headers) as archive:
            while (info := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # of 10^5 members they would be 100 MB
                if not info.isreg() or _hidden(info.name):
                    continue
                file = archive.extractfile(info)
                assert file is not None
                yield from _of_pieces(Stream(f"{stream.where}/{info.name}", pieces_from(file)), counts)
    except (Truncated, ValueError, *DAMAGED):
        counts["truncated files"] += 1


def _headers(counts: Counter) -> type[tarfile.TarInfo]:
    """The class that reads the header of each member, and counts those that are damaged; blocks of zeros are none."""
    within = False

    class Header(tarfile.TarInfo):
        @classmethod
        def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
            nonlocal within
            try:
                info = super().fromtarfile(archive)
            except tarfile.InvalidHeaderError:  # type: ignore[attr-defined]
                counts["damaged members"] += not within  # what follows it are its contents
                within = True
                raise
            within = False
            return info

    return Header


class _File(io.RawIOBase):
    """Pieces of bytes as a file that is read from its beginning to its end."""

    def __init__(self, pieces: Iterable[bytes]):
        self._pieces, self._rest = iter(pieces), memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, target) -> int:  # type: ignore[no-untyped-def, override]
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(target), len(self._rest))
        target[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def _head(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, and all of them again."""
    first: list[bytes] = []
    count = 0
    with suppress(Truncated):
        while count < HEAD and (piece := next(pieces, b"")):
            first.append(piece)
            count += len(piece)
        return b"".join(first)[:HEAD], chain(first, pieces)
    return b"".join(first)[:HEAD], chain(first, broken_off())


def _is_tar(head: bytes) -> bool:
    return head[TAR_MARK_AT:].startswith(TAR_MARK)


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)
