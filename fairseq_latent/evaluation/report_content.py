"""What a report says: read from the runs, measured and put together; `report_page` renders it."""

import argparse
import contextlib
import platform
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from fairseq_latent import __version__
from fairseq_latent.errors import InputError

from .dialogues import Dialogue, check_contexts, dialogue, spread_contexts
from .findings import MeasuredSystem, findings, picture_of_latents
from .io import Generation
from .latents import read_statistics
from .plot import sampled_latents
from .report_tables import MEANINGS, RESULTS, Table, budget, flags_that_differ, results
from .run_folder import (
    CHECKPOINT,
    GENERATED,
    LATENTS_TEST,
    LATENTS_VALID,
    LOG,
    MADE_BY,
    SAMPLES,
    RunFolder,
    run_folders,
)
from .score import Row, measure_systems, read_named
from .settings import training_settings
from .tables import MISSING
from .training_log import read_training_log


@dataclass(frozen=True)
class Picture:
    """A figure's file name, its heading, what it shows, what to look for, and its bytes (PNG)."""

    file: str
    heading: str
    alternative: str
    caption: str
    png: bytes


@dataclass(frozen=True)
class Report:
    """All that the page says; HTML and Markdown are two renderings of it."""

    title: str
    language: str
    colours: dict[str, str]
    introduction: list[str]
    budget: Table
    differences: Table
    results: Table
    meanings: Sequence[tuple[str, str]]
    findings: list[str]
    pictures: list[Picture]
    dialogues: list[Dialogue]
    published: Table
    signatures: list[tuple[str, list[str]]]


def assemble(args: argparse.Namespace) -> Report:
    """Measure all runs and put the page together."""
    from . import plots, published
    from .checkpoint import corpus_sizes

    runs = run_folders(args.runs)
    systems, reference, test = measured(runs, args.lang)
    samples = {system.name: system.samples for system in systems}
    check_contexts(samples, test, SAMPLES)
    shown = [dialogue(samples, each) for each in spread_contexts(len(systems[0].samples), args.contexts)]
    example = _typical(shown) if args.example is None else args.example
    if not 0 <= example < len(test):
        raise InputError(f"--example {example}: test has no such line; remedy: 0 to {len(test) - 1}")
    return Report(
        title=args.title,
        language=args.lang,
        colours={system.name: plots.colour(index) for index, system in enumerate(systems)},
        introduction=introduction(systems, corpus_sizes(runs[0].file(CHECKPOINT), args.data)),
        budget=budget(systems),
        differences=flags_that_differ(systems),
        results=results(reference, systems),
        meanings=MEANINGS,
        findings=findings(systems, reference),
        pictures=pictures(args, systems, test[example]),
        dialogues=shown,
        published=(published.COLUMNS, published.SPECULATIVE_ENGLISH),
        signatures=signatures(args, systems, example),
    )


def measured(runs: Sequence[RunFolder], language: str) -> tuple[list[MeasuredSystem], Row, list[Generation]]:
    """Read all that the runs hold, what is missing first; also the references' row and the first system's test set."""
    for run in runs:
        run.require(*MADE_BY)
    generated = read_named([(run.name, str(run.file(GENERATED))) for run in runs])
    sampled = read_named([(run.name, str(run.file(SAMPLES))) for run in runs])
    if generated[0].references is None:
        raise InputError(f"{generated[0].file}: no references (T- lines); remedy: {MADE_BY[GENERATED]}")
    reference, *rows = measure_systems(generated, language)
    systems = [
        MeasuredSystem(
            run=run,
            row=row,
            valid=read_statistics(run.file(LATENTS_VALID)),
            test=read_statistics(run.file(LATENTS_TEST)),
            log=read_training_log(run.file(LOG)),
            settings=training_settings(run.file(CHECKPOINT)),
            samples=samples.generations,
        )
        for run, row, samples in zip(runs, rows, sampled, strict=True)
    ]
    return systems, reference, list(generated[0].generations)


