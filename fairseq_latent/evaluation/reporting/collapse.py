"""`fairseq-latent collapse`: what remedies against posterior collapse do, beside Table 3 of Cho et al. (2022).

Reads the folders that `scripts/tables/paper1_table3.sh` makes, finished or not, and writes a table into a page (between two
marks, so that what people wrote around it stays), the same numbers as CSV, and the KL curves, as a picture and as CSV. Rows
that stand in these files already, and were not trained anew, stay.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from fairseq_latent.files import written_together

from ..runs.run_folder import run_folders
from ..tables import Column, render
from .collapse_rows import RowOfTable, as_csv, curves_as_csv, joined, trained_row, written_rows
from .marked_page import with_part
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent collapse`."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="NAME=RUN",
        help="a row's name and the folder of its training as the script leaves it: train.log, done, latents.test.json",
    )
    parser.add_argument("--page", metavar="FILE", help="a Markdown page to put the table into, between its two marks")
    parser.add_argument("--picture", metavar="FILE", help="draw the KL curves: .png, .svg or .pdf; the page shows them")
    parser.add_argument(
        "--csv", metavar="FILE", help="write all numbers, a line a row; rows of it that are not trained anew stay"
    )
    parser.add_argument(
        "--curves", metavar="FILE", help="write the KL over updates, a line a point; those of rows that stay, stay"
    )
    parser.add_argument(
        "--updates", type=int, metavar="N", help="what the runs will have: no row of other updates stands beside them"
    )
    parser.add_argument("--format", choices=("text", "markdown", "latex"), default="text", help="of what is printed")


def main(args: argparse.Namespace) -> None:
    """Print the table; write what was asked for."""
    trained = [trained_row(run) for run in run_folders(args.runs, all_there=False)]
    written = written_rows(Path(args.csv), args.curves and Path(args.curves)) if args.csv else []
    rows = joined(trained, written, args.updates)
    files: dict[str, bytes] = {}
    logs = {row.name: row.log for row in rows if row.log}
    picture = args.picture if logs else None
    if picture:
        from ..plotting import training_curves

        files[picture] = training_curves.encoded(
            training_curves.kl_curves(logs), training_curves.ending(picture, training_curves.FORMATS, "picture")
        )
    if args.page:
        path = Path(args.page)
        beside = picture and Path(os.path.relpath(picture, path.parent)).as_posix()
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        files[args.page] = with_part(before, PART, section(rows, beside), TITLE).encode()
    if args.csv:
        files[args.csv] = as_csv(rows).encode()
    if args.curves:
        files[args.curves] = curves_as_csv(rows).encode()
    if files:
        with written_together(files, "wb") as opened:
            for file, content in zip(opened, files.values(), strict=True):
                file.write(content)
    print(table(rows, args.format))
    print(unfinished(rows), file=sys.stderr)
