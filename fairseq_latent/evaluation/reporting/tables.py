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
from .systems import MeasuredSystem, trainings

UNKNOWN = "not known without a checkpoint"
UNREPORTED = "no row of the paper"
ELSEWHERE = "not trained here"


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


def at_equal_length(columns: Sequence[Shown], rows: Sequence[Row]) -> Table:
    """Scores of responses that were cut to the words of the shortest one that any system gives in their place."""
    scores = [shown for shown in columns if shown.score is not None]
    scores = [shown for shown in scores if any(shown.value(row, None) is not None for row in rows)]
    values = [[row.name, *(shown.value(row, None) for shown in scores)] for row in rows]
    return Table("Results at equal length", [Column("system"), *(shown.column for shown in scores)], values)


def marks(systems: Sequence[MeasuredSystem]) -> list[str]:
    """What ± and the star of the results mean, where they stand."""
    notes = []
    if any(score.interval for system in systems if system.row for score in system.row.scores.values()):
        seeds = " (of several seeds: over contexts and seeds)" if any(system.seeds for system in systems) else ""
        notes.append(f"±: half of the 95 % bootstrap interval over test contexts{seeds}")
    if any(system.seeds for system in systems):
        notes.append("sd: standard deviation over the seeds of a system, whose means stand before it")
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
        what = ELSEWHERE if system.run.outside else _identity(system, known, published)
        rows.append(_paired(system.name, what, ours, published.numbers(known)))
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
    costs = [_cost(each) for each in trainings(systems) if not each.run.outside]
    return Table("Budget of each training", [Column(header) for header in headers], costs)


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
    """The trainings' flags that are not the same in all of them, a row per system; of several seeds each one's value."""
    known = [training for training in trainings(systems) if training.settings]
    found = differences([training.settings for training in known])
    values = {training.name: [row[place] for _, row in found] for place, training in enumerate(known)}
    unknown = [MISSING] * len(found)
    rows = []
    for system in systems:
        if system.run.outside:
            continue
        columns = zip(*(values.get(training.name, unknown) for training in system.trainings), strict=True)
        rows.append([system.name, *(", ".join(dict.fromkeys(column)) for column in columns)])
    return Table("Flags that differ", [Column("system"), *(Column(flag) for flag, _ in found)], rows if found else [])
