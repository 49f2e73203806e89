"""Japanese words, by MeCab with ipadic: all of a text, whatever stands in it and however long it is."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

from ..errors import InputError, missing_extra

# The entries of the IPA dictionary that every published MeCab-BLEU assumes; sacrebleu checks the same number.
IPADIC_SIZE = 392126
LONGEST = 10_000  # characters at once: MeCab's time grows with their square, and of a megabyte it returns nothing
ENDS = "。！？!?\u3000 "


class Morpheme(NamedTuple):
    """A word of a text: `kind` is its part of speech, `sort` the finer one, `base` the form that dictionaries list."""

    text: str
    kind: str
    sort: str
    base: str


def segmenter() -> Callable[[str], str]:
    """The rule that puts a space between words; those that stand there between Japanese words part them too."""
    parse = _parser("-Owakati ")
    return lambda text: " ".join(word for part in _parts(text) for word in parse(part).split())


@cache
def morphemes() -> Callable[[str], list[Morpheme]]:
    """What finds the words of a text and their parts of speech."""
    parse = _parser("")

    def find(text: str) -> list[Morpheme]:
        lines = (line.partition("\t") for part in _parts(text) for line in parse(part).split("\n"))
        columns = ((word, rest.split(",")) for word, tab, rest in lines if tab)  # a part ends with the line EOS
        return [Morpheme(word, of[0], of[1], of[6] if len(of) > 6 else word) for word, of in columns]

    return find


def _parser(form: str) -> Callable[[str], str]:
    """MeCab's.

    The dictionary is named, since one that the system has, or a mecabrc, would part otherwise: MeCab's IPA dictionary, that
    of published BLEU scores and of sacrebleu's `ja-mecab`.
    """
    try:
        import ipadic
        import MeCab
    except ImportError as error:
        raise missing_extra("ipadic" if error.name == "ipadic" else "mecab-python3", "ja") from None
    tagger = MeCab.Tagger(f"{form}{ipadic.MECAB_ARGS}")
    size = tagger.dictionary_info().size
    if size != IPADIC_SIZE:
        raise InputError(
            f"MeCab's dictionary has {size} entries, ipadic {IPADIC_SIZE}; remedy: pip install 'fairseq_latent[ja]'"
        )
    return tagger.parse


def _parts(text: str) -> Iterator[str]:
    """Of at most LONGEST characters, cut after a sentence where there is an end of one, and blanks in place of NULs.

    To MeCab, a library in C, a NUL is the end of the text.
    """
    text = text.replace("\0", " ")
    start = 0
    while len(text) - start > LONGEST:
        last = max(text.rfind(end, start, start + LONGEST) for end in ENDS)
        cut = last + 1 if last >= start else start + LONGEST
        yield text[start:cut]
        start = cut
    yield text[start:]
