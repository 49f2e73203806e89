"""Adds to every pair the partner's profile and how similar to it the response is: what training reads, alone."""

from collections.abc import Sequence

import numpy as np
import torch
from fairseq.data import BaseWrapperDataset, data_utils
from torch import Tensor

POSTERIOR_INPUTS = ("partner_tokens", "similarity")


class PersonaDataset(BaseWrapperDataset):
    """Adds net_input["partner_tokens"] (B, P), padded on the right, and net_input["similarity"] (B,) from 0 to 1.

    Holds plain values only: DataLoader workers pickle it.
    """

    def __init__(self, dataset, profiles: Sequence[Tensor], similarity: np.ndarray, pad: int, longest: int):
        super().__init__(dataset)
        self.profiles, self.similarity = profiles, similarity
        self.pad, self.longest = pad, longest

    def collater(self, samples, **kwargs):
        """The wrapped batch, {} for an empty shard, with the rows in its order."""
        batch = self.dataset.collater(samples, **kwargs)
        if batch:
            rows = batch["id"].tolist()
            batch["net_input"]["partner_tokens"] = self.collate_profiles(rows)
            batch["net_input"]["similarity"] = torch.from_numpy(self.similarity[rows])
        return batch

    def collate_profiles(self, rows: Sequence[int]) -> Tensor:
        """(B, P) of the examples with these ids."""
        return data_utils.collate_tokens([self._cut(self.profiles[row]) for row in rows], self.pad)

    def _cut(self, profile: Tensor) -> Tensor:
        """A profile's first tokens, and its end."""
        profile = profile.long()
        return profile if len(profile) <= self.longest else torch.cat([profile[: self.longest - 1], profile[-1:]])

    def filter_indices_by_size(self, indices, max_sizes):
        """The wrapped dataset knows both sides' sizes."""
        return self.dataset.filter_indices_by_size(indices, max_sizes)
