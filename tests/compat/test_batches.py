"""Batches of tasks and data sets that compose them anew for each epoch: fairseq's own, whatever the epoch of the start."""

import numpy as np
import pytest
from fairseq.tasks import FairseqTask

from ..helpers.tiny import dataset


def compositions(get_batch_iterator, task, data, made_in, epoch, **options):
    """The batches of `epoch` from an iterator that was made in the epoch `made_in`, as fairseq-train makes it."""
    task.dataset_to_epoch_iter.clear()
    iterator = get_batch_iterator(task, data, max_sentences=3, seed=1, epoch=made_in, **options)
    while iterator.epoch < epoch or iterator._cur_epoch_itr is None:
        batches = [sample["id"].tolist() for sample in iterator.next_epoch_itr(shuffle=True)]
    return batches


@pytest.fixture
def shuffled(task):
    data = dataset(task, ((3, 3),) * 12)
    data.dataset.shuffle = True
    return data


def test_batches_that_are_rebuilt_each_epoch_do_not_depend_on_the_start(task, shuffled):
    """rebuild_batches: the iterator composes each epoch's with seed + epoch itself."""
    task.cfg.rebuild_batches = True
    get = FairseqTask.get_batch_iterator
    assert compositions(get, task, shuffled, 1, 3) == compositions(get, task, shuffled, 3, 3)
    assert compositions(get, task, shuffled, 1, 3) == compositions(get.__wrapped__, task, shuffled, 1, 3)


@pytest.mark.parametrize("options", [{"disable_iterator_cache": True}, {"update_epoch_batch_itr": True}, {}])
def test_batches_that_are_made_anew_each_epoch_are_fairseqs(task, shuffled, options, monkeypatch):
    monkeypatch.setattr(type(shuffled), "can_reuse_epoch_itr_across_epochs", bool(options))
    get = FairseqTask.get_batch_iterator
    for epoch in (1, 2):
        own = compositions(get, task, shuffled, epoch, epoch, **options)
        assert own == compositions(get.__wrapped__, task, shuffled, epoch, epoch, **options)


def test_a_call_by_position_is_a_call_by_name(task, shuffled):
    """All arguments as FairseqTask.get_batch_iterator orders them, seed and epoch among them."""
    task.dataset_to_epoch_iter.clear()
    by_position = FairseqTask.get_batch_iterator(task, shuffled, None, 3, None, False, 1, 1, 1, 0, 0, 2)
    task.dataset_to_epoch_iter.clear()
    by_name = FairseqTask.get_batch_iterator(task, shuffled, max_sentences=3, seed=1, epoch=2)
    assert by_position.seed == by_name.seed == 1 and by_position.epoch == by_name.epoch == 2
    pairs = zip(by_position.frozen_batches, by_name.frozen_batches, strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)
