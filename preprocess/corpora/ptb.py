"""Reads the Penn Treebank as Mikolov split it for language modelling: one sentence per line, 10,000 words, and `<unk>`.

Takes a folder or archive with three files whose names hold `train`, `valid` and `test` (`ptb.train.txt`), so that any text
with a sentence per line may stand in its place. Writes train.txt, valid.txt and test.txt, words parted by one space.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from fairseq_latent.errors import InputError
from fairseq_latent.files import written_together
from fairseq_latent.symbols import UNK

from .archives import members

SENTENCES = {"train": 42_068, "valid": 3_370, "test": 3_761}  # of Mikolov's files
SHOWN = 5


def sentences(path: str | Path, split: str) -> list[str]:
    """The lines of a split, empty ones too."""
    found: dict[str, list[str]] = {}
    for member in members(path, f"*{split}*.txt"):
        found[member.name] = [" ".join(line.split()) for _, line in member.lines()]
    if len(found) > 1:  # Mikolov's archive has the text once more, letter by letter
        found = {name: lines for name, lines in found.items() if ".char." not in name} or found
    if len(found) > 1:
        names = ", ".join(list(found)[:SHOWN])
        raise InputError(f"{path} has several files for {split}: {names}; remedy: a folder with one of each")
    (lines,) = found.values()
    return lines


def read_ptb(path: str | Path) -> dict[str, list[str]]:
    """Split -> its sentences; says on stderr what was left out and which counts are not Mikolov's."""
    found = {}
    for split, expected in SENTENCES.items():
        lines = sentences(path, split)
        found[split] = [line for line in lines if line]
        if not found[split]:
            raise InputError(f"{path}: {split} has no sentence; remedy: text with one sentence per line")
        if len(found[split]) < len(lines):
            print(
                f"{split}: {len(lines) - len(found[split]):,} empty lines of {len(lines):,} left out", file=sys.stderr
            )
        if len(found[split]) != expected:
            print(
                f"{split}: {len(found[split]):,} sentences, Mikolov's Penn Treebank has {expected:,}: "
                "going on, with numbers that compare with no paper's",
                file=sys.stderr,
            )
    return found


def check_unknown(found: dict[str, list[str]], path: str | Path, min_count: int) -> None:
    """Words that training lacks need a word that stands for them, and is trained."""
    counts = Counter(word for line in found["train"] for word in line.split())
    if counts[UNK] or any(count < min_count for count in counts.values()):
        return
    lacking = sorted(
        {word for side in ("valid", "test") for line in found[side] for word in line.split()} - counts.keys()
    )
    if lacking:
        more = ", ..." if len(lacking) > SHOWN else ""
        raise InputError(
            f"{path}: valid and test have {len(lacking):,} words that train lacks ({', '.join(lacking[:SHOWN])}{more}), and "
            f"train has no {UNK} to stand for them; remedy: MIN_COUNT=2, which takes words that train has once as {UNK}"
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this corpus."""
    parser.add_argument(
        "path", metavar="FILE_OR_DIR", help="an archive or folder with a train, a valid and a test file"
    )
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="where train.txt, valid.txt and test.txt are written"
    )
    parser.add_argument(
        "--min-count", type=int, default=0, metavar="N", help="what fairseq-preprocess will get as --thresholdsrc"
    )


def convert(args: argparse.Namespace) -> None:
    """Read, check, write; of sentences, not of conversations."""
    found = read_ptb(args.path)
    check_unknown(found, args.path, args.min_count)
    with written_together([Path(args.out) / f"{split}.txt" for split in found]) as files:
        for file, lines in zip(files, found.values(), strict=True):
            file.writelines(f"{line}\n" for line in lines)
    print(" · ".join(f"{split} {len(lines):,}" for split, lines in found.items()), "sentences", file=sys.stderr)
