"""Protocols of human evaluation: what is asked, on which scale, in which words, and what the rater sees meanwhile.

A protocol is a TOML file: the built-in ones lie in `protocols/`, anybody's own is read the same way.
"""

import difflib
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairseq_latent.errors import InputError

FOLDER = Path(__file__).with_name("protocols")
LANGUAGES = ("en", "ja")
KINDS = ("rating", "preference")
TIE, FIRST, SECOND = 0, 1, 2  # the values of a preference
LARGEST = 9  # of a scale: each value is one key
MOST_CRITERIA = 20
LONGEST = 60  # of a name, which heads a column

NEEDED = "name", "kind", "criteria"
TOP = {*NEEDED, "items", "decimals", "average", "source", "ties", "show_context"}
CRITERION = {"name", "values", "show_profile", *LANGUAGES}
WORDING = {"title", "question", "anchors"}
SHEET = (
    "study",
    "rater",
    "item",
    "context",
    "profile",
    "response",
    "response B",
    "comment",
)  # columns with other content


@dataclass(frozen=True)
class Wording:
    """A criterion in one language; `anchors`: what a value means, of some or all values."""

    title: str
    question: str
    anchors: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Criterion:
    """`values`: its scale, in order. `show_profile`: the partner's profile is shown while this is judged."""

    name: str
    values: tuple[int, ...]
    show_profile: bool
    wording: Mapping[str, Wording]

    def allowed(self) -> str:
        """The scale in words."""
        whole = self.values == tuple(range(self.values[0], self.values[-1] + 1))
        return f"{self.values[0]} to {self.values[-1]}" if whole else ", ".join(map(str, self.values))


@dataclass(frozen=True)
class Protocol:
    """items: contexts of a study. average: the header of the mean of all criteria, or None. raw: the file's own values."""

    name: str
    kind: str
    items: int
    decimals: int
    average: str | None
    source: str
    show_context: bool
    criteria: tuple[Criterion, ...]
    raw: Mapping[str, Any]

    @property
    def pairwise(self) -> bool:
        """Whether two responses are compared."""
        return self.kind == "preference"

    @property
    def shows_profile(self) -> bool:
        """Whether any criterion needs the partner's profile."""
        return any(criterion.show_profile for criterion in self.criteria)

    def languages(self) -> list[str]:
        """Those in which every criterion has its words."""
        return [language for language in LANGUAGES if all(language in each.wording for each in self.criteria)]


def built_in() -> list[str]:
    """The names of the protocols that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_protocol(name: str) -> Protocol:
    """A built-in protocol by its name, or the user's own by its file; InputError names file, line and remedy."""
    known = name in built_in()
    path = FOLDER / f"{name}.toml" if known else Path(name)
    if not known and not name.endswith(".toml"):
        near = "".join(f", perhaps {each}" for each in difflib.get_close_matches(name, built_in(), 1))
        raise InputError(f"--protocol {name}: no such protocol{near}; remedy: {', '.join(built_in())}, or FILE.toml")
    try:
        text = path.read_text(encoding="utf-8-sig")
        raw = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: invalid UTF-8 at byte {error.start}; remedy: save it as UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise InputError(f"{path}: not TOML: {str(error)[:200]}; remedy: correct that line") from None
    return parsed(raw, _Places(str(path), text))


def parsed(raw: Mapping[str, Any], places: "_Places") -> Protocol:
    """The protocol of TOML's values."""
    _check_keys(raw, TOP, places, NEEDED)
    kind = _text(raw, "kind", places)
    if kind not in KINDS:
        raise places.wrong("kind", f"kind = {kind!r}", f"{' or '.join(KINDS)}")
    tables = raw["criteria"]
    if not (isinstance(tables, list) and 0 < len(tables) <= MOST_CRITERIA and all(isinstance(e, dict) for e in tables)):
        raise places.wrong("criteria", f"criteria are not 1 to {MOST_CRITERIA} tables", "[[criteria]] before each")
    ties = _flag(raw, "ties", places, True)
    criteria = tuple(_criterion(table, kind, ties, places) for table in tables)
    names = [each.name for each in criteria]
    for name in names:
        if names.count(name) > 1:
            raise places.wrong("name", f"two criteria are called {name!r}", "a name for each")
    for language in LANGUAGES:
        titles = [each.wording[language].title for each in criteria if language in each.wording]
        titles += [raw["average"]] if isinstance(raw.get("average"), str) else []
        for title in titles:
            if titles.count(title) > 1:
                raise places.wrong("title", f"two columns are headed {title!r}", "a title for each")
    protocol = Protocol(
        name=_text(raw, "name", places),
        kind=kind,
        items=_whole(raw, "items", places, 1, 100_000, 100),
        decimals=_whole(raw, "decimals", places, 0, 6, 2),
        average=_text(raw, "average", places) if "average" in raw else None,
        source=_text(raw, "source", places) if "source" in raw else "",
        show_context=_flag(raw, "show_context", places, True),
        criteria=criteria,
        raw=raw,
    )
    if not protocol.languages():
        raise places.wrong("criteria", "no language has the words of every criterion", "[criteria.en] below each")
    return protocol


