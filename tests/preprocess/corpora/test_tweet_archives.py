"""Archives of tweets as their owners unpack them: however they are packed, no tweet goes without its reason."""

import bz2
import json
import zipfile
from collections import Counter
from functools import cache
from itertools import accumulate, repeat
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("duckdb")

from fairseq_latent.errors import InputError
from preprocess.conversation import read_conversations
from preprocess.corpora.tweets import progress as progress_module
from preprocess.corpora.tweets.files import batches as batches_module
from preprocess.corpora.tweets.files.json_text import BROKEN, complete, values
from preprocess.corpora.tweets.files.spool import portions
from preprocess.corpora.tweets.formats import form_of
from preprocess.corpora.tweets.progress import progress
from tests.helpers.hostile import edited, folder
from tests.helpers.releases import packed

from .test_tweets import EXPECTED, FORMS, TWEETS, archive, convert, counted, lines_of, main, page, tsv, v1, v2

__all__ = ["archive"]  # the fixture

BIG = 10**18 + 1  # no program that rounds gives it back


def chain(first, *texts, make=v1):
    """Tweets that answer each other, of two users, their ids from `first` on."""
    return [
        make(str(first + i), str(first + i - 1) if i else None, str(i % 2 + 1), text) for i, text in enumerate(texts)
    ]


def printed_by(capsys):
    """(rows of the table as `counted` has them, what stands on stderr)."""
    both = capsys.readouterr()
    return counted(mock.Mock(readouterr=lambda: both)), both.err


def texts_of(path):
    return {each.id: [turn.text for turn in each.turns] for each in read_conversations(path)}


def test_numbers_as_ids(archive, capsys):
    """One is an id below 2^53, or where a string beside the tweet's own says that nobody rounded; others are left out."""
    trusted, small, rounded = chain(BIG, "a", "b"), chain(900, "c", "d"), chain(BIG + 10, "e", "f")
    trusted[1] |= {"in_reply_to_status_id_str": None}
    small = [
        {key: value for key, value in each.items() if not key.endswith("id_str")} | {"id": float(each["id"])}
        for each in small
    ]
    rounded[1] |= {"in_reply_to_status_id_str": None, "id": int(float(BIG))}
    lost = v1(str(BIG + 20), None, "1", "g") | {"id_str": None}
    (archive / "a").write_bytes(lines_of([*trusted, *small, *rounded, lost]))
    assert convert(archive) == {str(BIG): ["a", "b"], "900": ["c", "d"]}
    rows, told = printed_by(capsys)
    assert rows["with an id that may be rounded"] == rows["answering a number that may be rounded"] == 1
    assert "warning: 2 ids are JSON numbers beyond 2^53, which programs round; remedy: " in told


def test_a_file_that_is_added_changed_or_removed_is_read_alone(archive, monkeypatch):
    monkeypatch.setattr(batches_module, "MOST_FILES", 1)
    for number, tweet in enumerate(TWEETS[:3] + TWEETS[5:6]):
        (archive / str(number)).write_bytes(tsv(*tweet))
    command = [str(archive), "--out", str(archive.parent / "out.jsonl"), "--workers", "1"]
    main([*command, "--work", str(archive.parent / "work"), "--shard", "1/1"])

    def read():
        return {path.name: path.stat().st_mtime_ns for path in (archive.parent / "work" / "tweets").glob("*.parquet")}

    before = read()
    (archive / "0").write_bytes(tsv(*TWEETS[0]).replace(b"cat", b"dog"))
    (archive / "3").unlink()
    (archive / "4").write_bytes(tsv(*TWEETS[3]))
    with mock.patch("shutil.rmtree", lambda *given, **more: None):  # the work folder stays
        main([*command, "--work", str(archive.parent / "work")])
    assert len(before) == len(read()) == 4
    assert before.items() & read().items() == {(name, before[name]) for name in before.keys() & read().keys()}
    assert len(before.keys() & read().keys()) == 2
    assert texts_of(archive.parent / "out.jsonl")["11#branch2"] == [
        "who has seen the dog ?",
        *EXPECTED["11#branch2"][1:],
    ]


def one_a_file():
    """{path: bytes}: a thread as RumourEval and PHEME have it, a tweet per file beside what is none."""
    files = {
        f"topic/thread/{'reactions' if parent else 'source-tweet'}/{identity}.json": v1(identity, parent, *more)
        for identity, parent, *more in TWEETS
    }
    files |= {"topic/thread/structure.json": {"11": {"12": []}}, "topic/annotation.json": {"rumour": "1", "links": []}}
    layouts = (None, 2, None)  # in a line, over several
    return {name: json.dumps(value, indent=layouts[len(name) % 3]).encode() for name, value in files.items()}


