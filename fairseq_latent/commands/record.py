"""`fairseq-latent record`: a measured run becomes one small text file, which outlives its checkpoint and responses."""

import argparse
import shlex
from pathlib import Path

from fairseq_latent.files import written_whole
from fairseq_latent.ranges import SEED, typed

from ..evaluation.reporting.records.collected import collect
from ..evaluation.reporting.records.record import as_json
from ..evaluation.runs.run_folder import run_folders


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent record`."""
    add = parser.add_argument
    add(
        "run",
        metavar="NAME=RUN",
        help="the system's name in tables, and the folder of its training, measured per dialogue",
    )
    add("--training-seed", type=typed(int, SEED), default=1, metavar="N", help="seed of the training (default: 1)")
    add(
        "--stages",
        nargs="*",
        default=[],
        metavar="RUN",
        help="folders of trainings that it began with, in order: their cost counts, too",
    )
    add("--again", metavar="COMMAND", help="a line that makes the record again (default: the training's command)")
    add("--out", required=True, metavar="FILE", help="the record, JSON: `fairseq-latent compare` reads it")


def main(args: argparse.Namespace) -> None:
    """Read the folder, write the record."""
    (run,) = run_folders([args.run])
    again = args.again or shlex.join(["fairseq-latent", "record", args.run, "--out", args.out])
    record = collect(run, args.training_seed, again, [Path(stage) for stage in args.stages])
    with written_whole(args.out) as file:
        file.write(as_json(record))
    print(args.out)
