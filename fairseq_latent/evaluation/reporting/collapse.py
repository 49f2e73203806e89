"""`fairseq-latent collapse`: what remedies against posterior collapse do, beside Table 3 of Cho et al. (2022).

Reads the folders that `scripts/tables/paper1_table3.sh` makes, finished or not, and writes a table into a page (between two
marks, so that what people wrote around it stays), the same numbers as CSV, and the KL curves, as a picture and as CSV. Rows
that stand in these files already, and were not trained anew, stay.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairseq_latent.errors import InputError
from fairseq_latent.text.json_values import OTHER_FORM, text

from ..analysis.latent_statistics import read_statistics
from ..metrics.registry import STATISTICS
from ..runs.run_folder import LATENTS_TEST, LATENTS_VALID, LOG, RunFolder
from ..runs.training_log import TrainingLog, log_so_far
from ..tables import Column, render
from .published_results import CHO, PENN_TREEBANK

IMPORTANCE, DONE = "latents.test.iw.json", "done"
PAPER = ("paper_ppl", "paper_au", "paper_kl")
MEASURED = {"rec_ppl": 4, "elbo_ppl": 4, "iw_ppl": 4, "au": 0, "kl": 4, "mi": 4, "sentences": 0, "tokens": 0}
VALID = ("rec_ppl", "elbo_ppl", "au", "kl", "mi")
NUMBERS = {"updates": 0, "hours": 2, "inner_steps": 0, **MEASURED} | {f"valid_{name}": MEASURED[name] for name in VALID}
CURVES = ("row", "split", "update", "kl", "kl_weight")
SAME = {"updates": "updates", "sentences": "test sentences", "tokens": "test tokens"}  # or rows compare nothing

Number = float | int


@dataclass(frozen=True)
class RowOfTable:
    """A remedy. numbers: those of `NUMBERS` that are known, rounded to its decimals; log: of KL and its weight alone."""

    name: str
    numbers: Mapping[str, Number]
    log: TrainingLog | None = None
    signature: str = ""

    @property
    def finished(self) -> bool:
        """Trained and measured."""
        return "rec_ppl" in self.numbers

    @property
    def state(self) -> str:
        """Why there are no numbers; empty where there are."""
        if self.finished:
            return ""
        return f"at {self.numbers['updates']:,} updates" if "updates" in self.numbers else "not begun"


def trained_row(run: RunFolder) -> RowOfTable:
    """A row from its folder, as far as it got."""
    log = log_so_far(run.folder / LOG)
    numbers: dict[str, Number] = {}
    if log is not None:
        steps = sum(log.series("train", "inner_steps")[1])  # of the inference network alone
        numbers |= {"updates": log.updates, "hours": (log.seconds or 0) / 3600, "inner_steps": steps}
    signature = ""
    test, valid, weighted = (run.folder / name for name in (LATENTS_TEST, LATENTS_VALID, IMPORTANCE))
    if (run.folder / DONE).is_file() and test.is_file():
        found = vars(read_statistics(test))
        if weighted.is_file():
            weighted = vars(read_statistics(weighted))
            if all(weighted[name] == found[name] for name in ("kl", "rec_ppl")):  # else of the same row, less trained
                found |= {name: weighted[name] for name in ("iw_ppl", "signature")}
        if valid.is_file():
            found |= {f"valid_{name}": getattr(read_statistics(valid), name) for name in VALID}
        numbers |= {name: found[name] for name in NUMBERS if found.get(name) is not None}
        signature = found["signature"]
    rounded = {
        name: round(value, NUMBERS[name]) if NUMBERS[name] else int(round(value)) for name, value in numbers.items()
    }
    return RowOfTable(run.name, rounded, log, signature)


def written_rows(numbers: Path, curves: Path | None) -> list[RowOfTable]:
    """What `as_csv` and `curves_as_csv` wrote; no row of a file that is not there."""
    if not numbers.is_file():
        return []
    logs = _written_curves(curves) if curves and curves.is_file() else {}
    rows = []
    try:
        with open(numbers, encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                known = {
                    name: float(line[name]) if decimals else int(line[name])
                    for name, decimals in NUMBERS.items()
                    if line[name]
                }
                if not all(map(math.isfinite, known.values())):
                    raise ValueError("not a number")
                name, signature = text(line["row"]), text(line["signature"])
                rows.append(RowOfTable(name, known, logs.get(name), signature))
    except (*OTHER_FORM, csv.Error):
        raise InputError(f"{numbers}: this is no table of remedies; remedy: another --csv, or remove it") from None
    return rows


def _written_curves(path: Path) -> dict[str, TrainingLog]:
    logs: dict[str, TrainingLog] = {}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                points = {"train": 0, "valid": 1}[line["split"]]
                log = logs.setdefault(text(line["row"]), TrainingLog())
                point = {name: float(line[name]) for name in ("kl", "kl_weight") if line[name]}
                (log.valid if points else log.train)[int(line["update"])] = point
    except (*OTHER_FORM, csv.Error):
        raise InputError(f"{path}: these are no curves of KL; remedy: another --curves, or remove it") from None
    return logs


def joined(trained: Sequence[RowOfTable], written: Sequence[RowOfTable], budget: int | None = None) -> list[RowOfTable]:
    """In the order of `written`, then what is new: a row is the trained one as soon as that is finished, or had none.

    InputError where the two had other numbers of updates, or other test sets: such rows compare nothing. budget: the updates
    that trainings will have.
    """
    new = {row.name: row for row in trained}
    rows = {row.name: row for row in written}
    kept = [row for row in written if row.finished and not (row.name in new and new[row.name].finished)]
    for name, what in SAME.items():
        ours = {row.numbers.get(name) for row in trained if row.finished}
        ours |= {budget} if budget and name == "updates" else set()
        for row in kept:
            if others := ours - {row.numbers.get(name), None}:
                written = f"{row.numbers[name]:,}" if name in row.numbers else "no number of"
                raise InputError(
                    f"{row.name}, written before, has {written} {what}, the runs have {max(others):,}; "
                    "remedy: another page, with files of its own (PAGE=FILE)"
                )
    for name, row in new.items():
        if row.finished or name not in rows or not rows[name].finished:
            rows[name] = row
    return list(rows.values())


def as_csv(rows: Sequence[RowOfTable]) -> str:
    """A line per row: everything that was measured; empty where it was not."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", *PAPER, *NUMBERS, "signature"])
    for row in rows:
        paper = PENN_TREEBANK.get(row.name, ("",) * len(PAPER))
        numbers = [f"{row.numbers[name]:.{places}f}" if name in row.numbers else "" for name, places in NUMBERS.items()]
        writer.writerow([row.name, *paper, *numbers, row.signature])
    return text.getvalue()


def curves_as_csv(rows: Sequence[RowOfTable]) -> str:
    """A line a logged update of training, and of validation: the KL behind the picture (Cho et al., 2022, Figure 7)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CURVES)
    for row in rows:
        for split in ("train", "valid"):
            for update, point in (getattr(row.log, split) if row.log else {}).items():
                if "kl" in point:
                    writer.writerow([row.name, split, update, point["kl"], point.get("kl_weight")])
    return text.getvalue()


PART = "collapse"  # of the page, between its marks
TITLE = "# Remedies against posterior collapse\n\n"
OURS = {name: STATISTICS[name].column() for name in ("rec_ppl", "elbo_ppl", "iw_ppl", "au")}
OURS |= {"kl": STATISTICS["kl"].column("KL"), "mi": STATISTICS["mi"].column()}
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
            f"KL and MI in nats per sentence. {_signatures(finished)}",
        ]
    if picture:
        lines += ["", f"![KL over updates, a panel per row ({CHO}, Figure 7)]({picture})"]
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
