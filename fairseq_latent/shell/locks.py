"""Locks of folders and files: flock(2), which the system gives back when the last process that holds the file open ends."""

import fcntl
import sys
from typing import IO

from fairseq_latent.errors import InputError
from fairseq_latent.files import lock_within

PATIENCE = 3.0  # seconds: a process that was killed takes a moment to go


def lock_descriptor(descriptor: str, otherwise: str, message: str) -> int:
    """Lock a file that the calling script keeps open; if another process has it, `refuse` with the message or `wait`."""
    lock_or_wait(int(descriptor), message, otherwise == "wait")
    return 0


def lock_or_wait(file: IO | int, message: str, wait: bool, patience: float = PATIENCE) -> None:
    """Lock an open file. Where the file system has no locks, nothing is held."""
    try:
        lock_within(file, patience)
    except BlockingIOError:
        if not wait:
            raise InputError(message) from None
        print(f"== {message}: waiting for it", file=sys.stderr, flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        pass
