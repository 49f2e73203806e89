"""Schedules that a training is too short for: found from its flags, and warned of when it starts."""

import logging
from types import SimpleNamespace

import fairseq  # noqa: F401  it registers the plugin
import pytest

from fairseq_latent.compat import budget
from fairseq_latent.compat.budget import cut_short, planned_updates, warning


def flags(**changes):
    return {"kl_schedule": "constant", "kl_warmup": 0, "kl_cycle": "0", "warmup_updates": 0, **changes}


@pytest.mark.parametrize(
    ("changes", "updates", "found"),
    [
        ({"warmup_updates": 4000}, 1000, ["--warmup-updates"]),
        ({"warmup_updates": "4000"}, 4000, []),
        ({"warmup_steps": 10}, 9, ["--warmup-steps"]),
        ({}, 1, []),
        ({"kl_schedule": "linear", "kl_warmup": 100}, 99, ["--kl-warmup"]),
        ({"kl_schedule": "linear", "kl_warmup": 100, "warmup_updates": 100}, 9, ["--warmup-updates", "--kl-warmup"]),
        ({"kl_schedule": "cyclical", "kl_cycle": "100"}, 49, ["--kl-cycle"]),
        ({"kl_schedule": "cyclical", "kl_cycle": "100"}, 50, []),
        ({"kl_schedule": "cyclical", "kl_cycle": "100", "kl_warmup": 80}, 79, ["--kl-warmup"]),
        ({"kl_schedule": "cyclical", "kl_cycle": "epoch"}, 20, ["--kl-cycle"]),  # of 60 updates an epoch
    ],
)
def test_what_never_reaches_its_peak(changes, updates, found):
    assert [rise.flag for rise in cut_short(flags(**changes), updates, updates_per_epoch=60)] == found


def test_an_epoch_of_unknown_length_says_nothing():
    assert cut_short(flags(kl_schedule="cyclical", kl_cycle="epoch"), 1) == []


def test_what_is_said():
    (rise,) = cut_short(flags(warmup_updates=4000), 1000)
    assert warning(rise, 1000) == (
        "the learning rate rises for 4,000 updates (--warmup-updates), and this training has 1,000: it ends at 25% of --lr; "
        "remedy: --warmup-updates 100, or more updates"
    )


def test_planned_updates():
    assert planned_updates(0, 0, 60) is None
    assert planned_updates(100, 0, None) == planned_updates(100, 2, 60) == 100
    assert planned_updates(0, 2, 60) == planned_updates(200, 2, 60) == 120
    assert planned_updates(0, 2, None) is None


def trainer(task, **limits):
    begun = []
    cfg = SimpleNamespace(
        criterion=SimpleNamespace(kl_schedule="linear", kl_warmup=50),
        lr_scheduler={"warmup_updates": 40},
        optimization=SimpleNamespace(**{"max_update": 0, "max_epoch": 0, **limits}),
    )
    return SimpleNamespace(cfg=cfg, task=task, is_data_parallel_master=True, begun=begun)


def begin(trainer, *epochs):
    for epoch in epochs:
        budget.warn_of_short_schedules(lambda self, epoch: self.begun.append(epoch))(trainer, epoch)
    assert trainer.begun == list(epochs)


def test_a_training_is_warned_once(caplog):
    with caplog.at_level(logging.WARNING):
        begin(trainer(SimpleNamespace(updates_per_epoch=15), max_epoch=3), 1, 2)
    (line,) = caplog.messages
    assert "the KL weight rises for 50 updates (--kl-warmup), and this training has 45: it ends at 90%" in line
    assert "remedy: --kl-warmup 22" in line


@pytest.mark.parametrize("change", ["stock task", "no limit", "long enough", "worker"])
def test_other_trainings_are_not(caplog, change):
    asked = trainer(SimpleNamespace(updates_per_epoch=15), max_epoch=0 if change == "no limit" else 1)
    if change == "stock task":
        asked.task = SimpleNamespace()
    asked.cfg.optimization.max_epoch *= 9 if change == "long enough" else 1
    asked.is_data_parallel_master = change != "worker"
    with caplog.at_level(logging.WARNING):
        begin(asked, 1)
    assert not caplog.messages


def test_fairseq_train_warns(data_bin, tmp_path, caplog):
    from ..helpers import programs

    short = ("--lr-scheduler", "inverse_sqrt", "--warmup-updates", "8", "--max-update", "2")
    programs.fit(data_bin, tmp_path, *short, "--no-save", "--disable-validation")
    assert [line for line in caplog.messages if "it ends at 25% of --lr; remedy: --warmup-updates 1" in line]
