"""Rows of a table that a page keeps: read from the folders of trainings, finished or not, or from the CSV written before."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import stdev
from typing import Any

from fairseq_latent.errors import InputError
from fairseq_latent.text.json_values import OTHER_FORM, loads, number, read_json, text, whole

from ..analysis.latent_statistics import WORTH, read_statistics
from ..analysis.sweep import MEASURES, Sweep, as_json, read_sweep, sweep_of
from ..metrics.bootstrap import interval_over_seeds
from ..metrics.system_scores import REFERENCE
from ..metrics.system_scores import Row as Scored
from ..runs.run_folder import LATENTS_TEST, LATENTS_VALID, LOG, RunFolder
from ..runs.training_log import TrainingLog, log_so_far
from .published_results import PENN_TREEBANK

IMPORTANCE, DONE, SWEEP, PERCEPTION = "latents.test.iw.json", "done", "sweep.json", "perception.json"
PEOPLE = "people"  # the row of people's own responses
OTHERS = "to others"  # P.Distance to the profiles of others
DECIMALS = 4
SD = "_sd"  # what ends the names of standard deviations over seeds
NO_MEASURES = ("updates", "hours", "inner_steps", "sentences", "tokens", "dialogues")

Number = float | int


@dataclass(frozen=True)
class Row:
    """A training. numbers: those of its layout that are known, rounded to its decimals. lacking: what is not measured yet.

    signatures: of which numbers -> how they were made. log: of KL and its weight alone, where it was read from a file.
    """

    name: str
    numbers: Mapping[str, Number]
    lacking: str = ""
    signatures: Mapping[str, str] = field(default_factory=dict)
    log: TrainingLog | None = None
    sweep: Sweep | None = None

    @property
    def measured(self) -> bool:
        """Trained, and its latents are measured."""
        return "rec_ppl" in self.numbers

    @property
    def state(self) -> str:
        """What is missing; empty where nothing is."""
        if self.measured or self.name == PEOPLE:
            return self.lacking
        return f"at {self.numbers['updates']:,} updates" if "updates" in self.numbers else "not begun"


@dataclass(frozen=True, eq=False)
class Layout:
    """What a kind of table consists of.

    numbers: columns of the CSV -> decimals. read: a run's row, with the rows of `score`. signed: of which numbers -> the
    column of their signature. paper: further columns, and a row's numbers there. same: numbers that must not differ from row
    to row -> what they are. write_curves, read_curves: what is drawn of rows, as a file's text, and back into fields of Row.
    """

    numbers: Mapping[str, int]
    read: Callable[[RunFolder, Mapping[str, Scored]], Row]
    signed: Mapping[str, str]
    write_curves: Callable[[Sequence[Row]], str]
    read_curves: Callable[[Path], dict[str, dict[str, Any]]]
    paper: tuple[Sequence[str], Mapping[str, Sequence[Number]]] = ((), {})
    same: Mapping[str, str] = field(default_factory=dict)
    states: bool = False

    @property
    def columns(self) -> dict[str, int]:
        """The numbers, their standard deviations over seeds, and how many seeds they are means of -> decimals."""
        several = {name: decimals for name, decimals in self.numbers.items() if not name.endswith(("_low", "_high"))}
        deviations = {f"{name}{SD}": max(decimals, 2) for name, decimals in several.items() if name not in NO_MEASURES}
        return {**self.numbers, "seeds": 0, **deviations}

    def rounded(self, numbers: Mapping[str, Number | None]) -> dict[str, Number]:
        """What the CSV has of numbers."""
        known = ((name, numbers.get(name), decimals) for name, decimals in self.columns.items())
        return {name: round(of, decimals) if decimals else round(of) for name, of, decimals in known if of is not None}


def rows_of(layout: Layout, runs: Sequence[RunFolder], scores: Mapping[str, Scored]) -> list[Row]:
    """A row per system: means over its seeds, where it has several."""
    systems: dict[str, list[RunFolder]] = {}
    for run in runs:
        systems.setdefault(run.system or run.name, []).append(run)
    found = []
    for name, members in systems.items():
        rows = [layout.read(replace(run, name=name), scores) for run in members]
        found.append(_over_seeds(layout, rows) if len(rows) > 1 else rows[0])
    return found


def _over_seeds(layout: Layout, rows: Sequence[Row]) -> Row:
    """Means of the numbers that all rows have, and their standard deviations; what else there is is the first's.

    What `score` measured is a mean already, and brings its own deviation.
    """
    first = rows[0]
    shared = [name for name in first.numbers if all(name in row.numbers for row in rows)]
    columns = {name: [row.numbers[name] for row in rows] for name in shared}
    numbers = {name: min(of) if name == "updates" else sum(of) / len(of) for name, of in columns.items()}
    deviations = {f"{name}{SD}": stdev(of) for name, of in columns.items() if name not in RESPONSES}
    for name in shared:
        if f"{name}_low" in numbers and f"{name}_high" in numbers:
            ends = list(zip(columns[f"{name}_low"], columns[f"{name}_high"], strict=True))
            if interval := interval_over_seeds(columns[name], ends):
                numbers[f"{name}_low"], numbers[f"{name}_high"] = interval
    states = dict.fromkeys(row.state for row in rows if row.state)
    return replace(
        first,
        numbers=layout.rounded({"seeds": len(rows), **deviations, **numbers}),
        lacking="; ".join(states) if all(row.measured for row in rows) else "",
        signatures={of: f"{signature}|seeds:{len(rows)}" for of, signature in first.signatures.items()},
    )


def _trained(run: RunFolder, layout: Layout) -> tuple[TrainingLog | None, dict[str, Number | None], bool]:
    """A run's log, what it says, and whether it has been trained and measured."""
    log = log_so_far(run.folder / LOG)
    numbers: dict[str, Number | None] = {}
    if log is not None:
        steps = sum(log.series("train", "inner_steps")[1])  # of the inference network alone
        hours = None if log.seconds is None else log.seconds / 3600
        numbers |= {"updates": log.updates, "hours": hours, "inner_steps": steps}
    return log, numbers, all((run.folder / name).is_file() for name in (DONE, LATENTS_TEST))


