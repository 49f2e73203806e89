"""The forms that archived tweets come in, each as one SQL query over the lines of a file.

tsv   `T|M unixtime tweet-id reply-to user-id user-name screen-name text`, tabulators between them, `-` for none
json  one object a line, and any of these may stand in one file:
      API v1.1   a tweet with `id_str`, `in_reply_to_status_id_str`, `user`, `full_text` or `text`, `retweeted_status`,
                 `quoted_status`, which is a tweet itself
      API v2     a tweet with `author_id`, `referenced_tweets`, perhaps `author` (a flattened page)
      API v2     a page: `data`, a list of tweets, and `includes` with the users and the tweets they refer to

Every query yields the columns of TWEET; what a line lacks is NULL. What else JSON may be is for `files.other_forms`.
"""

import codecs
import json
from pathlib import Path

import orjson

from .files.decompress import MAX_LINE
from .files.json_text import ASSIGNMENT, complete
from .files.other_forms import MARKS, NOTICES

TSV, JSON, FOLDED, UNKNOWN, BLANK = "tsv", "json", "folded", "unknown", "blank"
# kind: tweet, flat (of API v2), page (`embedded` finds the tweets in both), notice (of the stream), unread (see
# `files.second_look`); cut: API v1.1 gave only the beginning of its text; earlier: ids that it had before it was edited;
# quoted: the JSON of a tweet that it quotes
TWEET = "kind, id, parent, user_id, user_name, about, sent, lang, retweet, text, cut, earlier, quoted"

NOTHING = (
    "SELECT NULL::VARCHAR AS kind, NULL::VARCHAR AS id, NULL::VARCHAR AS parent, NULL::VARCHAR AS user_id, "
    "NULL::VARCHAR AS user_name, NULL::VARCHAR AS about, NULL::TIMESTAMP AS sent, NULL::VARCHAR AS lang, false AS retweet, "
    "NULL::VARCHAR AS text, false AS cut, NULL::VARCHAR[] AS earlier, NULL::JSON AS quoted WHERE false"
)

USER = "STRUCT(id JSON, id_str JSON, username VARCHAR, screen_name VARCHAR, name VARCHAR, description VARCHAR)"
# a flattened page repeats the tweets that it refers to, within those that refer to them
REFERENCE = {
    "type": "VARCHAR", "id": "JSON", "author_id": "JSON", "created_at": "VARCHAR", "lang": "VARCHAR", "text": "VARCHAR",
    "author": USER, "referenced_tweets": "STRUCT(type VARCHAR, id JSON)[]", "note_tweet": "STRUCT(text VARCHAR)",
    "edit_history_tweet_ids": "VARCHAR[]",
}  # fmt: skip
REFERENCES = f"STRUCT({', '.join(f'{name} {kind}' for name, kind in REFERENCE.items())})[]"
V2 = {
    "id": "JSON",
    "author_id": "JSON",
    "created_at": "VARCHAR",
    "lang": "VARCHAR",
    "referenced_tweets": REFERENCES,
    "text": "VARCHAR",
    "note_tweet": "STRUCT(text VARCHAR)",
    "edit_history_tweet_ids": "VARCHAR[]",
}
V1 = {
    "id": "JSON",
    "id_str": "JSON",
    "created_at": "VARCHAR",
    "lang": "VARCHAR",
    "in_reply_to_status_id": "JSON",
    "in_reply_to_status_id_str": "JSON",
    "text": "VARCHAR",
    "full_text": "VARCHAR",
    "truncated": "VARCHAR",
    "extended_tweet": "STRUCT(full_text VARCHAR)",
    "user": USER,
}
COLUMNS = (
    V2
    | V1
    | {
        "author": USER,
        "quoted_status": "JSON",
        "retweeted_status": "STRUCT(id_str VARCHAR)",
        "data": "JSON",
        "includes": f"STRUCT(users {USER}[], tweets JSON[])",
        "delete": "JSON",
        "limit": "JSON",
        "scrub_geo": "JSON",
        "status_withheld": "JSON",
        "user_withheld": "JSON",
        "warning": "JSON",
        "meta": "JSON",
        "errors": "JSON",
    }
)

# created_at of API v1.1 is "Wed Oct 10 20:19:24 +0000 2018", seldom of another zone; that of v2 is ISO 8601; what
# stands between may write the form of mails (RFC 2822), seconds since 1970, or thousandths of them
LATEST = 4_102_444_800  # the year 2100
MAIL = r"regexp_replace(created_at, '(GMT|UTC?|Z)$', '+0000')"
NUMBER = "try_cast(created_at AS DOUBLE)"
SINCE_1970 = f"""CASE WHEN regexp_full_match(created_at, '[0-9]{{9,13}}([.][0-9]*)?')
    THEN make_timestamp(CAST({NUMBER} * CASE WHEN {NUMBER} < {LATEST} THEN 1000000 ELSE 1000 END AS BIGINT)) END"""
