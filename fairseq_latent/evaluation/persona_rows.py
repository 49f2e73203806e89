"""Persona models as rows of tables: what `scripts/tables/paper1_small.sh` left of each in its folder, finished or not."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fairseq_latent.errors import InputError

from .latents import LatentStatistics, read_statistics
from .run_folder import LATENTS_TEST, LOG, RunFolder
from .sweep_points import MEASURES
from .training_log import TrainingLog, log_so_far

DONE, SWEEP, PERCEPTION = "done", "sweep.csv", "perception.json"
OTHERS = "to others"  # P.Distance to the profiles of others


@dataclass(frozen=True)
class SweepTable:
    """A fader, or `references` or `prior` -> measure -> mean over seeds; measure -> Spearman's correlation."""

    means: Mapping[str, Mapping[str, float]]
    correlations: Mapping[str, float | None]


@dataclass(frozen=True)
class PersonaRow:
    """A model: its log, and what was measured of it, as far as it got."""

    name: str
    log: TrainingLog | None = None
    latents: LatentStatistics | None = None
    scores: Mapping[str, float] | None = None
    sweep: SweepTable | None = None
    purity: Mapping[str, float] | None = None

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


def read_scores(path: Path) -> tuple[dict[str, dict[str, float]], str]:
    """What `fairseq-latent score --format json` wrote: system -> metric -> value, P.Distance's value for the profiles of
    others beside it; and P.Distance's signature."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        found = {row["name"]: {name: score["value"] for name, score in row["scores"].items()} for row in rows}
        signature = ""
        for row in rows:
            if "P.Distance" in row["scores"]:
                found[row["name"]][OTHERS] = row["scores"]["P.Distance"]["extra"]["to_other_profiles"]
                signature = row["scores"]["P.Distance"]["signature"]
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: these are no scores; remedy: fairseq-latent score … --format json") from None
    return found, signature


def read_sweep(path: Path) -> SweepTable:
    """What `fairseq-latent sweep --format csv` wrote."""
    means: dict[str, list[dict[str, float]]] = {}
    correlations: dict[str, float | None] = {}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                values = {name: float(line[name]) if line[name] else None for name in MEASURES}
                if line["fader"] == "spearman":
                    correlations = values
                elif line["fader"] != "spearman-p":
                    means.setdefault(line["fader"], []).append(values)
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{path}: this is no sweep; remedy: fairseq-latent sweep … --format csv --out {path}"
        ) from None
    return SweepTable(
        {
            fader: {name: sum(each[name] for each in found) / len(found) for name in MEASURES}
            for fader, found in means.items()
        },
        correlations,
    )


def read_purity(path: Path) -> dict[str, float]:
    """What `fairseq-latent plot perception` wrote beside its picture."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        purity = found["purity"]
        return {
            "purity": purity["value"],
            "untrained": found["untrained"]["value"],
            "shuffled": purity["shuffled"],
            "profiles": found["profiles"],
            "named": purity["points"],
        }
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: these are no purities; remedy: fairseq-latent plot perception …") from None
