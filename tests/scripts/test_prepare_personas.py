"""PERSONAS=yes in scripts/prepare/*.sh: from a self-written release to a data-bin with profiles and faders."""

import json
import re
import subprocess

import pytest

from ..helpers.releases import packed
from ..preprocess.corpora.test_convai2 import SKI, TEA, episode, first_side, offered, second_side, with_candidates
from ..preprocess.corpora.test_realpersonachat import dialogue as japanese
from ..preprocess.corpora.test_realpersonachat import files as realpersonachat_files
from ..preprocess.corpora.test_synthetic_persona_chat import table
from .test_prepare import ROOT, bash, options, thread
from .test_prepare import prepare as prepare  # a fixture

SPLITS = ("train", "valid", "test")
SPOKEN = (
    "hello you {}",
    "hi , tea ?",
    "no , snow {} .",
    "why is it snow ?",
    "you ask me a lot {}",
    "tell me of your snow !",
)


def convai2_text(numbers) -> str:
    """Conversations of six turns from both sides: with 4 turns before them, turns 4 and 5 have 5 words and more.

    Replies have candidates.
    """
    spoken = [[text.format(number) for text in SPOKEN] for number in numbers]
    sides = [((TEA, SKI, first_side(each)), (SKI, TEA, second_side(each))) for each in spoken]
    return "".join(episode(own, partner, with_candidates(pairs)) for both in sides for own, partner, pairs in both)


@pytest.fixture
def own_gpt2(tmp_path):
    """Tokenizer files of bytes and a few merges."""
    tokenizers = pytest.importorskip("tokenizers")
    trained = tokenizers.ByteLevelBPETokenizer()
    trained.train_from_iterator([convai2_text(range(3))], vocab_size=280, show_progress=False)
    folder = tmp_path / "gpt2"
    folder.mkdir()
    trained.save_model(str(folder))
    return folder


@pytest.mark.slow
def test_convai2_to_a_data_bin_of_gpt2s_tokens(prepare, tmp_path, own_gpt2):
    from fairseq.data import Dictionary, data_utils

    from fairseq_latent.text.gpt2_tokenizer import load_gpt2

    text = tmp_path / "own.txt"
    text.write_text(convai2_text(range(6)))
    flags = {"PERSONAS": "yes", "GPT2": str(own_gpt2), "VALID": "1", "TEST": "2", "SAMPLES": "3"}
    prepare("convai2", text, whole=True, **flags)
    assert [command.split()[0] for command in prepare.commands] == ["convai2", "clean", "personas", "gpt2_bpe"]
    folder = tmp_path / "bin"
    gpt2, dictionary = load_gpt2(folder), Dictionary.load(str(folder / "dict.src.txt"))
    assert (folder / "dict.tgt.txt").read_bytes() == (folder / "dict.src.txt").read_bytes()
    fields = {"src": "src-tgt.src", "tgt": "src-tgt.tgt", "partner": "partner-None.partner", "own": "own-None.own"}
    for side, examples in (("train", 6), ("valid", 2), ("test", 4), ("test1", 3)):
        for name in ("fader", "own_fader"):
            faders = (folder / f"{side}.{name}").read_text().splitlines()
            assert len(faders) == examples and all(0 <= float(fader) <= 1 for fader in faders)
        ids = prepare.lines(f"{side.removesuffix('1')}.ids")
        assert (folder / f"{side}.ids").read_text().splitlines() == ids[:examples]
        for field, name in fields.items():
            found = data_utils.load_indexed_dataset(str(folder / f"{side}.{name}"), dictionary)
            rows = [gpt2.decode(dictionary.string(tokens)) for tokens in found]
            assert rows == prepare.lines(f"{side.removesuffix('1')}.{field}")[:examples]
        candidates = ["\t".join(offered(reply)) for reply in prepare.lines(f"{side.removesuffix('1')}.tgt")[:examples]]
        assert (folder / f"{side}.candidates").read_text().splitlines() == candidates
    for partner, own in zip(prepare.lines("train.partner"), prepare.lines("train.own"), strict=True):
        assert {partner, own} == {"i am a cook. <eot> i like tea.", "i ski."}

    prepare("convai2", text, whole=True, **flags)
    assert prepare.commands == []
    (own_gpt2 / "merges.txt").write_text("#version: 0.2\n")
    for other in ({}, {"PERSONA_FLAGS": "--min-turns 2"}, {"GPT2": ""}, {"PERSONAS": "no", "GPT2": ""}):
        refused = prepare("convai2", text, **flags | other)
        assert "was prepared with other options or input" in refused.stderr
        assert prepare.commands == []


