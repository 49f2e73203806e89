"""How much memory and how many cores there are, and one line for what would need more memory."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from .errors import InputError

COPIES = 16  # of a text in memory: bytes, text, its parsed form; measured on JSON
LEAST = 1 << 20  # bytes that are always there
CGROUPS = Path("/sys/fs/cgroup")
LIMITS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))


class TooLarge(InputError):
    """A line or file that memory cannot hold, without its name."""


def available_memory() -> int:
    """Bytes of memory, of the machine or of what a cluster gave this process."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit, _ in LIMITS:
        with suppress(OSError, ValueError):  # there is no such limit, or it is "max"
            memory = min(memory, int((CGROUPS / limit).read_text()))
    return memory


def free_memory() -> int:
    """Bytes that this process can still get."""
    memory = available_memory()
    with suppress(OSError, ValueError, IndexError):  # elsewhere than on Linux all of it counts
        free = Path("/proc/meminfo").read_text(encoding="ascii").partition("MemAvailable:")[2]
        memory = min(memory, int(free.split()[0]) * 1024)
    for limit, used in LIMITS:
        with suppress(OSError, ValueError):
            memory = min(memory, int((CGROUPS / limit).read_text()) - int((CGROUPS / used).read_text()))
    return max(memory, 0)


def available_cores() -> int:
    """The cores that this process may use: what a cluster gave it, not what the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def require_memory(needed: float, what: str, remedy: str, free: int | None = None) -> None:
    """InputError "WHAT: needs ..." if `needed` bytes are more than there are (`free`: on another device)."""
    free = free_memory() if free is None else free
    if needed > free:
        raise InputError(f"{what}: needs about {shown(needed)} of memory, {shown(free)} are free; remedy: {remedy}")


def bounded_lines(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file, packed or not, that may hold one of any length; TooLarge for one that memory cannot hold."""
    most = max(LEAST, free_memory() // COPIES)
    while line := file.readline(most):
        if len(line) == most:
            raise TooLarge(
                f"a line of {shown(most)} or more, which memory cannot hold; remedy: a file with shorter lines"
            )
        yield line


def read_bounded(file: IO[bytes]) -> bytes:
    """All of a file, packed or not; TooLarge if memory cannot hold it."""
    most = max(LEAST, free_memory() // COPIES)
    data = file.read(most)
    if len(data) == most:
        raise TooLarge(f"{shown(most)} or more, which memory cannot hold; remedy: a smaller file")
    return data


def shown(size: float) -> str:
    """Bytes in a unit that can be read."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:,.0f} TB"
