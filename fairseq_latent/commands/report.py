"""`fairseq-latent report`: one page that compares several trainings, for a reader who was not there."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fairseq_latent.errors import InputError, printable
from fairseq_latent.files import written_together
from fairseq_latent.text.word_tokenizers import LANGUAGES

from ..evaluation.arguments import add_latent_sampling, add_proximity

NOTES = 12  # on the terminal; the page has all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `fairseq-latent report`."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="NAME=RUN",
        help="a system's name and the folder of its training; NAME=RUN,RUN,…: its trainings with several seeds; "
        "NAME=FILE.jsonl: responses of a system that was not trained here, as `score` reads them",
    )
    parser.add_argument(
        "--seeds",
        choices=("together", "apart"),
        default="together",
        help="trainings that differ in nothing but --seed: one row, means with intervals over contexts and seeds and the "
        "standard deviation over seeds, or a row each (default: together)",
    )
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder for report.html, report.md and the pictures"
    )
    parser.add_argument("--data", required=True, metavar="DATA", help="folder made by fairseq-preprocess")
    parser.add_argument("--ids", metavar="FILE", help="ids of the test set, for JSON lines, as in `score`")
    parser.add_argument(
        "--equal-length",
        action="store_true",
        help="a second table, of responses cut to equal lengths, as in `score`; always where a system is from a .jsonl",
    )
    parser.add_argument("--lang", choices=LANGUAGES, default="en", help="of the responses, as in `score` (default: en)")
    parser.add_argument("--reference", nargs="+", action="extend", default=[], metavar="FILE", help="as in `score`")
    parser.add_argument(
        "--scores",
        metavar="FILE",
        help="`fairseq-latent score --format json` of rows of the same names: nothing is measured again",
    )
    parser.add_argument(
        "--agreement",
        metavar="FILE",
        help="`fairseq-latent agreement --format json`: how people judged the responses, beside the papers' numbers",
    )
    parser.add_argument("--title", default="What the latent does", help="the page's heading")
    parser.add_argument(
        "--contexts", type=int, default=8, metavar="N", help="contexts with sample responses (default: 8)"
    )
    parser.add_argument(
        "--example",
        type=int,
        nargs="+",
        metavar="ID",
        help="lines of the test set for pictures of latents; default: of the contexts shown, the one whose reference "
        "has the median length",
    )
    parser.add_argument(
        "--bootstrap",
        type=int,
        default=1000,
        metavar="N",
        help="resamples of the contexts, for 95 %% intervals and marks of significance against the first system; 0: none "
        "(default: 1000)",
    )
    add_latent_sampling(parser)
    add_proximity(parser.add_argument_group("for trainings on data with personas"))


def main(args: argparse.Namespace) -> None:
    """Read and draw everything first; then all files appear together."""
    from ..evaluation.reporting.content import assemble
    from ..evaluation.reporting.page import as_html, as_markdown

    if args.contexts < 1:
        raise InputError(f"--contexts {args.contexts}: nothing to show; remedy: 1 or more")
    report = assemble(args)
    out = Path(args.out)
    pages = {picture.file: picture.png for picture in report.pictures}
    pages |= {"report.md": as_markdown(report).encode(), "report.html": as_html(report).encode()}
    with written_together([out / name for name in pages], "wb") as files:
        for file, content in zip(files, pages.values(), strict=True):
            file.write(content)
    _tell(report.missing)
    print(f"{out / 'report.html'}: open it in a browser; {out / 'report.md'} says the same")


def _tell(missing: Sequence) -> None:
    """What the page goes without."""
    for each in missing[:NOTES]:
        print(f"note: {printable(str(each))}", file=sys.stderr)
    if len(missing) > NOTES:
        print(f"note: and {len(missing) - NOTES} more, in the page", file=sys.stderr)
