"""A file that a command makes: at its end, only if it succeeds, and not again as long as command and inputs are the same."""

import os
from contextlib import suppress
from pathlib import Path

from fairseq_latent.errors import InputError

from .locks import lock_or_wait
from .processes import cannot_write, end_with_script, foreground, quoted, same_words, why
from .progress import say

PATIENCE = 0.3  # seconds until "waiting for it" is said


def make_file(file: str, *words: str) -> int:
    """FILE INPUTS... -- COMMAND...: the command's standard output becomes FILE, what it says stays in FILE.err if it fails.

    Not repeated, unless the command is another one or an input is newer than the command's last start. Of two processes
    that make a file of one folder, the second waits, and finds it made. When the calling script dies, nothing is published.
    """
    end_with_script()
    border = words.index("--")
    inputs, command = words[:border], words[border + 1 :]
    target = Path(file)
    try:
        with open(target.parent / "measure.lock", "ab") as lock:
            lock_or_wait(lock, f"another process measures {target.parent}", True, PATIENCE)
            if not _is_made(target, inputs, quoted(command)):
                _make(target, command)
    except OSError as error:
        raise cannot_write(error.filename or target, error) from None
    return 0


def _make(target: Path, command: tuple[str, ...]) -> None:
    say(f"+ {quoted(command)} > {target}")
    for left in target.parent.glob(
        f"{target.name}.*.part*"
    ):  # of processes that were killed: the living hold the folder
        left.unlink(missing_ok=True)
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    noted, errors = part.with_name(f"{part.name}.command"), target.with_name(f"{target.name}.err")
    noted.write_bytes(os.fsencode(f"{quoted(command)} "))
    with part.open("wb") as output, errors.open("wb") as said:
        code = foreground(command, lambda: None, stdout=output, stderr=said)
    if code:
        raise InputError(f"{command[0]} failed: {why(code, errors)}; all of it: {errors}")
    part.replace(target)
    noted.replace(target.with_name(f"{target.name}.command"))  # last: a file without its command is made again
    errors.unlink()


def _is_made(target: Path, inputs: tuple[str, ...], command: str) -> bool:
    """An input that is not there makes nothing old, as bash's -nt."""
    noted = target.with_name(f"{target.name}.command")
    with suppress(OSError):
        if target.stat().st_size and same_words(noted.read_text(encoding="utf-8", errors="surrogateescape"), command):
            made = noted.stat().st_mtime_ns
            return not any(Path(path).exists() and Path(path).stat().st_mtime_ns > made for path in inputs)
    return False
