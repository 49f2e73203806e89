"""`fairseq-latent personas`: persona models side by side, with all measures of Cho et al. (2022)."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from fairseq_latent.errors import InputError
from fairseq_latent.files import written_together

from ..evaluation.reporting.page import with_part
from ..evaluation.reporting.personas import (
    PART,
    REFERENCE,
    TITLE,
    as_csv,
    latents_table,
    perplexity_table,
    read_row,
    read_scores,
    responses_table,
    section,
    unfinished,
)
from ..evaluation.runs.run_folder import run_folders


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent personas`."""
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN", help="a row's name and the folder of its training")
    parser.add_argument(
        "--scores", metavar="FILE", help="`fairseq-latent score --format json` of rows of the same names"
    )
    parser.add_argument("--page", metavar="FILE", help="a Markdown page to put the tables into, between its two marks")
    parser.add_argument(
        "--pictures", nargs="*", default=[], metavar="NAME=FILE", help="pictures of rows, to be shown on the page"
    )
    parser.add_argument("--csv", metavar="FILE", help="write all numbers, a line per row")
    parser.add_argument("--format", choices=("text", "markdown", "latex"), default="text", help="of what is printed")


def main(args: argparse.Namespace) -> None:
    """Print the tables; write what was asked for."""
    scores, signatures = read_scores(Path(args.scores)) if args.scores else ({}, {})
    rows = [read_row(run, scores) for run in run_folders(args.runs, all_there=False)]
    references = scores.get(REFERENCE)
    files = {}
    if args.page:
        path = Path(args.page)
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        pictures = _pictures(args.pictures, path.parent, {row.name for row in rows})
        files[args.page] = with_part(before, PART, section(rows, references, signatures, pictures), TITLE)
    if args.csv:
        files[args.csv] = as_csv(rows, references)
    if files:
        with written_together(files) as opened:
            for file, content in zip(opened, files.values(), strict=True):
                file.write(content)
    print(perplexity_table(rows, args.format))
    print(f"\n{responses_table(rows, references, args.format)}")
    with_latents = [row for row in rows if row.has_latents]
    if with_latents:
        print(f"\n{latents_table(with_latents, args.format)}")
    print(unfinished(rows), file=sys.stderr)


def _pictures(given: Sequence[str], folder: Path, names: set[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in given:
        fitting = [name for name in names if each.startswith(f"{name}=")]  # names and files may hold a `=`, too
        if not fitting:
            raise InputError(f"--pictures {each}: no row of that name; remedy: NAME=FILE, the NAME of a run")
        name = max(fitting, key=len)
        file = os.path.relpath(each.removeprefix(f"{name}="), folder)
        found.setdefault(name, []).append(Path(file).as_posix())
    return found
