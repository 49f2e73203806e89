"""Step 1: every archive file becomes one Parquet file of the tweets that may stand in a conversation, and its counts."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import duckdb

from fairseq_latent.errors import InputError
from fairseq_latent.files import written_whole
from preprocess.cleaning.rules import CleaningOptions

from .columns import Columns
from .database import database, work_file
from .decompress import sample, spool
from .formats import BLANK, FOLDED, UNKNOWN, embedded, form_of, quoted, tweets_of
from .json_objects import unfold

MAX_CHARACTERS = 25_000  # no tweet is longer
# a name that begins or ends with "bot", or has it between signs; the word in the name or description
BOT_NAME = r"(?i)(^|[^a-z])bot|bot([^a-z]|$)"
BOT_WORD = r"(?i)\bbot\b|ボット"
FIRST, LAST = "TIMESTAMP '2006-01-01'", "TIMESTAMP '2100-01-01'"  # no tweet was sent before


@dataclass(frozen=True)
class Selection:
    """Which tweets count."""

    languages: tuple[str, ...] = ()  # by the tweet's own field; none: all
    keep_retweets: bool = False
    keep_bots: bool = False
    bots: tuple[str, ...] = ()  # ids or names of users
    wanted: CleaningOptions | None = None  # the rules that clean every tweet; None: texts stay as they are


def read_file(path: Path, index: int, folder: Path, selection: Selection, memory: str, threads: int) -> Counter:
    """Write `folder`/INDEX.parquet and, when that is complete, INDEX.json, the counts; both are taken as they are if there.

    Counts "lines …" and "tweets …" by what became of them.
    """
    parquet, counted = folder / f"{index:06d}.parquet", folder / f"{index:06d}.json"
    if counted.exists():
        return Counter(work_file(counted))
    counts: Counter[str] = Counter()
    lines, part = folder / f"{index:06d}.lines", parquet.with_suffix(".part")
    form = form_of(sample(path))
    try:
        if form == FOLDED:
            unfold(path, lines, counts)
        else:
            spool(path, lines, counts)
        with database(path, memory, threads, folder / f"{index:06d}.spill") as base:
            _select(base, lines, form, path, selection, counts)
            columns = "SELECT id, parent, user_id, sent, text, raw FROM kept"
            base.execute(f"COPY ({columns}) TO {quoted(part)} (FORMAT parquet, COMPRESSION zstd)")
    finally:
        lines.unlink(missing_ok=True)
    part.replace(parquet)
    with written_whole(counted) as file:
        json.dump(counts, file)
    return counts


def _select(
    base: duckdb.DuckDBPyConnection, lines: Path, form: str, path: Path, selection: Selection, counts: Counter
) -> None:
    """Make `kept`, of (id, parent, user_id, sent, text, raw), and count; raw: a hash of the text as it was."""
    whole = counts["lines"] - counts["invalid UTF-8"] - counts["longer than 16 MB"]
    if form in (BLANK, UNKNOWN):
        base.execute(
            "CREATE TABLE kept (id UBIGINT, parent UBIGINT, user_id VARCHAR, sent TIMESTAMP, text VARCHAR, raw UBIGINT)"
        )
        counts[f"lines {form}"] += whole
        return
    base.execute("CREATE TABLE bots AS SELECT unnest($1::VARCHAR[]) AS who", [list(selection.bots)])
    base.execute(f"CREATE TABLE read AS {_judged(tweets_of(lines, form), selection)}")
    kinds = Counter(dict(base.execute("SELECT kind, count(*) FROM read GROUP BY kind").fetchall()))
    if kinds["flat"] + kinds["page"]:
        base.execute(f"INSERT INTO read {_judged(embedded(lines), selection)}")
    if base.execute("SELECT bool_or(rounded) FROM read").fetchone()[0]:
        raise InputError(
            f"{path}: tweet ids are JSON numbers, which programs round beyond 2^53; "
            "remedy: export them as strings (id_str of API v1.1, id of API v2)"
        )
    counts.update({f"lines {kind}": count for kind, count in kinds.items()})
    counts["lines blank"] += whole - kinds.total()
    reasons = "SELECT reason, count(*), count(*) FILTER (sent IS NULL) FROM read WHERE kind IN ('tweet', 'flat')"
    for reason, count, timeless in base.execute(f"{reasons} GROUP BY reason").fetchall():
        counts[f"tweets {reason}"] += count
        counts["without a time"] += timeless if reason == "kept" else 0
    if selection.wanted is None:
        base.execute("CREATE VIEW kept AS SELECT *, hash(text) AS raw FROM read WHERE text IS NOT NULL")
    else:
        _clean(base, selection.wanted, counts)


def _judged(query: str, selection: Selection) -> str:
    """Its rows with the reason why a tweet is left out, or `kept`; only those kept have a text."""
    return f"""
        SELECT kind, {_number("id")} AS id, {_number("parent")} AS parent, coalesce(user_id, '@' || user_name) AS user_id,
               CASE WHEN sent BETWEEN {FIRST} AND {LAST} THEN sent END AS sent, lang, reason,
               CASE WHEN reason = 'kept' AND kind IN ('tweet', 'flat') THEN text END AS text,
               coalesce(starts_with(id, '#'), false) OR coalesce(starts_with(parent, '#'), false) AS rounded
        FROM (SELECT *, {_reason(selection)} AS reason FROM ({query}))"""


def _number(digits: str) -> str:
    """A tweet's id; 1e3 is none."""
    return f"CASE WHEN try_cast({digits} AS UBIGINT)::VARCHAR = {digits} THEN try_cast({digits} AS UBIGINT) END"


