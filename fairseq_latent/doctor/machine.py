"""What this machine has, asked in ways that survive broken packages: metadata is read, imports run in other processes."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from threading import Lock
from typing import Any

SECONDS_TO_ANSWER = 180


@dataclass(frozen=True)
class Answer:
    """What some Python printed as JSON, or the last line of its error."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


class Machine:
    """The running machine; the tests of `checks` put a pretended one in its place."""

    def __init__(self) -> None:
        self.python: tuple[int, ...] = sys.version_info[:3]
        self.environment: Mapping[str, str] = os.environ
        self.search_path: list[Path] = [Path.cwd(), *map(Path, filter(None, sys.path))]
        self._pool = ThreadPoolExecutor(max_workers=self.cores())
        self._lock = Lock()
        self._asked: dict[str, Future[Answer]] = {}

    def version(self, distribution: str) -> str | None:
        """A distribution's version; None when it is not installed or its metadata cannot be read."""
        try:
            return metadata.version(distribution)
        except Exception:  # broken metadata raises whatever its parser meets
            return None

    def ask(self, code: str) -> Answer:
        """Run `code`, which prints a JSON object, in a Python of its own; the same code runs once."""
        with self._lock:
            if code not in self._asked:
                self._asked[code] = self._pool.submit(self._run, code)
        return self._asked[code].result()

    def _run(self, code: str) -> Answer:
        # Like a console script: the current folder is not on the path.
        environment = {**self.environment, "PYTHONSAFEPATH": "1"}
        command = [sys.executable, "-c", code]
        try:
            done = subprocess.run(command, capture_output=True, env=environment, timeout=SECONDS_TO_ANSWER)
        except subprocess.TimeoutExpired:
            return Answer(error=f"no answer within {SECONDS_TO_ANSWER} seconds")
        lines = done.stdout.decode(errors="replace").split("\n")
        if done.returncode == 0:
            return Answer(facts=json.loads([line for line in lines if line.startswith("{")][-1]))
        lines = done.stderr.decode(errors="replace").splitlines()
        complaints = [line.strip() for line in lines if re.search(r"[^\W_]", line)]  # rules of dashes say nothing
        return Answer(error=complaints[-1] if complaints else f"Python ended with code {done.returncode}")

    def command(self, name: str) -> str | None:
        """Where a command is, as the shell finds it, or beside this Python."""
        return shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))

    def cores(self) -> int:
        """Cores this process may use."""
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def memory(self) -> int:
        """Bytes of memory this process may use: the machine's, or its container's limit."""
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        limit = _text("/sys/fs/cgroup/memory.max").strip()
        return min(total, int(limit)) if limit.isdigit() else total

    def free_disk(self) -> int:
        """Free bytes where the command was started."""
        return shutil.disk_usage(".").free

    def processor_flags(self) -> set[str]:
        """The processor's features, as Linux lists them; empty elsewhere."""
        found = re.search(r"^flags\s*:(.*)$", _text("/proc/cpuinfo"), re.MULTILINE)
        return set(found[1].split()) if found else set()


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
