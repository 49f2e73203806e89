"""`fairseq-latent export`: a trained model as a folder that torch reads without fairseq, with its model card."""

import argparse
from pathlib import Path

from ..text.word_tokenizers import LANGUAGES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent export`."""
    parser.add_argument("run", type=Path, metavar="RUN", help="a run folder (its best checkpoint), or a checkpoint*.pt")
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="a new folder for weights, tokenizer and model card"
    )
    parser.add_argument(
        "--data", metavar="DATA", help="folder made by fairseq-preprocess; default: where it lay in training"
    )
    parser.add_argument(
        "--lang", choices=LANGUAGES, default="en", help="language of the card, and words of its scores; default: en"
    )
    parser.add_argument("--license", metavar="ID", help="of the weights, for the card, as the Hub names it, e.g. mit")
    parser.add_argument("--name", help="the model's name on the card; default: the name of FOLDER")


def main(args: argparse.Namespace) -> None:
    """Export, and say what the folder holds."""
    from ..weights.export import export, new_folder, source_of
    from ..weights.model_card import write_card

    with new_folder(args.folder) as folder:
        source = source_of(args.run, args.data)
        arch = export(source, folder)
        write_card(source, folder, args.name or args.folder.name, args.lang, args.license)
    print(f"{args.folder}: {arch} without fairseq; python -m fairseq_latent.portable {args.folder}")
