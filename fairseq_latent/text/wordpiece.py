"""Text to the tokens of a BERT: its own tokenizer, kept as JSON, so that a checkpoint is read without the folder."""

from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError, missing_extra
from .panics import panics_are_errors

FILES = ("tokenizer.json", "vocab.txt")
STARTS, PADS, ENDS = ("[CLS]", "<s>"), ("[PAD]", "<pad>"), ("[SEP]", "</s>")


class WordPieces:
    """A tokenizer of `tokenizers` in its JSON form; texts begin with [CLS] and have no [SEP]: that parts sentences."""

    def __init__(self, text: str, where: str = "this checkpoint"):
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise missing_extra("tokenizers", "lm") from None
        try:
            with panics_are_errors():
                self._tokenizer = Tokenizer.from_str(text)
        except Exception as error:  # a Rust error without a class of its own
            line = " ".join(str(error).split())[:200]
            raise InputError(
                f"{where}: no tokenizer ({line}); remedy: the folder of a BERT with its tokenizer"
            ) from None
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        starts = [place for name in STARTS if (place := self._tokenizer.token_to_id(name)) is not None]
        if not starts:
            raise InputError(f"{where}: its tokenizer has no [CLS]; remedy: the folder of a BERT with its tokenizer")
        self.start, self.text = starts[0], text
        pads = [place for name in PADS if (place := self._tokenizer.token_to_id(name)) is not None]
        if not pads:
            raise InputError(f"{where}: its tokenizer has no [PAD]; remedy: the folder of a BERT with its tokenizer")
        self.pad = pads[0]

    @classmethod
    def of_folder(cls, folder: str | Path) -> "WordPieces":
        """That of a folder in the form of `transformers`, by tokenizer.json or vocab.txt."""
        from transformers import AutoTokenizer

        if not any((Path(folder) / name).is_file() for name in FILES):
            raise InputError(
                f"{folder}: no tokenizer there ({' or '.join(FILES)}); remedy: the folder of a BERT with both"
            )
        try:
            with panics_are_errors():
                read = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
                text = read.backend_tokenizer.to_str()
        except Exception as error:  # each library has its own
            line = " ".join(str(error).split())[:200]
            raise InputError(
                f"{folder}: no tokenizer there ({line}); remedy: the folder of a BERT with its tokenizer"
            ) from None
        return cls(text, str(folder))

    @property
    def size(self) -> int:
        """Types."""
        return self._tokenizer.get_vocab_size()

    def ids(self, texts: Sequence[str], longest: int) -> list[tuple[int, ...]]:
        """Each text as [CLS] and its tokens, `longest` at most."""
        encoded = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [(self.start, *each.ids[: longest - 1]) for each in encoded]

    def whole(self, texts: Sequence[str], longest: int) -> list[tuple[int, ...]]:
        """Each text as [CLS], its newest tokens and [SEP], `longest` at most: what a BERT is trained on."""
        encoded = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        end = self._end()
        room = max(0, longest - 1 - len(end))
        return [(self.start, *each.ids[max(0, len(each.ids) - room) :], *end) for each in encoded]

    @property
    def ends(self) -> int:
        """Special tokens at the end of `whole`."""
        return len(self._end())

    def _end(self) -> list[int]:
        return [place for name in ENDS if (place := self._tokenizer.token_to_id(name)) is not None][:1]
