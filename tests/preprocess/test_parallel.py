"""Blocks through processes: the same results whatever the number of workers, errors as they were, nobody left behind."""

import gzip
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from fairseq_latent.errors import InputError
from preprocess import parallel
from preprocess.lines import raw_lines
from preprocess.parallel import block_lines, map_blocks

from ..helpers.signals import interruptible

ROOT = Path(__file__).parents[2]


def echo(first, data):
    return list(block_lines(first, data))


def slow_echo(first, data):
    time.sleep(0.05 if first == 1 else 0)
    return echo(first, data)


def refuse(first, data, at=()):
    for number, _ in block_lines(first, data):
        if number in at:
            raise InputError(f"file:{number}: wrong; remedy: none")
    return first


class Unpicklable(Exception):
    def __init__(self, one, two):
        super().__init__(one)


def defect(first, data, kind=ZeroDivisionError, arguments=("no",)):
    if first > 1:
        raise kind(*arguments)
    return first


def unpicklable(first, data):
    raise Unpicklable("deep", "trouble")


def die(first, data):
    if first > 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return first


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "lines"
    path.write_bytes(b"".join(b"%d %s\n" % (number, b"x" * (number % 37)) for number in range(1, 2001)))
    return path


def running():
    return multiprocessing.active_children()


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_all_lines_in_order_with_their_numbers(file, monkeypatch, workers, method):
    monkeypatch.setattr(parallel.multiprocessing, "get_context", partial(multiprocessing.get_context, method))
    results = list(map_blocks(slow_echo, file, workers, block_bytes=999))
    assert len(results) > 20
    assert [line for result in results for line in result] == list(raw_lines(file))
    assert not running()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"\n\n",
        b"a",
        b"a\nb",
        b"a\r\nb\r\n",
        b"\xef\xbb\xbfa\nb\n",
        b"a\n" + b"x" * 5000 + b"\nb\n",
        "日本\u2028語\x0c\n".encode() * 9,
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_every_kind_of_line_end(tmp_path, content, suffix):
    path = tmp_path / f"lines{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    for size in (1, 4, 1 << 20):
        for workers in (1, 2):
            found = [line for result in map_blocks(echo, path, workers, size) for line in result]
            assert found == list(raw_lines(path))


@pytest.mark.parametrize("workers", [1, 3])
def test_first_error_of_the_file_wins_and_keeps_its_type(file, workers):
    with pytest.raises(InputError) as caught:
        list(map_blocks(partial(refuse, at=(1500, 700, 701)), file, workers, block_bytes=500))
    assert str(caught.value) == "file:700: wrong; remedy: none"
    assert not running()


def test_a_defect_brings_its_traceback(file):
    with pytest.raises(ZeroDivisionError) as caught:
        list(map_blocks(defect, file, 2, block_bytes=500))
    assert "in defect" in caught.value.__notes__[0]
    with pytest.raises(OSError, match="No space") as caught:
        list(map_blocks(partial(defect, kind=OSError, arguments=(28, "No space left")), file, 2, block_bytes=500))
    assert caught.value.errno == 28
    with pytest.raises(RuntimeError, match="Unpicklable: deep") as caught:
        list(map_blocks(unpicklable, file, 2, block_bytes=500))
    assert "in unpicklable" in caught.value.__notes__[0]


def test_a_killed_worker_is_one_line(file):
    with pytest.raises(InputError, match="a worker process was killed.* remedy: fewer --workers"):
        list(map_blocks(die, file, 2, block_bytes=500))
    assert not running()


@pytest.mark.parametrize("damage", [lambda data: data[:-40], lambda data: data[:200] + b"\xff" * 9 + data[209:]])
def test_a_damaged_gzip_file_is_one_line(file, tmp_path, damage):
    path = tmp_path / "lines.gz"
    path.write_bytes(damage(gzip.compress(file.read_bytes())))
    with pytest.raises(InputError, match=r"lines.gz:\d+: damaged gzip file"):
        list(map_blocks(echo, path, 2, block_bytes=500))
    assert not running()


def test_stopping_early_leaves_no_worker(file):
    with closing(map_blocks(echo, file, 2, block_bytes=100)) as results:
        next(results)
        assert len(running()) == 2
    assert not running()


def test_less_than_one_worker_is_refused(file):
    with pytest.raises(InputError, match="--workers 0.* remedy"):
        next(map_blocks(echo, file, 0))


SLEEPER = """
import multiprocessing, sys, time
from fairseq_latent.errors import run
from fairseq_latent.files import written_whole
from preprocess.parallel import map_blocks
def sleep(first, data):
    if first > 1:
        time.sleep(60)
    return first
def main():
    with written_whole(sys.argv[2]) as out:
        for result in map_blocks(sleep, sys.argv[1], 2, 500):
            print(result, *(child.pid for child in multiprocessing.active_children()), file=out)
            print(result, *(child.pid for child in multiprocessing.active_children()), flush=True)
sys.exit(run(main))
"""


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_program_takes_its_workers_along(file, tmp_path, sent, code):
    out = tmp_path / "out"
    command = [sys.executable, "-c", SLEEPER, str(file), str(out)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, env=environment, preexec_fn=interruptible) as running:
        first, *workers = map(int, running.stdout.readline().split())
        assert (first, len(workers)) == (1, 2)
        running.send_signal(sent)
        assert running.wait(timeout=20) == code
        assert "Traceback" not in running.stderr.read()
    assert [path.name for path in tmp_path.iterdir()] == ["lines"]
    assert not [pid for pid in workers if _alive(pid)]


def test_a_dead_parent_ends_its_workers():
    """Nobody tells them: they see the end of their pipes, whichever worker was started first."""
    program = (
        "import os, multiprocessing, signal\nfrom preprocess.parallel import _started\n"
        "with _started(len, 4):\n"
        "    print(*(child.pid for child in multiprocessing.active_children()), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    workers = done.stdout.split()
    deadline = time.monotonic() + 10
    while alive := [pid for pid in workers if _alive(pid)]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.05)
    assert len(workers) == 4


def _alive(pid):
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
