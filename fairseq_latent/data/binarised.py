"""Data of fairseq-preprocess, looked at before it is read: damaged files are refused, not trained on.

Sizes are compared and every id is looked at, both in large chunks: two seconds for 10^8 tokens in 10^7 lines.
"""

import itertools
import os
from pathlib import Path

import numpy as np
from fairseq.data import indexed_dataset
from fairseq.data.huffman import HuffmanMMapIndex

from ..errors import InputError

MMAP = indexed_dataset.MMapIndexedDataset.Index._HDR_MAGIC
LEGACY = indexed_dataset.IndexedDataset._HDR_MAGIC
CHUNK = 1 << 24  # tokens or lines looked at in one go
AGAIN = "remedy: fairseq-preprocess again"


def parts(folder: str | Path, split: str, rest: str, combine: bool) -> list[str]:
    """The split's name, and with `combine` those of its further parts (train1, train2, …) that lie in the folder."""
    names = [split]
    for number in itertools.count(1) if combine else ():
        if not os.path.exists(os.path.join(folder, f"{split}{number}{rest}.idx")):
            break
        names.append(f"{split}{number}")
    return names


def check_files(prefix: str | Path, words: int) -> None:
    """Refuse a pair PREFIX.idx, PREFIX.bin that is not whole, or has ids that a dictionary of `words` has not.

    What is not there at all is for the caller to miss.
    """
    index, data = Path(f"{prefix}.idx"), Path(f"{prefix}.bin")
    if index.exists() != data.exists():
        there, lacking = (index, data) if index.exists() else (data, index)
        raise InputError(f"{lacking}: no such file, beside {there.name}; {AGAIN}")
    if not index.exists():
        return
    with open(index, "rb") as file:
        magic = file.read(len(MMAP))
    first = 0
    if magic == MMAP:
        kind, tokens = _mmap(index)
    elif magic[: len(LEGACY)] == LEGACY:
        kind, tokens = _legacy(index)
        first = 1  # as Lua counts
    elif magic == HuffmanMMapIndex._HDR_MAGIC:
        return
    else:
        raise InputError(f"{index}: no index of fairseq-preprocess; {AGAIN}")
    if data.stat().st_size != tokens * kind.itemsize:
        raise InputError(
            f"{data} has {data.stat().st_size:,} bytes, its index says {tokens * kind.itemsize:,}: one of them is cut short "
            f"or altered; {AGAIN}"
        )
    if tokens:
        _check_ids(data, np.memmap(data, kind, mode="r"), first, words)


def _check_ids(path: Path, ids: np.ndarray, first: int, words: int) -> None:
    """All ids are `first` and more, `words` of them."""
    for start in range(0, len(ids), CHUNK):
        chunk = ids[start : start + CHUNK]
        for extreme in (int(chunk.max()) - first, int(chunk.min()) - first):
            if not 0 <= extreme < words:
                raise InputError(
                    f"{path}: token {extreme} is not in the dictionary, which has {words:,}; "
                    "remedy: the dict.*.txt it was made with, or fairseq-preprocess again"
                )


def _mmap(path: Path) -> tuple[np.dtype, int]:
    """Kind and number of the tokens, of an index whose sizes and places agree: magic, version, kind, count, both tables."""
    content = np.memmap(path, np.uint8, mode="r")
    start = len(MMAP) + 8 + 1 + 8
    if len(content) < start:
        raise InputError(f"{path}: cut short; {AGAIN}")
    version, count = (int(content[at : at + 8].view(np.uint64)[0]) for at in (len(MMAP), start - 8))
    kind = _kind(path, int(content[len(MMAP) + 8]))
    if version != 1 or len(content) != start + 12 * count:
        raise InputError(f"{path}: cut short or altered, it is not as long as an index of {count:,} lines; {AGAIN}")
    end = 0
    for line in range(0, count, CHUNK):
        lines = min(CHUNK, count - line)
        sizes = np.frombuffer(content, np.int32, lines, start + 4 * line).astype(np.int64)
        places = np.frombuffer(content, np.int64, lines, start + 4 * count + 8 * line)
        ends = end + np.cumsum(sizes)
        if sizes.min() < 0 or not np.array_equal(places, (ends - sizes) * kind.itemsize):
            raise InputError(f"{path}: altered, its sizes and places do not agree; {AGAIN}")
        end = int(ends[-1])
    return kind, end


def _legacy(path: Path) -> tuple[np.dtype, int]:
    """The same of --dataset-impl cached and lazy: magic, version, kind, width, counts; three tables of 64 bits."""
    try:
        header = np.fromfile(path, np.int64, 6)
        code, width, count, of_sizes = (int(number) for number in header[2:])
        kind = _kind(path, code)
        if width != kind.itemsize or count < 0 or of_sizes != count:
            raise ValueError
        if os.path.getsize(path) != 8 * (6 + 2 * (count + 1) + of_sizes):
            raise ValueError
        places = np.fromfile(path, np.int64, count + 1, offset=8 * (6 + count + 1))
        sizes = np.fromfile(path, np.int64, of_sizes, offset=8 * (6 + 2 * (count + 1)))
        if places[0] or not np.array_equal(np.diff(places), sizes) or (sizes < 0).any():
            raise ValueError
    except (ValueError, IndexError):
        raise InputError(f"{path}: cut short or altered; {AGAIN}") from None
    return kind, int(places[-1])


def _kind(path: Path, code: int) -> np.dtype:
    kind = indexed_dataset._code_to_dtype.get(code)
    if kind is None or not np.issubdtype(kind, np.integer):
        raise InputError(f"{path}: altered, its tokens are no numbers of a known kind; {AGAIN}")
    return np.dtype(kind)
