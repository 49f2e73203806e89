"""Intervals and comparisons as `fairseq-latent score` gives them."""

import json
import os
import subprocess
import sys

import pytest

from tests.helpers.scored import BASE, TWO, conversation, fails, generated, rows, score, write_files


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with systems and their references; the test runs inside it."""
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    return tmp_path


def test_intervals_and_p_values_are_those_of_the_sacrebleu_command(files, capsys):
    flags = "--paired-bs --paired-bs-n 100 --force --tokenize none --smooth-method none --format json --width 6"
    command = [sys.executable, "-m", "sacrebleu", "r.txt", "-i", "s5.txt", "s7.txt", *flags.split()]
    environment = os.environ | {"SACREBLEU_SEED": "3"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=True)
    five, seven = (found["BLEU"] for found in json.loads(done.stdout))
    ours = rows(capsys, *TWO, "--seed", "3")
    for name, theirs in (("five", five), ("seven", seven)):
        bleu = ours[name]["scores"]["BLEU"]
        assert bleu["value"] == pytest.approx(theirs["score"], rel=1e-4)
        assert (bleu["interval"][1] - bleu["interval"][0]) / 2 == pytest.approx(theirs["ci"], rel=1e-3)
    assert ours["seven"]["comparison"]["sacrebleu_p"] == pytest.approx(seven["p_value"])


def test_each_score_has_an_interval_around_it(files, capsys):
    for row in rows(capsys, *TWO).values():
        for found in row["scores"].values():
            if found["name"] == "gzip ratio":  # no sum over contexts
                assert found["interval"] is None and "bs:" not in found["signature"]
                continue
            low, high = found["interval"]
            if found["name"] == "duplicates":  # nothing is repeated here
                assert low == found["value"] == high == 0
                continue
            assert low < found["value"] < high
            kind = "jackknife-percentile" if "ist" in found["name"] else "percentile"
            assert found["signature"].endswith(f"|interval:{kind}|bs:100|seed:1")


def test_the_seed_decides(files, capsys):
    one = rows(capsys, *TWO)
    assert rows(capsys, *TWO) == one
    other = rows(capsys, *TWO, "--seed", "2")
    assert other["five"]["scores"]["BLEU"]["interval"] != one["five"]["scores"]["BLEU"]["interval"]
    assert other["five"]["scores"]["BLEU"]["value"] == one["five"]["scores"]["BLEU"]["value"]


def test_a_better_system_gets_a_mark(files, capsys):
    found = rows(capsys, *TWO)
    assert found["five"]["comparison"] is None
    assert found["Reference"]["comparison"] is None
    comparison = found["seven"]["comparison"]
    assert comparison["baseline"] == "five"
    assert comparison["p_values"]["BLEU"] == 1 / 101  # seven words of ten against five
    assert comparison["p_values"]["length"] == 1  # as long, line by line
    assert score(*TWO) == 0
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if line.startswith("seven "))
    assert line.split()[1].startswith("*")
    assert not line.split()[-1].startswith("*")
    assert max(map(len, out.split("\n\n")[0].splitlines())) <= 100
    assert "*: p < 0.05 against five, two-sided" in out
    assert "seven against five, p: BLEU 0.010, " in out


def test_another_baseline(files, capsys):
    forth = rows(capsys, *TWO)["seven"]["comparison"]
    back = rows(capsys, *TWO, "--baseline", "seven")
    assert back["seven"]["comparison"] is None
    assert back["five"]["comparison"] == forth | {"baseline": "seven"}
    assert "no such system; remedy: one of five, seven" in fails(capsys, *TWO, "--baseline", "nine")


def test_identical_systems_do_not_differ(files, capsys):
    found = rows(capsys, "a=s5.txt", "b=s5.txt", "--reference", "r.txt", "--bootstrap", "40")
    assert set(found["b"]["comparison"]["p_values"].values()) == {1.0}


def test_contexts_are_resampled_not_responses(files, capsys):
    """Saying everything twice is no more evidence: the intervals of lengths and BLEU stay as they are."""
    (files / "once.gen").write_text(generated([[line] for line in BASE]), encoding="utf-8")
    (files / "twice.gen").write_text(generated([[line, line] for line in BASE]), encoding="utf-8")
    once = rows(capsys, "x=once.gen", "--hypothesis", "all")["x"]["scores"]
    twice = rows(capsys, "x=twice.gen", "--hypothesis", "all")["x"]["scores"]
    for name in ("length", "BLEU", "F1"):
        assert once[name]["interval"] == pytest.approx(twice[name]["interval"])
        assert once[name]["interval"][0] < once[name]["interval"][1]
    assert once["dist-1"]["interval"][1] == pytest.approx(2 * twice["dist-1"]["interval"][1])


def test_one_context_has_no_interval(files, capsys):
    (files / "one.txt").write_text("hello\n", encoding="utf-8")
    assert score("a=one.txt", "b=one.txt") == 0
    out = capsys.readouterr().out
    assert "±" not in out
    assert "one context has no spread, so no intervals" in out


@pytest.mark.parametrize("number", ["-1", "1", "39"])
def test_bad_numbers_of_resamples(files, capsys, number):
    assert "too few for 95 % intervals" in fails(capsys, *TWO, "--bootstrap", number)


def test_negative_seed(files, capsys):
    assert "--seed -1 is out of range; remedy: from 0" in fails(capsys, *TWO, "--seed", "-1")


def three_systems(files):
    """Responses of three models to the same contexts, and one file with all three to each."""
    references, five = conversation(5)
    columns = [five, conversation(7)[1], conversation(3)[1]]
    (files / "three.gen").write_text(generated(list(zip(*columns, strict=True)), references), encoding="utf-8")
    for name, lines in zip("abc", columns, strict=True):
        (files / f"{name}.gen").write_text(generated([[line] for line in lines], references), encoding="utf-8")


def test_the_mean_of_samples_is_the_mean_of_as_many_systems(files, capsys):
    three_systems(files)
    flags = ("--lang", "none", "--bootstrap", "100")
    apart = rows(capsys, "a=a.gen", "b=b.gen", "c=c.gen", *flags)
    found = rows(capsys, "x=three.gen", *flags, "--hypothesis", "mean")["x"]
    for name, score_ in found["scores"].items():
        if name.startswith("inter-dist"):
            continue  # of the samples of a context, so there is one value
        values = [apart[system]["scores"][name]["value"] for system in "abc"]
        assert score_["value"] == pytest.approx(sum(values) / 3), name
        if name in ("gzip ratio", "duplicates"):  # without an interval, and without a repetition
            assert "|mean-of-samples:3" in score_["signature"]
            continue
        assert "|mean-of-samples:3|" in score_["signature"]
        low, high = score_["interval"]
        assert low < score_["value"] < high
    together = rows(capsys, "x=three.gen", *flags, "--hypothesis", "all")["x"]["scores"]
    assert together["dist-1"]["value"] < found["scores"]["dist-1"]["value"] / 2
    assert found["scores"]["inter-dist-1"] == together["inter-dist-1"]
    assert found["scores"]["F1"]["interval"] == pytest.approx(together["F1"]["interval"])  # of additive ones the same


def test_the_mean_of_one_sample_is_the_sample(files, capsys):
    three_systems(files)
    assert rows(capsys, "a=a.gen", "--hypothesis", "mean", "--bootstrap", "0") == rows(
        capsys, "a=a.gen", "--bootstrap", "0"
    )
