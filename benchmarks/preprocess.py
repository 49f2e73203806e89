#!/usr/bin/env python3
"""How many tweets a second go from an archive to train.src and train.tgt, and in how much memory.

    python benchmarks/preprocess.py --tweets 100000 1000000

A made-up archive (trees of replies, two languages, ids in no order; eight files of tab-separated lines, eight of JSON of
API v1.1, a file of JSON for every tweet, or the latter in a tar.gz) is read, joined, cleaned and split by the commands that
users type, and by the yardsticks: the same steps as plain Python in one process, a dictionary of all tweets and one `re.sub`
after another, whose pairs must be the same; and `json.loads` alone over the lines of API v1.1.
"""

import argparse
import collections
import hashlib
import html
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from tabulate import tabulate

FILES = 8
FILES_TAR = "tar.gz"
SMALL_FILES = ("one tweet a file", FILES_TAR)
MOST_FILES = 100_000
ENGLISH = """i you the a to is it that of and in my me so what not do have are this was just like but be on for with your all
lol yes no really think know love good time day want people today going never right now happy work school music game
song coffee dinner weekend tomorrow morning night friend brother movie book train rain summer winter ever maybe"""
JAPANESE = """今日 は とても 楽しい ね 明日 も 学校 に 行く よ お昼 ごはん 食べた 音楽 が 好き です 本当 に そう 思う
寒い 暑い 猫 犬 映画 を 見た 眠い ありがとう おはよう こんにちは 仕事 終わった 電車 遅れ てる また ゲーム する"""
WORDS = {"en": ENGLISH.split(), "ja": JAPANESE.split()}
USER = {
    "location": "somewhere", "url": None, "description": "just here", "protected": False, "verified": False,
    "followers_count": 321, "friends_count": 234, "listed_count": 3, "favourites_count": 4567, "statuses_count": 8910,
    "created_at": "Mon Mar 07 11:22:33 +0000 2011", "utc_offset": None, "time_zone": None, "geo_enabled": False,
    "lang": None, "contributors_enabled": False, "is_translator": False, "profile_background_color": "C0DEED",
    "profile_background_image_url": "http://abs.example.org/images/themes/theme1/bg.png",
    "profile_background_image_url_https": "https://abs.example.org/images/themes/theme1/bg.png",
    "profile_background_tile": False, "profile_link_color": "1DA1F2", "profile_sidebar_border_color": "C0DEED",
    "profile_sidebar_fill_color": "DDEEF6", "profile_text_color": "333333", "profile_use_background_image": True,
    "profile_image_url": "http://pbs.example.org/profile_images/123456789/abcdefgh_normal.jpg",
    "profile_image_url_https": "https://pbs.example.org/profile_images/123456789/abcdefgh_normal.jpg",
    "profile_banner_url": "https://pbs.example.org/profile_banners/123456789/1234567890",
    "default_profile": True, "default_profile_image": False, "following": None, "follow_request_sent": None,
}  # fmt: skip
TWEET = {
    "source": '<a href="http://example.org/download/iphone" rel="nofollow">Example for iPhone</a>', "truncated": False,
    "geo": None, "coordinates": None, "place": None, "contributors": None, "is_quote_status": False, "quote_count": 0,
    "reply_count": 0, "retweet_count": 0, "favorite_count": 0, "favorited": False, "retweeted": False,
    "filter_level": "low", "timestamp_ms": "1546300800123",
    "entities": {"hashtags": [], "urls": [], "user_mentions": [], "symbols": []},
}  # fmt: skip


