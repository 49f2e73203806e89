"""Rows of ids as one tensor."""

from collections.abc import Sequence

import torch
from fairseq.data import data_utils
from torch import Tensor


def padded(rows: Sequence[Sequence[int]], pad: int, device: torch.device | str = "cpu") -> Tensor:
    """(B, longest), padded on the right; rows may be empty."""
    made = [torch.tensor(list(row), dtype=torch.long) for row in rows]
    return data_utils.collate_tokens(made, pad).to(device)
