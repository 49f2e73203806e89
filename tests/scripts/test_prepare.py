"""scripts/prepare/*.sh: an archive of each corpus -> data-bin, on small self-written releases; what they refuse."""

import itertools
import json
import os
import re
import subprocess
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from ..helpers import warm
from ..helpers.corpus import pairs
from ..helpers.releases import packed, real
from ..preprocess.corpora.test_chitchat import OWN as CHITCHAT
from ..preprocess.corpora.test_convai2 import SKI, SPOKEN, TEA, episode, first_side, second_side
from ..preprocess.corpora.test_dailydialog import OWN as DAILYDIALOG
from ..preprocess.corpora.test_open2ch import DEV, TEST
from ..preprocess.corpora.test_realpersonachat import files as realpersonachat_files

ROOT = Path(__file__).parents[2]
SCRIPTS = {path.stem: path for path in (ROOT / "scripts/prepare").glob("*.sh") if path.stem != "read"}
PATH = warm.use()
OLD_OPTIONS = ("VOCABULARY", "CONTEXT_TURNS", "MAX_WORDS", "VALID", "TEST", "SEED", "COVERAGE", "SAMPLES", "INPUT")


def bash(script, *arguments, **variables) -> subprocess.CompletedProcess:
    """Run a script with this Python's environment."""
    environment = os.environ | {"PATH": PATH, "FAIRSEQ_LATENT_NO_VENV": "1"} | variables
    return subprocess.run(["bash", *map(str, (script, *arguments))], env=environment, capture_output=True, text=True)


@pytest.fixture
def prepare(tmp_path):
    """Run the script of a corpus into tmp_path/bin, as far as the split unless `whole`; `.commands`: what it ran then."""
    program = tmp_path / "stub/python"
    program.parent.mkdir()
    program.write_text(
        f'#!/usr/bin/env bash\necho "$@" >>{tmp_path}/ran\n[[ $2 != preprocess.subwords || -n ${{WHOLE:-}} ]] || exit 2\n'
        f'exec {warm.python()} "$@"\n'
    )
    program.chmod(0o755)

    def run(corpus, *archives, whole=False, **variables):
        (tmp_path / "ran").unlink(missing_ok=True)
        own = {"PATH": f"{program.parent}{os.pathsep}{PATH}", "DATA": f"{tmp_path}/bin", "WHOLE": "1" if whole else ""}
        done = bash(SCRIPTS[corpus], *archives, **own | variables)
        ran = (tmp_path / "ran").read_text().splitlines() if (tmp_path / "ran").exists() else []
        ran = [line for line in ran if line.startswith("-m preprocess.")]
        run.commands = [line.removeprefix("-m preprocess.").removeprefix("corpora ") for line in ran]
        print(done.stdout, done.stderr)
        assert done.returncode == (0 if whole else 2)
        return done

    run.text = tmp_path / "bin.text"
    run.lines = lambda name: (run.text / name).read_text(encoding="utf-8").splitlines()
    return run


def options(folder: Path) -> dict[str, str]:
    """prepare.options."""
    return dict(line.split("=", 1) for line in (folder / "prepare.options").read_text().splitlines())


def test_chitchat_has_the_sizes_of_the_tables(prepare, tmp_path):
    """paper2.sh finds data-bin/chitchat as it would have made it."""
    own = CHITCHAT | dict.fromkeys("abcdefgh", CHITCHAT["x"])
    (tmp_path / "own.json").write_text(json.dumps(own))
    prepare("chitchat", READ_FLAGS=f"--dataset {tmp_path}/own.json", VALID="2", TEST="2")
    assert len(prepare.lines("train.src")) == 9 - 4
    table = (ROOT / "scripts/tables/paper2.sh").read_text()
    found = options(prepare.text)
    assert tuple(found) == OLD_OPTIONS
    for name in ("MAX_WORDS", "CONTEXT_TURNS", "VOCABULARY"):
        assert f"{name}=${{{name}:-{found[name]}}}" in table
    shares = [re.search(r"VALID=\S+ TEST=\S+", text)[0] for text in (table, SCRIPTS["chitchat"].read_text())]
    assert shares[0] == shares[1]


