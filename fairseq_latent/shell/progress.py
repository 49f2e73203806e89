"""How far something long is: a line that is redrawn on a terminal, and elsewhere one every half minute."""

import json
import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fairseq_latent.errors import printable

LINE_START = "\r\033[K"
WARNING = re.compile(r"\| WARNING \| fairseq_latent[a-z_.]* \| (.*)")
TAIL = 1 << 18  # bytes of a log that are looked at


def say(text: str) -> None:
    """A line on standard error, over the progress that may stand there on a terminal."""
    start = LINE_START if sys.stderr.isatty() else ""
    print(f"{start}{printable(text)}", file=sys.stderr, flush=True)


class Progress:
    """Shows what `describe` returns: each second on a terminal, elsewhere every PROGRESS_SECONDS (30)."""

    def __init__(self, describe: Callable[[], str]) -> None:
        self.describe = describe
        self.terminal = sys.stderr.isatty()
        self.every = 1.0 if self.terminal else float(os.environ.get("PROGRESS_SECONDS") or 30)
        self.shown = time.monotonic()

    def show(self) -> None:
        """To be called often: it looks at the clock."""
        if time.monotonic() >= self.shown + self.every:
            self.shown = time.monotonic()
            before, after = (LINE_START, "") if self.terminal else ("", "\n")
            print(f"{before}{printable(self.describe())}", end=after, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """The line is free for something else."""
        if self.terminal:
            print(LINE_START, end="", file=sys.stderr, flush=True)


class Warnings:
    """Prints this plugin's warnings in a log, once each."""

    def __init__(self, log: str, label: str) -> None:
        self.log, self.label, self.position = Path(log), label, 0
        if self.log.exists():
            self.position = self.log.stat().st_size

    def show(self) -> None:
        """Those of the lines that were added since the last call."""
        if not self.log.exists():
            return
        with self.log.open("rb") as file:
            file.seek(self.position)
            lines = file.read().rpartition(b"\n")[0]
        self.position += len(lines)
        for found in WARNING.finditer(lines.decode(errors="replace")):
            say(f"warning: {self.label}: {found[1]}")


def end_of(log: str | Path) -> list[str]:
    """Its last lines; none if there is no log."""
    with suppress(OSError), open(log, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
        return file.read().decode(errors="replace").split("\n")
    return []


def span(seconds: float) -> str:
    """0 s, 1 min 0 s, 2 h 1 min."""
    hours, minutes, rest = int(seconds) // 3600, int(seconds) % 3600 // 60, int(seconds) % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def updates_done(folder: str, most: str = "") -> str:
    """Of a run in training: updates, how many per second, and the time that is left until `most` of them."""
    logged: dict = {}
    for line in end_of(f"{folder}/train.log"):
        if '"num_updates": ' in line:
            with suppress(ValueError):  # half a line
                logged = json.loads(line)
    updates, rate = _number(logged.get("num_updates")), _number(logged.get("ups"))
    limit = int(most) if re.fullmatch(r"[1-9]\d*", most) else 0
    text = f"{updates:.0f}/{limit} updates" if limit else f"{updates:.0f} updates"
    if rate > 0:
        text += f", {logged['ups']} per second"
        if limit:
            text += f", {span(max(0.0, (limit - updates) / rate))} left"
    return text


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (OverflowError, TypeError, ValueError):
        return 0.0


def responses_decoded(folder: str, most: str = "") -> str:
    """Of a run that is being decoded."""
    files = (path for name in ("generate.test.txt*", "samples.test1.txt*") for path in Path(folder).glob(name))
    count = 0
    for path in files:
        with path.open("rb") as file:
            count += sum(line.startswith(b"H-") for line in file)
    return f"{count} responses"


def importance_weighted(folder: str, most: str = "") -> str:
    """Of a run whose perplexity is being computed with importance weights."""
    file = Path(folder, "latents.test.iw.json")
    return "finished" if file.exists() and file.stat().st_size else "in work"


COUNTERS: dict[str, Callable[[str, str], str]] = {
    "updates": updates_done,
    "responses": responses_decoded,
    "importance": importance_weighted,
}
