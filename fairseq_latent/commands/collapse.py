"""`fairseq-latent collapse`: what remedies against posterior collapse do, beside Table 3 of Cho et al. (2022)."""

import argparse
import os
import sys
from pathlib import Path

from fairseq_latent.files import written_together

from ..evaluation.reporting.collapse import (
    PART,
    TITLE,
    as_csv,
    curves_as_csv,
    joined,
    section,
    table,
    trained_row,
    unfinished,
    written_rows,
)
from ..evaluation.reporting.page import with_part
from ..evaluation.runs.run_folder import run_folders


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent collapse`."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="NAME=RUN",
        help="a row's name and the folder of its training as the script leaves it: train.log, done, latents.test.json",
    )
    parser.add_argument("--page", metavar="FILE", help="a Markdown page to put the table into, between its two marks")
    parser.add_argument("--picture", metavar="FILE", help="draw the KL curves: .png, .svg or .pdf; the page shows them")
    parser.add_argument(
        "--csv", metavar="FILE", help="write all numbers, a line per row; rows of it that are not trained anew stay"
    )
    parser.add_argument(
        "--curves", metavar="FILE", help="write the KL over updates, a line per point; those of rows that stay, stay"
    )
    parser.add_argument(
        "--updates", type=int, metavar="N", help="what the runs will have: no row of other updates stands beside them"
    )
    parser.add_argument("--format", choices=("text", "markdown", "latex"), default="text", help="of what is printed")


def main(args: argparse.Namespace) -> None:
    """Print the table; write what was asked for."""
    trained = [trained_row(run) for run in run_folders(args.runs, all_there=False)]
    written = written_rows(Path(args.csv), args.curves and Path(args.curves)) if args.csv else []
    rows = joined(trained, written, args.updates)
    files: dict[str, bytes] = {}
    logs = {row.name: row.log for row in rows if row.log}
    picture = args.picture if logs else None
    if picture:
        from ..evaluation.plotting import style, training_curves

        files[picture] = style.encoded(training_curves.kl_curves(logs), style.ending(picture, style.FORMATS, "picture"))
    if args.page:
        path = Path(args.page)
        beside = picture and Path(os.path.relpath(picture, path.parent)).as_posix()
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        files[args.page] = with_part(before, PART, section(rows, beside), TITLE).encode()
    if args.csv:
        files[args.csv] = as_csv(rows).encode()
    if args.curves:
        files[args.curves] = curves_as_csv(rows).encode()
    if files:
        with written_together(files, "wb") as opened:
            for file, content in zip(opened, files.values(), strict=True):
                file.write(content)
    print(table(rows, args.format))
    print(unfinished(rows), file=sys.stderr)
