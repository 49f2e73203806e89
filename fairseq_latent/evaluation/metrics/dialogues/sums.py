"""What a measure is made of, dialogue by dialogue: sums whose ratio is its value.

Responses of one dialogue share its topics and its profiles, so that dialogues are what intervals and paired tests resample.
The sums of a test set are a few kilobytes: they outlive the checkpoint, and any later system can be compared with them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fairseq_latent.errors import InputError
from fairseq_latent.files import written_whole
from fairseq_latent.text.json_values import OTHER_FORM, number, read_json, text
from fairseq_latent.text.line_ngrams import LineNgrams

from ..bootstrap import Bootstrap
from ..p_distance import PDistance
from ..response_metrics import Distinct, InterDistinct, Mean
from ..system_scores import MeanOfSamples, Measurement

PERPLEXITY = "_ppl"  # how measures end whose ratio is in nats, and their value its exponential
TO_OTHERS, OVER_OTHERS = "to others", "P.Distance over others"
DECIMALS = 4  # of a sum
MOST_NATS = 700.0  # of a ratio, beyond which floats end

Pairs = np.ndarray  # (D, 2): numerator and denominator of each dialogue
Numbers = Sequence[float] | np.ndarray  # (N,)


@dataclass(frozen=True)
class DialogueSums:
    """dialogues: D names, sorted. sums: measure -> (D, 2), which add up to its numerator and denominator."""

    dialogues: tuple[str, ...]
    sums: Mapping[str, Pairs]

    def value(self, name: str) -> float:
        """Of all dialogues."""
        return float(values(name, self.sums[name].sum(0, keepdims=True))[0])

    def resampled(self, name: str, bootstrap: Bootstrap) -> np.ndarray:
        """(resamples,) values; the same dialogues are drawn for every system and measure of as many dialogues."""
        (sums,) = bootstrap.sums([self.sums[name]])
        return values(name, sums)

    def joined(self, other: "DialogueSums") -> "DialogueSums":
        """All measures of both, on the dialogues of both; a dialogue that one lacks adds nothing there."""
        names = tuple(sorted({*self.dialogues, *other.dialogues}))
        return DialogueSums(names, {**self.on(names).sums, **other.on(names).sums})

    def on(self, dialogues: Sequence[str]) -> "DialogueSums":
        """The same on a list of dialogues that has all of these."""
        places = [dialogues.index(name) for name in self.dialogues]
        found = {}
        for name, pairs in self.sums.items():
            found[name] = np.zeros((len(dialogues), 2))
            found[name][places] = pairs
        return DialogueSums(tuple(dialogues), found)


def values(name: str, sums: np.ndarray) -> np.ndarray:
    """(R, 2) numerators and denominators -> (R,) values; 0 where there is nothing."""
    ratio = np.divide(sums[:, 0], sums[:, 1], out=np.zeros(len(sums)), where=sums[:, 1] != 0)
    return np.exp(np.minimum(ratio, MOST_NATS)) if name.endswith(PERPLEXITY) else ratio


def by_dialogue(dialogues: Sequence[str], measures: Mapping[str, tuple[Numbers, Numbers]]) -> DialogueSums:
    """The dialogue of each of N examples, and measure -> numerators (N,) and denominators (N,)."""
    names, of = np.unique(np.asarray(dialogues), return_inverse=True)
    sums = {
        name: np.stack([np.bincount(of, np.asarray(side, np.float64), len(names)) for side in sides], axis=1)
        for name, sides in measures.items()
    }
    return DialogueSums(tuple(map(str, names)), sums)


def sums_of(measurements: Sequence[Measurement], dialogues: Sequence[str]) -> DialogueSums:
    """Of one system's measurements those whose values are ratios of sums: means of responses, and distinct n-grams.

    dialogues: of each context. Left out is what is measured on a part of them.
    """
    found = DialogueSums(tuple(sorted(set(dialogues))), {})
    for each in measurements:
        metric, name, samples = each.metric, each.metric.name, each.samples
        if isinstance(metric, MeanOfSamples):
            metric, samples = metric.metric, metric.samples
        if len(each.statistics) != samples * len(dialogues) or isinstance(metric, InterDistinct):
            continue
        of_lines = np.repeat(np.asarray(dialogues), samples)
        if isinstance(metric, Mean):
            columns = np.array(each.statistics, dtype=np.float64).T
            sides: dict[str, tuple[Numbers, Numbers]] = {name: (columns[0], columns[1])}
            if isinstance(metric, PDistance):
                sides[TO_OTHERS] = columns[4], columns[1]
                sides[OVER_OTHERS] = columns[0] - columns[4], columns[1]
            found = found.joined(by_dialogue(of_lines.tolist(), sides))
        elif isinstance(metric, Distinct):
            parts = [each.statistics[sample::samples] for sample in range(samples)]
            pairs = np.sum([_distinct(metric, part, dialogues, found.dialogues) for part in parts], axis=0)
            found = DialogueSums(found.dialogues, {**found.sums, name: pairs})
    return found


def _distinct(metric: Distinct, statistics: LineNgrams, dialogues: Sequence[str], names: Sequence[str]) -> Pairs:
    """Of one response per context."""
    place = {name: number for number, name in enumerate(names)}
    table = metric.grouped(statistics, np.array([place[name] for name in dialogues], np.int64), len(names))
    ngrams = metric.denominator == "ngrams"
    return np.stack([(100 if ngrams else 1) * table[:, 0], table[:, 1 if ngrams else 2]], axis=1)


def as_json(systems: Mapping[str, DialogueSums]) -> str:
    """Of several systems on one test set, a line per measure; sums have DECIMALS decimals."""
    names = tuple(sorted({name for each in systems.values() for name in each.dialogues}))
    parts = []
    for system, found in systems.items():
        lines = [f"    {json.dumps(name)}: {_columns(pairs)}" for name, pairs in found.on(names).sums.items()]
        parts.append(f"  {json.dumps(system, ensure_ascii=False)}: {{\n" + ",\n".join(lines) + "\n  }")
    listed = json.dumps(names, ensure_ascii=False)
    return f'{{"dialogues": {listed},\n"systems": {{\n' + ",\n".join(parts) + "\n}}\n"


def _columns(pairs: Pairs) -> str:
    return json.dumps([[_short(value) for value in column] for column in pairs.T.tolist()], separators=(",", ":"))


def _short(value: float) -> float | int:
    rounded = round(value, DECIMALS)
    return int(rounded) if rounded == int(rounded) else rounded


def write_sums(path: str | Path, systems: Mapping[str, DialogueSums]) -> None:
    """As `read_sums` reads them."""
    with written_whole(path) as file:
        file.write(as_json(systems))


def of_json(found: Any) -> dict[str, DialogueSums]:
    """What `as_json` wrote, as JSON has it; one of OTHER_FORM where it is something else."""
    names = tuple(map(text, found["dialogues"]))
    systems = {}
    for system, measures in found["systems"].items():
        sums = {}
        for name, columns in measures.items():
            numerators, denominators = ([float(number(value)) for value in column] for column in columns)
            sums[name] = np.array([numerators, denominators]).T
            if sums[name].shape != (len(names), 2):
                raise ValueError(f"{name}: not a number per dialogue")
        systems[system] = DialogueSums(names, sums)
    return systems


def read_sums(path: str | Path) -> dict[str, DialogueSums]:
    """System -> its sums, as `fairseq-latent latents|rank|score --by-dialogue FILE` wrote them."""
    try:
        return of_json(read_json(path))
    except OTHER_FORM:
        raise InputError(f"{path}: these are no sums per dialogue; remedy: --by-dialogue {path} again") from None
