"""The columns of other papers, each counted by hand or against the library that defines it."""

import math

import numpy as np
import pytest

from fairseq_latent.evaluation.metrics.field import embeddings
from fairseq_latent.evaluation.metrics.field.diversity import Entropy, ExpectedDistinct
from fairseq_latent.evaluation.metrics.field.embeddings import EmbeddingMetric, WordRows
from fairseq_latent.evaluation.metrics.field.overlap import BleuOfMany, BleuUpTo, SelfBleu, sentence_bleu
from fairseq_latent.evaluation.metrics.response_metrics import measure
from fairseq_latent.text.word_vectors import load_vectors
from tests.helpers.scored import BASE, REFERENCES, generated, rows

LINES = ["a b a", "b c", "", "a b"]


@pytest.mark.parametrize("order", [1, 2])
def test_bleu_is_sacrebleus(order):
    from sacrebleu.metrics import BLEU

    theirs = BLEU(tokenize="none", smooth_method="none", max_ngram_order=order, force=True)
    expected = theirs.corpus_score(BASE, [REFERENCES]).score
    assert measure(BleuUpTo(order, "tok:none"), BASE, REFERENCES).value == pytest.approx(expected)


def test_precision_and_recall_of_many_are_a_loop():
    contexts, references = [["a b c d", "x y"], ["q", "q r"]], [("a b c", "x y z"), ("q r",)]
    grid = [[sentence_bleu(line, (text,)) for text in references[0]] for line in contexts[0]]
    precision = (max(grid[0]) + max(grid[1])) / 2
    recall = (max(row[0] for row in grid) + max(row[1] for row in grid)) / 2
    second = [sentence_bleu("q", ("q r",)), 100.0]
    assert second[0] < 100
    assert measure(BleuOfMany("precision", 2, "w"), contexts, references).value == pytest.approx(
        (precision + sum(second) / 2) / 2
    )
    assert measure(BleuOfMany("recall", 2, "w"), contexts, references).value == pytest.approx((recall + 100) / 2)


def test_self_bleu_is_against_all_others():
    found = SelfBleu("w", 1).score(["a b c d", "a b c d", "x y"])
    assert found.value == pytest.approx((100 + 100 + sentence_bleu("x y", ("a b c d", "a b c d"))) / 3)
    assert SelfBleu("w", 1).score(["a"]).value == 0
    many = [f"{number} b c d" for number in range(300)]
    assert SelfBleu("w", 1).score(many) == SelfBleu("w", 1).score(many)
    assert "|sample:200-of-300|seed:1|" in SelfBleu("w", 1).score(many).signature


def test_entropy_is_counted():
    # a 3, b 3, c 1 of seven words; the bigrams ab twice, ba, bc
    words = -2 * 3 / 7 * math.log(3 / 7) - 1 / 7 * math.log(1 / 7)
    assert Entropy(1, "w").score(LINES).value == pytest.approx(words)
    assert Entropy(2, "w").score(LINES).value == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(4))
    assert Entropy(4, "w").score(LINES).value == 0


def test_expected_distinct_is_counted():
    # 3 distinct of 7 words, V = 5: 5 * (1 - .8^7)
    assert ExpectedDistinct(5, "w").score(LINES).value == pytest.approx(3 / (5 * (1 - 0.8**7)))
    assert ExpectedDistinct(5, "w").score([""]).value == 0


def test_embeddings_are_counted():
    one, other = np.array([[1.0, 0], [0, 2]]), np.array([[0.6, 0.8]])
    assert embeddings.average(one, other) == pytest.approx((0.5 * 0.6 + 1 * 0.8) / math.hypot(0.5, 1))
    # cosines .6 and .8: from one (.6 + .8) / 2, from the other .8
    assert embeddings.greedy(one, other) == pytest.approx((0.7 + 0.8) / 2)
    assert embeddings.greedy_f1(one, other) == pytest.approx(2 * 0.7 * 0.8 / 1.5)
    # extremes: (1, 2), and -3 is farther from 0 than 1
    assert embeddings.extrema(one, other) == pytest.approx((0.6 + 1.6) / math.sqrt(5))
    assert embeddings.extrema(np.array([[-3.0, 0], [1, 1]]), np.array([[-3.0, 1]])) == pytest.approx(1)


def test_the_best_reference_counts_and_unknown_words_have_nothing(tmp_path):
    (tmp_path / "v").write_text("tea 1 0\nsea 0 1\n")
    metric = EmbeddingMetric("embedding average", embeddings.average, WordRows(load_vectors(tmp_path / "v"), "v"), "v")
    assert measure(metric, ["Tea", "x", ""], [("sea", "tea"), ("tea",), ("tea",)]).value == pytest.approx(1 / 3)


def test_token_vectors_are_those_of_the_model(tmp_path):
    pytest.importorskip("transformers")
    import torch

    from fairseq_latent.modules.sentence_encoder import TextEncoder
    from tests.helpers.speakers import bert_of_words

    folder, model, tokens = bert_of_words(tmp_path, "tea coffee sea")
    found = TextEncoder(folder, torch.device("cpu")).of_tokens(["tea sea coffee", "", "sea"])
    assert [len(each) for each in found] == [3, 0, 1]
    with torch.no_grad():
        expected = model(**tokens("tea sea coffee", return_tensors="pt")).last_hidden_state[0, 1:-1]
    np.testing.assert_allclose(found[0], expected.numpy(), atol=1e-5)


def test_score_has_the_columns_where_asked(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "many.gen").write_text(generated([["a b", "a b"], ["a b", "c"], ["d", "e"]]), encoding="utf-8")
    (tmp_path / "v").write_text("a 1 0\nb 0 1\n")
    flags = ("m=many.gen", "--lang", "none", "--hypothesis", "mean", "--bootstrap", "40")
    plain = rows(capsys, *flags)["m"]["scores"]
    found = rows(capsys, *flags, "--field", "--vectors", "v")["m"]["scores"]
    assert found.keys() - plain.keys() == {
        *("BLEU-1", "BLEU-2", "BLEU precision", "BLEU recall"),
        *("entropy-1", "entropy-2", "entropy-4", "EAD", "self-BLEU"),
        *("embedding average", "embedding greedy", "embedding extrema", "relevance"),
    }
    assert "|vocabulary:19|" in found["EAD"]["signature"]  # 14 of the references, a b c d e
    assert found["entropy-1"]["interval"] is None and found["BLEU-1"]["interval"] is not None
