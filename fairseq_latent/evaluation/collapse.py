"""`fairseq-latent collapse`: what remedies against posterior collapse do, beside Table 3 of Cho et al. (2022).

Reads the folders that `scripts/tables/paper1_table3.sh` makes, finished or not, and writes a table into a page (between two
marks, so that what people wrote around it stays), the same numbers as CSV, and the KL curves behind the picture.
"""

import argparse
import csv
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fairseq_latent.files import written_together

from .latents import LatentStatistics, read_statistics
from .marked_page import with_part
from .published import CHO, PENN_TREEBANK
from .run_folder import LATENTS_TEST, LATENTS_VALID, LOG, RunFolder, run_folders
from .tables import Column, render
from .training_log import TrainingLog, log_so_far

IMPORTANCE, DONE = "latents.test.iw.json", "done"
PART = "collapse"  # of the page, between its marks
TITLE = "# Remedies against posterior collapse\n\n"
COLUMNS = (
    Column("row"),
    *(Column(f"{name}, paper", decimals) for name, decimals in (("PPL", 2), ("AU", 0), ("KL", 2))),
    *(Column(name, 2) for name in ("rec PPL", "elbo PPL", "iw PPL")),
    Column("AU", 0),
    Column("KL", 2),
    Column("MI", 2),
)
NUMBERS = ("updates", "hours", "inner_steps", "rec_ppl", "elbo_ppl", "iw_ppl", "au", "kl", "mi", "sentences", "tokens")
VALID = ("rec_ppl", "elbo_ppl", "au", "kl", "mi")


@dataclass(frozen=True)
class RowOfTable:
    """A remedy: its log, as far as it got, and once it is trained what was measured on test and validation."""

    name: str
    log: TrainingLog | None
    test: LatentStatistics | None
    valid: LatentStatistics | None

    @property
    def state(self) -> str:
        """Why there are no numbers; empty where there are."""
        if self.test is not None:
            return ""
        return f"at {self.log.updates:,} updates" if self.log else "not begun"

    @property
    def inner_steps(self) -> float:
        """Updates of the inference network alone that went before the others, all together."""
        if self.log is None:
            return 0.0
        updates, steps = self.log.series("train", "inner_steps")
        return sum(mean * (now - before) for before, now, mean in zip([0, *updates], updates, steps, strict=False))


def read_row(run: RunFolder) -> RowOfTable:
    """A row from its folder; what is not there yet is None."""
    log = log_so_far(run.folder / LOG)
    if not (run.folder / DONE).is_file():
        return RowOfTable(run.name, log, None, None)
    test, valid = (
        read_statistics(run.folder / name) if (run.folder / name).is_file() else None
        for name in (LATENTS_TEST, LATENTS_VALID)
    )
    weighted = run.folder / IMPORTANCE
    if test is not None and weighted.is_file():
        iw = read_statistics(weighted)
        test = replace(test, iw_ppl=iw.iw_ppl, signature=iw.signature)
    return RowOfTable(run.name, log, test, valid)


def table(rows: Sequence[RowOfTable], style: str = "markdown") -> str:
    """All rows, the paper's numbers beside ours."""
    values = []
    for row in rows:
        found = row.test
        ours = [getattr(found, name, None) for name in ("rec_ppl", "elbo_ppl", "iw_ppl", "au", "kl", "mi")]
        values.append([row.name, *PENN_TREEBANK.get(row.name, (None,) * 3), *ours])
    return render(COLUMNS, values, style)


def unfinished(rows: Sequence[RowOfTable]) -> str:
    """Which rows have no numbers, or not all of them, yet."""
    waiting = [f"{row.name} ({row.state})" for row in rows if row.state]
    unweighted = [row.name for row in rows if row.test is not None and row.test.iw_ppl is None]
    parts = []
    if waiting:
        parts.append(f"Not finished yet: {'; '.join(waiting)}.")
    if unweighted:
        parts.append(f"Not weighted by importance yet: {'; '.join(unweighted)}.")
    return " ".join(parts) or "All rows are finished."


