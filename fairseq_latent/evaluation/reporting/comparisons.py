"""Says in words how systems compare: who has most, what is more than chance, what rises with K."""

from collections.abc import Sequence
from itertools import pairwise

from ..metrics.bootstrap import LEVEL
from ..metrics.registry import SCORES
from ..metrics.system_scores import Row, undersampled
from ..runs.method_names import described, own_criterion
from .systems import MeasuredSystem

FEW = 3  # systems that are spoken of one by one
NOT_METHODS = ("k", "max_tokens", "max_tokens_valid", "batch_size", "batch_size_valid", "update_freq")
HOW_SAMPLES_ARE_RANKED = ("selection_dtype", "selection_words")


def listed(names: Sequence[str]) -> str:
    """Names one after another; some hold a comma."""
    return ("; " if any("," in name for name in names) else ", ").join(names)


def compared(systems: Sequence[MeasuredSystem], metric: str, unit: str, word: str, reference: Row | None) -> str:
    """The order of the systems in one metric, of which more means `word`; how far chance explains it."""
    ordered = sorted(systems, key=lambda system: -system.score(metric))
    form = f".{SCORES[metric].decimals}f"
    values = _range([(system.score(metric), system.name) for system in ordered], f"{form}{unit}")
    known = reference is not None and metric in reference.scores
    people = f"; the references {reference.scores[metric].value:{form}}{unit}" if known else ""
    said = _verdict(*ordered[:2], metric, word) + significance(systems, metric)
    return f"{metric}: {values}{people}. {said}"


def _range(values: Sequence[tuple[float, str]], form: str) -> str:
    """Sorted values with their systems: all of a few, the ends of many."""
    decimals, unit = form[:3], form[3:]
    shown = [f"{name} {value:{decimals}}{unit}" for value, name in values]
    if len(values) <= FEW:
        return listed(shown)
    (first, first_name), (last, last_name) = values[0], values[-1]
    return f"from {first:{decimals}}{unit} ({first_name}) to {last:{decimals}}{unit} ({last_name})"


def _verdict(first: MeasuredSystem, second: MeasuredSystem, metric: str, word: str) -> str:
    """Who has most, unless a test or two decimals say that nobody has."""
    form = f".{SCORES[metric].decimals}f"
    if f"{first.score(metric):{form}}" == f"{second.score(metric):{form}}":
        return f"{first.name} and {second.name} are level."
    said = f"The responses of {first.name} are {word}"
    p = _tested(first, second, metric)
    if p is not None and p >= LEVEL:
        return f"The difference between {first.name} and {second.name} is within the noise (p = {p:.3f})."
    if p is None and _overlap(first, second, metric):
        return f"{said}, but its interval overlaps with that of {second.name}."
    return f"{said} (p = {p:.3f})." if p is not None else f"{said}."


def _tested(one: MeasuredSystem, other: MeasuredSystem, metric: str) -> float | None:
    """The p-value of their difference; None if neither is the baseline, or the metric has too few matches."""
    for system, base in ((one, other), (other, one)):
        if system.row.comparison and system.row.comparison.baseline == base.name:
            return system.row.comparison.p_values.get(metric)
    return None


def _overlap(one: MeasuredSystem, other: MeasuredSystem, metric: str) -> bool:
    intervals = [system.row.scores[metric].interval for system in (one, other)]
    return None not in intervals and intervals[0][0] <= intervals[1][1] and intervals[1][0] <= intervals[0][1]


def significance(systems: Sequence[MeasuredSystem], metric: str) -> str:
    """Of more than two systems, which differ from the baseline by more than chance; of two, where no test was possible."""
    tested = [system for system in systems if system.row.comparison]
    untold = [system.name for system in tested if metric not in system.row.comparison.p_values]
    if not tested or (len(systems) == 2 and not untold):
        return ""
    baseline = tested[0].row.comparison.baseline
    base = next(system for system in systems if system.name == baseline)
    higher, lower = f"Higher than {baseline} (p < {LEVEL})", f"Lower than {baseline} (p < {LEVEL})"
    kinds: dict[str, list[str]] = {higher: [], lower: [], f"Within the noise of {baseline}": []}
    noise = list(kinds)[-1]
    for system in tested:
        p = system.row.comparison.p_values.get(metric)
        if p is not None and p >= LEVEL:
            kinds[noise].append(f"{system.name} (p = {p:.3f})" if len(systems) <= FEW else system.name)
        elif p is not None:
            kinds[higher if system.score(metric) > base.score(metric) else lower].append(system.name)
    kinds["Too few matches to tell"] = untold
    parts = [
        f"{kind}: {'all others' if len(names) == len(tested) > FEW else listed(names)}."
        for kind, names in kinds.items()
        if names
    ]
    return " " + " ".join(parts)


