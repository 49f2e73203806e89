"""Ratings as arrays: units that were judged by raters, and systems (or pairs) by contexts by raters."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ..protocol import FIRST, SECOND, TIE, Criterion
from ..ratings import Rating
from ..study import Judged, Study
from .agreement import Floats

OUTCOME = {FIRST: 1.0, TIE: 0.0, SECOND: -1.0}  # of a preference: for its first response, as the key has it


@dataclass(frozen=True)
class Cubes:
    """rows: systems; of a preference `pairs` of them. values: of each criterion's scale.

    units: criterion -> (U, R), each response (or pair) once. cube: criterion -> (rows, I, R), a response that two systems
    gave counted for both. NaN where nothing was rated.
    """

    raters: tuple[str, ...]
    rows: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    values: dict[str, tuple[int, ...]]
    units: dict[str, Floats]
    cube: dict[str, Floats]


def cubes(study: Study, ratings: Sequence[Rating], without: Collection[str] = ()) -> Cubes:
    """Of the first ratings: repeated items and attention checks are left out, and so are the raters of `without`."""
    raters = tuple(name for name in study.raters if name not in without)
    column = {name: place for place, name in enumerate(raters)}
    place_of = {each.id: place for place, each in enumerate(study.judged)}
    values, units = {}, {}
    for criterion in study.protocol.criteria:
        table = np.full((len(study.judged), len(raters)), np.nan)
        for rating in ratings:
            task = rating.task
            if rating.rater in column and task.of is not None and not task.repeat and criterion.name in rating.scores:
                table[place_of[task.of], column[rating.rater]] = value_of(study, rating, criterion)
        units[criterion.name] = table
        values[criterion.name] = (-1, 0, 1) if study.protocol.pairwise else criterion.values
    pairs = tuple(combinations(study.systems, 2)) if study.protocol.pairwise else ()
    rows = tuple(f"{one} : {two}" for one, two in pairs) if pairs else study.systems
    cube = {name: _cube(study, table, pairs, raters) for name, table in units.items()}
    return Cubes(raters, rows, pairs, values, units, cube)


def value_of(study: Study, rating: Rating, criterion: Criterion) -> float:
    """The score; of a preference 1, 0 or -1 for the first response of the key, whichever side it was shown on."""
    score = rating.scores[criterion.name]
    if not study.protocol.pairwise:
        return float(score)
    return -OUTCOME[score] if rating.task.swapped else OUTCOME[score]


def _cube(study: Study, table: Floats, pairs: Sequence[tuple[str, str]], raters: Sequence[str]) -> Floats:
    rows = len(pairs) or len(study.systems)
    found = np.full((rows, len(study.contexts), len(raters)), np.nan)
    if not pairs:
        row = {name: place for place, name in enumerate(study.systems)}
        for judged, scores in zip(study.judged, table, strict=True):
            for name in judged.systems[0]:
                found[row[name], judged.context] = scores
        return found
    row_of = {pair: place for place, pair in enumerate(pairs)}
    for judged, scores in zip(study.judged, table, strict=True):
        for pair, sign in _compared(judged, row_of):
            found[row_of[pair], judged.context] = sign * scores
    for context, one, two in study.equal:  # nobody can prefer one of two equal responses
        pair = (one, two) if (one, two) in row_of else (two, one)
        for place, rater in enumerate(raters):
            if context in study.assigned[rater]:
                found[row_of[pair], context, place] = 0.0
    return found


def _compared(judged: Judged, known: Collection[tuple[str, str]]) -> list[tuple[tuple[str, str], float]]:
    """The pairs of systems that a pair of responses compares, and the sign that puts the pair's first system first."""
    found = []
    for one in judged.systems[0]:
        for two in judged.systems[1]:
            found.append(((one, two), 1.0) if (one, two) in known else ((two, one), -1.0))
    return found
