"""Typed text to the tokens of a data folder and back, by the model that lies in the folder: SentencePiece or GPT-2's."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError


@dataclass(frozen=True)
class SubwordTokenizer:
    """encode: text -> tokens between spaces; decode: the way back. without_text: special tokens that stand for none.

    types: all tokens of GPT-2's form as they are written in its files, in the order of their ids.
    """

    encode: Callable[[str], str]
    decode: Callable[[str], str]
    without_text: tuple[str, ...] = ()
    types: tuple[str, ...] = ()


def tokenizer_of(data: str | Path) -> SubwordTokenizer:
    """What the data folder was made with; words between spaces where it has no model."""
    folder = Path(data)
    if (folder / "spm.model").is_file():
        return _sentencepiece(folder / "spm.model")
    return gpt2_tokens(folder) or SubwordTokenizer(lambda text: " ".join(text.split()), str.strip)


def gpt2_tokens(data: str | Path) -> SubwordTokenizer | None:
    """By the tokenizer of GPT-2's form in the folder; symbols of ours stay as they are. None without one."""
    from .gpt2_tokenizer import FILES, load_gpt2

    if not any((Path(data) / name).is_file() for name in FILES):
        return None
    gpt2 = load_gpt2(data)
    return SubwordTokenizer(
        lambda text: " ".join(next(gpt2.encode([text]))),
        lambda line: gpt2.decode(line).strip(),
        tuple(map(str, gpt2.without_text())),
        gpt2.types(),
    )


def _sentencepiece(path: Path) -> SubwordTokenizer:
    import sentencepiece

    try:
        model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise InputError(f"{path}: no SentencePiece model; remedy: prepare the data again") from error
    return SubwordTokenizer(
        lambda text: " ".join(model.encode(text, out_type=str)), lambda line: model.decode_pieces(line.split())
    )
