"""What the tokens of a whole data set hold, looked up without making one tensor a sentence."""

import numpy as np
from fairseq.data import AppendTokenDataset, ConcatDataset, PrependTokenDataset
from fairseq.data.indexed_dataset import MMapIndexedDataset

CHUNK = 1 << 24  # tokens looked at in one go


def holds(dataset, token: int) -> bool:
    """Whether any sequence of a data set holds `token`: a second for 10^9 tokens of fairseq-preprocess."""
    if isinstance(dataset, ConcatDataset):
        return any(holds(part, token) for part in dataset.datasets)
    if isinstance(dataset, AppendTokenDataset | PrependTokenDataset):
        return holds(dataset.dataset, token)
    if isinstance(dataset, MMapIndexedDataset):
        tokens = np.frombuffer(dataset._bin_buffer, dtype=dataset._index.dtype)
        return any((tokens[start : start + CHUNK] == token).any() for start in range(0, len(tokens), CHUNK))
    if dataset.supports_prefetch:  # fairseq's "cached" reads nothing else; training fills the same cache
        dataset.prefetch(range(len(dataset)))
    return any(bool((dataset[index] == token).any()) for index in range(len(dataset)))