def test_dailydialog_keeps_its_split(prepare, tmp_path):
    release = packed(tmp_path / "data.zip", {"data/dialogues.json": json.dumps(DAILYDIALOG)})
    prepare("dailydialog", release)
    found = {side: prepare.lines(f"{side}.ids") for side in ("train", "valid", "test")}
    assert found == {
        "train": ["own-train-0:1", "own-train-1:1", "own-train-1:2"],
        "valid": ["own-validation-0:1"],
        "test": ["own-test-0:1"],
    }
    assert prepare.lines("valid.tgt") == ["Bye."]
    assert not list(prepare.text.glob("*.part"))
    ran = [command.split()[0] for command in prepare.commands]
    assert ran == ["dailydialog"] * 3 + ["clean", "split"] * 3 + ["subwords"]


def test_dailydialog_without_its_split(prepare, tmp_path):
    release = packed(tmp_path / "data.zip", {"data/dialogues.json": json.dumps(DAILYDIALOG)})
    prepare("dailydialog", release, OFFICIAL="0", VALID="1", TEST="1", CLEAN_FLAGS="--min-words 1")
    assert [command.split()[0] for command in prepare.commands] == ["dailydialog", "clean", "split", "subwords"]
    sides = [{line.split(":")[0] for line in prepare.lines(f"{side}.ids")} for side in ("train", "valid", "test")]
    assert [len(side) for side in sides] == [2, 1, 1]
    assert options(prepare.text)["CLEAN_FLAGS"] == "--min-words 1"


def convai2_texts() -> dict[str, str]:
    """Three conversations, each from both sides, and another one's one side."""
    spoken = [tuple(f"{text} {number}" for text in SPOKEN) for number in range(4)]
    train = "".join(episode(TEA, SKI, first_side(each)) + episode(SKI, TEA, second_side(each)) for each in spoken[:3])
    return {"train_own.txt": train, "valid_own.txt": episode(TEA, SKI, first_side(spoken[3]))}


@pytest.mark.parametrize("archived", [True, False])
def test_convai2_tests_on_the_official_validation_set(prepare, tmp_path, archived):
    release = packed(tmp_path / ("c.tar.gz" if archived else "c"), convai2_texts())
    texts = [release] if archived else [release / "train_own.txt", release / "valid_own.txt"]
    prepare("convai2", *texts, FORM="own", VALID="1")
    sides = [{line.split(":")[0] for line in prepare.lines(f"{side}.ids")} for side in ("train", "valid", "test")]
    assert [len(side) for side in sides] == [2, 1, 1]
    assert sides[2] == {"valid_own-1"}
    assert prepare.lines("test.tgt") == [f"{text} 3" for text in SPOKEN[1:]]


def test_convai2_with_one_text(prepare, tmp_path):
    text = packed(tmp_path / "c", convai2_texts()) / "train_own.txt"
    prepare("convai2", text, VALID="1", TEST="1")
    assert [len(prepare.lines(f"{side}.src")) for side in ("train", "valid", "test")] == [3, 3, 3]


def test_open2ch(prepare, tmp_path):
    pytest.importorskip("MeCab")
    release = packed(tmp_path / "ranking.zip", {"r/dev.tsv": DEV, "r/test.tsv": TEST})
    prepare("open2ch", release, VALID="1", TEST="1")
    lines = [line for side in ("train", "valid", "test") for line in prepare.lines(f"{side}.src")]
    assert "お茶 ? 熱い よ" in lines  # normalised, the line break gone, words parted
    found = options(prepare.text)
    assert (found["CLEAN_FLAGS"], found["COVERAGE"]) == ("--japanese", "0.9995")


