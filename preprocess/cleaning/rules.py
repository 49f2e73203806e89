"""The rules that clean a turn: small functions from a text to the text that should stand there, or None where it has to go.

To add a rule, write the function and add its line to `rules`. A rule returns the very same object where it changes nothing,
and looks first, cheaply, whether there is anything to do: most turns pass most rules untouched.
"""

import argparse
import html
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from fairseq_latent.errors import InputError
from fairseq_latent.symbols import RESERVED, USER_SYMBOLS
from fairseq_latent.text.mecab import segmenter

from . import chinese, japanese, languages

Rule = Callable[[str], str | None]

SYMBOLS = frozenset((*RESERVED, *USER_SYMBOLS))

# What Python and DuckDB understand alike: no look-around, no \\s and \\w, which mean ASCII to one and Unicode to the other.
SPACE = " \t\n\r\f\v\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
# Cc (controls), Zl and Zp (line and paragraph separator): all that any tool takes for the end of a line
CONTROLS = "[\\x00-\\x1f\\x7f-\\x9f\u2028\u2029]"
# marks that show nothing: zero-width spaces, byte order marks, turned writing direction; joiners stay, words need them
INVISIBLES = "[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
# brackets that SentencePiece's NFKC normalisation turns into < and >
BRACKETS = "[<\uff1c\ufe64]([^<\uff1c\ufe64>\uff1e\ufe65]{1,12})[>\uff1e\ufe65]"
# ASCII only, since Japanese goes on without a space; the last character is none that ends a sentence
URLS = "([Hh][Tt][Tt][Pp][Ss]?://|[Ww][Ww][Ww]\\.)[!-~]*[A-Za-z0-9/=&#_~-]"
# .@name at the start makes a reply public; names are ASCII, since Japanese goes on without a space
NAMES_AT_THE_START = f"^([{SPACE}]*\\.?[@\uff20][A-Za-z0-9_]+:?)+[{SPACE}]*"
HASHTAGS_AT_THE_END = f"([{SPACE}]*[#\uff03][^{SPACE}#\uff03]+)+[{SPACE}]*$"
MARKED = "[@#{}\uff20\uff03\uff5b\uff5d]"

CONTROL, INVISIBLE, BRACKETED = re.compile(CONTROLS), re.compile(INVISIBLES), re.compile(BRACKETS)
URL, NAMES, HASHTAGS = re.compile(URLS), re.compile(NAMES_AT_THE_START), re.compile(HASHTAGS_AT_THE_END)
WIDE_MARKS = re.compile("[\uff20\uff03\uff5b\uff5d]")
COMMON = "etaoinsrのいたっ"

NOT_IN = "drop turns that are not "  # and a language: the name of a rule


@dataclass(frozen=True)
class CleaningOptions:
    """Which rules apply, beside those that always do."""

    min_words: int = 1
    max_words: int = 100
    tweets: bool = False
    remove_emoji: bool = False
    lang: str | None = None
    detector: str = "script"
    japanese: bool = False
    lower_case: bool = False
    chinese: bool = False


def add_options(parser: argparse.ArgumentParser) -> None:
    """What says which rules are wanted."""
    add = parser.add_argument
    add("--max-words", type=int, default=100, metavar="N", help="drop longer turns (default: 100)")
    add("--min-words", type=int, default=1, metavar="N", help="drop shorter turns (default: 1)")
    add(
        "--lower-case", action="store_true", help="write all in small letters, as PERSONA-CHAT does (default: as it is)"
    )
    add("--remove-emoji", action="store_true", help="remove emoji (default: they are words)")
    add(
        "--detector",
        choices=languages.DETECTORS,
        default="script",
        help="of --lang: script (default): en is what is written in Latin letters, ja what has kana, zh what has "
        "Chinese characters and no kana; langid: py3langid's "
        "guess where a turn is long enough for one, 97 languages, slower",
    )
    add("--japanese", action="store_true", help="normalise by neologdn, put spaces between words by MeCab with ipadic")
    add(
        "--chinese", action="store_true", help="put a space beside each Chinese character, whatever spaces the text has"
    )


def cleaning_options(options: argparse.Namespace, tweets: bool) -> CleaningOptions:
    """The rules of a command line; InputError where they drop every turn."""
    if not 1 <= options.min_words <= options.max_words:
        raise InputError(
            f"--min-words {options.min_words} --max-words {options.max_words} drop every turn; "
            "remedy: 1 <= min-words <= max-words"
        )
    if options.japanese and options.chinese:
        raise InputError("--japanese and --chinese part the same characters; remedy: one of them")
    return CleaningOptions(
        options.min_words, options.max_words, tweets, options.remove_emoji, options.lang, options.detector,
        options.japanese, options.lower_case, options.chinese,
    )  # fmt: skip


def message_rules(wanted: CleaningOptions) -> list[tuple[str, Rule]]:
    """The rules for single tweets, before those of one user become one turn; none of them drops anything."""
    if not wanted.tweets:
        return []
    return [
        ("unescape HTML", unescape_html),
        ("blank control characters", blank_control_characters),
        ("remove invisible characters", remove_invisible_characters),
        ("remove URLs", remove_urls),
        ("remove names at the start", remove_names_at_the_start),
        ("remove hashtags at the end", remove_hashtags_at_the_end),
    ]


