"""JSON lines of systems that were not trained here, beside ours, and seeds of one model in one row."""

import json

import numpy as np
import pytest

from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.metrics.bootstrap import Bootstrap
from fairseq_latent.evaluation.metrics.system_scores import mean_of_seeds
from fairseq_latent.evaluation.runs.outside_systems import read_outside
from tests.helpers.scored import BASE, OURS, conversation, fails, rows, score, text, write_files


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    (tmp_path / "ids").write_text("x:1\nx:3\ny:1\n")
    return tmp_path


def write(path, *lines):
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


def test_an_outside_system_is_measured_as_ours(files, capsys):
    order = (2, 0, 1)
    settings = {"top_p": 0.9}
    write(files / "by.jsonl", *({"id": at, "responses": [OURS[at]], "settings": settings} for at in order))
    write(files / "named.jsonl", *({"id": ("x:1", "x:3", "y:1")[at], "responses": [OURS[at]]} for at in order))
    write(files / "plain.jsonl", *({"responses": [line]} for line in OURS))
    found = rows(capsys, "base=base.gen", "o=ours.gen", "a=by.jsonl", "c=plain.jsonl", "--lang", "none")
    for name in "ac":
        assert found[name]["scores"] == found["o"]["scores"] and found[name]["comparison"] == found["o"]["comparison"]
    assert found["a"]["settings"] == '{"top_p": 0.9}' and found["c"]["settings"] is None
    named = rows(capsys, "base=base.gen", "o=ours.gen", "b=named.jsonl", "--lang", "none", "--ids", "ids")
    assert named["b"]["scores"] == named["o"]["scores"]
    assert score("base=base.gen", "a=by.jsonl", "--lang", "none") == 0
    assert '\na: decoded with {"top_p": 0.9}\n' in capsys.readouterr().out
    alone = rows(capsys, "c=plain.jsonl", "--reference", "references.txt", "--lang", "none")
    assert alone["c"]["scores"]["BLEU"]["value"] == found["o"]["scores"]["BLEU"]["value"]


BAD = {
    "no list": ([{"responses": "yes"}], "line 1: not of this form"),
    "no json": (["x"], "line 1: not of this form"),
    "no responses": ([{"responses": ["a"]}, {"responses": []}], "line 2: no responses"),
    "all blank": ([{"responses": [" "]}], "all responses are blank"),
    "unequal": ([{"responses": ["a"]}, {"responses": ["a", "b"]}], "1 responses to one context, 2 to another"),
    "some ids": ([{"id": 0, "responses": ["a"]}, {"responses": ["b"]}], "1 of 2 lines have no id"),
    "twice": ([{"id": 0, "responses": ["a"]}, {"id": "0", "responses": ["b"]}], "stands twice"),
    "two systems": ([{"system": "a", "responses": ["a"]}, {"system": "b", "responses": ["b"]}], "different system"),
    "strange id": ([{"id": 7, "responses": ["a"]}, {"id": 1, "responses": ["b"]}], "'7' is not in the test set"),
    "nothing": ([], "the file is empty"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_of_another_form_is_refused(tmp_path, name):
    lines, message = BAD[name]
    path = tmp_path / "x.jsonl"
    path.write_text("".join(f"{line if line == 'x' else json.dumps(line)}\n" for line in lines))
    with pytest.raises(InputError, match="remedy") as caught:
        read_outside(path)
    assert message in str(caught.value)


def test_another_test_set_is_refused(files, capsys):
    write(files / "two.jsonl", {"id": "x:1", "responses": ["a"]}, {"id": "y:1", "responses": ["b"]})
    assert "1 of 3 ids are missing (first: 'x:3')" in fails(capsys, "base=base.gen", "a=two.jsonl", "--ids", "ids")
    write(files / "two.jsonl", {"responses": ["a"]}, {"responses": ["b"]})
    assert "answer 3 and 2 contexts" in fails(capsys, "base=base.gen", "a=two.jsonl")


def test_equal_lengths_are_compared_beside(files, capsys):
    assert score("b=base.gen", "o=ours.gen", "--lang", "none", "--bootstrap", "0", "--equal-length", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    shortest = [min(len(one.split()), len(two.split())) for one, two in zip(BASE, OURS, strict=True)]
    alike = {row["name"]: row["scores"]["length"]["value"] for row in found["equal_length"]}
    assert alike["b"] == alike["o"] == pytest.approx(sum(shortest) / 3)
    raw = {row["name"]: row["scores"]["length"]["value"] for row in found["rows"]}
    assert raw["b"] == pytest.approx((6 + 2 + 5) / 3) and raw["o"] == pytest.approx((5 + 4 + 5) / 3)
    assert score("b=base.gen", "o=ours.gen", "--lang", "none", "--bootstrap", "0", "--equal-length") == 0
    assert "every response cut to the words of the shortest one" in capsys.readouterr().out


def test_seeds_are_a_row(files, capsys):
    for seed in (4, 5, 6):
        (files / f"seed{seed}").write_text(text(conversation(seed)[1]))
    flags = ("--reference", "r.txt", "--lang", "none", "--bootstrap", "200")
    apart = rows(capsys, "a=seed4", "b=seed5", "c=seed6", *flags)
    found = rows(capsys, "five=s5.txt", "m=seed4,seed5,seed6", *flags)["m"]
    values = [apart[name]["scores"]["F1"]["value"] for name in "abc"]
    of = found["scores"]["F1"]
    assert of["value"] == pytest.approx(np.mean(values)) and of["extra"]["seeds"] == values
    assert of["extra"]["sd"] == pytest.approx(np.std(values, ddof=1)) and "|seeds:3|" in of["signature"]
    assert found["seeds"] == 3 and found["file"] == "seed4,seed5,seed6"
    low, high = of["interval"]
    widths = [np.subtract(*apart[name]["scores"]["F1"]["interval"][::-1]) for name in "abc"]
    assert high - low > 1.5 * max(widths)  # the seeds differ by far more than contexts tell
    assert found["comparison"]["p_values"]["F1"] > 0.05  # 4, 5, 6 words of ten against 5
    assert score("five=s5.txt", "m=seed4,seed5,seed6", *flags) == 0
    assert "\nm: mean of 3 seeds, whose standard deviations are: " in capsys.readouterr().out


def test_the_mean_of_seeds_spreads_as_it_should():
    """Seeds that differ, contexts that do not: the variance of a mean of S seeds is their variance over S."""
    values = [{"x": np.full(20000, value)} for value in (1.0, 2.0, 6.0)]
    found = mean_of_seeds(values, Bootstrap(20000, 1))["x"]
    assert found.mean() == pytest.approx(3, abs=0.05)
    assert found.var() == pytest.approx(np.var([1, 2, 6], ddof=1) / 3, rel=0.05)
    assert mean_of_seeds(values[:1], Bootstrap(5, 1)) is values[0]
