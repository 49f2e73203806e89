"""The words that metrics count: Moses tokens (English), MeCab morphemes (Japanese), characters (Chinese), or words already
separated.

Moses tokens are not XML-escaped. Escaping replaces characters inside tokens, one to one, so that BLEU and dist-n are
the same as on the escaped output of Moses' tokenizer.perl; the tokens just stay readable.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version

from fairseq_latent.errors import InputError
from fairseq_latent.text.mecab import segmenter

LANGUAGES = ("en", "ja", "zh", "none")
UNSPACED = ("ja", "zh")  # text without spaces between words

SPACES = re.compile(r"\s+")
SPACES_BESIDE_JAPANESE = re.compile(r"(?<=[^\x00-\x7f])\s+|\s+(?=[^\x00-\x7f])")


@dataclass(frozen=True)
class Tokenizer:
    """Splits text into words; `signature` names the variant and the version of what did it."""

    signature: str
    split: Callable[[str], list[str]]

    def __call__(self, lines: Iterable[str]) -> list[str]:
        """Each line with its words separated by single spaces; equal lines are split once."""
        known: dict[str, str] = {}
        result = []
        for line in lines:
            if line not in known:
                known[line] = " ".join(self.split(line))
            result.append(known[line])
        return result


@lru_cache
def tokenizer(language: str) -> Tokenizer:
    """The tokeniser of a language: "en", "ja", "zh", or "none" for text whose words are already separated by spaces."""
    makers = {"en": _moses, "ja": _mecab, "zh": _characters, "none": lambda: Tokenizer("tok:none", str.split)}
    if language not in makers:
        raise InputError(f"no tokeniser for language {language!r}; remedy: --lang {'|'.join(LANGUAGES)}")
    return makers[language]()


def _moses() -> Tokenizer:
    try:
        from sacremoses import MosesTokenizer
    except ImportError:
        raise InputError("sacremoses is not installed; remedy: pip install sacremoses, or use --lang none") from None

    class FastMosesTokenizer(MosesTokenizer):
        """The same answers; sacremoses builds a set of all letters at each call, five sixths of its time."""

        letters, lower = frozenset(MosesTokenizer.IsAlpha), frozenset(MosesTokenizer.IsLower)

        def isanyalpha(self, text):
            return not self.letters.isdisjoint(text)

        def islower(self, text):
            return self.lower.issuperset(text)

    moses = FastMosesTokenizer(lang="en")
    return Tokenizer(
        f"tok:moses-en|sacremoses:{version('sacremoses')}", lambda line: moses.tokenize(line, escape=False)
    )


def _mecab() -> Tokenizer:
    """MeCab with ipadic; the result does not depend on whether the text came segmented or not.

    Spaces beside a Japanese character are removed first: the output of a model trained on segmented text and a raw
    reference are then cut by the same rule. `--lang none` keeps the segmentation that the model wrote.
    """
    segment = segmenter()

    def split(line: str) -> list[str]:
        joined = SPACES.sub(" ", SPACES_BESIDE_JAPANESE.sub("", line.replace("\0", " "))).strip()
        return segment(joined).split()

    return Tokenizer(f"tok:mecab-ipadic|mecab-python3:{version('mecab-python3')}|ipadic:{version('ipadic')}", split)


def _characters() -> Tokenizer:
    """sacrebleu's `zh`: every Chinese character and mark is a word, what stands between them is split as English is.

    Papers on Chinese dialogue count characters (LCCC: Wang et al., 2020, https://arxiv.org/abs/2008.03946); the result does
    not depend on whether the text came segmented or not.
    """
    from sacrebleu.tokenizers.tokenizer_zh import TokenizerZh

    zh = TokenizerZh()
    return Tokenizer(f"tok:zh-characters|sacrebleu:{version('sacrebleu')}", lambda line: zh(line).split())
