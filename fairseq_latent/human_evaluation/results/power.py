"""How many items and raters a study needs: the power of its paired test, by simulation.

Two systems' ratings come from one latent model: a response's quality is normal, a rater sees it with normal noise, so that
two raters correlate by rho, and thresholds cut what is seen into the scale's values with the wanted frequencies. Those of
the second system are the first's, tilted exponentially to a mean that is `difference` higher. From a pilot come the
frequencies, rho, and how far two systems' qualities go together; without one, the paper's mean and agreement, the flattest
frequencies of that mean, and qualities that do not go together, which asks for more items.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm, wilcoxon

from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.metrics.bootstrap import LEVEL
from fairseq_latent.evaluation.tables import Column, Value, render
from fairseq_latent.memory import require_memory

from ..protocol import Protocol, read_protocol
from ..published import PAPERS, REFERENCE
from ..ratings import files_of, read_ratings
from ..study import KEY, read_key
from .agreement import Floats, correlation, mean_of, pairs
from .comparison import per_context
from .cubes import cubes

ITEMS = (25, 50, 100, 200, 400)
RATERS = (1, 2, 3, 6, 10)
HIGHEST_RHO = 0.95


@dataclass(frozen=True)
class Model:
    """Of one criterion. frequencies: (q,) of the baseline. rho: of two raters. shared: of two systems' qualities."""

    criterion: str
    values: tuple[int, ...]
    frequencies: tuple[float, ...]
    rho: float
    shared: float
    source: str

    @property
    def mean(self) -> float:
        """The baseline's."""
        return float(np.dot(self.values, self.frequencies))


@dataclass(frozen=True)
class Power:
    """Share of simulated studies whose test finds the difference, by raters per item, for each number of items."""

    criterion: str
    source: str
    baseline: float
    difference: float
    level: float
    items: tuple[int, ...]
    power: dict[int, tuple[float, ...]]
    needed: dict[int, int | None]  # items for the wanted power; None: more than the most simulated


def plan(args: argparse.Namespace) -> str:
    """The table that `sheets --plan` prints."""
    models = _of_pilot(Path(args.pilot)) if args.pilot else _of_paper(read_protocol(args.protocol))
    level = LEVEL / args.comparisons
    raters = sorted({*RATERS, min(args.raters, 20)})
    found = [power(model, args.difference, level, raters, args.power, args.simulations, args.seed) for model in models]
    if args.format == "json":
        return json.dumps([asdict(each) for each in found], ensure_ascii=False, indent=2)
    columns = [Column("criterion"), Column("raters per item", 0), *(Column(f"{items} items", 2) for items in ITEMS)]
    columns.append(Column(f"items for {100 * args.power:.0f} %"))
    rows: list[list[Value]] = []
    for each in found:
        for count, values in each.power.items():
            needed = each.needed[count]
            rows.append([each.criterion, float(count), *values, f"> {ITEMS[-1]}" if needed is None else str(needed)])
    comment = "% " if args.format == "latex" else ""
    notes = [
        f"{comment}{each.criterion}: {each.baseline:.2f} against {each.baseline + each.difference:.2f}; {each.source}"
        for each in found
    ]
    signature = (
        f"{comment}Wilcoxon, two-sided, p < {level:.4g}|simulations:{args.simulations}|seed:{args.seed}: power of "
        "the test over that many contexts"
    )
    return "\n".join([render(columns, rows, args.format), "", *notes, signature])


def power(
    model: Model, difference: float, level: float, raters: Sequence[int], wanted: float, simulations: int, seed: int
) -> Power:
    """Simulate; InputError where the scale has no room for the difference."""
    most = max(model.values)
    if not model.mean + difference < most:
        raise InputError(
            f"--difference {difference}: {model.criterion} is {model.mean:.2f} at the baseline and {most} at most; remedy: "
            f"one below {most - model.mean:.2f}"
        )
    require_memory(simulations * ITEMS[-1] * max(raters) * 32, f"--simulations {simulations}", "1000")
    better = tilted(model.values, model.frequencies, model.mean + difference)
    generator = np.random.default_rng([seed, 3])
    found = {count: _powers(model, better, count, level, simulations, generator) for count in raters}
    needed = {count: _needed(values, wanted) for count, values in found.items()}
    return Power(model.criterion, model.source, model.mean, difference, level, ITEMS, found, needed)


