"""`fairseq-latent import`: a T-CVAE or SpaceFusion checkpoint of the authors' code, on fairseq 0.8, as one of ours."""

import argparse
from pathlib import Path

from ..errors import InputError
from ..weights.released import import_checkpoint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent import`."""
    parser.add_argument("source", type=Path, metavar="FROM", help="checkpoint*.pt of the code of Sato et al. (2021)")
    parser.add_argument("out", type=Path, metavar="TO", help="a new *.pt file")
    parser.add_argument(
        "--data", required=True, help="folder made by fairseq-preprocess with the dictionary of its training"
    )
    parser.add_argument("--heads", type=int, help="attention heads, where the checkpoint does not say")


def main(args: argparse.Namespace) -> None:
    """Convert, and say what came of it."""
    if args.out.exists():
        raise InputError(f"{args.out} is there already; remedy: another name")
    if args.out.suffix != ".pt":
        raise InputError(f"{args.out} is no name of a checkpoint; remedy: one that ends in .pt")
    if args.heads is not None and args.heads < 1:
        raise InputError(f"--heads {args.heads}; remedy: 1 or more")
    arch, sizes = import_checkpoint(args.source, args.data, args.out, args.heads)
    shown = ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in sizes.items())
    print(f"{args.out}: {arch} ({shown}); fairseq-generate --task dialogue --path {args.out}")
