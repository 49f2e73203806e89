"""`fairseq-latent personas`: persona models side by side, with all measures of Cho et al. (2022).

Reads the folders that `scripts/tables/paper1_small.sh` makes, finished or not, and writes tables and pictures into a page
(between two marks, so that what people wrote around them stays) and the same numbers as CSV.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairseq_latent.errors import InputError
from fairseq_latent.text.json_values import OTHER_FORM, number, read_json, text, whole

from ..analysis.latent_statistics import WORTH, LatentStatistics, read_statistics
from ..analysis.sweep import MEASURES, Sweep, read_sweep
from ..metrics.registry import METRICS
from ..runs.run_folder import LATENTS_TEST, LOG, RunFolder
from ..runs.training_log import TrainingLog, log_so_far
from ..tables import Column, Value, render
from .published_results import CHO, CONVAI2

DONE, SWEEP, PERCEPTION = "done", "sweep.json", "perception.json"
OTHERS = "to others"  # P.Distance to the profiles of others


@dataclass(frozen=True)
class PersonaRow:
    """A model: its log, and what was measured of it, as far as it got."""

    name: str
    log: TrainingLog | None = None
    latents: LatentStatistics | None = None
    scores: Mapping[str, float] | None = None
    sweep: Sweep | None = None
    purity: Mapping[str, float | str] | None = None

    @property
    def has_latents(self) -> bool:
        """Whether there is anything to say of them."""
        return self.latents is not None and self.latents.fader_kl is not None

    @property
    def state(self) -> str:
        """What is missing; empty where nothing is."""
        if self.latents is None:
            return f"at {self.log.updates:,} updates" if self.log else "not begun"
        missing = [] if self.scores else ["responses"]
        if self.has_latents:
            missing += [name for name, found in (("sweep", self.sweep), ("profiles", self.purity)) if found is None]
        return f"without {' and '.join(missing)}" if missing else ""


def read_row(run: RunFolder, scores: Mapping[str, Mapping[str, float]]) -> PersonaRow:
    """A row from its folder; what is not there yet is None."""
    log = log_so_far(run.folder / LOG)
    if not (run.folder / DONE).is_file() or not (run.folder / LATENTS_TEST).is_file():
        return PersonaRow(run.name, log)
    return PersonaRow(
        run.name,
        log,
        read_statistics(run.folder / LATENTS_TEST),
        scores.get(run.name),
        read_sweep(run.folder / SWEEP) if (run.folder / SWEEP).is_file() else None,
        read_purity(run.folder / PERCEPTION) if (run.folder / PERCEPTION).is_file() else None,
    )


def read_scores(path: Path) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """What `fairseq-latent score --format json` wrote: system -> metric -> value, P.Distance's value for the profiles of
    others beside it; and metric -> signature."""
    try:
        rows = read_json(path)["rows"]
        found = {row["name"]: {name: number(score["value"]) for name, score in row["scores"].items()} for row in rows}
        signatures = {}
        for row in rows:
            signatures |= {name: text(score["signature"]) for name, score in row["scores"].items()}
            if "P.Distance" in row["scores"]:
                found[row["name"]][OTHERS] = number(row["scores"]["P.Distance"]["extra"]["to_other_profiles"])
    except OTHER_FORM:
        raise InputError(f"{path}: these are no scores; remedy: fairseq-latent score … --format json") from None
    return found, signatures


def read_purity(path: Path) -> dict[str, float | str]:
    """What `fairseq-latent plot perception` wrote beside its picture."""
    try:
        found = read_json(path)
        purity = found["purity"]
        return {
            "purity": number(purity["value"]),
            "untrained": number(found["untrained"]["value"]),
            "shuffled": number(purity["shuffled"]),
            "profiles": whole(found["profiles"]),
            "named": whole(purity["points"]),
            "signature": text(found["signature"]),
        }
    except OTHER_FORM:
        raise InputError(f"{path}: these are no purities; remedy: fairseq-latent plot perception …") from None


PART = "personas"  # of the page, between its marks
TITLE = "# Persona models\n\n"
REFERENCE = "Reference"  # what `fairseq-latent score` calls people's own responses
PERPLEXITIES = {
    name: METRICS[name].column()
    for name in ("prior_ppl", "rec_ppl", "elbo_ppl", "prior_word_ppl", "rec_word_ppl", "elbo_word_ppl")
}
DISTINCT = ("Distinct-1", "Distinct-2", "Distinct-1@50", "Distinct-2@50", "dist-1", "dist-2")
SCORES = {name: METRICS[name].column() for name in (*DISTINCT, "P.Distance")}  # of `fairseq-latent score` -> its column
SCORES |= {OTHERS: METRICS["to_other_profiles"].column()} | {name: METRICS[name].column() for name in ("F1", "length")}
CARRIED = {"kl": METRICS["kl"].column("KL(Zp)")} | {name: METRICS[name].column() for name in ("fader_kl", "au", "mi")}
COMPARED = {name: METRICS[name].column() for name in WORTH}
PURITY = {name: METRICS[name].column() for name in ("purity", "untrained", "shuffled")}


def perplexity_table(rows: Sequence[PersonaRow], style: str = "markdown") -> str:
    """A token and a word."""
    values = [[row.name, *(getattr(row.latents, name, None) for name in PERPLEXITIES)] for row in rows]
    return render([Column("model"), *PERPLEXITIES.values()], values, style)


def responses_table(rows: Sequence[PersonaRow], references: Mapping[str, float] | None, style: str = "markdown") -> str:
    """Diversity, nearness to profiles, words shared with people's responses; theirs first."""
    values = [["people", *map(references.get, SCORES)]] if references else []
    values += [[row.name, *((row.scores or {}).get(name) for name in SCORES)] for row in rows]
    return render([Column("model"), *SCORES.values()], values, style)


