"""Tokenizers of GPT-2 (Radford et al., 2019) and of models in its form: text -> ids and back.

Byte-level byte pair encoding, from files that lie in a folder: `encoder.json` and `vocab.bpe`, as GPT-2 was released;
`vocab.json` and `merges.txt`; or `tokenizer.json`. Or SentencePiece, `spiece.model`, which Japanese GPT-2s have.

Each turn of a context and each sentence of a profile is encoded by itself, without a space before it, as DialoGPT does
(Zhang et al., 2020, https://arxiv.org/abs/1911.00536): a turn has the same tokens as a response and in a context. <eot>
between them is one special token. Text that looks like one, `x<eot>` or `<|endoftext|>`, is encoded as the characters it
has. Spaces beside Japanese and Chinese characters are removed: MeCab put them there, and no pre-trained model has read such
text.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import InputError, missing_extra
from ..symbols import USER_SYMBOLS
from .panics import panics_are_errors

BATCH = 4096  # lines encoded at a time
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
        """Of its tokens' ids; InputError where the files are damaged so that the library stumbles."""
        with self._named():
            return self.tokenizer.decode(ids, skip_special_tokens=False)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            with panics_are_errors():
                yield
        except ValueError as error:
            raise _damaged(self.files, error) from None

    def types(self) -> tuple[str, ...]:
        """Its tokens in the order of their ids."""
        return tuple(self.tokenizer.id_to_token(index) for index in range(self.size))

    def without_text(self) -> list[int]:
        """Tokens that stand for no text, such as the end of one: no text has them, and no response should."""
        added = self.tokenizer.get_added_tokens_decoder()
        end = self.tokenizer.token_to_id(END_OF_TEXT)
        return sorted(
            {index for index, token in added.items() if token.special} | ({end} if end is not None else set())
        )

    def ids(self, texts: list[str]) -> list[list[int]]:
        """Of each text, its tokens' ids; InputError as in `text`."""
        with self._named():
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

    def _is_id(self, token: str) -> bool:
        return token.isascii() and token.isdecimal() and len(token) <= len(str(self.size)) and int(token) < self.size

    def decode(self, line: str) -> str:
        """Decimal ids between spaces -> text; symbols, ours and fairseq's, and what is no id stay as they are."""
        texts: list[str] = []
        ids: list[int] = []
        for token in line.split():
            if self._is_id(token):
                ids.append(int(token))
                continue
            texts += [self.text(ids), token]
            ids = []
        texts.append(self.text(ids))
        return " ".join(text for text in texts if text)


class SentencePieceGpt2(Gpt2):
    """The same by SentencePiece; what it has no token for is its unknown token."""

    def text(self, ids: list[int]) -> str:
        """Of its tokens' ids."""
        return self.tokenizer.decode(ids)

    def types(self) -> tuple[str, ...]:
        """Its tokens in the order of their ids."""
        return tuple(self.tokenizer.id_to_piece(list(range(self.size))))

    def without_text(self) -> list[int]:
        """Controls, and the unknown token."""
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
        with panics_are_errors():
            return _sentencepiece(paths) if files == (SENTENCEPIECE,) else _bytes(paths)
    except InputError:
        raise
    except Exception as error:  # the libraries have no class of their own for it
        raise _damaged(paths, error) from None


def _damaged(paths: tuple[Path, ...], error: Exception) -> InputError:
    named = " and ".join(map(str, paths))
    return InputError(f"{named}: no tokenizer of GPT-2's form ({error}); remedy: download it again")


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
