"""Step 1: archive files become Parquet files of the tweets that may stand in a conversation, and counts of the others."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from fairseq_latent.errors import InputError
from fairseq_latent.files import written_whole
from preprocess.cleaning.rules import CleaningOptions, message_rules, rules

from .columns import Columns
from .database import database, work_file
from .files.batches import Batch
from .files.second_look import FORMS, Findings, Spooled, first_row_broken, look_again
from .files.spool import Portion, portions
from .formats import NOTHING, embedded, form_of, quoted, quotes, tweets_of

MAX_CHARACTERS = 25_000  # no tweet is longer
# a name that begins or ends with "bot", or has it between signs; the word in the name or description
BOT_NAME = r"(?i)(^|[^a-z])bot|bot([^a-z]|$)"
BOT_WORD = r"(?i)\bbot\b|ボット"
# what stands in the place of a tweet that is not shown
WITHHELD = (
    r"(?i)^(this (tweet|post)( from @[a-z0-9_]+)?|(@[a-z0-9_]+(['’]s)? )?(account|tweet|post)) "
    r"(has been|is|was)( temporarily)? withheld\b"
)
ROUNDED = "with an id that may be rounded"
TWEETS = "('tweet', 'flat')"  # kinds
FIRST, LAST = "TIMESTAMP '2006-01-01'", "TIMESTAMP '2100-01-01'"  # no tweet was sent before


@dataclass(frozen=True)
class Selection:
    """Which tweets count."""

    languages: tuple[str, ...] = ()  # by the tweet's own field; none: all
    keep_retweets: bool = False
    keep_bots: bool = False
    bots: tuple[str, ...] = ()  # ids or names of users
    wanted: CleaningOptions | None = None  # the rules that clean every tweet; None: texts stay as they are
    keep_cut: bool = False


@dataclass
class Read:
    """What is known of files that were read: "lines ..." and "tweets ..." by what became of them, and what to show of it."""

    counts: Counter[str] = field(default_factory=Counter)
    broken: str | None = None  # where the first broken line is
    forms: Counter[str] = field(default_factory=Counter)  # keys of JSON that is no tweet

    def add(self, other: "Read") -> None:
        """Of more files."""
        self.counts.update(other.counts)
        self.broken = self.broken or other.broken
        for keys, count in other.forms.items():
            if keys in self.forms or len(self.forms) < FORMS:
                self.forms[keys] += count


def noted(path: Path) -> tuple[list, Read]:
    """The files of a batch that was read, [path, size, time] each, and what is known of them."""
    record = work_file(path)
    try:
        return record["files"], Read(Counter(record["counts"]), record["broken"], Counter(record["forms"]))
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path}: damaged; remedy: remove {path.parent}, and start again") from None


def read_batch(batch: Batch, folder: Path, selection: Selection, memory: str, threads: int) -> Read:
    """Write `folder`/NAME.N.parquet, N = 0, 1, ... and, when these are complete, NAME.json."""
    stem = folder / batch.name
    # in the order of the rules, which the table keeps
    counts = Counter(dict.fromkeys([f"tweets {name}" for name in reasons(selection)], 0))
    parts: list[Path] = []
    found = Findings(counts)
    with database(str(batch), memory, threads, stem.with_suffix(".spill")) as base:
        base.execute("CREATE TABLE bots AS SELECT unnest($1::VARCHAR[]) AS who", [list(selection.bots)])
        for portion in portions([file.path for file in batch.files], stem, form_of, counts):
            _select(base, portion, selection, found)
            part = stem.with_suffix(f".{len(parts)}.part")
            columns = "SELECT id, parent, user_id, sent, text, raw, earlier FROM kept"
            base.execute(f"COPY ({columns}) TO {quoted(part)} (FORMAT parquet, COMPRESSION zstd)")
            parts.append(part)
    in_lines = ("invalid UTF-8", "longer than 16 MB")
    kinds = sum(count for name, count in counts.items() if name.startswith("lines "))
    counts["lines blank"] += counts["lines"] - kinds - sum(counts[name] for name in in_lines)
    for part in parts:
        part.replace(part.with_suffix(".parquet"))
    known = {"counts": counts, "broken": found.broken, "forms": found.forms}
    with written_whole(folder / f"{batch.name}.json") as file:
        json.dump({"files": [each.noted() for each in batch.files], **known}, file)
    return Read(counts, found.broken, found.forms)


def reasons(selection: Selection) -> list[str]:
    """Why a tweet is left out, in the order in which it is asked."""
    names = [name for name, _ in _tests(selection)]
    if selection.wanted:
        names += [name for name, _ in [*message_rules(selection.wanted), *rules(selection.wanted)]]
    return names


def _select(base: duckdb.DuckDBPyConnection, portion: Portion, selection: Selection, found: Findings) -> None:
    """Make `kept`, of (id, parent, user_id, sent, text, raw, earlier), and count; raw: a hash of the text as it was."""
    counts, spooled = found.counts, portion.spooled()
    if portion.json.exists():
        kinds = _read(base, tweets_of(portion.json, "json"), selection, first=True)
        _take_embedded(base, portion.json, kinds, selection)
        if kinds.pop("unread", 0):
            kinds.update(_read_again(base, portion, spooled, selection, found))
        counts.update(_lines(kinds))
    if portion.tsv.exists():
        kinds = _read(base, tweets_of(portion.tsv, "tsv"), selection, first=not portion.json.exists())
        counts.update(_lines(kinds))
        if kinds["broken"] and found.broken is None:
            found.broken = first_row_broken(portion.tsv, portion.tsv_starts)
    if not (portion.json.exists() or portion.tsv.exists()):
        _read(base, NOTHING, selection, first=True)
    if base.execute("SELECT count(quoted) FROM read").fetchone() != (0,):
        base.execute(f"INSERT INTO read {_judged(quotes('read'), selection)}")
    named = "SELECT reason, count(*), count(*) FILTER (sent IS NULL), count(*) FILTER (rounded), count(*) FILTER (cut)"
    for reason, number, *noted in base.execute(f"{named} FROM read WHERE kind IN {TWEETS} GROUP BY reason").fetchall():
        counts[f"tweets {reason}"] += number
        if reason == "kept":
            for name, count in zip(("without a time", "answering a rounded number", "cut short"), noted, strict=True):
                counts[name] += count
    if selection.wanted is None:
        base.execute("CREATE OR REPLACE VIEW kept AS SELECT *, hash(text) AS raw FROM read WHERE text IS NOT NULL")
    else:
        _clean(base, selection.wanted, counts)


def _read(base: duckdb.DuckDBPyConnection, query: str, selection: Selection, first: bool = False) -> Counter[str]:
    """Add rows to `read`, or begin it anew with them; how many there are of each kind."""
    table = "read" if first else "more"
    base.execute(f"CREATE OR REPLACE TABLE {table} AS {_judged(query, selection)}")
    if not first:
        base.execute("INSERT INTO read FROM more")
    return Counter(dict(base.execute(f"SELECT kind, count(*) FROM {table} GROUP BY kind").fetchall()))


def _read_again(
    base: duckdb.DuckDBPyConnection, portion: Portion, spooled: Spooled, selection: Selection, found: Findings
) -> Counter[str]:
    """What the unread rows of `read` are; kinds of lines that come of them."""
    unread = base.execute("SELECT kind = 'unread' AS unread FROM read ORDER BY rowid").fetchnumpy()["unread"].tolist()
    alone, contained = (portion.json.with_suffix(f".{name}") for name in ("alone", "contained"))
    try:
        with open(alone, "wb") as one, open(contained, "wb") as other:
            look_again(spooled, unread, found, one, other)
        base.execute("DELETE FROM read WHERE kind = 'unread'")
        kinds = _read(base, tweets_of(alone, "json"), selection) if alone.stat().st_size else Counter()
        within = _read(base, tweets_of(contained, "json"), selection) if contained.stat().st_size else Counter()
        _take_embedded(base, alone, kinds, selection)
        _take_embedded(base, contained, within, selection)
    finally:
        alone.unlink(missing_ok=True)
        contained.unlink(missing_ok=True)
    kinds["broken"] += kinds.pop("unread", 0)
    return kinds


def _take_embedded(base: duckdb.DuckDBPyConnection, path: Path, kinds: Counter[str], selection: Selection) -> None:
    if kinds["flat"] + kinds["page"]:
        base.execute(f"INSERT INTO read {_judged(embedded(path), selection)}")


def _lines(kinds: Counter[str]) -> dict[str, int]:
    return {f"lines {kind}": count for kind, count in kinds.items() if count}


def _judged(query: str, selection: Selection) -> str:
    """Its rows with the reason why a tweet is left out, or `kept`; only those kept have a text."""
    return f"""
        SELECT kind, {_number("id")} AS id, {_number("parent")} AS parent, coalesce(user_id, '@' || user_name) AS user_id,
               CASE WHEN sent BETWEEN {FIRST} AND {LAST} THEN sent END AS sent, lang, reason,
               CASE WHEN reason = 'kept' AND kind IN {TWEETS} THEN text END AS text,
               coalesce(starts_with(parent, '#'), false) AS rounded, cut, quoted,
               nullif(list_distinct(list_filter(list_transform(earlier, lambda each: try_cast(each AS UBIGINT)),
                      lambda each: each <> {_number("id")})), []) AS earlier
        FROM (SELECT *, {_reason(selection)} AS reason FROM ({query}))"""


def _number(digits: str) -> str:
    """A tweet's id; 1e3 is none."""
    return f"CASE WHEN try_cast({digits} AS UBIGINT)::VARCHAR = {digits} THEN try_cast({digits} AS UBIGINT) END"


