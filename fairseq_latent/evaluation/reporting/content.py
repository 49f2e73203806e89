"""What a report says: read from the runs, measured and put together; `page` renders it."""

import argparse
import contextlib
import platform
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fairseq_latent import __version__
from fairseq_latent.errors import InputError
from fairseq_latent.human_evaluation.results.tables import beside_the_paper
from fairseq_latent.text.word_tokenizers import tokenizer

from ..metrics.listening import Answer
from ..metrics.p_distance import read_profiles
from ..metrics.persona_metrics import NOTHING, persona_measures
from ..runs.response_files import Generation, read_lines
from ..runs.run_folder import CHECKPOINT, LOG, MADE_BY, OPTIONAL, run_folders
from ..runs.side_by_side import Dialogue, dialogue, spread_contexts
from .collect import Measured, Scoring, attempt, grouped, measured
from .comparisons import listed
from .figures import Picture, pictures
from .kinds import OF_SENTENCES, Kind, shown_columns
from .observations import Findings, findings, from_elsewhere, listening, seeds_of
from .score_table import read_rows
from .systems import MeasuredSystem, Missing, trainings
from .tables import (
    Table,
    at_equal_length,
    beside_paper,
    budget,
    flags_that_differ,
    marks,
    meanings,
    papers_tables,
    results,
)


@dataclass(frozen=True)
class Section:
    """What the page says of the systems of one kind; `anchor` is the end of its headings' names."""

    kind: Kind
    anchor: str
    introduction: list[str]
    listening: list[Answer]
    results: Table
    alike: Table  # the same at equal lengths, without rows where it was not measured
    marks: list[str]
    meanings: Sequence[tuple[str, str]]
    findings: Findings
    beside_paper: Table
    paper: str  # where the numbers of `beside_paper` stand
    pictures: list[Picture]
    dialogues: list[Dialogue]
    budget: Table
    differences: Table
    papers_tables: list[Table]


@dataclass(frozen=True)
class Report:
    """All that the page says; HTML and Markdown are two renderings of it."""

    title: str
    language: str
    colours: dict[str, str]
    missing: list[Missing]
    sections: list[Section]
    people: tuple[Table, str] | None  # how people judged the responses, and what it is
    signatures: list[tuple[str, list[str]]]

    @property
    def pictures(self) -> list[Picture]:
        """Of all sections."""
        return [picture for section in self.sections for picture in section.pictures]


def assemble(args: argparse.Namespace) -> Report:
    """Measure all runs and put the page together; refuse only where nothing at all can be shown."""
    from ..plotting import style

    runs = run_folders(args.runs, all_there=False, files=True)
    if not Path(args.data).is_dir():
        raise InputError(f"--data {args.data}: no such folder; remedy: the folder made by fairseq-preprocess")
    scoring = Scoring(
        args.lang,
        args.bootstrap,
        args.seed,
        args.reference,
        lambda contexts: persona_measures(args, contexts, tokenizer(args.lang)) if args.vectors else NOTHING,
        read_rows(args.scores) if args.scores else None,
        args.seeds == "apart",
        read_lines(args.ids) if args.ids else None,
        args.equal_length,
        read_rows(args.scores, "equal_length") if args.scores else None,
    )
    missing: list[Missing] = []
    found = [measured(kind, members, scoring, missing) for kind, members in grouped(runs, missing).items()]
    order = {run.name: place for place, run in enumerate(runs)}
    missing.sort(key=lambda each: order[each.system])
    systems = sorted(
        (system for of_kind in found for system in of_kind.systems),
        key=lambda each: min(order[training.name] for training in each.trainings),
    )
    if all(training == MeasuredSystem(training.run) for training in trainings(systems)):
        raise InputError(f"nothing to report of {len(runs)} runs: {missing[0].problem}; remedy: {missing[0].remedy}")
    sections: list[Section] = []
    examples: list[int] = []
    for place, of_kind in enumerate(found):
        chosen, section = _section(args, of_kind, f"-{of_kind.kind.name}" if place else "", missing)
        sections.append(section)
        examples += chosen
    return Report(
        title=args.title,
        language=args.lang,
        colours={system.name: style.colour(index) for index, system in enumerate(systems)},
        missing=missing,
        sections=sections,
        people=judged(args.agreement) if args.agreement else None,
        signatures=signatures(args, found, systems, list(dict.fromkeys(examples))),
    )


def judged(path: str) -> tuple[Table, str]:
    """What `fairseq-latent agreement` found, beside the papers' human numbers."""
    columns, rows, note = beside_the_paper(path)
    return Table("Judged by people", columns, rows), note


