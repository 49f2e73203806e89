"""float32 for what half precision would spoil: a KL divergence is a small difference of large numbers.

Under --fp16 and --bf16 the parameters themselves are rounded; what reads a Gaussian off their states computes in float32.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call


def full_dtype(tensor: Tensor) -> torch.dtype:
    """float32, or float64 if the tensor has it."""
    return torch.promote_types(tensor.dtype, torch.float32)


def in_full(module: nn.Module, inputs: Tensor) -> Tensor:
    """A module's output with parameters and inputs in float32 (or float64), and gradients for the parameters as they are."""
    parameters = dict(module.named_parameters())
    dtype = full_dtype(next(iter(parameters.values())))
    if all(parameter.dtype == dtype for parameter in parameters.values()):
        return module(inputs.to(dtype))
    return functional_call(module, {name: each.to(dtype) for name, each in parameters.items()}, (inputs.to(dtype),))
