"""Gives every example a noise seed of its own, so that a latent does not depend on the batch it was sampled in."""

from fairseq.data import BaseWrapperDataset

from ..decoding.contexts import example_seeds


class SeededDataset(BaseWrapperDataset):
    """Adds net_input["noise_seed"] (B,). Holds plain values only: DataLoader workers pickle it."""

    def __init__(self, dataset, seed: int):
        super().__init__(dataset)
        self.seed = seed

    def collater(self, samples, **kwargs):
        """fairseq's batch, {} for an empty shard, with the seeds."""
        batch = self.dataset.collater(samples, **kwargs)
        if batch:
            batch["net_input"]["noise_seed"] = example_seeds(batch["id"], self.seed)
        return batch

    def filter_indices_by_size(self, indices, max_sizes):
        """The wrapped dataset knows both sides' sizes."""
        return self.dataset.filter_indices_by_size(indices, max_sizes)
