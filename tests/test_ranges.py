"""Ranges of flags: every number has one, and stock models' numbers are left alone."""

import argparse
import math
from dataclasses import fields
from types import SimpleNamespace
from typing import get_args

import pytest
from fairseq import options
from fairseq.criterions import CRITERION_REGISTRY
from fairseq.models import MODEL_REGISTRY
from fairseq.optim import OPTIMIZER_REGISTRY
from fairseq.optim.lr_scheduler import LR_SCHEDULER_REGISTRY
from fairseq.registry import REGISTRIES
from fairseq.tasks import TASK_REGISTRY

from fairseq_latent import ranges
from fairseq_latent.compat.flag_ranges import RANGES
from fairseq_latent.errors import InputError
from fairseq_latent.ranges import FINITE, LARGEST, Numbers, Range, check_config

from .helpers.tiny import build_model

OURS = [
    owner
    for registry in (TASK_REGISTRY, MODEL_REGISTRY, CRITERION_REGISTRY)
    for owner in registry.values()
    if owner.__module__.startswith("fairseq_latent.")
]


@pytest.mark.parametrize("allowed, inside, outside, words", [
    (Range(0), (0, 0.5, LARGEST), (-1e-9, math.nan, math.inf, 2**64, 1e38), "0 or more"),
    (Range(0, above=True), (1e-300,), (0, -1), "more than 0"),
    (Range(0, 1), (0, 1), (1.01, math.nan), "from 0 to 1"),
    (Range(0, 1, below=True), (0, 0.999), (1,), "from 0 to 1, without 1"),
    (FINITE, (-5, 0), (math.nan, -math.inf), "a finite number"),
    (Numbers(2, Range(0, 1)), ("0.9,1", "(0.9, 0.98)", "[0, 0]"),
     ("", "0.9", "1,2", "1,1,1", "nan,1", "a,b", "()", "__import__('os'),1", "'a','b'"),
     "2 numbers between commas, each from 0 to 1"),
])  # fmt: skip
def test_what_is_inside(allowed, inside, outside, words):
    assert all(value in allowed for value in inside)
    assert not any(value in allowed for value in outside)
    assert str(allowed) == words


def test_settings_by_name():
    settings = ranges.JSONObject()
    assert "{}" in settings and '{"beam": 5}' in settings
    assert not any(text in settings for text in ("garbage", "[1]", "", "[" * 10**5))


def test_overrides_by_name():
    overrides = ranges.Dictionary()
    assert "{}" in overrides and "{'dropout': 0.1}" in overrides
    assert not any(text in overrides for text in ("{'a': 1", "[1]", "{1: 2}", "", "{'a': f()}", "[" * 10**5))
    parser = options.get_generation_parser()
    with pytest.raises(InputError, match="--model-overrides {'a': is out of range; remedy: names and values"):
        options.parse_args_and_arch(parser, ["data", "--task", "dialogue", "--model-overrides", "{'a':"])


@pytest.mark.parametrize("flags, cause", [
    (("inverse_sqrt", "--warmup-updates", "0"), "--warmup-updates is 0; remedy"),
    (("polynomial_decay",), "needs --total-num-update; remedy"),
    (("tri_stage",), "needs its three stages"),
    (("tri_stage", "--phase-ratio", "0.1,0.2"), "whose sum is 1"),
])  # fmt: skip
def test_schedules_that_lack_something(flags, cause):
    with pytest.raises(InputError, match=cause):
        parsed("--task", "dialogue", "--arch", "t_cvae_tiny", "--lr-scheduler", *flags)


def test_schedules_that_lack_nothing():
    ours = ("--task", "dialogue", "--arch", "t_cvae_tiny", "--lr-scheduler")
    assert parsed(*ours, "inverse_sqrt") and parsed(*ours, "polynomial_decay", "--total-num-update", "9")
    assert parsed(*ours, "tri_stage", "--phase-ratio", "0.1,0.4,0.5") and parsed(
        *ours, "tri_stage", "--hold-steps", "9"
    )


def test_an_empty_list_is_no_number():
    with pytest.raises(InputError, match=r"--update-freq \[\] holds no number; remedy: 1 or more"):
        parsed("--task", "dialogue", "--arch", "t_cvae_tiny", "--update-freq", "[]")


