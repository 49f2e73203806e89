"""What checkpoints of earlier versions of this project lack: `patches.apply` puts it in place."""

import functools

import torch

WEIGHT, BIAS = "encoder.latent.prior_net.0.weight", "encoder.latent.prior_net.0.bias"
BUFFERS = ("version", "_float_tensor", "dictionary_digest")

RENAMED = {  # settings of before -> what they are called now
    f"reader_{part}": f"latent_encoder_{part}"
    for part in ("layers", "heads", "ffn_dim", "activation", "dropout", "norm", "init")
}


def renamed(settings: dict) -> dict:
    """A model's settings under the names of today. Delete when nobody has checkpoints from before."""
    return {RENAMED.get(name, name): value for name, value in settings.items()}


def give_prior_a_bias(load_checkpoint_to_cpu):
    """Once the prior's tanh layer had no bias: a zero one, of which the optimiser has no history, computes the same.

    Delete when nobody has checkpoints from before.
    """

    @functools.wraps(load_checkpoint_to_cpu)
    def wrapped(path, *args, **kwargs):
        state = load_checkpoint_to_cpu(path, *args, **kwargs)
        weights = state.get("model") if isinstance(state, dict) else None
        if isinstance(weights, dict) and WEIGHT in weights and BIAS not in weights:
            if state.get("last_optimizer_state"):
                _make_room(state["last_optimizer_state"], weights)
            weights[BIAS] = weights[WEIGHT].new_zeros(len(weights[WEIGHT]))
        return state

    return wrapped


def _make_room(optimizer: dict, weights: dict) -> None:
    """Move what the optimiser knows of the parameters after the bias; they are numbered in the model's order."""
    before = [  # none of them is shared with another one of the encoder
        weight
        for name, weight in list(weights.items())[: list(weights).index(WEIGHT) + 1]
        if name.startswith("encoder.") and not name.endswith(BUFFERS)
    ]
    (group,) = optimizer["param_groups"]
    if len(group["params"]) > 1:
        place = len(before)
        optimizer["state"] = {number + (number >= place): known for number, known in optimizer["state"].items()}
        group["params"] = list(range(len(group["params"]) + 1))
    else:  # --fp16, --bf16: all parameters are one vector
        place = sum(weight.numel() for weight in before)
        for known in optimizer["state"].values():
            for name, value in known.items():
                if torch.is_tensor(value) and value.dim() == 1:
                    zeros = value.new_zeros(len(weights[WEIGHT]))
                    known[name] = torch.cat([value[:place], zeros, value[place:]])
