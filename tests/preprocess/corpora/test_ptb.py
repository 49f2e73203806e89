"""`preprocess.corpora.ptb` and scripts/prepare/ptb.sh: counts, empty lines, unknown words, and the folder that comes out."""

import os
import subprocess
from pathlib import Path

import pytest

from fairseq_latent.errors import InputError
from preprocess.corpora import ptb
from tests.helpers import warm
from tests.helpers.releases import packed, real

ROOT = Path(__file__).parents[3]
FILES = {
    "ptb/train.txt": " no it was n't black monday \n but <unk> N years old \n\n the <unk> \n",
    "ptb/valid.txt": " the rain \n",
    "ptb/test.txt": " no rain \n black  monday \n",
    "__MACOSX/ptb/._test.txt": "\x00",
    "ptb/README": "nothing",
}


def test_sentences_come_with_one_space_and_without_empty_lines(tmp_path, capsys):
    found = ptb.read_ptb(packed(tmp_path / "ptb.zip", FILES))
    assert found == {
        "train": ["no it was n't black monday", "but <unk> N years old", "the <unk>"],
        "valid": ["the rain"],
        "test": ["no rain", "black monday"],
    }
    told = capsys.readouterr().err.splitlines()
    assert "train: 1 empty lines of 4 left out" in told
    assert [line for line in told if line.startswith("valid")] == [
        "valid: 1 sentences, Mikolov's Penn Treebank has 3,370: going on, with numbers that compare with no paper's"
    ]


@pytest.mark.parametrize("name", ["x.tar.gz", "folder"])
def test_archives_and_folders_with_the_released_names(tmp_path, name):
    files = {f"data/ptb.{split}.txt": "a b\n" for split in ("train", "valid", "test")}
    files |= {f"data/ptb.char.{split}.txt": "a _ b\n" for split in ("train", "valid", "test")}  # in Mikolov's archive
    assert ptb.read_ptb(packed(tmp_path / name, files)) == dict.fromkeys(("train", "valid", "test"), ["a b"])


def test_words_that_nothing_stands_for_are_refused():
    found = {"train": ["tea tea sea", "sea"], "valid": ["tea water"], "test": ["a b c d e"]}
    with pytest.raises(InputError) as error:
        ptb.check_unknown(found, "x", 0)
    assert str(error.value).startswith(
        "x: valid and test have 6 words that train lacks (a, b, c, d, e, ...), and train has no <unk>"
    )
    ptb.check_unknown({**found, "train": ["tea tea sea", "once"]}, "x", 2)  # `sea` and `once` become <unk>
    ptb.check_unknown({**found, "train": ["tea <unk>"]}, "x", 0)
    ptb.check_unknown({**found, "valid": ["tea"], "test": ["sea"]}, "x", 0)


@pytest.mark.parametrize("files, wrong", [
    ({"train.txt": "a\n", "valid.txt": "a\n"}, "has no .*test"),
    ({"train.txt": "a\n", "valid.txt": "\n", "test.txt": "a\n"}, "valid has no sentence"),
    ({"train.txt": "a\n", "b/train.txt": "a\n", "valid.txt": "a\n", "test.txt": "a\n"}, "several files for train"),
])  # fmt: skip
def test_what_is_no_such_corpus_is_refused(tmp_path, files, wrong):
    with pytest.raises(InputError, match=f"{wrong}.*; remedy: "):
        ptb.read_ptb(packed(tmp_path / "folder", files))


def test_the_real_counts_are_mikolovs(capsys):
    found = ptb.read_ptb(real("ptb/ptb.zip"))
    assert {split: len(lines) for split, lines in found.items()} == ptb.SENTENCES
    assert capsys.readouterr().err == ""
    assert len({word for line in found["train"] for word in line.split()}) == 9999  # 10,000 with the end of sentence


# --- the script ------------------------------------------------------------------------------------------------------


def prepare(tmp_path, archive, **variables) -> subprocess.CompletedProcess:
    path = warm.use()
    own = {"PATH": path, "FAIRSEQ_LATENT_NO_VENV": "1", "DATA": str(tmp_path / "bin")}
    return subprocess.run(
        ["bash", ROOT / "scripts/prepare/ptb.sh", archive],
        env=os.environ | own | variables,
        capture_output=True,
        text=True,
    )


def test_from_the_archive_to_data_bin(tmp_path):
    from fairseq.data import Dictionary, data_utils

    archive = packed(tmp_path / "ptb.zip", FILES)
    done = prepare(tmp_path, archive)
    assert done.returncode == 0, done.stderr
    assert "compare with no paper's" in done.stderr and "== 3 sentences for training" in done.stderr
    words = Dictionary.load(str(tmp_path / "bin/dict.txt"))
    sentences = data_utils.load_indexed_dataset(str(tmp_path / "bin/train"), words)
    assert len(sentences) == 3 and sentences[2].tolist() == [words.index("the"), words.unk(), words.eos()]
    assert "is prepared" in prepare(tmp_path, archive).stderr
    for other, variables in (
        (archive, {"MIN_COUNT": "2"}),
        (packed(tmp_path / "o.zip", {**FILES, "ptb/test.txt": "a\n"}), {}),
    ):
        refused = prepare(tmp_path, other, **variables)
        assert refused.returncode == 2 and "was prepared with other options or input; remedy: " in refused.stderr


def test_rare_words_become_unknown_where_asked(tmp_path):
    from fairseq.data import Dictionary

    archive = packed(tmp_path / "own", {"train.txt": "tea tea sea\n", "valid.txt": "water\n", "test.txt": "tea\n"})
    refused = prepare(tmp_path, archive)
    assert refused.returncode == 2 and "remedy: MIN_COUNT=2" in refused.stderr and not (tmp_path / "bin").exists()
    assert prepare(tmp_path, archive, MIN_COUNT="2").returncode == 0
    words = Dictionary.load(str(tmp_path / "bin/dict.txt"))
    assert words.index("tea") != words.unk() and words.index("sea") == words.unk()


def test_a_folder_of_others_is_left_alone(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/dict.txt").write_text("mine 1\n")
    refused = prepare(tmp_path, packed(tmp_path / "ptb.zip", FILES))
    assert refused.returncode == 2 and "does not say how it was prepared" in refused.stderr
    assert (tmp_path / "bin/dict.txt").read_text() == "mine 1\n"
