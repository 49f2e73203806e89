"""A report's tables, and in plain words what their columns mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from . import published
from .findings import MeasuredSystem
from .measured import COLUMNS, Row
from .methods import beside_the_paper, described
from .settings import differences
from .significance import LEVEL
from .tables import MISSING, SIGNIFICANT, Column, Estimate, Value

UNKNOWN = "not known without a checkpoint"
UNREPORTED = "no row of the paper"


@dataclass(frozen=True)
class Table:
    """Columns and rows of values, what the table shows, and which columns hold a paper's numbers."""

    label: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]
    reported: frozenset[str] = frozenset()  # headers


@dataclass(frozen=True)
class Shown:
    """A column of the results: where its number comes from, and what it means in plain words."""

    column: Column
    meaning: str
    score: str | None = None  # name of a metric of `score`, on the test set
    statistic: str | None = None  # name of a LatentStatistics field, on validation

    def value(self, row: Row | None, system: MeasuredSystem | None) -> Value:
        """The number of one row; the references have no latent."""
        if self.statistic is not None:
            return getattr(system.valid, self.statistic) if system and system.valid else None
        return estimate(row, self.score)


def _metric(name: str, meaning: str) -> Shown:
    return Shown(Column(name, COLUMNS[name]), meaning, score=name)


def _latent(header: str, decimals: int, statistic: str, meaning: str) -> Shown:
    return Shown(Column(header, decimals), meaning, statistic=statistic)


def estimate(row: Row | None, metric: str) -> Estimate | None:
    """A score with its interval and whether it differs from the baseline's."""
    if row is None or metric not in row.scores:
        return None
    p_values = row.comparison.p_values if row.comparison else {}
    return Estimate(row.scores[metric].value, row.scores[metric].interval, p_values.get(metric, 1.0) < LEVEL)


VARIETY = (
    "test; percent: different words, and different pairs of neighbouring words, among all that were written. Higher is more "
    "varied; no goal by itself, as random words score best. Compare on the same test set only."
)
SHOWN = (
    _metric("BLEU", "test; 0 to 100: how many word sequences a response shares with the one reference. Higher is closer to "
            "it. Many answers are good in a conversation, so values around 1 are usual."),
    _metric("dist-1", VARIETY),
    _metric("dist-2", VARIETY),
    _latent("KLD", 2, "kl", "validation; nats a response: how far the posterior, which has seen the response, lies from the "
            "prior, which has not. 0 means collapse: the latent is not used. Neither end is good: decoding uses the prior, "
            "and far from the posterior the decoder is on ground that it does not know."),
    _latent("rec PPL", 1, "rec_ppl", "validation; perplexity a token with a latent of the posterior, which has seen the "
            "response. Lower is better, but it is reconstruction, not prediction."),
    _latent("elbo PPL", 1, "elbo_ppl", "validation; the same with the KLD paid for: an upper bound of the model's "
            "perplexity. Lower is better."),
    _latent("iw PPL", 1, "iw_ppl", "validation; the same from several latents a response, weighted by their importance: a "
            "tighter bound, nearer to the model's perplexity. Lower is better."),
    _latent("AU", 0, "au", "validation; active units: latent dimensions whose posterior mean changes with the response "
            "(variance above 0.01). 0 means collapse."),
    _latent("MI", 2, "mi", "validation; nats: how much the latent tells about which pair of context and response it belongs "
            "to, estimated. It may exceed KLD, which counts only what the context does not tell. 0 means nothing; the toss "
            "of a coin is 0.69."),
    _metric("length", "test; words a response. Compare with the reference's."),
)  # fmt: skip
OPTIONAL = "iw_ppl"  # a statistic that takes long, and stands in the table where some run has it


def shown_columns(systems: Sequence[MeasuredSystem]) -> list[Shown]:
    """Those of the results."""
    there = any(system.valid and getattr(system.valid, OPTIONAL) is not None for system in systems)
    return [shown for shown in SHOWN if shown.statistic != OPTIONAL or there]


def meanings(systems: Sequence[MeasuredSystem]) -> list[tuple[str, str]]:
    """(columns, what they mean)."""
    return [
        (", ".join(shown.column.header for shown in alike), meaning)
        for meaning, alike in groupby(shown_columns(systems), lambda shown: shown.meaning)
    ]