def test_open2ch_with_its_ranking_contexts(prepare, tmp_path):
    pytest.importorskip("MeCab")
    ranking = packed(tmp_path / "ranking.zip", {"r/dev.tsv": DEV, "r/test.tsv": TEST})
    corpus = packed(tmp_path / "corpus.zip", {"c/board.tsv": "雪だね\tそうだね\tうん\n"})
    prepare("open2ch", corpus, ranking)
    assert [len(prepare.lines(f"{side}.src")) for side in ("train", "valid", "test")] == [2, 3, 1]
    assert prepare.lines("test.ids") == ["open2ch-test-1:1"]


LCCC = {  # as it is released: a list of conversations, each a list of texts, segmented by spaces
    "train": [
        ["今天 天气 真好", "是 啊 ， 去 公园 吧", "好 的"],
        ["你 在 用 Python 吗 ？", "在 用"],
        ["吃 了 吗", "吃 了"],
    ]
    * 4,
    "valid": [["喝 茶 吗", "不 喝"]],
    "test": [["晚安", "晚安 ！"], ["早", "早上 好"]],
}


@pytest.mark.skipif(find_spec("jmespath") is None, reason="jmespath is not installed")
def test_lccc(prepare, tmp_path):
    release = tmp_path / "LCCC-base-split"
    release.mkdir()
    for split, conversations in LCCC.items():
        (release / f"LCCC-base_{split}.json").write_text(
            json.dumps(conversations, ensure_ascii=False), encoding="utf-8"
        )
    prepare("lccc", release, VOCABULARY="60", whole=True)
    assert prepare.lines("valid.tgt") == ["不 喝"] and prepare.lines("test.tgt") == ["晚 安 ！", "早 上 好"]
    assert "是 啊 ， 去 公 园 吧" in prepare.lines("train.tgt") and "你 在 用 Python 吗 ？" in prepare.lines(
        "train.src"
    )
    assert (tmp_path / "bin/test.src-tgt.src.idx").is_file()
    prepare("lccc", release / "LCCC-base_train.json", DATA=f"{tmp_path}/one", VALID="2", TEST="2")
    assert len((tmp_path / "one.text/test.tgt").read_text("utf-8").splitlines()) >= 2
    (release / "LCCC-base_test.json").unlink()
    refused = prepare("lccc", release, DATA=f"{tmp_path}/two")
    assert f"{release} has no one file *test.json; remedy: " in refused.stderr


def test_realpersonachat(prepare, tmp_path):
    pytest.importorskip("MeCab")
    release = packed(tmp_path / "own.tar.xz", realpersonachat_files())
    prepare("realpersonachat", release, VALID="0", TEST="1")
    assert len(prepare.lines("train.src")) == len(prepare.lines("test.src")) == 1
    assert not (prepare.text / "valid.src").exists()


def tweet(identity, parent, user, text, year) -> str:
    """A line of a daily file."""
    time = 86400 * 365 * (year - 1970) + 86400 * 100
    return f"T\t{time}\t{identity}\t{parent or '-'}\t{user}\tSome One\tname{user}\t{text}\n"


def thread(first, year, context, *responses) -> str:
    """A tweet and what others answer."""
    answers = [tweet(first + n, first, first + n, f"@name{first} {text}", year) for n, text in enumerate(responses, 1)]
    return tweet(first, None, first, context, year) + "".join(answers)


def tweets(context="question number {}", response="{} is an answer") -> dict[str, str]:
    """2016 is too early, 2018 trains, of 2019 one context has three responses, and 2020 is too late."""
    years = {2016: 1, 2018: 8, 2019: 2, 2020: 1}
    files = {}
    for year, count in years.items():
        files[f"{year}/day.txt"] = "".join(
            thread(1000 * year + 10 * n, year, context.format(f"{year} {n}"), response.format(f"{year} {n}"))
            for n in range(count)
        )
    more = (f"{response.format(number)} #tag" for number in (7, 8, 9))
    files["2019/more.txt"] = thread(3_000_000, 2019, context.format("2019 more"), *more)
    return files


