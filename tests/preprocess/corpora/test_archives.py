"""Archives: the same files from every kind, and no damage that goes unnoticed."""

import bz2
import gzip
import lzma
import re
import zipfile

import pytest

from fairseq_latent.errors import InputError
from preprocess.corpora.archives import members
from tests.helpers.releases import packed

KINDS = ("corpus", "corpus.zip", "corpus.tar", "corpus.tar.gz", "corpus.tar.xz", "corpus.tar.bz2")
FILES = {"data/a.txt": "one\ntwö\n", "data/b.txt": "three\r\nfour", "data/c.json": '{"k": [1]}', "README": "no\n"}


def texts(path, pattern="*.txt", **arguments):
    return {member.name: [line for _, line in member.lines()] for member in members(path, pattern, **arguments)}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_the_same_files(tmp_path, kind):
    path = packed(tmp_path / kind, FILES)
    assert texts(path) == {"data/a.txt": ["one", "twö"], "data/b.txt": ["three", "four"]}
    assert list(texts(path, "data/b.txt")) == ["data/b.txt"]
    (member,) = members(path, "*.json")
    assert (member.stem, member.where) == ("c", f"{path}/data/c.json")


@pytest.mark.parametrize("kind", KINDS)
def test_json(tmp_path, kind):
    for member in members(packed(tmp_path / kind, FILES), "*.json"):
        assert member.json() == {"k": [1]}


@pytest.mark.parametrize(("ending", "compress"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)])
def test_a_plain_file_stands_for_itself(tmp_path, ending, compress):
    path = tmp_path / f"dev.tsv{ending}"
    path.write_bytes(compress("\ufeffone\ntwö\n".encode()))
    (member,) = members(path, "*.txt")
    assert list(member.lines()) == [(1, "one"), (2, "twö")]
    assert member.text() == "one\ntwö\n"
    assert (member.stem, member.where) == ("dev", str(path))


def test_a_path_as_somebody_types_it(tmp_path, monkeypatch):
    packed(tmp_path / "d", {".own.txt": "one"})
    monkeypatch.chdir(tmp_path)
    assert texts("./d//.own.txt", "*.tsv") == {".own.txt": ["one"]}


def test_hidden_files_are_passed_over(tmp_path):
    path = packed(tmp_path / "mac.zip", FILES | {"__MACOSX/data/._a.txt": b"\xff", "data/.b.txt": b"\xff"})
    assert len(texts(path)) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_there_is_said_where_a_file_is_missing(tmp_path, kind):
    path = packed(tmp_path / kind, {f"{number}.csv": "" for number in range(9)})
    with pytest.raises(InputError, match=r"has no x\.txt, but 0\.csv, 1\.csv, .*, \.\.\.; remedy: "):
        texts(path, "x.txt")
    with pytest.raises(InputError, match=r"a\.txt has no dev\.tsv, but a\.txt; remedy: "):
        texts(packed(tmp_path / "plain", {"a.txt": ""}) / "a.txt", "*.tsv", plain="dev.tsv")


def test_empty_archives(tmp_path):
    for kind in ("none.zip", "none.tar", "none.tar.xz"):
        with pytest.raises(InputError, match="has no .*, but no files; remedy: "):
            texts(packed(tmp_path / kind, {}))
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="but no files"):
        texts(tmp_path / "folder")


@pytest.mark.parametrize("kind", KINDS[1:])
def test_a_cut_archive_is_refused_unless_all_of_it_was_read(tmp_path, kind):
    """Every length: one line, or (where only the filling of the end is gone) the whole content."""
    path = packed(tmp_path / kind, FILES)
    whole, data = texts(path), path.read_bytes()
    refused = 0
    for size in range(0, len(data), 1 if len(data) < 2000 else 37):
        path.write_bytes(data[:size])
        try:
            assert texts(path) == whole
        except InputError as error:
            refused += 1
            assert re.fullmatch(rf"{re.escape(str(path))}\S*: .*; remedy: .*", str(error))
    assert refused > 5