def _typical(shown: Sequence[Dialogue]) -> int:
    by_length = sorted(shown, key=lambda each: (len(each.reference), each.id))
    return by_length[len(by_length) // 2].id


def introduction(systems: Sequence[MeasuredSystem], sizes: dict[str, tuple[int, int]]) -> list[str]:
    """What was compared, on what data."""
    names = ", ".join(system.name for system in systems)
    uses = {"train": "for training", "valid": "for validation", "test": "for testing"}
    parts = [f"{pairs:,} {uses[split]} ({tokens:,} response tokens)" for split, (pairs, tokens) in sizes.items()]
    return [
        f"Compared: {names}. Each reads a conversation so far and writes the next response, with a latent variable z for "
        "all that the context leaves open. In training z comes from a posterior, which sees the response; "
        "in use it comes from a prior, which sees the context alone.",
        f"Pairs of context and response: {', '.join(parts)}.",
    ]


def pictures(args: argparse.Namespace, systems: Sequence[MeasuredSystem], example: Generation) -> list[Picture]:
    """KL curves, loss curves, latent space."""
    from . import plots
    from .latent_picture import latent_picture
    from .latent_samples import SampledPair

    logs = {system.name: system.log for system in systems}
    samples = sampled_latents(args, [system.run for system in systems], args.data, "test", example.id)
    pair = SampledPair(example.id, example.source or "", example.reference or "", samples)
    best = ""
    if any(system.settings.flag("k") not in ("1", MISSING) for system in systems):
        best = " Training with K > 1 logs the best (or mean) of K latents, validation always a single one."
    return [
        Picture(
            "kl.png",
            "How much the latent is used, during training",
            "KL divergence over updates, a line a system",
            "KL divergence of the posterior from the prior. A curve that falls to 0 is a posterior that collapses.",
            plots.encoded(plots.kl_curves(logs)),
        ),
        Picture(
            "loss.png",
            "How well responses are reconstructed",
            "negative log-likelihood and reconstruction perplexity over updates, a line a system",
            f"Lower is better. Training runs with dropout, validation without, so points may lie below lines.{best}",
            plots.encoded(plots.loss_curves(logs)),
        ),
        Picture(
            "latents.png",
            "The latent space of one response",
            "two-dimensional map of latents, a panel a system",
            f"Latents for test line {example.id} (reference: “{example.reference}”), {args.prior} of the prior and "
            f"{args.posterior} of the posterior, mapped to the plane by t-SNE, whose distances and axes have no unit; "
            "after Figure 2 of Sato et al. (2021). Colour: how probable the model finds the reference given that latent. "
            f"One colour all over: the latent does not matter. {picture_of_latents(samples)}",
            plots.encoded(latent_picture([pair], "pair", columns=2)),
        ),
    ]


def _versions() -> list[str]:
    """What the figures depend on, and which of the two fairseqs is there."""
    found = []
    for name in ("torch", "ve-fairseq", "fairseq-fixed", "matplotlib", "openTSNE"):
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return found


def signatures(
    args: argparse.Namespace, systems: Sequence[MeasuredSystem], example: int
) -> list[tuple[str, list[str]]]:
    """How to make the same numbers again."""
    shown = {column.header for column in RESULTS}
    scores = [score for system in systems for name, score in system.row.scores.items() if name in shown]
    metrics = {score.signature: None for score in scores}
    latent = {found.signature: None for system in systems for found in (system.valid, system.test)}
    command = ["fairseq-latent", "report", *args.runs, "--out", "DIR", "--data", args.data, "--lang", args.lang]
    command += ["--contexts", args.contexts, "--example", example, "--prior", args.prior]
    command += ["--posterior", args.posterior, "--seed", args.seed]
    made = [system.run.made_by(name) for system in systems for name in MADE_BY if name != LOG]
    return [
        ("Metrics", list(metrics)),
        ("Latent statistics", list(latent)),
        (
            "Versions",
            [", ".join([f"Python {platform.python_version()}", f"fairseq_latent {__version__}", *_versions()])],
        ),
        ("Files of a run come from", made),
        ("This page", [shlex.join(map(str, command))]),
    ]
