"""How the processes of a distributed training find each other, and what is said where they do not.

torch waits half an hour for a host that is not there, then prints its own stack; here it is one line within a minute.
The limit is for finding each other alone: a collective operation may wait long, for one rank's validation.
"""

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from ..errors import EXIT_CODE, InputError

VARIABLE = "FAIRSEQ_LATENT_RENDEZVOUS_SECONDS"
SECONDS = 50.0
PAUSE = 0.5  # between two attempts, in seconds


def limit() -> float:
    """Seconds the processes have to find each other."""
    value = os.environ.get(VARIABLE, SECONDS)
    with contextlib.suppress(ValueError):
        if float(value) > 0:
            return float(value)
    raise InputError(f"{VARIABLE}={value} is no number of seconds; remedy: {VARIABLE}={SECONDS:g}")


def address(init_method: str) -> tuple[str, int] | None:
    """Host and port of `tcp://HOST:PORT` or of `env://`; None where there are none, as with file://."""
    url = init_method
    if init_method.startswith("env://"):
        url = f"tcp://{os.environ.get('MASTER_ADDR', '')}:{os.environ.get('MASTER_PORT', '')}"
    elif not init_method.startswith("tcp://"):
        return None
    with contextlib.suppress(ValueError):  # a port that is no number, or none of 16 bits
        parts = urlsplit(url)
        if parts.hostname and parts.port:
            return parts.hostname, parts.port
    raise InputError(f"{url} is no rendezvous address; remedy: --distributed-init-method tcp://HOST:PORT")


@contextlib.contextmanager
def deadline(init_method: str, rank: int, world_size: int) -> Iterator[None]:
    """Meet the others in the body: where no one answers at the address, or someone never comes, say so and end."""
    seconds, where = limit(), address(init_method)

    def give_up() -> None:
        at = "{}:{}".format(*where) if where else init_method
        print(
            f"error: rank {rank} met no {world_size} processes at {at} within {seconds:g} s; remedy: start all of them with "
            f"the address of rank 0's machine, open to all, or more time: {VARIABLE}=300",
            file=sys.stderr,
            flush=True,
        )
        os._exit(EXIT_CODE)  # the main thread waits inside torch

    watch = threading.Timer(seconds, give_up)
    watch.daemon = True
    watch.start()
    try:
        if where is not None:
            reach(*where, rank, 0.9 * seconds)
        yield
    finally:
        watch.cancel()


def reach(host: str, port: int, rank: int, seconds: float) -> None:
    """Wait until rank 0's port takes connections; rank 0, which opens it, checks the host's name."""
    end = time.monotonic() + seconds
    while True:
        try:
            if rank == 0:
                socket.getaddrinfo(host, port)
            else:
                socket.create_connection((host, port), timeout=max(PAUSE, end - time.monotonic())).close()
            return
        except OSError as error:
            unknown = isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME
            if unknown or time.monotonic() + PAUSE > end:
                reason = error.strerror or str(error)
                raise InputError(
                    f"rank {rank} cannot reach the rendezvous {host}:{port}: {reason}; remedy: the host and port of "
                    f"rank 0, which must be running, or more time: {VARIABLE}=300"
                ) from error
        time.sleep(PAUSE)
