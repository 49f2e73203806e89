"""Persona models as rows of tables: what `scripts/tables/paper1_small.sh` left of each in its folder, finished or not."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fairseq_latent.errors import InputError
from fairseq_latent.text.json_values import OTHER_FORM, number, read_json, text, whole

from ..analysis.latent_statistics import LatentStatistics, read_statistics
from ..analysis.sweep import Sweep, read_sweep
from ..runs.run_folder import LATENTS_TEST, LOG, RunFolder
from ..runs.training_log import TrainingLog, log_so_far

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
