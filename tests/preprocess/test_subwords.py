"""Subwords: SentencePiece and fairseq agree on every id, symbols stay whole, the same seed gives the same bytes."""

import os
import random
import subprocess
import sys
from collections import Counter

import pytest

from fairseq_latent.errors import InputError
from fairseq_latent.symbols import RESERVED, USER_SYMBOLS
from preprocess import sentencepiece_model, subwords
from preprocess.sentencepiece_model import load_subwords, train_subwords

WORDS = ["".join(random.Random(seed).choices("abcdefghijklm", k=seed % 6 + 1)) for seed in range(80)]


def sentence(generator):
    turns = [" ".join(generator.choices(WORDS, k=generator.randint(1, 7))) for _ in range(3)]
    return " <eot> ".join(turns) + generator.choice(["", " !", " 日本", " it <eou> is", " \U0001f600"])


def write_text(folder, split, count, seed):
    folder.mkdir(exist_ok=True)
    generator = random.Random(seed)
    for side in ("src", "tgt"):
        lines = [sentence(generator) for _ in range(count)]
        (folder / f"{split}.{side}").write_text("\n".join(lines) + "\n", "utf-8")


@pytest.fixture
def text(tmp_path):
    folder = tmp_path / "text"
    for seed, split in enumerate(("train", "valid", "test")):
        write_text(folder, split, 300 if split == "train" else 20, seed)
    return folder


def command(*arguments, **more):
    full = [sys.executable, "-m", "preprocess.subwords", *map(str, arguments)]
    return subprocess.run(full, capture_output=True, text=True, encoding="utf-8", **more)


@pytest.fixture
def spm(text):
    subwords.main([str(text), "--vocab-size", "200"])
    return text / "spm"


def test_fairseq_ids_are_sentencepiece_ids_and_no_training_token_is_unknown(text, spm):
    from fairseq.data import Dictionary

    dictionary = Dictionary.load(str(spm / "dict.txt"))
    learnt = load_subwords(spm)
    assert dictionary.symbols == learnt.pieces
    assert (dictionary.bos(), dictionary.pad(), dictionary.eos(), dictionary.unk()) == (0, 1, 2, 3)
    for side in ("src", "tgt"):
        raw = (text / f"train.{side}").read_text("utf-8").split("\n")[:-1]
        encoded = (spm / f"train.{side}").read_text("utf-8").split("\n")[:-1]
        for line, row in zip(raw, encoded, strict=True):
            ids = dictionary.encode_line(row, append_eos=False, add_if_not_exist=False).tolist()
            assert ids == learnt.processor.encode(line)
            assert dictionary.unk() not in ids
            assert learnt.decode(row) == line


def test_large_counts_are_thinned_for_sentencepiece_alone(text, spm, monkeypatch):
    """Its memory grows with them; the dictionary has them all."""
    assert sentencepiece_model.thinned(Counter(a=6, b=3, c=1), 10) == Counter(a=6, b=3, c=1)
    assert sentencepiece_model.thinned(Counter(a=60_000, b=30_000, c=1), 90) == Counter(a=59, b=29, c=1)
    monkeypatch.setattr(sentencepiece_model, "COUNTED", 100)
    subwords.main([str(text), "--vocab-size", "150"])
    test_dictionary_counts_the_training_text(text, spm)


def test_dictionary_counts_the_training_text(text, spm):
    counts = Counter()
    for side in ("src", "tgt"):
        counts.update((spm / f"train.{side}").read_text("utf-8").split())
    rows = [line.rsplit(" ", 1) for line in (spm / "dict.txt").read_text("utf-8").split("\n")[:-1]]
    assert {piece: int(count) for piece, count in rows if count != "0"} == counts


def test_symbols_are_one_piece(spm):
    learnt = load_subwords(spm)
    assert learnt.pieces[:6] == [*RESERVED, *(f"▁{symbol}" for symbol in USER_SYMBOLS)]
    (ids,) = learnt.encode(["abc <eot> def <eou> <eot> g"])
    named = [learnt.pieces[index] for index in ids]
    assert [piece for piece in named if "<" in piece] == ["▁<eot>", "▁<eou>", "▁<eot>"]


def test_symbols_of_fairseq_in_the_text_are_unknown_not_fairseqs(spm, tmp_path):
    (tmp_path / "odd").write_text("a <s> </s> <pad> <unk>\n")
    with (tmp_path / "out").open("wb") as out:
        counts = subwords.encode_file(load_subwords(spm), tmp_path / "odd", out)
    written = (tmp_path / "out").read_text("utf-8").split()
    assert not {"<s>", "</s>", "<pad>"} & set(written)
    assert counts["unknown"] == written.count("<unk>") > 0
    assert counts["pieces"] == len(written)


def test_learning_survives_text_full_of_reserved_symbols(tmp_path):
    (tmp_path / "text").write_text("x<s>y z</s> <unk> q<pad> <s>\n" * 200)
    learnt = train_subwords([tmp_path / "text"], vocab_size=60)
    assert len(set(learnt.pieces)) == len(learnt.pieces)


