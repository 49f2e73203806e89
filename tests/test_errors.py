"""A user's mistake is one line and exit code 2; a defect of ours keeps its traceback."""

import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from fairseq_latent.errors import EXIT_CODE, InputError, missing_extra, run


def fail_with(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InputError("FILE:3: bad; remedy: mend it"), "error: FILE:3: bad; remedy: mend it\n"),
        (
            FileNotFoundError(2, "No such file or directory", "x"),
            "error: x: No such file or directory; remedy: check the path\n",
        ),
        (OSError(28, "No space left on device"), "error: No space left on device; remedy: free space\n"),
        (InputError("a\x1b[31m\nb\x9b\u202e\udcff c"), "error: a\\u001b[31m\\u000ab\\u009b\\u202e\\udcff c\n"),
        (missing_extra("openTSNE", "plot"), "error: openTSNE is not installed; remedy: pip install 'fairseq_latent[pl"),
    ],
)
def test_a_users_mistake_is_one_line(capsys, error, line):
    assert run(fail_with(error)) == EXIT_CODE == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(line)
    assert output.err.count("\n") == 1


@pytest.mark.parametrize(
    ("ask", "line"),
    [
        (lambda: np.empty((13, 2**50)), "error: out of memory, 104. PiB more are not to be had; remedy: smaller"),
        (lambda: torch.empty(2**50), "error: out of memory, 4503599627370496 bytes more are not to be had; remedy: "),
        (lambda: "x" * 2**60, "error: out of memory; remedy: smaller numbers, batches or files"),
    ],
    ids=["numpy", "torch", "python"],
)
def test_no_memory_is_one_line(capsys, ask, line):
    assert run(ask) == 2
    assert capsys.readouterr().err.startswith(line)


def test_invalid_utf8_names_the_remedy(capsys):
    assert run(lambda: b"ab\xff".decode()) == 2
    assert "invalid UTF-8 at byte 2; remedy" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ValueError("x"), OSError("no strerror"), AssertionError()])
def test_a_defect_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        run(fail_with(error))


def test_exit_codes_pass_through():
    assert [run(lambda: None), run(lambda: 0), run(lambda: 3)] == [0, 0, 3]
    with pytest.raises(SystemExit):
        run(fail_with(SystemExit(5)))


def test_interrupt_is_no_traceback(capsys):
    assert run(fail_with(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_handlers_are_given_back():
    before = signal.getsignal(signal.SIGTERM)
    run(lambda: None)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_closed_pipe_is_silent(lines):
    program = f"import sys; from fairseq_latent.errors import run\nsys.exit(run(lambda: print('x\\n' * {lines})))"
    # the shell's `true` reads nothing, so that the pipe is closed before or while we write
    command = f'(sleep 0.3; "{sys.executable}" -c "$0"; echo "code $?" >&2) | true'
    done = subprocess.run(["bash", "-c", command, program], capture_output=True, text=True)
    assert done.stderr == "code 0\n"
