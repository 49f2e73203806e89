"""`python -m preprocess.gpt2_bpe`: text -> tokens of GPT-2 (Radford et al., 2019), or of another model in its form.

Byte-level byte pair encoding, from files that lie in a folder: `encoder.json` and `vocab.bpe`, as GPT-2 was released;
`vocab.json` and `merges.txt`; or `tokenizer.json`. Or SentencePiece, `spiece.model`, which Japanese GPT-2s have. Tokens are
written as their decimal ids, e.g. "15496 11 616"; dict.txt lists 0, 1, 2, ... in order and then our symbols, so that an id
of fairseq is the id of GPT-2 and 4.

Each turn of a context and each sentence of a profile is encoded by itself, without a space before it, as DialoGPT does
(Zhang et al., 2020, https://arxiv.org/abs/1911.00536): a turn has the same tokens as a response and in a context. <eot>
between them is one symbol. Text that looks like a symbol, `x<eot>` or `<|endoftext|>`, is encoded as the characters it has.
Spaces beside Japanese and Chinese characters go: MeCab put them there, and no pre-trained model has read such text.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from fairseq_latent.errors import InputError, missing_extra, run
from fairseq_latent.files import written_together
from fairseq_latent.symbols import USER_SYMBOLS

from .lines import read_lines
from .pieces import BATCH, DICTIONARY
from .subwords import SIDES, parallel_files

SENTENCEPIECE, END_OF_TEXT = "spiece.model", "<|endoftext|>"
FORMS = (("encoder.json", "vocab.bpe"), ("vocab.json", "merges.txt"), ("tokenizer.json",), (SENTENCEPIECE,))
FILES = tuple(name for form in FORMS for name in form)
NAMES = " or ".join(" and ".join(form) for form in FORMS)


# kana, ideographs and their punctuation, full-width forms
UNSPACED = "[\u3000-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef]"
SPACES = re.compile(f"(?<={UNSPACED}) +| +(?={UNSPACED})")


@dataclass(frozen=True)
class Gpt2:
    """A tokenizer of `size` types, and the files that it was made of."""

    tokenizer: Any  # tokenizers.Tokenizer
    files: tuple[Path, ...]
    size: int

    def text(self, ids: list[int]) -> str:
        """Of its tokens' ids."""
        return self.tokenizer.decode(ids, skip_special_tokens=False)

    def types(self) -> tuple[str, ...]:
        """Its tokens in the order of their ids."""
        return tuple(self.tokenizer.id_to_token(index) for index in range(self.size))

    def silent(self) -> list[int]:
        """Tokens that stand for no text, such as the end of one: no text has them, and no response should."""
        added = self.tokenizer.get_added_tokens_decoder()
        end = self.tokenizer.token_to_id(END_OF_TEXT)
        return sorted(
            {index for index, token in added.items() if token.special} | ({end} if end is not None else set())
        )

    def ids(self, texts: list[str]) -> list[list[int]]:
        """Of each text, its tokens' ids."""
        return self._ids([SPACES.sub("", text) for text in texts])

    def _ids(self, texts: list[str]) -> list[list[int]]:
        return [found.ids for found in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def lengths(self, texts: list[str]) -> list[int]:
        """Of each text, how many tokens it has."""
        return [len(found) for found in self.ids(texts)]

    def encode(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """Decimal ids and symbols of one line after the other; each different text is encoded once in a batch."""
        lines = iter(lines)
        while batch := list(islice(lines, BATCH)):
            split = [parts(line) for line in batch]
            texts = sorted({text for line in split for text in line if text not in USER_SYMBOLS})
            known = {text: [str(index) for index in ids] for text, ids in zip(texts, self.ids(texts), strict=True)} | {
                symbol: [symbol] for symbol in USER_SYMBOLS
            }
            for line in split:
                yield [token for text in line for token in known[text]]

    def decode(self, line: str) -> str:
        """Decimal ids between spaces -> text; symbols, ours and fairseq's, stay as they are."""
        texts: list[str] = []
        ids: list[int] = []
        for token in line.split():
            if token.isdecimal():
                ids.append(int(token))
                continue
            texts += [self.text(ids), token]
            ids = []
        texts.append(self.text(ids))
        return " ".join(text for text in texts if text)


class SentencePieceGpt2(Gpt2):
    """The same by SentencePiece; what it has no piece for is its unknown piece."""

    def text(self, ids: list[int]) -> str:
        """Of its tokens' ids."""
        return self.tokenizer.decode(ids)

    def types(self) -> tuple[str, ...]:
        """Its pieces in the order of their ids."""
        return tuple(self.tokenizer.id_to_piece(list(range(self.size))))

    def silent(self) -> list[int]:
        """Controls, and what it has no piece for."""
        model = self.tokenizer
        return [index for index in range(self.size) if model.is_control(index) or model.is_unknown(index)]

    def _ids(self, texts: list[str]) -> list[list[int]]:
        return self.tokenizer.encode(texts)


def parts(line: str) -> list[str]:
    """The texts of a line and, between them, the symbols that stand in it as words."""
    found: list[str] = []
    words: list[str] = []
    for word in line.split(" "):
        if word in USER_SYMBOLS:
            found += [" ".join(words), word]
            words = []
        else:
            words.append(word)
    return [text for text in (*found, " ".join(words)) if text]


def load_gpt2(folder: str | Path) -> Gpt2:
    """The tokenizer whose files lie in `folder`; InputError where they do not, or are damaged."""
    folder = Path(folder)
    files = next((form for form in FORMS if all((folder / name).is_file() for name in form)), None)
    if files is None:
        raise InputError(f"{folder} has no {NAMES}; remedy: the folder of GPT-2's tokenizer files")
    paths = tuple(folder / name for name in files)
    try:
        return _sentencepiece(paths) if files == (SENTENCEPIECE,) else _bytes(paths)
    except InputError:
        raise
    except Exception as error:  # the libraries have no class of their own for it
        named = " and ".join(map(str, paths))
        raise InputError(f"{named}: no tokenizer of GPT-2's form ({error}); remedy: download it again") from None


def _bytes(paths: tuple[Path, ...]) -> Gpt2:
    try:
        import tokenizers
        from tokenizers import decoders, models, pre_tokenizers
    except ImportError:
        raise missing_extra("tokenizers", "gpt2") from None
    if len(paths) == 1:
        tokenizer = tokenizers.Tokenizer.from_file(str(paths[0]))
    else:
        tokenizer = tokenizers.Tokenizer(models.BPE.from_file(*map(str, paths)))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True  # as text, where somebody typed them
    vocabulary = tokenizer.get_vocab()
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        raise InputError(f"{paths[0]}: the ids are not 0, 1, 2, ...; remedy: download it again")
    return Gpt2(tokenizer, paths, len(vocabulary))


def _sentencepiece(paths: tuple[Path, ...]) -> Gpt2:
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(model_file=str(paths[0]))
    return SentencePieceGpt2(model, paths, len(model))


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
    parser = argparse.ArgumentParser(
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