def _clean(base: duckdb.DuckDBPyConnection, wanted: CleaningOptions, counts: Counter) -> None:
    columns = Columns(base, wanted)
    base.execute(
        "CREATE OR REPLACE VIEW chosen AS SELECT id, parent, user_id, sent, lang, text, earlier FROM read "
        "WHERE text IS NOT NULL"
    )
    base.execute(f"CREATE OR REPLACE TABLE cleaned AS {columns.query('chosen')}")
    rows = base.execute("SELECT dropped, changed, count(*) FROM cleaned GROUP BY ALL").fetchall()
    tally = columns.tally(rows)
    for name in columns.names:
        counts[f"tweets {name}"] += tally[f"dropped {name}"]
        counts[f"changed by {name}"] += tally[f"changed {name}"]
        counts["tweets kept"] -= tally[f"dropped {name}"]
    base.execute("CREATE OR REPLACE VIEW kept AS FROM cleaned WHERE dropped IS NULL")


def _reason(selection: Selection) -> str:
    """Why a tweet is left out, or kept."""
    return f"CASE {' '.join(f'WHEN {test} THEN {quoted(name)}' for name, test in _tests(selection))} ELSE 'kept' END"


def _tests(selection: Selection) -> Iterator[tuple[str, str]]:
    """(reason, condition) in the order in which they are asked."""
    yield ROUNDED, "starts_with(id, '#')"
    yield "without id", f"{_number('id')} IS NULL"
    yield "without text", "coalesce(trim(text), '') = ''"
    yield "without user", "coalesce(user_id, user_name) IS NULL"
    yield "withheld", f"regexp_matches(text, {quoted(WITHHELD)})"
    if not selection.keep_retweets:
        yield "retweet", "retweet OR starts_with(text, 'RT @')"
    if selection.bots:
        yield "of a listed user", "user_id IN (FROM bots) OR lower(user_name) IN (SELECT lower(who) FROM bots)"
    if not selection.keep_bots:
        named = f"regexp_matches(coalesce(user_name, ''), {quoted(BOT_NAME)})"
        yield "of a bot by its name", f"{named} OR regexp_matches(coalesce(about, ''), {quoted(BOT_WORD)})"
    if selection.languages:
        yield "in another language", f"lang NOT IN ({', '.join(map(quoted, ('und', *selection.languages)))})"
    yield "too long to be a tweet", f"length(text) > {MAX_CHARACTERS}"
    if selection.wanted and not selection.keep_cut:
        yield "cut short by API v1.1", "cut"
