"""Pictures: what is drawn where, collapsed models, same bytes for the same numbers, and the `plot` command."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fairseq_latent.cli import main
from fairseq_latent.errors import InputError
from fairseq_latent.evaluation import checkpoint, plots
from fairseq_latent.evaluation.latent_samples import LatentSamples, project, sample_latents
from fairseq_latent.evaluation.training_log import TrainingLog
from fairseq_latent.gaussian import DiagonalGaussian

from . import tiny

UPDATES = (20, 40, 60, 80, 100)


def training_log(kl=1.0, weights=(1, 1, 1, 1, 1)):
    log = TrainingLog()
    for update, weight in zip(UPDATES, weights, strict=True):
        log.train[update] = {"kl": kl, "nll": 80 - update / 10, "rec_ppl": 200 - update, "kl_weight": weight}
    log.valid[100] = {"kl": kl / 2, "nll": 60, "rec_ppl": 90}
    return log


def latent_samples(spread=0.5, shift=0.0):
    points = np.random.default_rng(1).standard_normal((14, 2))
    return LatentSamples(points, shift - 5 + spread * np.linspace(0, 1, 14), num_prior=10, kl=spread, tokens=7)


def test_smoothing_looks_back_only():
    # 1, (1 + 3) / 2, (1 + 3 + 5) / 3, then the last two of each three: (3 + 5 + 7) / 3
    assert plots.smoothed([1, 3, 5, 7], points=3) == [1, 2, 3, 5]


def test_kl_curves_show_every_system_in_its_colour():
    figure = plots.kl_curves({"a": training_log(2.0), "b": training_log(1.0)})
    (axis,) = figure.axes
    assert axis.get_ylabel() == "KL(q‖p), nats a response"
    assert axis.get_xlabel() == "updates"
    training, points = axis.lines[0], axis.lines[1]
    assert list(training.get_xdata()) == list(UPDATES)
    assert list(points.get_ydata()) == [1.0]
    assert [line.get_color() for line in axis.lines] == [plots.COLOURS[0]] * 2 + [plots.COLOURS[1]] * 2
    assert [text.get_text() for text in figure.legends[0].texts][:2] == ["a", "b"]


def test_the_kl_weight_is_drawn_where_it_changes():
    assert len(plots.kl_curves({"a": training_log(), "b": training_log(weights=(0, 0.5, 1, 1, 1))}).axes) == 2
    assert len(plots.kl_curves({"a": training_log()}).axes) == 1


def test_a_steep_beginning_is_left_out_and_said():
    log = TrainingLog({update: {"kl": 30.0 if update < 100 else 0.5} for update in range(20, 1001, 20)})
    (axis,) = plots.kl_curves({"a": log}).axes
    assert axis.get_ylim()[1] == pytest.approx(1.3 * 0.5)
    assert [text.get_text() for text in axis.texts] == ["↑ begins at 30.0"]


def test_loss_curves_have_units():
    upper, lower = plots.loss_curves({"a": training_log()}).axes
    assert (upper.get_ylabel(), lower.get_ylabel()) == ("NLL, nats a response", "rec PPL, a token")


def test_a_log_without_validation_can_be_drawn():
    log = TrainingLog({20: {"kl": 0.0}})
    plots.encoded(plots.kl_curves({"a": log}))
    plots.encoded(plots.loss_curves({"a": log}))


@pytest.mark.parametrize("kind", plots.FORMATS)
def test_same_numbers_same_bytes(kind):
    logs = {"a": training_log(), "$x_1$": training_log(2.0), "_c": training_log(3.0)}
    first, second = (plots.encoded(plots.kl_curves(logs), kind) for _ in range(2))
    assert first == second
    assert first.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind])


def test_systems_beyond_the_colours_get_another_line():
    lines = plots.loss_curves({str(index): training_log() for index in range(8)}).axes[0].lines
    assert lines[0].get_color() == lines[14].get_color()
    assert lines[0].get_linestyle() != lines[14].get_linestyle()


def test_latent_picture_has_one_scale_for_all_panels():
    figure = plots.latent_picture({"a": latent_samples(), "b": latent_samples(shift=-1)})
    dots, triangles = figure.axes[0].collections
    assert (len(dots.get_offsets()), len(triangles.get_offsets())) == (10, 4)
    limits = {found.get_clim() for panel in figure.axes[:2] for found in panel.collections}
    assert limits == {(-6.0, -4.5)}
    assert figure.axes[0].get_title(loc="left") == "a\nKL(q‖p) = 0.50 nats"


@pytest.mark.parametrize("count", [1, 3, 5])
def test_latent_picture_takes_any_number_of_models(count):
    assert plots.encoded(plots.latent_picture({str(index): latent_samples() for index in range(count)}))


def test_a_collapsed_model_has_one_colour():
    low, high = plots.colour_limits([latent_samples(spread=0.0)])
    assert low < -5 < high
    assert high - low == pytest.approx(plots.LEAST_SPAN)
    assert plots.encoded(plots.latent_picture({"collapsed": latent_samples(spread=0.0)}))


def test_latents_that_are_all_the_same_stay_one_point():
    assert project(np.ones((9, 3)), seed=1).tolist() == [[0, 0]] * 9


def test_projection_repeats_with_its_seed():
    pytest.importorskip("openTSNE")
    z = np.random.default_rng(0).standard_normal((30, 4))
    first = project(z, seed=3)
    assert first.shape == (30, 2)
    assert np.isfinite(first).all()
    assert (first == project(z, seed=3)).all()


@pytest.fixture
def trained(task, random, monkeypatch):
    """A tiny model with random weights and five pairs, in place of a checkpoint."""
    pytest.importorskip("openTSNE")
    model = tiny.build_model(task, **tiny.NO_DROPOUT).eval()
    task.datasets["test"] = tiny.dataset(task)
    found = checkpoint.Trained(model, task, "test", torch.device("cpu"))
    monkeypatch.setattr(checkpoint, "load", lambda *args: found)
    return found


def test_log_probability_of_the_reference_under_each_latent(trained, monkeypatch):
    monkeypatch.setattr("fairseq_latent.evaluation.latent_samples.project", lambda z, seed: z)
    found = sample_latents("checkpoint.pt", "data", "test", example=2, num_prior=6, num_posterior=4, seed=5)
    batch = trained.examples([2])
    _, _, decoded = trained.model.distributions(
        batch["net_input"]["src_tokens"], batch["net_input"]["prev_output_tokens"], batch["target"]
    )
    assert found.tokens == batch["target"].numel()
    for z, value in zip(torch.from_numpy(found.points), found.log_prob, strict=True):
        lprobs = decoded.logits(z.unsqueeze(0)).log_softmax(-1)
        expected = lprobs[range(found.tokens), batch["target"][0]].mean().item()
        assert value == pytest.approx(expected, abs=1e-5)


def test_samples_come_from_prior_and_posterior(trained, monkeypatch):
    monkeypatch.setattr("fairseq_latent.evaluation.latent_samples.project", lambda z, seed: z)
    prior = DiagonalGaussian(torch.full((1, 8), -3.0), torch.full((1, 8), -4.0))
    posterior = DiagonalGaussian(torch.full((1, 8), 3.0), torch.full((1, 8), -4.0))
    decoded = SimpleNamespace(words=torch.zeros(2), nll=lambda z: z.new_ones(len(z)))
    monkeypatch.setattr(trained.model, "distributions", lambda *args: (prior, posterior, decoded))
    found = sample_latents("checkpoint.pt", "data", "test", example=0, num_prior=200, num_posterior=100)
    assert found.points[found.of("prior")].mean() == pytest.approx(-3, abs=0.05)
    assert found.points[found.of("posterior")].mean() == pytest.approx(3, abs=0.05)
    # Equal variances exp(-4), means 6 apart, 8 dimensions: KL = 8 * 36 / (2 * exp(-4)) = 144 * exp(4).
    assert found.kl == pytest.approx(144 * np.exp(4), rel=1e-4)


def test_a_collapsed_model_is_sampled_without_harm(trained, monkeypatch):
    same = DiagonalGaussian(torch.zeros(1, 8), torch.zeros(1, 8))
    decoded = SimpleNamespace(words=torch.zeros(2), nll=lambda z: z.new_full((len(z),), 6.0))
    monkeypatch.setattr(trained.model, "distributions", lambda *args: (same, same, decoded))
    found = sample_latents("checkpoint.pt", "data", "test", example=0, num_prior=20, num_posterior=10)
    assert found.kl == 0
    assert found.spread("prior") == found.spread("posterior") == (-3.0, -3.0)
    assert np.isfinite(found.points).all()
    monkeypatch.setattr("fairseq_latent.evaluation.latent_samples.project", lambda z, seed: z)
    again = sample_latents("checkpoint.pt", "data", "test", example=0, num_prior=20, num_posterior=10)
    assert len(np.unique(again.points, axis=0)) == 30  # no posterior sample repeats a prior one


def test_sampling_repeats_with_its_seed(trained):
    first, second, other = (sample_latents("c", "d", "test", 1, 20, 10, seed) for seed in (1, 1, 2))
    assert (first.points == second.points).all()
    assert (first.log_prob == second.log_prob).all()
    assert (first.log_prob != other.log_prob).any()


def test_bad_requests(trained, monkeypatch):
    with pytest.raises(InputError, match="test has no example 5; remedy: ids from 0 to 4"):
        sample_latents("c", "d", "test", example=5)
    with pytest.raises(InputError, match="0 and 50 samples are too few"):
        sample_latents("c", "d", "test", example=0, num_prior=0)
    monkeypatch.setitem(sys.modules, "openTSNE", None)
    with pytest.raises(InputError, match=r"openTSNE is not installed; remedy: pip install 'fairseq_latent\[plot\]'"):
        sample_latents("c", "d", "test", example=0)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder with a log; the test works beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "K=5").mkdir()
    line = '{"epoch": 1, "kl": "%s", "nll": "50", "rec_ppl": "90", "kl_weight": "1", "num_updates": "%d"}\n'
    (tmp_path / "K=5" / "train.log").write_text("".join(line % (kl, 20 * kl) for kl in (1, 2)), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("picture", ["kl", "loss"])
def test_the_command_writes_the_format_that_the_name_asks_for(run, picture):
    assert main(["plot", picture, "K = 5=K=5", "--out", "pictures/one.svg"]) == 0
    assert "K = 5" in (run / "pictures" / "one.svg").read_text(encoding="utf-8")


def test_the_latent_command(run, trained):
    (run / "K=5" / "checkpoint_best.pt").touch()
    sampling = ("--example", "1", "--prior", "12", "--posterior", "6")
    assert main(["plot", "latents", "a=K=5", "--data", "d", "--out", "one.png", *sampling]) == 0
    assert (run / "one.png").stat().st_size > 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("kl", "a=K=5", "--out", "one.txt"), "one.txt: not the name of a picture; remedy: a name that ends in .png"),
        (("kl", "K=5", "--out", "one.png"), "K=5: a system needs a name and a run; remedy: write NAME=RUN"),
        (("kl", "a=nowhere", "--out", "one.png"), "nowhere: no such folder"),
        (("kl", "a=empty", "--out", "one.png"), "train.log is missing; remedy: fairseq-train … --log-format json"),
        (("latents", "a=empty", "--data", "d", "--out", "one.png"), "checkpoint_best.pt is missing"),
    ],
)
def test_mistakes_leave_nothing_behind(run, capsys, arguments, message):
    (run / "empty").mkdir()
    if arguments[1] == "K=5":
        (run / "K=5").rename(run / "elsewhere")
        message = "5: no such folder"
    assert main(["plot", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
    assert not (run / arguments[-1]).exists()