def tweets(count: int, seed: int) -> Iterator[tuple[int, int | None, int, str, str]]:
    """(id, parent, user, language, text): half stand alone, the others in trees, mostly of two users."""
    draw = random.Random(seed)
    made = 0
    while made < count:
        lang = "en" if draw.random() < 0.6 else "ja"
        first, second = draw.randrange(10**8), draw.randrange(10**8)
        identity = (10**17 + (made << 22)) | draw.randrange(1 << 22)
        yield identity, None, first, lang, sentence(draw, lang)
        made += 1
        if draw.random() < 0.7:
            continue
        open_ends = [(identity, first)]
        while open_ends and made < count:
            parent, spoke = open_ends.pop()
            for _ in range(draw.choices((0, 1, 2, 3), (1, 12, 2, 1))[0] if draw.random() < 0.55 else 0):
                user = draw.randrange(10**8) if draw.random() < 0.05 else second if spoke == first else first
                identity = (10**17 + (made << 22)) | draw.randrange(1 << 22)
                yield identity, parent, user, lang, f"@user{spoke} {sentence(draw, lang)}"
                open_ends.append((identity, user))
                made += 1


def sentence(draw: random.Random, lang: str) -> str:
    """Words, some with what cleaning removes."""
    words = draw.choices(WORDS[lang], k=min(40, 2 + int(draw.expovariate(1 / 9))))
    text = ("" if lang == "ja" else " ").join(words)
    kind = draw.random()
    if kind < 0.08:
        text += " https://t.example.org/AbCdEf123"
    elif kind < 0.14:
        text += " #monday #coffee"
    elif kind < 0.18:
        text += " &amp; so on &lt;3"
    elif kind < 0.26:
        text += " \U0001f602\U0001f44d\U0001f3fd"
    elif kind < 0.28:
        text = f"RT @someone: {text}"
    elif kind < 0.30:
        text += " @somebody knows"
    elif kind < 0.31:
        text = "a" * len(text)
    return text


def write_archive(folder: Path, count: int, form: str, seed: int) -> None:
    """Eight files, every tweet in any of them; or a file for every tweet."""
    folder.mkdir(parents=True)
    draw = random.Random(seed + 1)
    if form in SMALL_FILES:
        _write_small_files(folder / "files" if form == FILES_TAR else folder, count, seed)
        if form == FILES_TAR:
            with tarfile.open(folder / "archive.tar.gz", "w:gz") as archive:
                archive.add(folder / "files", "archive")
            shutil.rmtree(folder / "files")
        return
    with ExitStack() as stack:
        names = [folder / f"day{number}.{form}" for number in range(FILES)]
        files = [stack.enter_context(open(name, "w", encoding="utf-8")) for name in names]
        _write_tweets(files, count, form, draw, seed)


def _write_tweets(files: list[IO[str]], count: int, form: str, draw: random.Random, seed: int) -> None:
    for identity, parent, user, lang, text in tweets(count, seed):
        file = files[draw.randrange(FILES)]
        if form == "tsv":
            file.write(f"T\t1546300800\t{identity}\t{parent or '-'}\t{user}\tSome Name\tuser{user}\t{text}\n")
            continue
        file.write(_json(identity, parent, user, lang, text) + "\n")