def _section(
    args: argparse.Namespace, found: Measured, anchor: str, missing: list[Missing]
) -> tuple[Sequence[int], Section]:
    """The lines of the test set whose latents are shown, and all that is said."""
    kind, systems = found.kind, found.systems
    shown = dialogues(found, args.contexts, args.profiles if kind.personas else None)
    examples = args.example or [_typical(shown, found.test)]
    for example in examples:
        if example < 0 or (found.test and example >= len(found.test)):
            raise InputError(f"--example {example}: test has no such line; remedy: 0 to {max(len(found.test), 1) - 1}")
    published = kind.published[args.lang]
    return examples, Section(
        kind=kind,
        anchor=anchor,
        introduction=introduction(args, kind, systems, missing),
        listening=listening(systems, found.reference),
        results=results(kind.shown, found.reference, systems),
        alike=at_equal_length(kind.shown, found.alike),
        marks=marks(systems),
        meanings=meanings(kind.shown, systems),
        findings=findings(kind, systems, found.reference),
        beside_paper=beside_paper(kind, published, found.reference, systems),
        paper=kind.paper.format(place=published.place),
        pictures=pictures(args, kind, systems, examples, anchor, missing),
        dialogues=shown,
        budget=budget(systems),
        differences=flags_that_differ(systems),
        papers_tables=papers_tables(published),
    )


def dialogues(found: Measured, contexts: int, profiles: str | None = None) -> list[Dialogue]:
    """Sample responses of all systems that have some, to contexts that all of these answered.

    profiles: the file of the partner's, one per line of the test set.
    """
    samples = {system.name: system.samples for system in found.systems if system.samples}
    common = min(map(len, samples.values()), default=0)
    described = read_profiles(profiles, len(found.test)) if profiles and found.test else ()
    return [
        replace(dialogue(samples, each), profile=described[each] if described else "")
        for each in spread_contexts(common, contexts)
    ]


def _typical(shown: Sequence[Dialogue], test: Sequence[Generation]) -> int:
    """The context whose reference has the median length: of those shown, else of the test set, else the first."""
    references = [(each.reference, each.id) for each in shown] or [(each.reference or "", each.id) for each in test]
    by_length = sorted(references, key=lambda each: (len(each[0]), each[1]))
    return by_length[len(by_length) // 2][1] if by_length else 0


def introduction(
    args: argparse.Namespace, kind: Kind, systems: Sequence[MeasuredSystem], missing: list[Missing]
) -> list[str]:
    """What was compared, on what data."""
    from ..analysis.checkpoint import corpus_sizes

    names = listed([system.name for system in systems])
    paragraphs = [f"Compared: {names}. {kind.lead}", *seeds_of(systems), *from_elsewhere(systems)]
    known = ((system, system.settings) for system in systems)
    trained, settings = next(((system, each) for system, each in known if each), (None, None))
    if trained is None or settings is None:
        return paragraphs
    data = Path(args.data)
    if (data / "dict.txt").is_file() != (kind is OF_SENTENCES):  # of another kind of system: what these were trained on
        data = Path(settings.flag("data"))
    sizes = attempt(
        lambda: corpus_sizes(trained.run.file(CHECKPOINT), data), trained.name, "sizes of the data", None, missing
    )
    if sizes:
        uses = {"train": "for training", "valid": "for validation", "test": "for testing"}
        what, tokens_of = ("Sentences", "") if kind is OF_SENTENCES else ("Pairs of context and response", "response ")
        parts = [f"{pairs:,} {uses[split]} ({tokens:,} {tokens_of}tokens)" for split, (pairs, tokens) in sizes.items()]
        paragraphs.append(f"{what}: {', '.join(parts)}.")
    return paragraphs


def _versions() -> list[str]:
    """What the figures depend on, and which of the two fairseqs is there."""
    found = []
    for name in ("torch", "ve-fairseq", "fairseq-fixed", "matplotlib", "openTSNE"):
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return found


def signatures(
    args: argparse.Namespace, found: Sequence[Measured], systems: Sequence[MeasuredSystem], examples: Sequence[int]
) -> list[tuple[str, list[str]]]:
    """How to make the same numbers again."""
    shown = {column.score for each in found for column in shown_columns(each.kind.shown, each.systems)}
    rows = [system.row for system in systems if system.row]
    metrics = {score.signature: None for row in rows for name, score in row.scores.items() if name in shown}
    tests = {row.comparison.signature: None for row in rows if row.comparison}
    latent = {of.signature: None for system in systems for of in (system.valid, system.test) if of}
    command = ["fairseq-latent", "report", *args.runs, "--out", "DIR", "--data", args.data, "--lang", args.lang]
    command += ["--contexts", args.contexts, "--example", *examples, "--prior", args.prior]
    command += ["--posterior", args.posterior, "--bootstrap", args.bootstrap, "--seed", args.seed]
    command += ["--seeds", args.seeds] if args.seeds != "together" else []
    command += ["--equal-length"] if args.equal_length else []
    for flag in ("scores", "ids", "agreement", "reference", "profiles", "vectors", "stopwords", "train_text"):
        given = getattr(args, flag)
        command += [f"--{flag.replace('_', '-')}", *([given] if isinstance(given, str) else given)] if given else []
    made = [
        training.run.made_by(name)
        for training in trainings(systems)
        for name in (*MADE_BY, *OPTIONAL)
        if name != LOG and (training.run.folder / name).is_file()
    ]
    versions = [f"Python {platform.python_version()}", f"fairseq_latent {__version__}", *_versions()]
    parts = [
        ("Metrics", list(metrics)),
        ("Comparisons", list(tests)),
        ("Latent statistics", list(latent)),
        ("Versions", [", ".join(versions)]),
        ("Files of a run come from", made),
        ("This page", [shlex.join(map(str, command))]),
    ]
    return [(name, lines) for name, lines in parts if lines]
