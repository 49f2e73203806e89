"""`fairseq-latent table`: trainings side by side, finished or not, in a page that people write around."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from fairseq_latent.errors import InputError
from fairseq_latent.files import written_together

from ..evaluation.reporting.page import with_part
from ..evaluation.reporting.page_part import PARTS as OF_PAPERS
from ..evaluation.reporting.remedies.part import REMEDIES_PART
from ..evaluation.reporting.score_table import read_rows
from ..evaluation.reporting.table_rows import as_csv, joined, people, rows_of, written_rows
from ..evaluation.runs.run_folder import run_folders

PARTS = {**OF_PAPERS, "remedies": REMEDIES_PART}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent table`."""
    add = parser.add_argument
    add(
        "kind",
        choices=PARTS,
        help="sentences: remedies against posterior collapse, beside Table 3 of Cho et al. (2022); personas: persona "
        "models, with all measures of that paper; remedies: REMEDY: STRENGTH=RUN, a line per remedy against the KL",
    )
    add(
        "runs",
        nargs="*",
        metavar="NAME=RUN",
        help="a row's name and the folder of its training as scripts/tables leaves it: train.log, done, latents.test.json; "
        "NAME=RUN,RUN,…: its trainings with several seeds",
    )
    add(
        "--part",
        metavar="NAME",
        help="remedies: of which of several tables on the page the marks are, e.g. of a data set",
    )
    add("--scores", metavar="FILE", help="personas: `fairseq-latent score --format json` of rows of the same names")
    add("--page", metavar="FILE", help="a Markdown page to put the tables into, between its two marks")
    add("--csv", metavar="FILE", help="write all numbers, a line per row; rows of it that are not trained anew stay")
    add(
        "--curves",
        metavar="FILE",
        help="write what is drawn, of rows that stay too: KL over updates (sentences), responses over faders (personas)",
    )
    add(
        "--picture",
        metavar="FILE",
        help="draw KL curves (sentences), or each measure against the KL (remedies): .png, .svg or .pdf; the page shows it",
    )
    add(
        "--pictures",
        nargs="*",
        default=[],
        metavar="NAME=FILE",
        help="pictures of rows that are there, to be shown on the page",
    )
    add("--updates", type=int, metavar="N", help="what the runs will have: no row of other updates stands beside them")
    add("--format", choices=("text", "markdown", "latex"), default="text", help="of what is printed")


def main(args: argparse.Namespace) -> None:
    """Print the tables; write what was asked for."""
    part = PARTS[args.kind]
    marked = f"{part.name} {args.part}" if args.part else part.name
    scores = read_rows(args.scores) if args.scores else {}
    new = people(scores) + rows_of(part.layout, run_folders(args.runs, all_there=False), scores)
    written = written_rows(part.layout, Path(args.csv), args.curves and Path(args.curves)) if args.csv else []
    rows = joined(part.layout, new, written, args.updates)
    if not rows:
        raise InputError("no row to show; remedy: NAME=RUN, or a --csv that has some")
    files: dict[str, bytes] = {}
    shown: dict[str, list[str]] = {}
    figure = part.draw(rows) if args.picture else None
    if figure is not None:
        from ..evaluation.plotting import style

        files[args.picture] = style.encoded(figure, style.ending(args.picture, style.FORMATS, "picture"))
    if args.page:
        page = Path(args.page)
        shown = _pictures(args.pictures, page.parent, {row.name for row in rows})
        if args.picture in files:
            shown[""] = [_beside(args.picture, page.parent)]
        before = page.read_text(encoding="utf-8") if page.is_file() else ""
        files[args.page] = with_part(before, marked, part.section(rows, shown), part.title).encode()
    if args.csv:
        files[args.csv] = as_csv(part.layout, rows).encode()
    if args.curves:
        files[args.curves] = part.layout.write_curves(rows).encode()
    if files:
        with written_together(files, "wb") as opened:
            for file, content in zip(opened, files.values(), strict=True):
                file.write(content)
    print("\n\n".join(part.tables(rows, args.format)))
    print(part.unfinished(rows), file=sys.stderr)


def _pictures(given: Sequence[str], folder: Path, names: set[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in given:
        fitting = [name for name in names if each.startswith(f"{name}=")]  # names and files may hold a `=`, too
        if not fitting:
            raise InputError(f"--pictures {each}: no row of that name; remedy: NAME=FILE, the NAME of a run")
        name = max(fitting, key=len)
        found.setdefault(name, []).append(_beside(each.removeprefix(f"{name}="), folder))
    return found


def _beside(file: str, folder: Path) -> str:
    """A file as seen from a page's folder."""
    return Path(os.path.relpath(file, folder)).as_posix()
