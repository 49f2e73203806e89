"""Contexts that are too long, without their oldest turns: the last one is what a response answers."""

import numpy as np
from fairseq.data import BaseWrapperDataset, LanguagePairDataset

from ..decoding.contexts import newest_turns


class NewestTurns(BaseWrapperDataset):
    """Contexts cut to `longest` tokens. Holds plain values only: DataLoader workers pickle it."""

    def __init__(self, dataset, sizes: np.ndarray, longest: int, end_of_turn: int):
        super().__init__(dataset)
        self.longest, self.end_of_turn = longest, end_of_turn
        self._sizes = np.minimum(sizes, longest)

    def __getitem__(self, index):
        """(S,), S up to `longest`."""
        return newest_turns(self.dataset[index], self.longest, self.end_of_turn)

    @property
    def sizes(self) -> np.ndarray:
        """(N,): what they are at most; turns stay whole."""
        return self._sizes


def keep_newest_turns(pairs: LanguagePairDataset, longest: int, end_of_turn: int) -> int:
    """Cut the contexts of pairs; returns how many were longer."""
    long = int((pairs.src_sizes > longest).sum())
    if long:
        pairs.src = NewestTurns(pairs.src, pairs.src_sizes, longest, end_of_turn)
        pairs.src_sizes = pairs.src.sizes
        pairs.sizes = pairs.src_sizes if pairs.tgt is None else np.vstack((pairs.src_sizes, pairs.tgt_sizes)).T
    return long