def section(rows: Sequence[RowOfTable], picture: str | None = None) -> str:
    """What stands between the marks; `picture`: where the KL curves lie, seen from the page."""
    finished = [row for row in rows if row.test is not None]
    budgets = sorted({row.log.updates for row in finished if row.log})
    lines = [table(rows), "", unfinished(rows)]
    if finished:
        count = (
            f"{budgets[0]:,} updates each" if len(budgets) == 1 else f"{' or '.join(f'{n:,}' for n in budgets)} updates"
        )
        lines += [
            "",
            f"Columns with “paper” are those of {CHO}, Table 3. Ours: test set, {count}, the state after the last update. "
            f"KL and MI in nats a sentence. Signature of the numbers: `{finished[0].test.signature}`.",
        ]
    if picture:
        lines += ["", f"![KL over updates, a panel a row ({CHO}, Figure 7)]({picture})"]
    return "\n".join(lines)


def as_csv(rows: Sequence[RowOfTable]) -> str:
    """A line a row: everything that was measured; empty where it was not."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["row", "paper_ppl", "paper_au", "paper_kl", *NUMBERS, *(f"valid_{name}" for name in VALID), "signature"]
    )
    for row in rows:
        log = row.log
        known = {
            "updates": log.updates if log else None,
            "hours": f"{log.seconds / 3600:.2f}" if log and log.seconds else None,
            "inner_steps": f"{row.inner_steps:.0f}",
        }
        known |= {name: _rounded(value) for name, value in (vars(row.test) if row.test else {}).items()}
        valid = [_rounded(getattr(row.valid, name, None)) for name in VALID]
        signature = row.test.signature if row.test else row.state
        writer.writerow(
            [
                row.name,
                *PENN_TREEBANK.get(row.name, ("",) * 3),
                *(known.get(name) for name in NUMBERS),
                *valid,
                signature,
            ]
        )
    return text.getvalue()


def curves_as_csv(rows: Sequence[RowOfTable]) -> str:
    """A line a logged update of training, and of validation: the KL behind the picture (Cho et al., 2022, Figure 7)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "split", "update", "kl", "kl_weight"])
    for row in rows:
        for split in ("train", "valid"):
            for update, point in (getattr(row.log, split) if row.log else {}).items():
                if "kl" in point:
                    writer.writerow([row.name, split, update, point["kl"], point.get("kl_weight")])
    return text.getvalue()


def _rounded(value):
    return f"{value:.4f}" if isinstance(value, float) else value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent collapse`."""
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN", help="a row's name and the folder of its training")
    parser.add_argument("--page", metavar="FILE", help="a Markdown page to put the table into, between its two marks")
    parser.add_argument("--picture", metavar="FILE", help="a picture of the KL curves, to be shown on the page")
    parser.add_argument("--csv", metavar="FILE", help="write all numbers, a line a row")
    parser.add_argument("--curves", metavar="FILE", help="write the KL over updates, a line a point")
    parser.add_argument("--format", choices=("text", "markdown", "latex"), default="text", help="of what is printed")


def main(args: argparse.Namespace) -> None:
    """Print the table; write what was asked for."""
    rows = [read_row(run) for run in run_folders(args.runs, all_there=False)]
    files = {}
    if args.page:
        path = Path(args.page)
        picture = args.picture and Path(os.path.relpath(args.picture, path.parent)).as_posix()
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        files[args.page] = with_part(before, PART, section(rows, picture), TITLE)
    if args.csv:
        files[args.csv] = as_csv(rows)
    if args.curves:
        files[args.curves] = curves_as_csv(rows)
    if files:
        with written_together(files) as opened:
            for file, content in zip(opened, files.values(), strict=True):
                file.write(content)
    print(table(rows, args.format))
    print(unfinished(rows), file=sys.stderr)
