"""Responses that are too long, cut at their end, for models whose replies have few tokens."""

import numpy as np
import torch
from fairseq.data import BaseWrapperDataset, LanguagePairDataset


class FirstTokens(BaseWrapperDataset):
    """Texts of at most `longest` tokens: the first ones, and the end. Holds plain values only.

    whole: give them whole all the same, as references to compare with, which no model reads; sizes stay those of the cut.
    """

    whole = False

    def __init__(self, dataset, sizes: np.ndarray, longest: int):
        super().__init__(dataset)
        self.longest = longest
        self._sizes = np.minimum(sizes, longest)

    def __getitem__(self, index):
        """(T,), T up to `longest`."""
        text = self.dataset[index]
        return text if self.whole or len(text) <= self.longest else torch.cat([text[: self.longest - 1], text[-1:]])

    @property
    def sizes(self) -> np.ndarray:
        """(N,)"""
        return self._sizes


def keep_first_tokens(pairs: LanguagePairDataset, longest: int) -> int:
    """Cut the responses of pairs; returns how many were longer."""
    if pairs.tgt is None:
        return 0
    long = int((pairs.tgt_sizes > longest).sum())
    if long:
        pairs.tgt = FirstTokens(pairs.tgt, pairs.tgt_sizes, longest)
        pairs.tgt_sizes = pairs.tgt.sizes
        pairs.sizes = np.vstack((pairs.src_sizes, pairs.tgt_sizes)).T
    return long


def print_whole(dataset) -> None:
    """Give the responses of a split whole, if they were cut."""
    while not isinstance(dataset, LanguagePairDataset) and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    if isinstance(target := getattr(dataset, "tgt", None), FirstTokens):
        target.whole = True
