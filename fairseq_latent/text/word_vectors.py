"""Word vectors from a file: word2vec's text and binary forms (Mikolov et al., 2013, https://arxiv.org/abs/1301.3781).

GloVe's text form (Pennington et al., 2014, https://aclanthology.org/D14-1162) is word2vec's without its first line.
"""

import gzip
import hashlib
import io
import struct
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import InputError
from ..memory import TooLarge, bounded_lines

LONGEST = 10_000  # bytes of a word in the binary form, and of its first line
WIDEST = 100_000  # numbers of a vector


@dataclass(frozen=True)
class WordVectors:
    """A row of `matrix` (V, H) for each word; `sha256` of the file says which vectors they are."""

    rows: dict[str, int]
    matrix: np.ndarray
    sha256: str


def load_vectors(path: str | Path) -> WordVectors:
    """Text with or without the line `count width`, or binary (.bin), both also .gz; all of the file, or InputError.

    Of a word that stands there twice the first vector counts, as in gensim.
    """
    path = Path(path)
    binary = path.name.removesuffix(".gz").endswith(".bin")
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        plain = io.BufferedReader(gzip.GzipFile(fileobj=file)) if path.suffix == ".gz" else file
        try:
            return WordVectors(*_table(_binary(plain) if binary else _text(plain)), sha256)
        except TooLarge as error:
            raise InputError(f"{path}: {error}") from None
        except (ValueError, EOFError, zlib.error, gzip.BadGzipFile, MemoryError) as error:
            form = "word2vec's binary form" if binary else "word2vec's or GloVe's text form"
            raise InputError(f"{path} has no vectors in {form} ({error or 'too large for the memory'}); "
                             f"remedy: {_remedy(binary)}") from None  # fmt: skip


def _remedy(binary: bool) -> str:
    if binary:
        return "a file that begins with `count width`; text is not called .bin"
    return "lines of a word and its numbers, after `count width` or without; a binary file is called .bin or .bin.gz"


def _table(vectors: Iterator[tuple[bytes, np.ndarray]]) -> tuple[dict[str, int], np.ndarray]:
    """Rows of words and (V, H) float32."""
    rows: dict[str, int] = {}
    numbers = array("f")  # grows with what is there, not with what a first line promises
    width = 0
    for word, vector in vectors:
        name, width = word.decode("utf-8"), len(vector)
        if not np.isfinite(vector).all():
            raise ValueError(f"the vector of {name!r} is not finite")
        if name not in rows:
            rows[name] = len(rows)
            numbers.frombytes(vector.tobytes())
    if not rows:
        raise ValueError("it is empty")
    return rows, np.frombuffer(numbers, np.float32).reshape(-1, width)


def _text(file: IO[bytes]) -> Iterator[tuple[bytes, np.ndarray]]:
    """(word, its numbers). Words of GloVe 840B hold spaces: the width tells where they end."""
    count = width = None
    found = 0
    for number, line in enumerate(bounded_lines(file), 1):
        fields = line.rstrip(b" \r\n").split(b" ")
        if number == 1 and len(fields) == 2 and all(field.isdigit() for field in fields):
            count, width = _counts(fields)
            continue
        if fields == [b""]:
            continue
        width = width or len(fields) - 1
        if not 0 < width < len(fields):
            raise ValueError(f"line {number}: a word and {len(fields) - 1} numbers, not {width or 'a vector'}")
        try:
            vector = np.array(fields[-width:], dtype=np.float32)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        yield b" ".join(fields[:-width]), vector
        found += 1
    _check_count(count, found)


def _binary(file: IO[bytes]) -> Iterator[tuple[bytes, np.ndarray]]:
    """(word, its numbers); a line end may follow a vector."""
    fields = file.readline(LONGEST).split()
    if len(fields) != 2 or not all(field.isdigit() for field in fields):
        raise ValueError("its first line is not `count width`")
    count, width = _counts(fields)
    size = struct.calcsize("<f") * width
    found = 0
    while (word := _word(file)) is not None:
        numbers = file.read(size)
        if len(numbers) < size:
            raise ValueError(f"it ends within the vector of word {found + 1}")
        yield word, np.frombuffer(numbers, "<f4").astype(np.float32)
        found += 1
    _check_count(count, found)


def _word(file: IO[bytes]) -> bytes | None:
    """Up to the next space; None at the end of the file."""
    word = bytearray()
    while (byte := file.read(1)) != b" ":
        if not byte and not word:
            return None
        if not byte or len(word) > LONGEST:
            raise ValueError("it ends within a word" if not byte else "a word has no end")
        if byte != b"\n" or word:
            word += byte
    return bytes(word)


def _counts(fields: list[bytes]) -> tuple[int, int]:
    """count and width; digits enough for any file, as Python converts no number of thousands of digits."""
    count, width = (int(field) if len(field) < 16 else -1 for field in fields)
    if count < 0 or not 0 < width <= WIDEST:
        raise ValueError("the first line is no likely `count width`")
    return count, width


def _check_count(said: int | None, found: int) -> None:
    if said is not None and said != found:
        raise ValueError(f"the first line says {said} vectors, there are {found}")
