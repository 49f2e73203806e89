"""A file's lines through worker processes, in blocks; results in the order of the file, however many workers there are.

The parent reads and, where it must, decompresses. Worker k of n gets the blocks k, k + n, ..., one at a time, through a pipe
of its own: no threads, no queue, nothing to keep in order. (concurrent.futures has no way to end its workers at Ctrl-C
before Python 3.14.) A block of nothing but one long line is as large as that line.
"""

import gzip
import multiprocessing
import os
import signal
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from fairseq_latent.errors import InputError
from fairseq_latent.memory import TooLarge, available_cores, bounded_lines
from fairseq_latent.ranges import WORKERS

__all__ = ["available_cores", "block_lines", "map_blocks", "map_tasks"]
BLOCK = 1 << 20  # bytes: some thousand conversations
STOPS = (signal.SIGINT, signal.SIGTERM)
BAR = "{desc}: {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}{postfix}]"

Result = TypeVar("Result")
Function = Callable[..., Result]


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines: the number of the first one, from 1, their bytes, and how far into the file on disk they were read."""

    first: int
    data: bytes
    position: int

    @property
    def lines(self) -> int:
        """How many there are."""
        return self.data.count(b"\n") + (not self.data.endswith(b"\n"))


def map_blocks(
    function: Function[Result], path: str | Path, workers: int, block_bytes: int = BLOCK, progress: str | None = None
) -> Iterator[Result]:
    """Yield function(number of the first line, bytes of the lines) of one block after the other.

    `function` goes to every worker once, pickled where processes are spawned. What it raises is raised here, for the first
    block of the file that fails; a defect brings its traceback as a note. With one worker, or one block, it is called in
    this process. `progress` names a bar on the terminal. However this ends, no worker is left: close the iterator
    (`contextlib.closing`) to be sure of that at once.
    """
    if workers not in WORKERS:
        raise InputError(f"--workers {workers}: out of range; remedy: {WORKERS}")
    with closing(_blocks(path, block_bytes)) as blocks, _bar(path, progress) as report:
        head = list(islice(blocks, workers))
        every = chain(head, blocks)
        if len(head) < 2:
            for block in every:
                yield function(block.first, block.data)
                report(block)
            return
        with _started(function, len(head)) as pipes:
            yield from _in_turn(pipes, every, report)


def map_tasks(function: Callable[..., Result], tasks: Iterable[tuple], workers: int) -> Iterator[tuple[tuple, Result]]:
    """Yield (task, function(*task)) as they get done, each in one of several processes.

    None of them is left however this ends, as with `map_blocks`, and what the function raises is raised here.
    """
    waiting = iter(tasks)
    first = list(islice(waiting, workers))
    with _started(function, len(first)) as pipes:
        running = dict(zip(pipes, first, strict=True))
        for pipe, task in running.items():
            _send(pipe, task)
        while running:
            ready = wait(list(running))
            for pipe in [each for each in running if each in ready]:
                failed, result = _receive(pipe)
                if failed:
                    raise result
                yield running.pop(pipe), result
                for task in islice(waiting, 1):
                    running[pipe] = task
                    _send(pipe, task)


def block_lines(first: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    """(line number, bytes) of the lines of a block, without their ends."""
    for number, line in enumerate(data.removesuffix(b"\n").split(b"\n"), first):
        yield number, line.removesuffix(b"\r")


def _blocks(path: str | Path, block_bytes: int) -> Generator[Block, None, None]:
    first = 1
    with open(path, "rb") as plain:
        file: Any = gzip.GzipFile(fileobj=plain) if str(path).endswith(".gz") else plain
        try:
            while data := file.read(block_bytes):
                if not data.endswith(b"\n"):
                    data += next(bounded_lines(file), b"")
                # a byte order mark is passed over
                block = Block(first, data.removeprefix(b"\xef\xbb\xbf") if first == 1 else data, plain.tell())
                yield block
                first += block.lines
        except TooLarge as error:
            raise InputError(f"{path}:{first}: {error}") from None
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(
                f"{path}:{first}: damaged gzip file, here or later ({error}); remedy: copy the file again"
            ) from None


def _in_turn(pipes: list[Connection], blocks: Iterator[Block], report: Callable[[Block], None]) -> Iterator:
    """Every worker has one block; the one that answers gets the next, before its answer is looked at."""
    sent: dict[int, Block] = {}
    for worker, block in zip(range(len(pipes)), blocks, strict=False):
        _send(pipes[worker], (block.first, block.data))
        sent[worker] = block
    turn = 0
    while turn in sent:
        block = sent.pop(turn)
        following = next(blocks, None)
        failed, result = _receive(pipes[turn])
        if failed:
            raise result
        if following is not None:
            _send(pipes[turn], (following.first, following.data))
            sent[turn] = following
        yield result
        report(block)
        turn = (turn + 1) % len(pipes)


def _send(pipe: Connection, arguments: tuple) -> None:
    try:
        pipe.send(arguments)
    except OSError:  # the worker is dead: nothing comes back either
        _receive(pipe)


def _receive(pipe: Connection) -> tuple[bool, Any]:
    try:
        return pipe.recv()
    except (EOFError, ConnectionError):
        raise InputError(
            "a worker process was killed, perhaps for memory; remedy: fewer --workers, or more memory"
        ) from None


@contextmanager
def _started(function: Function, workers: int) -> Iterator[list[Connection]]:
    """The parent's ends of the pipes to worker processes, which are gone in the end."""
    context = multiprocessing.get_context()
    pipes, processes, finished = [], [], False
    try:
        with _signals_held():
            for _ in range(workers):
                ours, theirs = context.Pipe()
                process = context.Process(target=_work, args=(function, theirs, ours), daemon=True)
                process.start()
                theirs.close()  # now a dead worker is the end of its pipe
                pipes.append(ours)
                processes.append(process)
        yield pipes
        finished = True
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            if not finished:
                process.terminate()
            process.join()


