"""`fairseq-latent report`: one page that compares several trainings, for a reader who was not there."""

import argparse
from pathlib import Path

from fairseq_latent.errors import InputError
from fairseq_latent.files import written_together

from .plot import add_sampling_arguments
from .tokenize import LANGUAGES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `fairseq-latent report`."""
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN", help="a system's name and the folder of its training")
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="folder for report.html, report.md and the pictures"
    )
    parser.add_argument("--data", required=True, metavar="DATA", help="folder made by fairseq-preprocess")
    parser.add_argument("--lang", choices=LANGUAGES, default="en", help="of the responses, as in `score` (default: en)")
    parser.add_argument("--title", default="What the latent does", help="the page's heading")
    parser.add_argument(
        "--contexts", type=int, default=8, metavar="N", help="contexts with sample responses (default: 8)"
    )
    parser.add_argument(
        "--example",
        type=int,
        metavar="ID",
        help="line of the test set for the picture of latents; default: of the contexts shown, the one whose reference "
        "has the median length",
    )
    add_sampling_arguments(parser)


def main(args: argparse.Namespace) -> None:
    """Read and draw everything first; then all files appear together."""
    from .report_content import assemble
    from .report_page import as_html, as_markdown

    if args.contexts < 1:
        raise InputError(f"--contexts {args.contexts}: nothing to show; remedy: 1 or more")
    report = assemble(args)
    out = Path(args.out)
    pages = {picture.file: picture.png for picture in report.pictures}
    pages |= {"report.md": as_markdown(report).encode(), "report.html": as_html(report).encode()}
    with written_together([out / name for name in pages], "wb") as files:
        for file, content in zip(files, pages.values(), strict=True):
            file.write(content)
    print(f"{out / 'report.html'}: open it in a browser; {out / 'report.md'} says the same")
