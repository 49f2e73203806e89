"""Metrics against independent definitions and hand counts."""

import json
import math
import random
from pathlib import Path

import pytest

from fairseq_latent.evaluation.metrics.response_metrics import (
    F1,
    Bleu,
    Distinct,
    InterDistinct,
    Length,
    measure,
    unigram_f1,
)

EXAMPLES = {
    "some match": (
        ["the cat sat on the mat", "no way", "I like green tea very much ."],
        ["the cat sat on a mat", "no way at all", "I like green tea ."],
    ),
    "too long": (["a b c d e f g h", "x y z x y z"], ["a b c d", "x y z"]),
    "too short": (["a b c d", "x"], ["a b c d e f g h", "x y z x y z"]),
    "clipped counts": (["the the the the the the the"], ["the cat is on the mat with the the the the"]),
    "empty lines": (["", "a b c d e", ""], ["b", "a b c d e", ""]),
    "no 4-gram matches": (["a b c x d e f"], ["a b c y d e f"]),
    "no 4-gram at all": (["a b c", "d e"], ["a b c", "d e"]),
    "nothing matches": (["a b c d e"], ["v w x y z"]),
    "all empty": (["", ""], ["a", "b"]),
    "case counts": (["The Cat sat on the mat ."], ["the cat sat on the mat ."]),
    "percent signs and pipes stay": (["a | b % c &amp; d"], ["a | b % c &amp; d"]),
}


def multi_bleu(hypotheses, references):
    """Moses' multi-bleu.perl from its definition, for one reference: corpus BLEU-4 in percent, no smoothing."""
    matched, total = [0] * 4, [0] * 4
    for hypothesis, reference in zip(hypotheses, references, strict=True):
        guess, gold = hypothesis.split(), reference.split()
        for n in range(4):
            rest = [tuple(gold[i : i + n + 1]) for i in range(len(gold) - n)]
            for i in range(len(guess) - n):
                total[n] += 1
                if tuple(guess[i : i + n + 1]) in rest:
                    rest.remove(tuple(guess[i : i + n + 1]))  # each n-gram of the reference serves once
                    matched[n] += 1
    if min(matched) == 0:
        return 0.0
    length, expected = (sum(len(line.split()) for line in lines) for lines in (hypotheses, references))
    brevity = 1.0 if length >= expected else math.exp(1 - expected / length)
    return 100 * brevity * math.exp(sum(math.log(m / t) for m, t in zip(matched, total, strict=True)) / 4)


@pytest.mark.parametrize("example", EXAMPLES)
def test_bleu_is_multi_bleu(example):
    hypotheses, references = EXAMPLES[example]
    assert measure(Bleu("tok:none"), hypotheses, references).value == pytest.approx(multi_bleu(hypotheses, references))


@pytest.mark.parametrize("seed", range(20))
def test_bleu_is_multi_bleu_on_random_text(seed):
    generator = random.Random(seed)
    references = [" ".join(generator.choices("abcd", k=generator.randrange(12))) for _ in range(30)]
    hypotheses = [" ".join(generator.choices("abcd", k=generator.randrange(12))) for _ in range(30)]
    assert measure(Bleu("tok:none"), hypotheses, references).value == pytest.approx(multi_bleu(hypotheses, references))


MADE_UP = json.loads((Path(__file__).parents[2] / "oracles/made_up_responses.json").read_text("utf-8"))


@pytest.mark.parametrize("case", MADE_UP["cases"], ids=lambda case: case["name"])
def test_two_hundred_made_up_lines(case):
    """What a Perl script after multi-bleu.perl, and the papers' two denominators of distinct n-grams, give."""
    expected, lines = case["expected"], case["inputs"]
    bleu = measure(Bleu("tok:none"), lines, MADE_UP["references"])
    assert bleu.value == pytest.approx(expected["BLEU"], abs=MADE_UP["tolerance"])
    assert bleu.value == pytest.approx(multi_bleu(lines, MADE_UP["references"]))
    for name in ("precisions", "brevity_penalty", "ratio"):
        assert bleu.extra[name] == pytest.approx(expected[name], abs=MADE_UP["tolerance"]), name
    for n in (1, 2):
        for denominator in ("ngrams", "words"):
            score = measure(Distinct(n, "tok:none", denominator), lines)
            assert score.value == pytest.approx(expected[score.name], abs=MADE_UP["tolerance"])