def of_key(raw: object, file: str) -> Protocol:
    """The protocol that a study's key holds."""
    if not isinstance(raw, dict):
        raise InputError(f"{file}: the key has no protocol; remedy: the key.json that `sheets` wrote")
    return parsed(raw, _Places(file, ""))


@dataclass(frozen=True)
class _Places:
    """The file, and where in its text a key stands."""

    file: str
    text: str

    def wrong(self, key: str, what: str, remedy: str) -> InputError:
        """The error with its line, which is the first that has the key."""
        pattern = re.compile(rf"^\s*(\[+[\w.\s\"]*)?[\"']?{re.escape(key)}[\"']?\s*(=|\.|\])")
        lines = [number for number, line in enumerate(self.text.splitlines(), start=1) if pattern.match(line)]
        where = f"line {lines[0]}: " if lines else ""
        return InputError(f"{self.file}: {where}{what[:200]}; remedy: {remedy}")


def _criterion(table: Mapping[str, Any], kind: str, ties: bool, places: _Places) -> Criterion:
    needed = ("name",) if kind == "preference" else ("name", "values")
    _check_keys(table, CRITERION - ({"values"} if kind == "preference" else set()), places, needed)
    name = _text(table, "name", places)
    if len(name) > LONGEST:
        raise places.wrong("name", f"a criterion's name of {len(name)} characters", f"at most {LONGEST}")
    if name in SHEET or not name.isprintable():
        raise places.wrong(
            "name", f"a criterion cannot be called {name!r}", "another name: sheets have a column for each"
        )
    values = ((TIE,) if ties else ()) + (FIRST, SECOND) if kind == "preference" else _scale(table["values"], places)
    wording = {language: _wording(table[language], values, places) for language in LANGUAGES if language in table}
    if not wording:
        raise places.wrong("name", f"criterion {name!r} has no words", "[criteria.en] with title and question")
    return Criterion(name, values, _flag(table, "show_profile", places, False), wording)


def _scale(values: object, places: _Places) -> tuple[int, ...]:
    listed = values if isinstance(values, list) else []
    whole = all(type(value) is int and 0 <= value <= LARGEST for value in listed)
    if not whole or len(listed) < 2 or sorted(set(listed)) != listed:
        raise places.wrong(
            "values", f"values = {values!r}", f"two or more whole numbers from 0 to {LARGEST}, rising: [1, 2, 3, 4, 5]"
        )
    return tuple(listed)


def _wording(table: object, values: tuple[int, ...], places: _Places) -> Wording:
    if not isinstance(table, dict):
        raise places.wrong("en", "a criterion's words are no table", "[criteria.en] with title and question")
    _check_keys(table, WORDING, places, ("title", "question"))
    anchors = table.get("anchors", {})
    names = {str(value): value for value in values}
    if not isinstance(anchors, dict):
        raise places.wrong("anchors", "anchors are no table", 'anchors = { 1 = "bad", 5 = "good" }')
    for value, words in anchors.items():
        if value not in names or not isinstance(words, str):
            raise places.wrong("anchors", f"anchor {value!r} is not of the scale", f"texts for {', '.join(names)}")
    described = {names[value]: words for value, words in anchors.items()}
    return Wording(_text(table, "title", places), _text(table, "question", places), described)


def _check_keys(table: Mapping[str, Any], known: Collection[str], places: _Places, needed: Collection[str]) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            raise places.wrong(key, f"unknown key {key!r}", near[0] if near else f"one of {', '.join(sorted(known))}")
    for key in needed:
        if key not in table:
            raise places.wrong(key, f"there is no {key!r}", f"{key} = …, as in {FOLDER / 'persona.toml'}")


def _text(table: Mapping[str, Any], key: str, places: _Places) -> str:
    value = table[key]
    if not isinstance(value, str) or not value.strip():
        raise places.wrong(key, f"{key} is no text", f'{key} = "…"')
    return value


def _flag(table: Mapping[str, Any], key: str, places: _Places, default: bool) -> bool:
    value = table.get(key, default)
    if not isinstance(value, bool):
        raise places.wrong(key, f"{key} = {value!r}", "true or false")
    return value


def _whole(table: Mapping[str, Any], key: str, places: _Places, least: int, most: int, default: int) -> int:
    value = table.get(key, default)
    if type(value) is not int or not least <= value <= most:
        raise places.wrong(key, f"{key} = {value!r}", f"a whole number from {least} to {most}")
    return value