@pytest.mark.parametrize(("ending", "compress"), [("gz", gzip.compress), ("xz", lzma.compress), ("bz2", bz2.compress)])
def test_a_cut_file_is_refused(tmp_path, ending, compress):
    path = tmp_path / f"a.txt.{ending}"
    data = compress(b"one\ntwo\n" * 20)
    for size in range(1, len(data)):
        path.write_bytes(data[:size])
        for read in (lambda member: list(member.lines()), lambda member: member.text()):
            with pytest.raises(InputError, match=rf"a\.txt\.{ending}(:\d+)?: damaged .*; remedy: "):
                read(*members(path, "*"))


@pytest.mark.parametrize("kind", ["a.zip", "a.tar.xz", "a.tgz", "a.txt.gz"])
def test_files_that_are_not_what_their_names_say(tmp_path, kind):
    (tmp_path / kind).write_text("only text\n")
    with pytest.raises(InputError, match=rf"{re.escape(kind)}(:1)?: damaged or not what its name says \([^\n]*\); "):
        texts(tmp_path / kind)


def test_flipped_bits(tmp_path):
    path = packed(tmp_path / "a.zip", {"a.txt": "".join(f"{number}\n" for number in range(999))})
    data = bytearray(path.read_bytes())
    data[200] ^= 255
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.zip/a\.txt:\d+: damaged"):
        texts(path)


def test_encrypted_zip(tmp_path):
    path = packed(tmp_path / "a.zip", FILES)
    with zipfile.ZipFile(path) as archive:
        offsets = [info.header_offset for info in archive.infolist()]
        start = archive.start_dir
    data = bytearray(path.read_bytes())
    data[offsets[0] + 6] |= 1  # the flag "encrypted", in the file's own header and in the directory
    data[start + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.zip/data/a\.txt:1: damaged .*password.*; remedy: "):
        texts(path)


@pytest.mark.parametrize("kind", ["a", "a.zip", "a.tar.xz"])
def test_errors_in_a_text_name_its_line(tmp_path, kind):
    path = packed(
        tmp_path / kind, {"d/x.json": b'{"a":\n  1,\n  "\xff": 2}', "d/y.json": '{"a":\n  1,\n}', "z.json": ""}
    )
    for name, message in (
        ("x.json", r"d/x\.json:3: invalid UTF-8; remedy: "),
        ("y.json", r"d/y\.json:3: no JSON \(.*\); remedy: "),
        ("z.json", r"z\.json:1: no JSON \(.*\); remedy: "),
    ):
        with pytest.raises(InputError, match=message):
            [member.json() for member in members(path, name)]
    with pytest.raises(InputError, match=r"d/x\.json:3: invalid UTF-8 at byte 3 of the line; remedy: "):
        texts(path, "x.json")


def test_deep_json(tmp_path):
    path = packed(tmp_path / "d", {"x.json": "[" * 100_000})
    with pytest.raises(InputError, match="no JSON"):
        [member.json() for member in members(path, "x.json")]


def test_no_such_file(tmp_path):
    for name in ("a.zip", "a.tar.xz", "a.txt"):
        with pytest.raises(FileNotFoundError):
            texts(tmp_path / name)


def test_a_file_without_a_name_is_damage(tmp_path):
    path = packed(tmp_path / "a.zip", FILES)
    data = path.read_bytes()
    at = data.rindex(b"PK\x01\x02")  # the last entry of the directory: its name's length, and the name
    size = int.from_bytes(data[at + 28 : at + 30], "little")
    nameless = data[: at + 28] + b"\0\0" + data[at + 30 : at + 46] + data[at + 46 + size :]
    end = nameless.rindex(b"PK\x05\x06")
    length = int.from_bytes(nameless[end + 12 : end + 16], "little") - size
    path.write_bytes(nameless[: end + 12] + length.to_bytes(4, "little") + nameless[end + 16 :])
    with zipfile.ZipFile(path) as archive:
        assert "" in archive.namelist()
    with pytest.raises(InputError, match=r"a\.zip: damaged .*without a name.*; remedy: "):
        list(members(path, "*.txt"))
