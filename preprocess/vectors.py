"""`python -m preprocess.vectors DIR/spm --out vectors.txt`: CBOW vectors of the pieces, for `--encoder-embed-path`; and
`python -m preprocess.vectors DIR --words --out words.txt`: of the words, for P.Distance where there are no better ones.

Continuous bag of words (Mikolov et al., 2013, https://arxiv.org/abs/1301.3781) by gensim, on lines of the encoded training
text; with the --sample and --seed of `preprocess.subwords`, those that the pieces were learnt from. A row for each piece of
dict.txt that stands in them often enough; the model starts the other rows at random. The same seed gives the same file with
one worker; with more, threads race, and vectors differ a little from run to run.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fairseq_latent.errors import InputError, Parser, missing_extra, run
from fairseq_latent.files import written_whole
from fairseq_latent.memory import available_memory
from fairseq_latent.ranges import COUNT, SEED, SIZE, WORKERS, Range, typed
from fairseq_latent.symbols import plain
from fairseq_latent.text.similarity import words

from .lines import read_lines, sample_lines
from .sentencepiece_model import DICTIONARY

EPOCHS = 5
WINDOW = Range(1, 1_000)
COPIES = 3  # of the vectors in memory: inputs, outputs, and those that are returned
SIDES = ("src", "tgt")
PROFILES = ("partner", "own")


@dataclass(frozen=True)
class Sentences:
    """Lines of pieces, as gensim goes through them: once to count, then EPOCHS times."""

    lines: Sequence[str]
    bar: tqdm

    def __iter__(self) -> Iterator[list[str]]:
        for line in self.lines:
            yield line.split()
            self.bar.update()


def learn_vectors(
    lines: Sequence[str], dimension: int = 512, min_count: int = 5, window: int = 5, seed: int = 1, workers: int = 1
) -> dict[str, np.ndarray]:
    """Lines of pieces -> a vector (dimension,) of each piece that stands in them `min_count` times or more.

    Frequent pieces come first. InputError where none is frequent enough, or gensim is missing.
    """
    try:
        from gensim.models import Word2Vec
    except ImportError:
        raise missing_extra("gensim", "vectors") from None

    with tqdm(total=len(lines) * (EPOCHS + 1), desc="vectors", unit=" lines", unit_scale=True, disable=None) as bar:
        model = Word2Vec(
            vector_size=dimension, min_count=min_count, window=window, sg=0, seed=seed, workers=workers, epochs=EPOCHS
        )
        sentences = Sentences(lines, bar)
        model.build_vocab(sentences)
        if not len(model.wv):
            raise InputError(
                f"no piece stands {min_count} times in the text; remedy: more text, or a smaller --min-count"
            )
        model.train(sentences, total_examples=model.corpus_count, epochs=EPOCHS)
    return {piece: model.wv[piece] for piece in model.wv.index_to_key}


def write_vectors(path: str | Path, vectors: dict[str, np.ndarray]) -> None:
    """word2vec's text format, whole or not at all: `count width`, then a piece and its numbers a line."""
    width = len(next(iter(vectors.values())))
    with written_whole(path) as file:
        file.write(f"{len(vectors)} {width}\n")
        for piece, vector in vectors.items():
            file.write(f"{piece} {' '.join(f'{number:.6g}' for number in vector.tolist())}\n")


def _pieces(folder: Path) -> set[str]:
    """The pieces of the dictionary; fairseq's own symbols are not among them."""
    path = folder / DICTIONARY
    if not path.is_file():
        raise InputError(
            f"{folder} has no {DICTIONARY}; remedy: name the folder that python -m preprocess.subwords wrote"
        )
    return {row.rsplit(" ", 1)[0] for row in read_lines(path)}


def _lines_of_words(folder: Path) -> list[str]:
    """Lower-case words, separated by spaces, of all turns and of the different profiles that stand beside them."""
    found = [line for side in SIDES for line in read_lines(folder / f"train.{side}")]
    for side in PROFILES:
        path = folder / f"train.{side}"
        if path.is_file():
            found += sorted(set(read_lines(path)))
    return [" ".join(words(plain(line))) for line in found]


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = Parser(
        prog="python -m preprocess.vectors",
        description="Learn CBOW vectors of the pieces from DIR/train.src and DIR/train.tgt, and write them as text for "
        "--encoder-embed-path; or, with --words, of the words, for P.Distance.",
    )
    add = parser.add_argument
    add("data", type=Path, metavar="DIR", help="folder of dict.txt and the encoded text (see preprocess.subwords)")
    add("--out", type=Path, required=True, metavar="FILE", help="text file to write")
    add(
        "--words",
        action="store_true",
        help="vectors of the lower-case words of responses and profiles, for P.Distance; DIR: the text, before any pieces",
    )
    add(
        "--dimension",
        type=typed(int, SIZE),
        default=512,
        metavar="N",
        help="numbers a vector: --embed-dim (default: 512)",
    )
    add("--min-count", type=typed(int, COUNT), default=5, metavar="N", help="leave out rarer pieces (default: 5)")
    add("--window", type=typed(int, WINDOW), default=5, metavar="N", help="pieces before and after (default: 5)")
    add("--sample", type=typed(int, COUNT), default=1_000_000, metavar="N", help="lines at most (default: 1000000)")
    add("--seed", type=typed(int, SEED), default=1, metavar="N", help="of the sample and of the vectors (default: 1)")
    add(
        "--workers",
        type=typed(int, WORKERS),
        default=1,
        metavar="N",
        help="threads; with more than 1, the same seed no longer gives the same vectors (default: 1)",
    )
    options = parser.parse_args(arguments)
    files = [options.data / f"train.{side}" for side in SIDES]
    if options.words:
        what, everything = "words", _lines_of_words(options.data)
        known = {word for line in everything for word in line.split()}
    else:
        what, known = "pieces", _pieces(options.data)
        everything = chain.from_iterable(map(read_lines, files))
    needed = COPIES * np.dtype(np.float32).itemsize * len(known) * options.dimension
    if needed > (memory := available_memory()):
        raise InputError(
            f"{len(known):,} {what} with --dimension {options.dimension} take {needed >> 20:,} MB, this machine has "
            f"{memory >> 20:,}; remedy: a smaller --dimension"
        )
    lines = sample_lines(everything, options.sample, options.seed)
    if not lines:
        raise InputError(f"{' and '.join(map(str, files))}: nothing but empty lines; remedy: write them again")
    learnt = learn_vectors(lines, options.dimension, options.min_count, options.window, options.seed, options.workers)
    vectors = {piece: vector for piece, vector in learnt.items() if piece in known}
    if not vectors:
        raise InputError(f"{options.data}: the text has no piece of {DICTIONARY}; remedy: encode it again")
    write_vectors(options.out, vectors)
    print(f"{len(vectors):,} of {len(known):,} {what} have a vector, from {len(lines):,} lines -> {options.out}")


if __name__ == "__main__":
    sys.exit(run(main))
