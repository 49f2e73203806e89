"""Work-arounds for the files of checkpoints: `patches.apply` puts them in place. What they hold: `resuming`, `masters`."""

import argparse
import contextlib
import errno
import functools
import os
import pickle
import shutil
import time
import zipfile

import numpy as np
import torch
from fairseq.file_io import PathManager
from fairseq.models import ARCH_MODEL_REGISTRY

from fairseq_latent.errors import InputError
from fairseq_latent.files import DISK_ERRORS

ATTEMPTS, PAUSE = 3, 2.5  # fairseq's own, in seconds: a network's file system may come back
UNREADABLE = {
    errno.EISDIR: "a folder, no checkpoint; remedy: a checkpoint*.pt in it",
    errno.EACCES: "no permission to read it",
    errno.EPERM: "no permission to read it",
}


def allow_checkpoint_types() -> None:
    """torch >= 2.6 loads weights only; fairseq's checkpoints also hold a Namespace and numpy scalars.

    No code in a checkpoint is executed. Delete when fairseq stores plain values.
    """
    multiarray = np._core.multiarray if hasattr(np, "_core") else np.core.multiarray  # type: ignore[attr-defined]
    scalars = (np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.float16, np.float32, np.float64)
    torch.serialization.add_safe_globals(
        [argparse.Namespace, multiarray._reconstruct, multiarray.scalar, np.ndarray, np.dtype]
        + [type(np.dtype(scalar)) for scalar in scalars]
    )


def name_broken_checkpoints(load_checkpoint_to_cpu):
    """torch says neither which file is broken nor, to a user, what it is. Delete when fairseq names it."""

    @functools.wraps(load_checkpoint_to_cpu)
    def wrapped(path, *args, **kwargs):
        with naming(path):
            state = load_checkpoint_to_cpu(path, *args, **kwargs)
        refuse_diverged(path, state)
        return state

    return wrapped


@contextlib.contextmanager
def naming(path: str):
    """Whatever goes wrong while the checkpoint `path` is read ends in one line that names it."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if not error.strerror or error.errno == errno.EINVAL:  # sought before the beginning of what is cut short
            raise InputError(truncated(path)) from error
        raise InputError(f"{path}: {UNREADABLE.get(error.errno or 0, f'not read, {error.strerror}')}") from error
    except (pickle.UnpicklingError, EOFError, RuntimeError, ValueError, LookupError) as error:
        if "unsupported global" in str(error).lower():
            raise InputError(
                f"{path}: refused, loading it would run code that no checkpoint of ours holds; "
                "remedy: a checkpoint from a source you trust"
            ) from error
        raise InputError(truncated(path)) from error


def truncated(path: str) -> str:
    """The one line for a file whose content is no checkpoint."""
    best = os.path.join(os.path.dirname(str(path)), "checkpoint_best.pt")
    return f"{path}: truncated, or no checkpoint; remedy: go on from the one before, e.g. --restore-file {best}"


def read_plain(path: str, lazily: bool = False) -> dict:
    """A checkpoint as it lies on the disk: nothing is built of it or filled in. `lazily`: weights are read when used."""
    with naming(path):
        local = PathManager.get_local_path(path)
        lazily = lazily and zipfile.is_zipfile(local)  # not the form of torch < 1.6
        state = torch.load(local, map_location="cpu", weights_only=True, mmap=lazily)
        if not isinstance(state, dict) or not isinstance(state.get("model"), dict):
            raise ValueError("no checkpoint of fairseq")
    return state


def refuse_diverged(path: str, state: dict) -> None:
    """A model of ours whose weights are not finite is neither trained further nor decoded; others are their owners'."""
    config = state.get("cfg")
    model = None if config is None else config.get("model")
    arch = getattr(model, "_name", None) or getattr(model, "arch", None)
    if not getattr(ARCH_MODEL_REGISTRY.get(arch), "refuses_diverged", False):
        return
    for name, weight in state["model"].items():
        if torch.is_tensor(weight) and weight.is_floating_point() and not weight.isfinite().all():
            raise InputError(
                f"{path}: {name} is not finite, this training diverged; "
                "remedy: an earlier checkpoint, and a lower --lr or --clip-norm"
            )


def copy_whole(copy):
    """checkpoint_last.pt is a plain copy, which a kill or a full disk leaves half-written. Delete when it is renamed.

    As fairseq's copy it writes to what a symbolic link points to. Other places than folders (s3://) are their handlers'.
    """

    @functools.wraps(copy)
    def wrapped(src_path, dst_path, overwrite=False):
        if any(PathManager.path_requires_pathmanager(path) for path in (src_path, dst_path)):
            return copy(src_path, dst_path, overwrite=overwrite)
        if os.path.exists(dst_path) and not overwrite:
            return False
        behind = os.path.realpath(dst_path)
        if os.path.realpath(src_path) != behind:
            with written_aside(behind) as temporary:
                shutil.copyfile(src_path, temporary)
        return True

    return wrapped


def save_whole(torch_persistent_save):
    """A full disk makes fairseq try three times, log a traceback and leave half a .tmp file. Delete when it cleans up.

    What may pass (a network's file system) is tried again, as fairseq does, from the file's beginning.
    """

    @functools.wraps(torch_persistent_save)
    def wrapped(obj, filename, async_write=False):
        if async_write or not PathManager.supports_rename(filename):
            return torch_persistent_save(obj, filename, async_write)
        with written_aside(filename) as temporary:
            for attempt in range(ATTEMPTS):
                try:
                    with PathManager.open(temporary, "wb") as file:
                        torch.save(obj, file)
                    return None
                except (OSError, RuntimeError) as error:
                    if attempt == ATTEMPTS - 1 or full_disk(error):
                        raise
                    time.sleep(PAUSE)
        return None

    return wrapped


def full_disk(error: BaseException) -> OSError | None:
    """The disk's own error behind this one: torch complains that it could not finish its archive."""
    cause: BaseException | None = error
    while cause is not None and not (isinstance(cause, OSError) and cause.errno in DISK_ERRORS):
        cause = cause.__context__
    return cause


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
        cause = full_disk(error)
        if cause is None:
            raise
        raise InputError(
            f"{checkpoint}: not written, {cause.strerror}; earlier checkpoints are intact; "
            "remedy: free space, then run the same command"
        ) from error


def list_negative_bests(checkpoint_paths):
    """--keep-best-checkpoints finds no file of a metric below zero, and keeps all. Delete when its pattern has a sign."""

    @functools.wraps(checkpoint_paths)
    def wrapped(path, pattern=r"checkpoint(\d+)\.pt", keep_match=False):
        if pattern.startswith(r"checkpoint\.best_"):
            pattern = pattern.replace(r"_(\d+\.?\d*)", r"_(-?\d+\.?\d*)")
        return checkpoint_paths(path, pattern, keep_match)

    return wrapped
