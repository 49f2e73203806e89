"""Word vectors: all forms of a file, all of its vectors, or one line that says what is wrong with it."""

import gzip
import struct

import pytest

from fairseq_latent.errors import InputError
from fairseq_latent.text.word_vectors import load_vectors

from ..helpers.releases import real

ROWS = {"sea": (1, 2, 3), "tea": (4, 5, 6.5)}
LINES = "".join(f"{word} {' '.join(map(str, row))}\n" for word, row in ROWS.items()).encode()
BINARY = [word.encode() + b" " + struct.pack("<3f", *row) for word, row in ROWS.items()]
FORMS = {
    "v.txt": b"2 3\n" + LINES,
    "glove.txt": LINES,
    "v.bin": b"2 3\n" + b"".join(row + b"\n" for row in BINARY),
    "google.bin": b"2 3\n" + b"".join(BINARY),
    "fasttext.vec": b"2 3\n" + LINES.replace(b"\n", b" \n"),
    "windows.txt": b"2 3\r\n" + LINES.replace(b"\n", b"\r\n"),
}


@pytest.mark.parametrize("name", FORMS)
def test_all_forms(tmp_path, name):
    (tmp_path / name).write_bytes(FORMS[name])
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(FORMS[name]))
    for path in (tmp_path / name, tmp_path / f"{name}.gz"):
        loaded = load_vectors(path)
        assert loaded.rows == {"sea": 0, "tea": 1}
        assert loaded.matrix.tolist() == [[1, 2, 3], [4, 5, 6.5]]
        assert len(loaded.sha256) == 64


def test_words_with_spaces_and_words_that_stand_there_twice(tmp_path):
    """As in GloVe 840B; the first line tells the width."""
    (tmp_path / "v.txt").write_text("sea 1 2\n. . . 3 4\nsea 5 6\n2 7 8\n", encoding="utf-8")
    loaded = load_vectors(tmp_path / "v.txt")
    assert loaded.rows == {"sea": 0, ". . .": 1, "2": 2}
    assert loaded.matrix.tolist() == [[1, 2], [3, 4], [7, 8]]


@pytest.mark.parametrize("said, found", [(1, 2), (3, 2)])
@pytest.mark.parametrize("name", FORMS)
def test_a_first_line_that_says_another_number(tmp_path, name, said, found):
    if not FORMS[name].startswith(b"2 3"):
        pytest.skip("it has no such line")
    (tmp_path / name).write_bytes(str(said).encode() + FORMS[name][1:])
    with pytest.raises(
        InputError, match=rf"has no vectors .*the first line says {said} vectors, there are {found}\); remedy: "
    ) as error:
        load_vectors(tmp_path / name)
    assert "\n" not in str(error.value)


def test_gensim_reads_the_same(tmp_path):
    models = pytest.importorskip("gensim.models")
    (tmp_path / "v.bin").write_bytes(FORMS["v.bin"])
    theirs = models.KeyedVectors.load_word2vec_format(str(tmp_path / "v.bin"), binary=True)
    ours = load_vectors(tmp_path / "v.bin")
    assert ours.rows == theirs.key_to_index and (ours.matrix == theirs.vectors).all()


@pytest.mark.parametrize(
    ("name", "content", "wrong"),
    [
        ("v.txt", b"hello\nsea 1 2\n", "line 1: a word and 0 numbers"),
        ("v.txt", b"sea 1 2\ntea 1\n", "line 2: a word and 1 numbers, not 2"),
        ("v.txt", b"1 3\nsea 1 2\n", "line 2: a word and 2 numbers, not 3"),
        ("v.txt", b"sea 1 2\ntea one 2\n", "line 2: could not convert"),
        ("v.txt", b"", "empty"),
        ("v.txt", b"0 2\n", "empty"),
        ("v.txt", b"1 2\nsea nan 2\n", "the vector of 'sea' is not finite"),
        ("v.txt", b"\xff 1 2\n", "utf-8"),
        ("v.txt", b"9" * 5000 + b" 2\nsea 1 2\n", "likely"),
        ("v.txt.gz", b"1 2\nsea 1 2\n", "gzip"),
        ("v.txt.gz", gzip.compress(b"1 2\nsea 1 2\n" * 50, mtime=0)[:-12], "ended before"),
        ("v.bin", b"2 2\nsea \x00\x00", "ends within the vector of word 1"),
        ("v.bin", b"1 2\nsea", "ends within a word"),
        ("v.bin", b"1 2\n" + b"a" * 20000, "a word has no end"),
        ("v.bin", b"1 999999999999\nsea 1", "likely"),
        ("v.bin", b"\xff\xfe\x00", "count width"),
    ],
)
def test_other_files_are_refused(tmp_path, name, content, wrong):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"v\.\S+ has no vectors.*; remedy: ") as error:
        load_vectors(tmp_path / name)
    assert wrong in str(error.value) and "\n" not in str(error.value)


def test_real_vectors_with_and_without_the_first_line(tmp_path):
    path = real("vectors/glove.6B.50d.top50k.w2v.txt.gz")
    first, rest = gzip.decompress(path.read_bytes()).split(b"\n", 1)
    (tmp_path / "glove.6B.50d.txt").write_bytes(rest)
    one, other = load_vectors(path), load_vectors(tmp_path / "glove.6B.50d.txt")
    assert first == b"50000 50" and one.matrix.shape == (50_000, 50)
    assert one.rows == other.rows and (one.matrix == other.matrix).all()
