"""Systems compared by their records: means over seeds, intervals and paired tests over dialogues, corrected by Holm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairseq_latent.errors import InputError
from fairseq_latent.human_evaluation.results.comparison import holm

from ...metrics.bootstrap import LEVEL, Bootstrap, interval, p_value
from ...metrics.dialogues.sums import PERPLEXITY
from ...metrics.system_scores import mean_of_seeds
from ...tables import Estimate
from .record import PEOPLE, Record

FEWEST = 2  # dialogues that an interval needs


@dataclass(frozen=True)
class Compared:
    """A system: its records, one per seed, and its measures as means of them.

    estimates: measure -> mean, its interval over dialogues and seeds, and whether it differs from the baseline's after
    Holm's correction. p_values: measure -> p after the correction; none of the baseline itself.
    """

    name: str
    records: Sequence[Record]
    estimates: Mapping[str, Estimate]
    p_values: Mapping[str, float]

    def range_of(self, measure: str) -> tuple[float, float] | None:
        """Lowest and highest over seeds; None of one seed."""
        found = [record.numbers[measure] for record in self.records if measure in record.numbers]
        return (min(found), max(found)) if len(found) > 1 else None


def by_system(records: Sequence[Record]) -> dict[str, list[Record]]:
    """Records of one name are its seeds; InputError where a seed comes twice."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.name, []).append(record)
    for name, group in groups.items():
        seeds = [record.seed for record in group]
        if len(set(seeds)) < len(seeds):
            raise InputError(f"{name}: two records of one seed; remedy: one of them")
        group.sort(key=lambda record: record.seed)
    return groups


def compare(records: Sequence[Record], baseline: str, bootstrap: Bootstrap) -> list[Compared]:
    """A row per system, in the order of their first records; without a record of the baseline there are no tests."""
    groups = by_system(records)
    dialogues = sorted({name for record in records for name in record.sums.dialogues})
    _check_same_test_set(records)
    resampled = {name: _resampled(group, dialogues, bootstrap) for name, group in groups.items()}
    values = {name: _means(group) for name, group in groups.items()}
    tests = _tests(values, resampled, baseline) if baseline in groups else {name: {} for name in groups}
    rows = []
    for name, group in groups.items():
        estimates = {}
        for measure, value in values[name].items():
            around = resampled[name].get(measure)
            ends = None if around is None or len(dialogues) < FEWEST else interval(around)
            differs = tests[name].get(measure, 1.0) < LEVEL
            estimates[measure] = Estimate(value, ends, differs, _deviation(group, measure))
        rows.append(Compared(name, group, estimates, tests[name]))
    return rows


def people(records: Sequence[Record], bootstrap: Bootstrap) -> Compared:
    """The references' responses, which are the same in all records."""
    first, sums = records[0], records[0].people_sums
    estimates = {measure: Estimate(value) for measure, value in first.people.items()}
    for measure in sums.sums:
        value = first.people.get(measure, sums.value(measure))
        ends = interval(sums.resampled(measure, bootstrap)) if len(sums.dialogues) >= FEWEST else None
        estimates[measure] = Estimate(value, ends)
    return Compared(PEOPLE, [], estimates, {})


def _means(group: Sequence[Record]) -> dict[str, float]:
    """Of what all seeds have; a difference of two measures has no number but its sums."""
    names = set.intersection(*({*record.numbers, *record.sums.sums} for record in group))
    return {
        name: float(np.mean([record.numbers.get(name, _of_sums(record, name)) for record in group]))
        for name in sorted(names)
    }


def _deviation(group: Sequence[Record], measure: str) -> float | None:
    """Over seeds."""
    found = [record.numbers[measure] for record in group if measure in record.numbers]
    return float(np.std(found, ddof=1)) if len(found) > 1 else None


def _of_sums(record: Record, name: str) -> float:
    return record.sums.value(name) if name in record.sums.sums else 0.0


def _resampled(group: Sequence[Record], dialogues: Sequence[str], bootstrap: Bootstrap) -> dict[str, np.ndarray]:
    """Measure -> (resamples,) of the mean over seeds."""
    found = []
    for record in group:
        sums = record.sums.on(dialogues)
        found.append({name: sums.resampled(name, bootstrap) for name in sums.sums})
    common = set.intersection(*(set(each) for each in found))
    return mean_of_seeds([{name: each[name] for name in sorted(common)} for each in found], bootstrap)


def _tests(
    values: Mapping[str, Mapping[str, float]], resampled: Mapping[str, Mapping[str, np.ndarray]], baseline: str
) -> dict[str, dict[str, float]]:
    """System -> measure -> p of a two-sided paired bootstrap against the baseline, corrected for the number of systems."""
    found: dict[str, dict[str, float]] = {name: {} for name in values}
    others = [name for name in values if name != baseline]
    for measure, base in resampled[baseline].items():
        rows = [name for name in others if measure in resampled[name]]
        raw = [
            p_value(
                float(_scaled(measure, values[name][measure]) - _scaled(measure, values[baseline][measure])),
                _scaled(measure, resampled[name][measure]) - _scaled(measure, base),
            )
            for name in rows
        ]
        for name, corrected in zip(rows, holm(raw), strict=True):
            found[name][measure] = corrected
    return found


def _scaled(measure: str, found: Any) -> Any:
    """Perplexities are compared by their logarithms, nats."""
    return np.log(found) if measure.endswith(PERPLEXITY) else found


def _check_same_test_set(records: Sequence[Record]) -> None:
    first = records[0]
    for record in records[1:]:
        for count in ("sentences", "words"):
            one, other = first.numbers.get(count), record.numbers.get(count)
            if one != other:
                raise InputError(
                    f"{first.name} (seed {first.seed}) was measured on {one} {count}, {record.name} (seed {record.seed}) on "
                    f"{other}; remedy: records of one test set"
                )
