"""What a criterion learns about an update before its first batch is computed."""

import functools

import torch
from fairseq.distributed import utils as distributed_utils


def count_before(train_step):
    """A loss of two means needs both denominators, of all batches of an update and all workers, before the first backward.

    fairseq divides the gradient of an update by one sample size, when all of it is there. A criterion that has
    `begin_update` is called with the update's batches and a function that adds numbers up over workers. Delete when
    fairseq's criterions may have several sample sizes.
    """

    @functools.wraps(train_step)
    def wrapped(self, samples, *args, **kwargs):
        criterion = getattr(self.criterion, "module", self.criterion)
        if hasattr(criterion, "begin_update"):
            criterion.begin_update(list(samples), lambda numbers: _over_workers(numbers, self))
        return train_step(self, samples, *args, **kwargs)

    return wrapped


def _over_workers(numbers: list[float], trainer) -> list[float]:
    if trainer.data_parallel_world_size == 1:
        return numbers
    total = torch.tensor(numbers, dtype=torch.float64, device=trainer.device)
    distributed_utils.all_reduce(total, group=trainer.data_parallel_process_group)
    return total.tolist()