def test_bleu_is_sacrebleu():
    from sacrebleu.metrics import BLEU

    hypotheses, references = EXAMPLES["some match"]
    ours = measure(Bleu("tok:none"), hypotheses, references)
    theirs = BLEU(tokenize="none", smooth_method="none", force=True).corpus_score(hypotheses, [references])
    assert ours.value == pytest.approx(theirs.score, abs=1e-12)
    assert ours.extra["precisions"] == theirs.precisions


def test_bleu_parts_by_hand():
    score = measure(Bleu("tok:none"), ["a b c d"], ["a b c d e f g h"])
    # All n-grams match; 4 words against 8: brevity penalty exp(1 - 8/4) = exp(-1).
    assert score.value == pytest.approx(100 * math.exp(-1))
    assert score.extra["precisions"] == [100.0] * 4
    assert score.extra["ratio"] == 0.5
    assert score.signature.startswith("bleu|nrefs:1|case:mixed|tok:none|smooth:none|version:sacrebleu-")


def test_bleu_zero_when_one_precision_is_zero():
    # multi-bleu's rule; smoothing would give a positive value here.
    assert measure(Bleu("tok:none"), *EXAMPLES["no 4-gram matches"]).value == 0.0


def test_bleu_refuses_different_lengths():
    with pytest.raises(ValueError, match="zip"):
        measure(Bleu("tok:none"), ["a"], ["a", "b"])


# Words: 3 + 2 + 0 + 1 = 6. Unigrams: a b a, a c, d -> a b c d: 4 distinct of 6.
# Bigrams: (a b) (b a), (a c) -> 3 distinct of 3; none goes over the end of a line.
DIVERSE = ["a b a", "a c", "", "d"]


@pytest.mark.parametrize(
    ("n", "denominator", "name", "value"),
    [
        (1, "ngrams", "dist-1", 100 * 4 / 6),
        (2, "ngrams", "dist-2", 100 * 3 / 3),
        (1, "words", "Distinct-1", 4 / 6),
        (2, "words", "Distinct-2", 3 / 6),
    ],
)
def test_distinct_by_hand(n, denominator, name, value):
    score = measure(Distinct(n, "tok:none", denominator), DIVERSE)
    assert (score.name, score.value) == (name, pytest.approx(value))
    assert f"denominator:{denominator}" in score.signature


def test_distinct_of_nothing_is_zero():
    assert measure(Distinct(2, "tok:none"), ["", "a"]).value == 0.0
    assert measure(Distinct(1, "tok:none", "words"), [""]).value == 0.0


def test_distinct_falls_when_a_file_is_doubled():
    assert measure(Distinct(2, "tok:none"), DIVERSE * 2).value == pytest.approx(50)  # 3 distinct of 6


def test_inter_distinct_by_hand():
    contexts = [["a b", "a b"], ["a b", "c"], ["", ""]]
    # Unigrams: {a b} of 4 = 50 %, {a b c} of 3 = 100 %, the third context has none and does not count.
    assert measure(InterDistinct(1, 2, "tok:none"), contexts).value == pytest.approx((50 + 100) / 2)
    # Bigrams: (a b) of 2 = 50 %, (a b) of 1 = 100 %.
    assert measure(InterDistinct(2, 2, "tok:none"), contexts).value == pytest.approx((50 + 100) / 2)


def test_f1_by_hand():
    # "cat sat down" against "cat is here now": 1 common; 2 * 1 / (3 + 4).
    assert unigram_f1("The cat sat down.", "a cat is here, now!") == pytest.approx(2 / 7)
    assert unigram_f1("the, a.", "an") == 0.0
    assert unigram_f1("no no no", "no") == pytest.approx(2 * 1 / (3 + 1))
    assert unigram_f1("don't", "Don t") == 1.0
    assert measure(F1(), ["x", "y z"], ["x", "q"]).value == pytest.approx(50)


def test_length_by_hand():
    assert measure(Length("tok:none"), DIVERSE).value == pytest.approx(6 / 4)


