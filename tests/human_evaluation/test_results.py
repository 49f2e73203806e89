"""Agreement against published examples and oracles, tests against scipy and by hand, whole studies with a planted truth."""

import json
import time
from itertools import product

import numpy as np
import pytest
from scipy import stats

from fairseq_latent.cli import main
from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.metrics.bootstrap import Bootstrap
from fairseq_latent.evaluation.tables import Column, render
from fairseq_latent.human_evaluation.protocol import read_protocol
from fairseq_latent.human_evaluation.ratings import files_of, read_ratings
from fairseq_latent.human_evaluation.results import agreement, comparison, correlation, power
from fairseq_latent.human_evaluation.results.analysis import analyse
from fairseq_latent.human_evaluation.results.tables import as_json, as_text, beside_the_paper
from fairseq_latent.human_evaluation.study import read_key

from ..helpers.cases import cases
from .made_up import play, saved, send, study, written

NAN = np.nan


def table(rows):
    return np.array([[NAN if value is None else value for value in row] for row in rows], dtype=float)


@pytest.mark.parametrize(("inputs", "expected"), cases("fleiss_kappa"))
def test_kappa(inputs, expected):
    found = agreement.fleiss_kappa(np.array(inputs["counts"]))
    numbers = found.mean_agreement, found.chance_agreement, *found.category_shares
    wanted = expected["mean_agreement"], expected["chance_agreement"], *expected["category_shares"]
    assert numbers == pytest.approx(wanted, abs=1e-8)
    assert found.kappa == pytest.approx(expected["kappa"], abs=1e-8)  # None of one category


@pytest.mark.parametrize(("inputs", "expected"), cases("ratings"))
def test_tables_with_and_without_holes(inputs, expected):
    ratings = table(inputs["ratings"])
    counts = agreement.counts_of(ratings, inputs["categories"])
    assert counts.tolist() == expected["counts"]
    complete = agreement.complete(counts, ratings.shape[1])
    pairs = agreement.pairs(ratings)
    found = {
        "mean": comparison.mean(ratings[None])[0],
        "ratings": int((~np.isnan(ratings)).sum()),
        "missing": int(np.isnan(ratings).sum()),
        "kappa_complete_items": agreement.fleiss_kappa(complete).kappa,
        "complete_items": len(complete),
        "kappa_unequal": agreement.fleiss_kappa(counts).kappa,
        "pearson_mean": agreement.mean_of(pairs)[0],
        "pairs_used": agreement.mean_of(pairs)[1],
    }
    assert found == pytest.approx({name: expected[name] for name in found}, abs=1e-8)
    for pair, wanted in zip(pairs, expected["pearson_pairs"], strict=True):
        assert (list(pair.raters), pair.items) == (wanted["raters"], wanted["items"])
        assert pair.r == pytest.approx(wanted["r"], abs=1e-8)


# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), example C: four observers, twelve units, some missing
OBSERVERS = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
    (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
)


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_the_published_example(level, published):
    counts = agreement.counts_of(table(OBSERVERS).T, range(1, 6))
    assert round(agreement.krippendorff_alpha(counts, range(1, 6), level), 3) == published
    assert agreement.krippendorff_alpha(counts[:, :1] * 0 + [[3, 0]], (1, 2)) is None  # nothing but one value


def test_correlations_are_scipys():
    draw = np.random.default_rng(1)
    x, y = draw.integers(0, 5, (2, 40)).astype(float)
    assert agreement.correlation(x, y, ranks=True) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert correlation.kendall_of(x, y) == pytest.approx(stats.kendalltau(x, y).statistic)
    # a resample is what stands in it so often
    weights = np.bincount(draw.integers(0, 40, 40), minlength=40).astype(float)
    copies = np.repeat(np.arange(40), weights.astype(int))
    found = [of(x, y, weights[None])[0] for of in (correlation._spearmans, correlation._kendalls)]
    wanted = stats.spearmanr(x[copies], y[copies]).statistic, stats.kendalltau(x[copies], y[copies]).statistic
    assert found == pytest.approx(wanted)
    rows = np.stack([y, x])
    both = [correlation._of_rows(np.stack([x, x]), rows, signs)[0] for signs in (False, True)]
    assert both == pytest.approx([stats.spearmanr(x, y).statistic, stats.kendalltau(x, y).statistic])


