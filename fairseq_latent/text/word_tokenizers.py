"""The words that metrics count: Moses tokens (English), MeCab morphemes (Japanese), characters (Chinese), or words already
separated.

Moses tokens are not XML-escaped. Escaping replaces characters inside tokens, one to one, so that BLEU and dist-n are
the same as on the escaped output of Moses' tokenizer.perl; the tokens just stay readable.
"""

import multiprocessing
import re
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version

from fairseq_latent.errors import InputError
from fairseq_latent.memory import available_cores
from fairseq_latent.text.mecab import segmenter

LANGUAGES = ("en", "ja", "zh", "none")
UNSPACED = ("ja", "zh")  # text without spaces between words
MANY, BLOCK = 100_000, 10_000  # different lines from which other processes pay, and lines for one of them at a time

SPACES = re.compile(r"\s+")
SPACES_BESIDE_JAPANESE = re.compile(r"(?<=[^\x00-\x7f])\s+|\s+(?=[^\x00-\x7f])")


@dataclass(frozen=True)
class Tokenizer:
    """Splits text into words; `signature` names the variant and the version of what did it.

    language: by which other processes make the same one; without it many lines are split by this process alone.
    """

    signature: str
    split: Callable[[str], list[str]]
    language: str = ""

    def __call__(self, lines: Iterable[str]) -> list[str]:
        """Each line with its words separated by single spaces; equal lines are split once, many by several processes."""
        lines = list(lines)
        known = dict.fromkeys(lines, "")
        different, workers = list(known), available_cores()
        if self.language and len(different) >= MANY and workers > 1:
            blocks = [(self.language, different[start : start + BLOCK]) for start in range(0, len(different), BLOCK)]
            with multiprocessing.get_context().Pool(min(workers, len(blocks)), _ignore_interrupts) as pool:
                parts = pool.imap(_split_block, blocks)
                known.update(zip(different, (line for part in parts for line in part), strict=True))
        else:
            known.update((line, " ".join(self.split(line))) for line in different)
        return [known[line] for line in lines]


def _split_block(block: tuple[str, list[str]]) -> list[str]:
    language, lines = block
    split = tokenizer(language).split
    return [" ".join(split(line)) for line in lines]


def _ignore_interrupts() -> None:
    """Ctrl-C reaches all of a terminal's processes: the parent ends them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


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

        def words(self, line: str) -> list[str]:
            """`tokenize(line, escape=False)`, without its passes over lines that have nothing for them."""
            if not line.isprintable() or "MULTI" in line:
                return self.tokenize(line, escape=False)
            text = _passed(" ".join(line.split()), self.PAD_NOT_ISALNUM)
            if ".." in text:
                text = self.replace_multidots(text)
            if "," in text:
                text = _passed(text, self.COMMA_SEPARATE_1, self.COMMA_SEPARATE_2, self.COMMA_SEPARATE_3)
            if "'" in text:
                text = _passed(text, *self.ENGLISH_SPECIFIC_APOSTROPHE)
            if "." in text:
                text = self.handles_nonbreaking_prefixes(text)
            if "'" in text:
                text = _passed(" ".join(text.split()), self.TRAILING_DOT_APOSTROPHE)
            return (self.restore_multidots(text) if "MULTI" in text else text).split()

        def isanyalpha(self, text):
            return not self.letters.isdisjoint(text)

        def islower(self, text):
            return self.lower.issuperset(text)

    moses = FastMosesTokenizer(lang="en")
    moses.NONBREAKING_PREFIXES = frozenset(moses.NONBREAKING_PREFIXES)
    return Tokenizer(f"tok:moses-en|sacremoses:{version('sacremoses')}", moses.words, "en")


def _passed(text: str, *passes: tuple[re.Pattern, str]) -> str:
    for pattern, template in passes:
        text = pattern.sub(_filling(template), text)
    return text


@lru_cache
def _filling(template: str) -> Callable[[re.Match], str]:
    """What fills a template's groups: re.sub would read the template anew for every line."""
    parts = re.split(r"\\(\d)", template)
    texts, groups = parts[::2], [int(group) for group in parts[1::2]]

    def fill(match: re.Match) -> str:
        return texts[0] + "".join([match[group] + text for group, text in zip(groups, texts[1:], strict=True)])

    return fill


def _mecab() -> Tokenizer:
    """MeCab with ipadic; the result does not depend on whether the text came segmented or not.

    Spaces beside a Japanese character are removed first: the output of a model trained on segmented text and a raw
    reference are then cut by the same rule. `--lang none` keeps the segmentation that the model wrote.
    """
    segment = segmenter()

    def split(line: str) -> list[str]:
        joined = SPACES.sub(" ", SPACES_BESIDE_JAPANESE.sub("", line.replace("\0", " "))).strip()
        return segment(joined).split()

    return Tokenizer(
        f"tok:mecab-ipadic|mecab-python3:{version('mecab-python3')}|ipadic:{version('ipadic')}", split, "ja"
    )


def _characters() -> Tokenizer:
    """sacrebleu's `zh`: every Chinese character and mark is a word, what stands between them is split as English is.

    Papers on Chinese dialogue count characters (LCCC: Wang et al., 2020, https://arxiv.org/abs/2008.03946); the result does
    not depend on whether the text came segmented or not.
    """
    from sacrebleu.tokenizers.tokenizer_zh import TokenizerZh

    zh = TokenizerZh()
    return Tokenizer(f"tok:zh-characters|sacrebleu:{version('sacrebleu')}", lambda line: zh(line).split(), "zh")
