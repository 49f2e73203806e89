"""The files that a side of a split is written to, and contexts of test with several responses, the references."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from fairseq_latent.errors import InputError

from .examples import Pair

SPLITS = ("train", "valid", "test")
FIELDS = ("src", "tgt", "ids", "turns")
PROFILES = ("partner", "own")  # of a persona data set, see preprocess.personas
WRITTEN = re.compile(rf"({'|'.join(SPLITS)})\.(src|tgt|ids|turns|ref\d+|partner|own|fader|candidates)")

State = tuple[int, int]


def columns(pairs: Sequence[Pair]) -> list[Iterable[str]]:
    """Pairs, each a context of its own -> the lines of each of FIELDS."""
    return [
        [pair.source for pair in pairs],
        [pair.target for pair in pairs],
        [pair.id for pair in pairs],
        [pair.turns or "" for pair in pairs],
    ]


def names_of(sides: Iterable[str], with_turns: bool, references: int) -> list[str]:
    """The files of the sides; with `references` a context at most, test has those after the first in files of their own."""
    names = [f"{side}.{field}" for side in sides for field in FIELDS[: 4 if with_turns else 3]]
    return names + [f"test.ref{number}" for number in range(1, references)]


def write_responses(files: dict[str, IO[bytes]], side: str, responses: Sequence[Pair]) -> None:
    """One line in each file of a side, for one context: the first response is the target, ids are of all."""
    first, others = responses[0], responses[1:]
    ids = "\t".join(pair.id for pair in responses)
    turns = ""
    if all(pair.turns for pair in responses):
        turns = "\t".join((first.turns, *(pair.turns.partition("\t")[2] for pair in others)))
    for name, line in zip(FIELDS, (first.source, first.target, ids, turns), strict=True):
        if file := files.get(f"{side}.{name}"):
            file.write(line.encode() + b"\n")
    number = 1
    while file := files.get(f"{side}.ref{number}"):
        file.write((responses[number].target if number < len(responses) else "").encode() + b"\n")
        number += 1


def refuse_leftovers(out: Path, names: Iterable[str]) -> None:
    """`--test 0` writes no test files, and not all data has candidates; those of an earlier run would be taken for this
    one's."""
    if not out.is_dir():
        return
    for path in sorted(out.iterdir()):
        if (found := WRITTEN.fullmatch(path.name)) and path.name not in names:
            raise InputError(
                f"{out} has {found[1]} files of an earlier run; remedy: delete them ({path.name}), or another --out"
            )


def state(path: Path) -> State:
    """What changes when somebody writes to a file."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@contextmanager
def unchanged(path: Path, before: State) -> Iterator[None]:
    """Every pass over a file must read the same lines; where it changed, that is the error, whatever came of it."""
    try:
        yield
    finally:
        if state(path) != before:
            raise InputError(f"{path} changed while it was read; remedy: run this again") from None


@dataclass
class References:
    """Contexts with `least` different responses or more, and the first `limit` responses of each."""

    least: int
    limit: int
    most: int = 1  # of the contexts that were chosen
    found: dict[bytes, dict[str, Pair]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def choose(self, responses: np.ndarray) -> np.ndarray:
        """Digests of (context, response) of all pairs (R, 2) -> those of the contexts that have enough, in order."""
        ordered = responses[np.lexsort(responses.T[::-1])]
        new = np.ones(len(ordered), bool)
        new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        contexts, sizes = np.unique(ordered[new, 0], return_counts=True)
        enough = sizes >= self.least
        if not enough.any():
            raise InputError(
                f"no test context has {self.least} different responses, the most is {max(sizes, default=0)}; "
                "remedy: a smaller --references, or a larger test"
            )
        self.most = int(min(sizes.max(), self.limit))
        self.counts["contexts_with_fewer"] = int(np.sum(~enough))
        return contexts[enough]

    def add(self, context: bytes, pair: Pair) -> None:
        """The next response of the file."""
        responses = self.found.setdefault(context, {})
        if pair.target in responses:
            self.counts["repeated"] += 1
        elif len(responses) < self.most:
            responses[pair.target] = pair
        else:
            self.counts["beyond_max"] += 1

    def write(self, files: dict[str, IO[bytes]]) -> None:
        """Write the files of test, a line per context."""
        for responses in self.found.values():
            write_responses(files, "test", list(responses.values()))
        self.counts["contexts"] = len(self.found)
        self.counts["responses"] = sum(map(len, self.found.values()))
