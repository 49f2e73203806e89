"""Adds to every pair the prompt that a model reads before the reply: own persona and history (TransferTransfo, P²BOT)."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from fairseq.data import BaseWrapperDataset, FairseqDataset, data_utils
from torch import Tensor

from .own_persona import PromptLayout, rotated, shuffled, texts_between

PROMPT_INPUTS = ("prompt", "prompt_types")
ORDERS = ("given", "rotate", "shuffle")


def collate_prompts(prompts: Sequence[tuple[list[int], list[int]]], pad: int) -> dict[str, Tensor]:
    """{"prompt": (B, L), "prompt_types": (B, L) where there are any}, padded on the right."""
    columns = zip(PROMPT_INPUTS, zip(*prompts, strict=True), strict=True)
    return {
        name: data_utils.collate_tokens([torch.tensor(row, dtype=torch.long) for row in rows], pad)
        for name, rows in columns
        if any(rows)
    }


class PromptDataset(BaseWrapperDataset):
    """Adds net_input["prompt"] (B, L) and, for layouts that have types, net_input["prompt_types"] (B, L).

    personas: of each pair's speaker, d1 <eot> d2 ... </s>. order: of the sentences, as given, sampled from (seed, epoch,
    example), or rotated. copies: how often an epoch has each pair, each time with the persona rotated once more.
    Holds plain values only: DataLoader workers pickle it.
    """

    def __init__(
        self,
        dataset,
        personas: Sequence[Tensor],
        layout: PromptLayout,
        separator: int,
        end: int,
        pad: int,
        order: str = "given",
        copies: int = 1,
        seed: int = 1,
    ):
        super().__init__(dataset)
        if order not in ORDERS:
            raise ValueError(f"order {order} of a persona is none of {ORDERS}")
        self.personas, self.layout, self.separator, self.end, self.pad = personas, layout, separator, end, pad
        self.order, self.copies, self.seed, self.epoch = order, copies, seed, 1

    def __len__(self) -> int:
        return self.copies * len(self.dataset)

    def __getitem__(self, index: int) -> dict:
        """The pair, and which of its copies it is."""
        copy, row = divmod(int(index), len(self.dataset))
        return {**self.dataset[row], "copy": copy}

    def prompt(self, row: int, source: Tensor, copy: int = 0) -> tuple[list[int], list[int]]:
        """Tokens and types of the prompt of a pair whose context is `source`."""
        persona: Sequence[Sequence[int]] = texts_between(self.personas[row], self.separator, self.end)
        if self.order == "rotate":
            persona = rotated(persona, copy)
        elif self.order == "shuffle":
            persona = shuffled(persona, self.seed, self.epoch, row)
        return self.layout.prompt(persona, texts_between(source, self.separator, self.end))

    def collater(self, samples, **kwargs):
        """The wrapped batch, {} for an empty shard, with the prompts in its order."""
        batch = self.dataset.collater(samples, **kwargs)
        if batch:
            of_row = {(sample["id"], sample["copy"]): sample for sample in samples}
            # fairseq sorts by length, and copies of a pair have the same one: they come in the order of `samples`
            left: dict[int, list[int]] = {}
            for row, copy in of_row:
                left.setdefault(row, []).append(copy)
            chosen = [of_row[row, left[row].pop(0)] for row in batch["id"].tolist()]
            prompts = [self.prompt(sample["id"], sample["source"], sample["copy"]) for sample in chosen]
            batch["net_input"] |= collate_prompts(prompts, self.pad)
        return batch

    @cached_property
    def prompt_sizes(self) -> np.ndarray:
        """(N,) tokens of every pair's prompt, which no order of a persona changes."""
        pairs = self.pairs
        return np.array([len(self.prompt(row, pairs.src[row])[0]) for row in range(len(self.dataset))], np.int64)

    @property
    def pairs(self):
        """fairseq's data set of contexts and responses."""
        pairs = self.dataset
        while not hasattr(pairs, "tgt_sizes"):
            pairs = pairs.dataset
        return pairs

    def reply_sizes(self) -> np.ndarray:
        """(N,) tokens that are read after the prompt: of the reply, its end and what stands before it."""
        return self.pairs.tgt_sizes + len(self.layout.reply)

    @property
    def sizes(self) -> np.ndarray:
        """(copies * N,): tokens of prompt and reply."""
        return np.tile(self.prompt_sizes + self.reply_sizes(), self.copies)

    def num_tokens(self, index: int) -> int:
        """What --max-tokens counts."""
        return int(self.sizes[index])

    def size(self, index: int):
        """Of context and response, which are compared with the model's positions."""
        return self.dataset.size(index % len(self.dataset))

    def num_tokens_vec(self, indices) -> np.ndarray:
        """(M,)"""
        return self.sizes[indices]

    def batch_by_size(self, indices, **limits):
        """Batches by what is counted here; a wrapper leaves it to what it wraps."""
        return FairseqDataset.batch_by_size(self, indices, **limits)

    def ordered_indices(self) -> np.ndarray:
        """By length; equal ones at random in training, as fairseq has it."""
        order = np.random.permutation(len(self)) if self.shuffled else np.arange(len(self))
        return order[np.argsort(self.sizes[order], kind="mergesort")]

    @property
    def shuffled(self) -> bool:
        """Whether fairseq shuffles this split."""
        return bool(getattr(self.pairs, "shuffle", False))

    def filter_indices_by_size(self, indices, max_sizes):
        """The wrapped data set knows both sides' sizes."""
        count = len(self.dataset)
        _, ignored = self.dataset.filter_indices_by_size(np.arange(count), max_sizes)
        if not len(ignored):
            return indices, []
        left_out = np.isin(indices % count, np.asarray(ignored))
        return indices[~left_out], indices[left_out].tolist()

    @property
    def can_reuse_epoch_itr_across_epochs(self) -> bool:
        """Not where an order is sampled: fairseq's workers would live on with that of the first epoch."""
        return self.order != "shuffle"

    def set_epoch(self, epoch: int) -> None:
        """For what is sampled anew in every epoch."""
        super().set_epoch(epoch)
        self.epoch = epoch
