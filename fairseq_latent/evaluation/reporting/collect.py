"""Reads what there is of each run, for a report: what is missing or can't be used is named, and the rest is measured."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from fairseq_latent.compat.error_messages import translate
from fairseq_latent.errors import InputError
from fairseq_latent.text.json_values import OTHER_FORM, number, read_json

from ..analysis.latent_statistics import read_statistics
from ..metrics.persona_metrics import NOTHING, PersonaMeasures
from ..metrics.registry import METRICS
from ..metrics.score import System, measure_systems
from ..metrics.system_scores import REFERENCE, Row
from ..runs.method_names import bounds_likelihood
from ..runs.response_files import Generation, read_generations, with_references
from ..runs.run_folder import (
    CHECKPOINT,
    GENERATED,
    LATENTS_TEST,
    LATENTS_VALID,
    LOG,
    MADE_BY,
    RANKING,
    SAMPLES,
    RunFolder,
)
from ..runs.side_by_side import foreign_context
from ..runs.training_config import TrainingSettings, training_settings
from ..runs.training_log import read_training_log
from ..tables import Estimate
from .kinds import KINDS, OF_RESPONSES, Kind, kind_of
from .systems import MeasuredSystem, Missing

SERVES = {  # file -> what a report lacks without it
    CHECKPOINT: "flags, size, the paper's row, the picture of latents",
    LOG: "curves, updates and time",
    GENERATED: "BLEU, dist-n, length",
    SAMPLES: "sample responses",
    LATENTS_VALID: "KLD, AU, MI, perplexities",
    LATENTS_TEST: "KLD on the test set",
    RANKING: "Hits@1",
}
READERS = {
    GENERATED: read_generations,
    SAMPLES: read_generations,
    LATENTS_VALID: read_statistics,
    LATENTS_TEST: read_statistics,
    LOG: read_training_log,
}
Part = TypeVar("Part")


@dataclass(frozen=True)
class Measured:
    """Runs of one kind, the references' row, and the test set as the runs answered it (empty where none did)."""

    kind: Kind
    systems: Sequence[MeasuredSystem]
    reference: Row | None
    test: Sequence[Generation]


@dataclass(frozen=True)
class Scoring:
    """How responses are measured: `score`'s language, resamples, seed and references (files, in place of the T- lines).

    further: what else is measured of the responses to so many contexts, of persona models. known: rows that `score` has
    computed already, the references' among them; then nothing is measured again.
    """

    language: str
    resamples: int
    seed: int
    references: Sequence[str] = ()
    further: Callable[[int], PersonaMeasures] = lambda contexts: NOTHING
    known: Mapping[str, Row] | None = None


def grouped(runs: Sequence[RunFolder], missing: list[Missing]) -> dict[Kind, dict[RunFolder, TrainingSettings | None]]:
    """The runs of each kind, in the order of sections, with what their checkpoints say; one without joins the first."""
    settings = {run: _part(run, CHECKPOINT, training_settings, missing) for run in runs}
    kinds = [kind_of(each) for each in settings.values()]
    usual = next((kind for kind in kinds if kind), OF_RESPONSES)
    found: dict[Kind, dict[RunFolder, TrainingSettings | None]] = {}
    for kind in KINDS:
        members = {run: settings[run] for run, own in zip(runs, kinds, strict=True) if (own or usual) is kind}
        if members:
            found[kind] = members
    return found


def measured(
    kind: Kind, runs: Mapping[RunFolder, TrainingSettings | None], scoring: Scoring, missing: list[Missing]
) -> Measured:
    """Read the runs of one kind, and measure their responses."""
    missing += [each for run in runs for each in _absent(run, kind)]
    read = {name: of for name, of in READERS.items() if name in kind.files}
    parts = {run: {name: _part(run, name, of, missing) for name, of in read.items()} for run in runs}
    answers = {run: found[GENERATED] for run, found in parts.items() if found.get(GENERATED)}
    sampled = {run: found[SAMPLES] for run, found in parts.items() if found.get(SAMPLES)}
    systems = [
        _meaningful(
            MeasuredSystem(
                run=run,
                settings=settings,
                valid=parts[run][LATENTS_VALID],
                test=parts[run][LATENTS_TEST],
                log=parts[run][LOG],
                ranking=_part(run, RANKING, read_ranking, missing),
            )
        )
        for run, settings in runs.items()
    ]
    answers = _same_test_set(answers, missing)
    if scoring.references:
        answers = {
            run: with_references(found, run.folder / GENERATED, scoring.references) for run, found in answers.items()
        }
    reference, rows = _scores(kind, answers, scoring, missing)
    test = next(iter(answers.values()), [])
    samples = _same_contexts(sampled, test, missing)
    if scoring.references and test:
        samples = {run: _referring(found, test) for run, found in samples.items()}
    systems = [replace(each, row=rows.get(each.name), samples=samples.get(each.run)) for each in systems]
    return Measured(kind, systems, reference, test)


def read_ranking(path: Path) -> dict[str, Estimate]:
    """Measure -> its value and interval, of the one system in what `fairseq-latent rank --format json` wrote."""
    try:
        (row,) = read_json(path)
        found = {}
        for name in (METRICS[metric].header for metric in ("hits@1", "hits@5", "mrr")):
            ends = [row[f"{name}_{end}"] for end in ("low", "high")]
            interval = None if None in ends else (number(ends[0]), number(ends[1]))
            found[name] = Estimate(number(row[name]), interval)
        return found
    except OTHER_FORM:
        remedy = "fairseq-latent rank DATA CHECKPOINT --format json"
        raise InputError(f"{path}: no ranking of one system; remedy: {remedy}") from None


