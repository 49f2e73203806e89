"""What tables of compared systems show, in plain sentences: who predicts, who listens, who knows the partner."""

from collections.abc import Sequence
from itertools import combinations

from ...metrics.dialogues.sums import OVER_OTHERS
from ...metrics.registry import METRICS
from ...tables import Estimate, decimal
from ..comparisons import listed
from ..published_results import CONVAI2
from .comparison import Compared

PAPER = ("PPL", "Distinct-1", "Distinct-2", "P.Distance")  # columns of CONVAI2
OURS = ("prior_word_ppl", "Distinct-1", "Distinct-2", "P.Distance")  # per word: systems may differ in their tokens


def in_words(rows: Sequence[Compared], references: Compared, baseline: str, paper: bool) -> list[str]:
    """A sentence or two per question; none about what was not measured."""
    said = [_perplexity(rows, baseline), _listening(rows), _partner(rows, references), _profile(rows)]
    said += [_fader(row) for row in rows]
    if paper:
        said += [_order(rows, *names) for names in zip(PAPER, OURS, range(len(PAPER)), strict=True)]
    return [each for each in said if each]


def _shown(estimate: Estimate, decimals: int) -> str:
    """A value and its margin."""
    if estimate.interval is None:
        return decimal(estimate.value, decimals)
    low, high = estimate.interval
    return f"{decimal(estimate.value, decimals)} ±{(high - low) / 2:.{decimals}f}"


def _known(rows: Sequence[Compared], measure: str) -> list[tuple[str, Estimate]]:
    return [(row.name, row.estimates[measure]) for row in rows if measure in row.estimates]


def _perplexity(rows: Sequence[Compared], baseline: str) -> str:
    found = sorted(_known(rows, "prior_word_ppl"), key=lambda each: each[1].value)
    if len(found) < 2:
        return ""
    values = listed([f"{name} {_shown(estimate, 1)}" for name, estimate in found])
    tested = [row for row in rows if "prior_word_ppl" in row.p_values]
    alike = [row.name for row in tested if not row.estimates["prior_word_ppl"].significant]
    verdict = f" Not to be told from {baseline}: {listed(alike)}." if alike else ""
    if tested and not alike:
        verdict = f" All differ from {baseline}."
    return f"Prior perplexity per word, from the lowest: {values}.{verdict}"


def _listening(rows: Sequence[Compared]) -> str:
    found = _known(rows, "context_worth")
    if not found:
        return ""
    values = listed([f"{name} {_shown(estimate, 2)}" for name, estimate in found])
    deaf = [name for name, estimate in found if estimate.interval is not None and estimate.interval[0] <= 0]
    verdict = f"; it is not above 0 beyond chance: {listed(deaf)}" if deaf else "; all read it"
    return f"What the own context saves over a stranger's, nats per response: {values}{verdict}."


def _partner(rows: Sequence[Compared], references: Compared) -> str:
    """Whether responses are nearer to the partner's profile than to anybody's."""
    found = _known(rows, OVER_OTHERS)
    if not found:
        return ""
    people = references.estimates.get(OVER_OTHERS)
    beside = f" (people: {_shown(people, 3)})" if people is not None else ""
    near = [f"{name} {_shown(each, 3)}" for name, each in found if each.interval is not None and each.interval[0] > 0]
    if not near:
        return f"No system's responses are nearer to their partner's profile than to other people's{beside}."
    values = listed(near)
    return f"Nearer to their partner's profile than to other people's{beside}: {values}; no other system's responses."


def _profile(rows: Sequence[Compared]) -> str:
    found = _known(rows, "worth")
    if not found:
        return ""
    values = listed([f"{name} {_shown(estimate, 3)}" for name, estimate in found])
    return f"What Zp of the right profile saves over Zp of a stranger's, nats per response: {values}."


def _fader(row: Compared) -> str:
    """From its lowest to its highest value."""
    sweep = row.records[0].sweep if row.records else None
    if sweep is None or len(sweep.faders) < 2:
        return ""
    ends = sweep.faders[0], sweep.faders[-1]
    moves = {name: [sweep.mean(fader, name) for fader in ends] for name in ("p_distance", "to_others", "length")}
    near, far, long = (
        f"{one:.{places}f} to {other:.{places}f}"
        for (one, other), places in zip(moves.values(), (3, 3, 1), strict=True)
    )
    return (
        f"{row.name}, the fader from {ends[0]:g} to {ends[1]:g}: P.Distance {near}, to other people's profiles {far}, words "
        f"per response {long}."
    )


def _order(rows: Sequence[Compared], theirs: str, ours: str, column: int) -> str:
    """Of each two of the paper's systems, whether they stand as there."""
    known = {row.name: row.estimates[ours].value for row in rows if row.name in CONVAI2 and ours in row.estimates}
    pairs = list(combinations(known, 2))
    if not pairs:
        return ""
    alike = sum((CONVAI2[a][column] - CONVAI2[b][column]) * (known[a] - known[b]) > 0 for a, b in pairs)
    header = METRICS[ours].header
    return f"By {header} {alike} of {len(pairs)} pairs of the paper's systems stand in the order of its {theirs}."
