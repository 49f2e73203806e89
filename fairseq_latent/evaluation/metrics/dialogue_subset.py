"""A fixed random part of a test set: measures that fall with the amount of text, on as much of it as a paper may have had.

Distinct-n of Cho et al. (2022) cannot be that of all 1,000 dialogues of ConvAI2 (.167 of 78,000 words would be 13,000 types,
more than the corpus has), but it can be that of 50, their human evaluation's number.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fairseq_latent.errors import InputError
from fairseq_latent.text.strangers import read_dialogues

DIALOGUES = 50
SEED = 0  # a constant: the subset belongs to the test set, not to a run

Line = TypeVar("Line")


@dataclass(frozen=True)
class Subset:
    """The lines (from 0) of `dialogues` out of `of` dialogues, all of each."""

    lines: tuple[int, ...]
    dialogues: int
    of: int

    def chosen(self, texts: Sequence[Line]) -> list[Line]:
        """Their texts, in order."""
        return [texts[line] for line in self.lines]


def read_subset(path: str | Path, count: int, dialogues: int = DIALOGUES) -> Subset:
    """Sample dialogues from a file that has `conversation:turn` a line, for `count` contexts."""
    names = read_dialogues(path, count)
    different = sorted(set(names))
    if len(different) <= dialogues:
        raise InputError(
            f"{path}: {len(different)} dialogues, no more than the subset's {dialogues}; remedy: without --dialogues, "
            "all of them are measured"
        )
    sampled = set(random.Random(SEED).sample(different, dialogues))
    return Subset(tuple(line for line, name in enumerate(names) if name in sampled), dialogues, len(different))


def subset_or_none(path: str | Path, count: int) -> Subset | None:
    """The same; None where there are no more dialogues than it would have."""
    return read_subset(path, count) if len(set(read_dialogues(path, count))) > DIALOGUES else None
