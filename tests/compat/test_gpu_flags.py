"""Flags that want a GPU: refused in trainings of ours on a machine without, and nowhere else."""

import pytest
import torch
from fairseq import options

from fairseq_latent.compat.gpu_flags import NEEDS_GPU
from fairseq_latent.errors import InputError

from ..helpers import programs

OURS = ("--task", "dialogue", "--arch", "t_cvae_tiny")


@pytest.fixture
def training(monkeypatch):
    """A command line of fairseq-train, on a machine with or without a GPU."""

    def parse(*flags, gpu=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
        return options.parse_args_and_arch(options.get_training_parser(), ["data", *flags])

    return parse


@pytest.mark.parametrize("flags, cause", [
    (("--fp16",), "--fp16 needs a GPU; remedy: --bf16"),
    (("--memory-efficient-fp16",), "--memory-efficient-fp16 needs a GPU; remedy: --bf16"),
    (("--amp",), "--amp needs a GPU; remedy: --autocast bfloat16"),
    (("--tpu",), "--tpu needs a TPU"),
    (("--profile",), "--profile needs a GPU"),
    (("--cpu-offload",), "--cpu-offload needs a GPU"),
    (("--optimizer", "adam", "--fp16-adam-stats"), "--fp16-adam-stats needs a GPU"),
    (("--pipeline-model-parallel",), "--pipeline-model-parallel needs a GPU"),
    (("--ddp-backend", "fully_sharded"), "--ddp-backend fully_sharded needs a GPU; remedy: --ddp-backend pytorch_ddp"),
    (("--ddp-backend", "slowmo"), "--ddp-backend slowmo needs a GPU"),
])  # fmt: skip
def test_what_only_gpus_can_do_is_refused(training, flags, cause):
    for machine in ({"gpu": False}, {"gpu": True}):
        with pytest.raises(InputError) as error:
            training(*OURS, *flags, *(["--cpu"] if machine["gpu"] else []), **machine)
        assert cause in str(error.value)
    assert training("--task", "translation", "--arch", "transformer", *flags)  # stock models do what they did
    if "--tpu" not in flags:
        assert training(*OURS, *flags, gpu=True)


def test_bfloat16_is_for_cpus_too(training):
    assert training(*OURS, "--bf16").bf16
    assert training(*OURS, "--memory-efficient-bf16").bf16


def test_every_flag_is_fairseqs():
    known = {action.dest for action in options.get_training_parser()._actions} | {"fp16_adam_stats"}  # adam's
    assert NEEDS_GPU.keys() <= known


def test_evaluation_in_half_precision_works_on_a_cpu(persona_bin, persona_run):
    common = ("--user-dir", programs.PLUGIN, "--task", "persona_dialogue", "--path", persona_run[0], "--cpu")
    validated = programs.run("fairseq-validate", persona_bin, *common, "--batch-size", "8", "--fp16")
    assert validated is not None