def test_convai2_tests_on_the_official_validation_set(prepare, tmp_path):
    release = packed(tmp_path / "c.zip", {"train_own.txt": convai2_text(range(5)), "valid_own.txt": convai2_text([9])})
    prepare("convai2", release, FORM="own", PERSONAS="yes", VALID="1", PERSONA_FLAGS="--whole-test")
    assert [command.split()[0] for command in prepare.commands] == [
        "convai2",
        "convai2",
        "clean",
        "clean",
        "personas",
        "subwords",
    ]
    assert prepare.lines("test.ids") == [f"valid_own-1:{turn}" for turn in range(1, 6)]
    assert [len(prepare.lines(f"{side}.ids")) for side in SPLITS] == [8, 2, 5]
    found = options(prepare.text)
    assert (found["PERSONAS"], found["PERSONA_FLAGS"]) == ("yes", "--whole-test")
    prepare("convai2", release, FORM="own", PERSONAS="yes", VALID="1", PERSONA_FLAGS="--whole-test")
    assert [command.split()[0] for command in prepare.commands] == ["subwords"]  # it goes on where it stopped


def test_realpersonachat(prepare, tmp_path):
    pytest.importorskip("MeCab")
    spoken = [("pq"[turn % 2], f"今日は海がとてもきれいです{turn}", "NaT") for turn in range(6)]
    release = packed(tmp_path / "own.tar.xz", realpersonachat_files(japanese(2, *spoken)))
    flags = "--min-turns 1 --min-response-words 1"
    prepare("realpersonachat", release, PERSONAS="yes", VALID="0", TEST="1", PERSONA_FLAGS=flags)
    assert sorted(len(prepare.lines(f"{side}.ids")) for side in ("train", "test")) == [1, 5]
    assert options(prepare.text)["PERSONA_FLAGS"] == f"--filter none {flags}"
    assert "海 が 好き 。" in " ".join(prepare.lines("train.partner") + prepare.lines("test.own"))


@pytest.mark.parametrize("official", ["1", "0"])
def test_synthetic_persona_chat(prepare, tmp_path, official):
    talk = "\n".join(f"User {turn % 2 + 1}: you and i talk again {turn}" for turn in range(6))
    row = ("I ski.\nI am tall.", "I cook.", talk)
    tables = {f"own_{split}.csv": table(*[row] * count) for split, count in (("train", 3), ("valid", 2), ("test", 1))}
    release = packed(tmp_path / "own.tar.xz", tables)
    shares = {} if official == "1" else {"VALID": "2", "TEST": "1"}
    prepare("synthetic_persona_chat", release, PERSONAS="yes", OFFICIAL=official, **shares)
    assert [len(prepare.lines(f"{side}.ids")) for side in SPLITS] == [6, 4, 2]
    assert all(("own_valid-" in line) for line in prepare.lines("valid.ids")) or official == "0"
    plain = prepare("synthetic_persona_chat", release, OFFICIAL=official, DATA=f"{tmp_path}/plain", **shares)
    assert plain.returncode == 2 and not (tmp_path / "plain.text/train.partner").exists()


def chat(number, place):
    """A conversation of chitchat-dataset's form between two of three people who come again; 6 turns of 6 words and more."""
    people = ("p", "q", "r")
    texts = (f"you know I have a boat in {place}{at} ." for at in range(6))
    return {
        "start": "t",
        "messages": [
            [{"sender": people[(number + at % 2) % 3], "text": text, "timestamp": "t"}] for at, text in enumerate(texts)
        ],
    }


def test_chitchat_has_profiles_from_history(prepare, tmp_path):
    pytest.importorskip("lemminflect")
    (tmp_path / "own.json").write_text(json.dumps({f"c{number}": chat(number, f"Elm{number}x") for number in range(9)}))
    turns = [{"speaker": "pq"[at % 2], "text": f"you see my goat in Oak{at} ?"} for at in range(6)]
    (tmp_path / "test.jsonl").write_text(json.dumps({"id": "own", "turns": turns}) + "\n")
    flags = {"PERSONAS": "yes", "READ_FLAGS": f"--dataset {tmp_path}/own.json", "VALID": "2"}
    prepare("chitchat", TEST=f"{tmp_path}/test.jsonl", SELF_DESCRIPTION_FLAGS="--sentences 5", **flags)
    assert [command.split()[0] for command in prepare.commands] == [
        "chitchat",
        "clean",
        "clean",
        "self_descriptions",
        "self_descriptions",
        "personas",
        "subwords",
    ]
    found = options(prepare.text)
    assert (found["SELF_DESCRIPTIONS"], found["SELF_DESCRIPTION_FLAGS"]) == ("yes", "--sentences 5")
    valid = {line.split(":")[0] for line in prepare.lines("valid.ids")}
    assert len(valid) == 2 and {line.split(":")[0] for line in prepare.lines("test.ids")} == {"own"}
    for side in SPLITS:
        for field in ("partner", "own"):
            for identity, profile in zip(prepare.lines(f"{side}.ids"), prepare.lines(f"{side}.{field}"), strict=True):
                assert len(profile.split(" <eot> ")) == 5
                heard = {f"c{each}" for each in re.findall(r"Elm(\d)x", profile)}
                assert heard and not heard & (valid | {identity.split(":")[0]}) and "Oak" not in profile
    assert "speakers of conversations kept" in (prepare.text / "profiles.txt").read_text()
    prepare("chitchat", TEST=f"{tmp_path}/test.jsonl", SELF_DESCRIPTION_FLAGS="--sentences 5", **flags)
    assert [command.split()[0] for command in prepare.commands] == ["subwords"]