def test_bleu_of_several_references_is_sacrebleu():
    """n-grams may match in any reference, the closest length counts; None is sacrebleu's way to have fewer."""
    from sacrebleu.metrics import BLEU

    generator = random.Random(3)
    lines = [[" ".join(generator.choices("abcd", k=generator.randrange(1, 12))) for _ in range(4)] for _ in range(40)]
    hypotheses, columns = [line[0] for line in lines], [[line[i] for line in lines] for i in (1, 2, 3)]
    columns[1][::3] = [None] * len(columns[1][::3])
    columns[2][::2] = [None] * len(columns[2][::2])
    references = [[text for text in texts if text is not None] for texts in zip(*columns, strict=True)]
    ours = measure(Bleu("tok:none", "var"), hypotheses, references)
    theirs = BLEU(tokenize="none", smooth_method="none", force=True)
    assert ours.value == pytest.approx(theirs.corpus_score(hypotheses, columns).score)
    assert ours.value != pytest.approx(measure(Bleu("tok:none"), hypotheses, columns[0]).value)
    assert "nrefs:var" in ours.signature
    assert "nrefs:var" in str(theirs.get_signature())


def test_closest_reference_length_by_hand():
    # 4 words; 3 and 5 are as close, the shorter counts.
    assert measure(Bleu("tok:none"), ["a b c d"], [["v w x y z", "x y z", "x"]]).extra["reference_words"] == 3


def test_f1_of_several_references_is_the_best():
    score = measure(F1(references="2"), ["x y", "z"], [["q", "x y"], ["z z", "q"]])
    # 1 against "x y"; "z" against "z z": 2 * 1 / (1 + 2) = 2/3.
    assert score.value == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert score.signature.startswith("f1|nrefs:2|")


METRICS = [Bleu("tok:none"), Distinct(1, "tok:none"), Distinct(2, "tok:none", "words"), F1(), Length("tok:none")]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_line_statistics_are_all_a_score_needs(metric):
    """Any choice of lines scores as a file of these lines would: what a bootstrap does."""
    hypotheses, references = EXAMPLES["some match"]
    statistics = metric.statistics(hypotheses, references)
    for chosen in ([0, 1, 2], [2, 0, 1], [0, 0, 2], [1], []):
        expected = measure(metric, [hypotheses[i] for i in chosen], [references[i] for i in chosen])
        assert metric.score([statistics[i] for i in chosen]) == expected


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
@pytest.mark.parametrize("samples", [1, 3])
def test_the_tables_sums_give_the_value(metric, samples):
    hypotheses, references = EXAMPLES["some match"]
    statistics = metric.statistics(hypotheses, references)
    table = metric.table(statistics, samples)
    assert len(table) == 3 // samples
    assert metric.value(table.sum(axis=0)) == pytest.approx(metric.score(statistics).value)


@pytest.mark.parametrize("denominator", ["ngrams", "words"])
@pytest.mark.parametrize("samples", [1, 2])
def test_distinct_tables_are_a_jackknife(samples, denominator):
    """Leaving a context out loses what its row of the table says: counted again, without it, by a plain loop."""
    generator = random.Random(5)
    lines = [" ".join(generator.choices("abcdefghij", k=generator.randrange(5))) for _ in range(20)]
    metric = Distinct(2, "tok:none", denominator)
    statistics = metric.statistics(lines)
    table = metric.table(statistics, samples)
    everything = len({pair for line in lines for pair in zip(line.split(), line.split()[1:], strict=False)})
    contexts = [lines[start : start + samples] for start in range(0, 20, samples)]
    lost = []
    for left_out in range(len(contexts)):
        rest = [line.split() for index, each in enumerate(contexts) if index != left_out for line in each]
        lost.append(everything - len({pair for line in rest for pair in zip(line, line[1:], strict=False)}))
    assert sum(lost) > 0
    for row, alone, each in zip(table, lost, contexts, strict=True):
        assert row[0] == pytest.approx(alone + (everything - sum(lost)) / len(contexts))
        assert row[2] == sum(len(line.split()) for line in each)


def test_distinct_never_exceeds_all_ngrams():
    # Three contexts: "a b" twice, "c d e" once, which alone has its words. Drawn three times it would have 2/3 of a
    # and of b beside its nine words: (3 * (3 + 2/3)) of 9.
    metric = Distinct(1, "tok:none")
    table = metric.table(metric.statistics(["a b", "a b", "c d e"]))
    assert 3 * table[2][0] == pytest.approx(9 + 2)
    assert metric.value(3 * table[2]) == 100