def test_however_an_archive_is_packed(archive, capsys):
    """As a folder, joined without line ends, as a tar, compressed or of compressed files, and as a zip."""
    files = one_a_file()
    tables = []
    for name in ("folder", "cat", "x.tar.gz", "x.zip", "x.tar"):
        place = archive.parent / name / "in"
        place.mkdir(parents=True)
        if name == "folder":
            packed(place, files)
        elif name == "cat":
            (place / "all.json").write_bytes(b"".join(files.values()))
        elif name == "x.tar":  # members without folders
            packed(place / name, {each.replace("/", "-") + ".bz2": bz2.compress(data) for each, data in files.items()})
        else:
            packed(place / name, files)
        assert convert(place) == EXPECTED, name
        printed = capsys.readouterr()
        tables.append(printed.out.partition("\n2 conversations")[0])
        assert "1 JSON objects are no tweets; their keys: rumour, links\n" in printed.err
    assert tables == tables[:1] * 5
    assert tables[0].splitlines()[1].split() == ["-", "JSON", "of", "another", "form", "2"]


def test_objects_that_share_a_line_or_take_several(archive, capsys):
    rows = [json.dumps(v1(*tweet)).encode() for tweet in TWEETS]
    folded = rows[4].replace(b'"id"', b'\n"id"')
    joined = [rows[0] + rows[1] + b" " + rows[2], rows[3], b'{"id_str": "9", "te', folded, *rows[5:8]]
    (archive / "a").write_bytes(b"\n".join(joined) + b"\n[" + b", ".join(rows[8:]) + b"]\n")
    assert convert(archive) == EXPECTED
    rows, told = printed_by(capsys)
    assert (rows["lines read"], rows["broken"]) == (len(TWEETS) + 1, 1)
    assert f"""warning: 1 of 12 lines are broken, the first is {archive}/a:3: '{{"id_str": "9", "te'""" in told


def test_a_long_line_of_objects(archive):
    """They are taken apart a block at a time."""
    filler = [json.dumps(v1(str(i), None, "9", "x" * 900)).encode() for i in range(1000, 2500)]
    assert sum(map(len, filler)) > 1 << 20
    (archive / "a").write_bytes(b"".join([*filler, *(json.dumps(v1(*tweet)).encode() for tweet in TWEETS)]))
    assert convert(archive) == EXPECTED


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}{"b": 2} {"c":\n 3}', [{"a": 1}, {"b": 2}, {"c": 3}]),
        ('{"a": {"b": 1},\n{"c": 2}', [BROKEN, {"c": 2}]),
        ('{"a": 1}{"b{"c": 2}', [{"a": 1}, BROKEN]),
        ('{"a": "no\n  "b": 2\n}\n{"c": 3}', [BROKEN, {"c": 3}]),
        ("one\ntwo\n[3", [BROKEN] * 3),
        ("[" * 100_000, [BROKEN]),
    ],
)
def test_values_of_a_text(text, found):
    assert [value for _, value in values(text)] == found


@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.floats(allow_nan=False)), min_size=1))
def test_values_of_a_text_are_those_that_were_written(given_values):
    written = [json.dumps(value) for value in given_values]
    assert [value for _, value in values("".join(written))] == given_values
    ends = list(accumulate(len(value.encode()) for value in written))
    assert complete("".join(written).encode()) == (ends[-2] if len(ends) > 1 else 0)


YTD = b"window.YTD.%s.part0 = "
ACTIVITY = {
    "objectType": "activity", "verb": "post", "postedTime": "2019-01-01T10:00:00.000Z",
}  # fmt: skip


def activity(identity, parent, user, text):
    record = {"id": f"tag:search.twitter.com,2005:{identity}", "body": text, **ACTIVITY}
    if parent:
        record["inReplyTo"] = {"link": f"http://twitter.com/a/statuses/{parent}"}
    return record | {"actor": {"id": f"id:twitter.com:{user}", "preferredUsername": f"user{user}"}}


