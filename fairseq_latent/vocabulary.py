"""Whether a checkpoint was trained with the words of this data."""

import hashlib

from .errors import InputError


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
