"""From ratings to results: means with intervals, tests, agreement and raters, as plain values for tables and JSON."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.metrics.bootstrap import FEWEST, Bootstrap

from ..ratings import Returned
from ..study import Study
from . import agreement
from .agreement import Floats, Kappa
from .comparison import Test, bootstrap_means, interval_of, mean, one_sample, per_context, tests
from .cubes import Cubes, cubes
from .raters import RaterSummary, summaries

POOLED = "all criteria"


@dataclass(frozen=True)
class Mean:
    """Of a system and a criterion. interval: 95 %, over contexts and raters; None where nothing was resampled."""

    value: float
    ratings: int
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Agreement:
    """Of one criterion, or of all: `complete`: Fleiss' kappa of the items that all their raters judged; `unequal`: of all
    items with two ratings or more. pearson, spearman: means over pairs of raters, `pairs` of which have a correlation."""

    criterion: str
    complete: Kappa
    unequal: Kappa
    alpha: float | None
    pearson: float | None
    spearman: float | None
    pairs: int
    pairs_spearman: int


@dataclass(frozen=True)
class Share:
    """How often a preference went either way."""

    first: float
    tie: float
    second: float
    ratings: int


@dataclass(frozen=True)
class Results:
    """means: row -> column -> Mean; rows are systems, or pairs, whose mean is wins minus losses of the first."""

    study: Study
    data: Cubes
    columns: tuple[str, ...]
    means: Mapping[str, Mapping[str, Mean]]
    tests: Mapping[str, Sequence[Test]]
    shares: Mapping[str, Mapping[str, Share]]
    agreement: Sequence[Agreement]
    raters: Sequence[RaterSummary]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    signature: str


def analyse(study: Study, returned: Returned, resamples: int, seed: int, without: Collection[str] = ()) -> Results:
    """All results; `without`: raters whose ratings do not count (they are still described)."""
    if 0 < resamples < FEWEST:
        raise InputError(f"--bootstrap {resamples}: too few for 95 % intervals; remedy: 1000, at least {FEWEST}, or 0")
    for name in without:
        if name not in study.raters:
            raise InputError(f"--without {name}: the study has no such rater; remedy: one of {', '.join(study.raters)}")
    kept = [rating for rating in returned.ratings if rating.rater not in without]
    names = [name for name in study.raters if name in {rating.rater for rating in kept}]
    data = cubes(study, kept, [name for name in study.raters if name not in names])
    if all(np.isnan(table).all() for table in data.units.values()):
        raise InputError("no response was rated; remedy: ratings of more than attention checks and repeated items")
    with_average = study.protocol.average is not None and len(study.protocol.criteria) > 1
    titles = tuple(title(study, name) for name in data.units)
    columns = (*titles, study.protocol.average) if with_average else titles
    per_criterion = {title(study, name): cube for name, cube in data.cube.items()}
    means = _means(data.rows, per_criterion, study.protocol.average if with_average else None, resamples, seed)
    by_context = {name: per_context(cube) for name, cube in per_criterion.items()}
    if with_average:
        by_context[str(study.protocol.average)] = np.mean(list(by_context.values()), axis=0)
    return Results(
        study=study,
        data=data,
        columns=tuple(map(str, columns)),
        means=means,
        tests={name: _tests(data, values, seed) for name, values in by_context.items()},
        shares=_shares(data, per_criterion) if data.pairs else {},
        agreement=_agreement(study, data),
        raters=summaries(study, returned.ratings, data),
        left_out=tuple(name for name in study.raters if name in without),
        notes=returned.notes,
        signature=f"{study.signature}|study:{study.id}|bs:{resamples}|seed:{seed}",
    )


def title(study: Study, criterion: str) -> str:
    """A criterion's heading: English where it has one."""
    found = next(each for each in study.protocol.criteria if each.name == criterion)
    return found.wording["en" if "en" in found.wording else study.language].title


def _means(
    rows: Sequence[str], per_criterion: Mapping[str, Floats], average: str | None, resamples: int, seed: int
) -> dict[str, dict[str, Mean]]:
    found: dict[str, dict[str, Mean]] = {row: {} for row in rows}
    values: list[list[float]] = []
    resampled: list[Floats] = []
    for name, cube in per_criterion.items():
        values.append(mean(cube))
        enough = resamples and cube.shape[1] > 1
        resampled.append(bootstrap_means(cube, Bootstrap(resamples, seed)) if enough else np.empty((len(rows), 0)))
        for place, row in enumerate(rows):
            count = int((~np.isnan(cube[place])).sum())
            found[row][name] = Mean(values[-1][place], count, interval_of(resampled[-1][place]))
    if average is not None:  # the mean of the criteria's means
        for place, row in enumerate(rows):
            both = np.mean([each[place] for each in resampled], axis=0)
            count = min(found[row][name].ratings for name in per_criterion)
            found[row][average] = Mean(float(np.mean([each[place] for each in values])), count, interval_of(both))
    return found


def _tests(data: Cubes, values: Floats, seed: int) -> list[Test]:
    if not data.pairs:
        return tests(data.rows, values, seed)
    return one_sample([(*pair, differences) for pair, differences in zip(data.pairs, values, strict=True)], seed)


def _shares(data: Cubes, per_criterion: Mapping[str, Floats]) -> dict[str, dict[str, Share]]:
    found: dict[str, dict[str, Share]] = {}
    for name, cube in per_criterion.items():
        for row, values in zip(data.rows, cube, strict=True):
            known = values[~np.isnan(values)]
            first, tie, second = (
                float((known == outcome).mean()) if len(known) else float("nan") for outcome in (1, 0, -1)
            )
            found.setdefault(row, {})[name] = Share(first, tie, second, len(known))
    return found


def _agreement(study: Study, data: Cubes) -> list[Agreement]:
    everybody = study.per_item == len(study.raters)
    each = len(data.raters) if everybody else study.per_item  # raters of a complete item: those who sent anything
    found = [_agree(each, title(study, name), table, data.values[name]) for name, table in data.units.items()]
    if len(data.units) > 1:
        tables = list(data.units.values())
        everything = np.concatenate(tables)
        scale = sorted({value for values in data.values.values() for value in values})
        found.append(_agree(each, POOLED, everything, scale))
    return found


def _agree(raters: int, name: str, table: Floats, values: Sequence[int]) -> Agreement:
    counts = agreement.counts_of(table, values)
    pearson, used = agreement.mean_of(agreement.pairs(table))
    spearman, ranked = agreement.mean_of(agreement.pairs(table, ranks=True))
    return Agreement(
        criterion=name,
        complete=agreement.fleiss_kappa(agreement.complete(counts, raters)),
        unequal=agreement.fleiss_kappa(counts),
        alpha=agreement.krippendorff_alpha(counts, values),
        pearson=pearson,
        spearman=spearman,
        pairs=used,
        pairs_spearman=ranked,
    )
