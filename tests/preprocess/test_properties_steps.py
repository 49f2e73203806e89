"""Property tests: whatever stands in conversations and in line-parallel text, every step ends in success or in one line."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess import check, clean, personas, self_descriptions, split, subwords, vectors
from preprocess.splitting.split_files import SPLITS

from ..helpers.hostile import altered, edited, folder, outcome, refused_or_written
from ..helpers.releases import packed
from .corpora.test_properties_readers import text_of

WORDS = (
    "hi , i like tea .",
    "do you ? &amp; more",
    "www.x.org it is <b> !",
    "no , i ski",
    "so you say <eot",
    "コーヒー は 好き",
)


def conversation(number: int) -> dict:
    """Six turns of two speakers with profiles."""
    turns = [
        {
            "speaker": "AB"[index % 2],
            "text": f"{text} {number}",
            "id": f"t{number}.{index}",
            "time": f"2020-01-0{index + 1}",
        }
        for index, text in enumerate(WORDS)
    ]
    return {
        "id": f"c{number}",
        "turns": turns,
        "personas": {"A": ["i like tea ."], "B": ["i ski .", "i cook ."]},
        "lang": "en",
    }


CONVERSATIONS = [conversation(number) for number in range(4)]
CONVERSATIONS[1]["id"] = "c0#part2"
CONVERSATIONS[2]["turns"][1]["candidates"] = ["yes .", "no ."]
HEADER = b'{"format": "conversations", "version": 1}\n'


def lines_of(records: list) -> bytes:
    return b"".join(text_of(record) + b"\n" for record in records)


FILES = altered(CONVERSATIONS).map(lambda records: lines_of(records if isinstance(records, list) else [records]))
FILES |= edited(HEADER + lines_of(CONVERSATIONS))
CLEAN = ((), ("--tweets",), ("--lang", "en"), ("--lang", "ja", "--remove-emoji"), ("--lower-case", "--min-words", "2"))
SPLIT = (
    ("--valid", "1", "--test", "1"), ("--valid", "0", "--test", "0.5", "--context-turns", "3"),
    ("--test-from", "2020-01-03", "--valid", "0"), ("--disjoint-speakers", "--valid", "1", "--test", "1"),
    ("--references", "1", "--test", "2", "--valid", "1"),
)  # fmt: skip
PERSONAS = (
    ("--valid", "1", "--test", "1"), ("--valid", "0", "--test", "1", "--min-turns", "1", "--min-response-words", "1"),
    ("--disjoint-profiles", "--valid", "0", "--test", "1"), ("--filter", "similarity", "--filter-own", "0.1"),
    ("--similarity", "f1", "--filter-test", "--whole-test", "--sides", "second", "--max-tokens", "12"),
)  # fmt: skip


@given(FILES, st.booleans())
def test_check(data, zipped):
    with folder() as here:
        path = here / f"x.jsonl{'.gz' if zipped else ''}"
        path.write_bytes(gzip.compress(data) if zipped else data)
        outcome(check.main, path)


@given(edited(gzip.compress(HEADER + lines_of(CONVERSATIONS), mtime=0)))
def test_check_of_damaged_gzip(data):
    with folder() as here:
        (here / "x.jsonl.gz").write_bytes(data)
        outcome(check.main, here / "x.jsonl.gz")
        found = outcome(clean.main, here / "x.jsonl.gz", "--out", here / "out.jsonl", "--workers", "1")
        refused_or_written(found, here / "out.jsonl")


@given(FILES, st.sampled_from(CLEAN))
def test_clean(data, flags):
    """What was cleaned, every later step accepts, or finds too small."""
    with folder() as here:
        (here / "x.jsonl").write_bytes(data)
        found = outcome(clean.main, here / "x.jsonl", "--out", here / "out.jsonl", "--workers", "1", *flags)
        refused_or_written(found, here / "out.jsonl")
        if not found.code:
            known = outcome(check.main, here / "out.jsonl")
            assert not known.code or "has no conversations" in known.err
            known = outcome(split.main, here / "out.jsonl", "--out", here / "split", "--workers", "1", *SPLIT[0])
            assert "preprocess.clean" not in known.err


@given(FILES, st.sampled_from(SPLIT))
def test_split(data, flags):
    with folder() as here:
        (here / "x.jsonl").write_bytes(data)
        found = outcome(split.main, here / "x.jsonl", "--out", here / "out", "--workers", "1", *flags)
        refused_or_written(found, here / "out")
        if not found.code:
            counts = {path.suffix: path.read_bytes().count(b"\n") for path in (here / "out").glob("train.*")}
            assert len(set(counts.values())) == 1, counts


@given(FILES, edited(b"t0.0\tt0.1\nt2.2\tt2.3\n"), edited(b"c0:1\nc2:3\n"), st.sampled_from(SPLITS))
def test_split_by_ids(data, turns, ids, side):
    with folder() as here:
        packed(here, {"x.jsonl": data, f"ids/{side}.turns": turns, f"ids/{side}.ids": ids})
        found = outcome(split.main, here / "x.jsonl", "--out", here / "out", "--ids", here / "ids", "--workers", "1")
        refused_or_written(found, here / "out")


@given(FILES, st.sampled_from(PERSONAS))
def test_personas(data, flags):
    with folder() as here:
        (here / "x.jsonl").write_bytes(data)
        found = outcome(personas.main, here / "x.jsonl", "--out", here / "out", "--workers", "1", *flags)
        refused_or_written(found, here / "out")


DESCRIPTIONS = (
    ("--replace",), (), ("--replace", "--valid", "1", "--test", "1", "--min-sentences", "1"),
    ("--replace", "--strict", "--questions", "--min-words", "1", "--min-sentences", "1", "--sentences", "1"),
)  # fmt: skip


@given(FILES, st.sampled_from(DESCRIPTIONS), edited(b"c0:1\nc2:3\n"), st.sampled_from(("", "--ids", "--history")))
def test_self_descriptions(data, flags, ids, source):
    pytest.importorskip("lemminflect")
    pytest.importorskip("MeCab")
    with folder() as here:
        packed(here, {"x.jsonl": data, "ids/train.ids": ids, "y.jsonl": lines_of(CONVERSATIONS)})
        given_by = {"": (), "--ids": ("--ids", here / "ids"), "--history": ("--history", here / "y.jsonl")}[source]
        flags = (*flags, "--few-speakers", *given_by, "--workers", "1")
        found = outcome(self_descriptions.main, here / "x.jsonl", "--out", here / "out.jsonl", *flags)
        refused_or_written(found, here / "out.jsonl")
        if not found.code:
            assert not outcome(check.main, here / "out.jsonl").code


VECTORS = b"4 2\ntea 1 0\ni 0.5 0.5\nski 0 1\nlike -1 0\n"
BINARY = b"2 2\ntea " + bytes(8) + b"\nski " + bytes(range(8)) + b"\n"


@given(edited(VECTORS) | edited(BINARY), st.sampled_from(("x.txt", "x.bin", "x.txt.gz")), st.booleans())
def test_word_vectors(data, name, cosine):
    kind = "keyword_cosine" if cosine else "embedding"
    with folder() as here:
        (here / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        (here / "x.jsonl").write_bytes(lines_of(CONVERSATIONS))
        flags = ("--similarity", kind, "--vectors", here / name, "--min-turns", "1", "--valid", "0", "--test", "1")
        found = outcome(personas.main, here / "x.jsonl", "--out", here / "out", "--workers", "1", *flags)
        refused_or_written(found, here / "out")


TEXT = ("i like tea <eot> do you ?\nno , i ski <eot> so you say\nhello\n", "i do\nwhy ?\ntea !\n")


def split_files(draw, *names: str) -> dict[str, bytes]:
    """Parallel files, one of them edited."""
    files = {f"d/{side}.{name}": TEXT[name == "tgt"].encode() for side in SPLITS for name in names}
    which = draw(st.sampled_from(sorted(files)))
    return files | {which: draw(edited(files[which]))}


@given(st.data())
def test_subwords(data):
    with folder() as here:
        packed(here, split_files(data.draw, "src", "tgt"))
        size = data.draw(st.sampled_from(("60", "30", "5", "1000")))
        found = outcome(subwords.main, here / "d", "--vocab-size", size, "--threads", "1")
        refused_or_written(found, here / "d/spm")
        if not found.code:
            model = (here / "d/spm/spm.model").read_bytes()
            outcome(
                subwords.main, "--decode", here / "d/spm", stdin=data.draw(edited(b"\xe2\x96\x81i \xe2\x96\x81tea\n"))
            )
            (here / "d/spm/spm.model").write_bytes(data.draw(edited(model)))
            again = outcome(
                subwords.main, here / "d", "--model", here / "d/spm", "--out", here / "again", "--threads", "1"
            )
            refused_or_written(again, here / "again")


@given(
    edited(b"".join(f"\u2581{word} 3\n".encode() for word in ["i", "like", "tea", "do", "you", "no", "ski"])), st.data()
)
def test_vectors(dictionary, data):
    pytest.importorskip("gensim")
    with folder() as here:
        packed(here, split_files(data.draw, "src", "tgt") | {"d/dict.txt": dictionary})
        flags = ("--dimension", "4", "--min-count", data.draw(st.sampled_from(("1", "5"))))
        found = outcome(vectors.main, here / "d", "--out", here / "out.txt", *flags)
        refused_or_written(found, here / "out.txt")
