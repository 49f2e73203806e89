"""Vectors: of the dictionary's pieces only, the same for the same seed, and the model starts from them."""

import os
import random
import subprocess
import sys

import pytest

from fairseq_latent.errors import InputError
from preprocess import vectors
from preprocess.sentencepiece_model import load_subwords, train_subwords
from preprocess.subwords import encode_folder

pytest.importorskip("gensim")

ANIMALS, TOOLS = ("cat", "dog", "cow", "pig"), ("saw", "axe", "nail", "drill")


def sentence(generator):
    """Animals stand between animals' words, tools between tools'."""
    words, place = generator.choice([(ANIMALS, "farm"), (TOOLS, "shed")])
    return f"the {generator.choice(words)} and the {generator.choice(words)} in the {place}"


@pytest.fixture(scope="module")
def spm(tmp_path_factory):
    """The folder that preprocess.subwords writes."""
    folder = tmp_path_factory.mktemp("text")
    generator = random.Random(1)
    for side in ("src", "tgt"):
        lines = [sentence(generator) for _ in range(600)]
        (folder / f"train.{side}").write_text("\n".join(lines) + "\n")
    learnt = train_subwords([folder / "train.src", folder / "train.tgt"], vocab_size=60)
    encode_folder(folder, folder / "spm", learnt, ["train.src", "train.tgt"], 1)
    return folder / "spm"


def learn(spm, out, *flags):
    vectors.main([str(spm), "--out", str(out), "--dimension", "16", *flags])
    return out.read_text("utf-8")


def rows(text):
    head, *lines = text.splitlines()
    found = {line.split(" ")[0]: [float(number) for number in line.split(" ")[1:]] for line in lines}
    assert head == f"{len(found)} 16"
    assert {len(row) for row in found.values()} == {16}
    return found


def test_the_model_starts_from_them(spm, tmp_path):
    import torch
    from fairseq.data import Dictionary

    from fairseq_latent.modules.embeddings import shared_embeddings

    found = rows(learn(spm, tmp_path / "vectors.txt"))
    dictionary = Dictionary.load(str(spm / "dict.txt"))
    table = shared_embeddings(dictionary, 16, str(tmp_path / "vectors.txt")).weight
    assert set(found) < set(dictionary.symbols[dictionary.nspecial :])
    for piece, numbers in found.items():
        torch.testing.assert_close(table[dictionary.index(piece)], torch.tensor(numbers))
    assert not table[dictionary.pad()].any()


def test_only_pieces_of_the_dictionary_that_are_frequent_enough(spm, tmp_path):
    (tmp_path / "spm").mkdir()
    for name in ("dict.txt", "train.tgt"):
        (tmp_path / "spm" / name).write_bytes((spm / name).read_bytes())
    text = (spm / "train.src").read_text("utf-8")
    rare = "▁<eot>"  # in every dictionary, and not in this text
    (tmp_path / "spm" / "train.src").write_text(text + "<unk> stranger\n" * 50 + f"{rare}\n" * 4, "utf-8")
    found = rows(learn(tmp_path / "spm", tmp_path / "a"))
    assert not {"<unk>", "stranger", rare} & set(found)
    assert rare in rows(learn(tmp_path / "spm", tmp_path / "b", "--min-count", "4"))


def test_words_in_the_same_places_are_near():
    generator = random.Random(1)
    found = vectors.learn_vectors([sentence(generator) for _ in range(2000)], dimension=16)

    def cosine(one, other):
        a, b = found[one], found[other]
        return a @ b / (a @ a * (b @ b)) ** 0.5

    inside = [cosine(a, b) for group in (ANIMALS, TOOLS) for a in group for b in group if a < b]
    across = [cosine(a, b) for a in ANIMALS for b in TOOLS]
    assert min(inside) > max(across)


def test_vectors_of_words_are_what_p_distance_reads(spm, tmp_path):
    from fairseq_latent.text.word_vectors import load_vectors

    for side in ("src", "tgt"):
        text = (spm.parent / f"train.{side}").read_text("utf-8")
        (tmp_path / f"train.{side}").write_text(text.replace("the cat", "The CAT, <eot>"), "utf-8")
    (tmp_path / "train.partner").write_text("i am a zebra <eot> bye\n" * 9, "utf-8")
    vectors.main([str(tmp_path), "--words", "--out", str(tmp_path / "words.txt"), "--dimension", "16"])
    found = load_vectors(tmp_path / "words.txt")
    assert set(found.rows) == {"the", "and", "in", "farm", "shed", *ANIMALS, *TOOLS}  # a profile counts once
    assert found.matrix.shape == (len(found.rows), 16)


def test_same_seed_same_bytes(spm, tmp_path):
    first = learn(spm, tmp_path / "1", "--sample", "500")
    assert learn(spm, tmp_path / "2", "--sample", "500", "--seed", "2") != first
    command = [sys.executable, "-m", "preprocess.vectors", str(spm), "--out", str(tmp_path / "3"), "--dimension", "16"]
    done = subprocess.run(
        [*command, "--sample", "500"], capture_output=True, text=True, env=os.environ | {"PYTHONHASHSEED": "7"}
    )
    assert done.returncode == 0, done.stderr
    assert "pieces have a vector, from 500 lines ->" in done.stdout
    assert (tmp_path / "3").read_text("utf-8") == first


def test_lines_are_those_that_pieces_were_learnt_from(spm, tmp_path, monkeypatch):
    from preprocess import sentencepiece_model

    drawn = []
    for module in (sentencepiece_model, vectors):
        sample_lines = module.sample_lines
        monkeypatch.setattr(
            module, "sample_lines", lambda *given, draw=sample_lines: drawn.append(draw(*given)) or drawn[-1]
        )
    train_subwords([spm.parent / f"train.{side}" for side in ("src", "tgt")], 60, sample=100, seed=3)
    learn(spm, tmp_path / "vectors.txt", "--sample", "100", "--seed", "3")
    raw, encoded = drawn
    learnt = load_subwords(spm)
    assert [learnt.decode(line) for line in encoded] == raw


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--min-count", "100000"], "no piece stands 100000 times in the text; remedy: more text, or a smaller"),
        (["--out", "."], "not a regular file; remedy"),
    ],
)
def test_what_cannot_be_learnt_is_one_line(spm, tmp_path, monkeypatch, flags, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=words):
        learn(spm, tmp_path / "vectors.txt", *flags)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_text_is_refused(tmp_path):
    with pytest.raises(InputError, match="has no dict.txt; remedy: name the folder"):
        learn(tmp_path, tmp_path / "vectors.txt")
    (tmp_path / "dict.txt").write_text("a 1\n")
    for side in ("src", "tgt"):
        (tmp_path / f"train.{side}").write_text("\n\n")
    with pytest.raises(InputError, match="nothing but empty lines; remedy"):
        learn(tmp_path, tmp_path / "vectors.txt")
    (tmp_path / "train.src").write_text("b b b b b\n")
    with pytest.raises(InputError, match="the text has no piece of dict.txt; remedy"):
        learn(tmp_path, tmp_path / "vectors.txt")


def test_without_gensim_the_extra_is_named(spm, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gensim.models", None)
    with pytest.raises(InputError, match=r"gensim is not installed; remedy: pip install 'fairseq_latent\[vectors\]'"):
        learn(spm, tmp_path / "vectors.txt")
