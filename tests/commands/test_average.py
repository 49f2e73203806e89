"""`fairseq-latent average`, and --store-ema: means of weights as fairseq takes them, decoded by fairseq-generate."""

import collections
import re
import shutil

import pytest
import torch
from fairseq.dataclass.configs import EMAConfig
from fairseq.models.ema import EMA

from fairseq_latent.weights.averaging import average

from ..helpers import programs
from ..helpers.tiny import build_model
from ..models.test_persona_cvae import task as persona_task  # noqa: F401  fixtures
from ..models.test_persona_cvae import words  # noqa: F401

TASKS = {"persona_cvae_gpt2_tiny": "persona_task", "gru_vae_tiny": "text_task"}
WHOLE = {"optimizer_history": [{}], "extra_state": {}}  # what every checkpoint has beside its model
ARCHITECTURES = ("t_cvae_tiny", "t_spacefusion_tiny", "gru_vae_tiny", "persona_cvae_gpt2_tiny")


def plain(path) -> dict:
    return torch.load(path, weights_only=True)


@pytest.fixture(scope="module")
def run(data_bin, tmp_path_factory):
    """Six updates; checkpoints of the updates 2, 4 and 6, each with its moving average."""
    folder = tmp_path_factory.mktemp("average") / "run"
    programs.fit(
        data_bin, folder, "--max-update", "6", "--save-interval-updates", "2", "--store-ema", "--ema-decay", "0.9"
    )
    return folder


def of_updates(run, *updates) -> list:
    return [run / f"checkpoint_1_{update}.pt" for update in updates]


def fairseqs_average(paths) -> dict:
    """scripts/average_checkpoints.py of fairseq's repository: sums in the order of the files, integers divided whole."""
    total = collections.OrderedDict()
    for path in paths:
        for name, value in plain(path)["model"].items():
            value = value.float() if isinstance(value, torch.HalfTensor) else value
            if name in total:
                total[name] += value
            else:
                total[name] = value.clone()
    for name, value in total.items():
        if value.is_floating_point():
            value.div_(len(paths))
        else:
            total[name] = value // len(paths)
    return total


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_all_that_a_model_keeps_can_be_averaged(request, arch):
    """Means and moving averages take every entry of a model's state for a number with a fraction."""
    model = build_model(request.getfixturevalue(TASKS.get(arch, "task")), arch)
    assert all(value.is_floating_point() for value in model.state_dict().values())
    moving = EMA(model, EMAConfig(store_ema=True, ema_decay=0.9))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    moving.step(model)
    after = moving.get_model().state_dict()
    for name, _ in model.named_parameters():
        torch.testing.assert_close(after[name], before[name] + 0.1)


@pytest.mark.parametrize("how", ["files", "last", "fairseqs script"])
def test_the_mean_is_fairseqs_and_decodes(data_bin, run, tmp_path, how):
    out, paths = tmp_path / "mean.pt", of_updates(run, 6, 4, 2)
    if how == "fairseqs script":  # on our checkpoints: the words are checked, and fit
        torch.save({**plain(paths[0]), "model": fairseqs_average(paths)}, out)
    else:
        given = paths if how == "files" else (run, "--last", "3")
        done = programs.tool("average", *given, "--out", out)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{out}: mean of {paths[0]}")
    mean = plain(out)["model"]
    assert list(mean) == list(fairseqs_average(paths))
    assert all(torch.equal(value, mean[name]) for name, value in fairseqs_average(paths).items())
    assert not torch.equal(mean["encoder.embed_tokens.weight"], plain(paths[0])["model"]["encoder.embed_tokens.weight"])
    assert len(programs.decode(data_bin, out, "--max-len-b", "8").hypotheses()) == 21
    if how == "files":
        assert "last_optimizer_state" not in plain(out)  # it belongs to other weights
        started = programs.fit(data_bin, tmp_path / "more", "--finetune-from-model", out, "--max-update", "1")
        assert len(started.numbers("train_inner")) == 1


def test_the_moving_average_is_decoded(data_bin, run, tmp_path):
    """That of the recurrence: average 6 = .9 average 5 + .1 weights 6."""
    done = programs.tool("average", run / "checkpoint_last.pt", "--ema", "--out", tmp_path / "ema.pt")
    assert done.returncode == 0 and "moving average of" in done.stdout
    moving, last = plain(tmp_path / "ema.pt")["model"], plain(run / "checkpoint_last.pt")
    assert all(torch.equal(moving[name], value) for name, value in last["extra_state"]["ema"].items())
    assert not torch.equal(moving["encoder.embed_tokens.weight"], last["model"]["encoder.embed_tokens.weight"])
    assert len(programs.decode(data_bin, tmp_path / "ema.pt", "--max-len-b", "8").hypotheses()) == 21