def rules(wanted: CleaningOptions) -> list[tuple[str, Rule]]:
    """The rules for turns in their order, each with the name it has in the table."""
    chosen: list[tuple[str, Rule]] = []
    if not wanted.tweets:  # each of which went through these before it became a turn
        chosen += [
            ("unescape HTML", unescape_html),
            ("blank control characters", blank_control_characters),
            ("remove URLs", remove_urls),
        ]
    if wanted.remove_emoji:
        chosen += [("remove emoji", emoji_remover())]
    if wanted.japanese:
        chosen += [("normalise Japanese", japanese.normaliser())]
    if wanted.lower_case:  # before symbols are looked for: <EOT> becomes one
        chosen += [("write in small letters", lower_case)]
    chosen += [
        ("break up special symbols", break_up_symbols),
        ("squeeze white space", squeeze_whitespace),
        ("drop empty turns", drop_empty),
    ]
    if wanted.lang:
        chosen += [(NOT_IN + wanted.lang, languages.dropper(wanted.lang, wanted.detector))]
    if wanted.tweets:
        chosen += [("drop turns with @ # { }", drop_marks), ("drop turns of one character", drop_one_character)]
    if wanted.japanese:
        chosen += [("part Japanese words", segmenter())]
    if wanted.chinese:
        chosen += [("part Chinese characters", chinese.spaced)]
    if wanted.min_words > 1:
        chosen += [(f"drop turns of < {wanted.min_words} words", partial(drop_short, min_words=wanted.min_words))]
    return [*chosen, (f"drop turns of > {wanted.max_words} words", partial(drop_long, max_words=wanted.max_words))]


def unescape_html(text: str) -> str:
    """&amp;lt; -> &lt; -> <: until nothing changes, since corpora are often escaped twice."""
    while "&" in text and (plain := html.unescape(text)) != text:
        text = plain
    return text


def blank_control_characters(text: str) -> str:
    """A space for every control character and every line separator."""
    return text if text.isprintable() else CONTROL.sub(" ", text)


def remove_invisible_characters(text: str) -> str:
    """Zero-width spaces and marks of writing direction go."""
    return text if text.isascii() else INVISIBLE.sub("", text)


def remove_urls(text: str) -> str:
    """Links go, the words around them stay."""
    return URL.sub(" ", text) if "://" in text or "www." in text.lower() else text


def remove_names_at_the_start(text: str) -> str:
    """@anna @ben yes -> yes: whom a reply addresses."""
    found = NAMES.match(text) if "@" in text or "\uff20" in text else None
    return text[found.end() :] if found else text


def remove_hashtags_at_the_end(text: str) -> str:
    """so true #monday #coffee -> so true: what a tweet is filed under; hashtags within a sentence are its words."""
    return HASHTAGS.sub("", text) if "#" in text or "\uff03" in text else text


def emoji_remover() -> Rule:
    """The rule that removes emoji, sequences of several characters as one."""
    try:
        import emoji
    except ImportError:
        raise InputError("emoji is not installed; remedy: pip install 'fairseq_latent[tweets]'") from None
    # not the digits and signs that begin key caps: few texts have them followed by one
    first = re.compile(
        f"[{''.join(map(re.escape, sorted({each[0] for each in emoji.EMOJI_DATA if not each[0].isascii()})))}]"
    )

    def remove_emoji(text: str) -> str:
        if text.isascii() or not (first.search(text) or "\u20e3" in text):
            return text
        return emoji.replace_emoji(text, "")

    return remove_emoji


def lower_case(text: str) -> str:
    """Small letters, where there are two kinds."""
    small = text.lower()
    return text if small == text else small


def break_up_symbols(text: str) -> str:
    """<eot> that a user typed -> < eot >, in whatever width, so that it cannot pose as ours."""
    return text if text.isascii() and "<" not in text else BRACKETED.sub(_broken_up, text)


def _broken_up(match: re.Match) -> str:
    typed = match.group()
    poses = unicodedata.normalize("NFKC", typed) in SYMBOLS
    return f"{typed[0]} {match.group(1)} {typed[-1]}" if poses else typed


def squeeze_whitespace(text: str) -> str:
    """One plain space for every run of white space (also the ideographic one); none at the ends."""
    # the plain space is the only printable one
    squeezed = text.isprintable() and "  " not in text and text[:1] != " " != text[-1:]
    return text if squeezed else " ".join(text.split())


def drop_empty(text: str) -> str | None:
    """A turn in which nothing is left goes."""
    return text or None


def drop_marks(text: str) -> str | None:
    """A turn that still has @ # { or } goes: it speaks to machines, or of people who are not there."""
    if "@" in text or "#" in text or "{" in text or "}" in text:
        return None
    return text if text.isascii() or not WIDE_MARKS.search(text) else None


def drop_one_character(text: str) -> str | None:
    """A turn of which one character makes up more than half goes: ahhhhhhhhh. Spaces do not count."""
    letters = text.replace(" ", "")
    rest, half = len(letters), len(letters) / 2
    if rest == 1:
        return text
    for letter in COMMON:  # mostly these few leave less than half for any other
        count = letters.count(letter)
        if count > half:
            return None
        rest -= count
        if rest <= half:
            return text
    middle = sorted(letters)[len(letters) // 2]  # what makes up more than half is in the middle
    return None if letters.count(middle) > half else text


def drop_short(text: str, min_words: int) -> str | None:
    """A turn of less than `min_words` words goes; words are what stands between spaces."""
    return text if text.count(" ") + 1 >= min_words else None


def drop_long(text: str, max_words: int) -> str | None:
    """A turn of more than `max_words` words goes; words are what stands between spaces."""
    return text if text.count(" ") < max_words else None
