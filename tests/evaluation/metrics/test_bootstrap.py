"""The bootstrap against sacrebleu, plain loops, and what an interval and a p-value promise."""

import random

import numpy as np
import pytest

from fairseq_latent.evaluation.metrics.bootstrap import (
    CHUNK,
    Bootstrap,
    interval,
    interval_over_seeds,
    p_value,
    sacrebleu_p_value,
)
from fairseq_latent.evaluation.metrics.response_metrics import Bleu, Distinct, Length
from fairseq_latent.evaluation.metrics.system_scores import Measurement

RESAMPLES = 100


def noisy(references, seed, changed):
    """Responses that share some of their words with the references."""
    generator = random.Random(seed)
    return [
        " ".join(word if generator.random() > changed else generator.choice("abcdef") for word in line.split())
        for line in references
    ]


@pytest.fixture(scope="module")
def texts():
    generator = random.Random(1)
    references = [" ".join(generator.choices("abcdef", k=generator.randrange(4, 12))) for _ in range(60)]
    return references, noisy(references, 2, 0.5), noisy(references, 3, 0.45)


def resampled(metric, *systems, resamples=RESAMPLES, seed=1):
    """The values of each system (its statistics) in the same resamples."""
    measurements = [Measurement(metric, statistics) for statistics in systems]
    sums = Bootstrap(resamples, seed).sums([each.table() for each in measurements])
    return [each.values(found) for each, found in zip(measurements, sums, strict=True)]


@pytest.mark.parametrize("resamples", [40, CHUNK, 3 * CHUNK + 1])
def test_draws_are_sacrebleus(resamples):
    """One call there, in parts here: memory does not grow with the number of resamples."""
    drawn = np.random.default_rng(7).choice(50, size=(resamples, 50), replace=True)
    weights = np.concatenate(list(Bootstrap(resamples, 7).weights(50)))
    assert weights.shape == (resamples, 50)
    for row, expected in zip(weights, drawn, strict=True):
        assert [int(count) for count in row] == [list(expected).count(context) for context in range(50)]


def test_bleu_intervals_are_sacrebleus(texts, monkeypatch):
    from sacrebleu.metrics import BLEU

    monkeypatch.setenv("SACREBLEU_SEED", "5")
    references, hypotheses, _ = texts
    bleu = BLEU(tokenize="none", smooth_method="none", force=True)
    theirs = bleu.corpus_score(hypotheses, [references], n_bootstrap=RESAMPLES)
    metric = Bleu("tok:none")
    (values,) = resampled(metric, metric.statistics(hypotheses, references), seed=5)
    low, high = interval(values)
    assert (high - low) / 2 == pytest.approx(theirs._ci, rel=1e-4)
    assert values.mean() == pytest.approx(theirs._mean, rel=1e-4)
    assert low < theirs.score < high


def test_bleu_p_values_are_sacrebleus(texts, monkeypatch):
    from sacrebleu.metrics import BLEU
    from sacrebleu.significance import PairedTest

    monkeypatch.setenv("SACREBLEU_SEED", "5")
    references, base, ours = texts
    bleu = BLEU(tokenize="none", smooth_method="none", force=True, references=[references])
    systems = [("base", base), ("ours", ours)]
    _, found = PairedTest(systems, {"BLEU": bleu}, references=None, test_type="bs", n_samples=RESAMPLES)()
    metric = Bleu("tok:none")
    statistics = [metric.statistics(lines, references) for lines in (base, ours)]
    one, two = resampled(metric, *statistics, seed=5)
    difference = metric.score(statistics[1]).value - metric.score(statistics[0]).value
    p = sacrebleu_p_value(difference, two - one)
    assert p == pytest.approx(found["BLEU"][1].p_value)
    assert 1 / (1 + RESAMPLES) < p < 1


