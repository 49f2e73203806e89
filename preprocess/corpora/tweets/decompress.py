"""One archive file, plain or compressed, as clean lines on disk: UTF-8, no control characters, no endless line.

What is wrong with a file is counted here and stops nothing: lines that are no UTF-8, lines of many megabytes, a compressed
file that breaks off. What reads the lines then meets no surprise, nor does it in the name of the file, which stays behind.
"""

import bz2
import codecs
import gzip
import lzma
import os
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

import numpy as np

from fairseq_latent.errors import InputError, missing_extra

BLOCK = 1 << 18  # bytes that stay in the cache of a core while they are looked at
MAX_LINE = 1 << 24  # a page of 100 tweets of API v2 has up to a megabyte
# control characters become spaces; line feeds and tabulators stay, carriage returns before a line feed go
BLANKED = bytes(32 if byte < 32 and byte not in (9, 10) else byte for byte in range(256))

ZSTD = b"\x28\xb5\x2f\xfd"
OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}


class Truncated(Exception):
    """A compressed file breaks off, or is damaged."""


def spool(path: Path, out: Path, counts: Counter) -> None:
    """Make `out` of the clean lines of `path`: a link where the file is plain and clean already.

    Counts "lines" read, lines dropped as "invalid UTF-8" or "longer than 16 MB", and "truncated files".
    """
    out.unlink(missing_ok=True)
    with ExitStack() as stack:
        target = None if _is_plain(path) else stack.enter_context(open(out, "wb"))
        done = 0  # bytes of a plain file that needed no cleaning
        try:
            for raw, clean in _line_blocks(pieces_of(path), counts):
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


def sample(path: Path) -> bytes:
    """Its first lines, of some 256 kB."""
    start = b""
    with suppress(Truncated):
        for piece in pieces_of(path):
            start += piece
            if len(start) >= BLOCK:
                break
    return start


def pieces_of(path: Path) -> Iterator[bytes]:
    """Its decompressed bytes; the first ones say how it is compressed, not its name. Truncated where it is damaged."""
    start = _first_bytes(path)
    if start.startswith(ZSTD):
        return _zstd_pieces(path)
    return _file_pieces(next((opener for magic, opener in OPENERS.items() if start.startswith(magic)), open), path)


def _is_plain(path: Path) -> bool:
    return not _first_bytes(path).startswith((ZSTD, *OPENERS))


def _first_bytes(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(8)


def _file_pieces(opener, path: Path) -> Iterator[bytes]:
    with opener(path, "rb") as file:
        while True:
            try:
                piece = file.read1(BLOCK)  # what is there: a damaged file gives all that stands before the damage
            except (EOFError, zlib.error, lzma.LZMAError) as error:
                raise Truncated from error
            except OSError as error:
                if error.errno is not None:
                    raise
                raise Truncated from error  # gzip's and bz2's own complaints
            if not piece:
                return
            yield piece


def _zstd_pieces(path: Path) -> Iterator[bytes]:
    try:
        import zstandard
    except ImportError:
        raise missing_extra("zstandard", "tweets") from None
    frames = zstandard.ZstdDecompressor(max_window_size=1 << 31)
    with open(path, "rb") as file:
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


def _line_blocks(pieces: Iterable[bytes], counts: Counter) -> Iterator[tuple[bytes, bytes]]:
    """(whole lines as they stand, the same cleaned), a block at a time; a line that breaks off is no line."""
    waiting, size, skipping, damage = [], 0, False, None
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
        waiting, size = [block[end:]], len(block) - end
        if size > MAX_LINE:
            counts.update({"lines": 1, "longer than 16 MB": 1})
            yield waiting[0], b""
            waiting, size, skipping = [], 0, True
    block = b"".join(waiting)
    if damage:
        block = block[: block.rfind(b"\n") + 1]
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
