"""One training run of the recipes: resumed where it was, not repeated once done, extended by a larger budget."""

import hashlib
import os
import re
import shlex
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairseq_latent.errors import InputError
from fairseq_latent.files import written_whole

from .costs import begun, ended
from .locks import lock_or_wait
from .processes import end_with_script, quoted, same_words, watched, why
from .progress import say, span, updates_done

# flags of fairseq-train, each with a value, for how long and how often: they may change while a run goes on
BUDGET = {
    *("--max-update", "--max-epoch", "--stop-time-hours", "--validate-interval", "--validate-interval-updates"),
    *("--save-interval", "--save-interval-updates", "--keep-interval-updates", "--log-interval", "--log-format"),
    *("--log-file", "--tensorboard-logdir"),
}
ANOTHER = "remedy: another folder (RUN=, of a table RUNS=)"


@dataclass(frozen=True, slots=True)
class Flags:
    """Limits as they were written, the last of each ("0": none), and the flags that say what is trained."""

    updates: str
    epochs: str
    rest: tuple[str, ...]


def split_flags(words: Sequence[str]) -> Flags:
    """The budget, and the rest."""
    limits, rest = {"--max-update": "0", "--max-epoch": "0"}, []
    index = 0
    while index < len(words):
        flag, joined, value = words[index].partition("=")
        if flag in BUDGET:
            value = value if joined else (*words, "")[index + 1]
            limits |= {flag: value} if flag in limits else {}
            index += 1 if joined else 2
        else:
            rest.append(words[index])
            index += 1
    return Flags(limits["--max-update"], limits["--max-epoch"], tuple(rest))


