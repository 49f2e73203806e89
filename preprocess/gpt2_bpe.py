"""`python -m preprocess.gpt2_bpe`: text -> tokens of GPT-2 (Radford et al., 2019), or of another model in its form.

Tokens are written as their decimal ids, e.g. "15496 11 616"; dict.txt lists 0, 1, 2, ... in order and then our symbols, so
that an id of fairseq is the id of GPT-2 and 4.
"""

import sys
from collections import Counter
from pathlib import Path
from typing import IO

from tqdm import tqdm

from fairseq_latent.errors import InputError, Parser, run
from fairseq_latent.files import written_together
from fairseq_latent.symbols import USER_SYMBOLS
from fairseq_latent.text.gpt2_tokenizer import NAMES, Gpt2, load_gpt2

from .lines import read_lines
from .sentencepiece_model import DICTIONARY
from .subwords import SIDES, parallel_files


def encode_file(gpt2: Gpt2, path: Path, out: IO[bytes], used: Counter[str] | None = None) -> Counter[str]:
    """Write every line of `path` to `out` as tokens between spaces; counts "lines" and "tokens", and which in `used`."""
    counts = Counter(lines=0, tokens=0)
    lines = tqdm(read_lines(path), f"encode {path.name}", unit=" lines", unit_scale=True, disable=None)
    for tokens in gpt2.encode(lines):
        counts["lines"] += 1
        counts["tokens"] += len(tokens)
        if used is not None:
            used.update(tokens)
        out.write(" ".join(tokens).encode() + b"\n")
    return counts


def encode_folder(data: Path, out: Path, gpt2: Gpt2) -> None:
    """Encode all text of `data` into `out` beside the tokenizer's files, all of it or nothing, and print the counts."""
    names = parallel_files(data)
    used: Counter[str] = Counter()  # in contexts and responses of training, which is what a dictionary counts
    copied = [path.name for path in gpt2.files]
    with written_together((out / name for name in (*names, *copied, DICTIONARY)), "wb") as opened:
        *files, dictionary = opened
        for name, file in zip(names, files, strict=False):
            counted = used if name in [f"train.{side}" for side in SIDES] else None
            count = encode_file(gpt2, data / name, file, counted)
            print(f"{name:<14}{count['lines']:>12,} lines{count['tokens']:>14,} tokens")
        for path, file in zip(gpt2.files, files[len(names) :], strict=True):
            file.write(path.read_bytes())
        dictionary.write("".join(f"{token} {used[token]}\n" for token in dictionary_of(gpt2)).encode())


def dictionary_of(gpt2: Gpt2) -> list[str]:
    """The rows of dict.txt: what fairseq knows after its own four symbols."""
    return [*map(str, range(gpt2.size)), *USER_SYMBOLS]


def _decode(folder: Path) -> None:
    gpt2 = load_gpt2(folder)
    for stream in (sys.stdin, sys.stdout):  # text files are UTF-8, whatever the locale
        stream.reconfigure(encoding="utf-8", newline="\n")
    for line in sys.stdin:
        print(gpt2.decode(line))


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = Parser(
        prog="python -m preprocess.gpt2_bpe",
        description="Write DIR/bpe: dict.txt for fairseq, the tokenizer's files, and all text of DIR as tokens of GPT-2.",
    )
    add = parser.add_argument
    add(
        "data", type=Path, nargs="?", metavar="DIR", help="folder of train|valid|test.src|tgt (see preprocess.personas)"
    )
    add("--gpt2", type=Path, metavar="FOLDER", help=f"folder with {NAMES}")
    add("--out", type=Path, metavar="DIR", help="folder to write to (default: the folder bpe in DIR)")
    add("--decode", type=Path, metavar="FOLDER", help="instead: tokens on stdin -> text on stdout, with these files")
    options = parser.parse_args(arguments)
    if (options.data is None) == (options.decode is None) or (options.data is None) != (options.gpt2 is None):
        raise InputError("give either DIR and --gpt2 FOLDER, or --decode FOLDER; remedy: see --help")
    if options.decode:
        return _decode(options.decode)
    out = options.out or options.data / "bpe"
    if out.resolve() in (options.data.resolve(), options.gpt2.resolve()):
        raise InputError(f"--out {out} would overwrite what is read; remedy: another folder")
    gpt2 = load_gpt2(options.gpt2)
    encode_folder(options.data, out, gpt2)
    print(f"{gpt2.size:,} tokens and {len(USER_SYMBOLS)} symbols -> {out / DICTIONARY}")
    return None


if __name__ == "__main__":
    sys.exit(run(main))
