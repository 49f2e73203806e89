"""How far automatic metrics say what raters say: Spearman's and Kendall's correlation, per item and per system."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.metrics.bootstrap import Bootstrap
from fairseq_latent.evaluation.metrics.response_metrics import F1, Length
from fairseq_latent.text.json_values import OTHER_FORM, number, read_json
from fairseq_latent.text.word_tokenizers import tokenizer

from .agreement import Floats, correlation
from .analysis import Results, title
from .comparison import interval_of, per_context

FEWEST_SYSTEMS = 3
ITEMS, SYSTEMS = "items", "systems"


@dataclass(frozen=True)
class MetricCorrelation:
    """over: items (responses) or systems, `count` of them. Intervals: 95 %, contexts resampled; None where undefined."""

    metric: str
    criterion: str
    over: str
    count: int
    spearman: float | None
    kendall: float | None
    spearman_interval: tuple[float, float] | None
    kendall_interval: tuple[float, float] | None


@dataclass(frozen=True)
class Scores:
    """of_systems: metric -> system -> value. of_items: metric -> (system, context id) -> value."""

    of_systems: dict[str, dict[str, float]]
    of_items: dict[str, dict[tuple[str, str], float]]


def read_scores(path: str | Path, systems: Sequence[str]) -> Scores:
    """What `score --format json` wrote. A key "items" may add values of single responses, which `score` does not write:
    [{"system": ..., "id": context id, "scores": {metric: value}}, ...]."""
    try:
        found = read_json(path)
        rows, items = found.get("rows", []), found.get("items", [])
        of_systems: dict[str, dict[str, float]] = {}
        for row in rows:
            for name, score in row["scores"].items():
                of_systems.setdefault(str(name), {})[str(row["name"])] = float(number(score["value"]))
        of_items: dict[str, dict[tuple[str, str], float]] = {}
        for item in items:
            for name, value in item["scores"].items():
                of_items.setdefault(str(name), {})[str(item["system"]), str(item["id"])] = float(number(value))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: invalid UTF-8 at byte {error.start}; remedy: score --format json --out {path}"
        ) from None
    except OTHER_FORM:
        raise InputError(
            f"{path}: not what `score --format json` writes; remedy: score … --format json --out {path}"
        ) from None
    known = {name for values in of_systems.values() for name in values}
    known |= {name for values in of_items.values() for name, _ in values}
    if not known & set(systems):
        raise InputError(
            f"{path}: none of the study's systems ({', '.join(systems)[:200]}) is scored; remedy: score NAME=FILE with the "
            "same names"
        )
    return Scores(of_systems, of_items)


def correlations(
    results: Results, scores: Scores, resamples: int, seed: int, language: str | None = None
) -> list[MetricCorrelation]:
    """Each metric with each criterion: per item for what single responses can be scored by, per system for all.

    language: of the responses' words (default: the study's).
    """
    if results.data.pairs:
        raise InputError(
            "--scores correlates metrics with ratings, and these are preferences; remedy: another protocol"
        )
    means = {title(results.study, name): per_context(cube) for name, cube in results.data.cube.items()}
    average = results.study.protocol.average
    if average in results.columns:
        means[str(average)] = np.mean(list(means.values()), axis=0)
    bootstrap = Bootstrap(resamples, seed)
    contexts = len(results.study.contexts)
    weights = bootstrap.all_weights(contexts) if contexts > 1 else np.empty((0, contexts))
    found = []
    for metric, values in _item_values(results, scores, language or results.study.language).items():
        found += [_over_items(metric, name, values, rated, weights) for name, rated in means.items()]
    for metric, of in scores.of_systems.items():
        places = [place for place, name in enumerate(results.data.rows) if name in of]
        if len(places) >= FEWEST_SYSTEMS:
            fixed = np.array([of[results.data.rows[place]] for place in places])
            found += [_over_systems(metric, name, fixed, rated[places], weights) for name, rated in means.items()]
    return found


def _item_values(results: Results, scores: Scores, language: str) -> dict[str, Floats]:
    """metric -> (S, I): what the file has, and what the study's own texts give."""
    study = results.study
    shape = len(results.data.rows), len(study.contexts)
    row = {name: place for place, name in enumerate(results.data.rows)}
    found: dict[str, Floats] = {}
    for metric, values in scores.of_items.items():
        table = np.full(shape, np.nan)
        for place, context in enumerate(study.contexts):
            for name in row:
                table[row[name], place] = values.get((name, context.id), np.nan)
        found[metric] = table
    own = _of_texts(results, language, row, shape)
    return found | {name: table for name, table in own.items() if name not in found and not np.isnan(table).all()}


