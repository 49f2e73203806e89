"""Work-arounds for checkpoints: `compat.apply` puts them in place."""

import argparse
import contextlib
import functools
import os
import pickle
import shutil

import numpy as np
import torch

from ..errors import InputError
from ..files import DISK_ERRORS


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
