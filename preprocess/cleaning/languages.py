"""Is a turn in the language that is wanted? By its script, in a microsecond, or by a detector, in fifty."""

import re
from collections.abc import Callable

from fairseq_latent.errors import InputError, missing_extra

from .chinese import HAN

DETECTORS = ("script", "langid")
KANAS, LATIN_LETTERS = "[\u3041-\u3096\u30a1-\u30fa\uff66-\uff9d]", "[A-Za-z\u00c0-\u024f]"
KANA, LATIN_LETTER = re.compile(KANAS), re.compile(LATIN_LETTERS)
SHORT = 20  # characters: on fewer a detector guesses
FOREIGN_LETTER = re.compile(r"[^\W\d_A-Za-z\u00c0-\u024f]")


def dropper(lang: str, detector: str) -> Callable[[str], str | None]:
    """The rule that drops turns in other languages; InputError where the detector does not know `lang`."""
    if detector == "langid":
        return _by_langid(lang)
    droppers = {"en": drop_unless_latin, "ja": drop_without_kana, "zh": drop_without_han}
    if lang not in droppers:
        raise InputError(f"--lang {lang}: its script alone does not tell it; remedy: --detector langid")
    return droppers[lang]


def drop_unless_latin(text: str) -> str | None:
    """A text stays if nine in ten letters or more are Latin, and there is one."""
    if text.isascii():
        return text if text.upper() != text.lower() else None
    foreign = len(FOREIGN_LETTER.findall(text))
    latin = len(LATIN_LETTER.findall(text))
    return text if latin > 0 and latin >= 9 * foreign else None


def drop_without_kana(text: str) -> str | None:
    """A text stays if there is any hiragana or katakana: Chinese has none."""
    return text if KANA.search(text) else None


def drop_without_han(text: str) -> str | None:
    """A text stays if it has a Chinese character and no kana: Japanese has both."""
    return text if HAN.search(text) and not KANA.search(text) else None


def _by_langid(lang: str) -> Callable[[str], str | None]:
    """Short turns stay: of "thanks!" the detector would say Xhosa."""
    try:
        import py3langid
    except ImportError:
        raise missing_extra("py3langid", "tweets") from None
    known = {code for code, _ in py3langid.rank("")}
    if lang not in known:
        raise InputError(f"--lang {lang}: langid knows {' '.join(sorted(known))}; remedy: one of these")
    return lambda text: text if len(text) < SHORT or py3langid.classify(text)[0] == lang else None
