"""Contexts cut to their newest turns: which tokens stay, and that programs decode those."""

import numpy as np
import pytest
import torch
from fairseq.data import Dictionary, LanguagePairDataset, ListDataset

from fairseq_latent.data.newest_turns import keep_newest_turns
from fairseq_latent.decoding.contexts import newest_turns

EOT, EOS = 9, 2


@pytest.mark.parametrize(
    ("tokens", "longest", "kept"),
    [
        ([4, 5, EOT, 6, 7, EOS], 6, [4, 5, EOT, 6, 7, EOS]),
        ([4, 5, EOT, 6, 7, EOS], 5, [6, 7, EOS]),  # the rest of the first turn goes with its beginning
        ([4, 5, EOT, 6, 7, EOS], 3, [6, 7, EOS]),
        ([4, 5, EOT, 6, 7, EOS], 2, [7, EOS]),  # not one turn fits: its last words
        ([4, EOT, 5, 6, EOT, 7, EOS], 5, [5, 6, EOT, 7, EOS]),  # the cut falls between turns
        ([4, EOT, 5, 6, EOT, 7, EOS], 4, [7, EOS]),
        ([4, 5, 6, 7, 8, EOT, EOS], 4, [7, 8, EOT, EOS]),  # what is said last is empty: nothing would be left
        ([4, 5, 6, 7, 8, EOS], 3, [7, 8, EOS]),
    ],
)
def test_whole_turns_stay_and_the_last_one_always(tokens, longest, kept):
    assert newest_turns(torch.tensor(tokens), longest, EOT).tolist() == kept


def test_pairs_are_cut_and_their_sizes_with_them():
    words = Dictionary()
    rows = [torch.tensor([4, 5, EOT, 6, EOS]), torch.tensor([4, EOS])]
    sizes = [5, 2]
    for target in (None, ListDataset(rows, sizes)):
        pairs = LanguagePairDataset(
            ListDataset(rows, sizes), sizes, words, target, None if target is None else sizes, words
        )
        assert keep_newest_turns(pairs, 3, EOT) == 1
        assert [pairs[row]["source"].tolist() for row in (0, 1)] == [[6, EOS], [4, EOS]]
        kept, long = pairs.filter_indices_by_size(np.arange(2), (3, 9) if target else 3)
        assert list(kept) == [0, 1] and not long
        assert keep_newest_turns(pairs, 3, EOT) == 0
