"""Work-arounds for data and batches: `patches.apply` puts them in place."""

import functools
import inspect
import types

import numpy as np


def restore_numpy_names() -> None:
    """np.int, np.float, np.object, np.compat.long, gone from numpy 1.24 and 2. Delete when fairseq uses none of them."""
    for name, python_type in (("int", int), ("float", float), ("object", object)):
        if name not in np.__dict__:
            setattr(np, name, python_type)
    if "compat" not in np.__dict__:
        np.compat = types.SimpleNamespace(long=np.int64)  # type: ignore[attr-defined]


def keep_last_batch(batch_by_size):
    """batch_by_size drops the last batch unless its size is a multiple of --required-batch-size-multiple.

    facebookresearch/fairseq#5036, #5094, #5351, since d871f616. Delete when a release keeps it.
    """

    @functools.wraps(batch_by_size)
    def wrapped(indices, *args, **kwargs):
        indices = indices if isinstance(indices, np.ndarray) else np.fromiter(indices, dtype=np.int64, count=-1)
        if len(indices) == 0:
            return []
        batches = list(batch_by_size(indices, *args, **kwargs))
        kept = sum(len(batch) for batch in batches)
        if kept < len(indices) and kwargs.get("fixed_shapes") is None:
            batches.append(indices[kept:])
        return batches

    return wrapped


def compose_batches_once(get_batch_iterator):
    """Batches are composed with seed + the epoch in which the iterator is made, so a resumed run trains on others.

    Where one iterator serves all epochs, compose with one seed for all; the order of batches still changes with the
    epoch. Where batches are composed anew for each epoch (data in shards, --update-epoch-batch-itr, rebuild_batches,
    data sets that forbid it) they depend on nothing else, and stay fairseq's. Since d871f616; delete when
    FairseqTask.get_batch_iterator composes with `seed` alone.
    """
    signature = inspect.signature(get_batch_iterator)

    @functools.wraps(get_batch_iterator)
    def wrapped(self, *args, **kwargs):
        call = signature.bind(self, *args, **kwargs)
        call.apply_defaults()
        given = call.arguments
        made_once = not (
            given["disable_iterator_cache"]
            or given["update_epoch_batch_itr"]
            or getattr(self.cfg, "rebuild_batches", False)
            or not self.can_reuse_epoch_itr(given["dataset"])
        )
        if not made_once:
            return get_batch_iterator(*call.args, **call.kwargs)
        seed = given["seed"]
        given["seed"] = seed - given["epoch"]
        iterator = get_batch_iterator(*call.args, **call.kwargs)
        iterator.seed = seed
        return iterator

    return wrapped
