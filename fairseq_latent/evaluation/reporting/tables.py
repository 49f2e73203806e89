"""A report's tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from ..metrics.bootstrap import LEVEL
from ..metrics.system_scores import Row
from ..runs.method_names import beside_the_paper, described
from ..runs.training_config import differences
from ..tables import MISSING, SIGNIFICANT, Column, Value
from .kinds import Kind, Shown, shown_columns
from .published_results import Numbers, Published
from .systems import MeasuredSystem

UNKNOWN = "not known without a checkpoint"
UNREPORTED = "no row of the paper"


@dataclass(frozen=True)
class Table:
    """Columns and rows of values, what the table shows, and which columns hold a paper's numbers."""

    label: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]
    reported: frozenset[str] = frozenset()  # headers


def meanings(columns: Sequence[Shown], systems: Sequence[MeasuredSystem]) -> list[tuple[str, str]]:
    """(columns, what they mean)."""
    return [
        (", ".join(shown.column.header for shown in alike), meaning)
        for meaning, alike in groupby(shown_columns(columns, systems), lambda shown: shown.meaning)
    ]


def results(columns: Sequence[Shown], reference: Row | None, systems: Sequence[MeasuredSystem]) -> Table:
    """What the systems say on the test set, and what is known of their latents."""
    columns = shown_columns(columns, systems)
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


def beside_paper(kind: Kind, published: Published, reference: Row | None, systems: Sequence[MeasuredSystem]) -> Table:
    """Each run's numbers, and those that the paper reports for what the run is."""
    columns = [Column("system")]
    for name, decimals in published.metrics.items():
        columns += [Column(name, decimals), Column(f"{name} reported", decimals)]
    columns.append(Column("what it is"))  # last: on a phone the numbers are nearer to the names
    rows = []
    if reference:
        people = [reference.scores.get(name) for name in published.metrics]
        values = [score and score.value for score in people]
        rows.append(_paired(reference.name, "people", values, published.numbers(reference.name)))
    for system in systems:
        known = described(system.settings) if system.settings else None
        ours = [_of_paper(kind, system, name) for name in published.metrics]
        rows.append(_paired(system.name, _identity(system, known, published), ours, published.numbers(known)))
    headers = frozenset(column.header for column in columns if column.header.endswith("reported"))
    return Table("Beside the paper's numbers", columns, rows, headers)


def _of_paper(kind: Kind, system: MeasuredSystem, name: str) -> float | None:
    """Our number of the paper's metric."""
    if name not in kind.ours:
        return system.score(name)
    split, statistic = kind.ours[name]
    found = getattr(system, split)
    return found and getattr(found, statistic)


def _identity(system: MeasuredSystem, known: str | None, published: Published) -> str:
    if known is None:
        return UNKNOWN
    if published.numbers(known) is None:
        return f"{known}: {UNREPORTED}"
    differs = beside_the_paper(system.settings)
    return f"{known} ({'; '.join(differs)})" if differs else known


def _paired(name: str, identity: str, ours: Sequence[float | None], theirs: Numbers | None) -> list[float | str | None]:
    pairs = zip(ours, theirs or (None,) * len(ours), strict=True)
    return [name, *(value for pair in pairs for value in pair), identity]


def papers_tables(published: Published) -> list[Table]:
    """All that the paper reports of these."""
    return [
        Table(
            label, published.columns, [[name, *numbers] for name, numbers in rows.items()], frozenset(published.metrics)
        )
        for label, rows in published.tables().items()
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
    """The trainings' flags that are not the same in all of them, a row per system."""
    known = [system for system in systems if system.settings]
    found = differences([system.settings for system in known])
    values = {system.name: [row[place] for _, row in found] for place, system in enumerate(known)}
    rows = [[system.name, *values.get(system.name, [MISSING] * len(found))] for system in systems]
    return Table("Flags that differ", [Column("system"), *(Column(flag) for flag, _ in found)], rows if found else [])
