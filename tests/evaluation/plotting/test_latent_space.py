"""Figure 2 of Sato et al. (2021): what is drawn where, in which colours, with whose texts; and its points as numbers."""

import csv
import json
import warnings
from xml.dom import minidom

import numpy as np
import pytest
import torch

from fairseq_latent.cli import main
from fairseq_latent.evaluation.analysis import checkpoint, latent_samples
from fairseq_latent.evaluation.analysis.latent_samples import LatentSamples, SampledPair
from fairseq_latent.evaluation.plotting import latent_space, style
from fairseq_latent.evaluation.plotting.latent_space import colour_limits, normalised
from tests.helpers import tiny

HOSTILE = "\x1b[31m $\\frac{1}{0}$ <script>alert(1)</script> --> ]]> & \u202e 野菜"


def made_samples(spread=0.5, shift=0.0):
    """Ten of the prior and four of the posterior, -5 nats per token and up, for a reference of seven tokens."""
    points = np.random.default_rng(1).standard_normal((14, 2))
    return LatentSamples(points, shift - 5 + spread * np.linspace(0, 1, 14), num_prior=10, kl=spread, tokens=7)


def sampled_pair(*names, example=3, context="do you like tea", reference="yes , i love tea", **options):
    return SampledPair(example, context, reference, {name: made_samples(**options) for name in names})


def panels(figure):
    return [axis for axis in figure.axes if len(axis.collections) == 2 and not axis.get_xlabel()]  # a bar has a label


def words(figure):
    return [text.get_text() for text in figure.texts]


def test_each_panel_goes_from_its_own_lowest_to_its_own_highest():
    samples = {"a": made_samples(), "b": made_samples(spread=2, shift=-1)}
    figure = latent_space.latent_picture([SampledPair(3, "x", "y", samples)])
    for panel in panels(figure):
        dots, triangles = panel.collections
        assert (len(dots.get_offsets()), len(triangles.get_offsets())) == (10, 4)
        shades = np.concatenate([dots.get_array(), triangles.get_array()])
        np.testing.assert_allclose(shades, np.linspace(0, 1, 14), atol=1e-12)
        assert dots.get_clim() == triangles.get_clim() == (0, 1)
    # 7 tokens at -5 to -4.5 nats, and at -6 to -4
    assert "log p: −35.0 … −31.5 nats" in words(figure)
    assert "log p: −42.0 … −28.0 nats" in words(figure)
    assert len(figure.axes) == 2 + 1  # one bar


def test_a_scale_a_pair_is_shared_by_its_models_alone():
    first = SampledPair(0, "x", "y", {"a": made_samples(), "b": made_samples(shift=-1)})
    second = sampled_pair("a", "b", shift=7)
    figure = latent_space.latent_picture([first, second], "pair")
    limits = [found.get_clim() for panel in panels(figure) for found in panel.collections]
    assert limits == [(-6, -4.5)] * 4 + [(2, 2.5)] * 4
    assert len(figure.axes) == 4 + 2


def test_normalised_colours():
    np.testing.assert_allclose(normalised(np.array([-40.0, -38.0, -39.5])), [0, 1, 0.25])
    assert normalised(np.array([-40.0, -39.999])).tolist() == [0.5, 0.5]  # rounding errors are no structure


def test_a_latent_that_does_not_matter_has_one_colour():
    low, high = colour_limits([made_samples(spread=0.0)])
    assert low < -5 < high
    assert high - low == pytest.approx(latent_space.LEAST_SPAN)
    figure = latent_space.latent_picture([sampled_pair("collapsed", spread=0.0)])
    assert "log p = −35.00 nats, whatever z" in words(figure)
    assert {shade for found in panels(figure)[0].collections for shade in found.get_array()} == {0.5}


@pytest.mark.parametrize("colours", ["panel", "pair"])
@pytest.mark.parametrize("pairs, models", [(1, 1), (2, 2), (1, 3), (2, 5), (4, 12)])
def test_any_number_of_pairs_and_models_stays_apart_and_inside(pairs, models, colours):
    names = [f"a system with a rather long name, K = {index}" for index in range(models)]
    found = [sampled_pair(*names, example=index, context="a long context " * 40) for index in range(pairs)]
    figure = latent_space.latent_picture(found, colours)
    assert len(panels(figure)) == pairs * models
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.texts] + [axis.bbox for axis in panels(figure)]
    boxes += [figure.legends[0].get_window_extent()]
    for index, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1
        for other in boxes[:index]:
            assert box.x1 <= other.x0 or other.x1 <= box.x0 or box.y1 <= other.y0 + 1 or other.y1 <= box.y0 + 1


