"""Flags of training that want a GPU, refused on a machine without: `patches.apply` puts this in place."""

import argparse

import torch

from ..errors import InputError
from .ownership import owners, with_flags

# flag -> (its values that want a GPU, the remedy)
NEEDS_GPU = {
    "memory_efficient_fp16": ((True,), "--bf16, which CPUs can do"),
    "fp16": ((True,), "--bf16, which CPUs can do"),
    "amp": ((True,), "--autocast bfloat16, which CPUs can do"),
    "tpu": ((True,), "leave it out"),
    "profile": ((True,), "leave it out"),
    "cpu_offload": ((True,), "leave it out"),
    "fp16_adam_stats": ((True,), "leave it out"),
    "pipeline_model_parallel": ((True,), "leave it out"),
    "ddp_backend": (("fully_sharded", "slowmo"), "--ddp-backend pytorch_ddp"),
}


@with_flags
def refuse_without_gpu(flags: argparse.Namespace) -> None:
    """fairseq trains on without what was asked for, or crashes. Delete when it refuses them.

    For training models of this plugin: stock models, and every model's evaluation, do what they did.
    """
    values = vars(flags)
    trains = "max_update" in values
    if trains and owners(values) and (values.get("cpu") or not torch.cuda.is_available()):
        check(values)


def check(values: dict) -> None:
    """Refuse the first flag that needs what is not there."""
    for name, (asked, remedy) in NEEDS_GPU.items():
        value = values.get(name)
        if value not in asked or (name == "tpu" and values.get("bf16")):  # options.py takes bf16 for a TPU's
            continue
        flag = f"--{name.replace('_', '-')}" + (f" {value}" if isinstance(value, str) else "")
        raise InputError(f"{flag} needs a {'TPU' if name == 'tpu' else 'GPU'}; remedy: {remedy}")
