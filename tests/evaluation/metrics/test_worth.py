"""What a profile is worth: strangers, intervals over dialogues, and what `fairseq-latent latents` makes of both."""

import importlib.util
import json
import math
import shutil

import numpy as np
import pytest
import torch

from fairseq_latent.evaluation.analysis import latents as measure
from fairseq_latent.evaluation.analysis.checkpoint import Trained, load
from fairseq_latent.evaluation.analysis.latent_statistics import read_statistics
from fairseq_latent.evaluation.analysis.other_profiles import other_profiles
from fairseq_latent.evaluation.metrics.worth import RESAMPLES, worth
from fairseq_latent.gaussian import seeded_noise
from fairseq_latent.text.strangers import strangers
from tests.helpers import programs

needs_gpt2 = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="transformers is not installed"
)
EXAMPLES = 11  # of persona_bin's validation set


def test_whole_dialogues_are_resampled():
    """Two dialogues, of 1 and 3 responses: of the four equally likely pairs two are mixed."""
    saved = np.array([1.0, 3.0, 3.0, 3.0])
    found = worth(saved, ["b", "a", "a", "a"])
    assert found.value == 2.5 and found.interval == (1.0, 3.0)
    many = worth(np.repeat(saved, 25), [f"{name}{copy}" for name in "baaa" for copy in range(25)])
    assert found.value == many.value and 2.2 < many.interval[0] < 2.5 < many.interval[1] < 2.8


def test_the_interval_is_that_of_a_plain_loop():
    draw = np.random.default_rng(5)
    saved, dialogues = draw.normal(1, 2, 40), [str(number) for number in draw.integers(0, 9, 40)]
    names = sorted(set(dialogues))
    groups = [saved[[name == each for each in dialogues]] for name in names]
    means = [np.concatenate([groups[at] for at in draw.choice(9, 9)]).mean() for _ in range(RESAMPLES)]
    low, high = worth(saved, dialogues).interval
    assert low == pytest.approx(np.quantile(means, 0.025), abs=0.1)
    assert high == pytest.approx(np.quantile(means, 0.975), abs=0.1)


def test_without_two_dialogues_there_is_no_interval():
    saved = np.array([1.0, 2.0])
    assert worth(saved, None).interval is worth(saved, ["a", "a"]).interval is None
    assert worth(saved, None).value == 1.5