def test_same_seed_same_bytes(text):
    files = [text / "train.src", text / "train.tgt"]
    first, again, other = (train_subwords(files, 200, sample=200, seed=seed) for seed in (1, 1, 2))
    assert (first.model, first.dictionary) == (again.model, again.dictionary)
    assert first.dictionary != other.dictionary


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_threads_never_change_the_encoding(text, spm, threads):
    learnt = load_subwords(spm)
    lines = (text / "train.src").read_text("utf-8").splitlines()
    assert list(learnt.encode(lines, threads)) == [learnt.processor.encode(line) for line in lines]


def test_batches_do_not_show(text, spm, monkeypatch):
    learnt = load_subwords(spm)
    lines = ["", *(text / "valid.src").read_text("utf-8").splitlines(), ""]
    whole = list(learnt.encode(lines))
    monkeypatch.setattr(sentencepiece_model, "BATCH", 3)
    assert list(learnt.encode(lines)) == whole
    assert whole[0] == whole[-1] == []


def test_command_learns_encodes_and_says_when_the_text_is_small(text):
    done = command(text, "--vocab-size", "5000")
    assert done.returncode == 0
    assert "the text supports only" in done.stdout
    names = {f"{split}.{side}" for split in ("train", "valid", "test") for side in ("src", "tgt")}
    assert {path.name for path in (text / "spm").iterdir()} == names | {"spm.model", "dict.txt"}
    latin = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    decoded = command("--decode", text / "spm", input=(text / "spm" / "test.tgt").read_text("utf-8"), env=latin)
    assert decoded.stdout == (text / "test.tgt").read_text("utf-8")


def test_other_text_is_encoded_with_the_same_pieces(text, spm, tmp_path):
    write_text(tmp_path / "more", "test", 10, seed=9)
    subwords.main([str(tmp_path / "more"), "--model", str(spm)])
    assert (tmp_path / "more/spm/dict.txt").read_bytes() == (spm / "dict.txt").read_bytes()
    assert (tmp_path / "more/spm/spm.model").read_bytes() == (spm / "spm.model").read_bytes()
    assert len((tmp_path / "more/spm/test.src").read_text("utf-8").splitlines()) == 10


def test_wrong_text_is_refused_before_anything_is_written(text):
    cut = (text / "valid.tgt").read_text("utf-8").splitlines(keepends=True)[:-1]
    for content, words in (
        ("".join(cut).encode(), "valid.src has 20 lines, "),
        (b"", "valid.tgt is empty"),
        (b"a\n\xff\n", "valid.tgt:2: invalid UTF-8"),
    ):
        (text / "valid.tgt").write_bytes(content)
        done = command(text, "--vocab-size", "200")
        assert done.returncode == 2
        assert words in done.stderr
        assert "remedy" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (text / "spm").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--vocab-size", "8"], r"is too small .*; remedy: --vocab-size \d+ or more, or --character-\S+ 0.9995$"),
        (["--vocab-size", "8", "--character-coverage", "0.9995"], r"remedy: --vocab-size \d+ or more$"),
        (["--out", "."], "would overwrite the text"),
        (["--model", "."], "spm.model"),
    ],
)
def test_wrong_flags_are_refused(text, monkeypatch, arguments, words):
    monkeypatch.chdir(text)
    with pytest.raises((InputError, FileNotFoundError), match=words):
        subwords.main([".", *arguments])


def test_a_coverage_that_sentencepiece_does_not_take_is_refused(text, capsys):
    with pytest.raises(SystemExit):
        subwords.main([str(text), "--character-coverage", "0.97"])
    assert "0.97 is not from 0.98 to 1" in capsys.readouterr().err
    subwords.main([str(text), "--vocab-size", "200", "--character-coverage", "0.98"])


def test_dictionary_of_another_model_is_refused(spm):
    rows = (spm / "dict.txt").read_text("utf-8").split("\n")
    (spm / "dict.txt").write_text("\n".join([rows[1], rows[0], *rows[2:]]), "utf-8")
    with pytest.raises(InputError, match="does not belong to"):
        load_subwords(spm)
    (spm / "spm.model").write_bytes(b"nothing")
    with pytest.raises(InputError, match="no SentencePiece model"):
        load_subwords(spm)


def test_stopped_in_the_middle_leaves_the_old_files(text, spm, monkeypatch):
    old = {path.name: path.read_bytes() for path in spm.iterdir()}
    encode = subwords.encode_file

    def stopped(learnt, path, out, threads):
        if path.name == "valid.tgt":
            raise KeyboardInterrupt
        return encode(learnt, path, out, threads)

    monkeypatch.setattr(subwords, "encode_file", stopped)
    with pytest.raises(KeyboardInterrupt):
        subwords.main([str(text), "--vocab-size", "100"])
    assert {path.name: path.read_bytes() for path in spm.iterdir()} == old
