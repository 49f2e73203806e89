"""Every work-around for the fairseq and torch versions we run on: why it is here, and when to delete it.

`apply()` patches module attributes, which fairseq always looks up at call time. It runs when the package is imported,
before any data set, checkpoint or process group is touched. Those for several processes: `_compat_distributed.py`.
"""

import argparse
import contextlib
import functools
import os
import pickle
import shutil
import sys
import types
import warnings

import numpy as np
import torch
from fairseq import checkpoint_utils, options
from fairseq.data import data_utils
from fairseq.data.iterators import EpochBatchIterator
from fairseq.distributed import utils as distributed_utils
from fairseq.file_io import PathManager
from fairseq.logging import progress_bar
from fairseq.models import distributed_fairseq_model
from fairseq.search import Sampling
from fairseq.tasks import FairseqTask
from fairseq.trainer import Trainer

from . import _compat_distributed as distributed
from . import failures
from .errors import InputError
from .files import DISK_ERRORS


def apply() -> None:
    """Apply all of them, once."""
    if getattr(distributed_utils, "_fairseq_latent", False):
        return
    distributed_utils._fairseq_latent = True
    restore_numpy_names()
    allow_checkpoint_types()
    data_utils.batch_by_size = keep_last_batch(data_utils.batch_by_size)
    FairseqTask.get_batch_iterator = compose_batches_once(FairseqTask.get_batch_iterator)
    FairseqTask.build_generator = honour_topk_with_topp(FairseqTask.build_generator)
    FairseqTask.inference_step = number_beams_in_batch(FairseqTask.inference_step)
    checkpoint_utils.load_checkpoint_to_cpu = name_broken_checkpoints(checkpoint_utils.load_checkpoint_to_cpu)
    PathManager.copy = staticmethod(copy_whole)
    checkpoint_utils.torch_persistent_save = save_whole(checkpoint_utils.torch_persistent_save)
    distributed_utils._broadcast_object_slow = distributed.unpickle_own_objects(
        distributed_utils._broadcast_object_slow
    )
    distributed_utils.all_gather_list = distributed.gather_without_cuda(distributed_utils.all_gather_list)
    distributed_utils._infer_torch_distributed_launch_init = distributed.infer_torchrun(
        distributed_utils._infer_torch_distributed_launch_init
    )
    distributed_utils.call_main = distributed.call_main_anywhere(distributed_utils.call_main)
    distributed_utils.distributed_main = distributed.distributed_main
    distributed_utils.distributed_init = distributed.meet_in_time(distributed_utils.distributed_init)
    EpochBatchIterator.state_dict = distributed.note_workers(EpochBatchIterator.state_dict)
    EpochBatchIterator.load_state_dict = distributed.place_of_workers(EpochBatchIterator.load_state_dict)
    distributed_fairseq_model.DistributedDataParallel = distributed.parallel_on_cpus(
        distributed_fairseq_model.DistributedDataParallel
    )
    Trainer.train_step = distributed.seed_batches_apart(Trainer.train_step)
    Trainer.state_dict = keep_task_state(Trainer.state_dict)
    Trainer.load_checkpoint = restore_task_state(Trainer.load_checkpoint)
    progress_bar.progress_bar = log_once(progress_bar.progress_bar)
    options.parse_args_and_arch = show_all_flags(options.parse_args_and_arch)
    # fairseq's attention mixes a float mask with a boolean one, as it always did: torch says so at every start
    warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask and attn_mask is deprecated")
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"fairseq\.")
    # fairseq's way of calling hydra, deprecated in seven ways
    warnings.filterwarnings("ignore", category=UserWarning, module=r"hydra\.")
    warnings.filterwarnings("ignore", message=r"\s*'config' is validated against ConfigStore schema")
    warnings.filterwarnings("ignore", message="'pin_memory' argument is set as true but no accelerator is found")
    sys.excepthook = failures.one_line_hook(sys.excepthook)


# --- command line ----------------------------------------------------------------------------------------------------


def show_all_flags(parse_args_and_arch):
    """--help is answered before the flags of --arch, --task and --criterion are known. Delete when it lists them."""

    @functools.wraps(parse_args_and_arch)
    def wrapped(parser, input_args=None, *args, **kwargs):
        parse = parser.parse_known_args

        def parse_first(arguments=None, namespace=None):
            vars(parser).pop("parse_known_args", None)  # the next parse knows all flags, and answers
            arguments = sys.argv[1:] if arguments is None else arguments
            needs_arch = "--arch" in parser._option_string_actions and parser.get_default("arch") is None
            if needs_arch and not any(word.startswith("--arch") for word in arguments):  # then there is no more to list
                return parse(arguments, namespace)
            return parse([word for word in arguments if word not in ("-h", "--help")], namespace)

        parser.parse_known_args = parse_first
        return parse_args_and_arch(parser, input_args, *args, **kwargs)

    return wrapped


# --- logs --------------------------------------------------------------------------------------------------------------


def log_once(make_bar):
    """Every epoch's progress bar writes to --log-file beside those before it: line n stands there n times.

    Delete when fairseq's progress_bar adds a file's handler once.
    """

    @functools.wraps(make_bar)
    def wrapped(*args, log_file=None, **kwargs):
        if log_file is not None:
            name = os.path.abspath(log_file)
            if any(getattr(handler, "baseFilename", None) == name for handler in progress_bar.logger.handlers):
                log_file = None
        return make_bar(*args, log_file=log_file, **kwargs)

    return wrapped


# --- data and batches ------------------------------------------------------------------------------------------------


