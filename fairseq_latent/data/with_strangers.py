"""The same examples with the context, or with the response, of another one: what is the own one worth?"""

from collections.abc import Sequence
from typing import Any

import torch
from fairseq.data import BaseWrapperDataset

CONTEXTS, RESPONSES = ("source",), ("target",)
SENTENCES = (*CONTEXTS, *RESPONSES)  # of a task where both are the same sentence


def swapped(dataset: Any, ids: Sequence[int], others: Sequence[int], sides: tuple[str, ...]) -> dict:
    """The batch of the examples `ids`, each with the `sides` of the one in `others`; its rows stand in the data set's order.

    Ids, and so noise, profiles and personas, are those of `ids`.
    """
    mixed = []
    for own, other in zip(ids, others, strict=True):
        theirs = dataset[other]
        mixed.append({**dataset[own], **{side: theirs[side] for side in sides}})
    return dataset.collater(mixed)


class WithStrangers(BaseWrapperDataset):
    """Adds batch["strangers"]: for each name in `swaps` the same batch with these sides of strangers, and which are counted.

    strangers: of each example the stranger's; None: it has none, keeps its own sides and is not counted.
    Holds plain values only: DataLoader workers pickle it.
    """

    def __init__(self, dataset: Any, strangers: Sequence[int | None], swaps: dict[str, tuple[str, ...]]):
        super().__init__(dataset)
        self.strangers, self.swaps = strangers, swaps

    def collater(self, samples: Sequence[dict], **kwargs: Any) -> dict:
        """The wrapped batch, {} for an empty shard."""
        batch = self.dataset.collater(samples, **kwargs)
        if batch:
            ids = batch["id"].tolist()
            others = [row if (found := self.strangers[row]) is None else found for row in ids]
            counted = torch.tensor([self.strangers[row] is not None for row in ids])
            batch["strangers"] = {"counted": counted} | {
                name: swapped(self.dataset, ids, others, sides) for name, sides in self.swaps.items()
            }
        return batch