def test_paired_tests():
    # Holm by hand: 3 * .01, 2 * .02, 1 * .04, never falling
    assert comparison.holm([0.04, 0.01, 0.02, 1.0][:3]) == pytest.approx([0.04, 0.03, 0.04])
    assert comparison.holm([0.9, 0.8]) == [1.0, 1.0]
    assert comparison.wilcoxon_p(np.zeros(5)) == comparison.permutation_p(np.zeros(5), 1) == 1.0
    # by hand: of the 8 choices of signs of 1, 1, 1 two give a sum as far from 0 as 3
    assert comparison.permutation_p(np.ones(3), 1) == 0.25
    draw = np.random.default_rng(1)
    differences = draw.normal(0.3, 1, 60)
    exact = comparison.permutation_p(differences[:12], 1)
    signs = [abs(np.dot(each, differences[:12])) >= abs(differences[:12].sum()) for each in product((1, -1), repeat=12)]
    assert exact == pytest.approx(np.mean(signs))
    assert comparison.permutation_p(differences, 1) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.01)


def test_intervals_are_over_contexts_and_raters():
    """Raters who differ only in how high they rate: contexts alone would say that nothing is uncertain."""
    cube = np.tile(np.array([1.0, 2.0, 3.0]), (1, 20, 1))  # (1, 20, 3)
    low, high = comparison.interval_of(comparison.bootstrap_means(cube, Bootstrap(500))[0])
    assert low < 1.5 and high > 2.5
    ends = comparison.interval_of(comparison.bootstrap_means(cube[:, :, 1:2], Bootstrap(100))[0])
    assert ends == (2.0, 2.0)


