"""Tokens of GPT-2: known ids, ids of fairseq next to them, symbols whole and never made of typed text."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from fairseq_latent.errors import InputError
from fairseq_latent.text.gpt2_tokenizer import load_gpt2
from preprocess import gpt2_bpe

from ..helpers.releases import real

tokenizers = pytest.importorskip("tokenizers")

KNOWN = "Hello, my dog is cute", "15496 11 616 3290 318 13779"
SPLITS = ("train", "valid", "test")


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A folder of merges learnt from a few sentences, in the form of GPT-2's release."""
    trained = tokenizers.ByteLevelBPETokenizer()
    trained.train_from_iterator(
        ["hello my dog is cute .", "hello hello tea ?"] * 9, vocab_size=300, show_progress=False
    )
    folder = tmp_path_factory.mktemp("own")
    trained.save_model(str(folder))
    (folder / "vocab.json").rename(folder / "encoder.json")
    (folder / "merges.txt").rename(folder / "vocab.bpe")
    return folder


@pytest.fixture
def text(tmp_path):
    """Two examples a split, with profiles."""
    for split in SPLITS:
        (tmp_path / f"{split}.src").write_text("hello my dog <eot> tea ?\nis it <eou> cute <eot> hello\n")
        (tmp_path / f"{split}.tgt").write_text("hello\ntea ?\n")
        (tmp_path / f"{split}.partner").write_text("my dog . <eot> my tea\nhello\n")
        (tmp_path / f"{split}.own").write_text("my tea\nhello <eot> cute\n")
    return tmp_path


def encoded(gpt2, line):
    (tokens,) = gpt2.encode([line])
    return " ".join(tokens)


def other_forms(own, folder):
    """The same tokenizer in the forms of Hugging Face."""
    plain, whole = folder / "plain", folder / "whole"
    plain.mkdir(parents=True)
    whole.mkdir()
    shutil.copy(own / "encoder.json", plain / "vocab.json")
    shutil.copy(own / "vocab.bpe", plain / "merges.txt")
    tokenizer = gpt2_bpe.load_gpt2(own).tokenizer
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.save(str(whole / "tokenizer.json"))
    return plain, whole


def test_all_forms_of_the_files_are_one(own, tmp_path):
    plain, whole = map(gpt2_bpe.load_gpt2, other_forms(own, tmp_path))
    loaded = gpt2_bpe.load_gpt2(own)
    for line in ("hello my dog <eot> 海 \U0001f600", " x  y ", "", "<|endoftext|> tea", "x<eot>y <eot>"):
        assert encoded(loaded, line) == encoded(plain, line) == encoded(whole, line)
    assert (plain.size, whole.size) == (loaded.size, loaded.size + 1)


def test_a_japanese_gpt2_has_pieces(tmp_path):
    """Ids of a SentencePiece model, the unknown piece for what it has none for."""
    import sentencepiece

    lines = ["今日は寒いですね。", "猫が好きです。", "猫と犬、どちらが好きですか。"] * 5
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(tmp_path / "spiece"), vocab_size=24, minloglevel=2
    )
    loaded = gpt2_bpe.load_gpt2(tmp_path)
    model = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "spiece.model"))
    line = "猫が好きです <eot> 犬ですね"
    first, second = model.encode(["猫が好きです", "犬ですね"])
    assert encoded(loaded, line) == " ".join([*map(str, first), "<eot>", *map(str, second)])
    assert loaded.decode(encoded(loaded, line)) == line and loaded.size == len(model)
    assert str(model.unk_id()) in encoded(loaded, "海").split() and loaded.lengths(["猫"]) == [len(model.encode("猫"))]
    (tmp_path / "spiece.model").write_bytes(b"no model")
    with pytest.raises(InputError, match="no tokenizer of GPT-2's form"):
        gpt2_bpe.load_gpt2(tmp_path)


@pytest.mark.parametrize("released", [False, True])
def test_text_comes_back(own, released):
    loaded = gpt2_bpe.load_gpt2(real("gpt2_bpe") if released else own)
    for line in ("hello my dog <eot> is cute <eot> hello", "海が <eou> \U0001f600 !", "a \t b", "it's x<eot>y < eot >"):
        assert loaded.decode(encoded(loaded, line)) == line
    assert loaded.decode("<unk> <s>") == "<unk> <s>" and loaded.decode("") == ""


def test_a_pretrained_model_reads_japanese_without_the_spaces_of_mecab(own):
    gpt2 = gpt2_bpe.load_gpt2(own)
    parted, whole = "私 は hello tea が 好き です 。 <eot> はい", "私はhello teaが好きです。 <eot> はい"
    assert encoded(gpt2, parted) == encoded(gpt2, whole) and gpt2.decode(encoded(gpt2, parted)) == whole
    assert gpt2.lengths(["私 は"]) == gpt2.lengths(["私は"])


def test_a_turn_has_the_same_tokens_wherever_it_stands(own):
    loaded = gpt2_bpe.load_gpt2(own)
    alone = encoded(loaded, "hello")
    assert encoded(loaded, "my dog <eot> hello <eot> hello").endswith(f" <eot> {alone} <eot> {alone}")
    assert encoded(loaded, "my hello").split()[-1] != alone  # within a turn, a word has its space before it


def test_typed_symbols_are_text(own):
    loaded = gpt2_bpe.load_gpt2(own)
    assert not {"<eot>", "<eou>"} & set(encoded(loaded, "x<eot> <eot>y < eot > <EOT> <eot").split())
    assert encoded(loaded, "a <eot> b").split().count("<eot>") == 1


