"""Each convention by hand, or against numbers that the library which defines it prints."""

import json
import math
import re
from pathlib import Path

import pytest

from fairseq_latent.evaluation.metrics.conventions.nltk_bleu import sentence_bleu
from fairseq_latent.evaluation.metrics.conventions.rules import CONVENTIONS, clean
from fairseq_latent.text.word_tokenizers import tokenizer
from tests.helpers.scored import fails, score, write_files

PAGE = Path(__file__).parents[4] / "docs/conventions.md"
# nltk's own example, and what its documentation prints for it: 0.4118 with method 1, 0.4905 with method 7
GUIDE = "It is a guide to action which ensures that the military always obeys the commands of the party"
ACTION = "It is a guide to action that ensures that the military will forever heed Party commands"
EVENLY = [0.25] * 4


def numbers(name, texts, references):
    found = CONVENTIONS[name].measure(texts, references, tokenizer("none"))
    return {each.name: each.value for each in found}


def test_smoothed_bleu_is_nltks():
    assert sentence_bleu(GUIDE.split(), [ACTION.split()], EVENLY, 1, 0.1) == pytest.approx(0.4118, abs=5e-5)
    assert sentence_bleu(GUIDE.split(), [ACTION.split()], EVENLY, 7, 0.1) == pytest.approx(0.4905, abs=5e-5)
    assert sentence_bleu(["x"], [["y"]], EVENLY, 1, 0.1) == 0  # no word matches


def test_method_7_by_hand():
    # a c against a b: orders 1/2, 0/1, 0/1, 0/1 and 0/1. Method 4: ln 2 / (2^t * 5); method 5: means of three
    second, third, fourth = (math.log(2) / (2**times * 5) for times in (1, 2, 3))
    first = (1.5 + 0.5 + second) / 3
    found = sentence_bleu(["a", "c"], [["a", "b"]], [0.5, 0.5, 0, 0], 7, 0.1)
    assert found == pytest.approx(math.sqrt(first * (first + second + third) / 3))
    assert sentence_bleu(["a"], [["a", "b"]], [1, 0, 0, 0], 7, 0.1) == pytest.approx(math.exp(1 - 2) * (2 + 1 + 0) / 3)
    assert fourth > 0


TEXTS, WANTED = ["A cat , the cat", "No"], [("the cat",), ("no !", "yes")]


def test_parlai():
    found = numbers("parlai", TEXTS, WANTED)
    # cat cat against cat: 2 * 1 / 3; no against no: 1
    assert found["f1"] == pytest.approx((2 / 3 + 1) / 2)
    # cat cat: 1/2, (0 + e) / 1, ...; no: 1, e, e, e
    first = (0.5 * 1e-36) ** 0.25
    assert found["bleu-4"] == pytest.approx((first + 1e-36**0.25) / 2)
    assert found["interdistinct-1"] == pytest.approx(2 / 3) and found["interdistinct-2"] == 1


def test_sato_and_cho_have_other_denominators():
    texts = ["a b a b", "a b"]
    assert numbers("sato2021", texts, None) == {
        "dist-1": pytest.approx(100 * 2 / 6),
        "dist-2": pytest.approx(100 * 2 / 4),
    }
    assert numbers("cho2022", texts, None)["Distinct-2"] == pytest.approx(2 / 6)
    assert numbers("sato2021", texts, [("a b a b",), ("a b",)])["BLEU"] == pytest.approx(100)


def test_dstc7_and_dialogpt_clean_alike_and_scale_otherwise():
    one, other = numbers("dstc7", TEXTS, WANTED), numbers("dialogpt", TEXTS, WANTED)
    assert other["BLEU-4"] == pytest.approx(100 * one["BLEU-4"])
    assert other["dist-1"] == pytest.approx(100 * one["dist-1"]) == pytest.approx(100 * 5 / 6)  # a cat , the cat, no
    assert one["entropy-4"] == pytest.approx(math.log(2)) and one["length"] == 3
    assert clean("I don't know:). see https://x.org [ Git ] ( http://y ) WON'T … 3.5") == (
        "i do n't know : ) . see __url__ git will n't 3.5"
    )


def test_plato_takes_words_as_they_are():
    found = numbers("plato", ["a c"], [("a b", "a c")])  # the first reference alone
    assert found["bleu-1"] == pytest.approx((1.5 + 0.5 + math.log(2) / 10) / 3)
    assert found["distinct-1"] == found["distinct-2"] == 1


def test_one_table_has_all(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    asked = ("base=base.gen", "ours=ours.gen", "--lang", "none", "--conventions", ",".join(CONVENTIONS))
    assert score(*asked) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["convention", "metric", "Reference", "base", "ours"]
    for name in CONVENTIONS:
        assert f"\n{name}: " in out
    assert "parlai bleu-4: bleu|order:4|level:sentence|smooth:nltk-1" in out
    assert score(*asked, "--format", "json") == 0
    found = json.loads(capsys.readouterr().out)["conventions"]
    assert found.keys() == CONVENTIONS.keys() and found["plato"].keys() == {"Reference", "base", "ours"}
    assert "no such convention" in fails(capsys, "base=base.gen", "--conventions", "nobody2020")


def test_the_page_lists_every_convention():
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| (.*) \|$", PAGE.read_text("utf-8"), flags=re.MULTILINE))
    assert rows.keys() == CONVENTIONS.keys()
    for name, convention in CONVENTIONS.items():
        assert re.match(r"\w+( et al\., \d+)?", convention.source)[0] in rows[name], name