@pytest.mark.parametrize("corpus", ["twitter_en", "twitter_ja"])
def test_tweets_are_split_by_years_as_in_the_paper(prepare, tmp_path, corpus):
    pytest.importorskip("duckdb")
    pytest.importorskip("MeCab")
    texts = ("それは {} ですか", "{} だと思う") if corpus == "twitter_ja" else ()
    archive = packed(tmp_path / "archive", tweets(*texts))
    prepare(corpus, archive, VALID="1", MEMORY="500MB")
    assert [len(prepare.lines(f"{side}.src")) for side in ("train", "valid", "test")] == [7, 1, 1]
    words = "だ と 思う" if corpus == "twitter_ja" else "is an answer"
    assert [prepare.lines(name) for name in ("test.tgt", "test.ref1", "test.ref2")] == [
        [f"{number} {words}"] for number in (7, 8, 9)
    ]
    found = options(prepare.text)
    assert found["MAX_WORDS"] == "256" and found["VECTOR_DIMENSION"] == "512" and found["VOCABULARY"] == "16000"
    assert [command.split()[0] for command in prepare.commands] == ["tweets", "split", "subwords"]
    assert " --min-words 2 --max-words 256 --memory 500MB" in prepare.commands[0]
    assert found["COVERAGE"] == {"twitter_en": "1.0", "twitter_ja": "0.9995"}[corpus]
    assert found["SPLIT_FLAGS"] == "--from 2017-01-01 --test-from 2019-01-01 --until 2020-01-01 --references 3"


def test_tweets_to_a_data_bin_that_fairseq_loads_and_back_from_where_it_stopped(prepare, tmp_path):
    pytest.importorskip("duckdb")
    pytest.importorskip("gensim")
    from fairseq.data import Dictionary, data_utils
    from fairseq.utils import parse_embedding

    lines = [
        thread(10 * n, 2018 + (n > 30), context.replace(" <eot> ", " "), response)
        for n, (context, response) in enumerate(pairs(40), 1)
    ]
    archive = packed(tmp_path / "archive", {"a.txt": "".join(lines[::2]), "b.txt": "".join(lines[1::2])})
    small = {"VOCABULARY": "60", "VECTOR_DIMENSION": "16", "VALID": "0.2", "REFERENCES": "", "SAMPLES": "3"}
    small |= {"READ_FLAGS": "--repeated keep"}
    stopped = prepare("twitter_en", archive, **small)
    assert stopped.returncode == 2
    done = prepare("twitter_en", archive / "a.txt", archive / "b.txt", whole=True, **small)
    assert [command.split()[0] for command in prepare.commands] == ["subwords", "vectors"]
    assert f"VECTORS={tmp_path}/bin/vectors.txt" in done.stderr
    folder = tmp_path / "bin"
    dictionary = Dictionary.load(str(folder / "dict.src.txt"))
    sizes = {
        split: len(data_utils.load_indexed_dataset(str(folder / f"{split}.src-tgt.src"), dictionary))
        for split in ("train", "valid", "test", "test1")
    }
    assert sizes["train"] + sizes["valid"] == 30 and sizes["test"] == 10 and sizes["test1"] == 3
    vectors = parse_embedding(str(folder / "vectors.txt"))
    assert all(len(vector) == 16 for vector in vectors.values())
    assert set(vectors) <= set(dictionary.symbols)
    again = prepare("twitter_en", archive, whole=True, **small)
    assert prepare.commands == [] and "is prepared" in again.stderr
    for other in ({"VECTOR_DIMENSION": ""}, {"CLEAN_FLAGS": "--tweets"}, {"TEST_FROM": "2018-06-01"}):
        refused = prepare("twitter_en", archive, **small | other)
        assert refused.returncode == 2 and "was prepared with other options or input (" in refused.stderr
        assert prepare.commands == []
    (archive / "b.txt").write_text("".join(lines[3::2]))
    refused = prepare("twitter_en", archive, **small)
    assert refused.returncode == 2 and "was read from other archives or with other flags" in refused.stderr