def _write_small_files(folder: Path, count: int, seed: int) -> None:
    """thread/reactions/ID.json, as corpora of threads have it, a hundred of them in a folder."""
    for number, tweet in enumerate(tweets(count, seed)):
        place = folder / str(number // 100) / ("reactions" if tweet[1] else "source-tweet")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{tweet[0]}.json").write_text(_json(*tweet), encoding="utf-8")


def _json(identity: int, parent: int | None, user: int, lang: str, text: str) -> str:
    record = {"created_at": "Tue Jan 01 00:00:00 +0000 2019", "id": identity, "id_str": str(identity), "text": text}
    record |= {"in_reply_to_status_id": parent, "in_reply_to_status_id_str": parent and str(parent), "lang": lang}
    person = {"id": user, "id_str": str(user), "name": "Some Name", "screen_name": f"user{user}"}
    return json.dumps(record | {"user": person | USER} | TWEET)


def straightforward(folder: Path, form: str, seed: int) -> list[tuple[str, str]]:
    """The training pairs, by plain Python."""
    known: dict[int, tuple[int | None, str, str]] = {}
    cleaned: dict[int, str] = {}
    for line in _lines(folder):
        if form == "tsv":
            _, _, identity, parent, user, _, name, text = line.rstrip("\n").split("\t")
            parent = None if parent == "-" else int(parent)
        else:
            record = json.loads(line)
            identity, parent, text = record["id_str"], record["in_reply_to_status_id_str"], record["text"]
            parent, user, name = parent and int(parent), record["user"]["id_str"], record["user"]["screen_name"]
            if record["lang"] != "en":
                continue
        if not (text.startswith("RT @") or re.search(r"(?i)(^|[^a-z])bot|bot([^a-z]|$)", name)):
            clean = plainly_cleaned(text)
            if clean is not None:
                known[int(identity)] = parent, user, text
                cleaned[int(identity)] = clean
    seen: set[str] = set()
    linked = {i for i, (p, _, _) in known.items() if p in known} | {p for p, _, _ in known.values() if p in known}
    for identity in sorted(linked):
        text = known[identity][2]
        if text in seen:
            del known[identity]
        seen.add(text)
    answered = {parent for parent, _, _ in known.values() if parent in known}
    numbers, pairs = collections.Counter(), {}
    for leaf in sorted(identity for identity, row in known.items() if row[0] in known and identity not in answered):
        chain = [leaf]
        while known[chain[-1]][0] in known:
            chain.append(known[chain[-1]][0])
        chain.reverse()
        if len({known[identity][1] for identity in chain}) != 2:
            continue
        numbers[chain[0]] += 1
        digest = hashlib.blake2b(f"{seed}\n{chain[0]}".encode(), digest_size=8).digest()
        place = (int.from_bytes(digest, "big") >> 11) / 2**53
        for one, other in zip(chain, chain[1:], strict=False):
            same = known[one][1] == known[other][1]
            if 0.05 <= place < 0.95 and not same:
                pairs[one, other] = cleaned[one], cleaned[other]
    return list(pairs.values())


def _lines(folder: Path) -> Iterator[str]:
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.name.endswith(".tar.gz"):
            with tarfile.open(path) as archive:
                for member in archive:
                    if member.isfile():
                        yield archive.extractfile(member).read().decode()
            continue
        with open(path, encoding="utf-8") as file:
            yield from file


def plainly_cleaned(text: str) -> str | None:
    """One rule after the other, whatever the text."""
    while html.unescape(text) != text:
        text = html.unescape(text)
    text = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", " ", text)
    text = re.sub("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]", "", text)
    text = re.sub(r"(?i)(?:https?://|www\.)[!-~]*[A-Za-z0-9/=&#_~-]", " ", text)
    text = re.sub(r"^(?:\s*\.?[@\uff20][A-Za-z0-9_]+:?)+\s*", "", text)
    text = re.sub(r"(?:\s*[#\uff03][^\s#\uff03]+)+\s*$", "", text)
    text = " ".join(text.split())
    letters = text.replace(" ", "")
    if not text or re.search("[@#{}\uff20\uff03\uff5b\uff5d]", text):
        return None
    if len(letters) > 1 and collections.Counter(letters).most_common(1)[0][1] > len(letters) / 2:
        return None
    latin = re.findall("[A-Za-z\u00c0-\u024f]", text)
    foreign = re.findall(r"[^\W\d_A-Za-z\u00c0-\u024f]", text)
    if not latin or len(latin) < 9 * len(foreign):
        return None
    return text if 2 <= len(text.split()) <= 256 else None


def by_command(archive: Path, out: Path, memory: str, workers: int) -> None:
    """What a user types."""
    python = [sys.executable, "-m"]
    count = ["--workers", str(workers)]
    clean = out / "clean.jsonl"
    rules = ["--clean", "--lang", "en", "--min-words", "2", "--max-words", "256"]
    for command in (
        ["preprocess.corpora", "tweets", archive, "--out", clean, *rules, "--memory", memory, *count],
        ["preprocess.split", clean, "--out", out, *count],
    ):
        began, used = time.perf_counter(), _processor_seconds()
        done = subprocess.run([*python, *map(str, command)], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{command[0]}: {(done.stderr.splitlines() or ['failed'])[-1]}")
        took, used = time.perf_counter() - began, _processor_seconds() - used
        print(f"    {command[0]}: {took:.1f} s, {used:.1f} s of processors", file=sys.stderr)


def _processor_seconds() -> float:
    """Of all commands so far, whatever else ran beside them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class PeakMemory(threading.Thread):
    """The most that all processes below this one held at once, in MB, looked at twice a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak, self.done = 0, threading.Event()

    def run(self) -> None:
        """Look until `done` is set."""
        while not self.done.wait(0.5):
            self.peak = max(self.peak, sum(map(_proportional, _below(os.getpid()))))


def _below(process: int) -> Iterator[int]:
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):  # it has just ended
            for child in map(int, task.read_text().split()):
                yield child
                yield from _below(child)


def _proportional(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) // 1000 for line in lines if line.startswith("Pss:")), 0)


def main() -> None:
    """Print one row for every size and form."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--tweets", type=int, nargs="+", default=[100_000, 1_000_000])
    forms = ["tsv", "json", *SMALL_FILES]
    parser.add_argument("--forms", nargs="+", choices=forms, default=forms)
    parser.add_argument("--memory", default="1GB", help="of the joins (default: 1GB)")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--plain", type=int, default=1_000_000, help="the yardstick in plain Python up to so many tweets"
    )
    parser.add_argument("--folder", type=Path, help="where the archive is made (default: a temporary folder)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rows = []
    for form in args.forms:
        for count in args.tweets:
            if form in SMALL_FILES and count > MOST_FILES:
                continue  # so many files are a load for a disk
            with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
                rows.append(measure(Path(temporary), count, form, args))
                print(tabulate([rows[-1]], HEADER, tablefmt="pipe"), file=sys.stderr)
    print(tabulate(rows, HEADER, tablefmt="pipe", disable_numparse=True))
    print(f"\n{args.workers} workers, joins within {args.memory}, English pairs, seed {args.seed}")


HEADER = [
    "form",
    "tweets",
    "MB",
    "tweets/s",
    "peak MB",
    "plain Python/s",
    "times",
    "json.loads alone/s",
    "times",
    "pairs",
]


def measure(folder: Path, count: int, form: str, args: argparse.Namespace) -> list[str]:
    """One row."""
    archive, out = folder / "archive", folder / "out"
    out.mkdir()
    write_archive(archive, count, form, args.seed)
    size = sum(path.stat().st_size for path in archive.rglob("*") if path.is_file())
    memory = PeakMemory()
    memory.start()
    began = time.perf_counter()
    by_command(archive, out, args.memory, args.workers)
    ours = count / (time.perf_counter() - began)
    memory.done.set()
    written = sorted(
        zip(*((out / f"train.{side}").read_text("utf-8").splitlines() for side in ("src", "tgt")), strict=True)
    )
    row = [
        form,
        f"{count:,}",
        f"{size / 1e6:,.0f}",
        f"{ours:,.0f}",
        f"{memory.peak:,}",
        "",
        "",
        "",
        "",
        f"{len(written):,}",
    ]
    shutil.rmtree(out)
    if count <= args.plain:
        began = time.perf_counter()
        pairs = straightforward(archive, form, 1)
        plain = count / (time.perf_counter() - began)
        if sorted(pairs) != written:
            raise SystemExit(f"the pairs differ: {len(pairs):,} by plain Python, {len(written):,} by the commands")
        row[5:7] = f"{plain:,.0f}", f"{ours / plain:.1f}"
    if form == "json":
        began = time.perf_counter()
        for line in _lines(archive):
            json.loads(line)
        loads = count / (time.perf_counter() - began)
        row[7:9] = f"{loads:,.0f}", f"{ours / loads:.2f}"
    return row


if __name__ == "__main__":
    main()