SENT = f"""coalesce(try_strptime(created_at, '%a %b %d %H:%M:%S +0000 %Y'),
               try_strptime(created_at, '%a %b %d %H:%M:%S %z %Y') AT TIME ZONE 'UTC',
               try_cast(created_at AS TIMESTAMPTZ) AT TIME ZONE 'UTC',
               try_strptime({MAIL}, '%a, %d %b %Y %H:%M:%S %z') AT TIME ZONE 'UTC',
               try_strptime({MAIL}, '%d %b %Y %H:%M:%S %z') AT TIME ZONE 'UTC', {SINCE_1970})"""
# a file is read as it stands, whatever its name ends in and its folders are called
AS_IT_IS = "compression='none', hive_partitioning=false"


def form_of(sample: bytes) -> str:
    """What most of the first lines are: TSV, JSON (an object each), FOLDED (JSON over several lines, or one list)."""
    sample = sample.removeprefix(codecs.BOM_UTF8)
    if ASSIGNMENT.match(sample):
        return FOLDED
    lines = [line.strip() for line in sample.split(b"\n")]
    first = [line for line in lines if line][:100]
    if not first:
        return BLANK
    objects = sum(map(_is_object, first))
    rows = sum(line.count(b"\t") >= 7 for line in first)
    if 2 * max(objects, rows) >= len(first):
        return JSON if objects >= rows else TSV
    if first[0].startswith(b"["):
        return FOLDED
    if first[0].startswith(b"{"):
        return FOLDED if len(first) > 1 else JSON  # a line longer than the sample
    return UNKNOWN if objects == rows == 0 else JSON if objects >= rows else TSV


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return line.startswith(b"{") and complete(line) > 0


def tweets_of(path: Path, form: str) -> str:
    """The query for the lines of one file: a tweet each, or what they are in place of one."""
    return _tsv(path) if form == TSV else _lines(path)


def quoted(text: object) -> str:
    """A SQL string."""
    return "'" + str(text).replace("'", "''") + "'"


def _tsv(path: Path) -> str:
    lines = (
        f"read_csv({quoted(path)}, delim='\x1f', quote='', escape='', header=false, auto_detect=false, {AS_IT_IS}, "
        f"strict_mode=false, max_line_size={2 * MAX_LINE}, columns={{'line': 'VARCHAR'}})"
    )
    seconds = "try_cast(f[2] AS BIGINT)"
    return f"""
        SELECT CASE WHEN f[1] IN ('T', 'M') AND len(f) >= 8 THEN 'tweet' ELSE 'broken' END AS kind,
               f[3] AS id, nullif(f[4], '-') AS parent, {_named("nullif(f[5], '-')")} AS user_id,
               {_named("f[7]")} AS user_name, f[6] AS about,
               CASE WHEN {seconds} BETWEEN 0 AND {LATEST} THEN make_timestamp(1000000 * {seconds}) END AS sent,
               NULL::VARCHAR AS lang, starts_with(f[8], 'RT @') AS retweet, array_to_string(f[8:], ' ') AS text,
               false AS cut, NULL::VARCHAR[] AS earlier, NULL::JSON AS quoted
        FROM (SELECT string_split(line, '\t') AS f FROM {lines} WHERE trim(line) <> '')"""


def _objects(path: Path) -> str:
    columns = ", ".join(f"{quoted(name)}: {quoted(kind)}" for name, kind in COLUMNS.items())
    return (
        f"read_json({quoted(path)}, format='newline_delimited', ignore_errors=true, {AS_IT_IS}, "
        f"maximum_object_size={2 * MAX_LINE}, columns={{{columns}}})"
    )


def _lines(path: Path) -> str:
    ident = "coalesce(id_str, id)"
    notice = " OR ".join(f'"{name}" IS NOT NULL' for name in NOTICES)
    marks = ", ".join(f'"{name}"::VARCHAR' for name in MARKS)
    parent = f"coalesce(in_reply_to_status_id_str, in_reply_to_status_id, {_referenced('replied_to')})"
    return f"""
        SELECT CASE WHEN json_type(data) IN ('ARRAY', 'OBJECT') THEN 'page'
                    WHEN {ident} IS NOT NULL AND coalesce({marks}) IS NOT NULL THEN if(author_id IS NULL, 'tweet', 'flat')
                    WHEN {notice} THEN 'notice' ELSE 'unread' END AS kind,
               {_id(ident)} AS id, {_answered(parent)} AS parent,
               {_person('"user".id_str', '"user".id', "author_id")} AS user_id,
               {_named('coalesce("user".screen_name, author.username)')} AS user_name,
               concat_ws(' ', coalesce("user".name, author.name), coalesce("user".description, author.description)) AS about,
               {SENT} AS sent, lang,
               retweeted_status IS NOT NULL OR {_referenced("retweeted")} IS NOT NULL AS retweet,
               coalesce(note_tweet.text, full_text, extended_tweet.full_text, text) AS text,
               {CUT} AND note_tweet.text IS NULL AS cut,
               edit_history_tweet_ids AS earlier, quoted_status AS quoted
        FROM {_objects(path)}"""