def results(reference: Row | None, systems: Sequence[MeasuredSystem]) -> Table:
    """Table 1 of Sato et al. (2021), with what validation says of the latent."""
    columns = shown_columns(systems)
    rows = [[system.name, *(shown.value(system.row, system) for shown in columns)] for system in systems]
    if reference:
        rows.insert(0, [reference.name, *(shown.value(reference, None) for shown in columns)])
    return Table("Results", [Column("system"), *(shown.column for shown in columns)], rows)


def marks(systems: Sequence[MeasuredSystem]) -> list[str]:
    """What ± and the star of the results mean, where they stand."""
    notes = []
    if any(score.interval for system in systems if system.row for score in system.row.scores.values()):
        notes.append("±: half of the 95 % bootstrap interval over test contexts")
    baselines = {system.row.comparison.baseline for system in systems if system.row and system.row.comparison}
    notes += [
        f"{SIGNIFICANT}: differs from {baseline} (p < {LEVEL}, paired bootstrap, two-sided, each number for itself: not "
        "corrected for how many there are)"
        for baseline in baselines
    ]
    return notes


def beside_paper(reference: Row | None, systems: Sequence[MeasuredSystem], language: str) -> Table:
    """Each run's numbers, and those that the paper reports for what the run is."""
    reported = published.TABLES[published.BESIDE[language]]
    columns = [Column("system")]
    for name, decimals in published.METRICS.items():
        columns += [Column(name, decimals), Column(f"{name} reported", decimals)]
    columns.append(Column("what it is"))  # last: on a phone the numbers are nearer to the names
    rows = []
    if reference:
        ours = [reference.scores.get(name) for name in published.METRICS]
        values = [score and score.value for score in ours]
        rows.append(_paired(reference.name, "people", values, reported[published.REFERENCE]))
    for system in systems:
        ours = [system.score(name) for name in published.METRICS]
        ours[list(published.METRICS).index("KLD")] = system.valid and system.valid.kl
        known = described(system.settings) if system.settings else None
        rows.append(_paired(system.name, _identity(system, known, reported), ours, reported.get(known)))
    headers = frozenset(column.header for column in columns if column.header.endswith("reported"))
    return Table("Beside the paper's numbers", columns, rows, headers)


def _identity(system: MeasuredSystem, known: str | None, reported: dict[str, published.Numbers]) -> str:
    if known is None:
        return UNKNOWN
    if known not in reported:
        return f"{known}: {UNREPORTED}"
    differs = beside_the_paper(system.settings)
    return f"{known} ({'; '.join(differs)})" if differs else known


def _paired(
    name: str, identity: str, ours: Sequence[float | None], theirs: published.Numbers | None
) -> list[float | str | None]:
    pairs = zip(ours, theirs or (None,) * len(ours), strict=True)
    return [name, *(value for pair in pairs for value in pair), identity]


def papers_tables() -> list[Table]:
    """All that the paper reports of these."""
    return [
        Table(
            f"{published.PAPER}, {label}",
            published.COLUMNS,
            [[name, *numbers] for name, numbers in rows.items()],
            frozenset(published.METRICS),
        )
        for label, rows in published.TABLES.items()
    ]


def budget(systems: Sequence[MeasuredSystem]) -> Table:
    """What each training cost, and which checkpoint was measured."""
    headers = ["system", "arch", "criterion", "parameters", "updates", "measured at", "time"]
    return Table("Budget of each training", [Column(header) for header in headers], [_cost(each) for each in systems])


def _cost(system: MeasuredSystem) -> list[str | None]:
    settings, log = system.settings, system.log
    # a resumed training's log may count from its last start, the checkpoint up to the best update
    seconds = max(filter(None, (log and log.seconds, settings and settings.seconds)), default=None)
    wanted = settings and settings.number("max_update")
    updates = f"{log.updates:,}" if log else None
    if log and wanted and log.updates < wanted:
        updates += f" of {wanted:,.0f}"
    return [
        system.name,
        settings and settings.arch,
        settings and settings.criterion,
        settings and f"{settings.parameters:,}",
        updates,
        settings and f"update {settings.updates:,}",
        _duration(seconds) if seconds else None,
    ]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def flags_that_differ(systems: Sequence[MeasuredSystem]) -> Table:
    """The trainings' flags that are not the same in all of them, a row a system."""
    known = [system for system in systems if system.settings]
    found = differences([system.settings for system in known])
    values = {system.name: [row[place] for _, row in found] for place, system in enumerate(known)}
    rows = [[system.name, *values.get(system.name, [MISSING] * len(found))] for system in systems]
    return Table("Flags that differ", [Column("system"), *(Column(flag) for flag, _ in found)], rows if found else [])
