"""Rows of measured systems, and the intervals and comparisons that a bootstrap adds to them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from .bootstrap import Bootstrap, interval, p_value, sacrebleu_p_value
from .response_metrics import Distinct, Score

REFERENCE = "Reference"  # the row of people's own responses


@dataclass(frozen=True)
class Responses:
    """Of one system, `samples` per context, one context after the other: texts, and the same with their words separated.

    words: signature of the words. references: of each context, words separated; None of the references themselves, and where
    there are none. reference_texts: the same as they are.
    """

    texts: Sequence[str]
    lines: Sequence[str]
    samples: int
    words: str
    references: Sequence[tuple[str, ...]] | None = None
    reference_texts: Sequence[tuple[str, ...]] | None = None


class Measure(Protocol):
    """What is measured of responses where asked, beside the rest."""

    def measure(self, responses: Responses) -> "list[Measurement]":
        """One for each metric."""


@dataclass(frozen=True)
class Measurement:
    """A metric with its statistics of one system: the score, and the table that a bootstrap needs.

    A metric whose `interval` is None has no table, and is not resampled.
    """

    metric: Any  # one of `metrics`
    statistics: Any
    samples: int = 1  # statistics per context

    def score(self) -> Score:
        """The corpus value."""
        return self.metric.score(self.statistics)

    def table(self) -> np.ndarray:
        """(contexts, k)."""
        return self.metric.table(self.statistics, self.samples)

    def of_samples(self) -> "Measurement":
        """The mean of each sample's own value, where there are several."""
        return self if self.samples == 1 else replace(self, metric=MeanOfSamples(self.metric, self.samples))

    def values(self, sums: np.ndarray) -> np.ndarray:
        """(resamples, k) sums of the table -> (resamples,) values."""
        return np.array([self.metric.value(each) for each in sums.tolist()])


@dataclass(frozen=True)
class MeanOfSamples:
    """A metric of each context's first responses, of their second ones, ..., and the mean of these (Cho et al., 2022).

    Unlike the metric of all responses together it does not fall with their number where it falls with the amount of text.
    """

    metric: Any
    samples: int

    @property
    def name(self) -> str:
        """The metric's own."""
        return self.metric.name

    @property
    def interval(self) -> str | None:
        """The metric's own."""
        return self.metric.interval

    def table(self, statistics: Sequence, samples: int) -> np.ndarray:
        """(contexts, samples * k): the tables of the samples side by side."""
        return np.concatenate([self.metric.table(part) for part in self._parts(statistics)], axis=1)

    def value(self, sums: Sequence[float]) -> float:
        """The mean of the samples' values."""
        width = len(sums) // self.samples
        starts = range(0, len(sums), width)
        return sum(self.metric.value(sums[start : start + width]) for start in starts) / self.samples

    def score(self, statistics: Sequence) -> Score:
        """The mean of the samples' scores; extras are of all responses together."""
        values = [self.metric.score(part).value for part in self._parts(statistics)]
        pooled = self.metric.score(statistics)
        signature = f"{pooled.signature}|mean-of-samples:{self.samples}"
        return replace(pooled, value=sum(values) / self.samples, signature=signature)

    def _parts(self, statistics: Sequence) -> list[Sequence]:
        """Statistics a line, contexts one after the other -> those of each sample."""
        return [statistics[sample :: self.samples] for sample in range(self.samples)]


@dataclass(frozen=True)
class Comparison:
    """A system against the baseline: for each metric the p-value of a two-sided paired bootstrap test.

    Metrics whose resamples say nothing (`undersampled`) have none.
    """

    baseline: str
    p_values: Mapping[str, float]
    signature: str
    sacrebleu_p: float | None = None  # of BLEU, as `sacrebleu --paired-bs` has it; None without references


@dataclass(frozen=True)
class Row:
    """A measured system, or the references."""

    name: str
    file: str | None
    contexts: int
    responses_given: int  # a context
    responses_measured: int
    scores: dict[str, Score]
    comparison: Comparison | None = None  # None for the references, the baseline, and where nothing was resampled
    settings: str | None = None  # how the responses of a system that was not trained here were sampled
    seeds: int = 1  # trainings that the scores are means of


FEW_MATCHES = 10


def undersampled(score: Score) -> bool:
    """Whether BLEU rests on so few matched 4-grams that resamples with and without them decide everything."""
    return score.name == "BLEU" and score.extra["matches"][3] < FEW_MATCHES


