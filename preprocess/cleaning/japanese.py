"""Japanese text: characters normalised by neologdn, numbers and ranges left as they are."""

import re
from collections.abc import Callable

from fairseq_latent.errors import missing_extra

LONGEST = 3  # repetitions: wwwwww -> www
# what numbers are written with, kanji too: 一〇〇〇〇円
NUMBERS = re.compile("([\\d〇零一二三四五六七八九十百千万億兆\u2150-\u218b\u2460-\u249b]+)")
# a dash between digits, which neologdn would take for a long vowel: 03－1234
DASHES = re.compile("(?<=\\d)[\u2012-\u2015\u2500\u2501\u30fc\uff0d\uff70](?=\\d)")


def normaliser() -> Callable[[str], str]:
    """The rule that makes half-width katakana wide, wide letters and digits plain, and long vowels and laughter short.

    `tilde`: 〜 stands in ranges (2〜3日), and neologdn would remove it. Nothing within a number is shortened.
    """
    try:
        import neologdn
    except ImportError:
        raise missing_extra("neologdn", "ja") from None

    def shortened(part: str) -> str:
        return part if NUMBERS.match(part) else neologdn.shorten_repeat(part, LONGEST, 8)

    def normalise(text: str) -> str:
        if text.isascii():
            return text
        plain = neologdn.normalize(DASHES.sub("-", text), tilde="normalize_zenkaku")
        return "".join(map(shortened, NUMBERS.split(plain)))

    return normalise