def test_containers_of_tweets(archive, capsys):
    mine = [{"tweet": {**each, "user": None}} for each in chain(500, "a", "b")]
    for each in mine:
        del each["tweet"]["user"]
    files = {
        "search.json": {"statuses": chain(100, "a1", "b1"), "search_metadata": {"count": 2}},
        "lookup.json": {"id": {each["id_str"]: each for each in chain(200, "a2", "b2")} | {"299": None}},
        "ids.json": {each["id_str"]: each for each in chain(300, "a3", "b3")},
        "activities.json": chain(400, "a4", "b4", make=activity),
        "answer.json": [v1("600", "500", "8", "to the owner")],
    }
    packed(archive, {name: json.dumps(value, indent=2) for name, value in files.items()})
    data = {"account": [{"account": {"accountId": "77", "username": "owner"}}], "tweets": mine}
    packed(
        archive, {f"mine/{name}.js": YTD % name.encode() + json.dumps(value).encode() for name, value in data.items()}
    )
    found = convert(archive)
    assert found == {f"{i}00": [f"a{i}", f"b{i}"] for i in range(1, 5)} | {"500": ["a", "to the owner"]}
    (owner,) = (each.turns[0] for each in read_conversations(archive.parent / "out.jsonl") if each.id == "500")
    assert owner.speaker == "77"
    rows, told = printed_by(capsys)
    assert rows["pages of tweets"] == 3
    assert "1 JSON objects are no tweets; their keys: account" in told


def test_long_texts_are_whole_and_cut_ones_are_named(archive, capsys):
    note = {"note_tweet": {"text": "all of it"}, "text": "all ..."}
    flat = v2("21", "20", "2", "b2") | {
        "referenced_tweets": [{"type": "replied_to", **v2("20", None, "1", ""), **note, "author": {"id": "1"}}]
    }
    pages = page([])
    pages["data"] = [v2("30", None, "1", "") | note]
    pages["includes"]["tweets"] = [v2("31", "30", "2", "") | note | {"note_tweet": {"text": "this too"}}]
    cut = chain(40, "c1", "c2", "c3")
    cut[2]["truncated"] = True
    lines = [v2("10", None, "1", "") | note, v2("11", "10", "2", "b1"), flat, pages, *cut]
    (archive / "a").write_bytes(lines_of(lines))
    whole = {"10": ["all of it", "b1"], "20": ["all of it", "b2"], "30": ["all of it", "this too"]}
    flags = ("--repeated", "keep")
    assert convert(archive, *flags) == whole | {"40": ["c1", "c2", "c3"]}
    assert counted(capsys)["cut short by API v1.1"] == 1
    flags += ("--clean", "--lang", "en")
    assert convert(archive, *flags) == whole | {"40": ["c1", "c2"]}
    assert counted(capsys)["cut short by API v1.1"] == 1
    assert convert(archive, *flags, "--keep-cut") == whole | {"40": ["c1", "c2", "c3"]}
    with pytest.raises(InputError, match="--keep-cut without --clean.*; remedy"):
        convert(archive, "--keep-cut")


def test_what_a_reply_may_answer(archive, capsys):
    """A tweet that another quotes; the latest version of one that was edited, where the version itself is not there."""
    quoting = v1("12", None, "3", "look at that", quoted_status=v1("10", None, "1", "quoted"))
    later = v2("22", None, "1", "edited twice", edit_history_tweet_ids=["20", "21", "22"])
    both = [v2("32", None, "1", "new", edit_history_tweet_ids=["30", "32"]), v2("30", None, "1", "old")]
    withheld = chain(
        40, "a", "@user2's account has been withheld in France.", "This Tweet from @a has been withheld in: FR"
    )
    answers = [
        v1("11", "10", "2", "to the quoted"),
        v2("23", "21", "2", "to a version"),
        v2("33", "30", "2", "to the old"),
    ]
    talk = chain(50, "my account has been withheld ?", "so it was")
    (archive / "a").write_bytes(lines_of([quoting, later, *both, *withheld, *answers, *talk]))
    assert convert(archive) == {
        "10": ["quoted", "to the quoted"], "22": ["edited twice", "to a version"], "30": ["old", "to the old"],
        "50": ["my account has been withheld ?", "so it was"],
    }  # fmt: skip
    assert counted(capsys)["withheld"] == 2


