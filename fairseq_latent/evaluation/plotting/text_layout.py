"""People's texts in pictures: fonts that have their characters, lines that fit, and nothing that is taken for markup."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache

from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.ft2font import FT2Font, LoadFlags

from fairseq_latent.errors import printable

FONT = "DejaVu Sans"  # comes with matplotlib
LAST_RESORT = "Last Resort"  # matplotlib's own, with a box for every character there is
ABSENT = "□"
NOTHING_READABLE = "(no installed font has its characters)"
POINTS_AN_INCH = 72
LONGEST_LINE = 200  # characters
HINTING = 1.04  # how much wider letters get that are fitted to the pixels


def families(texts: Iterable[str]) -> tuple[str, ...]:
    """Font families that together have as many characters of these texts as what is installed allows."""
    missing = {ord(character) for text in texts for character in _one_line(text)} - _characters(FONT)
    found = [FONT]
    while missing:
        best = max(_installed(), key=lambda family: len(missing & _characters(family)))
        if not missing & _characters(best):
            break
        found.append(best)
        missing -= _characters(best)
    return tuple(found)


def absent(texts: Iterable[str], fonts: Sequence[str]) -> str:
    """The different characters that these families lack, in order of appearance."""
    known = set().union(*map(_characters, fonts))
    return "".join(dict.fromkeys(mark for text in texts for mark in _one_line(text) if ord(mark) not in known))


def drawable(text: str, fonts: Sequence[str]) -> str:
    """The text as one line, a box for each character without a glyph; a note where little else would be left."""
    line = _one_line(text)
    lacking = set(absent([line], fonts))
    if 2 * sum(character in lacking for character in line) > len(line.replace(" ", "")):
        return NOTHING_READABLE
    return "".join(ABSENT if character in lacking else character for character in line)


def wrapped(
    text: str, inches: float, size: float, lines: int, fonts: Sequence[str], before: str = "", keep: str = "start"
) -> list[str]:
    """`before` and the text in at most so many lines of this width; of a longer text its start or its end is kept."""
    whole = _broken(before + text, inches, size, fonts)
    if len(whole) <= lines:
        return whole
    if keep == "start":
        *first, last = whole[:lines]
        return [*first, _shortened(f"{last} {whole[lines]}", inches, size, fonts)]
    ending = text[-LONGEST_LINE * lines :]  # the search below takes the square of its length
    while len(whole := _broken(f"{before}…{ending.lstrip()}", inches, size, fonts)) > lines:
        ending = ending[1:]
    return whole


def _shortened(line: str, inches: float, size: float, fonts: Sequence[str]) -> str:
    while line and _width(line + "…", size, fonts) > inches:
        line = line[:-1].rstrip()
    return line + "…"


def _broken(text: str, inches: float, size: float, fonts: Sequence[str]) -> list[str]:
    """Lines of this width: broken at spaces, between East Asian characters, and inside what is longer than a line."""
    lines, line = [], ""
    for word in _words(text):
        too_long = _width(word.rstrip(), size, fonts) > inches
        while _width((line + word).rstrip(), size, fonts) > inches:
            if too_long:
                fits = _fitting(line, word, inches, size, fonts)
                line, word = line + word[:fits], word[fits:]
            lines.append(line.rstrip())
            line = ""
        line += word
    return [*lines, line.rstrip()] if line.strip() else lines or [""]


def _words(text: str) -> list[str]:
    """Pieces of text that stay together, each with the spaces after it."""
    pieces = re.findall(r"\s*\S+\s*", text)
    return [part for piece in pieces for part in _east_asian_apart(piece)]


def _east_asian_apart(piece: str) -> list[str]:
    parts = [""]
    for character in piece:
        if parts[-1].strip() and unicodedata.east_asian_width(character) in "WF":
            parts.append("")
        parts[-1] += character
    return parts


def _fitting(line: str, word: str, inches: float, size: float, fonts: Sequence[str]) -> int:
    """How many of the word's characters the line still takes; an empty line takes at least one."""
    fits = len(word)
    while fits > (not line) and _width(line + word[:fits], size, fonts) > inches:
        fits -= 1
    return fits


def _width(line: str, size: float, fonts: Sequence[str]) -> float:
    """Inches, at most."""
    return HINTING * size / POINTS_AN_INCH * sum(_advance(character, tuple(fonts)) for character in line)


@cache
def _advance(character: str, fonts: tuple[str, ...]) -> float:
    """A character's width in units of the font's size."""
    having = [family for family in fonts if ord(character) in _characters(family)]
    if not having:
        return _advance(ABSENT, (FONT,))
    face = _face(having[0])
    face.set_size(10, POINTS_AN_INCH)
    return face.load_char(ord(character), flags=LoadFlags.NO_HINTING).linearHoriAdvance / 65536 / 10


@cache
def _installed() -> tuple[str, ...]:
    """Upright families of normal weight that can be drawn, by name."""
    return tuple(
        sorted(
            {
                font.name
                for font in fontManager.ttflist
                if font.style == "normal" and font.weight == 400 and not font.name.startswith(LAST_RESORT)
            }
        )
    )


@cache
def _characters(family: str) -> frozenset[int]:
    """Code points with a glyph; none for fonts of bitmaps (coloured emoji), which matplotlib can't draw."""
    try:
        face = _face(family)
        return frozenset(face.get_charmap()) if face.scalable else frozenset()
    except (OSError, RuntimeError, ValueError):  # a broken font file is no font
        return frozenset()


@cache
def _face(family: str) -> FT2Font:
    return get_font(findfont(FontProperties(family=[family]), fallback_to_default=False))


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))
