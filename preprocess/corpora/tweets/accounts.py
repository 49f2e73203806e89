"""The table of an archive: lines, tweets, tweets of threads, threads, and why each was left out."""

from collections import Counter

from preprocess.counts_table import Account


def accounts(counts: Counter) -> list[Account]:
    """Lines, tweets, tweets of threads, threads: in each, read less dropped is kept, to the last one."""
    named = {
        "blank": "blank", "broken": "broken", "notice": "notices of the stream", "page": "pages of tweets",
        "unknown": "in files of another kind",
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
        Account("lines", counts["lines"], lines, in_lines, {"truncated files": counts["truncated files"]}),
        Account(
            "tweets", kept + sum(read.values()), read, kept,
            {
                "of them within pages or other tweets": kept + sum(read.values()) - in_lines,
                "without a time that can be": counts["without a time"],
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
