"""Protocols as data: the papers' own, and what is wrong with a user's file."""

import pytest

from fairseq_latent.errors import InputError
from fairseq_latent.human_evaluation.protocol import built_in, read_protocol

OWN = """name = "politeness"
kind = "rating"
items = 10

[[criteria]]
name = "polite"
values = [1, 2, 3]
[criteria.en]
title = "Politeness"
question = "Is it polite?"
anchors = { 1 = "rude", 3 = "polite" }
"""


@pytest.fixture
def own(tmp_path):
    def read(text):
        (tmp_path / "own.toml").write_text(text, encoding="utf-8")
        return read_protocol(str(tmp_path / "own.toml"))

    return read


def test_the_papers_are_data():
    scales = {name: [each.values for each in read_protocol(name).criteria] for name in built_in()}
    assert scales["sensibleness-specificity"] == [(1, 2, 3, 4, 5), (0, 1, 2, 3, 4, 5)]  # 0: too noisy to judge
    assert scales["persona"] == [(0, 1, 2)] * 3
    assert [each.show_profile for each in read_protocol("persona").criteria] == [False, False, True]
    assert [read_protocol(name).items for name in ("sensibleness-specificity", "persona")] == [100, 50]
    assert all(read_protocol(name).languages() == ["en", "ja"] for name in built_in())


def test_a_protocol_of_ones_own(own):
    found = own(OWN)
    assert (found.name, found.items, found.average, found.shows_profile) == ("politeness", 10, None, False)
    assert found.criteria[0].wording["en"].anchors == {1: "rude", 3: "polite"}
    pairs = own(
        'name = "p"\nkind = "preference"\nties = false\n[[criteria]]\nname = "p"\nen = {title = "P", question = "?"}'
    )
    assert pairs.criteria[0].values == (1, 2)


@pytest.mark.parametrize(
    ("before", "after", "line", "words"),
    [
        ("values", "value", 7, "unknown key 'value'; remedy: values"),
        ('kind = "rating"', 'kind = "rank"', 2, "remedy: rating or preference"),
        ("items = 10", "items = 0", 3, "a whole number from 1"),
        ("[1, 2, 3]", "[1, 2, 12]", 7, "whole numbers from 0 to 9, rising"),
        ("[1, 2, 3]", "[3, 2, 1]", 7, "rising"),
        ("3 = \"polite\"", "4 = \"polite\"", 11, "anchor '4' is not of the scale"),
        ("question", "# question", 8, "there is no 'question'"),
        ("[criteria.en]", "[criteria.fr]", 8, "unknown key 'fr'; remedy: one of en, ja"),
        ('title = "Politeness"', 'title = ""', 9, "title is no text"),
        ("polite?\"", "polite?", 10, "not TOML"),
        ('name = "polite"', 'name = "item"', None, "cannot be called 'item'"),
    ],
)  # fmt: skip
def test_a_typo_is_named_by_its_line(own, before, after, line, words):
    with pytest.raises(InputError) as error:
        own(OWN.replace(before, after, 1))
    assert words in str(error.value) and "remedy: " in str(error.value)
    assert line is None or f"line {line}" in str(error.value) or words.startswith("there is no")


def test_unknown_names_get_the_nearest():
    with pytest.raises(InputError, match="perhaps persona; remedy: persona, preference, sensibleness-specificity"):
        read_protocol("personas")