@pytest.mark.parametrize(("inputs", "expected"), cases("human_means"))
def test_means_are_printed_as_the_paper_prints_them(inputs, expected):
    dialogues, raters = inputs["dialogues"], inputs["raters"]
    for name, total in expected["sums_of_ratings"].items():
        scores = np.zeros(dialogues * raters)  # as few 2 as give the sum
        scores[: total // 2], scores[total // 2 : total // 2 + total % 2] = 2, 1
        value = comparison.mean(scores.reshape(1, dialogues, raters))[0]
        assert expected["printed"][name] in render([Column(name, 3)], [[value]])


# --- whole studies -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def persona(tmp_path_factory):
    """Three systems, each better than the one before, 4 of 5 raters per context."""
    made = study("persona", raters=5, contexts=30, per_item=4, repeat=0.1, checks=1)
    folder = written(tmp_path_factory.mktemp("persona") / "study", made)
    play(made, folder)
    return folder


def results(folder, **options):
    made = read_key(folder / "key.json")
    return analyse(made, read_ratings(made, files_of(folder)), options.pop("resamples", 200), 1, **options)


def test_the_planted_order_is_found(persona):
    found = results(persona)
    for name in found.columns:
        low, middle, high = (found.means[system][name] for system in ("alpha", "beta", "gamma"))
        assert low.interval[1] < high.interval[0] and low.value < middle.value < high.value
        assert low.ratings == 30 * 4
        assert all(test.difference < 0 and test.wilcoxon_holm < 0.05 for test in found.tests[name])
        assert [test.contexts for test in found.tests[name]] == [30] * 3
    for each in found.agreement:
        assert 0.2 < each.unequal.kappa < each.alpha < 1 and each.pairs == 10
        assert each.complete.items == each.unequal.items  # four raters each, as planned
    for rater in found.raters:
        assert rater.remarks == () and rater.checks_passed == rater.checks == 1 and rater.seconds == 7.5
        assert rater.repeated == 3 * round(0.1 * rater.assigned / 1.1) or rater.repeated > 0


def test_raters_who_stand_out_are_named_and_can_be_left_out(persona, tmp_path):
    made = read_key(persona / "key.json")
    folder = written(tmp_path / "study", made)
    play(made, folder)
    bored = saved(made, "r5", lambda task, criterion: 1)
    for row in bored["ratings"]:
        row["seconds"] = 1.0
    send(folder, bored)
    found = results(folder, resamples=0)
    assert [bool(rater.remarks) for rater in found.raters] == [False] * 4 + [True]
    remarks = " ".join(found.raters[4].remarks)
    for words in ("1 of 1 attention checks failed", "coherence is always 1", "1.0 s per item"):
        assert words in remarks
    without = results(folder, resamples=0, without=["r5"])
    assert without.left_out == ("r5",) and without.agreement[0].alpha > found.agreement[0].alpha
    with pytest.raises(InputError, match="no such rater; remedy: one of r1, r2"):
        results(folder, without=["x"])


def test_every_format_has_every_table(persona, capsys):
    found = results(persona)
    headings = ("Means", "Paired tests over contexts", "Agreement of raters", "Raters")
    for style in ("text", "markdown", "latex"):
        text = as_text(found, style, "alpha")
        assert all(heading in text for heading in headings)
        assert "Cho et al. (2022), Table 1 reports: Fleiss' kappa around 0.33" in text.replace(
            r"\textquotesingle{}", "'"
        )
    assert main(["agreement", str(persona), "--bootstrap", "0", "--baseline", "gamma"]) == 0
    printed = capsys.readouterr().out
    assert "against gamma" in printed and "±" not in printed
    assert main(["agreement", str(persona), "--baseline", "x"]) == 2
    assert main(["agreement", str(persona / "nowhere")]) == 2


def test_a_report_can_show_them_beside_the_paper(persona, tmp_path):
    (tmp_path / "a.json").write_text(as_json(results(persona)))
    columns, rows, note = beside_the_paper(tmp_path / "a.json")
    text = render(columns, rows)
    assert [column.header for column in columns[2:]] == ["Coherence", "Engagingness", "Persona relevancy"]
    assert len(rows) == 3 + 6 and "1.177" in text and "Cho et al. (2022), Table 1" in text
    assert "Fleiss' kappa around 0.33" in note
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(InputError, match="remedy: --format json"):
        beside_the_paper(tmp_path / "b.json")


def test_the_average_is_the_mean_of_the_criteria(tmp_path):
    made = study("sensibleness-specificity", raters=2, contexts=5)
    folder = written(tmp_path / "study", made)
    for rater in made.raters:
        send(folder, saved(made, rater, lambda task, criterion: 4 if criterion.name == "sensibleness" else 1))
    found = results(folder, resamples=50).means["beta"]
    assert {name: each.value for name, each in found.items()} == {"Sensibleness": 4, "Specificity": 1, "Avg.": 2.5}
    assert found["Avg."].interval == (2.5, 2.5)


def test_preferences(tmp_path):
    """Whoever is shown first: beta always wins against alpha, and equal responses are ties."""
    made = study("preference", raters=3, contexts=9, systems=("alpha", "beta"))
    folder = written(tmp_path / "study", made)
    for rater in made.raters:
        send(folder, saved(made, rater, lambda task, criterion: 1 if task.swapped else 2))
    found = results(folder, resamples=100)
    share = found.shares["alpha : beta"]["Preference"]
    assert (share.first, share.second, share.ratings) == (0, pytest.approx(8 / 9), 27)
    assert share.tie == pytest.approx(1 / 9)  # the first context, where both say the same
    assert found.means["alpha : beta"]["Preference"].value == pytest.approx(-8 / 9)
    (test,) = found.tests["Preference"]
    assert (test.first, test.second, test.contexts) == ("alpha", "beta", 9) and test.permutation == 2 / 2**8
    assert "Which was preferred" in as_text(found, "text", "alpha")


def test_metrics_are_correlated_with_ratings(persona, tmp_path):
    scored = [
        {"name": name, "scores": {"BLEU": {"value": value}}}
        for name, value in (("alpha", 1.0), ("beta", 2.0), ("gamma", 4.0), ("other", 0.0))
    ]
    made = read_key(persona / "key.json")
    items = [
        {"system": name, "id": context.id, "scores": {"luck": float((place + number) % 3)}}
        for number, name in enumerate(made.systems) for place, context in enumerate(made.contexts)
    ]  # fmt: skip
    (tmp_path / "scores.json").write_text(json.dumps({"rows": scored, "items": items}))
    found = results(persona)
    of = correlation.correlations(found, correlation.read_scores(tmp_path / "scores.json", made.systems), 100, 1)
    by = {(each.metric, each.criterion, each.over): each for each in of}
    bleu = by["BLEU", "Coherence", "systems"]
    assert (bleu.count, bleu.spearman, bleu.kendall) == (3, 1.0, 1.0) and bleu.spearman_interval[1] == 1.0
    luck = by["luck", "Coherence", "items"]
    assert luck.count == 90 and luck.spearman_interval[0] < luck.spearman < luck.spearman_interval[1]
    # F1 and BLEU against the references, which are "yes 0", "yes 1", ...
    assert {("F1", "Coherence", "items"), ("sentence BLEU", "Coherence", "items")} <= by.keys() and (
        "length",
        "Engagingness",
        "items",
    ) in by
    (tmp_path / "scores.json").write_text(json.dumps({"rows": scored[3:]}))
    with pytest.raises(InputError, match="none of the study's systems"):
        correlation.read_scores(tmp_path / "scores.json", made.systems)


def test_power():
    model = power.Model("x", (1, 2, 3, 4, 5), (0.1, 0.2, 0.4, 0.2, 0.1), 0.5, 0.0, "")
    assert power.tilted(model.values, model.frequencies, 3.6) @ np.array(model.values) == pytest.approx(3.6)
    none = power.power(model, 1e-9, 0.05, (1,), 0.8, 400, 1)
    assert all(0.02 < value < 0.09 for value in none.power[1])  # the level of the test
    some = power.power(model, 0.5, 0.05, (1, 6), 0.8, 200, 1)
    assert list(some.power[1]) == sorted(some.power[1]) and some.power[6][1] > some.power[1][1]
    assert some.needed[6] < some.needed[1]
    # against the normal approximation of a paired test: 80 % at (1.96 + .84)^2 s^2 / d^2
    spread = 2 * 1.2 / 1**2  # variance of a difference of two single ratings: twice 1.2
    assert some.needed[1] == pytest.approx(2.8**2 * spread / 0.5**2, rel=0.3)


def test_a_plan_is_printed(persona, capsys):
    fast = ("--simulations", "100", "--raters", "2", "--difference", "0.4")
    assert main(["sheets", "--plan", "--pilot", str(persona), "--format", "json", *fast]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert [each["criterion"] for each in plan] == ["coherence", "engagingness", "persona relevancy"]
    assert "pilot study: " in plan[0]["source"]
    paper = power._of_paper(read_protocol("sensibleness-specificity"))
    # the median of Table 3's six systems: (3.58 + 3.58) / 2 and (1.35 + 1.42) / 2
    assert [model.mean for model in paper] == pytest.approx([3.58, 1.385], abs=1e-6)


def test_a_study_of_the_papers_size_is_fast(tmp_path):
    """6 raters, 50 contexts, 6 systems: under 5 s of CPU time, reading included."""
    made = study("persona", raters=6, contexts=50, systems=("a", "b", "c", "d", "e", "f"))
    folder = written(tmp_path / "study", made)
    play(made, folder, better=0.2)
    begun = time.process_time()
    found = results(folder, resamples=1000)
    assert time.process_time() - begun < 5
    assert len(found.tests["Coherence"]) == 15 and found.means["a"]["Coherence"].ratings == 300
