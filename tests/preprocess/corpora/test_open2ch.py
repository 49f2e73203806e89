"""The open2ch reader, on self-written chains of replies."""

import gzip
import subprocess
import sys
from collections import Counter

import pytest

from fairseq_latent.errors import InputError
from preprocess.check import check
from preprocess.conversation import Conversation, Turn, read_conversations
from preprocess.corpora import __main__ as corpora
from preprocess.corpora import open2ch
from tests.helpers.releases import packed, real

DEV = "1\t雨だね\tそうだね\n0\t雨だね\tラーメン\n1\tお茶？ __BR__ 熱いよ\tはい\tどうぞ\n"
TEST = "1\t海か山か\t海\n0\t海か山か\t三時\n"


@pytest.fixture
def release(tmp_path):
    return packed(tmp_path / "ranking.zip", {"r/dev.tsv": DEV, "r/score_sample.txt": "0.5\n", "r/test.tsv": TEST})


def test_two_parties_take_turns(release):
    counts = Counter()
    conversations = list(open2ch.read_open2ch(release, counts=counts))
    assert conversations == [
        Conversation("open2ch-dev-1", (Turn("A", "雨だね"), Turn("B", "そうだね")), lang="ja", source="open2ch"),
        Conversation(
            "open2ch-dev-3",
            (Turn("A", "お茶？\n熱いよ"), Turn("B", "はい"), Turn("A", "どうぞ")),
            lang="ja",
            source="open2ch",
        ),
        Conversation("open2ch-test-1", (Turn("A", "海か山か"), Turn("B", "海")), lang="ja", source="open2ch"),
    ]
    assert counts == {"lines": 5, "negatives": 2, "turns": 7}


@pytest.mark.parametrize("compress", [None, gzip.compress])
def test_a_plain_file(tmp_path, compress):
    path = tmp_path / ("own.txt.gz" if compress else "own.txt")
    path.write_bytes(compress(TEST.encode()) if compress else TEST.encode())
    assert [conversation.id for conversation in open2ch.read_open2ch(path)] == ["open2ch-own-1"]


def test_lines_of_posts_alone(tmp_path):
    path = packed(tmp_path / "corpus.zip", {"c/board.tsv": "1\tそれはない\n雨だね\tそう\tうん\n"})
    conversations = list(open2ch.read_open2ch(path, labelled=False))
    assert [[turn.text for turn in each.turns] for each in conversations] == [
        ["1", "それはない"],
        ["雨だね", "そう", "うん"],
    ]


def test_one_split(release, tmp_path):
    assert [each.id for each in open2ch.read_open2ch(release, "test")] == ["open2ch-test-1"]
    with pytest.raises(
        InputError, match=r"ranking\.zip has no train\.tsv, but dev\.tsv, score_sample\.txt, test\.tsv; "
    ):
        list(open2ch.read_open2ch(release, "train"))
    (tmp_path / "dev.tsv").write_text(DEV)
    with pytest.raises(InputError, match=r"dev\.tsv has no test\.tsv, but dev\.tsv; remedy: "):
        list(open2ch.read_open2ch(tmp_path / "dev.tsv", "test"))


def test_command(release, tmp_path):
    out = tmp_path / "c.jsonl"
    arguments = [
        sys.executable,
        "-m",
        "preprocess.corpora",
        "open2ch",
        str(release),
        "--split",
        "dev",
        "--out",
        str(out),
    ]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"3 lines read, 1 negatives left out, 2 conversations, 5 turns kept -> {out}\n"
    assert [conversation.id for conversation in read_conversations(out)] == ["open2ch-dev-1", "open2ch-dev-3"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", " has no conversations; remedy: "),
        (b"0\ta\tb\n", " has no conversations; remedy: "),
        (b"1\ta\tb\n1\tc\n", ":2: 2 tab-separated field\\(s\\), not a label and two posts or more; remedy: "),
        (b"1\ta\tb\n\n", ":2: 1 tab-separated field\\(s\\), "),
        (b"1\ta\tb\nc\td\te\n", ":2: no label 0 or 1 before the posts; remedy: --unlabelled "),
        (b"1\ta\tb\n1\t\xff\tb\n", ":2: invalid UTF-8 at byte 2 of the line; remedy: "),
    ],
)
def test_other_files_are_refused(tmp_path, data, message):
    (tmp_path / "dev.tsv").write_bytes(data)
    with pytest.raises(InputError, match=f"dev.tsv{message}"):
        list(open2ch.read_open2ch(tmp_path / "dev.tsv"))


def test_a_single_post_is_no_conversation(tmp_path):
    (tmp_path / "dev.tsv").write_text("a\tb\nc\n")
    with pytest.raises(InputError, match=r"dev\.tsv:2: 1 tab-separated field\(s\), not two posts or more; remedy: "):
        list(open2ch.read_open2ch(tmp_path / "dev.tsv", labelled=False))


def test_a_cut_archive(release, tmp_path):
    release.write_bytes(release.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"ranking\.zip: damaged .*; remedy: "):
        corpora.main(["open2ch", str(release), "--out", str(tmp_path / "c.jsonl")])
    assert [path.name for path in tmp_path.iterdir()] == ["ranking.zip"]


def test_the_released_corpus(tmp_path, capsys):
    release = real("dialogue_ja/open2ch_ranking.zip")
    corpora.main(["open2ch", str(release), "--out", str(tmp_path / "c.jsonl")])
    assert capsys.readouterr().out.startswith(
        "40,000 lines read, 36,000 negatives left out, 4,000 conversations, 9,173 turns kept -> "
    )
    summary = check(str(tmp_path / "c.jsonl"))
    assert (summary.conversations, summary.speakers) == (4000, {2: 4000})
    assert len(list(open2ch.read_open2ch(release, "test"))) == 2000
