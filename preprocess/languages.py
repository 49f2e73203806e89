"""Is a turn in the language that is wanted? By its script, in a microsecond, or by a detector, in fifty."""

import re
from collections.abc import Callable

from fairseq_latent.errors import InputError, missing_extra

DETECTORS = ("script", "langid")
KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa\uff66-\uff9d]")
SHORT = 20  # characters: on fewer a detector guesses
LATIN_LETTER = re.compile("[A-Za-z\u00c0-\u024f]")
FOREIGN_LETTER = re.compile(r"[^\W\d_A-Za-z\u00c0-\u024f]")


def dropper(lang: str, detector: str) -> Callable[[str], str | None]:
    """The rule that drops turns in other languages; InputError where the detector does not know `lang`."""
    if detector == "langid":
        return _by_langid(lang)
    tests = {"en": _latin, "ja": _kana}
    if lang not in tests:
        raise InputError(f"--lang {lang}: its script alone does not tell it; remedy: --detector langid")
    test = tests[lang]
    return lambda text: text if test(text) else None


def _latin(text: str) -> bool:
    """Nine in ten letters or more are Latin, and there is one."""
    if text.isascii():
        return text.upper() != text.lower()
    foreign = len(FOREIGN_LETTER.findall(text))
    latin = len(LATIN_LETTER.findall(text))
    return latin > 0 and latin >= 9 * foreign


def _kana(text: str) -> bool:
    """Any hiragana or katakana: Chinese has none."""
    return KANA.search(text) is not None


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