def test_lists_are_checked_one_by_one_and_what_is_no_number_is_none():
    allowed = {"lr": Range(0), "max_tokens": Range(1), "batch_size": Range(1)}
    ranges.check({"lr": [0.1, 0.0], "max_tokens": None, "batch_size": "${dataset.batch_size}"}, allowed)
    with pytest.raises(InputError, match=r"--lr -0\.1 is out of range; remedy: 0 or more"):
        ranges.check({"lr": [0.1, -0.1]}, allowed)


@pytest.mark.parametrize("owner", OURS, ids=lambda owner: owner.__name__)
def test_every_number_of_ours_has_a_range(owner):
    """Its own, or fairseq's flag's; what a criterion or a task takes from another group of flags has that one's."""
    config = owner.__dict__.get("__dataclass")
    forgotten = [
        field.name
        for field in fields(config)
        if {int, float} & {field.type, *get_args(field.type)}
        and "range" not in field.metadata
        and field.name not in RANGES
    ]
    assert not forgotten


@pytest.mark.parametrize("owner", OURS, ids=lambda owner: owner.__name__)
def test_defaults_are_inside_their_ranges(owner):
    allowed = ranges.declared_by(owner)
    ranges.check({field.name: field.default for field in fields(owner.__dict__["__dataclass"])}, allowed)


def flags_of_training() -> argparse.ArgumentParser:
    """Every flag of fairseq-train, of all optimisers and learning-rate schedules."""
    parser = options.get_training_parser()
    for name, registry in (("optimizer", OPTIMIZER_REGISTRY), ("lr_scheduler", LR_SCHEDULER_REGISTRY)):
        assert REGISTRIES[name]["registry"] is registry
        for kind in registry.values():
            one = argparse.ArgumentParser(conflict_handler="resolve", add_help=False)
            if hasattr(kind, "add_args"):
                kind.add_args(one)
            for action in one._actions:
                if action.option_strings[-1] not in parser._option_string_actions:
                    parser._add_action(action)
    return parser


def test_every_number_of_fairseqs_own_training_flags_has_a_range():
    actions = flags_of_training()._actions
    numeric = {
        action.dest
        for action in actions
        if action.type in (int, float) or action.dest.endswith("_betas") or "<lambda>" in repr(action.type)
    }
    assert {"lr", "update_freq", "warmup_updates", "momentum", "adam_betas", "ema_decay"} <= numeric
    assert not numeric - RANGES.keys()


def parsed(*flags):
    return options.parse_args_and_arch(options.get_training_parser(), ["data", *flags])


def test_numbers_of_stock_models_are_left_alone():
    stock = ("--task", "translation", "--arch", "transformer", "--criterion", "cross_entropy")
    args = parsed(*stock, "--lr", "-1", "--dropout", "nan", "--clip-norm", "nan", "--optimizer", "adam")
    assert args.lr == [-1.0] and math.isnan(args.dropout) and math.isnan(args.clip_norm)


@pytest.mark.parametrize("ours", [
    ("--task", "dialogue", "--arch", "transformer"),
    ("--task", "translation", "--arch", "t_cvae_tiny"),
    ("--task", "translation", "--arch", "transformer", "--criterion", "elbo"),
])  # fmt: skip
def test_one_part_of_ours_makes_a_command_ours(ours):
    with pytest.raises(InputError, match="--clip-norm nan"):
        parsed(*ours, "--clip-norm", "nan")


def test_any_float_is_finite():
    with pytest.raises(InputError, match="--lenpen nan is out of range; remedy: a finite number"):
        options.parse_args_and_arch(options.get_generation_parser(), ["data", "--task", "dialogue", "--lenpen", "nan"])


def test_a_configuration_from_elsewhere_is_checked_too(task):
    """A checkpoint's, or hydra's."""
    with pytest.raises(InputError, match="--latent-dim -1 is out of range"):
        build_model(task, latent_dim=-1)


def test_a_text_where_a_number_belongs():
    """As --model-overrides can bring one."""
    from fairseq_latent.models.t_cvae import TCVAEModel

    with pytest.raises(InputError, match="--dropout 'x' is no number; remedy: from 0 to 1, without 1"):
        check_config(SimpleNamespace(dropout="x"), TCVAEModel)
    check_config(SimpleNamespace(dropout="${model.dropout}"), TCVAEModel)
