"""Archives of tweets: every form gives the same conversations, the joins agree with a dictionary, nothing breaks them."""

import bz2
import gzip
import json
import lzma
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter, defaultdict
from importlib.util import find_spec
from pathlib import Path

import pytest

from fairseq_latent.errors import InputError
from preprocess.conversation import read_conversations, whole_id
from preprocess.counts_table import Account

if find_spec("duckdb") is None:
    pytest.skip("duckdb is not installed", allow_module_level=True)

import duckdb

from preprocess.clean import clean_file
from preprocess.cleaning.rules import CleaningOptions, message_rules, rules
from preprocess.corpora import __main__ as corpora
from preprocess.corpora.tweets.columns import Columns
from preprocess.corpora.tweets.files.batches import Batch, File, archive_files
from preprocess.corpora.tweets.files.decompress import spool
from preprocess.corpora.tweets.read import Selection, read_batch
from tests.helpers.releases import real
from tests.helpers.signals import interruptible
from tests.helpers.typed import texts

ROOT = Path(__file__).parents[3]


def main(arguments):
    """`python -m preprocess.corpora tweets`."""
    corpora.main(["tweets", *arguments])


# id, parent, user, text: 1-2-3 of two users, with a second answer 4 to 2; 5 and 6 a monologue; 7, 8 and 9 of three
TWEETS = [
    ("11", None, "1", "who has seen the cat ?"),
    ("12", "11", "2", "@one it sleeps in the garden"),
    ("13", "12", "1", "@two thank you so much"),
    ("14", "12", "1", "@two which garden ?"),
    ("15", None, "3", "first of two thoughts"),
    ("16", "15", "3", "second of two thoughts"),
    ("17", None, "4", "tea or coffee ?"),
    ("18", "17", "5", "@four tea"),
    ("19", "18", "6", "@five never tea"),
    ("20", None, "7", "nobody answers this"),
    ("21", "999", "7", "an answer to what is not there"),
]
EXPECTED = {
    "11": ["who has seen the cat ?", "@one it sleeps in the garden", "@two thank you so much"],
    "11#branch2": ["who has seen the cat ?", "@one it sleeps in the garden", "@two which garden ?"],
}


def v1(identity, parent, user, text, **more):
    record = {"created_at": "Tue Jan 01 10:00:00 +0000 2019", "id": int(identity), "id_str": identity, "text": text}
    record |= {"in_reply_to_status_id": parent and int(parent), "in_reply_to_status_id_str": parent, "lang": "en"}
    person = {"id": int(user), "id_str": user, "screen_name": f"user{user}", "name": "Some One"}
    return record | {"user": person} | more


def v2(identity, parent, user, text, **more):
    record = {"id": identity, "author_id": user, "created_at": "2019-01-01T10:00:00.000Z", "lang": "en", "text": text}
    if parent:
        record["referenced_tweets"] = [{"type": "replied_to", "id": parent}]
    return record | more


def tsv(identity, parent, user, text):
    return f"T\t1546336800\t{identity}\t{parent or '-'}\t{user}\tSome One\tuser{user}\t{text}\n".encode()


def lines_of(records):
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def page(tweets, included=()):
    users = [
        {"id": user, "username": f"user{user}", "name": "Some One"} for user in sorted({tweet[2] for tweet in TWEETS})
    ]
    return {
        "data": [v2(*tweet) for tweet in tweets],
        "includes": {"users": users, "tweets": [v2(*tweet) for tweet in included]},
        "meta": {"result_count": len(tweets)},
    }


FORMS = {
    "tsv": b"".join(tsv(*tweet) for tweet in TWEETS),
    "v1": lines_of(v1(*tweet) for tweet in TWEETS),
    "v1 extended": lines_of(
        v1(*tweet[:3], "cut off ...", extended_tweet={"full_text": tweet[3]}, truncated=True) for tweet in TWEETS
    ),
    "v1 full text": lines_of({**v1(*tweet), "text": None, "full_text": tweet[3]} for tweet in TWEETS),
    "v2 lines": lines_of(v2(*tweet, author={"id": tweet[2], "username": f"user{tweet[2]}"}) for tweet in TWEETS),
    "v2 pages": lines_of([page(TWEETS[:3]), page(TWEETS[3:])]),
    "v2 page with what it answers": lines_of([page(TWEETS[1:], TWEETS[:1])]),
    "v2 page over several lines": json.dumps(page(TWEETS), indent=1).encode(),
    "list": json.dumps([v1(*tweet) for tweet in TWEETS]).encode(),
    "mixed": lines_of(
        [v1(*tweet) for tweet in TWEETS[:4]] + [page(TWEETS[4:8])] + [v2(*tweet) for tweet in TWEETS[8:]]
    ),
}


