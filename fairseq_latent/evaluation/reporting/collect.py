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
from ..metrics.score import System, cut_alike, joined, measure_systems, read_system
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
from ..runs.seeds import systems_of
from ..runs.side_by_side import foreign_context
from ..runs.training_config import TrainingSettings, training_settings
from ..runs.training_log import read_training_log
from ..tables import Estimate
from .kinds import KINDS, OF_RESPONSES, OF_SENTENCES, Kind, kind_of
from .systems import MeasuredSystem, Missing, over_seeds

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
    """Systems of one kind, the references' row, and the test set as they answered it (empty where none did).

    alike: rows of all responses cut to equal lengths, references first, where that was measured.
    """

    kind: Kind
    systems: Sequence[MeasuredSystem]
    reference: Row | None
    test: Sequence[Generation]
    alike: Sequence[Row] = ()


@dataclass(frozen=True)
class Scoring:
    """How responses are measured: `score`'s language, resamples, seed and references (files, in place of the T- lines).

    further: what else is measured of the responses to so many contexts, of persona models. known: rows that `score` has
    computed already, the references' among them; then nothing is measured again. apart: a row per training, not per system.
    ids: of the test set, for systems that were not trained here. equal_length: a comparison at equal lengths, too, as there
    always is with such systems; known_alike: what `score` computed of it.
    """

    language: str
    resamples: int
    seed: int
    references: Sequence[str] = ()
    further: Callable[[int], PersonaMeasures] = lambda contexts: NOTHING
    known: Mapping[str, Row] | None = None
    apart: bool = False
    ids: Sequence[str] | None = None
    equal_length: bool = False
    known_alike: Mapping[str, Row] | None = None


def grouped(runs: Sequence[RunFolder], missing: list[Missing]) -> dict[Kind, dict[RunFolder, TrainingSettings | None]]:
    """The runs of each kind, in the order of sections, with what their checkpoints say; one without joins the first."""
    settings = {run: _part(run, CHECKPOINT, training_settings, missing) for run in runs}
    kinds = [kind_of(each) for each in settings.values()]
    usual = next((kind for kind in kinds if kind), OF_RESPONSES)
    answering = next((kind for kind in kinds if kind and kind is not OF_SENTENCES), OF_RESPONSES)
    found: dict[Kind, dict[RunFolder, TrainingSettings | None]] = {}
    for kind in KINDS:
        members = {
            run: settings[run]
            for run, own in zip(runs, kinds, strict=True)
            if (own or (answering if run.outside else usual)) is kind
        }
        if members:
            found[kind] = members
    return found


