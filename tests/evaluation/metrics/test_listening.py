"""Does it listen? Repetitions counted by hand, relevance against a loop, and the sentence that says it."""

import gzip
import random

import numpy as np
import pytest

from fairseq_latent.evaluation.metrics.listening import LITTLE, NO, YES, answer
from fairseq_latent.evaluation.metrics.relevance import Relevance, WordMeans, contexts_of, relevance_measure
from fairseq_latent.evaluation.metrics.repetition import Duplicates, GzipRatio
from fairseq_latent.evaluation.metrics.response_metrics import measure
from fairseq_latent.evaluation.metrics.system_scores import Responses
from fairseq_latent.evaluation.runs.response_files import Generation
from fairseq_latent.evaluation.tables import Estimate
from fairseq_latent.text.word_vectors import load_vectors
from tests.helpers.scored import fails, rows, score

LINES = ["yes .", "no .", "yes .", "tea", "no .", "yes .", "why ?"]


def test_duplicates_are_counted():
    found = measure(Duplicates("tok:none"), LINES)
    assert found.value == pytest.approx(100 * 5 / 7)  # three times yes, twice no
    assert found.extra["commonest"] == [["yes .", 3], ["no .", 2]]
    assert measure(Duplicates("tok:none"), []).value == 0


@pytest.mark.parametrize("samples", [1, 2])
def test_the_table_of_duplicates_is_a_jackknife(samples):
    """Leaving a context out loses what its row says, but for a constant; all rows together give the value."""
    draw = random.Random(1)
    lines = [draw.choice("abcdefghijklmn") for _ in range(16)]
    metric = Duplicates("tok:none")
    table = metric.table(metric.statistics(lines), samples)

    def repeated(texts):
        return sum(texts.count(text) > 1 for text in texts)

    lost = [repeated(lines) - repeated(lines[:at] + lines[at + samples :]) for at in range(0, 16, samples)]
    assert len({round(row[0] - each, 9) for row, each in zip(table, lost, strict=True)}) == 1
    assert metric.value(table.sum(axis=0)) == pytest.approx(measure(metric, lines).value)


def test_gzip_ratio_is_of_bytes():
    found = measure(GzipRatio("tok:none"), ["yes , tea ."] * 40)
    assert found.value == pytest.approx(480 / len(gzip.compress(b"yes , tea .\n" * 40, 9, mtime=0)))
    assert measure(GzipRatio("tok:none"), ["", ""]).value == 0


@pytest.fixture
def vectors(tmp_path):
    (tmp_path / "v.txt").write_text("tea 1 0\ncoffee 0.8 0.6\nsea 0 1\nsand -0.6 0.8\n")
    return WordMeans(load_vectors(tmp_path / "v.txt"), "v.txt", list, "tok:none")


def test_relevance_is_counted(vectors):
    # cosines: tea and coffee .8, tea and sea 0, sea and sand .8, coffee and sand 0
    found = relevance_measure(vectors, ["Tea ?", "sea ?"], ["coffee", "sand"], ["a", "b"], 1)
    (measured,) = found.measure(Responses(["coffee", "sand"], [], 1, "tok:none"))
    assert measured.score().value == pytest.approx(((0.8 - 0.6) + (0.8 + 0.6)) / 2)
    assert measured.score().extra["to_own_context"] == pytest.approx(0.8)
    (measured,) = found.measure(Responses(["coffee", "x", "sand", ""], [], 2, "tok:none"))  # unknown words: nothing
    assert measured.score().value == pytest.approx(((0.8 - 0.6) + (0.8 + 0.6)) / 4)
    assert len(measured.table()) == 2


def test_without_a_stranger_there_is_no_relevance(vectors):
    assert relevance_measure(vectors, ["tea"], None, None, 1) is None
    metric = Relevance("e", "s")
    assert metric.score(metric.statistics(np.eye(2), np.eye(2), [None, 0], 1)).value == 1 - 0
    assert metric.score(metric.statistics(np.eye(2), np.eye(2), [None, None], 1)).value == 0


@pytest.fixture
def answered(tmp_path, monkeypatch):
    """Forty contexts about one of four things; one system answers what was asked, the other one says the same to all."""
    monkeypatch.chdir(tmp_path)
    draw = random.Random(2)
    things = [draw.choice(("tea", "coffee", "sea", "sand")) for _ in range(40)]
    (tmp_path / "src").write_text("".join(f"hi {at} <eot> {thing} ?\n" for at, thing in enumerate(things)))
    (tmp_path / "tgt").write_text("".join(f"{thing} {at}\n" for at, thing in enumerate(things)))
    (tmp_path / "listens").write_text("".join(f"{thing} !\n" for thing in things))
    (tmp_path / "talks").write_text("tea .\n" * 39 + "sea .\n")
    (tmp_path / "v.txt").write_text("tea 1 0\ncoffee 0.8 0.6\nsea 0 1\nsand -0.6 0.8\n")
    return tmp_path


FLAGS = ("--lang", "none", "--bootstrap", "100", "--reference", "tgt")


