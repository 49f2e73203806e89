"""What `python -m preprocess.corpora.tweets` takes."""

import argparse
from pathlib import Path

from fairseq_latent.memory import available_memory
from fairseq_latent.ranges import WORKERS, Range, typed
from preprocess.cleaning.rules import add_options
from preprocess.parallel import available_cores

REPEATED = ("first", "user", "keep")
LEAST_MEMORY = 256  # MB of a process


def _megabytes(text: str) -> int:
    number, unit = text[:-2], text[-2:].upper()
    try:
        size = round(float(number) * {"MB": 1, "GB": 1000, "TB": 10**6}[unit])
    except (KeyError, ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no amount of memory, like 8GB or 500MB") from None
    if size < LEAST_MEMORY:
        raise argparse.ArgumentTypeError(f"{text!r} is too little to join anything; {LEAST_MEMORY}MB do for a start")
    return size


def _shard(text: str) -> tuple[int, int]:
    number, _, shards = text.partition("/")
    if not (number.isdecimal() and shards.isdecimal() and 1 <= int(number) <= int(shards)):
        raise argparse.ArgumentTypeError(f"{text!r} is no shard, like 3/100")
    return int(number), int(shards)


def _file(text: str) -> Path:
    path = Path(text)
    if not path.name or (path.exists() and not path.is_file()):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a file to write")
    return path


DESCRIPTION = (
    "Tweets -> conversations: root-to-leaf chains of replies, wherever in the archive their tweets lie. "
    "Reads JSON of the Twitter API v1.1 and v2, in lines, pages or a tweet per file, activity streams, downloads of an "
    "account, and tab-separated daily files; plain, .gz, .bz2, .xz, .zst, and within tar and zip archives. Stopped and "
    "started again, it goes on with the files not yet read."
)


def add_arguments(options: argparse.ArgumentParser) -> None:
    """The options and their help."""
    options.description = DESCRIPTION
    half = max(LEAST_MEMORY, available_memory() // 2_000_000)
    add = options.add_argument
    add("archives", type=Path, nargs="+", metavar="ARCHIVE", help="files, or folders of them")
    add("--out", type=_file, required=True, metavar="FILE", help="conversations.jsonl (or .jsonl.gz) to write")
    add("--report", type=_file, metavar="FILE", help="write the table of counts there too")
    add("--lang", action="append", metavar="LANG", help="tweets whose own field says LANG, or nothing; may be repeated")
    add(
        "--clean",
        action="store_true",
        help="clean each tweet as it is read, by the rules of `preprocess.clean --tweets` and the options below; of --lang, "
        "tweets without a field of their own by --detector; limits of length hold for each tweet. Faster than cleaning "
        "conversations: what is dropped is never joined, and what stays is done by column",
    )
    add_options(options)
    add("--keep-retweets", action="store_true", help="retweets are tweets (default: dropped)")
    add("--keep-bots", action="store_true", help="keep users whose name or description says bot")
    add(
        "--keep-cut",
        action="store_true",
        help="with --clean, keep tweets of which API v1.1 gave only the beginning (truncated, without the full text)",
    )
    add("--bots", type=Path, metavar="FILE", help="ids or names of users to drop, one per line")
    add(
        "--repeated",
        choices=REPEATED,
        default="first",
        help="of tweets with the same text keep the first (default), the first of each user, or all",
    )
    add("--each-reply", action="store_true", help="every reply and what it answers is a conversation of two turns")
    add(
        "--max-turns", type=typed(int, Range(2)), default=100, metavar="N", help="longer threads are cut (default: 100)"
    )
    add("--keep-monologues", action="store_true", help="keep threads of one user")
    add("--keep-crowds", action="store_true", help="keep threads of more than two users")
    add("--memory", type=_megabytes, default=half, metavar="SIZE", help="of the joins, e.g. 8GB (default: half of all)")
    add(
        "--workers",
        type=typed(int, WORKERS),
        default=available_cores(),
        metavar="N",
        help="processes (default: cores)",
    )
    add("--work", type=Path, metavar="DIR", help="folder for what is not finished, and for joins beyond --memory")
    add(
        "--shard", type=_shard, metavar="I/N", help="read only every N-th file, to share out the reading among machines"
    )
