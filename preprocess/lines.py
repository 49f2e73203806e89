"""Line-based UTF-8 files: read one line at a time, every complaint with file and line number."""

import gzip
import random
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from fairseq_latent.errors import InputError
from fairseq_latent.memory import TooLarge, bounded_lines


def raw_lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """(line number, bytes) of a file or `.gz` file, without the line end; a byte order mark is passed over."""
    opener = gzip.open if str(path).endswith(".gz") else open
    number = 0
    try:
        with opener(path, "rb") as file:
            for number, line in enumerate(bounded_lines(file), 1):
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                yield number, line.removesuffix(b"\n").removesuffix(b"\r")
    except TooLarge as error:
        raise InputError(f"{path}:{number + 1}: {error}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}:{number + 1}: damaged gzip file ({error}); remedy: copy the file again") from None


def decode(line: bytes) -> str:
    """The text of one line; InputError, without file and line number, where it is no UTF-8."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"invalid UTF-8 at byte {error.start} of the line; remedy: convert the file, e.g. iconv -f LATIN1 -t UTF-8"
        ) from None


def read_lines(path: str | Path) -> Iterator[str]:
    """The lines of a text file as fairseq will count them, which is why a stray carriage return is refused."""
    for number, raw in raw_lines(path):
        try:
            line = decode(raw)
            if "\r" in line:
                raise InputError("a carriage return inside the line; remedy: replace it by a space")
        except InputError as error:
            raise InputError(f"{path}:{number}: {error}") from None
        yield line


def check_parallel(paths: Sequence[str | Path]) -> int:
    """Read line-parallel files completely; their number of lines, or InputError where they differ or are empty."""
    counts = [sum(1 for _ in read_lines(path)) for path in paths]
    for path, count in zip(paths, counts, strict=True):
        if count == 0:
            raise InputError(f"{path} is empty; remedy: write it again, e.g. with python -m preprocess.split")
        if count != counts[0]:
            raise InputError(
                f"{paths[0]} has {counts[0]} lines, {path} {count}: they must be parallel; "
                "remedy: write both again, e.g. with python -m preprocess.split"
            )
    return counts[0]


def sample_lines(lines: Iterable[str], size: int, seed: int) -> list[str]:
    """At most `size` of the lines that are not empty, each with the same chance (reservoir sampling)."""
    generator = random.Random(seed)
    chosen: list[str] = []
    for number, line in enumerate(line for line in lines if line.strip()):
        if number < size:
            chosen.append(line)
        elif (place := generator.randrange(number + 1)) < size:
            chosen[place] = line
    return chosen