def test_a_damaged_member_costs_itself_alone(archive, capsys):
    """Of a tar one whose header is damaged and one that breaks off; of a zip one with a wrong check sum."""
    files = {f"{tweet[0]}.json": lines_of([v1(*tweet)]) for tweet in TWEETS[:4]}
    files |= {"broken.json": b'{"id_str": "70", "text": "xyz"}', "cut.json.bz2": bz2.compress(b"{}" * 9999)[:-9]}
    tar = packed(archive.parent / "x.tar", files).read_bytes()
    (archive / "x.tar").write_bytes(tar.replace(b"broken.json", b"br0ken.json"))  # the sum in the header is another
    with zipfile.ZipFile(archive / "x.zip", "w") as stored:  # not compressed, so that a byte of it can be another
        for name in ("12.json", "broken.json", "13.json"):
            stored.writestr(name, files[name])
    (archive / "x.zip").write_bytes((archive / "x.zip").read_bytes().replace(b'"xyz"', b'"xyy"'))
    assert convert(archive) == EXPECTED
    rows = counted(capsys)
    assert (rows["damaged members"], rows["truncated files"]) == (1, 2)


@cache
def tweet_archive(name):
    with folder() as here, mock.patch("time.time", return_value=1e9):
        return packed(
            here / name, {"a/1.json": FORMS["v1"], "2.json": json.dumps(v1(*TWEETS[0])), "b.tsv": FORMS["tsv"]}
        ).read_bytes()


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.zip"])
@given(st.data())
def test_damaged_archives_give_what_they_have(name, data):
    with folder() as here:
        (here / name).write_bytes(data.draw(edited(tweet_archive(name))))
        counts = Counter()
        for portion in portions([here / name], here / "x", form_of, counts):
            portion.spooled()
        assert [path.name for path in here.iterdir()] == [name]
        assert counts["lines"] >= 0


def test_an_archive_of_nothing_but_annotations_and_empty_files(archive, capsys):
    """The table is printed, and what was there is named."""
    packed(archive, dict.fromkeys((f"{number}.json" for number in range(1000)), b""))
    packed(archive, {"annotation.json": '{"rumour": 1}', "picture.png": b"\x89PNG\r\n\x1a\n\x00"})
    with pytest.raises(InputError, match="no conversations among 0 tweets; remedy"):
        convert(archive)
    rows, told = printed_by(capsys)
    assert (rows["lines read"], rows["JSON of another form"], rows["in files of another kind"]) == (4, 1, 2)
    assert "their keys: rumour" in told


def test_reasons_stand_in_the_order_of_the_rules(archive, capsys):
    texts = ("one two three", "@a two aaaaa aaaaaa", "see #this one", "这 不 是 英 文", "RT @a b", "word", "")
    rows = [*chain(1, *texts), v1("90", None, "1", "x") | {"id": "y", "id_str": "y"}]
    rows[3]["lang"] = None
    (archive / "a").write_bytes(lines_of(rows))
    with pytest.raises(InputError, match="no conversations"):
        convert(archive, "--clean", "--lang", "en", "--min-words", "2")
    table = capsys.readouterr().out
    reasons = [line[4:48].strip() for line in table.splitlines() if line.startswith("  - ")]
    assert reasons[:7] == [
        "without id", "without text", "retweet", "drop turns that are not en", "drop turns with @ # { }",
        "drop turns of one character", "drop turns of < 2 words",
    ]  # fmt: skip


def test_a_log_has_lines_in_place_of_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(progress_module, "EVERY", 0)
    with progress("read", 8, "B") as report:
        for _ in repeat(None, 2):
            report(4, "5 tweets")
    assert capsys.readouterr().err == "read: 50%, 5 tweets, 0 min left\nread: 100%, 5 tweets, 0 min left\n"


MORE_TIMES = {
    1546336800: "2019-01-01T10:00:00Z", 1546336800123: "2019-01-01T10:00:00Z", "1546336800": "2019-01-01T10:00:00Z",
    "Tue, 01 Jan 2019 10:00:00 +0000": "2019-01-01T10:00:00Z", "Tue, 1 Jan 2019 19:00:00 +0900": "2019-01-01T10:00:00Z",
    "Tue, 01 Jan 2019 10:00:00 GMT": "2019-01-01T10:00:00Z", "1 Jan 2019 10:00:00 GMT": "2019-01-01T10:00:00Z", 12: None,
}  # fmt: skip


def test_other_times(archive):
    rows = chain(60, *map(str, range(len(MORE_TIMES))))
    for row, sent in zip(rows, MORE_TIMES, strict=True):
        row["created_at"] = sent
    (archive / "a").write_bytes(lines_of(rows))
    convert(archive)
    (conversation,) = read_conversations(archive.parent / "out.jsonl")
    assert [turn.time for turn in conversation.turns] == list(MORE_TIMES.values())
