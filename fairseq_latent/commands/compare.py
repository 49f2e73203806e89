"""`fairseq-latent compare`: systems side by side from their records alone, several seeds each."""

import argparse
import sys
from pathlib import Path

from fairseq_latent.errors import InputError
from fairseq_latent.files import written_whole
from fairseq_latent.ranges import COUNT, typed

from ..evaluation.metrics.bootstrap import FEWEST, Bootstrap
from ..evaluation.reporting.page import with_part
from ..evaluation.reporting.records.comparison import compare, people
from ..evaluation.reporting.records.page import printed, section
from ..evaluation.reporting.records.record import read_record


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent compare`."""
    add = parser.add_argument
    add(
        "records", nargs="+", metavar="RECORD", help="files of `fairseq-latent record`; those of one name are its seeds"
    )
    add(
        "--rows",
        nargs="*",
        default=[],
        metavar="NAME",
        help="order of the rows; of those without a record the page says that they are not there yet",
    )
    add("--baseline", metavar="NAME", help="the system that others are tested against (default: the first)")
    add("--page", metavar="FILE", help="a Markdown page to put the tables into, between its two marks")
    add("--part", default="systems", metavar="NAME", help="name of the marks, of which a page can have several")
    add("--title", default="Systems", metavar="TEXT", help="heading of the tables on the page")
    add(
        "--beside-paper",
        action="store_true",
        help="a table of Cho et al. (2022), Table 1, beside rows of the same names",
    )
    add(
        "--bootstrap",
        type=typed(int, COUNT),
        default=1000,
        metavar="N",
        help="resamples of the dialogues, for intervals and tests (default: 1000)",
    )
    add("--format", choices=("text", "markdown", "latex"), default="text", help="of what is printed")
    add("--seed", type=int, default=1, help="seed of the resamples (default: 1)")


def main(args: argparse.Namespace) -> None:
    """Print the tables; put them into the page."""
    if args.bootstrap < FEWEST:
        raise InputError(f"--bootstrap {args.bootstrap}: too few for 95 % intervals; remedy: 1000, at least {FEWEST}")
    records = [read_record(path) for path in args.records]
    order = {name: place for place, name in enumerate(dict.fromkeys([*args.rows, *(each.name for each in records)]))}
    records.sort(key=lambda record: order[record.name])
    names = list(dict.fromkeys(record.name for record in records))
    baseline = args.baseline or names[0]
    if baseline not in (*names, *args.rows):
        raise InputError(f"--baseline {baseline}: no such system; remedy: one of {', '.join(names)}")
    bootstrap = Bootstrap(args.bootstrap, args.seed)
    rows, references = compare(records, baseline, bootstrap), people(records, bootstrap)
    if args.page:
        waiting = [name for name in args.rows if name not in names]
        part = section(args.title, rows, references, baseline, waiting, args.beside_paper, bootstrap)
        page = Path(args.page)
        before = page.read_text(encoding="utf-8") if page.is_file() else ""
        with written_whole(page) as file:
            file.write(with_part(before, args.part, part, f"# {args.title}\n\n"))
    print(printed(rows, references, args.format), file=sys.stdout)
