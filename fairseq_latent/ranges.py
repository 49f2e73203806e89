"""Ranges of numbers on the command line: declared beside a flag's help text, checked before anything is built."""

import argparse
import ast
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from .errors import InputError
from .text.json_values import loads

LARGEST = 2**63 - 1  # what a tensor of integers holds


@dataclass(frozen=True)
class Range:
    """Finite numbers from `least` to `most`; `above` and `below` leave out that end."""

    least: float = -math.inf
    most: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        if not -LARGEST <= value <= LARGEST:  # NaN too
            return False
        low = self.least < value if self.above else self.least <= value
        return low and (value < self.most if self.below else value <= self.most)

    def __str__(self) -> str:
        if math.isinf(self.least):
            return "a finite number"
        if math.isinf(self.most):
            return f"more than {self.least}" if self.above else f"{self.least} or more"
        ends = [str(end) for end, left_out in ((self.least, self.above), (self.most, self.below)) if left_out]
        return f"from {self.least} to {self.most}" + (f", without {' and '.join(ends)}" if ends else "")


def _literal(text: str) -> Any:
    """A plain Python value, as fairseq reads it; None if it is none."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


@dataclass(frozen=True)
class Numbers:
    """A flag with `count` numbers between commas, each in `each`."""

    count: int
    each: Range

    def __contains__(self, text: str) -> bool:
        numbers = _literal(text)
        try:
            return len(numbers) == self.count and all(number in self.each for number in numbers)
        except TypeError:  # no sequence, no numbers
            return False

    def __str__(self) -> str:
        return f"{self.count} numbers between commas, each {self.each}"


@dataclass(frozen=True)
class JSONObject:
    """A flag with settings by name."""

    def __contains__(self, text: str) -> bool:
        try:
            return isinstance(loads(text), dict)
        except ValueError:
            return False

    def __str__(self) -> str:
        return 'JSON, e.g. {"beam": 5}'


@dataclass(frozen=True)
class Dictionary:
    """A flag with a Python dictionary of plain values by name."""

    def __contains__(self, text: str) -> bool:
        value = _literal(text)
        return isinstance(value, dict) and all(isinstance(name, str) for name in value)

    def __str__(self) -> str:
        return "names and values, e.g. \"{'dropout': 0.1}\""


FINITE = Range()
COUNT = Range(1)
AMOUNT = Range(0)
POSITIVE = Range(0, above=True)
SHARE = Range(0, 1)
SHARE_BELOW_ONE = Range(0, 1, below=True)  # dropout: of 1 nothing would be left
SIZE = Range(1, 65_536)  # of a layer; ten times the largest published
SIZE_OR_NONE = Range(0, 65_536)
DEPTH = Range(1, 1_000)
POSITIONS = Range(4, 2**20)  # fewer hold no context and response
SAMPLES = Range(1, 10_000)  # K: each has a latent in memory
WORKERS = Range(1, 1_024)  # processes or threads
SEED = Range(0, 2**31 - 1)  # NumPy takes 32 bits; updates and epochs are added to it


Allowed = Range | Numbers | JSONObject | Dictionary


def declared_by(owner: type | None) -> dict[str, Range]:
    """The ranges of a registered class's flags: field(metadata={"range": …}) in its dataclass."""
    config = getattr(owner, "__dataclass", None)  # where fairseq's registries keep it
    return {field.name: field.metadata["range"] for field in fields(config or Range) if "range" in field.metadata}


def check(values: Mapping[str, object], ranges: Mapping[str, Allowed]) -> None:
    """Refuse the first value outside its range, by its flag; None and interpolations are no numbers."""
    for name, allowed in ranges.items():
        value = values.get(name)
        if isinstance(value, list) and not value:
            raise InputError(f"--{name.replace('_', '-')} [] holds no number; remedy: {allowed}")
        for one in value if isinstance(value, Iterable) and not isinstance(value, str) else [value]:
            if _outside(one, allowed):
                huge = (
                    isinstance(one, int | float) and abs(one) > LARGEST and getattr(allowed, "most", None) == math.inf
                )
                most = ", below 2**63" if huge else ""
                raise InputError(f"--{name.replace('_', '-')} {one} is out of range; remedy: {allowed}{most}")


def typed(kind: type[int] | type[float], allowed: Range) -> Callable[[str], int | float]:
    """The `type` of an argparse option that takes numbers of a range."""

    def number(text: str) -> int | float:
        shown = text if len(text) < 40 else f"{text[:40]}…"
        try:
            value = kind(text)
        except ValueError:  # also for more digits than Python reads
            raise argparse.ArgumentTypeError(f"{shown!r} is no {'whole ' if kind is int else ''}number") from None
        if value not in allowed:
            raise argparse.ArgumentTypeError(f"{shown} is not {allowed}")
        return value

    return number


def _outside(value: object, allowed: Allowed) -> bool:
    if not isinstance(allowed, Range):
        return isinstance(value, str) and value not in allowed
    return isinstance(value, int | float) and not isinstance(value, bool) and value not in allowed


def check_config(config: object, owner: type | None) -> None:
    """`check` of the configuration that a model, task or criterion is built from, whatever command line it came from."""
    ranges = declared_by(owner)
    for name, allowed in ranges.items():
        value = getattr(config, name, None)
        if isinstance(allowed, Range) and isinstance(value, str) and not value.startswith("${"):  # of --model-overrides
            raise InputError(f"--{name.replace('_', '-')} {value!r:.80} is no number; remedy: {allowed}")
    check({name: getattr(config, name, None) for name in ranges}, ranges)
