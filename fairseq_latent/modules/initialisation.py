"""The start of a T-CVAE's layers: as in fairseq 0.8, on which the authors' code runs, or as in fairseq 0.12."""

from collections.abc import Iterable

from torch import nn

INITS = ("fairseq8", "fairseq12")


def initialise(init: str, layers: Iterable[nn.Module], head: nn.Module, fusion: nn.Module) -> None:
    """Start the Transformer layers and what belongs to the latent; parts come as their constructors left them.

    fairseq8: feed-forward layers have Xavier weights and zero biases, the biases of queries, keys and values are zero;
    fusion, posterior and prior start as `nn.Linear` does.
    fairseq12: layers start as in fairseq 0.12, where only attention has Xavier weights; fusion, posterior and prior have
    Xavier weights, the prior a zero bias. The KL of an untrained Transformer-base is 2.3 times that of fairseq8.
    """
    if init == "fairseq8":
        for layer in layers:
            _start_as_fairseq8(layer)
        return
    nets = [part for net in (head.prior_net, head.posterior_net) for part in net.modules()]
    for linear in (part for part in [*nets, fusion.linear] if isinstance(part, nn.Linear)):
        _xavier(linear)


def _start_as_fairseq8(layer: nn.Module) -> None:
    """Weights of attention start alike in both: Xavier for the stacked q, k, v is q, k and v with a gain of 1 / sqrt(2)."""
    for linear in (layer.fc1, layer.fc2):
        _xavier(linear)
    for attention in (layer.self_attn, getattr(layer, "encoder_attn", None)):
        if attention is not None:
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
                nn.init.zeros_(projection.bias)


def _xavier(linear: nn.Linear) -> None:
    nn.init.xavier_uniform_(linear.weight)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