def resampled(
    rows: Sequence[Row], measurements: Sequence[Sequence[Measurement]], bootstrap: Bootstrap, baseline: str
) -> list[Row]:
    """The rows with intervals, and with comparisons to the system named `baseline`."""
    merged = over_seeds(rows)
    measurements = [[each for each in found if each.metric.interval is not None] for found in measurements]
    sums = iter(_sums(bootstrap, _tables(measurements)))
    values = [{each.metric.name: each.values(next(sums)) for each in found} for found in measurements]
    metrics = [{each.metric.name: each.metric for each in found} for found in measurements]
    groups = _groups(rows)
    values = [mean_of_seeds([values[place] for place in group], bootstrap) for group in groups]
    metrics, rows = [metrics[group[0]] for group in groups], merged
    base = next(index for index, row in enumerate(rows) if row.file is not None and row.name == baseline)
    result = []
    for index, (row, found) in enumerate(zip(rows, metrics, strict=True)):
        scores = dict(row.scores)
        for metric in found.values():
            scores[metric.name] = _with_interval(
                scores[metric.name], metric.interval, values[index][metric.name], bootstrap
            )
        row = replace(row, scores=scores)
        if row.file is not None and index != base:
            row = replace(row, comparison=_compared(row, rows[base], values[index], values[base], bootstrap))
        result.append(row)
    return result


def over_seeds(rows: Sequence[Row]) -> list[Row]:
    """One row for the rows of a name, which are its seeds: means, with the seeds' values and their standard deviation.

    Numbers that a score consists of are means, too, what else it consists of is that of the first seed.
    """
    merged = []
    for group in _groups(rows):
        first = rows[group[0]]
        if len(group) == 1:
            merged.append(first)
            continue
        scores = {}
        for name in first.scores:
            each = [rows[seed].scores[name] for seed in group]
            values = [score.value for score in each]
            extra = {
                part: float(np.mean([score.extra[part] for score in each])) if isinstance(of_first, float) else of_first
                for part, of_first in each[0].extra.items()
            }
            extra |= {"seeds": values, "sd": float(np.std(values, ddof=1))}
            signature = f"{each[0].signature}|seeds:{len(group)}"
            scores[name] = replace(each[0], value=float(np.mean(values)), signature=signature, extra=extra)
        files = ",".join(str(rows[seed].file) for seed in group)
        merged.append(replace(first, file=files, scores=scores, seeds=len(group)))
    return merged


def _groups(rows: Sequence[Row]) -> list[list[int]]:
    """Places of the rows of each name."""
    groups: dict[tuple[str, bool], list[int]] = {}
    for place, row in enumerate(rows):
        groups.setdefault((row.name, row.file is None), []).append(place)
    return list(groups.values())


def mean_of_seeds(values: Sequence[dict[str, np.ndarray]], bootstrap: Bootstrap) -> dict[str, np.ndarray]:
    """Resampled values of each seed -> of their mean, with seeds resampled, too: (resamples,) per metric.

    Another training gives another value, whatever the contexts. The mean of S values drawn out of S with replacement has
    (S - 1) / S of the variance that the mean of S seeds has; its distance from their mean is widened by the root of that.
    """
    if len(values) == 1:
        return values[0]
    count = len(values)
    draw = np.random.default_rng((bootstrap.seed, count)).integers(count, size=(bootstrap.resamples, count))
    found = {}
    for name in values[0]:
        of_seeds = np.stack([each[name] for each in values])  # (S, resamples)
        mean = of_seeds.mean(0)
        drawn = np.take_along_axis(of_seeds, draw.T, 0).mean(0)
        found[name] = mean + math.sqrt(count / (count - 1)) * (drawn - mean)
    return found


def _tables(measurements: Sequence[Sequence[Measurement]]) -> list[np.ndarray]:
    """One after the other; metrics that differ in their value alone have one table of the same statistics."""
    known: dict[tuple, np.ndarray] = {}
    tables = []
    for each in (each for found in measurements for each in found):
        key = (id(each.statistics), type(each.metric), each.samples)
        if key not in known or not isinstance(each.metric, Distinct):
            known[key] = each.table()
        tables.append(known[key])
    return tables


def _sums(bootstrap: Bootstrap, tables: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Each table's sums; those of as many contexts share their resamples, so that systems stay paired."""
    groups: dict[int, dict[int, np.ndarray]] = {}
    for table in tables:
        groups.setdefault(len(table), {})[id(table)] = table
    found: dict[int, np.ndarray] = {}
    for different in groups.values():
        found |= dict(zip(different, bootstrap.sums([*different.values()]), strict=True))
    return [found[id(table)] for table in tables]


def _with_interval(score: Score, kind: str, values: np.ndarray, bootstrap: Bootstrap) -> Score:
    signature = f"{score.signature}|interval:{kind}|{bootstrap.signature}"
    return replace(score, interval=interval(values), signature=signature)


def _compared(
    row: Row, base: Row, values: Mapping[str, np.ndarray], base_values: Mapping[str, np.ndarray], bootstrap: Bootstrap
) -> Comparison:
    tests = {
        name: (score.value - base.scores[name].value, values[name] - base_values[name])
        for name, score in row.scores.items()
        if name in values
    }
    return Comparison(
        base.name,
        {
            name: p_value(*test)
            for name, test in tests.items()
            if not (undersampled(row.scores[name]) or undersampled(base.scores[name]))
        },
        f"paired-bootstrap|two-sided|{bootstrap.signature}",
        sacrebleu_p_value(*tests["BLEU"]) if "BLEU" in tests else None,
    )
