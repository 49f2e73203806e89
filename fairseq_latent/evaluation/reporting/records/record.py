"""One training and all that was measured of it, in a text file of some kilobytes: checkpoint and responses may go then.

A record holds each measure's value, its sums per dialogue, from which intervals and paired tests with any other record of
the same test set follow, what training cost, and the commands that make it again.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from fairseq_latent.errors import InputError
from fairseq_latent.text.json_values import OTHER_FORM, number, read_json, text, whole

from ...analysis.sweep import Sweep, sweep_of
from ...analysis.sweep import as_json as sweep_as_json
from ...metrics.dialogues.sums import DialogueSums
from ...metrics.dialogues.sums import as_json as sums_as_json
from ...metrics.dialogues.sums import of_json as sums_of_json

VERSION = 1
OWN, PEOPLE = "system", "people"  # whose sums
DIGITS = 6  # of a value

Numbers = Mapping[str, float | int]


@dataclass(frozen=True)
class Cost:
    """A training's: updates, hours by the clock, hours of processors and MiB of memory at its peak (None: not known).

    parameters: all, and those that were trained. command: that of fairseq-train.
    """

    command: str
    updates: int
    hours: float | None
    cpu_hours: float | None
    peak_mib: int | None
    parameters: int | None
    trained: int | None


@dataclass(frozen=True)
class Record:
    """name: of the system in tables. again: the command that makes the record again. trainings: one, or its stages.

    numbers: measure -> value; people: the same of the references. curve: update -> what validation logged. signatures: how
    the numbers were made. sums, people_sums: per dialogue; of people those of responses alone.
    """

    name: str
    seed: int
    again: str
    trainings: Sequence[Cost]
    numbers: Numbers
    people: Numbers
    curve: Mapping[int, Numbers]
    signatures: Sequence[str]
    sums: DialogueSums
    people_sums: DialogueSums
    sweep: Sweep | None = None

    def total(self, of: str) -> float | None:
        """The sum over stages; None where one is not known."""
        found = [getattr(each, of) for each in self.trainings]
        return None if None in found else sum(found)

    @property
    def peak_mib(self) -> int | None:
        """The largest of the stages."""
        found = [each.peak_mib for each in self.trainings if each.peak_mib is not None]
        return max(found) if len(found) == len(self.trainings) else None


def as_json(record: Record) -> str:
    """A line per field, and one per measure."""
    plain: dict[str, Any] = {"version": VERSION, "name": record.name, "seed": record.seed, "again": record.again}
    plain["trainings"] = [asdict(each) for each in record.trainings]
    plain |= {"numbers": _rounded(record.numbers), "people": _rounded(record.people)}
    plain["curve"] = {str(update): _rounded(point) for update, point in record.curve.items()}
    plain["signatures"] = list(record.signatures)
    lines = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in plain.items()]
    lines.append(f'"sweep": {"null" if record.sweep is None else sweep_as_json(record.sweep)}')
    sums = sums_as_json({OWN: record.sums, PEOPLE: record.people_sums}).rstrip("\n")
    return "{" + ",\n".join([*lines, f'"sums": {sums}']) + "}\n"


def _rounded(numbers: Numbers) -> dict[str, float | int]:
    return {
        name: value if isinstance(value, int) else float(f"{value:.{DIGITS}g}")
        for name, value in numbers.items()
        if value is not None
    }


def read_record(path: str | Path) -> Record:
    """Read it back; InputError for a file that is damaged, or was cut short."""
    try:
        return _record(read_json(path))
    except OTHER_FORM:
        raise InputError(
            f"{path}: this is no record of a training; remedy: remove it, and what made it makes it again"
        ) from None


def _record(found: Mapping[str, Any]) -> Record:
    if found["version"] != VERSION:
        raise ValueError("another version")
    sums = sums_of_json(found["sums"])
    return Record(
        name=text(found["name"]),
        seed=whole(found["seed"]),
        again=text(found["again"]),
        trainings=[_cost(each) for each in found["trainings"]],
        numbers=_numbers(found["numbers"]),
        people=_numbers(found["people"]),
        curve={int(update): _numbers(point) for update, point in found["curve"].items()},
        signatures=[text(each) for each in found["signatures"]],
        sums=sums[OWN],
        people_sums=sums[PEOPLE],
        sweep=None if found["sweep"] is None else sweep_of(found["sweep"]),
    )


def _numbers(found: Mapping[str, Any]) -> dict[str, float | int]:
    return {text(name): number(value) for name, value in found.items()}


def _cost(found: Mapping[str, Any]) -> Cost:
    known = {each.name: found[each.name] for each in fields(Cost)}
    text(known["command"])
    whole(known["updates"])
    for name, value in known.items():
        if name not in ("command", "updates") and value is not None:
            number(value)
    return Cost(**known)
