"""Work-arounds for training with several processes: on CPUs, and equal to one process wherever.

`patches.apply` puts them in place.
"""

import functools
import os
import socket

import numpy as np
import torch
import torch.distributed as dist
from fairseq import utils
from fairseq.distributed import utils as distributed_utils
from fairseq.distributed.utils import distributed_main as fairseq_distributed_main

from . import rendezvous, turns


def unpickle_own_objects(broadcast_object_slow):
    """A distributed resume unpickles what our own rank 0 sent, with torch.load. Delete when it asks weights_only=False."""
    variable = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"  # torch reads it at every call

    @functools.wraps(broadcast_object_slow)
    def wrapped(*args, **kwargs):
        before = os.environ.get(variable)
        os.environ[variable] = "1"
        try:
            return broadcast_object_slow(*args, **kwargs)
        finally:
            if before is None:
                del os.environ[variable]
            else:
                os.environ[variable] = before

    return wrapped


def gather_without_cuda(all_gather_list):
    """all_gather_list makes a torch.cuda.ByteTensor. Delete when it asks the group's backend for a device."""

    @functools.wraps(all_gather_list)
    def wrapped(data, group=None, max_size=16384):
        group = distributed_utils.get_global_group() if group is None else group
        if dist.get_backend(group) != "gloo":
            return all_gather_list(data, group=group, max_size=max_size)
        gathered = [None] * distributed_utils.get_world_size(group=group)
        dist.all_gather_object(gathered, utils.move_to_cpu(data), group=group)
        return gathered

    return wrapped


def infer_torchrun(infer_launch):
    """torchrun without a GPU: rank modulo 0 devices. Delete when fairseq counts CPU processes."""

    @functools.wraps(infer_launch)
    def wrapped(cfg):
        if torch.cuda.device_count():
            return infer_launch(cfg)
        cfg.distributed_init_method = "env://"
        cfg.distributed_world_size = int(os.environ["WORLD_SIZE"])
        cfg.distributed_rank = int(os.environ["RANK"])
        cfg.device_id, cfg.distributed_no_spawn = 0, True
        return None

    return wrapped


def call_main_anywhere(call_main):
    """Several processes on CPUs, and refusals where fairseq would crash or train nothing.

    `--cpu --distributed-world-size 2` finds 0 devices (with --distributed-init-method it exits 0 having trained
    nothing); torchrun with one device a node trains every rank alone. Delete when fairseq spawns as many processes as it
    was told.
    """

    @functools.wraps(call_main)
    def wrapped(cfg, main, **kwargs):
        main = turns.train_in_turn(main)
        training = cfg.distributed_training
        under_torchrun = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys()
        if under_torchrun and training.distributed_world_size == 1:
            training.distributed_world_size = int(os.environ["WORLD_SIZE"])
        if cfg.common.cpu or not torch.cuda.is_available():
            cfg.common.tpu = training.tpu = False  # options.py takes bf16 for a TPU's
            if training.distributed_world_size > 1:
                training.distributed_backend = "gloo"
                if not under_torchrun and not training.distributed_no_spawn:
                    return spawn(cfg, main, kwargs)
        elif cfg.common.bf16:
            cfg.common.tpu = training.tpu = False
        return call_main(cfg, main, **kwargs)

    return wrapped


def distributed_main(index: int, main, cfg, kwargs) -> None:
    """fairseq's, of this module: a spawned process that looks it up has all patches before it meets the others.

    Delete with `meet_in_time`.
    """
    fairseq_distributed_main(index, main, cfg, kwargs)


def meet_in_time(distributed_init):
    """A host that does not answer is waited for for half an hour. Delete when fairseq passes a time limit and names it."""

    @functools.wraps(distributed_init)
    def wrapped(cfg):
        training = cfg.distributed_training
        if dist.is_initialized() or cfg.common.tpu:
            return distributed_init(cfg)
        rank, world_size = training.distributed_rank, training.distributed_world_size
        with rendezvous.deadline(training.distributed_init_method, rank, world_size):
            return distributed_init(cfg)

    return wrapped


def parallel_on_cpus(distributed_data_parallel):
    """--ddp-backend pytorch_ddp names a GPU also for a model on a CPU. Delete when fairseq asks where the model is."""

    @functools.wraps(distributed_data_parallel, updated=())
    def wrapped(module, device_ids=None, output_device=None, **kwargs):
        if all(parameter.device.type == "cpu" for parameter in module.parameters()):
            device_ids = output_device = None
        return distributed_data_parallel(module, device_ids=device_ids, output_device=output_device, **kwargs)

    return wrapped


def spawn(cfg, main, kwargs) -> None:
    """One process a rank, on this machine."""
    training = cfg.distributed_training
    if training.distributed_init_method is None:
        with socket.socket() as free_port:
            free_port.bind(("127.0.0.1", 0))
            training.distributed_port = free_port.getsockname()[1]
        training.distributed_init_method = f"tcp://127.0.0.1:{training.distributed_port}"
    training.distributed_rank = None  # start_rank + index of the process
    kwargs["start_rank"] = 0
    torch.multiprocessing.spawn(
        distributed_main, args=(main, cfg, kwargs), nprocs=training.distributed_world_size, join=True
    )


# --- the same training, whatever the number of processes -------------------------------------------------------------


def note_workers(state_dict):
    """A checkpoint counts the batches of the epoch that each worker had, and no workers. Delete with `place_of_workers`."""

    @functools.wraps(state_dict)
    def wrapped(self):
        return {**state_dict(self), "num_shards": self.num_shards}

    return wrapped


def place_of_workers(load_state_dict):
    """A run resumed in mid-epoch by another number of workers trains on batches twice, or never.

    Delete when EpochBatchIterator's state has the number of workers.
    """

    @functools.wraps(load_state_dict)
    def wrapped(self, state):
        consumed = state.get("iterations_in_epoch", 0) * state.get("num_shards", self.num_shards)
        return load_state_dict(self, {**state, "iterations_in_epoch": consumed // self.num_shards})

    return wrapped


def seed_batches_apart(train_step):
    """All workers are seeded alike, with seed + update: each samples the same latents and drops the same units.

    Seed each batch of an update by its place among those of all workers, so that N workers are one with N times the
    --update-freq. The first keeps fairseq's seed. Delete when Trainer._set_seed counts workers and batches.
    """

    @functools.wraps(train_step)
    def wrapped(self, samples, *args, **kwargs):
        return train_step(self, SeededBatches(samples, self), *args, **kwargs)

    return wrapped


class SeededBatches(list):
    """The batches of one update: each is handed out with its own seed set, whenever the list is gone through."""

    def __init__(self, samples, trainer):
        super().__init__(samples)
        self.seed = trainer.cfg.common.seed + trainer.get_num_updates()
        self.rank, self.workers = trainer.data_parallel_rank, trainer.data_parallel_world_size

    def __iter__(self):
        for index, sample in enumerate(super().__iter__()):
            place = index * self.workers + self.rank
            own = np.random.SeedSequence([self.seed % 2**64, place]).generate_state(1)[0]
            utils.set_torch_seed(int(own) if place else self.seed)
            yield sample
