"""Sums per dialogue: their ratios are the measures themselves, and they come back from a file as they were."""

import json

import numpy as np
import pytest

from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.metrics.bootstrap import Bootstrap
from fairseq_latent.evaluation.metrics.dialogues.sums import (
    DialogueSums,
    as_json,
    by_dialogue,
    read_sums,
    sums_of,
    values,
    write_sums,
)
from fairseq_latent.evaluation.metrics.response_metrics import Distinct
from fairseq_latent.evaluation.metrics.score import System, measured_systems, scored
from fairseq_latent.evaluation.runs.response_files import Generation

ANSWERS = (("i like tea", "tea please"), ("i like the sea", "no"), ("yes", "i like tea a lot"), ("yes", "yes we do"))
REFERENCES = ("i love tea", "the sea is cold", "no", "yes we do")
DIALOGUES = ["b", "a", "b", "c"]


def system(samples: int) -> System:
    """Responses to four contexts of three dialogues."""
    rows = enumerate(zip(ANSWERS, REFERENCES, strict=True))
    return System("s", "file", tuple(Generation(row, "hello", text, words[:samples]) for row, (words, text) in rows))


def test_numerators_and_denominators_by_hand():
    found = by_dialogue(DIALOGUES, {"worth": ([1.0, 2.0, 4.0, 8.0], [1, 1, 1, 1])})
    assert found.dialogues == ("a", "b", "c")
    assert found.sums["worth"].tolist() == [[2, 1], [5, 2], [8, 1]]
    assert found.value("worth") == 15 / 4
    nats = by_dialogue(["a", "a"], {"rec_ppl": ([1.0, 2.0], [1, 2])})
    assert nats.value("rec_ppl") == pytest.approx(np.e)  # 3 nats of 3 tokens
    assert values("worth", np.array([[0.0, 0.0]])).tolist() == [0.0]


@pytest.mark.parametrize("samples, hypothesis", [(1, "first"), (2, "mean"), (2, "all")])
def test_the_ratio_is_the_score(samples, hypothesis):
    measured = measured_systems([system(samples)], "none", hypothesis)
    rows = scored(measured, 0, 1, None)
    for row, found in zip(rows, (each for _, each in measured), strict=True):
        sums = sums_of(found, DIALOGUES)
        assert {"length", "dist-1", "Distinct-2"} <= sums.sums.keys() and "inter-dist-1" not in sums.sums
        assert ("F1" in sums.sums) is (row.file is not None)
        for name in ("length", "F1", *(("dist-1", "Distinct-2") if hypothesis == "first" else ())):
            if name in sums.sums:
                assert sums.value(name) == pytest.approx(row.scores[name].value), name


def test_distinct_ngrams_of_several_samples_are_counted_in_each():
    """Of two responses per context the ratio is that of all, weighted by their words."""
    metric = Distinct(1, "tok:none", "words")
    lines = [words for answers in ANSWERS for words in answers]
    (_, found), *_ = measured_systems([system(2)], "none", "mean")[1:]
    sums = sums_of(found, DIALOGUES).sums["Distinct-1"].sum(0)
    parts = [metric.score(metric.statistics(lines[sample::2])).extra for sample in (0, 1)]
    assert sums.tolist() == pytest.approx([sum(part[name] for part in parts) for name in ("distinct", "total")])


def test_groups_of_one_line_are_contexts():
    metric = Distinct(2, "tok:none")
    statistics = metric.statistics([words for words, _ in ANSWERS])
    np.testing.assert_array_equal(
        metric.grouped(statistics, np.arange(len(statistics)), len(statistics)), metric.table(statistics)
    )


def test_what_is_measured_on_other_dialogues_adds_nothing_there():
    one, two = by_dialogue(["a", "b"], {"x": ([1, 2], [1, 1])}), by_dialogue(["b", "c"], {"y": ([5, 7], [1, 1])})
    found = one.joined(two)
    assert found.dialogues == ("a", "b", "c")
    assert found.sums["x"].tolist() == [[1, 1], [2, 1], [0, 0]] and found.value("y") == 6


def test_resamples_are_those_of_dialogues():
    found = by_dialogue(["a", "a", "b"], {"x": ([0, 0, 3], [1, 1, 1])}).resampled("x", Bootstrap(400, 1))
    assert set(found.tolist()) == {0.0, 1.0, 3.0}  # twice a, both, twice b


def test_a_file_comes_back_as_it_was(tmp_path):
    sums = by_dialogue(DIALOGUES, {"rec_ppl": ([1.23456, 2, 3, 4], [5, 6, 7, 8])})
    write_sums(tmp_path / "sums.json", {"s": sums, "of others": by_dialogue(["z"], {"x": ([1], [2])})})
    found = read_sums(tmp_path / "sums.json")
    assert found["s"].dialogues == ("a", "b", "c", "z")
    assert found["s"].sums["rec_ppl"].tolist() == [[2, 6], [4.2346, 12], [4, 8], [0, 0]]
    assert json.loads(as_json({"s": sums}))["systems"]["s"]["rec_ppl"] == [[2, 4.2346, 4], [6, 12, 8]]


@pytest.mark.parametrize(
    "content",
    ("", "[]", '{"dialogues": ["a"], "systems": {"s": {"x": [[1, 2], [1]]}}}', '{"dialogues": 1, "systems": {}}'),
)
def test_damaged_files_are_named(tmp_path, content):
    (tmp_path / "sums.json").write_text(content)
    with pytest.raises(InputError, match="sums.json: these are no sums per dialogue; remedy"):
        read_sums(tmp_path / "sums.json")


def test_nothing_is_a_dialogue_of_its_own():
    assert sums_of([], ["a"]) == DialogueSums(("a",), {})