@pytest.mark.parametrize("frequency", [1, 2])
def test_a_training_with_a_moving_average_goes_on(data_bin, tmp_path, frequency):
    """From the third update, between two of --ema-update-freq 2."""
    flags = ("--store-ema", "--ema-decay", "0.9", "--ema-update-freq", frequency, "--no-epoch-checkpoints")
    flags += ("--max-update", "6", "--disable-validation")
    run = tmp_path / "whole"
    programs.fit(data_bin, run, *flags, "--save-interval-updates", "3")
    (tmp_path / "run").mkdir()
    shutil.copy(of_updates(run, 3)[0], tmp_path / "run/checkpoint_last.pt")
    programs.fit(data_bin, tmp_path / "run", *flags)
    one, other = plain(tmp_path / "run/checkpoint_last.pt"), plain(run / "checkpoint_last.pt")
    for name, value in other["extra_state"]["ema"].items():
        assert torch.equal(one["extra_state"]["ema"][name], value), name


def test_a_moving_average_can_begin_later(data_bin, run, tmp_path):
    """Of a checkpoint without one fairseq ends in KeyError: 'model'."""
    (tmp_path / "run").mkdir()
    state = plain(of_updates(run, 4)[0])
    del state["extra_state"]["ema"]
    torch.save(state, tmp_path / "run/checkpoint_last.pt")
    programs.fit(data_bin, tmp_path / "run", "--store-ema", "--ema-decay", "0.5", "--max-update", "5")
    last = plain(tmp_path / "run/checkpoint_last.pt")
    assert set(last["extra_state"]["ema"]) == set(last["model"])


def test_half_precision_is_summed_in_float32(tmp_path):
    for name, value in (("a", 1.0), ("b", 1.0 + 2**-7)):
        torch.save({**WHOLE, "model": {"w": torch.full((3,), value, dtype=torch.bfloat16)}}, tmp_path / name)
    mean = average([tmp_path / "a", tmp_path / "b"])["model"]["w"]
    assert mean.dtype == torch.float32 and mean.tolist() == [1 + 2**-8] * 3  # no bfloat16 lies between the two


def test_counts_are_no_numbers_with_a_fraction(tmp_path):
    """Also the digest of older checkpoints: 63 bits, whose sum has no place in 64."""
    for name, seen in (("a", 5), ("b", 8)):
        weights = {"seen": torch.tensor(seen), "dictionary_digest": torch.tensor(2**62 + 3), "w": torch.zeros(1)}
        torch.save({**WHOLE, "model": weights}, tmp_path / name)
    mean = average([tmp_path / "a", tmp_path / "b"])["model"]
    assert int(mean["seen"]) == 6 and int(mean["dictionary_digest"]) == 2**62 + 3
    assert list(mean) == ["seen", "dictionary_digest", "w"]


def edited(source, path, change):
    state = plain(source)
    change(state)
    torch.save(state, path)
    return path


def test_what_has_no_mean_is_refused(run, tmp_path):
    last = run / "checkpoint_last.pt"
    (tmp_path / "text.pt").write_text("no checkpoint")
    (tmp_path / "empty").mkdir()
    weight = "encoder.embed_tokens.weight"

    def other_words(state):
        state["task_state"]["dictionary_digest"] += 1

    for given, message in (
        ((last, tmp_path / "none.pt"), "none.pt: No such file"),
        ((last, tmp_path / "text.pt"), "text.pt: truncated, or no checkpoint"),
        ((last, tmp_path / "empty"), "empty: a folder, no checkpoint"),
        ((last,), "one checkpoint has no mean"),
        ((run, "--last", "4"), "3 checkpoints with a number, --last 4; remedy: train without --no-epoch-checkpoints"),
        ((run, "--last", "0"), "--last 0"),
        ((last, "--last", "2"), "--last 2 takes one folder"),
        ((edited(last, tmp_path / "a.pt", lambda s: s["extra_state"].pop("ema")), "--ema"), "no moving average in it"),
        ((last, edited(last, tmp_path / "b.pt", lambda s: s["model"].pop(weight))), "b.pt: another model than"),
        ((last, edited(last, tmp_path / "c.pt", other_words)), "c.pt: another model than .*or other words"),
        ((last, edited(last, tmp_path / "d.pt", lambda s: s["model"][weight].fill_(torch.nan))), "is not finite"),
        ((last, edited(last, tmp_path / "e.pt", lambda s: s["model"].update(x="y"))), "e.pt: no checkpoint of fairseq"),
        (
            (last, edited(last, tmp_path / "f.pt", lambda s: s.update(extra_state=[1]))),
            "f.pt: no checkpoint of fairseq",
        ),
        ((edited(last, tmp_path / "g.pt", lambda s: s["extra_state"]["ema"].update(x="y")), "--ema"), "'x' is a str"),
        ((edited(last, tmp_path / "h.pt", lambda s: s["extra_state"].update(ema=[1])), "--ema"), "no moving average"),
    ):
        done = programs.tool("average", *given, "--out", tmp_path / "out.pt")
        assert done.returncode == 2, given
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ") and re.search(message, line), line
    assert not (tmp_path / "out.pt").exists()
    done = programs.tool("average", *of_updates(run, 2, 4), "--out", last)
    assert done.returncode == 2 and "is there already" in done.stderr
