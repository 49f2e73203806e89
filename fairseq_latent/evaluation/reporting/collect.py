"""Reads what there is of each run, for a report: what is missing or can't be used is named, and the rest is measured."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from fairseq_latent.compat.error_messages import translate
from fairseq_latent.errors import InputError

from ..analysis.latent_statistics import LatentStatistics, read_statistics
from ..metrics.persona_metrics import NOTHING, PersonaMeasures
from ..metrics.score import Row, System, measure_systems
from ..runs.method_names import bounds_likelihood, has_latent
from ..runs.response_files import Generation, read_generations, with_references
from ..runs.run_folder import CHECKPOINT, GENERATED, LATENTS_TEST, LATENTS_VALID, LOG, MADE_BY, SAMPLES, RunFolder
from ..runs.side_by_side import foreign_context
from ..runs.training_config import TrainingSettings, training_settings
from ..runs.training_log import TrainingLog, read_training_log

SERVES = {  # file -> what a report lacks without it
    CHECKPOINT: "flags, size, the paper's row, the picture of latents",
    LOG: "curves, updates and time",
    GENERATED: "BLEU, dist-n, length",
    SAMPLES: "sample responses",
    LATENTS_VALID: "KLD, AU, MI, perplexities",
    LATENTS_TEST: "KLD on the test set",
}
PERSONA_TASK = "persona_dialogue"
Piece = TypeVar("Piece")


@dataclass(frozen=True)
class Missing:
    """Something that a report goes without: whose, what is wrong, what is lacking for it, and what to do."""

    system: str
    problem: str
    lacking: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.system}: {self.problem} (lacking: {self.lacking}); remedy: {self.remedy}"


@dataclass(frozen=True)
class MeasuredSystem:
    """Everything that was read of one run; None for what is missing."""

    run: RunFolder
    row: Row | None = None
    valid: LatentStatistics | None = None
    test: LatentStatistics | None = None
    log: TrainingLog | None = None
    settings: TrainingSettings | None = None
    samples: Sequence[Generation] | None = None

    @property
    def name(self) -> str:
        """The system's name."""
        return self.run.name

    @property
    def has_latents(self) -> bool:
        """Whether the model has any."""
        return has_latent(self.settings)

    def score(self, metric: str) -> float | None:
        """A corpus value on the test set."""
        found = self.row and self.row.scores.get(metric)
        return found.value if found else None


@dataclass(frozen=True)
class Measured:
    """All runs, the references' row, the test set as the runs answered it (empty where none did), what is missing, and
    whether any run was trained on data with personas."""

    systems: Sequence[MeasuredSystem]
    reference: Row | None
    test: Sequence[Generation]
    missing: list[Missing]
    personas: bool = False


def measured(
    runs: Sequence[RunFolder],
    language: str,
    resamples: int,
    seed: int,
    references: Sequence[str] = (),
    further: Callable[[int], PersonaMeasures] = lambda contexts: NOTHING,
) -> Measured:
    """Read all runs; refuse only where nothing at all can be shown. `references` (files) replace the T- lines.

    further: what else is measured of the responses to so many contexts, on a page of personas.
    """
    missing = [each for run in runs for each in _absent(run)]
    answers = {run: _piece(run, GENERATED, read_generations, missing) for run in runs}
    sampled = {run: _piece(run, SAMPLES, read_generations, missing) for run in runs}
    systems = [
        MeasuredSystem(
            run=run,
            valid=_piece(run, LATENTS_VALID, read_statistics, missing),
            test=_piece(run, LATENTS_TEST, read_statistics, missing),
            log=_piece(run, LOG, read_training_log, missing),
            settings=_piece(run, CHECKPOINT, training_settings, missing),
        )
        for run in runs
    ]
    systems = [_meaningful(each) for each in systems]
    if all(found == MeasuredSystem(found.run) for found in systems) and not any([*answers.values(), *sampled.values()]):
        raise InputError(f"nothing to report of {len(runs)} runs: {missing[0].problem}; remedy: {missing[0].remedy}")
    answers = _same_test_set({run: found for run, found in answers.items() if found}, missing)
    if references:
        answers = {run: with_references(found, run.folder / GENERATED, references) for run, found in answers.items()}
    personas = any(each.settings and each.settings.task == PERSONA_TASK for each in systems)
    reference, rows = _scores(answers, personas, language, resamples, seed, further, missing)
    test = next(iter(answers.values()), [])
    samples = _same_contexts({run: found for run, found in sampled.items() if found}, test, missing)
    if references and test:
        samples = {run: _referring(found, test) for run, found in samples.items()}
    systems = [replace(each, row=rows.get(each.name), samples=samples.get(each.run)) for each in systems]
    order = {run.name: place for place, run in enumerate(runs)}
    return Measured(systems, reference, test, sorted(missing, key=lambda each: order[each.system]), personas)


def _meaningful(system: MeasuredSystem) -> MeasuredSystem:
    """Without the statistics that say nothing of such a model."""
    pieces = {"valid": system.valid, "test": system.test}
    if not system.has_latents:
        nothing = dict.fromkeys(("kl", "au", "mi"))
    elif not bounds_likelihood(system.settings):
        nothing = dict.fromkeys(("kl", "elbo_ppl", "iw_ppl"))
    else:
        return system
    return replace(system, **{name: found and replace(found, **nothing) for name, found in pieces.items()})


def attempt(read: Callable[[], Piece], system: str, lacking: str, remedy: str | None, missing: list) -> Piece | None:
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


def _absent(run: RunFolder) -> list[Missing]:
    """The files that are not there; where the checkpoint is none of the others can be made without it."""
    if not run.folder.is_dir():
        remedy = MADE_BY[CHECKPOINT].format(folder=run.folder)
        return [Missing(run.name, f"{run.folder}: no such folder", "everything", remedy)]
    names = [name for name in MADE_BY if not (run.folder / name).is_file()]
    if CHECKPOINT in names[:1] and len(names) > 1:
        lacking = "everything" if len(names) == len(MADE_BY) else "; ".join(SERVES[name] for name in names)
        problem = f"{run.folder}: {', '.join(names)} are missing"
        return [Missing(run.name, problem, lacking, f"{run.made_by(CHECKPOINT)}, then the others")]
    return [Missing(run.name, f"{run.folder / name} is missing", SERVES[name], run.made_by(name)) for name in names]


def _piece(run: RunFolder, name: str, read: Callable[..., Piece], missing: list[Missing]) -> Piece | None:
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
    answers: dict[RunFolder, list[Generation]],
    personas: bool,
    language: str,
    resamples: int,
    seed: int,
    further: Callable[[int], PersonaMeasures],
    missing: list[Missing],
) -> tuple[Row | None, dict[str, Row]]:
    """The references' row, and each system's."""
    if not answers:
        return None, {}
    systems = [System(run.name, str(run.folder / GENERATED), tuple(found)) for run, found in answers.items()]
    hypothesis, more = "first", NOTHING
    if personas:
        hypothesis, more = "mean", further(len(systems[0].generations))
    rows = measure_systems(systems, language, hypothesis, resamples, seed, further=more)
    if systems[0].references is not None:
        return rows[0], {row.name: row for row in rows[1:]}
    for run in answers:
        problem = f"{run.folder / GENERATED}: no references (T- lines)"
        missing.append(Missing(run.name, problem, "BLEU", MADE_BY[GENERATED].format(folder=run.folder, file=GENERATED)))
    return None, {row.name: row for row in rows}


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