def test_another_archive_and_other_flags_are_refused(prepare, tmp_path):
    pytest.importorskip("MeCab")
    release = packed(tmp_path / "ranking.zip", {"r/dev.tsv": DEV, "r/test.tsv": TEST})
    sizes = {"VALID": "1", "TEST": "1"}
    prepare("open2ch", release, **sizes)
    prepare("open2ch", release.rename(tmp_path / "moved.zip"), **sizes)
    assert [command.split()[0] for command in prepare.commands] == ["subwords"]  # the same archive elsewhere
    for archive, flags in (
        (tmp_path / "moved.zip", "--split dev"),
        (packed(tmp_path / "other.zip", {"r/dev.tsv": DEV, "r/test.tsv": TEST + DEV}), ""),
    ):
        refused = prepare("open2ch", archive, READ_FLAGS=flags, **sizes)
        assert refused.returncode == 2
        assert refused.stderr.startswith("error: ") and refused.stderr.count("\n") == 1
        assert "was read from other archives or with other flags" in refused.stderr and "; remedy: " in refused.stderr
        assert prepare.commands == []


def test_paths_may_have_spaces(prepare, tmp_path):
    texts = packed(tmp_path / "the texts", convai2_texts())
    data = f"{tmp_path}/my data/bin/"
    prepare(
        "convai2", texts / "train_own.txt", texts / "valid_own.txt", VALID="1", DATA=data, VOCABULARY="60", whole=True
    )
    assert (tmp_path / "my data/bin/test.src-tgt.src.idx").is_file()
    for archive in (texts, packed(tmp_path / "the texts.zip", convai2_texts())):
        refused = prepare("convai2", archive, texts / "valid_own.txt", VALID="1")
        assert refused.stderr.startswith(f"error: {archive} is an archive, ") and "; remedy: " in refused.stderr
        assert prepare.commands == []


def test_what_cannot_be_made_is_refused_before_an_archive_is_read(prepare, tmp_path):
    pytest.importorskip("MeCab")
    release = packed(tmp_path / "data.zip", {"data/dialogues.json": json.dumps(DAILYDIALOG)})
    assert "OFFICIAL=yes is neither 0 nor 1; remedy: " in prepare("dailydialog", release, OFFICIAL="yes").stderr
    assert f"DATA={release} is a file; remedy: " in prepare("dailydialog", release, DATA=str(release)).stderr
    assert prepare.commands == []
    ranking = packed(tmp_path / "ranking.zip", {"r/dev.tsv": DEV, "r/test.tsv": TEST})
    corpus = packed(tmp_path / "corpus.zip", {"c/board.tsv": "雪だね\tそうだね\tうん\n"})
    assert "corpus.zip has no dev.tsv" in prepare("open2ch", ranking, corpus).stderr
    assert not list(prepare.text.glob("*.jsonl"))
    prepare("open2ch", corpus, ranking)
    assert [command.split()[0] for command in prepare.commands][:3] == ["open2ch"] * 3


def test_all_of_test_needs_a_border(tmp_path):
    (tmp_path / "c.jsonl").touch()
    for flags in ("", "--until 2020-01-01"):
        refused = bash(
            ROOT / "scripts/prepare.sh", tmp_path / "c.jsonl", tmp_path / "bin", TEST="all", SPLIT_FLAGS=flags
        )
        assert refused.returncode == 2 and refused.stderr.startswith(
            "error: TEST=all is for a border in time; remedy: "
        )