def _meaningful(system: MeasuredSystem) -> MeasuredSystem:
    """Without the statistics that say nothing of such a model."""
    parts = {"valid": system.valid, "test": system.test}
    if not system.has_latents:
        nothing = dict.fromkeys(("kl", "au", "mi"))
    elif not bounds_likelihood(system.settings):
        nothing = dict.fromkeys(("kl", "elbo_ppl", "iw_ppl"))
    else:
        return system
    return replace(system, **{name: found and replace(found, **nothing) for name, found in parts.items()})


def attempt(read: Callable[[], Part], system: str, lacking: str, remedy: str | None, missing: list) -> Part | None:
    """What `read` gives, or None and an entry in `missing` for a user's mistake; a defect of the program goes on."""
    try:
        return read()
    except Exception as error:
        line = translate(error)
        if line is None:
            raise
        problem, _, advice = line.partition("; remedy: ")
        missing.append(Missing(system, problem, lacking, remedy or advice or "mend what the message names"))
        return None


def _absent(run: RunFolder, kind: Kind) -> list[Missing]:
    """The files that are not there; where the checkpoint is none of the others can be made without it."""
    if not run.folder.is_dir():
        remedy = MADE_BY[CHECKPOINT].format(folder=run.folder)
        return [Missing(run.name, f"{run.folder}: no such folder", "everything", remedy)]
    names = [name for name in kind.files if not (run.folder / name).is_file()]
    if CHECKPOINT in names[:1] and len(names) > 1:
        lacking = "everything" if len(names) == len(kind.files) else "; ".join(SERVES[name] for name in names)
        problem = f"{run.folder}: {', '.join(names)} are missing"
        return [Missing(run.name, problem, lacking, f"{run.made_by(CHECKPOINT)}, then the others")]
    return [Missing(run.name, f"{run.folder / name} is missing", SERVES[name], run.made_by(name)) for name in names]


def _part(run: RunFolder, name: str, read: Callable[..., Part], missing: list[Missing]) -> Part | None:
    path = run.folder / name
    if not path.is_file():
        return None
    # a broken checkpoint may be mended without training again, as the message says; other files are cheap to make again
    remedy = None if name == CHECKPOINT else run.made_by(name)
    return attempt(lambda: read(path), run.name, SERVES[name], remedy, missing)


def _same_test_set(
    answers: dict[RunFolder, list[Generation]], missing: list[Missing]
) -> dict[RunFolder, list[Generation]]:
    """The runs that answered the test set that most of them did: scores on different ones don't compare."""
    sets = {run: tuple(each.reference for each in found) for run, found in answers.items()}
    most = Counter(sets.values()).most_common(1)[0][0] if sets else ()
    for run in answers:
        if sets[run] != most:
            missing.append(
                Missing(
                    run.name,
                    f"{run.folder / GENERATED}: not the test set of the other runs ({len(sets[run])} and {len(most)} "
                    "contexts, or other references)",
                    SERVES[GENERATED],
                    run.made_by(GENERATED),
                )
            )
    return {run: found for run, found in answers.items() if sets[run] == most}


def _scores(
    kind: Kind, answers: Mapping[RunFolder, list[Generation]], scoring: Scoring, missing: list[Missing]
) -> tuple[Row | None, dict[str, Row]]:
    """The references' row, and each system's."""
    if not answers:
        return None, {}
    if scoring.known is not None:
        rows = {run.name: scoring.known[run.name] for run in answers if run.name in scoring.known}
        missing += [
            Missing(run.name, "--scores has no row of it", SERVES[GENERATED], "fairseq-latent score … --format json")
            for run in answers
            if run.name not in scoring.known
        ]
        return scoring.known.get(REFERENCE), rows
    systems = [System(run.name, str(run.folder / GENERATED), tuple(found)) for run, found in answers.items()]
    hypothesis, more = "first", NOTHING
    if kind.personas:
        hypothesis, more = "mean", scoring.further(len(systems[0].generations))
    measures = measure_systems(systems, scoring.language, hypothesis, scoring.resamples, scoring.seed, further=more)
    if systems[0].references is not None:
        return measures[0], {row.name: row for row in measures[1:]}
    for run in answers:
        problem = f"{run.folder / GENERATED}: no references (T- lines)"
        missing.append(Missing(run.name, problem, "BLEU", MADE_BY[GENERATED].format(folder=run.folder, file=GENERATED)))
    return None, {row.name: row for row in measures}


def _same_contexts(
    sampled: dict[RunFolder, list[Generation]], test: Sequence[Generation], missing: list[Missing]
) -> dict[RunFolder, list[Generation]]:
    """The runs whose samples answer the first contexts of the test set, so that an id means one context everywhere."""
    known = test if test and test[0].source is not None else max(sampled.values(), key=len, default=[])
    usable = {}
    for run, found in sampled.items():
        problem = foreign_context(found, known)
        if problem:
            where = f"{run.folder / SAMPLES}: {problem}"
            missing.append(Missing(run.name, where, SERVES[SAMPLES], run.made_by(SAMPLES)))
        else:
            usable[run] = found
    return usable


def _referring(found: Sequence[Generation], test: Sequence[Generation]) -> list[Generation]:
    """Answers to the first contexts of the test set, with the references that it has."""
    return [replace(ours, reference=theirs.reference) for ours, theirs in zip(found, test, strict=False)]
