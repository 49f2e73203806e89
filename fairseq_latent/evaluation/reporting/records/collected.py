"""A run's folder, trained and measured, becomes a record."""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from fairseq_latent.errors import InputError
from fairseq_latent.text.json_values import OTHER_FORM, number, read_json

from ...analysis.latent_statistics import read_statistics
from ...analysis.sweep import MEASURES, read_sweep
from ...metrics.dialogues.sums import DialogueSums, read_sums
from ...metrics.system_scores import REFERENCE
from ...runs.run_folder import CHECKPOINT, LATENTS_TEST, LOG, RANKING, RunFolder
from ...runs.training_log import read_training_log
from ..score_table import read_rows
from ..table_rows import SWEEP, scored
from .record import Cost, Record

SCORES, SUMS = "scores.json", "{}.by_dialogue.json"
OF_SCORES, OF_LATENTS, OF_RANKING = (SUMS.format(name) for name in ("scores", "latents.test", "rank.test"))
COST, OUTPUT = "cost.json", "train.out"
PARAMETERS = re.compile(r"num\. shared model params: ([\d,]+) \(num\. trained: ([\d,]+)\)")
RESAMPLED = re.compile(r"\|interval:[^|]*\|bs:\d+")  # over contexts: a record's intervals are over dialogues
POINTS = 20  # of a curve, at most
MADE_BY = {
    SCORES: "fairseq-latent score {name}={folder}/generate.test.txt --dialogues DATA.text/test.ids "
    f"--by-dialogue {{folder}}/{OF_SCORES} --format json --out {{folder}}/{SCORES}",
    OF_LATENTS: f"fairseq-latent latents DATA --path {{folder}}/{CHECKPOINT} --split test "
    f"--by-dialogue {{folder}}/{OF_LATENTS}",
}


def collect(run: RunFolder, seed: int, again: str, stages: Sequence[Path] = ()) -> Record:
    """stages: folders of the trainings that came before. InputError where something was not measured."""
    scores, rows = run.folder / SCORES, {}
    for name, command in MADE_BY.items():
        if not (run.folder / name).is_file():
            raise InputError(f"{run.folder / name} is missing; remedy: {_made(command, run)}")
    rows = read_rows(scores)
    own = [row for name, row in rows.items() if name != REFERENCE]
    if len(own) != 1 or REFERENCE not in rows:
        raise InputError(f"{scores}: not one system and the references; remedy: {_made(MADE_BY[SCORES], run)}")
    latents = read_statistics(run.file(LATENTS_TEST))
    numbers = {name: value for name, value in vars(latents).items() if isinstance(value, int | float)}
    if latents.fader_kl is None and not latents.kl:  # a model without latents
        numbers = {name: value for name, value in numbers.items() if name not in ("kl", "au", "mi")}
    numbers |= scored(own[0])
    signatures = [latents.signature, *(score.signature for score in own[0].scores.values())]
    sums = _one(run.folder / OF_LATENTS).joined(_one(run.folder / OF_SCORES))
    if (run.folder / RANKING).is_file():
        ranked, signature = _ranking(run.folder / RANKING)
        numbers |= ranked
        signatures.append(signature)
        sums = sums.joined(_one(run.folder / OF_RANKING))
    sweep = read_sweep(run.folder / SWEEP) if (run.folder / SWEEP).is_file() else None
    if sweep is not None:
        numbers |= {f"rho_{name}": found[0] for name in MEASURES if (found := sweep.correlation(name))}
    return Record(
        name=run.name,
        seed=seed,
        again=again,
        trainings=[_cost(folder) for folder in (*stages, run.folder)],
        numbers=numbers,
        people=scored(rows[REFERENCE]),
        curve=_curve(run.folder),
        signatures=list(dict.fromkeys(RESAMPLED.sub("", each) for each in signatures)),
        sums=sums,
        people_sums=read_sums(run.folder / OF_SCORES)[REFERENCE],
        sweep=sweep,
    )


def _made(command: str, run: RunFolder) -> str:
    return command.format(folder=run.folder, name=run.name)


def _one(path: Path) -> DialogueSums:
    """Of the only system in a file."""
    found = [sums for name, sums in read_sums(path).items() if name != REFERENCE]
    if len(found) != 1:
        raise InputError(f"{path}: {len(found)} systems, a record is of one; remedy: --by-dialogue for this run alone")
    return found[0]


def _ranking(path: Path) -> tuple[dict[str, float], str]:
    try:
        (found,) = read_json(path)
        return {name: float(number(found[name])) for name in ("Hits@1", "Hits@5", "MRR")}, found["signature"]
    except OTHER_FORM:
        raise InputError(
            f"{path}: this is no ranking of one system; remedy: fairseq-latent rank … --format json"
        ) from None


def _curve(folder: Path) -> dict[int, dict[str, float]]:
    """What validation logged of the bound and of what the record's measures are about."""
    points = read_training_log(folder / LOG).valid
    kept = list(points)[:: max(1, -(-len(points) // POINTS))]
    names = ("nll", "kl", "prior_ppl", "rec_ppl", "elbo_ppl", "f1", "hits1")
    return {update: {name: points[update][name] for name in names if name in points[update]} for update in kept}


def _cost(folder: Path) -> Cost:
    log = read_training_log(folder / LOG)
    noted: dict = {}
    with suppress(OSError, ValueError):
        noted = json.loads((folder / COST).read_text(encoding="utf-8"))
    parameters: list[int | None] = [None, None]
    with suppress(OSError):
        if found := PARAMETERS.search((folder / OUTPUT).read_text(encoding="utf-8", errors="replace")):
            parameters = [int(count.replace(",", "")) for count in found.groups()]
    command = RunFolder(folder.name, folder).made_by(CHECKPOINT)
    hours = None if log.seconds is None else round(log.seconds / 3600, 4)
    return Cost(_portable(command), log.updates, hours, noted.get("cpu_hours"), noted.get("peak_mib"), *parameters)


def _portable(command: str) -> str:
    """Paths below the working directory as seen from it."""
    return command.replace(f"{Path.cwd()}/", "")
