"""Quality against the number of candidates: all subsets by hand, and the figure of `fairseq-latent plot candidates`."""

import itertools
import math

import numpy as np
import pytest

from fairseq_latent.cli import main
from fairseq_latent.evaluation.metrics.field.best_of import best_of, chances
from fairseq_latent.evaluation.metrics.field.overlap import sentence_bleu
from tests.helpers.scored import REFERENCES

SCORES = np.array([[0.1, 0.5, 0.3, 0.2], [9.0, 7.0, 8.0, 8.0]])
LINES = [["a b c", "a b", "c d", "a b c"], ["x y", "a b", "", "y z"]]
BLEU = np.array([[1.0, 2.0, 4.0, 8.0], [16.0, 32.0, 64.0, 128.0]])


def said(of_context, size):
    """The chosen candidate's place of every subset."""
    places = range(len(of_context))
    for subset in itertools.combinations(places, size):
        yield max(subset, key=lambda place: (of_context[place], -place))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_curves_are_means_over_all_subsets(size):
    found = best_of(SCORES, LINES, BLEU, None)
    chosen = [list(said(row, size)) for row in SCORES]
    bleu = np.mean([np.mean([values[place] for place in places]) for values, places in zip(BLEU, chosen, strict=True)])
    assert found.bleu[size - 1] == pytest.approx(bleu)
    assert found.relevance is None
    distinct, total = 0, 0
    for first, second in itertools.product(*chosen):  # contexts choose independently
        grams = [
            list(zip(line.split(), line.split()[1:], strict=False)) for line in (LINES[0][first], LINES[1][second])
        ]
        distinct += len({*grams[0], *grams[1]})
        total += len(grams[0]) + len(grams[1])
    assert found.distinct[size - 1] == pytest.approx(100 * distinct / total)
    assert chances(4)[size - 1].sum() == pytest.approx(1)


def test_contexts_of_unknown_relevance_are_left_out():
    relevance = np.array([[1.0, 2.0, 3.0, 4.0], [math.nan, 0, 0, 0]])
    found = best_of(SCORES, LINES, None, relevance)
    assert found.bleu is None and found.relevance[0] == pytest.approx(2.5) and found.relevance[3] == 2.0


def generated(path, scored, references=REFERENCES):
    lines = []
    for number, (answers, reference) in enumerate(zip(scored, references, strict=True)):
        lines += [f"S-{number}\tdo you like tea {number}", f"T-{number}\t{reference}"]
        for score, answer in answers:
            lines += [f"H-{number}\t{score}\t{answer}", f"D-{number}\t{score}\t{answer}"]
    path.write_text(
        "\n".join([*lines, "Generate test with beam=1: BLEU4 = 1.00, 1.0/1.0/1.0/1.0"]) + "\n", encoding="utf-8"
    )


GOOD = [[(0.1, "no"), (0.9, "I like green tea .")], [(0.4, "no , not"), (0.3, "x")], [(0.2, "it"), (0.1, "is it late")]]


def test_the_figure_and_its_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    generated(tmp_path / "a.txt", GOOD)
    generated(tmp_path / "b.txt", [[(-score, text) for score, text in each] for each in GOOD])
    assert main(["plot", "candidates", "mmi=a.txt", "T=0.7=b.txt", "--out", "x.png", "--lang", "none"]) == 0
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    best = [sentence_bleu("I like green tea .", (REFERENCES[0],))]
    best += [sentence_bleu("no , not", (REFERENCES[1],)), sentence_bleu("it", (REFERENCES[2],))]
    assert rows[1][:5] == ["mmi", "its", "scores", "2", f"{np.mean(best):.2f}"]
    oracle = {(row[0], row[-4]): row[-3] for row in rows if row[1] == "BLEU"}
    assert oracle["mmi", "1"] == oracle["T=0.7", "1"] and oracle["mmi", "2"] == oracle["T=0.7", "2"]
    assert float(oracle["mmi", "2"]) >= float(rows[1][4]) > float(rows[0][4])
    assert rows[0][5] == "–"  # relevance, without an encoder


def test_relevance_by_an_encoder(tmp_path, monkeypatch, capsys):
    pytest.importorskip("transformers")
    from tests.helpers.speakers import bert_of_words

    monkeypatch.chdir(tmp_path)
    encoder, _, _ = bert_of_words(tmp_path, "do you like tea no it is late green")
    generated(tmp_path / "a.txt", GOOD)
    words = ["plot", "candidates", "a=a.txt", "--out", "x.svg", "--lang", "none", "--encoder", str(encoder), "--cpu"]
    assert main(words) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    assert main(["score", "a=a.txt", "--lang", "none", "--encoder", str(encoder), "--cpu", "--hypothesis", "all"]) == 0
    plain = capsys.readouterr().out
    mean = [line for line in plain.splitlines() if line.startswith("a ")][0].split()
    assert shown[0][5] in mean  # of one candidate: the mean over all, as `score` has it
    assert "relevance" in (tmp_path / "x.svg").read_text() or (tmp_path / "x.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    ("content", "message"),
    [([[(1, "x")]] * 3, "one response per context; remedy: fairseq-generate"), (None, "its responses have no scores")],
)
def test_what_has_no_candidates_is_refused(tmp_path, monkeypatch, capsys, content, message):
    monkeypatch.chdir(tmp_path)
    if content:
        generated(tmp_path / "a.txt", content)
        name = "a.txt"
    else:
        name = "a.jsonl"
        (tmp_path / name).write_text('{"responses": ["a", "b"]}\n')
    assert main(["plot", "candidates", f"a={name}", "--out", "x.png", "--lang", "none"]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "x.png").exists()
