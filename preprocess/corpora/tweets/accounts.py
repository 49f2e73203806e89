"""The table of an archive: lines, tweets, tweets of threads, threads, and why each was left out."""

from collections import Counter
from collections.abc import Iterator

from preprocess.counts_table import Account

from .read import ROUNDED, Read

MANY_BROKEN = 0.01  # of the lines
SHOWN = 5  # forms of JSON that is no tweet


def accounts(counts: Counter) -> list[Account]:
    """Lines, tweets, tweets of threads, threads: in each, read less dropped is kept, to the last one."""
    named = {
        "blank": "blank", "broken": "broken", "notice": "notices of the stream", "page": "pages of tweets",
        "other": "JSON of another form", "unknown": "in files of another kind",
    }  # fmt: skip
    lines = {name: counts[name] for name in ("invalid UTF-8", "longer than 16 MB")}
    lines |= {name: counts[f"lines {kind}"] for kind, name in named.items()}
    read = {name.removeprefix("tweets "): count for name, count in counts.items() if name.startswith("tweets ")}
    kept = read.pop("kept", 0)
    in_lines = counts["lines"] - sum(lines.values())
    linked = (
        "with the id of another", "neither answering nor answered", "with the text of an earlier one",
        "left without a neighbour by these", "in a cycle of replies, or below one",
    )  # fmt: skip
    parties = ("of one party", "of more than two parties")
    return [
        Account(
            "lines", counts["lines"], lines, in_lines,
            {name: counts[name] for name in ("truncated files", "damaged members")},
        ),
        Account(
            "tweets", kept + sum(read.values()), read, kept,
            {
                "of them within pages or other tweets": kept + sum(read.values()) - in_lines,
                "without a time that can be": counts["without a time"],
                "answering a number that may be rounded": counts["answering a rounded number"],
                "cut short by API v1.1": counts["cut short"],
                **{name: count for name, count in counts.items() if name.startswith("changed by ")},
            },
        ),
        Account(
            "tweets of threads", kept, {name: counts[name] for name in linked}, counts["in threads"],
            {
                name: counts[name]
                for name in (
                    "replies to a tweet that is not there", "where a thread was cut at its length",
                    "alone where a thread was cut",
                )
            },
        ),
        Account("threads", counts["threads"], {name: counts[name] for name in parties}, counts["threads kept"]),
    ]  # fmt: skip


def remarks(read: Read) -> Iterator[str]:
    """What the counts alone do not say: where much is broken, what JSON of another form is, what numbers as ids cost."""
    counts = read.counts
    broken = counts["lines broken"]
    if broken > MANY_BROKEN * counts["lines"]:
        where = f", the first is {read.broken}" if read.broken else ""
        yield f"warning: {broken:,} of {counts['lines']:,} lines are broken{where}"
    for keys, count in read.forms.most_common(SHOWN):
        yield f"{count:,} JSON objects are no tweets; their keys: {keys}"
    if rounded := counts[f"tweets {ROUNDED}"] + counts["answering a rounded number"]:
        yield (
            f"warning: {rounded:,} ids are JSON numbers beyond 2^53, which programs round; "
            "remedy: export them as strings (id_str of API v1.1, id of API v2)"
        )
