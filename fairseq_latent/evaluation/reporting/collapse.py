"""`fairseq-latent collapse`: what remedies against posterior collapse do, beside Table 3 of Cho et al. (2022).

Reads the folders that `scripts/tables/paper1_table3.sh` makes, finished or not, and writes a table into a page (between two
marks, so that what people wrote around it stays), the same numbers as CSV, and the KL curves, as a picture and as CSV. Rows
that stand in these files already, and were not trained anew, stay.
"""

from collections.abc import Sequence

from ..tables import Column, render
from .collapse_rows import RowOfTable
from .published_results import CHO, PENN_TREEBANK

PART = "collapse"  # of the page, between its marks
TITLE = "# Remedies against posterior collapse\n\n"
OURS = {
    "rec_ppl": Column("rec PPL", 2),
    "elbo_ppl": Column("elbo PPL", 2),
    "iw_ppl": Column("iw PPL", 2),
    "au": Column("AU", 0),
    "kl": Column("KL", 2),
    "mi": Column("MI", 2),
}
COLUMNS = (
    Column("row"),
    *(Column(f"{name}, paper", decimals) for name, decimals in (("PPL", 2), ("AU", 0), ("KL", 2))),
    *OURS.values(),
)


def table(rows: Sequence[RowOfTable], style: str = "markdown") -> str:
    """All rows, the paper's numbers beside ours."""
    values = [[row.name, *PENN_TREEBANK.get(row.name, (None,) * 3), *map(row.numbers.get, OURS)] for row in rows]
    return render(COLUMNS, values, style)


def unfinished(rows: Sequence[RowOfTable]) -> str:
    """Which rows have no numbers, or not all of them, yet."""
    waiting = [f"{row.name} ({row.state})" for row in rows if row.state]
    unweighted = [row.name for row in rows if row.finished and "iw_ppl" not in row.numbers]
    parts = []
    if waiting:
        parts.append(f"Not finished yet: {'; '.join(waiting)}.")
    if unweighted:
        parts.append(f"Not weighted by importance yet: {'; '.join(unweighted)}.")
    return " ".join(parts) or "All rows are finished."


def section(rows: Sequence[RowOfTable], picture: str | None = None) -> str:
    """What stands between the marks; `picture`: where the KL curves lie, seen from the page."""
    finished = [row for row in rows if row.finished]
    budgets = sorted({row.numbers["updates"] for row in finished if "updates" in row.numbers})
    lines = [table(rows), "", unfinished(rows)]
    if finished:
        count = (
            f"{budgets[0]:,} updates each" if len(budgets) == 1 else f"{' or '.join(f'{n:,}' for n in budgets)} updates"
        )
        lines += [
            "",
            f"Columns with “paper” are those of {CHO}, Table 3. Ours: test set, {count}, the state after the last update. "
            f"KL and MI in nats a sentence. {_signatures(finished)}",
        ]
    if picture:
        lines += ["", f"![KL over updates, a panel a row ({CHO}, Figure 7)]({picture})"]
    return "\n".join(lines)


def _signatures(finished: Sequence[RowOfTable]) -> str:
    """One for all rows, or each with the rows that have it."""
    rows: dict[str, list[str]] = {}
    for row in finished:
        rows.setdefault(row.signature, []).append(row.name)
    if len(rows) == 1:
        return f"Signature of the numbers: `{finished[0].signature}`."
    listed = "; ".join(f"`{signature}` ({', '.join(names)})" for signature, names in rows.items())
    return f"Signatures of the numbers: {listed}."
