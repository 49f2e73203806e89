"""Similarities of a response and a profile, each counted by hand."""

import math

import numpy as np
import pytest

from fairseq_latent.errors import InputError
from fairseq_latent.text.similarity import SIMILARITIES, Frequencies, coverage, similarity, words
from fairseq_latent.text.word_vectors import WordVectors, load_vectors

from ..helpers.releases import real


def frequencies(*texts):
    found = Frequencies()
    for text in texts:
        found.add(text)
    return found


def vectors(**rows):
    return WordVectors(
        {word: place for place, word in enumerate(rows)}, np.array(list(rows.values()), np.float32), "own"
    )


def test_words_are_lower_case_without_punctuation():
    assert words("I'm fine , you?") == ["i", "m", "fine", "you"]
    assert words("海 が 好き 。") == ["海", "が", "好き"]


def test_idf_by_hand():
    found = frequencies("tea", "tea is")
    assert found.idf("tea") == 1.0  # ln(3 / 3) + 1
    assert found.idf("is") == pytest.approx(math.log(3 / 2) + 1)
    assert found.idf("new") == pytest.approx(math.log(3 / 1) + 1)


def test_tfidf_by_hand():
    measure = similarity("tfidf", frequencies("tea", "tea is"))
    other = math.log(3 / 2) + 1
    assert measure("Tea !", ["tea is"]) == pytest.approx(1 / math.sqrt(1 + other**2))
    assert measure("tea tea is", ["i ski", "tea is"]) == pytest.approx(
        (2 + other**2) / math.sqrt((4 + other**2) * (1 + other**2))
    )
    assert measure("tea", ["i ski"]) == measure("...", ["tea"]) == 0.0


def test_f1_by_hand():
    measure = similarity("f1", Frequencies())
    assert measure("i love the tea", ["I love tea."]) == 1.0  # articles do not count
    assert measure("i love tea", ["i ski"]) == pytest.approx(2 * 1 / (3 + 2))
    assert measure("i love tea", ["i ski", "i love snow"]) == pytest.approx(2 * 2 / (3 + 3))
    assert measure("!", ["?"]) == 0.0


def test_embedding_by_hand():
    """One text: every idf is ln(2 / 2) + 1 = 1, and the mean is the plain one, (2, 5/3)."""
    found = frequencies("sea tea ski")
    measure = similarity("embedding", found, vectors(sea=(3, 1), tea=(1, 1), ski=(2, 3), far=(9, 9)))
    # centred: sea (1, -2/3), tea (-1, -2/3), ski (0, 4/3)
    assert measure("sea", ["sea"]) == pytest.approx(1)
    assert measure("sea", ["tea"]) == 0.0  # (-1 + 4/9) / (13/9), below 0
    assert measure("sea ski", ["tea", "sea unknown"]) == pytest.approx((1 - 4 / 9) / (13 / 9))
    assert measure("unknown", ["sea"]) == measure("sea", ["unknown"]) == 0.0


def test_embedding_weighs_words_by_idf():
    found = frequencies("sea", "sea tea")  # idf: sea 1, tea w
    weight = math.log(3 / 2) + 1
    table = {"sea": np.array([1.0, 2.0, 0.0]), "tea": np.array([0.0, 1.0, 3.0])}
    mean = (2 * table["sea"] + weight * table["tea"]) / (2 + weight)
    first = table["sea"] - mean + weight * (table["tea"] - mean)
    second = weight * (table["tea"] - mean)
    expected = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    measure = similarity("embedding", found, vectors(**{word: tuple(row) for word, row in table.items()}))
    assert measure("sea tea", ["tea"]) == pytest.approx(max(0, expected), abs=1e-6)


def test_keyword_cosine_by_hand():
    found = frequencies("a b c d")  # no word is rare in so little text: all are keywords
    rows = {"a": (2, 0, 0), "b": (0.6, 0.8, 0), "c": (0.3, 0, 0.91**0.5), "d": (0.1, 0.99**0.5, 0), "e": (-1, 0, 0)}
    measure = similarity("keyword_cosine", found, vectors(**rows))
    assert measure("a", ["b c"]) == pytest.approx(0.6)  # the largest, at least 0.4
    assert measure("a", ["c d"]) == pytest.approx((0.3 + 0.1) / 2)  # none is: their mean
    assert measure("e", ["b", "c"]) == pytest.approx(0.6)  # absolute values
    assert measure("a x", ["x"]) == measure("x", ["a"]) == 0.0


def test_keywords_are_rare_but_not_unique():
    """Of 3,000 words, less than 3 times and more than once."""
    found = frequencies(*["the"] * 2995, "sea", "sea", "tea", "ski ski")
    table = vectors(the=(1, 0), sea=(0, 1), tea=(1, 0), ski=(1, 0))
    assert found.counts.total() == 3000
    measure = similarity("keyword_cosine", found, table)
    assert measure("the", ["the sea tea"]) == 0.0  # sea alone
    assert measure("the", ["the tea"]) == 1.0  # no keyword: all words


@pytest.mark.parametrize("name", SIMILARITIES)
def test_all_lie_between_0_and_1_and_ignore_the_order_of_sentences(name):
    generator = np.random.default_rng(1)
    found = frequencies("a b c d e f", "a b", "c")
    table = vectors(**{word: tuple(generator.normal(size=4)) for word in "abcdef"})
    measure = similarity(name, found, table)
    for _ in range(50):
        response = " ".join(generator.choice(list("abcdefg"), 3))
        profile = [" ".join(generator.choice(list("abcdefg"), 2)) for _ in range(3)]
        assert 0 <= measure(response, profile) <= 1
        assert measure(response, profile) == pytest.approx(measure(response, profile[::-1]))


def test_vectors_that_are_missing_or_of_other_words_are_refused():
    for name in ("embedding", "keyword_cosine"):
        with pytest.raises(InputError, match=f"{name} needs word vectors; remedy: --vectors FILE"):
            similarity(name, frequencies("sea"))
        with pytest.raises(InputError, match="have no word of the text; remedy: "):
            similarity(name, frequencies("sea"), vectors(tea=(1, 2)))


def test_coverage_counts_words():
    assert coverage(frequencies("sea sea tea ski"), vectors(sea=(1, 2), tea=(3, 4))) == 0.75


def test_real_vectors_tell_near_from_far():
    table = load_vectors(real("vectors/glove.6B.50d.top50k.w2v.txt.gz"))
    assert table.matrix.shape == (50_000, 50)
    sentences = (
        "i have a dog",
        "i pay taxes",
        "my cat sleeps",
        "we ski in winter",
        "he reads old books",
        "rent is high",
    )
    measure = similarity("embedding", frequencies(*sentences), table)
    assert measure("my cat sleeps", sentences[:2]) > 0.05 > measure("my cat sleeps", sentences[1:2])
