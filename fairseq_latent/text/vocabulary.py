"""A dictionary's special tokens, and whether a checkpoint was trained with the words of this data."""

import hashlib

from ..errors import InputError

WORD_START = "\u2581"  # how SentencePiece marks a word's beginning, which its special tokens have, too


def index_of(dictionary, symbol: str) -> int:
    """The id of a special token of ours, as GPT-2's tokens or SentencePiece's have it; -1 if the dictionary lacks it."""
    known = [word for word in (symbol, f"{WORD_START}{symbol}") if word in dictionary]
    return dictionary.index(known[0]) if known else -1


def joined_dictionary(task):
    """The dictionary of both sides of a task; InputError where they are two."""
    if task.source_dictionary != task.target_dictionary:
        raise InputError("dict.src.txt and dict.tgt.txt differ; remedy: fairseq-preprocess --joined-dictionary")
    return task.target_dictionary


def digest(dictionary) -> int:
    """63 bits of the words in the order of their ids: another dictionary of the same size would decode to garbage."""
    words = "\n".join(dictionary.symbols).encode()
    return int.from_bytes(hashlib.blake2b(words, digest_size=8).digest(), "little") >> 1


def check_words(trained_with: int | None, dictionary) -> None:
    """Refuse weights that were trained with other words than these; None: the checkpoint does not say."""
    if trained_with is not None and trained_with != digest(dictionary):
        raise InputError(
            "this checkpoint was trained with another dictionary than the data's dict.tgt.txt; "
            "remedy: the data-bin folder of its training"
        )
