"""SentencePiece unigram pieces (Kudo, 2018, https://arxiv.org/abs/1804.10959) and a fairseq dictionary with the same ids."""

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from pathlib import Path

import sentencepiece

from fairseq_latent.errors import InputError
from fairseq_latent.symbols import BOS, EOS, PAD, RESERVED, UNK, USER_SYMBOLS

from .lines import read_lines, sample_lines

MODEL, DICTIONARY = "spm.model", "dict.txt"
BINARISED = "dict.src.txt"  # the same, in a folder of fairseq-preprocess
MANY_CHARACTERS = 0.9995  # the share of the characters that get a piece where a language has thousands
COUNTED = 10**7  # words, with their repetitions: SentencePiece takes some 100 bytes for each, however few are different
BATCH = 4096  # lines that are encoded at once


@dataclass(frozen=True)
class Subwords:
    """A SentencePiece model, and the fairseq dictionary of the same pieces."""

    model: bytes
    dictionary: str

    @cached_property
    def processor(self) -> sentencepiece.SentencePieceProcessor:
        """SentencePiece's own object."""
        return sentencepiece.SentencePieceProcessor(model_proto=self.model)

    @cached_property
    def pieces(self) -> list[str]:
        """The pieces in the order of their ids."""
        return [self.processor.id_to_piece(index) for index in range(len(self.processor))]

    def encode(self, lines: Iterable[str], threads: int = 1) -> Iterator[list[int]]:
        """The ids of one line after the other; `threads` changes the time, never the result."""
        lines = iter(lines)
        while batch := list(islice(lines, BATCH)):
            yield from self.processor.encode(batch, out_type=int, num_threads=threads)

    def decode(self, line: str) -> str:
        """Pieces between spaces -> text."""
        return self.processor.decode_pieces(line.split())


def train_subwords(
    files: Sequence[str | Path],
    vocab_size: int,
    character_coverage: float = 1.0,
    sample: int = 1_000_000,
    seed: int = 1,
    threads: int = 4,
) -> Subwords:
    """Learn unigram pieces from a random sample of the files' lines.

    The ids 0 to 3 are fairseq's; the special symbols follow, each one piece with the space before it. Where the text
    supports fewer pieces than `vocab_size`, there are fewer. Same seed and number of threads, same pieces.
    """
    # words with counts instead of lines: pieces never cross a space, and contexts repeat the same words again and again
    lines = sample_lines(chain.from_iterable(read_lines(path) for path in files), sample, seed)
    words = Counter(chain.from_iterable(line.split() for line in lines))
    if not words:
        raise InputError(f"{' and '.join(map(str, files))}: nothing but empty lines; remedy: write them again")
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(f"{word}\t{count}" for word, count in thinned(words, COUNTED).items()),
            input_format="tsv",
            model_writer=model,
            model_type="unigram",
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            character_coverage=character_coverage,
            bos_id=RESERVED.index(BOS),
            pad_id=RESERVED.index(PAD),
            eos_id=RESERVED.index(EOS),
            unk_id=RESERVED.index(UNK),
            user_defined_symbols=[f"▁{symbol}" for symbol in USER_SYMBOLS],
            max_sentence_length=max(len(word.encode()) for word in words) + 32,  # else long ones are left out
            num_threads=threads,  # rounding depends on it, so it is no property of the machine
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _vocabulary_error(error, vocab_size, character_coverage) from error
    return _with_dictionary(model.getvalue(), words)


def thinned(words: Counter[str], most: int) -> Counter[str]:
    """The same words, their counts in the same proportions, but about `most` in all; none is lost."""
    total = words.total()
    if total <= most:
        return words
    return Counter({word: max(1, count * most // total) for word, count in words.items()})


def _with_dictionary(model: bytes, words: Counter[str]) -> Subwords:
    """Add the dictionary, with the count of each piece in the words."""
    subwords = Subwords(model, "")
    counts = Counter()
    for ids, count in zip(subwords.encode(words), words.values(), strict=True):
        for index in ids:
            counts[index] += count
    rows = (f"{piece} {counts[index]}\n" for index, piece in enumerate(subwords.pieces) if index >= len(RESERVED))
    return Subwords(model, "".join(rows))


def load_subwords(folder: str | Path) -> Subwords:
    """What an earlier run wrote to its folder, there or where `scripts/prepare.sh` binarised it."""
    folder = Path(folder)
    name = BINARISED if (folder / BINARISED).is_file() else DICTIONARY
    subwords = Subwords((folder / MODEL).read_bytes(), (folder / name).read_text("utf-8"))
    try:
        pieces = subwords.pieces[len(RESERVED) :]
    except RuntimeError:
        raise InputError(f"{folder / MODEL} is no SentencePiece model; remedy: learn it again") from None
    if [row.rsplit(" ", 1)[0] for row in subwords.dictionary.split("\n")[:-1]] != pieces:
        raise InputError(f"{folder / name} does not belong to {MODEL}; remedy: learn both again")
    return subwords


def _vocabulary_error(error: RuntimeError, vocab_size: int, coverage: float) -> InputError | RuntimeError:
    small = re.search(r"smaller than required_chars. \d+ vs (\d+)", str(error))
    if small is None:
        return error
    fewer = f", or --character-coverage {MANY_CHARACTERS}" if coverage > MANY_CHARACTERS else ""
    return InputError(
        f"--vocab-size {vocab_size} is too small for the characters of the text; "
        f"remedy: --vocab-size {small[1]} or more{fewer}"
    )
