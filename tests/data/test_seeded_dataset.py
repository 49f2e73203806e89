"""Each example's noise seed is its own."""

import pickle

import numpy as np
import torch
from fairseq.data import LanguagePairDataset, ListDataset

from fairseq_latent.data.seeded_dataset import SeededDataset
from fairseq_latent.decoding.contexts import example_seeds


def dataset(dictionary, lengths, seed=1):
    rows = [torch.tensor([4 + (length + i) % 7 for i in range(length)] + [dictionary.eos()]) for length in lengths]
    sizes = [len(row) for row in rows]
    source, target = ListDataset(rows, sizes), ListDataset(rows, sizes)
    pairs = LanguagePairDataset(source, sizes, dictionary, target, sizes, dictionary, shuffle=False)
    return SeededDataset(pairs, seed)


def test_seeds_are_a_function_of_seed_and_id():
    one = example_seeds(torch.tensor([0, 1, 2]), 1)
    assert torch.equal(one.flip(0), example_seeds(torch.tensor([2, 1, 0]), 1))
    assert len(set(one.tolist()) | set(example_seeds(torch.tensor([0, 1, 2]), 2).tolist())) == 6
    assert one.dtype == torch.int64 and (one >= 0).all()


def test_seeds_follow_the_order_of_the_batch(dictionary):
    """fairseq's collater sorts by length; the seeds must sort along."""
    data = dataset(dictionary, [2, 5, 3])
    batch = data.collater([data[0], data[1], data[2]])
    assert batch["id"].tolist() == [1, 2, 0]
    assert torch.equal(batch["net_input"]["noise_seed"], example_seeds(batch["id"], 1))
    alone = data.collater([data[2]])
    assert alone["net_input"]["noise_seed"].item() == batch["net_input"]["noise_seed"][1].item()


def test_an_empty_shard_stays_an_empty_batch(dictionary):
    assert not dataset(dictionary, [2]).collater([])


def test_it_filters_both_sides_by_size(dictionary):
    data = dataset(dictionary, [2, 9, 3])
    kept, dropped = data.filter_indices_by_size(np.arange(3), (5, 5))
    assert list(kept) == [0, 2] and list(dropped) == [1]


def test_workers_can_pickle_it(dictionary):
    data = pickle.loads(pickle.dumps(dataset(dictionary, [2, 3])))
    assert "noise_seed" in data.collater([data[0]])["net_input"]