def _of_texts(results: Results, language: str, row: Mapping[str, int], shape: tuple[int, int]) -> dict[str, Floats]:
    """length, and against the context's reference, if it has one, F1 and BLEU of single sentences (smoothed)."""
    from sacrebleu.metrics import BLEU

    words = tokenizer(language)
    length, f1, bleu = Length(words.signature), F1(), BLEU(tokenize="none", effective_order=True)
    found = {name: np.full(shape, np.nan) for name in ("length", "F1", "sentence BLEU")}
    for judged in results.study.judged:
        (text,) = words(judged.responses)
        reference = results.study.contexts[judged.context].reference
        values = {"length": length.score(length.statistics([text])).value}
        if reference is not None and judged.responses[0] != reference:  # the reference itself is no prediction
            (wanted,) = words([reference])
            # ParlAI's F1 has its own normalisation of raw English; Japanese needs words first
            pair = (text, wanted) if language == "ja" else (judged.responses[0], reference)
            values["F1"] = f1.score(f1.statistics([pair[0]], [pair[1]])).value
            values["sentence BLEU"] = bleu.sentence_score(text, [wanted]).score
        for name, value in values.items():
            for system in judged.systems[0]:
                found[name][row[system], judged.context] = value
    return found


def _over_items(metric: str, criterion: str, values: Floats, rated: Floats, weights: Floats) -> MetricCorrelation:
    both = ~np.isnan(values) & ~np.isnan(rated)
    x, y = values[both], rated[both]
    context = np.broadcast_to(np.arange(values.shape[1]), values.shape)[both]
    spearman, kendall = correlation(x, y, ranks=True), kendall_of(x, y)
    intervals: list[tuple[float, float] | None] = [None, None]
    if spearman is not None and len(weights):
        repeats = weights[:, context]  # (B, n): how often each item is in a resample
        intervals = [interval_of(_spearmans(x, y, repeats)), interval_of(_kendalls(x, y, repeats))]
    return MetricCorrelation(metric, criterion, ITEMS, len(x), spearman, kendall, intervals[0], intervals[1])


def _over_systems(metric: str, criterion: str, fixed: Floats, rated: Floats, weights: Floats) -> MetricCorrelation:
    """fixed: (S,) scores; rated: (S, I) means, whose contexts are resampled."""
    known = ~np.isnan(rated)
    means = np.where(known, rated, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    sums, counts = weights @ np.where(known, rated, 0).T, weights @ known.T.astype(np.float64)  # (B, S)
    resampled = sums / np.maximum(counts, 1)
    spearmans, kendalls = (
        _of_rows(np.broadcast_to(fixed, resampled.shape), resampled, signs) for signs in (False, True)
    )
    ends = [interval_of(each) if len(each) else None for each in (spearmans, kendalls)]
    whole = correlation(fixed, means, ranks=True), kendall_of(fixed, means)
    return MetricCorrelation(metric, criterion, SYSTEMS, len(fixed), *whole, ends[0], ends[1])


def kendall_of(x: Floats, y: Floats) -> float | None:
    """Kendall's tau-b; None where one side does not vary."""
    found = _kendalls(x, y, np.ones((1, len(x)))) if len(x) > 1 else np.array([np.nan])
    return None if np.isnan(found[0]) else float(found[0])


def _kendalls(x: Floats, y: Floats, weights: Floats) -> Floats:
    """(n,), (n,), (B, n) -> (B,): tau-b of items that stand as often as the weights say; copies are ties."""
    one, two = (np.sign(each[:, None] - each[None, :]) for each in (x, y))
    both, left, right = (((weights @ table) * weights).sum(axis=1) for table in (one * two, one * one, two * two))
    below = np.sqrt(left * right)
    return np.divide(both, below, out=np.full(len(weights), np.nan), where=below > 0)


def _spearmans(x: Floats, y: Floats, weights: Floats) -> Floats:
    """(n,), (n,), (B, n) -> (B,): correlation of mid-ranks, of items that stand as often as the weights say."""
    one, two = (_ranks(each, weights) for each in (x, y))
    total = weights.sum(axis=1, keepdims=True)
    centred = [ranks - (weights * ranks).sum(axis=1, keepdims=True) / np.maximum(total, 1) for ranks in (one, two)]
    both = (weights * centred[0] * centred[1]).sum(axis=1)
    below = np.sqrt((weights * centred[0] ** 2).sum(axis=1) * (weights * centred[1] ** 2).sum(axis=1))
    return np.divide(both, below, out=np.full(len(weights), np.nan), where=below > 0)


def _ranks(values: Floats, weights: Floats) -> Floats:
    """(n,), (B, n) -> (B, n): the mid-rank of each item among the copies."""
    groups = (rankdata(values, method="dense") - 1).astype(int)
    member = np.eye(groups.max() + 1)[groups]  # (n, groups)
    sizes = weights @ member
    middle = np.cumsum(sizes, axis=1) - (sizes - 1) / 2
    return middle[:, groups]


def _of_rows(x: Floats, y: Floats, signs: bool) -> Floats:
    """(B, n) twice -> (B,): Kendall's tau-b of each row (Spearman's correlation without `signs`)."""
    if signs:
        one, two = (np.sign(each[:, :, None] - each[:, None, :]).reshape(len(each), -1) for each in (x, y))
    else:
        one, two = (rankdata(each, axis=1) - (x.shape[1] + 1) / 2 for each in (x, y))
    below = np.sqrt((one**2).sum(axis=1) * (two**2).sum(axis=1))
    return np.divide((one * two).sum(axis=1), below, out=np.full(len(x), np.nan), where=below > 0)
