"""JSON in which a tweet stands otherwise than DuckDB is told to read it -> tweets as it reads them.

{"statuses": [...]}, {"tweets": [...]}            a page of the search of API v1.1
{"id": {"11": {...}}}, {"11": {...}}              a look-up of API v1.1
{"tweet": {...}}                                  what a user downloads of an own account, which names no user
{"objectType": "activity", "body": ..., ...}      Gnip's and PowerTrack's activity streams
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

LISTS = ("statuses", "tweets")
MARKS = ("text", "full_text", "extended_tweet", "note_tweet", "user", "author_id", "created_at", "referenced_tweets")
NOTICES = ("delete", "limit", "scrub_geo", "status_withheld", "user_withheld", "warning", "meta", "errors")


def is_known(value: Any) -> bool:
    """Whether DuckDB is told to read this: a tweet, a page of API v2, a notice of the stream."""
    if not isinstance(value, dict):
        return False
    if isinstance(value.get("data"), dict | list):
        return True
    if value.get("id_str", value.get("id")) is not None and any(value.get(mark) is not None for mark in MARKS):
        return True
    return any(value.get(notice) is not None for notice in NOTICES)


def itself(value: Any, owner: Mapping[str, str]) -> dict | None:
    """The tweet that an object is, in another form; None where it is none. `owner`: of an account that was downloaded."""
    if not isinstance(value, dict):
        return None
    tweet = value.get("tweet")
    if isinstance(tweet, dict) and is_known(tweet):
        return {"user": owner} | tweet
    if value.get("objectType") == "activity" and isinstance(value.get("actor"), dict):
        return _of_activity(value)
    return None


def within(value: Any) -> list[dict] | None:
    """The tweets that an object holds; None where it is no container of tweets."""
    if not isinstance(value, dict):
        return None
    for name in LISTS:
        if isinstance(value.get(name), list):
            return list(_tweets(value[name]))
    found = value.get("id", value)
    if isinstance(found, dict) and found and all(key.isdecimal() for key in found):
        tweets = list(_tweets(found.values()))
        if tweets or found is not value:
            return tweets
    return None


def keys_of(value: Any) -> str:
    """The keys of an object, for a message: names in order, numbers as one."""
    if not isinstance(value, dict):
        return "a list"
    names = ["ID" if key.isdecimal() else key[:30] for key in value]
    shown = list(dict.fromkeys(names))
    return ", ".join(shown[:6]) + (", ..." if len(shown) > 6 else "") if shown else "none"


def line_of(value: Any) -> bytes:
    """A line of JSON, which it is also with half of a surrogate pair in it or a number of many digits."""
    try:
        return orjson.dumps(value) + b"\n"
    except TypeError:
        import json

        return json.dumps(value).encode() + b"\n"


def _tweets(values: Any) -> Iterator[dict]:
    for value in values:
        if is_known(value):
            yield value
        elif (tweet := itself(value, {})) is not None:
            yield tweet


def _of_activity(value: dict) -> dict:
    """As API v1.1 would have it."""
    actor, answered = value["actor"], value.get("inReplyTo")
    longer = value.get("long_object")
    tweet = {
        "id_str": _last(value.get("id"), ":"),
        "created_at": value.get("postedTime"),
        "full_text": (longer.get("body") if isinstance(longer, dict) else None) or value.get("body"),
        "in_reply_to_status_id_str": _last(answered.get("link"), "/") if isinstance(answered, dict) else None,
        "lang": value.get("twitter_lang"),
        "user": {
            "id_str": _last(actor.get("id"), ":"),
            "screen_name": actor.get("preferredUsername"),
            "name": actor.get("displayName"),
            "description": actor.get("summary"),
        },
    }
    if value.get("verb") == "share":
        tweet["retweeted_status"] = {"id_str": ""}
    quoted = value.get("twitter_quoted_status")
    if isinstance(quoted, dict) and isinstance(quoted.get("actor"), dict):
        tweet["quoted_status"] = _of_activity(quoted)
    return tweet


def _last(name: Any, mark: str) -> str | None:
    """tag:search.twitter.com,2005:11 -> 11."""
    return name.rpartition(mark)[2] if isinstance(name, str) else None