def restore_numpy_names() -> None:
    """np.int, np.float, np.object, np.compat.long, gone from numpy 1.24 and 2. Delete when fairseq uses none of them."""
    for name, python_type in (("int", int), ("float", float), ("object", object)):
        if name not in np.__dict__:
            setattr(np, name, python_type)
    if "compat" not in np.__dict__:
        np.compat = types.SimpleNamespace(long=np.int64)


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

    Compose with one seed for all epochs; the order of batches still changes with the epoch. Since d871f616; delete when
    FairseqTask.get_batch_iterator composes with `seed` alone.
    """

    @functools.wraps(get_batch_iterator)
    def wrapped(self, *args, seed=1, epoch=1, **kwargs):
        iterator = get_batch_iterator(self, *args, seed=seed - epoch, epoch=epoch, **kwargs)
        if hasattr(iterator, "seed"):
            iterator.seed = seed
        return iterator

    return wrapped


# --- decoding --------------------------------------------------------------------------------------------------------


def honour_topk_with_topp(build_generator):
    """--sampling-topk is ignored when --sampling-topp is set. Delete when fairseq's Sampling applies both."""

    @functools.wraps(build_generator)
    def wrapped(self, *args, **kwargs):
        from .search import TopKTopPSampling

        generator = build_generator(self, *args, **kwargs)
        strategy = getattr(generator, "search", None)
        if type(strategy) is Sampling and strategy.sampling_topk > 0 and strategy.sampling_topp > 0:
            generator.search = TopKTopPSampling(self.target_dictionary, strategy.sampling_topk, strategy.sampling_topp)
        return generator

    return wrapped


def number_beams_in_batch(inference_step):
    """--diverse-beam-groups indexes the batch by data-set ids (IndexError). Delete when search.step gets batch indices."""

    @functools.wraps(inference_step)
    def wrapped(self, generator, models, sample, *args, **kwargs):
        sample = {name: value for name, value in sample.items() if name != "id"}
        return inference_step(self, generator, models, sample, *args, **kwargs)

    return wrapped


# --- checkpoints -----------------------------------------------------------------------------------------------------


def allow_checkpoint_types() -> None:
    """torch >= 2.6 loads weights only; fairseq's checkpoints also hold a Namespace and numpy scalars.

    No code in a checkpoint is executed. Delete when fairseq stores plain values.
    """
    multiarray = np._core.multiarray if hasattr(np, "_core") else np.core.multiarray
    scalars = (np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.float16, np.float32, np.float64)
    torch.serialization.add_safe_globals(
        [argparse.Namespace, multiarray._reconstruct, multiarray.scalar, np.ndarray, np.dtype]
        + [type(np.dtype(scalar)) for scalar in scalars]
    )


def name_broken_checkpoints(load_checkpoint_to_cpu):
    """torch says neither which file is broken nor, to a user, what it is. Delete when fairseq names it."""

    @functools.wraps(load_checkpoint_to_cpu)
    def wrapped(path, *args, **kwargs):
        try:
            return load_checkpoint_to_cpu(path, *args, **kwargs)
        except FileNotFoundError:
            raise
        except (pickle.UnpicklingError, EOFError, RuntimeError, OSError, ValueError, LookupError) as error:
            if "unsupported global" in str(error).lower():
                raise InputError(
                    f"{path}: refused, loading it would run code that no checkpoint of ours holds; "
                    "remedy: a checkpoint from a source you trust"
                ) from error
            raise InputError(
                f"{path}: truncated, or no checkpoint; "
                "remedy: go on from the one before, e.g. --restore-file checkpoint_best.pt"
            ) from error

    return wrapped


def keep_task_state(state_dict):
    """A task's state is saved where only decoding looks for it: see `restore_task_state`."""

    @functools.wraps(state_dict)
    def wrapped(self):
        state = state_dict(self)
        if self.task is not None:
            state["extra_state"]["task_state"] = self.task.state_dict()
        return state

    return wrapped


def restore_task_state(load_checkpoint):
    """A training that goes on forgets the state of its task. Delete when Trainer.load_checkpoint restores it."""

    @functools.wraps(load_checkpoint)
    def wrapped(self, filename, reset_optimizer=False, *args, **kwargs):
        extra_state = load_checkpoint(self, filename, reset_optimizer, *args, **kwargs)
        if extra_state is not None and not reset_optimizer:
            self.task.load_state_dict(extra_state.get("task_state", {}))
        return extra_state

    return wrapped


def copy_whole(source: str, destination: str, overwrite: bool = False) -> bool:
    """checkpoint_last.pt is a plain copy, which a kill or a full disk leaves half-written. Delete when it is renamed."""
    if os.path.exists(destination) and not overwrite:
        return False
    with written_aside(destination) as temporary:
        shutil.copyfile(source, temporary)
    return True


def save_whole(torch_persistent_save):
    """A full disk makes fairseq try three times, log a traceback and leave half a .tmp file. Delete when it cleans up."""

    @functools.wraps(torch_persistent_save)
    def wrapped(state, filename, async_write=False):
        if async_write:
            return torch_persistent_save(state, filename, async_write)
        with written_aside(filename) as temporary, open(temporary, "wb") as file:
            torch.save(state, file)
        return None

    return wrapped


@contextlib.contextmanager
def written_aside(checkpoint: str):
    """A neighbour's name to write to, which becomes `checkpoint` on success and is removed on any error.

    The name is always the same, so that what a kill leaves behind is overwritten by the next attempt.
    """
    temporary = f"{checkpoint}.tmp"
    try:
        yield temporary
        os.replace(temporary, checkpoint)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
        cause = error
        while cause is not None and not (isinstance(cause, OSError) and cause.errno in DISK_ERRORS):
            cause = cause.__context__  # torch also complains that it could not finish its archive
        if cause is None:
            raise
        raise InputError(
            f"{checkpoint}: not written, {cause.strerror}; earlier checkpoints are intact; "
            "remedy: free space, then run the same command"
        ) from error