def test_tweets_with_profiles_are_split_by_conversation(prepare, tmp_path):
    pytest.importorskip("duckdb")
    packed(
        tmp_path / "archive", {"a.txt": "".join(thread(10 * n, 2018, "is it so", "I have a boat") for n in range(1, 3))}
    )
    refused = prepare("twitter_en", tmp_path / "archive", PERSONAS="yes", REFERENCES="3")
    assert "REFERENCES is not for PERSONAS=yes, which splits by conversation; remedy: " in refused.stderr


def test_other_corpora_have_no_profiles(prepare, tmp_path):
    (tmp_path / "c").write_text("1 your persona: i ski.\n2 hi\thello\n")
    refused = prepare("convai2", tmp_path / "c", PERSONAS="yes", VALID="0", TEST="0")
    assert "no conversation has two speakers and a profile of each; remedy: " in refused.stderr


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"PERSONAS": "1"}, "PERSONAS=1 is unknown; remedy: yes or no"),
        ({"GPT2": "x"}, "GPT2 is for persona data sets; remedy: "),
        ({"WORD_VECTORS": "x"}, "WORD_VECTORS is for persona data sets; remedy: "),
        ({"PERSONA_FLAGS": "--seed 2"}, "PERSONA_FLAGS is for persona data sets; remedy: "),
        ({"SELF_DESCRIPTIONS": "yes"}, "SELF_DESCRIPTIONS is for persona data sets; remedy: "),
        ({"PERSONAS": "yes", "SELF_DESCRIPTIONS": "1"}, "SELF_DESCRIPTIONS=1 is unknown; remedy: yes or no"),
        (
            {"PERSONAS": "yes", "SELF_DESCRIPTION_FLAGS": "--strict"},
            "SELF_DESCRIPTION_FLAGS without SELF_DESCRIPTIONS=yes",
        ),
        ({"PERSONAS": "yes", "SPLIT_FLAGS": "--seed 2"}, "SPLIT_FLAGS is not for PERSONAS=yes; remedy: "),
        ({"PERSONAS": "yes", "CONTEXT_TURNS": "2"}, "CONTEXT_TURNS is not for PERSONAS=yes; remedy: "),
        ({"PERSONAS": "yes", "GPT2": "x", "VECTOR_DIMENSION": "8"}, "VECTOR_DIMENSION is for SentencePiece; remedy: "),
        ({"PERSONAS": "yes", "GPT2": "nowhere"}, "GPT2=nowhere has no tokenizer files; remedy: "),
        ({"PERSONAS": "yes", "WORD_VECTORS": "x.txt"}, "WORD_VECTORS=x.txt: no such file; remedy: "),
    ],
)
def test_variables_that_do_not_fit_are_refused(tmp_path, variables, message):
    (tmp_path / "c.jsonl").write_text('{"id": "c", "turns": [{"speaker": "a", "text": "tea ?"}]}\n')
    refused = bash(ROOT / "scripts/prepare.sh", tmp_path / "c.jsonl", tmp_path / "bin", **variables)
    assert refused.returncode == 2 and message in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["c.jsonl"]


def test_data_sets_of_pairs_and_of_personas_have_folders_of_their_own(tmp_path):
    source = 'goes_to own; printf "%s %s" "$data" "$text"'
    script = f"set -euo pipefail; source {ROOT}/scripts/prepare/read.sh; ROOT={tmp_path}; {source}"
    for personas, name in (("", "own"), ("no", "own"), ("yes", "own_personas")):
        done = subprocess.run(
            ["env", f"PERSONAS={personas}", "bash", "-c", script], capture_output=True, text=True, check=True
        )
        assert done.stdout == f"{tmp_path}/data-bin/{name} {tmp_path}/data-bin/{name}.text"