def latents_table(rows: Sequence[PersonaRow], style: str = "markdown") -> str:
    """What the latents carry, of models that have some."""
    compared = COMPARED if any(row.latents.worth is not None for row in rows) else {}
    columns = [Column("model"), *CARRIED.values(), *compared.values(), *PURITY.values()]
    columns += [Column("ρ(fader, P.Distance)", 2), Column("ρ(fader, length)", 2)]
    values: list[list[Value]] = []
    for row in rows:
        values.append(
            [
                row.name,
                *(getattr(row.latents, name) for name in CARRIED),
                *map(row.latents.shown, compared),
                *((row.purity or {}).get(name) for name in PURITY),
                *(_rho(row, name) for name in ("p_distance", "length")),
            ]
        )
    return render(columns, values, style)


def _rho(row: PersonaRow, measure: str) -> float | None:
    """Spearman's, of the fader and a measure."""
    found = row.sweep.correlation(measure) if row.sweep else None
    return found[0] if found else None


def sweep_table(sweep: Sweep, style: str = "markdown") -> str:
    """A row per fader, means over seeds."""
    columns = [Column("fader"), *MEASURES.values()]
    rows: list[list[Value]] = [["people", *(getattr(sweep.references, name) for name in MEASURES)]]
    own = "the prior's own" if sweep.inferred is None else f"the prior's own, {sweep.inferred:.2f} on average"
    for fader, label in ((None, own), *((fader, f"{fader:g}") for fader in sweep.faders)):
        rows.append([label, *(sweep.mean(fader, name) for name in MEASURES)])
    return render(columns, rows, style)


def papers_table(style: str = "markdown") -> str:
    """Table 1 of Cho et al. (2022)."""
    columns = [Column(CHO), Column("PPL", 3), *(Column(name, 3) for name in ("Distinct-1", "Distinct-2", "P.Distance"))]
    return render(columns, [[name, *numbers] for name, numbers in CONVAI2.items()], style)


def unfinished(rows: Sequence[PersonaRow]) -> str:
    """Which rows have no numbers, or not all of them, yet."""
    waiting = [f"{row.name} ({row.state})" for row in rows if row.state]
    return f"Not finished yet: {'; '.join(waiting)}." if waiting else "All rows are finished."


def section(
    rows: Sequence[PersonaRow],
    references: Mapping[str, float] | None,
    signatures: Mapping[str, str],
    pictures: Mapping[str, Sequence[str]],
) -> str:
    """What stands between the marks; `pictures`: row -> where its pictures lie, seen from the page."""
    parts = ["## Perplexity", perplexity_table(rows), unfinished(rows)]
    measured = [row for row in rows if row.latents]
    if measured:
        parts.append(f"Signature: `{measured[0].latents.signature}`.")
    parts += ["## Responses", responses_table(rows, references)]
    if signatures:
        parts.append(_signatures({signatures[name] for name in SCORES if name in signatures}))
    with_latents = [row for row in rows if row.has_latents]
    if with_latents:
        parts += ["## What the latents carry", latents_table(with_latents)]
        parts.append(_signatures({row.purity["signature"] for row in with_latents if row.purity}))
    for row in with_latents:
        if row.sweep:
            parts += [f"## A fixed fader: {row.name}", sweep_table(row.sweep), _signatures({row.sweep.signature})]
        parts += [f"![{row.name}]({picture})" for picture in pictures.get(row.name, ())]
    parts += [
        "## The paper's numbers",
        "Other data (17,878 training dialogues), models of up to 345M pre-trained weights, GoogleNews vectors: for the "
        "order, not for the values.",
        papers_table(),
    ]
    return "\n\n".join(part for part in parts if part)


def _signatures(found: set[str]) -> str:
    """Each once, a line of its own for each line of it."""
    lines = sorted({line for signature in found for line in signature.splitlines() if line})
    return "\n".join(("Signatures:\n", *(f"- `{line}`" for line in lines))) if lines else ""


def as_csv(rows: Sequence[PersonaRow], references: Mapping[str, float] | None) -> str:
    """A line per row: everything that was measured; empty where it was not."""
    text = io.StringIO()
    worths = ["other_ppl", "other_word_ppl"]
    worths += [f"{name}{end}" for name in WORTH for end in ("", "_low", "_high")] + ["dialogues"]
    names = [*PERPLEXITIES, *SCORES, *CARRIED, *worths, *PURITY, *(f"rho_{name}" for name in MEASURES)]
    writer = csv.DictWriter(text, ["row", "updates", "hours", *names, "state"], restval="", lineterminator="\n")
    writer.writeheader()
    if references:
        writer.writerow({"row": "people"} | {name: _rounded(references.get(name)) for name in SCORES})
    for row in rows:
        found = {name: getattr(row.latents, name, None) for name in (*PERPLEXITIES, *CARRIED, *worths)}
        found |= {name: (row.scores or {}).get(name) for name in SCORES}
        found |= {name: (row.purity or {}).get(name) for name in PURITY}
        found |= {f"rho_{name}": _rho(row, name) for name in MEASURES}
        found["hours"] = row.log.seconds / 3600 if row.log and row.log.seconds else None
        known = {"row": row.name, "updates": row.log.updates if row.log else None, "state": row.state}
        writer.writerow(known | {name: _rounded(value) for name, value in found.items()})
    return text.getvalue()


def _rounded(value):
    return f"{value:.4f}" if isinstance(value, float) else value