def tilted(values: Sequence[int], frequencies: Sequence[float], mean: float) -> Floats:
    """(q,) frequencies times exp(t value), normalised, with the t that gives the mean."""
    scale, start = np.asarray(values, dtype=np.float64), np.log(np.maximum(np.asarray(frequencies), 1e-6))

    def of(t: float) -> Floats:
        logits = start + t * scale
        weights = np.exp(logits - logits.max())
        return np.asarray(weights / weights.sum(), dtype=np.float64)

    return of(brentq(lambda t: float(of(t) @ scale) - mean, -60, 60))


def _powers(
    model: Model, better: Floats, raters: int, level: float, simulations: int, generator: np.random.Generator
) -> tuple[float, ...]:
    shape = simulations, ITEMS[-1]
    common = generator.standard_normal(shape)
    means = []
    for frequencies in (np.asarray(model.frequencies), better):
        own = generator.standard_normal(shape)
        quality = np.sqrt(model.shared) * common + np.sqrt(1 - model.shared) * own
        total = np.zeros(shape)
        cuts = norm.ppf(np.clip(np.cumsum(frequencies)[:-1], 0, 1))
        for _ in range(raters):
            seen = np.sqrt(model.rho) * quality + np.sqrt(1 - model.rho) * generator.standard_normal(shape)
            total += np.asarray(model.values)[np.searchsorted(cuts, seen)]
        means.append(total / raters)
    differences = np.round(means[1] - means[0], 9)
    found = []
    for items in ITEMS:
        part = differences[:, :items]
        part = part[np.any(part != 0, axis=1)]
        p_values = wilcoxon(part, axis=1, zero_method="pratt", method="approx").pvalue if len(part) else np.empty(0)
        found.append(float(np.sum(p_values < level) / simulations))
    return tuple(found)


def _needed(powers: Sequence[float], wanted: float) -> int | None:
    """Items, between two simulated numbers by a straight line."""
    before_items, before = 0, 0.0
    for items, value in zip(ITEMS, powers, strict=True):
        if value >= wanted:
            share = (wanted - before) / (value - before) if value > before else 1.0
            return int(np.ceil(before_items + share * (items - before_items)))
        before_items, before = items, value
    return None


def _of_paper(protocol: Protocol) -> list[Model]:
    paper = PAPERS.get(protocol.name)
    if paper is None:
        raise InputError(f"--plan: no paper has means of protocol {protocol.name}; remedy: --pilot DIR with ratings")
    systems = {name: values for name, values in paper.values.items() if name != REFERENCE}
    models = []
    for place, criterion in enumerate(protocol.criteria):
        mean = float(np.median([values[place] for values in systems.values()]))
        flat = [1 / len(criterion.values)] * len(criterion.values)
        frequencies = tuple(tilted(criterion.values, flat, mean).tolist())
        source = f"{paper.paper}: the median system's mean, correlation of raters {paper.correlation}"
        models.append(Model(paper.criteria[place], criterion.values, frequencies, paper.correlation, 0.0, source))
    return models


def _of_pilot(folder: Path) -> list[Model]:
    """The first system's frequencies; rho and what qualities share are means over systems."""
    study = read_key(folder / KEY)
    if study.protocol.pairwise:
        raise InputError(f"{folder}: a pilot of preferences; remedy: one of ratings")
    data = cubes(study, read_ratings(study, files_of(folder)).ratings)
    models = []
    for name, cube in data.cube.items():
        given = cube[0][~np.isnan(cube[0])]
        rho, used = mean_of([pair for table in cube for pair in pairs(table)])
        if not len(given) or rho is None:
            raise InputError(
                f"{folder}: too few ratings of {name} for a plan; remedy: two raters or more judge the same contexts"
            )
        values = data.values[name]
        frequencies = np.array([(given == value).mean() for value in values])
        means = per_context(cube)
        together = [_together(means[one], means[two]) for one, two in combinations(range(len(means)), 2)]
        shared = float(np.clip(np.mean([each for each in together if each is not None] or [0.0]), 0, HIGHEST_RHO))
        rho = float(np.clip(rho, 0.0, HIGHEST_RHO))
        source = f"pilot {folder.name}: {len(given)} ratings, {used} pairs, correlation of raters {rho:.2f}, "
        source += f"systems {shared:.2f}"
        models.append(Model(name, values, tuple(frequencies.tolist()), rho, shared, source))
    return models


def _together(one: Floats, two: Floats) -> float | None:
    both = ~np.isnan(one) & ~np.isnan(two)
    return correlation(one[both], two[both])