def test_distinct_resamples_by_a_plain_loop(texts):
    """Everything that is there, less what a left-out context alone has, more that again for each repetition."""
    lines = texts[1]
    pairs = [list(zip(line.split(), line.split()[1:], strict=False)) for line in lines]
    distinct = len({pair for line in pairs for pair in line})
    lost = [
        distinct - len({pair for index, line in enumerate(pairs) if index != out for pair in line})
        for out in range(len(pairs))
    ]
    expected = []
    for drawn in np.random.default_rng(1).choice(len(lines), size=(RESAMPLES, len(lines)), replace=True):
        there = distinct - sum(lost) + sum(lost[context] for context in drawn)
        expected.append(100 * there / sum(len(pairs[context]) for context in drawn))
    metric = Distinct(2, "tok:none")
    (values,) = resampled(metric, metric.statistics(lines))
    assert values == pytest.approx(expected)


def zipf(generator, lines):
    """Lines of words of which few are frequent and many rare, as in real responses."""
    words = np.minimum(generator.zipf(1.5, size=8 * lines), 5000)
    return [" ".join(map(str, line)) for line in words.reshape(lines, 8)]


def test_distinct_intervals_cover_what_they_should():
    """The expected dist-1 of as many lines; a union over resampled lines almost never covers it."""
    generator, lines = np.random.default_rng(0), 150
    metric = Distinct(1, "tok:none")
    expected = np.mean([metric.score(metric.statistics(zipf(generator, lines))).value for _ in range(600)])
    covered = covered_by_union = 0
    for trial in range(100):
        statistics = metric.statistics(zipf(generator, lines))
        (values,) = resampled(metric, statistics, resamples=200, seed=trial)
        low, high = interval(values)
        covered += low <= expected <= high
        drawn = np.random.default_rng(trial).choice(lines, size=(40, lines))
        low, high = interval(np.array([metric.score([statistics[i] for i in row]).value for row in drawn]))
        covered_by_union += low <= expected <= high
    assert covered >= 87  # 95 of 100 with a standard deviation of 2
    assert covered_by_union <= 20


def test_interval_by_hand():
    # Of 100 values 100 // 40 = 2 go on either side: 3 … 98.
    assert interval(np.arange(100.0)[::-1] + 1) == (3.0, 98.0)


def test_p_values_promise_a_level():
    """Two equally good systems: p < 0.05 in about 5 % of tests; 15 of 300 expected, with a standard deviation of 4."""
    generator = np.random.default_rng(0)
    false_positives = theirs = 0
    for trial in range(300):
        one, two = ([(float(x), 1) for x in generator.normal(10, 3, size=100)] for _ in range(2))
        values = resampled(Length("tok:none"), one, two, resamples=200, seed=trial)
        difference = np.mean([x for x, _ in two]) - np.mean([x for x, _ in one])
        false_positives += p_value(difference, values[1] - values[0]) < 0.05
        theirs += sacrebleu_p_value(difference, values[1] - values[0]) < 0.05
    assert 4 <= false_positives <= 26
    assert theirs > false_positives + 6  # why it is not the number of the table


def test_identical_systems_and_swapped_ones(texts):
    references, base, ours = texts
    metric = Bleu("tok:none")
    one, two = resampled(metric, *(metric.statistics(lines, references) for lines in (base, ours)))
    assert p_value(0.0, one - one) == 1.0
    assert p_value(0.5, one - two) == p_value(-0.5, two - one)
    assert p_value(100.0, one - two) == 1 / (1 + RESAMPLES)


def test_a_constant_difference_is_certain():
    lines = [(float(length), 1) for length in range(1, 30)]
    longer = [(length + 1, 1) for length, _ in lines]
    values = resampled(Length("tok:none"), lines, longer)
    assert p_value(1.0, values[1] - values[0]) == 1 / (1 + RESAMPLES)


def test_the_interval_of_a_mean_over_seeds_by_hand():
    """Halves .3 and .5, mean .4; seeds 1 and 2: sd .7071, standard error .5, times 1.96 = .98."""
    low, high = interval_over_seeds([1.0, 2.0], [(0.7, 1.3), (1.5, 2.5)])
    half = (0.4**2 + 0.98**2) ** 0.5
    assert (low, high) == (pytest.approx(1.5 - half), pytest.approx(1.5 + half))
    assert interval_over_seeds([1.0, 2.0], [(0.7, 1.3), None]) is None
    assert interval_over_seeds([1.0], [(0.7, 1.3)]) == (pytest.approx(0.7), pytest.approx(1.3))