def embedded(path: Path) -> str:
    """The query for the tweets within the objects of a JSON file: those of pages, and those that a tweet refers to."""
    data = "CASE json_type(data) WHEN 'ARRAY' THEN data ELSE json_array(data) END"
    columns = V2 | {
        "referenced_tweets": [{"type": "VARCHAR", "id": "JSON"}], "note_tweet": {"text": "VARCHAR"},
        "edit_history_tweet_ids": ["VARCHAR"],
    }  # fmt: skip
    form = quoted(json.dumps([columns]))
    included = f"coalesce(from_json(to_json(includes.tweets), {form}), [])"
    fields = f"""'tweet' AS kind, {_id("id")} AS id, {_id(_referenced("replied_to"))} AS parent,
               {_person("author_id")} AS user_id, {_named("author.username")} AS user_name,
               concat_ws(' ', author.name, author.description) AS about, {SENT} AS sent, lang,
               {_referenced("retweeted")} IS NOT NULL AS retweet, coalesce(note_tweet.text, text) AS text, false AS cut,
               edit_history_tweet_ids AS earlier, NULL::JSON AS quoted"""
    return f"""
        SELECT {fields}
        FROM (SELECT t.*, list_filter(users, lambda u: u.id = t.author_id)[1] AS author
              FROM (SELECT unnest(list_concat(from_json({data}, {form}), {included})) AS t, includes.users AS users
                    FROM {_objects(path)} WHERE json_type(data) IN ('ARRAY', 'OBJECT')))
        UNION ALL
        SELECT {fields}
        FROM (SELECT r.* FROM (SELECT unnest(referenced_tweets, recursive := false) AS r FROM {_objects(path)}
              WHERE author_id IS NOT NULL))
        WHERE type = 'replied_to' AND coalesce(note_tweet.text, text) IS NOT NULL"""


def quotes(table: str) -> str:
    """The query for the tweets in the column `quoted` of a table."""
    user = {"id": "JSON", "id_str": "JSON", "screen_name": "VARCHAR", "name": "VARCHAR", "description": "VARCHAR"}
    form = quoted(json.dumps(V1 | {"user": user, "extended_tweet": {"full_text": "VARCHAR"}}))
    return f"""
        SELECT 'tweet' AS kind, {_id("coalesce(id_str, id)")} AS id,
               {_answered("coalesce(in_reply_to_status_id_str, in_reply_to_status_id)")} AS parent,
               {_person('"user".id_str', '"user".id')} AS user_id, {_named('"user".screen_name')} AS user_name,
               concat_ws(' ', "user".name, "user".description) AS about, {SENT} AS sent, lang, false AS retweet,
               coalesce(full_text, extended_tweet.full_text, text) AS text, {CUT} AS cut, NULL::VARCHAR[] AS earlier,
               NULL::JSON AS quoted
        FROM (SELECT unnest(from_json(quoted, {form})) FROM {table} WHERE json_type(quoted) = 'OBJECT')"""


CUT = "coalesce(truncated = 'true', false) AND full_text IS NULL AND extended_tweet.full_text IS NULL"
SAFE = 2**53  # up to here, a number is the same in any program; beyond, many round its last digits


def _id(value: str) -> str:
    """A JSON string as text, a number that no program rounds as its digits; any other with a # before it; else NULL."""
    number = f"try_cast({value} ->> '$' AS DOUBLE)"
    whole = f"{number} BETWEEN 0 AND {SAFE} AND {number} = floor({number})"
    digits = f"CASE WHEN {whole} THEN {number}::UBIGINT::VARCHAR ELSE '#' || ({value} ->> '$') END"
    return (
        f"CASE json_type({value}) WHEN 'VARCHAR' THEN nullif({value} ->> '$', '') WHEN 'UBIGINT' THEN {digits} "
        f"WHEN 'BIGINT' THEN {value} ->> '$' WHEN 'DOUBLE' THEN {digits} WHEN 'HUGEINT' THEN {digits} END"
    )


def _answered(parent: str) -> str:
    """The id of a parent. If the tweet's own number has the digits of the string beside it, nobody rounded numbers here."""
    exact = "json_type(id_str) = 'VARCHAR' AND id ->> '$' = id_str ->> '$'"
    return f"CASE WHEN json_type({parent}) = 'UBIGINT' AND {exact} THEN {parent} ->> '$' ELSE {_id(parent)} END"


def _person(*values: str) -> str:
    """The id of a user: the first that is a JSON string or a whole number; none of them needs as many bits as a tweet's."""
    texts = (f"CASE WHEN json_type({value}) IN ('VARCHAR', 'UBIGINT') THEN {value} ->> '$' END" for value in values)
    return f"coalesce({', '.join(map(_named, texts))})"


def _named(text: str) -> str:
    return f"nullif(trim({text}), '')"


def _referenced(kind: str) -> str:
    return f"list_filter(referenced_tweets, lambda r: r.type = '{kind}')[1].id"