def _clean(base: duckdb.DuckDBPyConnection, wanted: CleaningOptions, counts: Counter) -> None:
    columns = Columns(base, wanted)
    base.execute("CREATE VIEW chosen AS SELECT id, parent, user_id, sent, lang, text FROM read WHERE text IS NOT NULL")
    base.execute(f"CREATE TABLE cleaned AS {columns.query('chosen')}")
    rows = base.execute("SELECT dropped, changed, count(*) FROM cleaned GROUP BY ALL").fetchall()
    tally = columns.tally(rows)
    for name in columns.names:
        counts[f"tweets {name}"] += tally[f"dropped {name}"]
        counts[f"changed by {name}"] += tally[f"changed {name}"]
        counts["tweets kept"] -= tally[f"dropped {name}"]
    base.execute("CREATE VIEW kept AS FROM cleaned WHERE dropped IS NULL")


def _reason(selection: Selection) -> str:
    """Why a tweet is left out, or kept."""
    tests = [("without id", f"{_number('id')} IS NULL"), ("without text", "coalesce(trim(text), '') = ''")]
    tests += [("without user", "coalesce(user_id, user_name) IS NULL")]
    if not selection.keep_retweets:
        tests += [("retweet", "retweet OR starts_with(text, 'RT @')")]
    if selection.bots:
        tests += [("of a listed user", "user_id IN (FROM bots) OR lower(user_name) IN (SELECT lower(who) FROM bots)")]
    if not selection.keep_bots:
        named = f"regexp_matches(coalesce(user_name, ''), {quoted(BOT_NAME)})"
        tests += [("of a bot by its name", f"{named} OR regexp_matches(coalesce(about, ''), {quoted(BOT_WORD)})")]
    if selection.languages:
        tests += [("in another language", f"lang NOT IN ({', '.join(map(quoted, ('und', *selection.languages)))})")]
    tests += [("too long to be a tweet", f"length(text) > {MAX_CHARACTERS}")]
    return f"CASE {' '.join(f'WHEN {test} THEN {quoted(name)}' for name, test in tests)} ELSE 'kept' END"
