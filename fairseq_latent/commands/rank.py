"""`fairseq-latent rank`: how often a model prefers the right reply to other candidates."""

import argparse
import json
from pathlib import Path

from ..errors import InputError
from ..evaluation.arguments import add_autocast, add_by_dialogue, add_output, add_running, deliver
from ..evaluation.metrics.dialogues.sums import write_sums
from ..memory import require_memory
from ..ranges import COUNT, Range, typed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent rank`."""
    add = parser.add_argument
    add("data", metavar="DATA", help="folder made by fairseq-preprocess; SPLIT.candidates there has candidates")
    add("systems", nargs="+", metavar="[NAME=]CHECKPOINT", help="checkpoints of dialogue models")
    add("--split", default="test", help="valid or test (default: test)")
    add(
        "--by",
        choices=("choice", "normalised", "likelihood"),
        help="score of a candidate: that of the next-utterance head, its log-likelihood per token, or "
        "its log-likelihood (default: choice if the model has such a head, else normalised)",
    )
    add(
        "--candidates",
        type=typed(int, Range(2)),
        default=20,
        metavar="N",
        help="candidates, the right reply among them, of examples that have none in SPLIT.candidates: replies of other "
        "dialogues, sampled by --seed (default: 20)",
    )
    add(
        "--latent-samples",
        type=typed(int, COUNT),
        default=3,
        metavar="N",
        help="latents of the prior per context, over which likelihoods are averaged (default: 3)",
    )
    add(
        "--max-dialogues",
        type=typed(int, COUNT),
        metavar="N",
        help="rank in N dialogues at random, by --seed, in place of all, the same ones as `latents`; DATA needs SPLIT.ids",
    )
    add_autocast(parser)
    add_by_dialogue(parser, "; DATA needs SPLIT.ids")
    add_running(parser, "sampled candidates, latents and resamples")
    add_output(parser)


def main(args: argparse.Namespace) -> None:
    """Rank with every system, print."""
    from tqdm import tqdm

    from ..evaluation.analysis.checkpoint import load
    from ..evaluation.analysis.latents import some_dialogues
    from ..evaluation.analysis.ranking import as_fields, offers, rank, table

    rows = []
    for system in args.systems:
        name, path = named(system)
        trained = load(path, args.data, args.split, args.seed, args.cpu)
        if not getattr(trained.task, "reads_context", True):
            raise InputError(f"{path} writes its sentence again, it does not answer; remedy: a dialogue model")
        given = offers(trained, args.data, args.candidates, args.seed)
        samples = args.latent_samples if trained.model.latent_dim else 1
        require_memory(12.0 * samples, f"--latent-samples {samples}", "fewer")  # of one pair
        count = len(trained.task.dataset(args.split))
        some = some_dialogues(args.data, args.split, count, args.max_dialogues, args.seed)
        with tqdm(desc=name, unit=" replies", total=len(some[0] or range(count)), disable=None) as bar:
            rows.append(rank(trained, name, given, args.by, samples, args.seed, bar.update, args.autocast, some))
    if args.by_dialogue:
        write_sums(args.by_dialogue, {row.name: row.sums(args.data) for row in rows})
    if args.format == "json":
        text = json.dumps([as_fields(row, args.seed) for row in rows], indent=2)
    else:
        comment = "% " if args.format == "latex" else ""
        signatures = "\n".join(f"{comment}{row.name}: {row.signature}" for row in rows)
        text = f"{table(rows, args.format, args.seed)}\n\n{signatures}"
    deliver(text, args.out)


def named(system: str) -> tuple[str, str]:
    """NAME=CHECKPOINT, or CHECKPOINT, which is called after its folder."""
    name, equals, path = system.partition("=")
    if equals and name and path:
        return name, path
    return Path(system).resolve().parent.name, system
