"""`fairseq-latent table remedies`: a table and a picture of remedies against collapse, each at several strengths."""

from collections.abc import Mapping, Sequence

from ...analysis.latent_statistics import LISTENING
from ...metrics.registry import METRICS
from ...tables import Column, Value, render
from ..page_part import Part, signatures_of, unfinished, value_of
from ..table_rows import Row
from .layout import CURVES, REMEDIES, remedy_of

SHARE = "mi / kl"  # how much of the KL is information about the example
SHOWN = ("kl", "mi", SHARE, "au", "nll", "rec_ppl", "elbo_ppl", "iw_ppl", "BLEU", "dist-1", "dist-2", *LISTENING)
OWN = {"kl": Column("KL", 2), "nll": Column("NLL", 2), SHARE: Column("MI / KL", 2)}


def _value(row: Row, name: str) -> Value:
    if name != SHARE:
        return value_of(row, name)
    kl, mi = row.numbers.get("kl"), row.numbers.get("mi")
    return mi / kl if kl and mi is not None else None


def _columns(rows: Sequence[Row]) -> dict[str, Column]:
    """Those that some row has."""
    there = [name for name in SHOWN if any(_value(row, name) is not None for row in rows)]
    return {name: OWN.get(name) or METRICS[name].column() for name in there}


def by_remedy(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Remedies in their order, each with its rows in that of the KL."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(remedy_of(row.name), []).append(row)
    return {name: sorted(each, key=lambda row: row.numbers.get("kl", 0.0)) for name, each in found.items()}


def _tables(rows: Sequence[Row], style: str) -> list[str]:
    columns = _columns(rows)
    ordered = [row for each in by_remedy(rows).values() for row in each]
    values = [[row.name, *(_value(row, name) for name in columns)] for row in ordered]
    return [render([Column("remedy"), *columns.values()], values, style)]


def _section(rows: Sequence[Row], pictures: Mapping[str, Sequence[str]]) -> str:
    parts = [*_tables(rows, "markdown"), unfinished(rows)]
    if any(row.measured for row in rows):
        updates = sorted({row.numbers["updates"] for row in rows if "updates" in row.numbers})
        budget = " or ".join(f"{count:,}" for count in updates)
        parts.append(f"Test set, {budget} updates each, one training per row. {signatures_of(rows)}")
    parts += [f"![each measure against the KL, a line per remedy]({file})" for file in pictures.get("", ())]
    return "\n\n".join(parts)


def _draw(rows: Sequence[Row]):
    from ...plotting.rate_distortion import curves

    points = [row for row in rows if row.measured]
    columns = _columns(points)
    labels = {name: columns[name].header for name in CURVES if name in columns}
    remedies = {name: [row.numbers for row in each] for name, each in by_remedy(points).items()}
    return curves(remedies, labels) if remedies else None


REMEDIES_PART = Part(
    "remedies", "# Remedies against collapse, at equal KL\n\n", REMEDIES, _tables, _section, unfinished, _draw
)
