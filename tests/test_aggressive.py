"""Aggressive training (He et al., 2019): the inner loop's rule, who moves when, when it ends, and what a stop changes."""

import logging

import pytest
import torch
from fairseq.criterions import CRITERION_DATACLASS_REGISTRY

from fairseq_latent.aggressive import AggressivePhase, InnerLoop
from fairseq_latent.errors import InputError
from fairseq_latent.tasks.latent_task import LatentTask

from .helpers import programs
from .helpers.tiny import build_model

TASK = ("--task", "text_vae")
SHORT = ("--aggressive", "--aggressive-steps", "7", "--aggressive-window", "2")


def fit(data, folder, *flags, arch="gru_vae_tiny"):
    return programs.fit(data, folder, *TASK, *flags, arch=arch)


# --- the rule --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("means, steps", [
    ([5.0, 4.0, 3.0, 2.0, 1.5, 1.2], 100),  # six windows of 15 that fall, and ten steps more
    ([5.0, 5.1], 30),
    ([5.0, 5.0], 30),  # no longer falls
    ([5.0, 4.0, 4.5], 45),
])  # fmt: skip
def test_the_inner_loop_looks_at_windows_of_fifteen(means, steps):
    taken = []

    def step():
        taken.append(1)
        words = 10 + len(taken) % 3
        return means[min((len(taken) - 1) // 15, len(means) - 1)] * words, words

    assert InnerLoop().run(step) == len(taken) == steps


def test_losses_are_compared_by_word():
    """The second window has the smaller sums, and the larger loss a word: 20 / 2 = 10, then 11 / 1."""
    losses = iter([(20.0, 2), (11.0, 1), (1.0, 1)])
    assert InnerLoop(max_steps=3, window=1).run(lambda: next(losses)) == 2


def test_the_phase_ends_for_good_when_the_mutual_information_falls():
    phase = AggressivePhase()
    assert [phase.validated(mi) for mi in (0.1, 0.4, 0.4)] == [False] * 3 and phase.active  # level is no fall
    assert phase.validated(0.3) and not phase.active
    assert not phase.validated(0.9) and not phase.active
    assert not phase.validated(0.1)
    again = AggressivePhase.from_state(phase.state_dict())
    assert again == phase


@pytest.mark.parametrize(("flags", "message"), [
    (("--aggressive-steps", "0"), "--aggressive-steps 0 is out of range; remedy: 1 or more"),
    (("--aggressive-window", "0"), "--aggressive-window 0 is out of range; remedy: 1 or more"),
    (("--aggressive-updates", "-1"), "--aggressive-updates -1 is out of range; remedy: 0 or more"),
])  # fmt: skip
def test_a_loop_without_steps_and_a_phase_without_updates_are_refused(sentences_bin, tmp_path, flags, message):
    with pytest.raises(InputError, match=message):
        fit(sentences_bin, tmp_path, "--aggressive", *flags)


# --- training --------------------------------------------------------------------------------------------------------


@pytest.fixture
def watched(monkeypatch):
    """What each optimiser step moved, in order: "encoder", "decoder"; or of a persona model "recognition", "rest"."""
    from fairseq.optim.adam import FairseqAdam

    moved, model = [], {}

    def part(name: str) -> str:
        if hasattr(model["it"].encoder, "latents"):
            return "recognition" if name.startswith("encoder.latents.recognition_") else "rest"
        return name.split(".")[0]

    step, build = FairseqAdam.step, LatentTask.build_model

    def building(self, *args, **kwargs):
        model["it"] = build(self, *args, **kwargs)
        return model["it"]

    def stepping(self, *args, **kwargs):
        before = {name: value.detach().clone() for name, value in model["it"].named_parameters()}
        step(self, *args, **kwargs)
        names = {name for name, value in model["it"].named_parameters() if not torch.equal(value, before[name])}
        moved.append({part(name) for name in names})

    monkeypatch.setattr(LatentTask, "build_model", building)
    monkeypatch.setattr(FairseqAdam, "step", stepping)
    return moved


@pytest.mark.parametrize("batches", ["1", "2"])
def test_the_encoder_alone_and_then_all_but_the_encoder(sentences_bin, tmp_path, watched, batches):
    printed = fit(sentences_bin, tmp_path, *SHORT, "--max-update", "3", "--update-freq", batches, "--no-save")
    updates = [index for index, names in enumerate(watched) if names != {"encoder"}]
    assert len(updates) == 3 and all(watched[index] == {"decoder"} for index in updates)
    inner = [after - before - 1 for before, after in zip([-1, *updates], updates, strict=False)]
    assert all(steps in (4, 6, 7) for steps in inner)  # two windows of two at least, seven steps at most
    assert [numbers["inner_steps"] for numbers in printed.numbers("train_inner")] == inner


def scripted(monkeypatch, values):
    """Validations whose mutual information is `values[epoch]`, as far as the task hears."""
    validate = LatentTask.post_validate

    def post_validate(self, model, stats, agg):
        validate(self, model, {**stats, "mi": values[int(stats["num_updates"]) // 15]}, agg)

    monkeypatch.setattr(LatentTask, "post_validate", post_validate)


def test_without_the_flag_and_after_the_phase_all_move_together(sentences_bin, tmp_path, watched, monkeypatch, caplog):
    fit(sentences_bin, tmp_path / "plain", "--max-update", "3", "--no-save")
    assert watched == [{"encoder", "decoder"}] * 3
    watched.clear()
    scripted(monkeypatch, [0.1, 0.5, 0.4, 0.9])  # in the first epoch, after it, after the second, the third
    flags = (*SHORT, "--max-update", "0", "--max-epoch", "3", "--validate-interval-updates", "4", "--no-save")
    with caplog.at_level(logging.INFO):
        fit(sentences_bin, tmp_path / "aggressive", *flags)
    together = [index for index, names in enumerate(watched) if names == {"encoder", "decoder"}]
    assert together == list(range(len(watched) - 15, len(watched)))  # the last of three epochs
    told = [record.getMessage() for record in caplog.records if "aggressive training ends" in record.getMessage()]
    assert told == ["aggressive training ends: mutual information 0.4000 nats, 0.5000 before"]


def test_a_limit_ends_the_phase_for_good_wherever_a_run_was_stopped(sentences_bin, tmp_path, caplog):
    flags = (*SHORT, "--aggressive-updates", "4")
    with caplog.at_level(logging.INFO):
        whole = fit(sentences_bin, tmp_path / "whole", *flags, "--max-update", "7")
    steps = [numbers.get("inner_steps", 0) for numbers in whole.numbers("train_inner")]
    assert all(steps[:4]) and not any(steps[4:]) and len(steps) == 7
    told = [record.getMessage() for record in caplog.records if "aggressive training ends" in record.getMessage()]
    assert told == ["aggressive training ends: --aggressive-updates 4"]
    for stop in ("3", "5"):
        fit(sentences_bin, tmp_path / stop, *flags, "--max-update", stop)
        fit(sentences_bin, tmp_path / stop, *flags, "--max-update", "7")
        programs.assert_same_parameters(tmp_path / "whole/checkpoint_last.pt", tmp_path / stop / "checkpoint_last.pt")


def test_of_two_validation_sets_the_first_judges(sentences_bin, tmp_path, monkeypatch):
    seen, validated = [], AggressivePhase.validated
    monkeypatch.setattr(AggressivePhase, "validated", lambda self, mi: seen.append(mi) or validated(self, mi))
    fit(
        sentences_bin,
        tmp_path,
        *SHORT,
        "--max-update",
        "0",
        "--max-epoch",
        "1",
        "--valid-subset",
        "valid,test",
        "--no-save",
    )
    assert len(seen) == 1


def test_a_resumed_run_is_the_uninterrupted_run(sentences_bin, tmp_path, monkeypatch):
    """Stopped while aggressive, in the middle of an epoch, and after: the phase belongs to the checkpoint."""
    scripted(monkeypatch, [0.1, 0.5, 0.4, 0.7])
    flags = (*SHORT, "--max-update", "0", "--no-epoch-checkpoints")
    whole = fit(sentences_bin, tmp_path / "whole", *flags, "--max-epoch", "3")
    steps = [numbers.get("inner_steps", 0) for numbers in whole.numbers("train_inner")]
    assert all(steps[:30]) and not any(steps[30:]) and len(steps) == 45
    for stop in ("20", "30"):
        fit(sentences_bin, tmp_path / stop, *flags, "--max-update", stop)
        fit(sentences_bin, tmp_path / stop, *flags, "--max-epoch", "3")
        programs.assert_same_parameters(tmp_path / "whole/checkpoint_last.pt", tmp_path / stop / "checkpoint_last.pt")


def test_a_run_that_starts_anew_from_a_checkpoint_is_aggressive_again(sentences_bin, tmp_path, monkeypatch):
    monkeypatch.setattr(AggressivePhase, "validated", lambda self, mi: setattr(self, "active", False))
    fit(sentences_bin, tmp_path / "one", *SHORT, "--max-update", "0", "--max-epoch", "1")
    start = ("--finetune-from-model", tmp_path / "one/checkpoint_last.pt")
    trained = fit(sentences_bin, tmp_path / "two", *SHORT, *start, "--max-update", "1").numbers("train_inner")
    assert trained[0]["inner_steps"] >= 4


def test_steps_are_added_up_over_what_is_logged(sentences_bin, tmp_path, watched):
    """Of a log of every third update, the phase ending in between."""
    flags = (*SHORT, "--aggressive-updates", "4", "--max-update", "6", "--log-interval", "3", "--no-save")
    printed = fit(sentences_bin, tmp_path, *flags)
    logged = [numbers["inner_steps"] for numbers in printed.numbers("train_inner")]
    assert len(logged) == 2 and sum(logged) == sum(names == {"encoder"} for names in watched) > 0


def test_the_recognition_network_of_profiles_is_trained_alone(persona_bin, tmp_path, watched):
    """Of the persona CVAE: neither the prior nor GPT-2 moves with it, nor it with them."""
    flags = ("--task", "persona_dialogue", *SHORT, "--max-update", "2", "--no-save")
    printed = programs.fit(persona_bin, tmp_path, *flags, arch="persona_cvae_gpt2_tiny")
    steps = [numbers["inner_steps"] for numbers in printed.numbers("train_inner")]
    assert watched == [x for count in steps for x in (*[{"recognition"}] * int(count), {"rest"})] and min(steps) >= 4
    with pytest.raises(InputError, match="--no-latents leaves nothing to infer"):
        programs.fit(persona_bin, tmp_path, *flags, "--no-latents", arch="persona_cvae_gpt2_tiny")


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ["t_cvae_tiny", "t_spacefusion_tiny"])
def test_a_model_without_an_encoder_of_the_posteriors_own_is_refused(data_bin, tmp_path, arch):
    with pytest.raises(
        InputError, match="an encoder that only the posterior uses, .* has none; remedy: --arch gru_vae"
    ):
        programs.fit(data_bin, tmp_path, "--aggressive", arch=arch)
    assert {path.name for path in tmp_path.iterdir()} <= {"lock"}


@pytest.mark.parametrize(
    "wrong",
    [{"distributed_world_size": 2}, {"fp16": True}, {"bf16": True}, {"amp": True}, {"disable_validation": True}],
)
def test_what_cannot_be_updated_in_parts_is_refused(text_task, wrong):
    from dataclasses import replace

    task = type(text_task)(replace(text_task.cfg, aggressive=True, **wrong), text_task.dictionary)
    build_model(task, "gru_vae_tiny")
    with pytest.raises(InputError, match="^--aggressive .*; remedy: "):
        task.build_criterion(CRITERION_DATACLASS_REGISTRY["elbo"](_name="elbo"))


def test_an_end_that_is_never_judged_needs_a_limit(text_task):
    from dataclasses import replace

    limited = replace(text_task.cfg, aggressive=True, disable_validation=True, aggressive_updates=3)
    task = type(text_task)(limited, text_task.dictionary)
    build_model(task, "gru_vae_tiny")
    task.build_criterion(CRITERION_DATACLASS_REGISTRY["elbo"](_name="elbo"))  # as a limit is set
    with pytest.raises(InputError, match="^--aggressive-updates 3 without --aggressive; remedy: "):
        type(text_task)(replace(limited, aggressive=False), text_task.dictionary)
