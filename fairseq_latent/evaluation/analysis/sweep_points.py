"""What a sweep of the fader found: for tables and for pictures."""

import json
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

from fairseq_latent.errors import InputError

from ..saved_json import OTHER_FORM, number, read_json, text
from ..tables import Column

MEASURES = {  # attribute of a Point -> its column
    "p_distance": Column("P.Distance", 3),
    "one_minus": Column("1 - P.Distance", 3),
    "to_others": Column("to others", 3),
    "length": Column("length", 1),
}


@dataclass(frozen=True)
class Point:
    """Means over contexts: proximity to their profiles and to those of others, and words a response.

    fader: from 0 to 1; None where the prior chose it.
    """

    fader: float | None
    seed: int
    p_distance: float
    to_others: float
    length: float

    @property
    def one_minus(self) -> float:
        """The distance, as the name has it."""
        return 1 - self.p_distance


@dataclass(frozen=True)
class Sweep:
    """All points; `references` are measured as they are. signature: how, of what. inferred: the prior's mean fader."""

    points: tuple[Point, ...]
    references: Point
    signature: str
    inferred: float | None = None

    @property
    def faders(self) -> list[float]:
        """The values, ascending."""
        return sorted({point.fader for point in self.points if point.fader is not None})

    def of(self, fader: float | None) -> list[Point]:
        """Its points, one a seed."""
        return [point for point in self.points if point.fader == fader]

    def mean(self, fader: float | None, measure: str) -> float:
        """Over seeds."""
        values = [getattr(point, measure) for point in self.of(fader)]
        return sum(values) / len(values)

    def correlation(self, measure: str) -> tuple[float, float] | None:
        """Spearman's rank correlation with the fader over all its points, and p; None where nothing changes."""
        from scipy.stats import spearmanr

        swept = [point for point in self.points if point.fader is not None]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a constant has none, which is said below
            found = spearmanr([point.fader for point in swept], [getattr(point, measure) for point in swept])
        return None if found.statistic != found.statistic else (float(found.statistic), float(found.pvalue))


def as_json(sweep: Sweep) -> str:
    """All of it, with the correlations."""
    found = {name: sweep.correlation(name) or (None, None) for name in MEASURES}
    return json.dumps(asdict(sweep) | {"spearman": {name: {"rho": rho, "p": p} for name, (rho, p) in found.items()}})


def _point(record: dict) -> Point:
    found = Point(**record)
    for name, value in asdict(found).items():
        if name != "fader" or value is not None:
            number(value)
    return found


def read_sweep(path: Path) -> Sweep:
    """What `fairseq-latent sweep --format json` wrote."""
    try:
        found = read_json(path)
        points = tuple(_point(each) for each in found["points"])
        inferred = None if found["inferred"] is None else number(found["inferred"])
        sweep = Sweep(points, _point(found["references"]), text(found["signature"]), inferred)
        if not (sweep.of(None) and sweep.faders):
            raise ValueError("no points")
        return sweep
    except OTHER_FORM:
        raise InputError(
            f"{path}: this is no sweep; remedy: fairseq-latent sweep … --format json --out {path}"
        ) from None