def _sentences(run: RunFolder, scores: Mapping[str, Scored]) -> Row:
    """An autoencoder of sentences: latents of both splits, weighted by importance where that was done."""
    log, numbers, measured = _trained(run, SENTENCES)
    signatures = {}
    if measured:
        found = vars(read_statistics(run.folder / LATENTS_TEST))
        if (run.folder / IMPORTANCE).is_file():
            weighted = vars(read_statistics(run.folder / IMPORTANCE))
            if all(weighted[name] == found[name] for name in ("kl", "rec_ppl")):  # else of the same row, less trained
                found |= {name: weighted[name] for name in ("iw_ppl", "signature")}
        if (run.folder / LATENTS_VALID).is_file():
            valid = read_statistics(run.folder / LATENTS_VALID)
            found |= {f"valid_{name}": getattr(valid, name) for name in VALID}
        numbers |= found
        signatures["latents"] = found["signature"]
    return Row(run.name, SENTENCES.rounded(numbers), "", signatures, log)


def _persona(run: RunFolder, scores: Mapping[str, Scored]) -> Row:
    """A persona model: perplexities, responses, latents, and what fader and Zp do."""
    log, numbers, measured = _trained(run, PERSONAS)
    if not measured:
        return Row(run.name, PERSONAS.rounded(numbers), log=log)
    found = read_statistics(run.folder / LATENTS_TEST)
    signatures = {"latents": found.signature}
    numbers |= vars(found)
    lacking = []
    if run.name in scores:
        numbers |= scored(scores[run.name])
        signatures["responses"] = _signatures(scores[run.name])
    else:
        lacking.append("responses")
    sweep = read_sweep(run.folder / SWEEP) if (run.folder / SWEEP).is_file() else None
    purity = read_purity(run.folder / PERCEPTION) if (run.folder / PERCEPTION).is_file() else None
    if found.fader_kl is not None:  # it has latents
        lacking += [name for name, there in (("sweep", sweep), ("profiles", purity)) if there is None]
    if purity is not None:
        numbers |= purity.numbers
        signatures["purity"] = purity.signature
    if sweep is not None:
        rho = {name: sweep.correlation(name) for name in MEASURES}
        numbers |= {f"rho_{name}": each and each[0] for name, each in rho.items()}
    state = f"without {' and '.join(lacking)}" if lacking else ""
    return Row(run.name, PERSONAS.rounded(numbers), state, signatures, log, sweep)


def people(scores: Mapping[str, Scored]) -> list[Row]:
    """The row of people's own responses, where they were scored."""
    if REFERENCE not in scores:
        return []
    found = scores[REFERENCE]
    return [Row(PEOPLE, PERSONAS.rounded(scored(found)), signatures={"responses": _signatures(found)})]