@contextmanager
def _signals_held() -> Iterator[None]:
    """A signal waits until all workers are started: none of them should answer it as the parent does."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(function: Function, pipe: Connection, other_end: Connection) -> None:
    """Answer one call after the other until the parent closes the pipe, or is dead."""
    other_end.close()
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of the terminal's processes: the parent acts
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    try:
        while True:
            arguments = pipe.recv()
            try:
                answer = False, function(*arguments)
            except Exception as error:
                answer = True, _portable(error)
            pipe.send(answer)
    except (EOFError, ConnectionError):
        return


def _end_with(parent: int) -> None:
    """Nobody waits for what a call of minutes yields when the parent is dead, and a new run may be about the same."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


def _portable(error: Exception) -> Exception:
    """The error as another process can raise it; where it is a defect, with the traceback of here."""
    try:
        multiprocessing.reduction.ForkingPickler.loads(multiprocessing.reduction.ForkingPickler.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}").with_traceback(error.__traceback__)
    if not isinstance(error, InputError):
        error.add_note("".join(traceback.format_exception(error)))
    return error


@contextmanager
def _bar(path: str | Path, description: str | None) -> Iterator[Callable[[Block], None]]:
    """Called with every finished block; shows the share of the file, lines per second and the time left."""
    if description is None:
        yield lambda block: None
        return
    # an empty or special file has no size to take a share of
    total = Path(path).stat().st_size or None
    with tqdm(total=total, desc=description, bar_format=BAR, disable=None) as bar:

        def report(block: Block) -> None:
            lines = block.first + block.lines - 1
            rate = lines / max(bar.format_dict["elapsed"], 1e-3)
            bar.set_postfix_str(f"{lines:,} lines, {rate:,.0f} per second", refresh=False)
            bar.update(block.position - bar.n)

        yield report