def test_a_stranger_is_of_another_dialogue_and_shares_no_sentence():
    draw = np.random.default_rng(2)
    profiles = [frozenset(draw.choice(30, 3).tolist()) for _ in range(40)]
    dialogues = [str(row // 4) for row in range(40)]
    rows = strangers(profiles, profiles, dialogues, 1)
    for row, other in enumerate(rows):
        assert dialogues[row] != dialogues[other] and not profiles[row] & profiles[other]
    assert rows == strangers(profiles, profiles, dialogues, 1) != strangers(profiles, profiles, dialogues, 2)
    twice = strangers(profiles * 2, profiles * 2, dialogues * 2, 1)
    assert twice[:40] == twice[40:]  # equal profiles of one dialogue have the same stranger


def test_there_may_be_no_stranger():
    one, two = frozenset("a"), frozenset("b")
    assert strangers([one, two], [one, two], ["x", "x"], 1) is None
    assert strangers([one, two], [one, two], None, 1) == [1, 0]
    assert strangers([one, frozenset()], [one, two], None, 1) is None  # who says nothing is no stranger


@pytest.fixture(scope="module")
def with_ids(persona_bin, tmp_path_factory):
    """`persona_bin` with the responses of four dialogues."""
    folder = shutil.copytree(persona_bin, tmp_path_factory.mktemp("ids") / "data")
    (folder / "valid.ids").write_text("".join(f"talk:{row % 4}:{row}\n" for row in range(EXAMPLES)))
    return folder


def statistics(data, checkpoint, **flags):
    return measure.statistics(checkpoint, str(data), "valid", cpu=True, **flags)


@needs_gpt2
def test_worth_is_the_difference_of_two_posteriors_of_one_noise(with_ids, persona_run):
    """Against the model itself, an example at a time."""
    trained = load(persona_run[0], with_ids, "valid", cpu=True)
    others = other_profiles(trained, str(with_ids), 1)
    nll = np.zeros((EXAMPLES, 3))
    tokens = 0
    for row in range(EXAMPLES):
        assert row % 4 != others.rows[row] % 4
        mine, theirs = trained.examples([row]), trained.examples([others.rows[row]])
        inputs = mine["net_input"]
        tokens += mine["target"].numel()
        words = inputs["src_tokens"], inputs["prev_output_tokens"], mine["target"]
        with torch.no_grad():
            prior, right, decoded = trained.model.distributions(
                *words, partner_tokens=inputs["partner_tokens"], similarity=inputs["similarity"]
            )
            _, other, _ = trained.model.distributions(
                *words, partner_tokens=theirs["net_input"]["partner_tokens"], similarity=inputs["similarity"]
            )
            noise = seeded_noise(inputs["noise_seed"], 1, prior.mean.size(-1))[:, 0]
            nll[row] = [decoded.nll(each.rsample(noise)).item() for each in (right, other, prior)]
    found = statistics(with_ids, persona_run[0])
    assert found.other_ppl == pytest.approx(math.exp(nll[:, 1].sum() / tokens), rel=1e-5)
    assert found.worth == pytest.approx((nll[:, 1] - nll[:, 0]).mean(), rel=1e-3, abs=1e-6)
    assert found.worth_over_prior == pytest.approx((nll[:, 2] - nll[:, 0]).mean(), rel=1e-3, abs=1e-6)
    assert found.worth_low < found.worth < found.worth_high and found.dialogues == 4
    assert found.worth != 0 and "|worth:bs:1000,dialogues:4" in found.signature


@needs_gpt2
def test_batches_do_not_change_it(with_ids, persona_run, monkeypatch):
    together = statistics(with_ids, persona_run[0])
    batches = Trained.batches
    monkeypatch.setattr(Trained, "batches", lambda trained, **given: batches(trained, 60, **given))
    apart = statistics(with_ids, persona_run[0])
    for name in ("other_ppl", "worth", "worth_low", "worth_high", "worth_over_prior", "worth_over_prior_high"):
        assert getattr(apart, name) == pytest.approx(getattr(together, name), rel=1e-3, abs=1e-5), name


@needs_gpt2
def test_some_dialogues_are_measured_as_among_all(with_ids, persona_run, tmp_path, monkeypatch):
    drawn, columns = [], {}
    worth_of_all = measure._worth
    monkeypatch.setattr(measure, "_worth", lambda found, *rest: columns.update(found) or worth_of_all(found, *rest))
    statistics(with_ids, persona_run[0])
    everything = columns["other"]
    for seed in (1, 2):
        found = statistics(with_ids, persona_run[0], max_dialogues=2, seed=seed)
        rows, part = measure.some_dialogues(str(with_ids), "valid", EXAMPLES, 2, seed)
        assert found.dialogues == 2 and found.sentences == len(rows) and {row % 4 for row in rows} <= set(range(4))
        assert "split:valid|dialogues:2-of-4|" in found.signature and part
        drawn.append(rows)
        if seed == 1:
            torch.testing.assert_close(columns["other"], everything[sorted(rows)], rtol=1e-4, atol=1e-4)
    assert drawn[0] != drawn[1]
    assert statistics(with_ids, persona_run[0], max_dialogues=4) == statistics(with_ids, persona_run[0])
    shutil.copytree(with_ids, tmp_path / "d")
    (tmp_path / "d/valid.ids").unlink()
    refused = programs.tool("latents", tmp_path / "d", "--path", persona_run[0], "--cpu", "--max-dialogues", "2")
    assert refused.returncode == 2 and "has no valid.ids; remedy: copy it from the folder DATA.text" in refused.stderr


@needs_gpt2
def test_without_ids_there_is_a_worth_and_a_line(persona_bin, persona_run, tmp_path):
    shown = programs.tool("latents", persona_bin, "--path", persona_run[0], "--cpu", "--prior-samples", "0")
    assert "valid.ids is not there: no intervals; remedy: copy valid.ids from the folder DATA.text" in shown.stderr
    assert "other PPL" in shown.stdout and "over prior" in shown.stdout and "±" not in shown.stdout
    file = tmp_path / "found.json"
    flags = ("--prior-samples", "0", "--format", "json", "--out", file)
    assert programs.tool("latents", persona_bin, "--path", persona_run[0], "--cpu", *flags).returncode == 0
    written = json.loads(file.read_text())
    assert vars(read_statistics(file)) == written
    assert written["worth"] is not None and written["worth_low"] is None


@needs_gpt2
def test_ids_of_another_set_are_refused(with_ids, persona_run, tmp_path):
    other = shutil.copytree(with_ids, tmp_path / "other")
    (other / "valid.ids").write_text("talk:1\n")
    shown = programs.tool("latents", other, "--path", persona_run[0], "--cpu")
    assert shown.returncode == 2 and "1 ids of 11 contexts" in shown.stderr
