"""`fairseq-latent recipes`: the trainings of both papers, a script each: their list, one of them, a copy to run."""

import argparse
from pathlib import Path

from ..shell import recipes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent recipes`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|show|copy")
    actions.add_parser("list", help="all of them, with the system that each trains")
    show = actions.add_parser("show", help="one of them as it is, and what it shares with others")
    show.add_argument("name", metavar="NAME", help="e.g. speculative_k5")
    copy = actions.add_parser(
        "copy", help="all scripts into a folder: bash FOLDER/scripts/recipes/NAME.sh runs one there"
    )
    copy.add_argument(
        "folder", type=Path, metavar="FOLDER", help="gets a new folder `scripts`; data and runs lie beside it"
    )


def main(args: argparse.Namespace) -> None:
    """Print, or copy."""
    if args.action == "list":
        found = recipes.summaries()
        width = max(map(len, found))
        for name, summary in found.items():
            print(f"{name:{width}}  {summary}")
    elif args.action == "show":
        print(recipes.text_of(args.name), end="")
    else:
        print(f"{recipes.copy(args.folder)}: DATA=DATA_BIN bash {args.folder}/scripts/recipes/speculative_k5.sh")