def scored(row: Scored) -> dict[str, Number]:
    """Metric -> value, P.Distance to the profiles of others beside it."""
    found = {name: score.value for name, score in row.scores.items()}
    found |= {f"{name}{SD}": score.extra["sd"] for name, score in row.scores.items() if "sd" in score.extra}
    if "P.Distance" in row.scores:
        found[OTHERS] = row.scores["P.Distance"].extra["to_other_profiles"]
    return found


def _signatures(row: Scored) -> str:
    """A line each."""
    names = [name for name in row.scores if name in PERSONAS.numbers]
    return "\n".join(dict.fromkeys(row.scores[name].signature for name in names))


@dataclass(frozen=True)
class Purity:
    """What `fairseq-latent plot perception` wrote beside its picture: shares, counts of profiles, and how."""

    numbers: Mapping[str, Number]
    signature: str


def read_purity(path: Path) -> Purity:
    """Read it back."""
    try:
        found = read_json(path)
        purity = found["purity"]
        numbers = {
            "purity": number(purity["value"]),
            "untrained": number(found["untrained"]["value"]),
            "shuffled": number(purity["shuffled"]),
            "profiles": whole(found["profiles"]),
            "named": whole(purity["points"]),
        }
        return Purity(numbers, text(found["signature"]))
    except OTHER_FORM:
        raise InputError(f"{path}: these are no purities; remedy: fairseq-latent plot perception …") from None


def as_csv(layout: Layout, rows: Sequence[Row]) -> str:
    """A line per row: everything that was measured; empty where it was not. Columns about seeds only where there are any."""
    columns, theirs = layout.paper
    states = ["state"] if layout.states else []
    measured = {name for row in rows for name in row.numbers} | layout.numbers.keys()
    shown = {name: decimals for name, decimals in layout.columns.items() if name in measured}
    lines: list[Iterable] = [["row", *columns, *shown, *layout.signed.values(), *states]]
    for row in rows:
        numbers = [f"{row.numbers[name]:.{of}f}" if name in row.numbers else "" for name, of in shown.items()]
        signatures = [row.signatures.get(name, "") for name in layout.signed]
        lines.append(
            [
                row.name,
                *theirs.get(row.name, ("",) * len(columns)),
                *numbers,
                *signatures,
                *([row.state] if states else []),
            ]
        )
    return _csv(lines)