def convert(folder, *arguments, out="out.jsonl"):
    """Run the command in this process on `folder`; {id: texts}."""
    main([str(folder), "--out", str(folder.parent / out), "--workers", "1", "--memory", "500MB", *arguments])
    return {
        conversation.id: [turn.text for turn in conversation.turns]
        for conversation in read_conversations(folder.parent / out)
    }


@pytest.fixture
def archive(tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    return folder


def counted(capsys):
    """{row of the table: number} of what was printed last, the last row of a name."""
    rows = {}
    for line in capsys.readouterr().out.splitlines():
        name, _, number = line.rpartition(" ")
        if number.replace(",", "").isdigit():
            rows[name.strip(" -=()")] = int(number.replace(",", ""))
    return rows


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_conversations(archive, form):
    (archive / "day").write_bytes(FORMS[form])
    assert convert(archive) == EXPECTED
    conversation = next(read_conversations(archive.parent / "out.jsonl"))
    assert [(turn.speaker, turn.id, turn.time) for turn in conversation.turns] == [
        ("1", "11", "2019-01-01T10:00:00Z"), ("2", "12", "2019-01-01T10:00:00Z"), ("1", "13", "2019-01-01T10:00:00Z"),
    ]  # fmt: skip
    assert sorted(path.name for path in archive.parent.iterdir()) == ["archive", "out.jsonl"]


def test_a_flattened_tweet_brings_what_it_answers(archive):
    answered = {"type": "replied_to", **v2(*TWEETS[0]), "author": {"id": "1", "username": "user1"}}
    (archive / "day").write_bytes(lines_of([v2(*TWEETS[1], author={"id": "2"}) | {"referenced_tweets": [answered]}]))
    assert convert(archive) == {"11": EXPECTED["11"][:2]}


COMPRESS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def zstd(data):
    zstandard = pytest.importorskip("zstandard")
    half = len(data) // 2
    return zstandard.compress(data[:half]) + zstandard.compress(data[half:])  # two frames are one file


@pytest.mark.parametrize("suffix", [*COMPRESS, "zst"])
def test_tweets_of_one_thread_in_many_compressed_files(archive, suffix):
    compress = COMPRESS.get(suffix, zstd)
    for number in range(3):
        (archive / "2019").mkdir(exist_ok=True)
        # the last tweets first: answers before what they answer
        part = lines_of(v1(*tweet) for tweet in TWEETS[::-1][number::3])
        (archive / "2019" / f"{number}.json.{suffix}").write_bytes(compress(part))
    assert convert(archive) == EXPECTED


@pytest.mark.parametrize("suffix", [*COMPRESS, "zst"])
def test_a_compressed_file_that_breaks_off_gives_what_it_has(archive, suffix, capsys):
    compress = COMPRESS.get(suffix, zstd)
    draw = random.Random(1)
    noise = lines_of(v1(str(identity), None, "9", draw.randbytes(200).hex()) for identity in range(1000, 6000))
    data = compress(FORMS["v1"] + noise)
    (archive / "a").write_bytes(data[: len(data) * 9 // 10])
    assert convert(archive) == EXPECTED
    rows = counted(capsys)
    assert rows["truncated files"] == 1
    assert 1000 < rows["lines read"] < 5011


def spooled(folder, data, counts):
    """What `spool` makes of a file."""
    (folder / "in").write_bytes(data)
    spool(folder / "in", folder / "lines", counts)
    return (folder / "lines").read_bytes()


def test_a_clean_plain_file_is_not_copied(tmp_path):
    counts = Counter()
    assert spooled(tmp_path, b"one\ntwo", counts) == b"one\ntwo"
    assert (tmp_path / "lines").is_symlink()
    assert (
        spooled(tmp_path, b"one\n" * 3_000_000 + b"t\x00o\r\nx\xff\nthree", counts)
        == b"one\n" * 3_000_000 + b"t o\nthree\n"
    )
    assert not (tmp_path / "lines").is_symlink()
    assert counts == {"lines": 3_000_005, "invalid UTF-8": 1}


LONG = b"y" * 20_000_000 + b"\n"


@pytest.mark.parametrize("before", [b"", b"one\n", b"one\n" * 100_000])
@pytest.mark.parametrize("after", [b"", b"two\n", b"t\x00o\n" * 100_000])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_line_without_end_goes_and_nothing_else(tmp_path, before, after, compress):
    counts = Counter()
    data = compress(before + LONG + after)
    assert spooled(tmp_path, data, counts) == before + after.replace(b"\x00", b" ")
    assert counts == {"lines": (before + after).count(b"\n") + 1, "longer than 16 MB": 1}


def test_what_is_broken_is_counted(archive, capsys):
    """Each bad line once; the good ones give what they gave."""
    bot = {"id_str": "8", "screen_name": "news_bot"}
    bad = [
        b'{"id_str": "1", "text": "no end\n', b"\n", b"[1, 2]\n", b"null\n", b'"text"\n',
        b'{"delete": {"status": {"id": 1}}}\n', b'{"limit": {"track": 1}}\n',
        '{"id_str": "31", "text": "é"}\n'.encode("latin-1"), b'{"id_str": "37", "text": "' + b"y" * 20_000_000 + b'"}\n',
        lines_of([v1("32", None, "1", None)]), lines_of([v1("33", None, "1", "  ")]),
        lines_of([{"id_str": "x9", "text": "a"}]), lines_of([v1("36", None, "1", "x" * 10_000_000)]),
        lines_of([v1("34", None, "1", "again", retweeted_status={"id_str": "3"})]),
        lines_of([v1("35", None, "1", "RT @a b")]), lines_of([v1("38", None, "1", "news") | {"user": bot}]),
        lines_of([v1(*TWEETS[0]), v1(*TWEETS[1])]),
    ]  # fmt: skip
    (archive / "a").write_bytes(FORMS["v1"] + b"".join(bad))
    assert convert(archive) == EXPECTED
    rows = counted(capsys)
    assert rows["lines read"] == len(TWEETS) + len(bad) + 1
    expected = {
        "blank": 1, "invalid UTF-8": 1, "longer than 16 MB": 1, "notices of the stream": 2, "broken": 4, "without text": 2,
        "without id": 1, "retweet": 2, "too long to be a tweet": 1, "of a bot by its name": 1, "with the id of another": 2,
    }  # fmt: skip
    assert {name: rows.get(name) for name in expected} == expected


def test_invisible_and_turned_text_comes_through(archive):
    text = "\u202eevil\u200b \u05e9\u05dc\u05d5\u05dd"
    (archive / "a").write_bytes(lines_of([v1("1", None, "1", text), v1("2", "1", "2", "a\x00b \u2028 \x1b[31m")]))
    (turns,) = convert(archive).values()
    assert turns[0] == text
    assert "\u2028" in turns[1]


@pytest.mark.parametrize("content", [{}, {"a": b""}, {"a": b"\n\n"}, {"a": b"some text\n"}, {"a": tsv(*TWEETS[0])}])
def test_an_archive_without_conversations(archive, content):
    for name, data in content.items():
        (archive / name).write_bytes(data)
    with pytest.raises(InputError, match="remedy"):
        convert(archive)
    assert not (archive.parent / "out.jsonl").exists()


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match="nothing: no such file or folder; remedy"):
        archive_files([tmp_path / "nothing"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission(archive):
    archive.chmod(0)
    try:
        with pytest.raises((InputError, PermissionError)):
            convert(archive)
    finally:
        archive.chmod(0o755)


def test_every_tweet_answers_one_tweet(archive, capsys):
    star = [tsv("1", None, "0", "who are you all ?")] + [
        tsv(str(i), "1", str(i), f"i am number {i}") for i in range(2, 5002)
    ]
    (archive / "a").write_bytes(b"".join(star))
    found = convert(archive)
    assert len(found) == 5000
    assert {whole_id(name) for name in found} == {"1"}
    assert all(len(texts) == 2 for texts in found.values())


def test_cycles_and_tweets_that_answer_themselves(archive, capsys):
    loop = [tsv("101", "103", "1", "one"), tsv("102", "101", "2", "two"), tsv("103", "102", "1", "three")]
    below, itself = tsv("104", "102", "1", "below the loop"), tsv("105", "105", "1", "itself")
    (archive / "a").write_bytes(FORMS["tsv"] + b"".join([*loop, below, itself]))
    assert convert(archive) == EXPECTED
    rows = counted(capsys)
    assert rows["in a cycle of replies, or below one"] == 4
    assert rows["replies to a tweet that is not there"] == 2  # that to 999, and the one to itself


def test_long_threads_are_cut(archive):
    chain = [tsv(str(i + 1), str(i) if i else None, str(i % 2), f"turn {i}") for i in range(2500)]
    (archive / "a").write_bytes(b"".join(chain))
    found = convert(archive, "--max-turns", "1000")
    assert [len(texts) for texts in found.values()] == [1000, 1000, 500]
    assert [text for texts in found.values() for text in texts] == [f"turn {i}" for i in range(2500)]
    assert list(found) == ["1", "1#part2", "1#part3"]


def test_filters(archive, tmp_path):
    (archive / "a").write_bytes(FORMS["tsv"])
    assert set(convert(archive, "--keep-monologues", "--keep-crowds")) == {*EXPECTED, "15", "17"}
    pairs = convert(archive, "--each-reply", "--keep-crowds")
    assert sorted(map(tuple, pairs.values())) == sorted(
        tuple(texts[i : i + 2])
        for texts in (
            EXPECTED["11"],
            [*EXPECTED["11#branch2"][1:]],
            ["tea or coffee ?", "@four tea", "@five never tea"],
        )
        for i in range(len(texts) - 1)
    )
    listed = tmp_path / "bots"
    listed.write_text("@USER2\n")
    with pytest.raises(InputError, match="no conversations"):
        convert(archive, "--bots", str(listed))


def test_languages(archive):
    records = [v1(*tweet) for tweet in TWEETS]
    records[2]["lang"] = "und"  # unknown: for later to decide
    records[3]["lang"] = "fr"
    (archive / "a").write_bytes(lines_of(records))
    assert convert(archive, "--lang", "en") == {"11": EXPECTED["11"]}


@pytest.mark.parametrize(("repeated", "ids"), [("first", ["1"]), ("user", ["1", "3"]), ("keep", ["1", "3", "5"])])
def test_repeated_texts(archive, repeated, ids):
    rows = [
        ("1", None, "1", "a"), ("2", "1", "2", "thanks"), ("3", None, "1", "c"), ("4", "3", "3", "thanks"),
        ("5", None, "1", "e"), ("6", "5", "2", "thanks"),
    ]  # fmt: skip
    (archive / "a").write_bytes(b"".join(tsv(*row) for row in rows))
    assert list(convert(archive, "--repeated", repeated)) == ids


def forest(seed, count=400):
    """Random trees of replies with doubles, gaps and loops."""
    draw = random.Random(seed)
    rows = []
    for identity in range(1, count):
        parent = draw.choice([None, None, *range(max(1, identity - 5), identity), count + 7])
        rows.append((str(identity), parent and str(parent), str(draw.randrange(3)), f"text {draw.randrange(count)}"))
    for row in draw.sample(rows, 5):
        rows.append(row)
    for index in draw.sample(range(len(rows) - 5), 3):
        rows[index] = (rows[index][0], str(min(count - 1, int(rows[index][0]) + 2)), *rows[index][2:])
    return rows


def by_dictionary(rows):
    """The same, with dictionaries; texts that repeat kept."""
    known = {}
    for identity, parent, user, text in rows:
        known.setdefault(identity, (parent, user, text))
    answers = defaultdict(list)
    for identity, (parent, _, _) in known.items():
        if parent in known and parent != identity:
            answers[parent].append(identity)
    found, waiting = defaultdict(list), [
        [identity] for identity, (parent, *_) in known.items() if parent not in known or parent == identity
    ]  # fmt: skip
    while waiting:
        chain = waiting.pop()
        if not answers[chain[-1]] and len({known[identity][1] for identity in chain}) == 2:
            found[chain[0]].append(chain)
        waiting += [[*chain, answer] for answer in answers[chain[-1]]]
    return {
        root if not number else f"{root}#branch{number + 1}": [known[identity][2] for identity in chain]
        for root, chains in found.items()
        for number, chain in enumerate(sorted(chains, key=lambda chain: int(chain[-1])))
    }


@pytest.mark.parametrize("seed", range(4))
def test_joins_agree_with_a_dictionary(archive, seed):
    rows = forest(seed)
    random.Random(seed).shuffle(rows)
    # a tweet that is there twice has the same parent both times
    for number in range(3):
        (archive / str(number)).write_bytes(b"".join(tsv(*row) for row in rows[number::3]))
    expected = by_dictionary(rows)
    assert len(expected) > 20
    assert convert(archive, "--repeated", "keep") == expected


def test_workers_and_parts_change_nothing(archive, monkeypatch):
    rows = forest(5, 2000)
    for number in range(3):
        (archive / str(number)).write_bytes(b"".join(tsv(*row) for row in rows[number::3]))
    one = convert(archive)
    monkeypatch.setattr("preprocess.corpora.tweets.pipeline.TURNS", 50)
    assert convert(archive, "--workers", "3", out="more.jsonl.gz") == one
    assert list(convert(archive, out="again.jsonl")) == list(one)


def test_shards_then_the_join(archive):
    for number, tweet in enumerate(TWEETS):
        (archive / str(number)).write_bytes(tsv(*tweet))
    work = archive.parent / "work"
    command = [str(archive), "--out", str(archive.parent / "out.jsonl"), "--work", str(work), "--workers", "1"]
    for shard in ("1/2", "2/2"):
        main([*command, "--shard", shard])
    assert len(list((work / "tweets").glob("*.json"))) == 2  # small files are read together
    main(command)
    found = read_conversations(archive.parent / "out.jsonl")
    assert {each.id: [turn.text for turn in each.turns] for each in found} == EXPECTED
    assert not work.exists()


def test_a_work_folder_of_another_run_is_refused(archive):
    (archive / "a").write_bytes(FORMS["tsv"])
    work = archive.parent / "work"
    command = [str(archive), "--out", str(archive.parent / "out.jsonl"), "--work", str(work), "--workers", "1"]
    main([*command, "--shard", "1/1"])
    for other in (["--keep-bots"], ["--lang", "en"]):
        with pytest.raises(InputError, match="begun with other options; remedy"):
            main([*command, *other])
    for damaged in ("", "[1]", "[" * 20_000):
        (counted,) = (work / "tweets").glob("*.json")
        before = counted.read_text()
        counted.write_text(damaged)
        with pytest.raises(InputError, match=r"json: damaged; remedy: remove .*tweets, and start again"):
            main(command)
        counted.write_text(before)
    main([*command, "--each-reply"])  # what was read serves any join
    assert not work.exists()


def test_what_was_read_serves_another_join(archive):
    (archive / "a").write_bytes(b"".join(tsv(*tweet) for tweet in TWEETS[4:9]))
    with pytest.raises(InputError, match="no conversations among 5 tweets; remedy"):
        convert(archive)
    (read,) = (archive.parent / "out.jsonl.work" / "tweets").glob("*.parquet")
    before = read.stat().st_mtime_ns
    assert set(convert(archive, "--keep-monologues")) == {"15"}
    assert before
    assert not read.exists()


def test_a_folder_with_the_files_of_a_user_is_no_work_folder(archive):
    (archive / "a").write_bytes(FORMS["tsv"])
    (archive.parent / "thesis").mkdir()
    (archive.parent / "thesis" / "chapter").write_text("one")
    with pytest.raises(InputError, match="thesis is not empty, and is removed in the end; remedy"):
        convert(archive, "--work", str(archive.parent / "thesis"))
    assert (archive.parent / "thesis" / "chapter").read_text() == "one"


def test_places_within_the_archive_are_refused(archive):
    (archive / "a").write_bytes(FORMS["tsv"])
    for place in (["--work", str(archive / "work")], ["--report", str(archive / "report")]):
        with pytest.raises(InputError, match="is within the archive .* remedy"):
            convert(archive, *place)
    with pytest.raises(InputError, match="means several files to DuckDB; remedy"):
        convert(archive, out="out[1].jsonl")
    assert [path.name for path in archive.parent.iterdir()] == ["archive"]


@pytest.mark.parametrize(
    "flags", [["--max-turns", "1"], ["--memory", "infGB"], ["--memory", "1MB"], ["--out", ""], ["--out", "."]]
)
def test_options_that_mean_nothing(archive, flags, capsys):
    with pytest.raises(SystemExit) as ended:
        main([str(archive), "--out", str(archive.parent / "out.jsonl"), *flags])
    assert ended.value.code == 2
    assert f"argument {flags[0]}: " in capsys.readouterr().err


def test_whatever_files_and_folders_are_called(archive):
    """Globs, folders that look like columns, names that lie about what is in them or are no UTF-8."""
    names = [
        b"day*.json",
        b"out[1].jsonl",
        b"lang=ja/a.csv.gz",
        b"a?b=c",
        b"\xff\xfe",
        b"it's",
        b"\n",
        b"--clean",
        b".hidden/no",
    ]
    names += [b"day1.json", b"b.parquet"]
    for name, tweet in zip(names, TWEETS, strict=True):
        path = os.path.join(os.fsencode(archive), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(lines_of([v1(*tweet)]))
    assert TWEETS[8][3] == "@five never tea"  # in the hidden folder: the thread is one of two users
    assert convert(archive) == EXPECTED | {"17": ["tea or coffee ?", "@four tea"]}


def test_links_to_nothing_and_pipes_are_refused(archive):
    (archive / "gone").symlink_to(archive / "nowhere")
    with pytest.raises(InputError, match="gone: a link to nothing; remedy"):
        archive_files([archive])
    os.mkfifo(archive.parent / "pipe")
    with pytest.raises(InputError, match="pipe is not a regular file; remedy"):
        archive_files([archive.parent / "pipe"])


PRETTY = {
    "list over lines": b"[\n" + b",\n".join(json.dumps(v1(*tweet)).encode() for tweet in TWEETS) + b"\n]\n",
    "page over lines": b'{"data": [\n' + b",\n".join(json.dumps(v2(*tweet)).encode() for tweet in TWEETS) + b"\n]}\n",
    "pages over lines": b"".join(json.dumps(page(part), indent="\t").encode() for part in (TWEETS[:2], TWEETS[2:])),
    "marked list": b"\xef\xbb\xbf" + FORMS["list"],
    "marked lines": b"\xef\xbb\xbf" + FORMS["v1"],
    "marked tsv": b"\xef\xbb\xbf" + FORMS["tsv"],
    "tweets over lines": b"\n".join(json.dumps(v1(*tweet), indent=2).encode() for tweet in TWEETS),
    "first line damaged": FORMS["v1"][40:70] + b"\n" + FORMS["v1"],
    "first line cut": b'{"id_str": "5", "te\n' + FORMS["v1"],
    "first line of a table cut": b"T\t15\n" + FORMS["tsv"],
    "a list of 20 MB": json.dumps([v1(*tweet) for tweet in TWEETS] + ["y" * 1_000_000] * 20).encode(),
}  # fmt: skip


@pytest.mark.parametrize("form", PRETTY)
def test_json_however_it_stands_in_the_file(archive, form):
    (archive / "day").write_bytes(PRETTY[form])
    assert convert(archive) == EXPECTED


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_damaged_list_gives_what_stands_before(archive, compress, capsys):
    tweets = [v1(*tweet) for tweet in TWEETS] + [None, 3, "a", v1("50", None, "1", "lost")]
    whole = json.dumps(tweets, indent=1, ensure_ascii=False).encode()
    (archive / "day").write_bytes(compress(whole[: whole.rindex(b"lost")]))
    (archive / "deep").write_bytes(b'[{"a":\n' * 200_000)
    (archive / "latin").write_bytes(b"[\n" + '{"id_str":\n"60", "text": "é"}'.encode("latin-1") + b"\n]")
    assert convert(archive) == EXPECTED
    rows = counted(capsys)
    assert (rows["lines read"], rows["broken"]) == (len(TWEETS) + 3 + 1 + 1 + 1, 5)
    assert rows["invalid UTF-8"] == 1
    assert rows["truncated files"] == 2


def test_users_without_an_id(archive, capsys):
    """A number is one, a blank is none; then the name stands for it."""
    people = [
        {"id": 77, "name": "a"},
        {"id_str": " ", "screen_name": "ann"},
        {"id": None, "screen_name": " "},
        {"id_str": []},
    ]
    records = [
        v1(str(60 + i), str(59 + i) if i else None, "1", f"text {i}") | {"user": user} for i, user in enumerate(people)
    ]
    (archive / "a").write_bytes(lines_of(records))
    convert(archive)
    (conversation,) = read_conversations(archive.parent / "out.jsonl")
    assert [turn.speaker for turn in conversation.turns] == ["77", "@ann"]
    assert counted(capsys)["without user"] == 2


@pytest.mark.parametrize("identity", [[], {}, True, "1e3", "-1", "1.0", " 7", "99999999999999999999999", ""])
def test_ids_that_are_none(archive, identity, capsys):
    (archive / "a").write_bytes(
        FORMS["v1"] + lines_of([v1("5", None, "1", "text") | {"id": identity, "id_str": identity}])
    )
    assert convert(archive) == EXPECTED
    assert counted(capsys)["without id"] == 1


def test_the_highest_ids(archive):
    top = [tsv(str(2**64 - 2 + i), str(2**64 - 3 + i) if i else None, str(i), f"text {i}") for i in range(2)]
    (archive / "a").write_bytes(FORMS["tsv"] + b"".join(top))
    assert convert(archive) == EXPECTED | {str(2**64 - 2): ["text 0", "text 1"]}


TIMES = {
    "Wed Oct 10 20:19:24 +0000 2018": "2018-10-10T20:19:24Z", "Wed Oct 10 20:19:24 +0900 2018": "2018-10-10T11:19:24Z",
    "2018-10-10T20:19:24.000Z": "2018-10-10T20:19:24Z", "2018-10-10T20:19:24+02:00": "2018-10-10T18:19:24Z",
    "2018-10-10 20:19:24": "2018-10-10T20:19:24Z", "infinity": None, "1999-01-01": None, "9999-01-01": None, "x": None,
}  # fmt: skip


@pytest.mark.parametrize("form", ["json", "tsv"])
def test_times(archive, form, capsys):
    seconds = {"1539202764": "2018-10-10T20:19:24Z", "-5": None, "9" * 17: None, "9" * 30: None, "x": None, "0": None}
    given = TIMES if form == "json" else seconds
    rows = []
    for number, time_of in enumerate(given):
        tweet = (str(number + 60), str(number + 59) if number else None, str(number % 2), f"text {number}")
        rows.append(
            lines_of([v1(*tweet) | {"created_at": time_of}])
            if form == "json"
            else tsv(*tweet).replace(b"1546336800", time_of.encode())
        )
    (archive / "a").write_bytes(b"".join(rows))
    convert(archive)
    (conversation,) = read_conversations(archive.parent / "out.jsonl")
    assert [turn.time for turn in conversation.turns] == list(given.values())
    assert counted(capsys)["without a time that can be"] == list(given.values()).count(None)


def test_a_flattened_tweet_brings_what_that_answers(archive):
    """The tweet that it answers stands within it, and says itself what it answers."""
    answered = {"type": "replied_to", **v2(*TWEETS[1]), "author": {"id": "2", "username": "user2"}}
    last = v2(*TWEETS[2], author={"id": "1"}) | {"referenced_tweets": [answered]}
    (archive / "day").write_bytes(lines_of([v2(*TWEETS[0], author={"id": "1"}), last]))
    assert convert(archive) == {"11": EXPECTED["11"]}


def test_a_tweet_twice_with_other_parents(archive):
    """Its parent and its text are of the same row, and one that answers itself knows no parent."""
    rows = [
        ("1", None, "1", "first"), ("2", None, "3", "second"), ("5", "2", "2", "yes"), ("5", "1", "2", "no, much longer"),
        ("7", "5", "1", "so"), ("7", "7", "1", "so it is"),
    ]  # fmt: skip
    (archive / "a").write_bytes(b"".join(tsv(*row) for row in rows))
    assert convert(archive, "--keep-crowds") == {"2": ["second", "yes", "so"]}


def test_each_reply_of_a_long_thread(archive, capsys):
    chain = [tsv(str(i + 1), str(i) if i else None, str(i % 2), f"turn {i}") for i in range(31)]
    (archive / "a").write_bytes(b"".join(chain))
    pairs = convert(archive, "--each-reply", "--max-turns", "10")
    assert sorted(pairs.values()) == sorted([f"turn {i}", f"turn {i + 1}"] for i in range(30))
    capsys.readouterr()
    assert [len(texts) for texts in convert(archive, "--max-turns", "10").values()] == [10, 10, 10]
    assert counted(capsys)["alone where a thread was cut"] == 1


def test_a_killed_run_goes_on(archive):
    big = b"".join(tsv(str(i), str(i - 1) if i % 3 else None, str(i % 3 % 2), f"text {i}") for i in range(300, 300_300))
    for number in range(3):
        (archive / str(number)).write_bytes(big if number == 2 else tsv(*TWEETS[number]))
    command = [
        sys.executable,
        "-m",
        "preprocess.corpora",
        "tweets",
        str(archive),
        "--out",
        str(archive.parent / "out.jsonl"),
    ]
    command += ["--workers", "1", "--memory", "500MB"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    work = archive.parent / "out.jsonl.work"
    deadline = time.monotonic() + 60
    while not list((work / "tweets").glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (archive.parent / "out.jsonl").exists()
    first = list((work / "tweets").glob("*.parquet"))
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert not work.exists()
    assert first
    assert sum(1 for _ in read_conversations(archive.parent / "out.jsonl")) == 100_001  # and the two small files' one


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_run_leaves_nobody_behind(archive, sent):
    big = b"".join(tsv(str(i), str(i - 1) if i % 9 else None, str(i % 2), f"text {i}") for i in range(400_000))
    for number in range(2):
        (archive / str(number)).write_bytes(big)
    command = [
        sys.executable,
        "-m",
        "preprocess.corpora",
        "tweets",
        str(archive),
        "--out",
        str(archive.parent / "out.jsonl"),
    ]
    pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, **pipes, preexec_fn=interruptible)
    work = archive.parent / "out.jsonl.work" / "tweets"
    deadline = time.monotonic() + 60
    while not list(work.glob("*.lines")) and time.monotonic() < deadline:
        time.sleep(0.02)
    began = time.monotonic()
    process.send_signal(sent)
    lines = process.communicate(timeout=20)[1]
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[sent]
    assert "Traceback" not in lines
    assert time.monotonic() - began < 5
    time.sleep(1)
    assert not subprocess.run(["pgrep", "-f", str(archive)], capture_output=True, text=True).stdout


def test_a_full_disk_is_one_line(archive):
    (archive / "a").write_bytes(
        b"".join(tsv(str(i), str(i - 1) if i % 2 else None, str(i % 2), f"t {i}") for i in range(100_000))
    )
    command = f"ulimit -f 200; {sys.executable} -m preprocess.corpora tweets {archive} --out {archive.parent}/out.jsonl"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
    assert not (archive.parent / "out.jsonl").exists()


def test_an_account_that_does_not_add_up_is_a_defect():
    assert Account("lines", 5, {"blank": 2}, 3).lines()[-1].split() == ["=", "lines", "kept", "3"]
    with pytest.raises(AssertionError, match="5 read"):
        Account("lines", 5, {"blank": 1}, 3).lines()


CLEAN = {
    "english": CleaningOptions(2, 20, tweets=True, lang="en"),
    "emoji": CleaningOptions(1, 6, tweets=True, remove_emoji=True),
    "small letters": CleaningOptions(1, 20, tweets=True, lower_case=True),
    "japanese": CleaningOptions(2, 20, tweets=True, lang="ja", japanese=True),
}


@pytest.mark.parametrize("name", CLEAN)
def test_a_rule_over_a_column_does_what_it_does_to_one_text(name):
    wanted = CLEAN[name]
    if name == "japanese" and (find_spec("MeCab") is None or find_spec("neologdn") is None):
        pytest.skip("the extra [ja] is not installed")
    typed = texts(4000, seed=1)
    one_by_one = []
    for text in typed:
        dropped, changed = None, 0
        for number, (_, rule) in enumerate([*message_rules(wanted), *rules(wanted)]):
            result = rule(text)
            if result is None:
                text, dropped = None, number + 1
                break
            changed |= (result != text) << number
            text = result
        one_by_one.append((text, dropped, changed))
    with duckdb.connect(config={"threads": 1}) as base:
        base.execute(
            "CREATE TABLE tweets AS SELECT unnest($1) AS text, unnest(range($2)) AS i, NULL AS lang",
            [typed, len(typed)],
        )
        query = Columns(base, wanted).query("tweets")
        assert base.execute(f"SELECT text, dropped, changed FROM ({query}) ORDER BY i").fetchall() == one_by_one
    assert len({dropped for _, dropped, _ in one_by_one}) > 3


def test_a_tweets_own_field_goes_before_a_detector(archive):
    records = [
        v1("1", None, "1", "東京"),
        v1("2", "1", "2", "大阪"),
        v1("3", "2", "1", "京都"),
        v1("4", "3", "2", "はい"),
    ]
    for record, lang in zip(records, ("ja", "ja", "und", "und"), strict=True):
        record["lang"] = lang
    (archive / "a").write_bytes(lines_of(records))
    assert convert(archive, "--clean", "--lang", "ja") == {"1": ["東京", "大阪"]}


def test_what_the_rules_changed_is_told(archive, capsys):
    (archive / "a").write_bytes(FORMS["tsv"])
    convert(archive, "--clean")
    assert counted(capsys)["changed by remove names at the start"] == 5


def test_tweets_are_cleaned_as_they_are_read(archive, capsys):
    rows = [
        ("1", None, "1", "who has seen the cat ?"), ("2", "1", "2", "@user1 it sleeps #cats"),
        ("3", "2", "2", "@user2 look www.x.y"),
        ("4", "3", "1", "@user2 mail me @ home"), ("5", "4", "2", "@user1 no thanks"), ("6", "5", "1", "это не то"),
        ("7", "5", "1", "@user2 all right then"),
    ]  # fmt: skip
    (archive / "a").write_bytes(b"".join(tsv(*row) for row in rows))
    found = convert(archive, "--clean", "--lang", "en")
    assert found == {"1": ["who has seen the cat ?", "it sleeps look"], "5": ["no thanks", "all right then"]}
    table = counted(capsys)
    assert table["drop turns with @ # { }"] == table["drop turns that are not en"] == 1


def test_cleaning_by_column_gives_what_cleaning_conversations_gives(archive):
    """Where no tweet is dropped; a conversation is else cut at it, and a tweet that is never read is no part of a thread."""
    rows = [(i, p, u, f"@user{u} {t} https://t.co/x &amp; #tag") for i, p, u, t in forest(3)]
    (archive / "a").write_bytes(b"".join(tsv(*row) for row in rows))
    by_column = convert(archive, "--clean", "--repeated", "keep")
    convert(archive, "--repeated", "keep", out="raw.jsonl")
    clean_file(archive.parent / "raw.jsonl", archive.parent / "clean.jsonl", CleaningOptions(tweets=True), 1)
    found = read_conversations(archive.parent / "clean.jsonl")
    assert {each.id: [turn.text for turn in each.turns] for each in found} == by_column


@pytest.mark.parametrize("flags", [("--min-words", "2"), ("--japanese",), ("--clean", "--min-words", "200")])
def test_rules_that_say_nothing_or_all(archive, flags):
    (archive / "a").write_bytes(FORMS["tsv"])
    with pytest.raises(InputError, match="remedy"):
        convert(archive, *flags)


@pytest.mark.parametrize(
    ("name", "tweets", "replies"),
    [("noflat", 166, 51), ("flat", 100 + 31, 31 + 14), ("brexit", 159, 17), ("entities_test", 671, 132)],
)
def test_tweets_and_replies_of_real_pages(tmp_path, name, tweets, replies):
    """Pages and flattened lines as the API v2 gave them; a flattened reply brings what it answers: one
    tweet more, of which 14 are replies themselves."""
    with tarfile.open(real("twitter/tweets_v2_twarc_csv.tar.xz")) as archive:
        archive.extract(f"tweets_v2_twarc/{name}.jsonl", tmp_path, filter="data")
    selection = Selection(keep_retweets=True, keep_bots=True)
    batch = Batch((File.of(tmp_path / f"tweets_v2_twarc/{name}.jsonl"),))
    read = read_batch(batch, tmp_path, selection, "500MB", 1)
    assert read.counts["tweets kept"] == tweets
    with duckdb.connect() as base:
        found = base.execute(f"SELECT count(parent) FROM '{tmp_path}/*.parquet'").fetchone()[0]
    assert found == replies