def test_score_says_who_listens(answered, capsys):
    asked = ("listens=listens", "talks=talks", *FLAGS, "--contexts", "src", "--vectors", "v.txt")
    found = rows(capsys, *asked)
    of = {name: row["scores"]["relevance"] for name, row in found.items()}
    assert of["Reference"]["value"] == of["listens"]["value"] > 0.3 > abs(of["talks"]["value"])
    assert of["listens"]["interval"][0] > 0 and found["talks"]["comparison"]["p_values"]["relevance"] < 0.05
    assert "gzip ratio" not in found["talks"]["comparison"]["p_values"]
    assert of["talks"]["signature"].startswith("relevance|cosine|vectors:v.txt|sha256:")
    assert "|strangers:texts,alone:0|seed:1|" in of["talks"]["signature"]
    assert score(*asked) == 0
    out = capsys.readouterr().out
    assert "\ntalks repeats most: 39 x 'tea .'\n" in out and "relevance" in out.splitlines()[0]
    verdict = answer("talks", None, Estimate(of["talks"]["value"], tuple(of["talks"]["interval"])), 0.5, 97.5)
    assert verdict.verdict == NO


def test_one_context_has_no_stranger(answered, capsys):
    for name in ("one", "one.src", "one.tgt"):
        (answered / name).write_text("tea .\n")
    flags = ("a=one", "--lang", "none", "--reference", "one.tgt", "--contexts", "one.src", "--vectors", "v.txt")
    assert score(*flags) == 0
    out, err = capsys.readouterr()
    assert "note: no context has a stranger's, of another conversation: no relevance" in err and "relevance" not in out


def test_relevance_by_a_sentence_encoder(answered, capsys):
    pytest.importorskip("transformers")
    from tests.helpers.speakers import bert_folder

    (answered / "train.src").write_text("tea coffee sea sand hi ! . ?\n")
    (answered / "train.own").write_text("")
    folder = bert_folder(answered / "bert", answered)
    flags = ("talks=talks", *FLAGS, "--encoder", str(folder), "--cpu")
    capsys.readouterr()
    assert "no contexts" in fails(capsys, *flags)
    found = rows(capsys, *flags, "--contexts", "src")
    signature = found["talks"]["scores"]["relevance"]["signature"]
    assert "|encoder:bert|sha256:" in signature and "|mean|layer:last|" in signature
    (folder / "vocab.txt").unlink(), (folder / "tokenizer.json").unlink()
    assert "no tokenizer there" in fails(capsys, *flags, "--contexts", "src")


def test_text_vectors_are_those_of_the_model(tmp_path):
    """Against `transformers` itself: the mean over [CLS], words and [SEP]; texts too long keep their newest words."""
    pytest.importorskip("transformers")
    import torch

    from fairseq_latent.modules.sentence_encoder import TextEncoder
    from tests.helpers.speakers import bert_of_words

    folder, model, tokens = bert_of_words(tmp_path, "tea coffee sea")
    long = " ".join(["tea"] * 50 + ["sea"] * 29 + ["coffee"])
    with torch.no_grad():
        expected = [
            model(**tokens(text, return_tensors="pt")).last_hidden_state[0].mean(0).numpy()
            for text in ("tea sea", "", " ".join(long.split()[-30:]))  # 32 positions
        ]
    found = TextEncoder(folder, torch.device("cpu"))(["tea sea", "", long])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_contexts_are_of_the_same_test_set(answered, capsys):
    (answered / "short").write_text("tea\n")
    assert "1 contexts of 40 responses" in fails(capsys, "a=talks", *FLAGS, "--contexts", "short", "--vectors", "v.txt")
    assert contexts_of([Generation(0, None, None, ("x",))], None) is None


CASES = {
    "nothing helps": ((0.05, (-0.1, 0.2)), (-0.001, (-0.01, 0.01)), NO),
    "only the likelihood": ((3.0, (2.0, 4.0)), (0.001, (-0.01, 0.012)), NO),
    "surely, but little": ((0.4, (0.2, 0.6)), (0.1, (0.08, 0.12)), LITTLE),
    "as people do": ((2.0, (1.5, 2.5)), (0.1, (0.08, 0.12)), YES),
    "less than half of people": ((2.0, (1.5, 2.5)), (0.05, (0.03, 0.07)), LITTLE),
    "likelihood alone was measured": ((1.0, None), None, YES),
    "relevance alone was measured": (None, (0.2, (0.1, 0.3)), YES),
}


@pytest.mark.parametrize("name", CASES)
def test_the_sentence_says_what_the_numbers_say(name):
    worth, relevance, verdict = CASES[name]
    found = answer("T-CVAE", worth and Estimate(*worth), relevance and Estimate(*relevance), 0.175, 98.8)
    assert found.verdict == verdict
    says = {NO: "does not listen", LITTLE: "hardly listens", YES: "listens"}[verdict]
    assert found.sentence.startswith(f"T-CVAE {says}: ") and found.sentence.endswith(" repeat another one.")
    assert (found.warning is None) == (verdict == YES)


def test_the_sentence_itself():
    found = answer("T-CVAE", Estimate(0.053, (-0.1, 0.206)), Estimate(-0.001, (-0.01, 0.008)), 0.175, 98.84)
    assert found.sentence == (
        "T-CVAE does not listen: its own context saves 0.05 ± 0.15 nats per response over a stranger's, its responses are "
        "nearer to their own context than to a stranger's by -0.001 ± 0.009 (people: 0.175), and 98.8 % of its responses "
        "repeat another one."
    )
    assert "ignores what was said to it and mostly says the same" in found.warning
    assert answer("x").sentence == "x: whether it listens was not measured." and answer("x").verdict is None
    assert answer("x", duplicates=99.0).warning is None