def test_folder_with_profiles_to_ids_of_fairseq(own, text, capsys):
    from fairseq.data import Dictionary

    gpt2_bpe.main([str(text), "--gpt2", str(own)])
    printed = capsys.readouterr().out
    assert re.search(r"^train\.partner +2 lines", printed, re.MULTILINE)
    out = text / "bpe"
    fields = {f"{split}.{field}" for split in SPLITS for field in ("src", "tgt", "partner", "own")}
    assert {path.name for path in out.iterdir()} == fields | {"dict.txt", "encoder.json", "vocab.bpe"}
    assert (out / "vocab.bpe").read_bytes() == (own / "vocab.bpe").read_bytes()
    loaded = gpt2_bpe.load_gpt2(out)
    dictionary = Dictionary.load(str(out / "dict.txt"))
    assert len(dictionary) == 4 + loaded.size + 2
    assert [dictionary.index(symbol) for symbol in ("<eot>", "<eou>")] == [loaded.size + 4, loaded.size + 5]
    for name in fields:
        for line, row in zip(
            (text / name).read_text().splitlines(), (out / name).read_text().splitlines(), strict=True
        ):
            ids = dictionary.encode_line(row, append_eos=False, add_if_not_exist=False).tolist()
            here = [index - 4 for index in ids]
            named = ["<eot>", "<eou>"]
            assert [str(index) if index < loaded.size else named[index - loaded.size] for index in here] == row.split()
            assert loaded.decode(row) == line
    counted = dict(line.split() for line in (out / "dict.txt").read_text().splitlines())
    words = [*(out / "train.src").read_text().split(), *(out / "train.tgt").read_text().split()]
    assert counted["<eot>"] == "2" and counted[words[0]] == str(words.count(words[0]))


def test_command_and_back(own, text):
    command = [sys.executable, "-m", "preprocess.gpt2_bpe"]
    done = subprocess.run([*command, str(text), "--gpt2", str(own)], capture_output=True, text=True)
    assert done.returncode == 0
    assert f"{gpt2_bpe.load_gpt2(own).size:,} tokens and 2 symbols -> {text}/bpe/dict.txt" in done.stdout
    tokens = (text / "bpe/test.src").read_text()
    back = subprocess.run([*command, "--decode", str(text / "bpe")], input=tokens, capture_output=True, text=True)
    assert back.stdout == (text / "test.src").read_text()


def test_wrong_input_is_refused_before_anything_is_written(own, text, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    with pytest.raises(InputError, match=r"broken has no encoder.json and vocab.bpe or .*; remedy: "):
        gpt2_bpe.main([str(text), "--gpt2", str(broken)])
    for name, content in (("encoder.json", "{"), ("vocab.bpe", "#version: 0.2\nx y\n")):
        for file in own.iterdir():
            shutil.copy(file, broken)
        (broken / name).write_text(content)
        with pytest.raises(InputError, match=r"encoder.json and .*: no tokenizer of GPT-2's form .*; remedy: "):
            gpt2_bpe.main([str(text), "--gpt2", str(broken)])
    vocabulary = json.loads((own / "encoder.json").read_text())
    (broken / "encoder.json").write_text(json.dumps({word: index + 1 for word, index in vocabulary.items()}))
    shutil.copy(own / "vocab.bpe", broken)
    with pytest.raises(InputError, match="ids are not 0, 1, 2"):
        gpt2_bpe.main([str(text), "--gpt2", str(broken)])
    (text / "test.own").write_text("one line\n")
    with pytest.raises(InputError, match=r"test.src has 2 lines, .*test.own 1"):
        gpt2_bpe.main([str(text), "--gpt2", str(own)])
    for arguments in ([], [str(text)], ["--gpt2", str(own)], [str(text), "--gpt2", str(own), "--decode", str(own)]):
        with pytest.raises(InputError, match="give either DIR and --gpt2 FOLDER, or --decode FOLDER"):
            gpt2_bpe.main(arguments)
    with pytest.raises(InputError, match="would overwrite"):
        gpt2_bpe.main([str(text), "--gpt2", str(own), "--out", str(text)])
    assert not (text / "bpe").exists()


def test_known_ids_of_gpt2():
    loaded = gpt2_bpe.load_gpt2(real("gpt2_bpe"))
    assert loaded.size == 50_257
    assert encoded(loaded, KNOWN[0]) == KNOWN[1]
    assert gpt2_bpe.dictionary_of(loaded)[-3:] == ["50256", "<eot>", "<eou>"]
    assert "50256" not in encoded(loaded, "<|endoftext|>").split()


def test_what_is_no_id_stays_as_it_is(own):
    loaded = gpt2_bpe.load_gpt2(own)
    word = next(loaded.encode(["tea"]))
    for odd in ("9" * 5000, str(2**40), str(loaded.size), "\u0661"):
        assert loaded.decode(" ".join([*word, odd])) == f"tea {odd}"


class PanicException(BaseException):
    """As pyo3 names what a Rust library raises where it stumbles: no Exception."""


@pytest.mark.parametrize("where", ["load", "encode", "decode"])
def test_a_library_that_stumbles_over_a_file_is_one_line(own, monkeypatch, where):
    def stumble(*_, **__):
        raise PanicException("range end index 7 out of range\nfor slice of length 6")

    gpt2 = load_gpt2(own)
    if where == "load":
        monkeypatch.setattr(tokenizers.models.BPE, "from_file", stumble)
    else:
        broken = SimpleNamespace(encode_batch_fast=stumble, decode=stumble)
        gpt2 = replace(gpt2, tokenizer=broken)
    run = {"load": lambda: load_gpt2(own), "encode": lambda: gpt2.ids(["a"]), "decode": lambda: gpt2.text([1])}[where]
    with pytest.raises(InputError, match="vocab.bpe: no tokenizer of GPT-2's form .range end index 7 out of range for"):
        run()
