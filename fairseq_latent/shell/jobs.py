"""A function of a bash script for many folders, several at a time."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from fairseq_latent.errors import InputError
from fairseq_latent.memory import available_cores

from .processes import LOOK
from .progress import COUNTERS, Progress, say

STOPS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
# the script's variables, functions and options come on standard input; what is read-only there is so here
JOB = 'source /dev/stdin 2>/dev/null; "$@" </dev/null'
SECONDS_TO_END = 5.0
FAILED = 2


class Job:
    """One folder's job, in a process group of its own: what it started ends with it."""

    def __init__(self, script: str, state: bytes, command: str, folder: str, threads: int) -> None:
        self.folder = folder
        self.name = os.path.basename(folder)
        self.code: int | None = None
        # one progress line, that of all
        environment = {"OMP_NUM_THREADS": str(threads), **os.environ, "IN_PARALLEL": "1"}
        words = ["bash", "-c", JOB, script, command, folder]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, env=environment, process_group=0)
        assert self.process.stdin is not None
        with suppress(BrokenPipeError), self.process.stdin as pipe:
            pipe.write(state)

    def has_ended(self) -> bool:
        """Asked once: its process number may then be another process's. What a failed job left running is ended."""
        if self.code is None and (code := self.process.poll()) is not None:
            self.code = code
            if code:
                self._signal(signal.SIGTERM)
        return self.code is not None

    def end(self) -> None:
        """It, and what it started."""
        if self.code is None:
            self._signal(signal.SIGTERM)

    def wait(self) -> None:
        """Some seconds, then it is killed."""
        try:
            self.process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)


def run_jobs(label: str, counter: str, script: str, command: str, *folders: str) -> int:
    """`COMMAND FOLDER` for all folders, JOBS (default: one per processor; on a GPU one) at a time, processors shared out.

    `counter` shows how far each is. The first that fails ends all, unless KEEP_GOING is set; so does the script's death.
    Code 2 if any failed, 128 + N at signal N.
    """
    processors = available_cores()
    limit = min(_limit(processors), len(folders))
    state, threads = sys.stdin.buffer.read(), max(1, processors // max(1, limit))
    jobs: list[Job] = []
    waiting = list(folders)
    progress = Progress(lambda: _describe(label, counter, jobs, len(waiting)))
    failed, parent = False, os.getppid()
    try:
        with _stopped_by_signals():
            while waiting or any(job.code is None for job in jobs):
                for job in jobs:
                    if job.code is None and job.has_ended() and job.code:
                        failed = True
                        _name_the_killed(label, job)
                if os.getppid() != parent or (failed and not os.environ.get("KEEP_GOING")):
                    return FAILED
                while waiting and sum(job.code is None for job in jobs) < limit:
                    jobs.append(Job(script, state, command, waiting.pop(0), threads))
                progress.show()
                time.sleep(LOOK)
    except BrokenPipeError:  # whoever read the progress is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        return 128 + signal.SIGPIPE
    finally:
        for job in jobs:
            job.end()
        for job in jobs:
            job.wait()
        progress.clear()
    if not failed:
        say(progress.describe())
    return FAILED if failed else 0


def _limit(processors: int) -> int:
    asked = os.environ.get("JOBS") or ("1" if os.environ.get("ON_GPU") else str(processors))
    if not re.fullmatch(r"[1-9]\d*", asked):
        raise InputError(f"JOBS={asked} is no number of jobs; remedy: JOBS=2")
    return int(asked)


def _describe(label: str, counter: str, jobs: list[Job], waiting: int) -> str:
    """How far the job of each folder is; those that wait are counted."""
    count, most = COUNTERS[counter], os.environ.get("MAX_UPDATE", "")
    done = (f"  {job.name} {count(job.folder, most)}{', finished' if job.code is not None else ''}" for job in jobs)
    return f"{label}{''.join(done)}{f'  and {waiting} to come' if waiting else ''}"


def _name_the_killed(label: str, job: Job) -> None:
    """A job that fails says why itself, but not where the system killed it."""
    if job.code == -signal.SIGKILL:
        say(f"error: {label} {job.name} was killed, perhaps for memory; remedy: fewer JOBS, or more memory")


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Ctrl-C, and what a cluster sends, end the jobs before they end this process."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        for each in STOPS:
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    before = {each: signal.signal(each, stop) for each in STOPS}
    try:
        yield
    finally:
        for each, handler in before.items():
            if signal.getsignal(each) is stop:
                signal.signal(each, handler)
