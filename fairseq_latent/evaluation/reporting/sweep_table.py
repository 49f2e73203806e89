"""Tables of a sweep of the fader: for a reader, or as CSV."""

import csv
import io
from collections.abc import Mapping

from ..analysis.sweep import MEASURES, Sweep, as_json
from ..tables import Column, Value, render

REFERENCES, PRIOR = "references", "prior"


def as_table(sweep: Sweep, style: str) -> str:
    """The means over seeds, a row per fader, with the correlations and signatures below (LaTeX: above)."""
    from .score_table import LATEX_HEAD, NOTES

    columns = [Column("fader"), *MEASURES.values()]
    rows: list[list[Value]] = [[REFERENCES, *(getattr(sweep.references, name) for name in MEASURES)]]
    for fader in (None, *sweep.faders):
        label = PRIOR if fader is None else f"{fader:g}"
        rows.append([label, *(sweep.mean(fader, name) for name in MEASURES)])
    inferred = [] if sweep.inferred is None else [f"{PRIOR}: its own fader, {sweep.inferred:.3f} on average"]
    lines = [NOTES[style](line) for line in (*inferred, *correlations(sweep), *sweep.signature.split("\n"))]
    table = render(columns, rows, style)
    if style == "latex":
        return "\n".join([*LATEX_HEAD[:1], *lines, table]) + "\n"
    return "\n".join([table, "", *lines]) + "\n"


def correlations(sweep: Sweep) -> list[str]:
    """In words."""
    count = sum(point.fader is not None for point in sweep.points)
    lines = [f"Spearman's rank correlation with the fader, {count} points:"]
    for name, column in MEASURES.items():
        found = sweep.correlation(name)
        lines.append(
            f"{column.header}: {'none, it is constant' if found is None else f'{found[0]:+.3f} (p = {found[1]:.2g})'}"
        )
    return lines


def as_csv(sweep: Sweep, style: str = "csv") -> str:
    """A line per point, then one with the correlations and one with their p."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["fader", "seed", *MEASURES])

    def row(label: str, seed: int | str, values: Mapping[str, float | None]) -> None:
        writer.writerow([label, seed, *("" if value is None else f"{value:.6g}" for value in values.values())])

    row(REFERENCES, "", {name: getattr(sweep.references, name) for name in MEASURES})
    for point in sweep.points:
        label = PRIOR if point.fader is None else f"{point.fader:g}"
        row(label, point.seed, {name: getattr(point, name) for name in MEASURES})
    found = {name: sweep.correlation(name) or (None, None) for name in MEASURES}
    row("spearman", "", {name: rho for name, (rho, _) in found.items()})
    row("spearman-p", "", {name: p for name, (_, p) in found.items()})
    return text.getvalue()


FORMATS = {
    "text": as_table,
    "csv": as_csv,
    "json": lambda sweep, style: f"{as_json(sweep)}\n",
    "markdown": as_table,
    "latex": as_table,
}
