"""The bytes of a file, plain or compressed, as clean lines: UTF-8, no control characters, no endless line.

What is wrong with a file is counted here and stops nothing: lines that are no UTF-8, lines of many megabytes, a compressed
file that breaks off. What reads the lines then meets no surprise, nor does it in the name of the file, which stays behind.
"""

import bz2
import codecs
import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np

from fairseq_latent.errors import missing_extra

from .json_text import complete

BLOCK = 1 << 18  # bytes that stay in the cache of a core while they are looked at
MAX_LINE = 1 << 24  # a page of 100 tweets of API v2 has up to a megabyte
# control characters become spaces; line feeds and tabulators stay, carriage returns before a line feed go
BLANKED = bytes(32 if byte < 32 and byte not in (9, 10) else byte for byte in range(256))

ZSTD = b"\x28\xb5\x2f\xfd"
OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
PACKED = (ZSTD, *OPENERS)
# RuntimeError: a zip with a password, or packed in an unknown way
DAMAGED = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, RuntimeError)


class Truncated(Exception):
    """A compressed file breaks off, or is damaged."""


def spool(path: Path, out: Path, counts: Counter) -> None:
    """Make `out` of the clean lines of `path`: a link where the file is plain and clean already.

    Counts "lines" read, lines dropped as "invalid UTF-8" or "longer than 16 MB", and "truncated files".
    """
    out.unlink(missing_ok=True)
    with ExitStack() as stack:
        target = None if is_plain(path) else stack.enter_context(open(out, "wb"))
        done = 0  # bytes of a plain file that needed no cleaning
        try:
            for raw, clean in line_blocks(pieces_of(path), counts):
                if not done:
                    clean = clean.removeprefix(codecs.BOM_UTF8)
                if target is None and clean is not raw:
                    target = stack.enter_context(open(out, "wb"))
                    _copy(path, target, done)
                if target is not None:
                    target.write(clean)
                done += len(raw)
        except Truncated:
            counts["truncated files"] += 1
    if target is None:
        out.symlink_to(path.resolve())


def is_plain(path: Path) -> bool:
    """Whether a file is not compressed."""
    with open(path, "rb") as file:
        return not file.read(8).startswith(PACKED)


def pieces_of(path: Path) -> Iterator[bytes]:
    """The decompressed bytes of a file; Truncated where it is damaged."""
    with open(path, "rb") as file:
        yield from pieces_from(file)


def pieces_from(file: Any) -> Iterator[bytes]:
    """The decompressed bytes of an open file; the first ones say how it is compressed, not its name. Truncated where it is
    damaged."""
    try:
        start = file.peek(8)[:8]
        if start.startswith(ZSTD):
            yield from _zstd_pieces(file)
            return
        opener = next((opener for magic, opener in OPENERS.items() if start.startswith(magic)), None)
        unpacked = opener(file, "rb") if opener else file
        while piece := unpacked.read1(BLOCK):  # what is there: a damaged file gives all that stands before the damage
            yield piece
    except DAMAGED as error:
        raise Truncated from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise Truncated from error  # gzip's and bz2's own complaints


def _zstd_pieces(file: IO[bytes]) -> Iterator[bytes]:
    try:
        import zstandard
    except ImportError:
        raise missing_extra("zstandard", "tweets") from None
    frames = zstandard.ZstdDecompressor(max_window_size=1 << 31)
    frame, rest = frames.decompressobj(), b""
    while piece := rest or file.read(1 << 20):
        if frame.eof:
            frame = frames.decompressobj()
        try:
            yield frame.decompress(piece)
        except zstandard.ZstdError as error:
            raise Truncated from error
        rest = frame.unused_data if frame.eof else b""
    if not frame.eof:
        raise Truncated


def line_blocks(pieces: Iterable[bytes], counts: Counter) -> Iterator[tuple[bytes, bytes]]:
    """(whole lines as they stand, the same cleaned), a block at a time; a line that breaks off is no line."""
    waiting: list[bytes] = []
    size, skipping = 0, False
    damage: Truncated | None = None
    pieces = iter(pieces)
    while True:
        try:
            piece = next(pieces, b"")
        except Truncated as error:
            piece, damage = b"", error
        if not piece:
            break
        if skipping:
            end = piece.find(b"\n") + 1 or len(piece)
            yield piece[:end], b""
            skipping = not piece[:end].endswith(b"\n")
            piece = piece[end:]
        waiting.append(piece)
        size += len(piece)
        if size < BLOCK:
            continue
        block = b"".join(waiting)
        end = block.rfind(b"\n") + 1
        if end:
            lines = block[:end]
            yield lines, _cleaned(_without_long_line(lines, counts), counts)
        elif len(block) - len(piece) < BLOCK and (end := complete(block)):  # objects joined without line ends
            lines = block[:end] + b"\n"
            yield block[:end], _cleaned(lines, counts)
        waiting, size = [block[end:]], len(block) - end
        if size > MAX_LINE:
            counts.update({"lines": 1, "longer than 16 MB": 1})
            yield waiting[0], b""
            waiting, size, skipping = [], 0, True
    block = b"".join(waiting)
    if damage:
        end = block.rfind(b"\n") + 1
        block = block[: end + complete(block[end:])]
    if block:
        whole = block if block.endswith(b"\n") else block + b"\n"
        clean = _cleaned(_without_long_line(whole, counts), counts)
        yield block, block if clean is whole else clean
    if damage:
        raise damage


def _without_long_line(lines: bytes, counts: Counter) -> bytes:
    """Only the first of the lines can be too long: it alone began in an earlier block."""
    end = lines.find(b"\n") + 1
    if end <= MAX_LINE:
        return lines
    counts.update({"lines": 1, "longer than 16 MB": 1})
    return lines[end:]


def _cleaned(lines: bytes, counts: Counter) -> bytes:
    """The very same object where nothing is to be cleaned, as in most files."""
    every = np.frombuffer(lines, np.uint8)
    low = np.bincount(every[every < 32], minlength=32)
    count = int(low[10])
    counts["lines"] += count
    if low.sum() > count + low[9]:
        lines = lines.replace(b"\r\n", b"\n").translate(BLANKED)
    if lines.isascii() or _is_utf8(lines):
        return lines
    kept = [line for line in lines.splitlines(keepends=True) if _is_utf8(line)]
    counts["invalid UTF-8"] += count - len(kept)
    return b"".join(kept)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _copy(path: Path, target: IO[bytes], count: int) -> None:
    with open(path, "rb") as file:
        while count and (block := file.read(min(1 << 22, count))):
            target.write(block)
            count -= len(block)