def _csv(lines: Iterable[Iterable]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(lines)
    return file.getvalue()


def written_rows(layout: Layout, numbers: Path, curves: Path | None) -> list[Row]:
    """What `as_csv` and the layout's curves wrote; no row of a file that is not there."""
    if not numbers.is_file():
        return []
    drawn = layout.read_curves(curves) if curves and curves.is_file() else {}
    rows = []
    try:
        with open(numbers, encoding="utf-8", newline="") as file:
            lines = csv.DictReader(file)
            if not {"row", "updates", "rec_ppl"} <= set(lines.fieldnames or ()):
                raise ValueError("another table")
            for line in lines:
                known: dict[str, Number] = {
                    name: float(line[name]) if decimals else int(line[name])
                    for name, decimals in layout.columns.items()
                    if line.get(name)  # a table of before may lack a column of today
                }
                if not all(map(math.isfinite, known.values())):
                    raise ValueError("not a number")
                signatures = {name: text(line.get(column) or "") for name, column in layout.signed.items()}
                state = text(line["state"]) if layout.states else ""
                lacking = state if "rec_ppl" in known else ""
                name = text(line["row"])
                signed = {of: signature for of, signature in signatures.items() if signature}
                rows.append(Row(name, known, lacking, signed, **drawn.get(name, {})))
    except (*OTHER_FORM, csv.Error):
        raise InputError(f"{numbers}: this is no such table; remedy: another --csv, or remove it") from None
    return rows


def joined(layout: Layout, new: Sequence[Row], written: Sequence[Row], budget: int | None = None) -> list[Row]:
    """In the order of `written`, then what is new: a row is the new one as soon as that is measured, or had none.

    InputError where the two had other numbers of updates, or other test sets: such rows compare nothing. budget: the updates
    that trainings will have.
    """
    fresh = {row.name: row for row in new}
    rows = {row.name: row for row in written}
    kept = [row for row in written if row.measured and not (row.name in fresh and fresh[row.name].measured)]
    for name, what in layout.same.items():
        ours = {row.numbers[name] for row in new if row.measured and name in row.numbers}
        ours |= {budget} if budget and name == "updates" else set()
        for row in kept:
            if others := ours - {row.numbers.get(name, -1)}:
                had = f"{row.numbers[name]:,}" if name in row.numbers else "no number of"
                raise InputError(
                    f"{row.name}, written before, has {had} {what}, the runs have {max(others):,}; "
                    "remedy: another page, with files of its own (PAGE=FILE)"
                )
    for name, row in fresh.items():
        if row.measured or row.name == PEOPLE or name not in rows or not rows[name].measured:
            rows[name] = row
    return list(rows.values())


KL_COLUMNS = ("row", "split", "update", "kl", "kl_weight")


def _kl_curves(rows: Sequence[Row]) -> str:
    """A line a logged update of training, and of validation: the KL behind the picture (Cho et al., 2022, Figure 7)."""
    lines: list[Iterable] = [KL_COLUMNS]
    for row in rows:
        for split in ("train", "valid"):
            points: dict[int, dict[str, float]] = getattr(row.log, split) if row.log else {}
            lines += [
                (row.name, split, update, point["kl"], point.get("kl_weight"))
                for update, point in points.items()
                if "kl" in point
            ]
    return _csv(lines)


def _written_kl_curves(path: Path) -> dict[str, dict[str, Any]]:
    logs: dict[str, TrainingLog] = {}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                valid = {"train": False, "valid": True}[line["split"]]
                log = logs.setdefault(text(line["row"]), TrainingLog())
                point = {name: float(line[name]) for name in ("kl", "kl_weight") if line[name]}
                (log.valid if valid else log.train)[int(line["update"])] = point
    except (*OTHER_FORM, csv.Error):
        raise InputError(f"{path}: these are no curves of KL; remedy: another --curves, or remove it") from None
    return {name: {"log": log} for name, log in logs.items()}


def _sweeps(rows: Sequence[Row]) -> str:
    """A line of JSON per row: its responses over faders."""
    lines = [json.dumps({"row": row.name, "sweep": json.loads(as_json(row.sweep))}) for row in rows if row.sweep]
    return "".join(f"{line}\n" for line in lines)


def _written_sweeps(path: Path) -> dict[str, dict[str, Any]]:
    try:
        found = [loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return {text(each["row"]): {"sweep": sweep_of(each["sweep"])} for each in found}
    except OTHER_FORM:
        raise InputError(f"{path}: these are no sweeps; remedy: another --curves, or remove it") from None


PERPLEXITIES = ("prior_ppl", "rec_ppl", "elbo_ppl", "prior_word_ppl", "rec_word_ppl", "elbo_word_ppl")
DISTINCT = ("Distinct-1", "Distinct-2", "Distinct-1@50", "Distinct-2@50", "dist-1", "dist-2")
RESPONSES = (*DISTINCT, "P.Distance", OTHERS, "F1", "length")
CARRIED = ("kl", "fader_kl", "au", "mi")
PURITY = ("purity", "untrained", "shuffled")
WORTHS = ("other_ppl", "other_word_ppl", *(f"{name}{end}" for name in WORTH for end in ("", "_low", "_high")))
VALID = ("rec_ppl", "elbo_ppl", "au", "kl", "mi")

_measured = {"rec_ppl": DECIMALS, "elbo_ppl": DECIMALS, "iw_ppl": DECIMALS, "au": 0, "kl": DECIMALS, "mi": DECIMALS}
SENTENCES = Layout(
    numbers={"updates": 0, "hours": 2, "inner_steps": 0, **_measured, "sentences": 0, "tokens": 0}
    | {f"valid_{name}": _measured[name] for name in VALID},
    read=_sentences,
    signed={"latents": "signature"},
    write_curves=_kl_curves,
    read_curves=_written_kl_curves,
    paper=(("paper_ppl", "paper_au", "paper_kl"), PENN_TREEBANK),
    same={"updates": "updates", "sentences": "test sentences", "tokens": "test tokens"},
)
PERSONAS = Layout(
    numbers={
        name: 0 if name in ("updates", "au", "dialogues") else 6
        for name in (
            *("updates", "hours", *PERPLEXITIES, *RESPONSES, *CARRIED, *WORTHS, "dialogues", *PURITY),
            *(f"rho_{name}" for name in MEASURES),
        )
    },
    read=_persona,
    signed={name: f"signature of {name}" for name in ("latents", "responses", "purity")},
    write_curves=_sweeps,
    read_curves=_written_sweeps,
    states=True,
)
