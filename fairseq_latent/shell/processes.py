"""One command in the foreground, with progress beside it; its words as bash quotes them; why it failed."""

import ctypes
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fairseq_latent.errors import InputError

from .progress import Progress, Warnings, end_of, say, span

LOOK = 0.3  # seconds between two looks at a process
PLAIN = re.compile(r"([^\w%+,./:=@-])")
PR_SET_PDEATHSIG = 1  # Linux


def quoted(words: Sequence[str]) -> str:
    """The words as they can be typed, as bash's printf %q writes them: a\\ b."""
    return " ".join(PLAIN.sub(r"\\\1", word) if word.isprintable() and word else shlex.quote(word) for word in words)


def same_words(one: str, other: str) -> bool:
    """Whether two quoted commands have the same words."""
    try:
        return shlex.split(one) == shlex.split(other)
    except ValueError:  # damaged
        return False


def last_words(log: str | Path) -> str:
    """Why a command failed, by what it wrote there."""
    lines = [line for line in end_of(log) if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or [f"it wrote nothing to {log}: is the disk full?"])[-1]


def why(code: int, log: str | Path) -> str:
    """A signal by its name, or the command's last words."""
    if code < 0 and -code not in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGHUP):
        return f"killed by {signal.Signals(-code).name}, perhaps for memory"
    return last_words(log)


def end_with_script() -> None:
    """Nobody reads what this process prints, or waits for its locks, when the script that started it is dead."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def foreground(command: Sequence[str], look: Callable[[], None], **options: Any) -> int:
    """Run a command, which Ctrl-C reaches too, and call `look` all the while. Its exit code; -N if signal N ended it."""
    try:
        process = subprocess.Popen(command, **options)
    except OSError as error:
        raise InputError(f"{command[0]}: {error.strerror}; remedy: bash scripts/setup.sh") from None
    try:
        while True:
            try:
                code = process.wait(LOOK)
                look()
                return code
            except subprocess.TimeoutExpired:
                look()
    except KeyboardInterrupt:
        process.wait()
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # as the command itself would have ended
        os.kill(os.getpid(), signal.SIGINT)
        raise


def watched(command: Sequence[str], label: str, describe: Callable[[], str], log: str = "", **options: Any) -> int:
    """`foreground` with a progress line, and with the plugin's warnings in `log`, where the output goes if it is named.

    On a terminal a command whose output is seen has no progress line; among other jobs none has.
    """
    progress = Progress(lambda: f"{label}  {describe()}")
    shown = not os.environ.get("IN_PARALLEL") and (bool(log) or not progress.terminal)
    if not log:
        return foreground(command, progress.show if shown else lambda: None, **options)
    with open(log, "ab") as file:
        warnings = Warnings(log, label)

        def look() -> None:
            warnings.show()
            if shown:
                progress.show()

        try:
            return foreground(command, look, stdout=file, stderr=subprocess.STDOUT, **options)
        finally:
            if shown:
                progress.clear()


def run_command(log: str, *command: str) -> int:
    """Print a command, then run it; with a log, its output goes to the log's end, and its last words are why it failed."""
    end_with_script()
    say(f"+ {quoted(command)} ")
    start = time.monotonic()
    label = " ".join(command[: 3 if command[0] == "python" else 2]) if not log else command[0]
    if command[0] == "bash":  # a script, which shows its own progress
        code = foreground(command, lambda: None)
    else:
        code = watched(command, label, lambda: f"{span(time.monotonic() - start)} so far", log)
    if code and log:
        raise InputError(f"{command[0]} failed: {why(code, log)}")
    if code == -signal.SIGKILL:
        raise InputError(f"{label} was killed, perhaps for memory; remedy: more memory, then start again")
    return code if code >= 0 else 128 - code


def print_span(seconds: str) -> int:
    """Seconds as a person says them."""
    print(span(float(seconds)), end="")
    return 0


def cannot_write(path: str | Path, error: OSError) -> InputError:
    """As scripts/lib.sh says it."""
    return InputError(
        f"{path}: {error.strerror}; remedy: free space, or a folder that you may write to; then start again"
    )