def test_a_border_that_was_mistyped_can_be_mended(prepare, tmp_path):
    """Reading an archive of tweets takes hours: it is not done again."""
    pytest.importorskip("duckdb")
    archive = packed(tmp_path / "archive", tweets())
    refused = prepare("twitter_en", archive, VALID="1", TEST_FROM="2019-13-01")
    assert "'2019-13-01' is no time in ISO 8601" in refused.stderr
    prepare("twitter_en", archive, VALID="1")
    assert [command.split()[0] for command in prepare.commands] == ["split", "subwords"]


def test_a_side_that_was_stopped_is_made_again(prepare, tmp_path):
    release = packed(tmp_path / "data.zip", {"data/dialogues.json": json.dumps(DAILYDIALOG)})
    prepare("dailydialog", release)
    lines = prepare.lines("test.src")
    (prepare.text / "test.split.json").unlink()
    (prepare.text / "test.src").write_text("half\n")
    (prepare.text / "test.part").mkdir()
    (prepare.text / "test.part/train.src").write_text("half")
    prepare("dailydialog", release)
    assert [command.split()[0] for command in prepare.commands] == ["split", "subwords"]
    assert prepare.lines("test.src") == lines


@pytest.mark.parametrize("corpus", SCRIPTS)
def test_scripts_say_what_they_need(prepare, tmp_path, corpus):
    for arguments in ((), (f"{tmp_path}/nowhere",), (f"{tmp_path}/nowhere",) * 3):
        if corpus == "chitchat" and not arguments:
            continue  # what it needs is packaged
        done = prepare(corpus, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
        assert f"; remedy: bash scripts/prepare/{corpus}.sh" in done.stderr
        assert "http" not in done.stderr
    assert prepare.commands == [] and not prepare.text.exists()
    said = bash(SCRIPTS[corpus], "--help")
    assert said.returncode == 0 and said.stdout.startswith(f"bash scripts/prepare/{corpus}.sh")
    assert "set -euo" not in said.stdout and "READ_FLAGS" in said.stdout


def test_files_of_sides_must_be_there(tmp_path):
    conversation = {"id": "c", "turns": [{"speaker": "a", "text": "tea ?"}, {"speaker": "b", "text": "no"}]}
    (tmp_path / "c.jsonl").write_text(json.dumps(conversation) + "\n")
    for variables in ({"VALID": "none.jsonl"}, {"TEST": f"{tmp_path}/none.jsonl.gz"}):
        refused = bash(ROOT / "scripts/prepare.sh", tmp_path / "c.jsonl", tmp_path / "bin", **variables)
        assert refused.returncode == 2 and "no such file; remedy: " in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["c.jsonl"]


def own_chains() -> dict[str, str]:
    """What a ranking.zip of open2ch holds, self-written."""
    things = ("お茶", "海", "冬", "音楽", "将棋", "うちの犬")
    answers = ("はい、{}が好きです", "いいえ、{}はちょっと", "{}のことは考えたことがない", "OK {} で行こう")
    chains = (
        f"1\t{thing}は好きですか？\t{answer.format(thing)}\n" for thing, answer in itertools.product(things, answers)
    )
    return {"r/dev.tsv": "".join(chains)}


def first_chains() -> dict[str, str]:
    """Of the real archive, some."""
    with zipfile.ZipFile(real("dialogue_ja/open2ch_ranking.zip")) as archive:
        name = next(name for name in archive.namelist() if name.endswith("dev.tsv"))
        return {"r/dev.tsv": "".join(itertools.islice((line.decode() for line in archive.open(name)), 500))}


def first_dialogues() -> dict[str, bytes]:
    """Of the real archive, five, and the speakers' personas."""
    found = {}
    with tarfile.open(real("persona_ja/real_persona_chat.tar.xz")) as archive:
        for member in archive:
            dialogue = member.isfile() and "/dialogues/" in member.name and member.name.endswith(".json")
            if (dialogue and len(found) < 5) or member.name.endswith("interlocutors.json"):
                found[member.name] = archive.extractfile(member).read()
    return found


@pytest.mark.parametrize(
    ("corpus", "files"),
    [("open2ch", own_chains), ("open2ch", first_chains), ("realpersonachat", first_dialogues)],
)
def test_japanese_from_the_archive_to_the_score(prepare, tmp_path, corpus, files):
    """Words parted, pieces learnt, a tiny model trained, responses scored with the words that sacrebleu counts."""
    pytest.importorskip("MeCab")
    from sacrebleu.metrics import BLEU

    from fairseq_latent.evaluation.metrics.score import measure_systems, read_systems
    from fairseq_latent.text.word_tokenizers import SPACES_BESIDE_JAPANESE

    from ..helpers import programs

    release = packed(tmp_path / ("own.zip" if corpus == "open2ch" else "own.tar"), files())
    sizes = {"VOCABULARY": "1500", "VALID": "1", "TEST": "1"}
    prepare(corpus, release, whole=True, **(sizes | ({"TEST": "9", "VALID": "3"} if corpus == "open2ch" else {})))
    programs.fit(tmp_path / "bin", tmp_path / "run")
    short = ("--beam", "2", "--max-len-b", "8", "--post-process", "sentencepiece")
    printed = programs.decode(tmp_path / "bin", tmp_path / "run/checkpoint_best.pt", *short)
    (tmp_path / "generated.txt").write_text(printed.text, encoding="utf-8")
    _, row = measure_systems(read_systems([f"ja={tmp_path}/generated.txt"]), "ja")
    references = [line.split("\t")[1] for line in printed.text.splitlines() if line.startswith("T-")]
    numbers = [line.split("\t")[0][2:] for line in printed.text.splitlines() if line.startswith("T-")]
    responses = [printed.hypotheses()[number][0] for number in numbers]
    if files is own_chains:  # text that has a piece for each character comes back whole
        assert sorted(references) == sorted(prepare.lines("test.tgt"))

    # sacrebleu cuts at every space, also at one inside a word that the model wrote; ours looks at the text without them
    together = [[SPACES_BESIDE_JAPANESE.sub("", line) for line in side] for side in (responses, references)]
    theirs = BLEU(tokenize="ja-mecab", smooth_method="none").corpus_score(together[0], [together[1]])
    ours = row.scores["BLEU"]
    assert ours.value == pytest.approx(theirs.score)
    assert (ours.extra["hypothesis_words"], ours.extra["reference_words"]) == (theirs.sys_len, theirs.ref_len)
    assert list(ours.extra["matches"]) == list(theirs.counts)


@pytest.mark.parametrize(
    ("corpus", "archive", "expected"),
    [
        ("open2ch", "dialogue_ja/open2ch_ranking.zip", "4,693 · 241 · 239"),
        ("convai2", "convai2/valid_both_original_no_cands.txt", "13,310 · 631 · 661"),
        ("dailydialog", "dialogue_en/dailydialog_convlab3_data.zip", "76,007 · 7,067 · 6,737"),
    ],
)
def test_the_released_corpora_have_the_documented_pairs(prepare, corpus, archive, expected):
    prepare(corpus, real(archive))
    assert " · ".join(f"{len(prepare.lines(f'{side}.src')):,}" for side in ("train", "valid", "test")) == expected
    assert f"| {expected} |" in (ROOT / "docs/data.md").read_text(encoding="utf-8")
    dropped = {"dailydialog": 50}.get(corpus, 0)  # pairs with one of 28 turns of more than 100 words
    replies = {"open2ch": 9173 - 4000, "convai2": 15_602 - 1000, "dailydialog": 102_979 - 13_118}[corpus]
    assert sum(len(prepare.lines(f"{side}.src")) for side in ("train", "valid", "test")) == replies - dropped
