"""n-grams counted as arrays: the same as Python's own counters, and as sacrebleu's, line by line."""

import random

import numpy as np
import pytest

from fairseq_latent.text import line_ngrams
from fairseq_latent.text.line_ngrams import LineNgrams, Words, bleu_counts

LINES = ["a b a b c", "", "a", "b c", "a b a b c", "  ", "d " * 40 + "e"]


def made_up(seed: int, count: int, words: str = "abcdefg") -> list[str]:
    generator = random.Random(seed)
    return [" ".join(generator.choices(words, k=generator.randrange(14))) for _ in range(count)]


def of_sacrebleu(hypotheses, references):
    from sacrebleu.metrics import BLEU

    counter = BLEU(tokenize="none", smooth_method="none", force=True, effective_order=True)
    lines = [counter.sentence_score(line, list(texts)) for line, texts in zip(hypotheses, references, strict=True)]
    return [[line.sys_len, line.ref_len, *line.counts, *line.totals] for line in lines]


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("chunk", [7, 1 << 14])
def test_counts_are_sacrebleus(most, chunk, monkeypatch):
    """Also over several chunks, with several references and fewer of some."""
    monkeypatch.setattr(line_ngrams, "CHUNK", chunk)
    generator = random.Random(0)
    hypotheses = made_up(1, 60, "abc") + LINES
    several = [made_up(seed, len(hypotheses), "abc") for seed in range(2, 2 + most)]
    references = [texts[: generator.randint(1, most)] for texts in zip(*several, strict=True)]
    found = bleu_counts(hypotheses, references)
    assert found.tolist() == of_sacrebleu(hypotheses, references)
    assert found[:, 2].sum() > 0 and found[:, 5].sum() > 0


def test_lines_of_very_many_words(monkeypatch):
    monkeypatch.setattr(line_ngrams, "WORD_BITS", 3)  # more than eight different words
    hypotheses, references = made_up(1, 40, "abcdefghijklmn"), [[line] for line in made_up(2, 40, "abcdefghijklmn")]
    references[3].append(hypotheses[3])
    assert bleu_counts(hypotheses, references).tolist() == of_sacrebleu(hypotheses, references)


def test_nothing_has_no_counts():
    assert bleu_counts([], []).shape == (0, 10)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_ngrams_of_lines(n):
    lines = made_up(3, 50) + LINES
    found, words = Words.of(lines).ngrams(n), [line.split() for line in lines]
    grams = [[tuple(each[place : place + n]) for place in range(len(each) - n + 1)] for each in words]
    assert len(found) == len(lines) and found.counts.tolist() == [len(each) for each in grams]
    assert found.words.tolist() == [len(each) for each in words]
    assert found.distinct == len({gram for each in grams for gram in each})
    names = {}
    for place, each in enumerate(grams):
        numbers, count = found[place]
        assert count == len(words[place]) and len(numbers) == len(each)
        assert all(names.setdefault(number, gram) == gram for number, gram in zip(numbers, each, strict=True))
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize("samples", [1, 3])
def test_what_a_context_has_alone(samples):
    lines = made_up(4, 60, "abcdefghijklmnopqrstuvwxyz")
    alone, common = Words.of(lines).ngrams(2).held_alone(np.arange(60) // samples, 60 // samples)
    sets = [{pair for line in lines[start : start + samples] for pair in zip(line.split(), line.split()[1:], strict=False)}
            for start in range(0, 60, samples)]  # fmt: skip
    everywhere = [pair for each in sets for pair in each]
    expected = [sum(everywhere.count(pair) == 1 for pair in each) for each in sets]
    assert alone.tolist() == expected and 0 < common == len({pair for pair in everywhere if everywhere.count(pair) > 1})


def test_any_choice_of_lines_is_one_again():
    found = Words.of(LINES).ngrams(2)
    for chosen in ([0, 3], [4, 0, 0], []):
        again = LineNgrams.of([found[place] for place in chosen])
        assert [again[place] for place in range(len(chosen))] == [found[place] for place in chosen]
    every_second = found[::2]
    assert [every_second[place] for place in range(len(every_second))] == [
        found[place] for place in range(0, len(LINES), 2)
    ]
    np.testing.assert_array_equal(LineNgrams.of(found).numbers, found.numbers)
