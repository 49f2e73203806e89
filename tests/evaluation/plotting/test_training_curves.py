"""Pictures of trainings: what is drawn where, same bytes for the same numbers, and the `plot` command."""

import warnings

import pytest
from matplotlib.figure import Figure

from fairseq_latent.cli import main
from fairseq_latent.evaluation.plotting import style, training_curves
from fairseq_latent.evaluation.plotting.text_layout import NOTHING_READABLE
from fairseq_latent.evaluation.runs.training_log import TrainingLog

UPDATES = (20, 40, 60, 80, 100)


def training_log(kl=1.0, weights=(1, 1, 1, 1, 1)):
    log = TrainingLog()
    for update, weight in zip(UPDATES, weights, strict=True):
        log.train[update] = {"kl": kl, "nll": 80 - update / 10, "rec_ppl": 200 - update, "kl_weight": weight}
    log.valid[100] = {"kl": kl / 2, "nll": 60, "rec_ppl": 90}
    return log


def test_smoothing_looks_back_only():
    # 1, (1 + 3) / 2, (1 + 3 + 5) / 3, then the last two of each three: (3 + 5 + 7) / 3
    assert training_curves.smoothed([1, 3, 5, 7], points=3) == [1, 2, 3, 5]


def test_kl_curves_show_every_system_in_its_colour():
    figure = training_curves.kl_curves({"a": training_log(2.0), "b": training_log(1.0)})
    (axis,) = figure.axes
    assert axis.get_ylabel() == "KL(q‖p), nats an example"
    assert axis.get_xlabel() == "updates"
    training, points = axis.lines[0], axis.lines[1]
    assert list(training.get_xdata()) == list(UPDATES)
    assert list(points.get_ydata()) == [1.0]
    assert [line.get_color() for line in axis.lines] == [style.COLOURS[0]] * 2 + [style.COLOURS[1]] * 2
    assert [text.get_text() for text in figure.legends[0].texts][:2] == ["a", "b"]


def test_the_kl_weight_is_drawn_where_it_changes():
    assert len(training_curves.kl_curves({"a": training_log(), "b": training_log(weights=(0, 0.5, 1, 1, 1))}).axes) == 2
    assert len(training_curves.kl_curves({"a": training_log()}).axes) == 1


def test_a_steep_beginning_is_left_out_and_said():
    log = TrainingLog({update: {"kl": 30.0 if update < 100 else 0.5} for update in range(20, 1001, 20)})
    (axis,) = training_curves.kl_curves({"a": log}).axes
    assert axis.get_ylim()[1] == pytest.approx(1.3 * 0.5)
    assert [text.get_text() for text in axis.texts] == ["↑ begins at 30.0"]


def test_loss_curves_have_units():
    upper, lower = training_curves.loss_curves({"a": training_log()}).axes
    assert (upper.get_ylabel(), lower.get_ylabel()) == ("NLL, nats per response", "rec PPL, a token")


def test_a_log_without_validation_can_be_drawn():
    log = TrainingLog({20: {"kl": 0.0}})
    style.encoded(training_curves.kl_curves({"a": log}))
    style.encoded(training_curves.loss_curves({"a": log}))


@pytest.mark.parametrize("systems", [1, training_curves.MANY + 1])
def test_of_many_validations_the_last_and_some_are_drawn(systems):
    often = TrainingLog(training_log().train, {update: {"kl": 1.0} for update in range(5, 101)})  # 96
    figure = training_curves.kl_curves({f"K={index}": often for index in range(systems)})
    (drawn,) = [list(line.get_xdata()) for line in figure.axes[0].lines if line.get_linestyle() == "None"]
    assert drawn == list(range(10, 101, 6))


def test_each_of_many_says_where_its_own_curve_begins():
    """One begins above the picture: its panel says so, no other."""
    logs = {f"K={index}": training_log() for index in range(training_curves.MANY)}
    high = training_log()
    high.train = {1: {"kl": 99.0, "kl_weight": 1.0}} | high.train
    axes = training_curves.kl_curves({**logs, "high": high}).axes
    assert [[text.get_text() for text in axis.texts] for axis in axes[: len(logs) + 1]] == [
        *[[]] * len(logs),
        ["↑ begins at 99.0"],
    ]


@pytest.mark.parametrize("kind", style.FORMATS)
def test_same_numbers_same_bytes(kind):
    logs = {"a": training_log(), "$x_1$": training_log(2.0), "_c": training_log(3.0)}
    first, second = (style.encoded(training_curves.kl_curves(logs), kind) for _ in range(2))
    assert first == second
    assert first.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind])


@pytest.mark.parametrize("draw", [training_curves.kl_curves, training_curves.loss_curves])
def test_each_of_many_systems_has_a_panel_with_the_others_behind_it(draw):
    names = [f"K={index}" for index in range(training_curves.MANY + 1)]
    panels = [axis for axis in draw({name: training_log() for name in names}).axes if axis.get_visible()]
    assert [axis.get_title("left") for axis in panels] == names
    for axis in panels:
        assert len(axis.lines) == len(names) + 1  # the others' lines, its own, its validation
        assert len({line.get_color() for line in axis.lines}) == 2
    # a few have one panel, and colours that differ
    few = draw({name: training_log() for name in names[:-1]}).axes[0]
    assert len({line.get_color() for line in few.lines}) == training_curves.MANY


def test_a_long_name_takes_no_room_from_the_curves():
    figure = training_curves.kl_curves({"x" * 300: training_log(), "b": training_log()})
    label = figure.legends[0].texts[0].get_text()
    assert label.endswith("…")
    assert len(label) < 80


def test_names_in_other_scripts_are_drawn_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = training_curves.kl_curves({"野菜": training_log(), "$x_1$": training_log()})
        assert style.encoded(figure)
    assert figure.legends[0].texts[0].get_text().replace("\n", " ") in (
        "野菜",
        NOTHING_READABLE,
    )  # by what is installed


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


def test_a_png_has_a_palette():
    """A third of the size; byte 25 is the kind of colours."""
    figure = Figure()
    figure.add_subplot().plot([1, 2])
    assert style.encoded(figure)[25] == 3 and style.encoded(figure) == style.encoded(figure)
