"""Rows of measured systems, and the intervals and comparisons that a bootstrap adds to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from .bootstrap import Bootstrap, interval, p_value, sacrebleu_p_value
from .response_metrics import Score

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
    statistics: list
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


FEW_MATCHES = 10


def undersampled(score: Score) -> bool:
    """Whether BLEU rests on so few matched 4-grams that resamples with and without them decide everything."""
    return score.name == "BLEU" and score.extra["matches"][3] < FEW_MATCHES


def resampled(
    rows: Sequence[Row], measurements: Sequence[Sequence[Measurement]], bootstrap: Bootstrap, baseline: str
) -> list[Row]:
    """The rows with intervals, and with comparisons to the system named `baseline`."""
    measurements = [[each for each in found if each.metric.interval is not None] for found in measurements]
    sums = iter(_sums(bootstrap, [each.table() for found in measurements for each in found]))
    values = [{each.metric.name: each.values(next(sums)) for each in found} for found in measurements]
    base = next(index for index, row in enumerate(rows) if row.file is not None and row.name == baseline)
    result = []
    for index, (row, found) in enumerate(zip(rows, measurements, strict=True)):
        scores = dict(row.scores)
        for metric in (each.metric for each in found):
            scores[metric.name] = _with_interval(
                scores[metric.name], metric.interval, values[index][metric.name], bootstrap
            )
        row = replace(row, scores=scores)
        if row.file is not None and index != base:
            row = replace(row, comparison=_compared(row, rows[base], values[index], values[base], bootstrap))
        result.append(row)
    return result


def _sums(bootstrap: Bootstrap, tables: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Each table's sums; those of as many contexts share their resamples, so that systems stay paired."""
    groups: dict[int, list[int]] = {}
    for place, table in enumerate(tables):
        groups.setdefault(len(table), []).append(place)
    found: list[np.ndarray] = [np.empty(0)] * len(tables)
    for places in groups.values():
        for place, sums in zip(places, bootstrap.sums([tables[each] for each in places]), strict=True):
            found[place] = sums
    return found


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