def test_the_texts_stand_above_the_panels():
    figure = latent_space.latent_picture([sampled_pair("a", context="hello <eot> do you like tea")])
    expected = ["example 3", "context: B: hello · A: do you like tea", "reference: yes , i love tea", "a"]
    assert words(figure)[:4] == expected
    assert "context: (empty)" in words(latent_space.latent_picture([sampled_pair("a", context="")]))


def test_a_phone_gets_two_columns():
    figure = latent_space.latent_picture([sampled_pair("a", "b", "c")], columns=2)
    assert len({panel.get_position().x0 for panel in panels(figure)}) == 2


@pytest.mark.parametrize("kind", style.FORMATS)
def test_hostile_texts_are_texts_and_the_same_points_give_the_same_bytes(kind):
    pair = sampled_pair("$x_1$", "_b", "<b>c</b>", "野菜", context=HOSTILE, reference=HOSTILE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = (style.encoded(latent_space.latent_picture([pair]), kind) for _ in range(2))
    assert first == second
    if kind == "svg":
        assert b"<script" not in first
        minidom.parseString(first)


# --- points ----------------------------------------------------------------------------------------------------------


def test_points_as_a_table():
    lines = list(csv.DictReader(latent_samples.as_tsv([sampled_pair("a\tb", "c")]).splitlines(), delimiter="\t"))
    assert len(lines) == 28
    assert [line["kind"] for line in lines[:14]] == ["prior"] * 10 + ["posterior"] * 4
    assert {line["model"] for line in lines} == {"a\tb", "c"}
    first, samples = lines[0], made_samples()
    assert (int(first["pair"]), int(first["tokens"])) == (3, 7)
    assert [float(first[name]) for name in ("x", "y", "log_prob")] == [*samples.points[0], -35.0]


def test_points_as_json_with_the_texts():
    (found,) = json.loads(latent_samples.as_json([sampled_pair("a", context=HOSTILE)]))
    assert (found["pair"], found["context"], found["reference"]) == (3, HOSTILE, "yes , i love tea")
    assert len(found["models"]["a"]["prior"]) == 10
    np.testing.assert_allclose([point[2] for point in found["models"]["a"]["posterior"]][-1], -31.5)


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path, monkeypatch, task, random):
    """A run folder; a tiny model in place of its checkpoint; the test works beside it."""
    pytest.importorskip("openTSNE")
    model = tiny.build_model(task, **tiny.NO_DROPOUT).eval()
    task.datasets["test"] = tiny.dataset(task)
    found = checkpoint.Trained(model, task, "test", torch.device("cpu"))
    monkeypatch.setattr(checkpoint, "load", lambda *args: found)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint_best.pt").touch()
    return tmp_path


def plot(*flags, example=("1",)):
    sampling = ("--prior", "12", "--posterior", "6", "--example", *example)
    return main(["plot", "latents", "a=run", "--data", "d", *sampling, *flags])


def test_the_command_draws_chosen_pairs(run, capsys):
    assert plot("--out", "one.png", "--points", "one.tsv", example=("4", "1")) == 0
    assert (run / "one.png").read_bytes().startswith(b"\x89PNG")
    lines = list(csv.DictReader((run / "one.tsv").read_text(encoding="utf-8").splitlines(), delimiter="\t"))
    assert [int(line["pair"]) for line in lines] == [4] * 18 + [1] * 18
    assert capsys.readouterr().out == ""


def test_characters_without_a_font_are_told(run, monkeypatch, capsys):
    monkeypatch.setattr(checkpoint.Trained, "texts", lambda trained, index: ("\U000e0101 tea", "野菜 tea"))
    assert plot("--out", "one.png", "--points", "one.json") == 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "no installed font has them; remedy: install one" in error
    assert json.loads((run / "one.json").read_text(encoding="utf-8"))[0]["reference"] == "野菜 tea"


@pytest.mark.parametrize(
    "flags, example, message",
    [
        (("--out", "one.png"), ("9",), "test has no example 9; remedy: ids from 0 to 4"),
        (("--out", "one.png", "--points", "one.xls"), ("1",), "one.xls: not the name of a table of points; remedy:"),
        (("--out", "one.gif", "--points", "one.tsv"), ("1",), "one.gif: not the name of a picture; remedy:"),
    ],
)
def test_mistakes_leave_nothing_behind(run, capsys, flags, example, message):
    assert plot(*flags, example=example) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
    assert [path.name for path in run.iterdir()] == ["run"]