def measured(
    kind: Kind, runs: Mapping[RunFolder, TrainingSettings | None], scoring: Scoring, missing: list[Missing]
) -> Measured:
    """Read the runs of one kind, and measure their responses; trainings that differ in their seed alone are one system."""
    missing += [each for run in runs if not run.outside for each in _absent(run, kind)]
    read = {name: of for name, of in READERS.items() if name in kind.files}
    parts = {run: {name: _part(run, name, of, missing) for name, of in read.items()} for run in runs}
    systems = systems_of(runs, scoring.apart)
    named = {run: system.name for system in systems for run in system.runs}
    of_run = {
        run: _meaningful(
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
    }
    generated = {run: found[GENERATED] for run, found in parts.items() if found.get(GENERATED)}
    answers = _answers(named, generated, scoring, missing)
    reference, rows = _scores(kind, answers, scoring, missing)
    test = next((system.generations for system in answers.values()), ())
    sampled = {run: found[SAMPLES] for run, found in parts.items() if found.get(SAMPLES)}
    sampled |= {
        run: list(system.generations)
        for run, system in answers.items()
        if run.outside and system.generations[0].source is not None
    }
    samples = _same_contexts(sampled, test, missing)
    if scoring.references and test:
        samples = {run: _referring(found, test) for run, found in samples.items()}
    of_run = {run: replace(each, samples=samples.get(run)) for run, each in of_run.items()}
    found = [over_seeds(system.name, [of_run[run] for run in system.runs], system.differ) for system in systems]
    found = [replace(each, row=rows.get(each.name)) for each in found]
    return Measured(kind, found, reference, test, _alike(kind, answers, scoring))


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


def _answers(
    named: Mapping[RunFolder, str],
    generated: Mapping[RunFolder, list[Generation]],
    scoring: Scoring,
    missing: list[Missing],
) -> dict[RunFolder, System]:
    """The responses of each run to the test set that most of them answered, and those of systems from elsewhere.

    named: the system that a run is of, or is a seed of.
    """
    found = {run: System(named[run], str(run.responses), tuple(each)) for run, each in generated.items()}
    known = next((system for system in found.values() if system.references is not None), None)
    for run in named:
        if run.outside:
            system = attempt(
                lambda run=run: read_system(named[run], str(run.folder), ids=scoring.ids),
                run.name, SERVES[GENERATED], None, missing,
            )  # fmt: skip
            if system is not None:
                found[run] = system if known is None else joined(system, known)
    found = _same_test_set({run: found[run] for run in named if run in found}, missing)
    if scoring.references:
        found = {
            run: replace(
                system, generations=tuple(with_references(system.generations, system.file, scoring.references))
            )
            for run, system in found.items()
        }
    return found


def _same_test_set(answers: dict[RunFolder, System], missing: list[Missing]) -> dict[RunFolder, System]:
    """The runs that answered the test set that most of them did: scores on different ones don't compare."""
    sets = {run: tuple(each.reference for each in system.generations) for run, system in answers.items()}
    most = Counter(sets.values()).most_common(1)[0][0] if sets else ()
    for run in answers:
        if sets[run] != most:
            missing.append(
                Missing(
                    run.name,
                    f"{run.responses}: not the test set of the other runs ({len(sets[run])} and {len(most)} "
                    "contexts, or other references)",
                    SERVES[GENERATED],
                    run.made_by(GENERATED),
                )
            )
    return {run: found for run, found in answers.items() if sets[run] == most}


def _scores(
    kind: Kind, answers: Mapping[RunFolder, System], scoring: Scoring, missing: list[Missing]
) -> tuple[Row | None, dict[str, Row]]:
    """The references' row, and each system's."""
    if not answers:
        return None, {}
    if scoring.known is not None:
        runs = {system.name: run for run, system in answers.items()}
        rows = {name: scoring.known[name] for name in runs if name in scoring.known}
        missing += [
            Missing(run.name, f"--scores has no row {name}", SERVES[GENERATED], "fairseq-latent score … --format json")
            for name, run in runs.items()
            if name not in scoring.known
        ]
        return scoring.known.get(REFERENCE), rows
    systems = list(answers.values())
    measures = _measures(kind, systems, scoring)
    if systems[0].references is not None:
        return measures[0], {row.name: row for row in measures[1:]}
    for run in answers:
        remedy = "--reference FILE" if run.outside else run.made_by(GENERATED)
        missing.append(Missing(run.name, f"{run.responses}: no references (T- lines)", "BLEU", remedy))
    return None, {row.name: row for row in measures}


def _measures(kind: Kind, systems: Sequence[System], scoring: Scoring) -> list[Row]:
    hypothesis, more = "first", NOTHING
    if kind.personas:
        hypothesis, more = "mean", scoring.further(len(systems[0].generations))
    return measure_systems(systems, scoring.language, hypothesis, scoring.resamples, scoring.seed, further=more)


def _alike(kind: Kind, answers: Mapping[RunFolder, System], scoring: Scoring) -> Sequence[Row]:
    """Rows of the same responses cut to equal lengths, where that was asked for, or systems are from elsewhere."""
    asked = scoring.equal_length or any(run.outside for run in answers)
    if not asked or len({system.name for system in answers.values()}) < 2:
        return ()
    if scoring.known is not None:
        return list((scoring.known_alike or {}).values())
    samples = min(system.samples for system in answers.values()) if kind.personas else 1
    return _measures(kind, cut_alike(list(answers.values()), scoring.language, samples), scoring)


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
