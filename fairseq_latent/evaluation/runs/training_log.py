"""Reads the log of one training (`fairseq-train --log-format json --log-file FILE`) into curves over updates."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fairseq_latent.errors import InputError
from fairseq_latent.text.json_values import loads, whole

UPDATES = "num_updates"
VALID = "valid_"
LIMIT = 1 << 63

Point = dict[str, float]
Series = tuple[list[int], list[float]]


class NothingLogged(InputError):
    """A log without an update: its training has not got that far."""


@dataclass
class TrainingLog:
    """What was logged at which update: update -> name -> value, names without `valid_`, in the order of updates."""

    train: dict[int, Point] = field(default_factory=dict)
    valid: dict[int, Point] = field(default_factory=dict)

    def series(self, split: str, name: str) -> Series:
        """Updates and values of one name on `train` or `valid`; empty where it was never logged."""
        points: Mapping[int, Point] = getattr(self, split)
        found = [(update, point[name]) for update, point in points.items() if name in point]
        return [update for update, _ in found], [value for _, value in found]

    @property
    def updates(self) -> int:
        """The last update that was logged."""
        return max([*self.train, *self.valid])

    @property
    def seconds(self) -> float | None:
        """Wall-clock time of the training; a restart counts from 0 again."""
        walls = self.series("train", "wall")[1]
        if not walls:
            return None
        return sum(now - before if now >= before else now for before, now in zip([0.0, *walls], walls, strict=False))

    def _add(self, split: str, update: int, point: Point) -> None:
        """A restart goes back to a checkpoint: what the stopped run logged from that update on is forgotten."""
        for points, first in ((self.train, update + 1), (self.valid, update)):  # training is logged before validation
            for later in [known for known in points if known >= first]:
                del points[later]
        getattr(self, split)[update] = point


def read_training_log(path: str | Path) -> TrainingLog:
    """Read a log; lines that are not JSON (fairseq's messages, a line cut by a stop) are passed over."""
    log = TrainingLog()
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            record = _record(line)
            for split, prefix in (("train", ""), ("valid", VALID)):
                if prefix + UPDATES in record:
                    log._add(split, _update(record[prefix + UPDATES], f"{path}:{number}"), _values(record, prefix))
    if not (log.train or log.valid):
        raise NothingLogged(
            f"{path}: no logged update; remedy: fairseq-train --log-format json --log-interval 20 --log-file {path}"
        )
    return log


def log_so_far(path: str | Path) -> TrainingLog | None:
    """The same of a training that may not have begun: None where there is nothing to read yet."""
    try:
        return read_training_log(path)
    except (NothingLogged, FileNotFoundError):
        return None


def _record(line: str) -> dict:
    if not line.startswith("{"):
        return {}
    try:
        record = loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _update(value: object, where: str) -> int:
    """fairseq writes numbers as strings."""
    try:
        update = whole(int(value) if isinstance(value, str) else value)
    except (OverflowError, TypeError, ValueError):
        update = -1
    if not 0 <= update < LIMIT:
        raise InputError(f"{where}: {UPDATES} is no number of updates; remedy: the log as fairseq-train wrote it")
    return update


def _values(record: dict, prefix: str) -> Point:
    """fairseq writes numbers as strings; an infinite loss is no point of a curve."""
    values = {}
    for name, value in record.items():
        try:
            number = float(value)
        except (OverflowError, TypeError, ValueError):
            continue
        if name.startswith(prefix) and math.isfinite(number):
            values[name.removeprefix(prefix)] = number
    return values
