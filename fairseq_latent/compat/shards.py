"""Work-arounds for --num-shards, by which several fairseq-generate share a split: `patches.apply` puts them in place.

fairseq-generate takes no notice of it and of --shard-id, so that each process decodes all; fairseq-eval-lm reads both.
Delete when fairseq_cli.generate reads them.
"""

import argparse
import functools
import os
from dataclasses import dataclass

from ..errors import InputError
from .ownership import owners, with_flags

OF_GENERATE, OF_INTERACTIVE, OF_EVAL_LM = "score_reference", "buffer_size", "output_word_probs"


@dataclass
class Sharing:
    """Among how many processes the command line of this one shares a split out."""

    shards: int = 1


sharing = Sharing()


@with_flags
def share_split(flags: argparse.Namespace) -> None:
    """Let fairseq-generate decode the share of --shard-id: it shares out by the flags of distributed training alone."""
    shards, shard = getattr(flags, "num_shards", None) or 1, getattr(flags, "shard_id", None) or 0
    generates = hasattr(flags, OF_GENERATE) and not hasattr(flags, OF_INTERACTIVE)
    if owners(vars(flags)):
        _check(shards, shard, generates, flags)
    sharing.shards = shards if generates else 1
    if sharing.shards > 1:
        flags.distributed_world_size, flags.distributed_rank = shards, shard
        if flags.results_path is not None:  # where each writes a file of the same name
            flags.results_path = os.path.join(flags.results_path, f"shard-{shard}-of-{shards}")


def _check(shards: int, shard: int, generates: bool, flags: argparse.Namespace) -> None:
    """InputError for shares that there are not, and programs that have none."""
    asked = f"--num-shards {shards} --shard-id {shard}"
    if (shards, shard) == (1, 0) or hasattr(flags, OF_EVAL_LM):
        return
    if not generates:
        raise InputError(f"{asked}: only fairseq-generate shares a split out; remedy: leave them out")
    if shard >= shards:
        raise InputError(f"{asked}; remedy: --shard-id from 0 to {shards - 1}, or a larger --num-shards")
    if flags.distributed_world_size > 1:
        raise InputError(f"{asked} beside --distributed-world-size {flags.distributed_world_size}; remedy: one of them")


def give_each_shard_work(get_batch_iterator):
    """fairseq-generate divides by zero where it has no batch: of fewer batches than shards, halve the largest."""

    @functools.wraps(get_batch_iterator)
    def wrapped(self, *args, **kwargs):
        iterator = get_batch_iterator(self, *args, **kwargs)
        if sharing.shards > 1 and kwargs.get("num_shards") == sharing.shards:
            iterator._frozen_batches = halved(iterator.frozen_batches, sharing.shards)
        return iterator

    return wrapped


def halved(batches, least: int) -> tuple:
    """Batches of the same sentences in the same order, `least` or more."""
    batches = list(batches)
    while len(batches) < least:
        largest = max(range(len(batches)), key=lambda place: len(batches[place]), default=0)
        if not batches or len(batches[largest]) < 2:
            raise InputError(f"--num-shards {least}: there are {len(batches)} sentences; remedy: as many, or fewer")
        half = len(batches[largest]) // 2
        batches[largest : largest + 1] = batches[largest][:half], batches[largest][half:]
    return tuple(batches)