def rising_k(systems: Sequence[MeasuredSystem]) -> list[str]:
    """What goes up or down with K among runs that differ in nothing else that matters."""
    sentences = []
    for group in _alike_but_for_k(systems):
        trends = [trend for metric in ("KLD", "dist-2", "BLEU") if (trend := _trend(group, metric))]
        if trends:
            ks = ", ".join(system.settings.flag("k") for system in group)
            what = described(group[-1].settings).replace(f", K = {group[-1].settings.flag('k')}", "")
            sentences.append(f"{what}, K = {ks}, all else alike: {'; '.join(trends)}.")
    return sentences


def _alike_but_for_k(systems: Sequence[MeasuredSystem]) -> list[list[MeasuredSystem]]:
    """Groups of at least three, a K once each, by K."""
    groups: dict[tuple, dict[int, MeasuredSystem]] = {}
    for system in systems:
        if system.settings and system.settings.flag("k").isdecimal():
            left_out = (*NOT_METHODS, *HOW_SAMPLES_ARE_RANKED)
            flags = {name: value for name, value in system.settings.flags.items() if name not in left_out}
            key = (system.settings.arch, own_criterion(system.settings), *sorted(flags.items()))
            groups.setdefault(key, {}).setdefault(int(system.settings.flag("k")), system)
    return [[group[k] for k in sorted(group)] for group in groups.values() if len(group) >= 3]


def _trend(group: Sequence[MeasuredSystem], metric: str) -> str:
    """Empty where a run lacks the number; the interval counts only where each end has one."""
    if metric == "KLD":
        values = [system.valid.kl if system.valid else None for system in group]
    else:
        values = [system.score(metric) for system in group]
    if None in values:
        return ""
    steps = [later - earlier for earlier, later in pairwise(values)]
    numbers = ", ".join(f"{value:.2f}" for value in values)
    rises, falls = (sum(sign * step > 0 for step in steps) for sign in (1, -1))
    if rises == len(steps):
        said = "rises at every step"
    elif falls == len(steps):
        said = "falls at every step"
    else:
        said = f"rises at {rises} and falls at {falls} of {len(steps)} steps"
    return f"{metric} {said} ({numbers}){_ends(group, metric)}"


def _ends(group: Sequence[MeasuredSystem], metric: str) -> str:
    """Whether chance may explain the whole way from the first to the last, where a test or intervals tell."""
    first, last = group[0], group[-1]
    scores = [system.row.scores[metric] for system in (first, last) if system.row and metric in system.row.scores]
    if len(scores) < 2 or any(map(undersampled, scores)):
        return ""
    p = _tested(first, last, metric)
    if p is not None:
        return f", from first to last within the noise (p = {p:.3f})" if p >= LEVEL else ""
    return ", though the intervals of the first and the last overlap" if _overlap(first, last, metric) else ""


def closeness(systems: Sequence[MeasuredSystem], bounds: Sequence[tuple[str, str, str]]) -> list[str]:
    """The lowest perplexities, or bounds on them: of each (split, field of LatentStatistics, what it is called)."""
    sentences = []
    for split, name, word in bounds:
        measured = [(getattr(system, split), system.name) for system in systems]
        found = [(getattr(of_split, name), system) for of_split, system in measured if of_split]
        ordered = sorted(pair for pair in found if pair[0] is not None)
        if ordered:
            order = ", lowest first" if 1 < len(ordered) <= FEW else ""
            where = {"valid": "validation"}.get(split, split)
            sentences.append(f"{word} on {where}{order}: {_range(ordered, '.1f')}.")
    return sentences
