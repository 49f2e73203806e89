"""What is known of each rater: how much was rated, how fast, how consistently, and who stands out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..ratings import Rating
from ..study import LOWEST, Study
from .agreement import Floats, correlation
from .cubes import Cubes, value_of

FEW = 10  # items from which a rater's correlation or constant answer means anything
LOW_CORRELATION = 0.2
FAST = 1 / 3  # of the median rater's time per item
FAR = 3.0  # robust deviations of a rater's bias from the others'


@dataclass(frozen=True)
class RaterSummary:
    """bias: mean difference from the others' mean of the same items. with_others: correlation with that mean.

    same: share of repeated items with the same score; apart: mean absolute difference of their scores. seconds: the median
    per item. remarks: why the rater stands out.
    """

    name: str
    rated: int
    assigned: int
    bias: float | None
    with_others: float | None
    repeated: int
    same: float | None
    apart: float | None
    checks: int
    checks_passed: int
    seconds: float | None
    remarks: tuple[str, ...]


def summaries(study: Study, ratings: Sequence[Rating], data: Cubes) -> list[RaterSummary]:
    """A summary for each rater of the study, also of those whose ratings were left out of `data`."""
    own: dict[str, list[Rating]] = {name: [] for name in study.raters}
    for rating in ratings:
        own[rating.rater].append(rating)
    compared = {name: _with_others(data, place) for place, name in enumerate(data.raters)}
    times = {name: _seconds(own[name]) for name in study.raters}
    medians = [time for time in times.values() if time is not None]
    typical = float(np.median(medians)) if medians else None
    biases = [bias for bias, _, _ in compared.values() if bias is not None]
    return [
        _summary(study, name, own[name], compared.get(name, (None, None, 0)), times[name], typical, biases)
        for name in study.raters
    ]


def _summary(
    study: Study,
    name: str,
    ratings: Sequence[Rating],
    compared: tuple[float | None, float | None, int],
    seconds: float | None,
    typical: float | None,
    biases: Sequence[float],
) -> RaterSummary:
    bias, with_others, items = compared
    repeated = _repeated(study, ratings)
    checks = [rating for rating in ratings if rating.task.of is None]
    passed = sum(_passed(study, rating) for rating in checks)
    first = [rating for rating in ratings if rating.task.of is not None and not rating.task.repeat]
    remarks = []
    if passed < len(checks):
        remarks.append(f"{len(checks) - passed} of {len(checks)} attention checks failed")
    if len(first) >= FEW:
        for criterion in study.protocol.criteria:
            given = {rating.scores.get(criterion.name) for rating in first}
            if len(given) == 1:
                remarks.append(f"{criterion.name} is always {given.pop()}")
    if with_others is not None and items >= FEW and with_others < LOW_CORRELATION:
        remarks.append(f"correlates {with_others:.2f} with the others' mean")
    if seconds is not None and typical is not None and seconds < FAST * typical:
        remarks.append(f"{seconds:.1f} s per item, the median rater takes {typical:.1f}")
    if bias is not None and len(biases) >= 4:
        centre = float(np.median(biases))
        spread = 1.4826 * float(np.median(np.abs(np.array(biases) - centre)))
        if spread > 0 and abs(bias - centre) > FAR * spread and abs(bias) >= 0.5:
            remarks.append(f"{abs(bias):.2f} points {'above' if bias > 0 else 'below'} the others")
    differences = [abs(one - two) for one, two in repeated]
    return RaterSummary(
        name=name,
        rated=len(ratings),
        assigned=len(study.raters[name]),
        bias=bias,
        with_others=with_others,
        repeated=len(differences),
        same=float(np.mean([each == 0 for each in differences])) if differences else None,
        apart=float(np.mean(differences)) if differences else None,
        checks=len(checks),
        checks_passed=passed,
        seconds=seconds,
        remarks=tuple(remarks),
    )


def _with_others(data: Cubes, place: int) -> tuple[float | None, float | None, int]:
    """Bias, correlation with the others' mean, and over how many ratings; all criteria together, each centred."""
    own: list[Floats] = []
    others: list[Floats] = []
    for table in data.units.values():
        rest = np.delete(table, place, axis=1)
        given = ~np.isnan(rest)
        both = ~np.isnan(table[:, place]) & given.any(axis=1)
        if both.any():
            own.append(table[both, place])
            others.append(np.where(given[both], rest[both], 0.0).sum(axis=1) / given[both].sum(axis=1))
    if not own:
        return None, None, 0
    bias = float(np.mean(np.concatenate(own) - np.concatenate(others)))
    found = [r for x, y in zip(own, others, strict=True) if (r := correlation(x, y)) is not None]
    return bias, float(np.mean(found)) if found else None, min(map(len, own))


def _repeated(study: Study, ratings: Sequence[Rating]) -> list[tuple[float, float]]:
    """(first score, second score) of every criterion of every item that was rated twice."""
    first = {rating.task.of: rating for rating in ratings if rating.task.of is not None and not rating.task.repeat}
    found = []
    for again in (rating for rating in ratings if rating.task.repeat):
        before = first.get(again.task.of or "")
        for criterion in study.protocol.criteria:
            if before is not None and criterion.name in before.scores and criterion.name in again.scores:
                found.append((value_of(study, before, criterion), value_of(study, again, criterion)))
    return found


def _passed(study: Study, rating: Rating) -> bool:
    end = 0 if rating.task.expects == LOWEST else -1
    scales = {each.name: each.values for each in study.protocol.criteria}
    return all(value == scales[name][end] for name, value in rating.scores.items())


def _seconds(ratings: Sequence[Rating]) -> float | None:
    known = [rating.seconds for rating in ratings if rating.seconds is not None]
    return float(np.median(known)) if known else None
