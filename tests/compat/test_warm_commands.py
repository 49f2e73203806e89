"""Commands of the suite that start in a moment are what they stand for."""

import os
import signal
import subprocess
import sys
import time

import pytest

from ..helpers import warm

ENVIRONMENT = {**os.environ, "PATH": warm.use()}
TELLS = """
import os, sys
print(sys.argv, os.getcwd(), os.environ["MINE"], os.umask(0), sys.stdin.read(), sys.path[0] == "", __name__)
print("to stderr", file=sys.stderr)
os.write(int(sys.argv[2]), b"to another file")
sys.exit(int(sys.argv[1]))
"""


@pytest.mark.parametrize("program", [sys.executable, "python"])
def test_it_has_what_a_new_process_has(program, tmp_path):
    with open(tmp_path / "other", "w+b") as other:
        done = subprocess.run(
            [program, "-c", TELLS, "7", str(other.fileno())], input="typed", capture_output=True, text=True,
            env={**ENVIRONMENT, "MINE": "x y"}, cwd=tmp_path, umask=0o27, pass_fds=[other.fileno()],
        )  # fmt: skip
        assert (tmp_path / "other").read_bytes() == b"to another file"
        told = f"['-c', '7', '{other.fileno()}'] {tmp_path} x y {0o27} typed True __main__\n"
    assert (done.returncode, done.stdout, done.stderr) == (7, told, "to stderr\n")


@pytest.mark.parametrize("code, expected", [
    ("raise SystemExit('no')", (1, "no\n")),
    ("import os; os.kill(os.getpid(), 9)", (-signal.SIGKILL, "")),
    ("import atexit, sys; atexit.register(sys.stderr.write, 'bye')", (0, "bye")),
    ("import sys; sys.excepthook = lambda *_: sys.exit(2); 1 / 0", (2, "")),
    ("import logging; logging.info('x'); logging.warning('y')", (0, "WARNING:root:y\n")),
])  # fmt: skip
def test_it_ends_as_a_new_process_ends(code, expected):
    for program in (sys.executable, "python"):
        done = subprocess.run([program, "-c", code], capture_output=True, text=True, env=ENVIRONMENT)
        assert (done.returncode, done.stderr) == expected


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it(sent, tmp_path):
    code = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    asked = subprocess.Popen(["python", "-c", code], env=ENVIRONMENT)
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    asked.send_signal(sent)
    assert asked.wait() == -sent
    process = int((tmp_path / "pid").read_text())
    while os.path.exists(f"/proc/{process}"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_package_is_read_anew():
    """Only what others wrote is there before; fairseq too sets up its logging by itself."""
    own = ("fairseq", "fairseq_latent", "preprocess")
    code = f"import sys; print([name for name in sys.modules if name.partition('.')[0] in {own}])"
    done = subprocess.run(["python", "-c", code], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.stdout == "[]\n"
