"""`fairseq-latent convert`: a decoder between a checkpoint of fairseq and a folder in the form of `transformers`."""

import argparse
import shutil
from pathlib import Path

from ..errors import InputError
from ..weights.conversion import ARCHS, NOTE, to_checkpoint, to_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent convert`."""
    parser.add_argument("source", type=Path, metavar="FROM", help="checkpoint*.pt, or a folder of transformers")
    parser.add_argument(
        "out", type=Path, metavar="TO", help="a new folder for a checkpoint's decoder, or a new *.pt file"
    )
    parser.add_argument(
        "--arch",
        choices=ARCHS,
        default=ARCHS[0],
        help="model of a new checkpoint: the persona model without latents, or one of the other systems "
        f"(default: {ARCHS[0]})",
    )
    parser.add_argument("--data", required=True, help="folder made by fairseq-preprocess with the model's tokens")


def main(args: argparse.Namespace) -> None:
    """Convert in the direction that FROM says."""
    if args.out.exists():
        raise InputError(f"{args.out} is there already; remedy: another name")
    if args.source.is_dir():
        if args.out.suffix != ".pt":
            raise InputError(f"{args.out} is no name of a checkpoint; remedy: one that ends in .pt")
        to_checkpoint(args.source, args.data, args.out, args.arch)
        print(
            f"{args.out}: a language model without latents; fairseq-generate --task persona_dialogue --path {args.out}"
        )
        return
    from ..modules.language_models.pretrained import SYMBOLS

    part = args.out.with_name(args.out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        symbols, begin = to_folder(str(args.source), args.data, part)
        part.rename(args.out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    shown = ", ".join(symbols) if len(symbols) < 10 else f"{len(symbols):,} symbols"
    print(f"{args.out}: rows of {shown} in {SYMBOLS}; its sequences {begin}, see {NOTE} there")