def print_warmup(flag: str, parts: str, folder: str, most: str, budget: str, *words: str) -> int:
    """In how many updates what `flag` names rises: MOST with BUDGET or more updates, of fewer 1/PARTS, at most MOST.

    Otherwise a learning rate would never reach its peak. A run that has begun keeps what it began with.
    """
    updates = split_flags(("--max-update", os.environ.get("MAX_UPDATE") or budget, *words)).updates
    found = int(most)
    if updates.isdecimal() and 0 < int(updates) < int(budget):
        found = min(found, max(1, int(updates) // int(parts)))
    if has_begun(folder):
        noted = re.search(rf"{flag} (\d+)", _text(Path(folder, "flags")))
        found = int(noted[1]) if noted else found
    print(found, end="")
    return 0


def has_begun(folder: str) -> bool:
    """There is a checkpoint."""
    return any(Path(folder).glob("checkpoint*.pt"))


def share_out(words: Sequence[str], processes: int) -> Iterator[str]:
    """The flags with --update-freq shared out among processes, which changes no number."""
    before = ""
    for word in words:
        if before == "--update-freq" and processes > 1:
            if not word.isdecimal() or int(word) % processes:
                raise InputError(
                    f"--update-freq {word} cannot be shared by {processes} processes; "
                    f"remedy: a multiple, UPDATE_FREQ={processes}"
                )
            word = str(int(word) // processes)
        before = word
        yield word


def train(data: str, folder: str, *words: str) -> int:
    """DATA RUN PLUGIN AND DEVICE... -- FLAGS...: one training into folder RUN. DRY_RUN only prints the command.

    With PROCESSES=4 four processes share out each update's batches; the words of LAUNCH start them, or fairseq.
    """
    border = words.index("--")
    flags = words[border + 1 :]
    command = _command(data, folder, words[:border], flags)
    if os.environ.get("DRY_RUN"):
        print(f"{quoted(('mkdir', '-p', folder))} && {quoted(command)}")
        return 0
    end_with_script()
    asked = split_flags(flags)
    Path(folder).mkdir(parents=True, exist_ok=True)
    with open(f"{folder}/lock", "ab") as lock:
        message = (
            f"{folder} is being trained by another process; remedy: wait for it, or end it: fuser -k {folder}/lock"
        )
        lock_or_wait(lock, message, wait=False)
        if not _is_finished(data, folder, asked):
            _note(f"{folder}/checkpoint_best.pt.command", f"{quoted(command)} ")
            _run(folder, command, asked, lock.fileno())
            _note(f"{folder}/done", f"{asked.updates} {asked.epochs}\n")
    return 0


def _command(data: str, folder: str, fixed: Sequence[str], flags: Sequence[str]) -> list[str]:
    processes, launch = os.environ.get("PROCESSES") or "1", shlex.split(os.environ.get("LAUNCH", ""))
    if not re.fullmatch(r"[1-9]\d*", processes):
        raise InputError(f"PROCESSES={processes} is no number of processes; remedy: PROCESSES=2")
    # torchrun takes a file
    program = [*launch, shutil.which("fairseq-train") or "fairseq-train"] if launch else ["fairseq-train"]
    return [
        *(*program, data, *fixed, "--distributed-world-size", processes, *share_out(flags, int(processes))),
        *("--save-dir", folder, "--no-epoch-checkpoints", "--log-format", "json"),
        *("--log-interval", os.environ.get("LOG_INTERVAL") or "20", "--log-file", f"{folder}/train.log"),
    ]


def _is_finished(data: str, folder: str, asked: Flags) -> bool:
    """Notes the flags where nothing contradicts them: the folder's training has others, or a larger budget."""
    done, noted, now = (
        Path(folder, "done"),
        Path(folder, "flags"),
        quoted((data, *asked.rest)) + f" data={_digest(data)}",
    )
    if not has_begun(folder):
        done.unlink(missing_ok=True)  # nothing is trained yet: any flags will do
    elif not same_words(_text(noted), now):
        raise InputError(f"{folder} was trained with other flags or data ({noted}); {ANOTHER}, or remove this one")
    _note(noted, f"{now}\n")
    if not done.is_file():
        return False
    updates, epochs = (*_text(done).split(), "", "")[:2]
    if (updates, epochs) == (asked.updates, asked.epochs):
        say(f"== {folder} is trained")
        return True
    if _is_smaller(asked.updates, updates) or _is_smaller(asked.epochs, epochs):
        raise InputError(f"{folder} was trained with a larger budget ({done}: updates, epochs); {ANOTHER}")
    return False


def _run(folder: str, command: Sequence[str], asked: Flags, lock: int) -> None:
    log = Path(folder, "train.out")
    log.unlink(missing_ok=True)
    say(f"+ {quoted(command)} ")
    start, before = time.monotonic(), begun(folder, not has_begun(folder))
    held = {"FAIRSEQ_LATENT_LOCKED": os.path.realpath(folder)}  # fairseq-train locks what is not: compat/turns.py
    label = f"training {os.path.basename(folder)}"
    code = watched(
        command, label, lambda: updates_done(folder, asked.updates), str(log), env=os.environ | held, pass_fds=(lock,)
    )
    ended(folder, before)
    if code:
        raise InputError(f"training {folder} failed: {why(code, log)}")
    if not os.environ.get("IN_PARALLEL"):
        say(f"== {folder} is trained, in {span(time.monotonic() - start)}")


def _is_smaller(one: str, other: str) -> bool:
    """0 is no limit; what is no number fairseq-train refuses itself."""
    if not (one.isdecimal() and (other or "0").isdecimal()):
        return False
    return int(one) > 0 and (int(other or 0) == 0 or int(one) < int(other))


def _digest(data: str) -> str:
    """SHA-256 of what a training reads of its data set; of its numbers the index alone, which has their sizes."""
    folder = Path(data)
    names = ["dict.src.txt", *sorted(path.name for path in folder.glob("train.*.idx")), "dict.txt", "train.idx"]
    found = hashlib.sha256()
    for name in (*names, "train.fader", "train.own_fader"):
        if (folder / name).is_file():
            with open(folder / name, "rb") as file:
                while block := file.read(1 << 20):
                    found.update(block)
    return found.hexdigest()


def _note(path: str | Path, text: str) -> None:
    with written_whole(path, "wb") as file:
        file.write(os.fsencode(text))


def _text(path: Path) -> str:
    """What was noted, or nothing."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
