"""`python -m preprocess.subwords`: learn SentencePiece pieces from the training text, encode all of it.

Writes a folder of spm.model, dict.txt for fairseq and the encoded train|valid|test.src|tgt. The ids of the SentencePiece
model and of the fairseq dictionary are the same numbers. What follows is

    fairseq-preprocess --source-lang src --target-lang tgt --trainpref DIR/spm/train --validpref DIR/spm/valid \\
        --testpref DIR/spm/test --srcdict DIR/spm/dict.txt --joined-dictionary --destdir data-bin/NAME
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from tqdm import tqdm

from fairseq_latent.errors import InputError, Parser, run
from fairseq_latent.files import written_together
from fairseq_latent.ranges import Range, typed
from fairseq_latent.symbols import RESERVED, UNK, USER_SYMBOLS

from .lines import check_parallel, read_lines
from .sentencepiece_model import DICTIONARY, MODEL, Subwords, load_subwords, train_subwords
from .splitting.split_files import PROFILES

SPLITS, SIDES = ("train", "valid", "test"), ("src", "tgt")


def encode_file(subwords: Subwords, path: str | Path, out: IO[bytes], threads: int = 4) -> Counter[str]:
    """Write every line of `path` to `out` as pieces between spaces; counts "lines", "pieces" and "unknown" ones.

    Unknown characters are written as <unk>, not as themselves: a `<s>` in the text would become fairseq's.
    """
    counts = Counter(lines=0, pieces=0, unknown=0)
    pieces, unknown = subwords.pieces, RESERVED.index(UNK)
    lines = tqdm(read_lines(path), f"encode {Path(path).name}", unit=" lines", unit_scale=True, disable=None)
    for ids in subwords.encode(lines, threads):
        counts["lines"] += 1
        counts["pieces"] += len(ids)
        counts["unknown"] += ids.count(unknown)
        out.write(" ".join([pieces[index] for index in ids]).encode() + b"\n")
    return counts


def parallel_files(data: Path) -> list[str]:
    """The names of the sides of all splits in the folder, read and checked: contexts, responses, and where any split has
    them the profiles of `preprocess.personas`."""
    profiles = [field for field in PROFILES if any((data / f"{split}.{field}").exists() for split in SPLITS)]
    names = []
    for split in SPLITS:
        fields = [f"{split}.{field}" for field in (*SIDES, *profiles)]
        if any((data / name).exists() for name in fields):
            check_parallel([data / name for name in fields])
            names += fields
    if not names:
        raise InputError(f"{data} has no train.src and train.tgt; remedy: write them with python -m preprocess.split")
    return names


def encode_folder(data: Path, out: Path, subwords: Subwords, names: Sequence[str], threads: int) -> None:
    """Encode the files `names` of `data` into `out` beside the model, all of them or none, and print the counts."""
    with written_together((out / name for name in (*names, MODEL, DICTIONARY)), "wb") as (*files, model, dictionary):
        model.write(subwords.model)
        dictionary.write(subwords.dictionary.encode())
        for name, file in zip(names, files, strict=True):
            count = encode_file(subwords, data / name, file, threads)
            share = 100 * count["unknown"] / max(1, count["pieces"])
            print(f"{name:<14}{count['lines']:>12,} lines{count['pieces']:>14,} pieces{share:>9.3f} % unknown")


def _learn(options: argparse.Namespace) -> Subwords:
    files = [options.data / f"train.{side}" for side in SIDES]
    print(f"learning {options.vocab_size:,} pieces ...", file=sys.stderr)
    subwords = train_subwords(
        files, options.vocab_size, options.character_coverage, options.sample, options.seed, options.threads
    )
    if len(subwords.pieces) < options.vocab_size:
        print(f"the text supports only {len(subwords.pieces):,} pieces, not --vocab-size {options.vocab_size:,}")
    return subwords


def _decode(folder: Path) -> None:
    subwords = load_subwords(folder)
    for stream in (sys.stdin, sys.stdout):  # text files are UTF-8, whatever the locale
        stream.reconfigure(encoding="utf-8", newline="\n")
    for line in sys.stdin:
        print(subwords.decode(line))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m preprocess.subwords",
        description="Learn SentencePiece pieces from DIR/train.src and DIR/train.tgt, and write DIR/spm: spm.model, "
        "dict.txt for fairseq, and all of DIR/train|valid|test.src|tgt, and .partner|own where they are, as pieces.",
    )
    add = parser.add_argument
    add("data", type=Path, nargs="?", metavar="DIR", help="folder of train|valid|test.src|tgt (see preprocess.split)")
    add("--out", type=Path, metavar="DIR", help="folder to write to (default: the folder spm in DIR)")
    add(
        "--model",
        type=Path,
        metavar="SPM",
        help="learn nothing, take the pieces in this folder of an earlier run, or in data-bin/NAME",
    )
    add(
        "--decode",
        type=Path,
        metavar="SPM",
        help="instead: pieces on stdin -> text on stdout, with this folder's model",
    )
    add(
        "--vocab-size",
        type=typed(int, Range(len(RESERVED) + len(USER_SYMBOLS), 10**6)),
        default=16000,
        metavar="N",
        help="pieces, special ones included (default: 16000)",
    )
    add(
        "--character-coverage",
        type=typed(float, Range(0.98, 1)),
        default=1.0,
        metavar="SHARE",
        help="share of the characters that get a piece; 0.9995 for Japanese or Chinese (default: 1.0)",
    )
    add(
        "--sample",
        type=typed(int, Range(1, 10**8)),
        default=1_000_000,
        metavar="N",
        help="lines to learn from at most (default: 1000000)",
    )
    add("--seed", type=int, default=1, metavar="N", help="of the sample (default: 1)")
    add(
        "--threads",
        type=typed(int, Range(1, 64)),
        default=4,
        metavar="N",
        help="at most 64; learnt pieces depend on it slightly (default: 4)",
    )
    return parser


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    options = _parser().parse_args(arguments)
    if (options.data is None) == (options.decode is None):
        raise InputError("give either DIR or --decode SPM; remedy: see --help")
    if options.decode:
        return _decode(options.decode)
    out = options.out or options.data / "spm"
    if out.resolve() == options.data.resolve():
        raise InputError(f"--out {out} would overwrite the text; remedy: another folder")
    names = parallel_files(options.data)
    if options.model is None and "train.src" not in names:
        raise InputError(f"{options.data} has no train.src to learn from; remedy: add it, or --model SPM")
    subwords = load_subwords(options.model) if options.model else _learn(options)
    encode_folder(options.data, out, subwords, names, options.threads)
    print(f"{len(subwords.pieces):,} pieces -> {out / DICTIONARY}")
    return None


if __name__ == "__main__":
    sys.exit(run(main))
