"""T-CVAE and SpaceFusion checkpoints of the authors' code (Sato et al., 2021), which runs on fairseq 0.8, as ours.

Weights alone are taken, under today's names, and nothing in the file is executed. Sizes are those of its tensors; the heads,
which no tensor shows, are in its flags.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from .conversion import configured, write_checkpoint

RENAMED = (
    ("latent.query", "latent.pool.query"),
    ("latent.prior_attn", "latent.pool.attention"),
    ("latent.prior_net1", "latent.prior_net.0"),
    ("latent.prior_net2", "latent.prior_net.2"),
    ("latent.post_net", "latent.posterior_net"),
    ("decoder.latent_fc", "decoder.fusion.linear"),
    ("decoder.bow_loss_fc", "bow_head.0"),
)
TWICE = ("latent.", "encoder.latent.post_attn")  # as encoder.latent, as prior_attn
WORDS, OUTPUT, FUSION = (
    "encoder.embed_tokens.weight",
    "decoder.output_projection.weight",
    "decoder.fusion.linear.weight",
)
POSTERIOR, PRIOR_HIDDEN = "encoder.latent.posterior_net.weight", "encoder.latent.prior_net.0.weight"
FFN = "{side}.layers.{layer}.fc1.weight"
REMEDY = "remedy: a T-CVAE or SpaceFusion checkpoint of the authors' code"


def places(named: Iterable[str]) -> dict[str, list[str]]:
    """Their names -> ours: q, k and v are three matrices here, and the rows of one there."""
    found = {}
    for name in named:
        if name.startswith(TWICE) or name.endswith(("_float_tensor", "version")):
            continue
        renamed = name
        for old, new in RENAMED:
            renamed = renamed.replace(old, new)
        stacked = "in_proj_" in name and "latent" not in name
        found[name] = [renamed.replace("in_proj_", f"{each}_proj.") for each in "qkv"] if stacked else [renamed]
    return found


def renamed(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Their weights under our names."""
    state: dict[str, Any] = {}
    for name, ours in places(weights).items():
        state |= dict(zip(ours, weights[name].chunk(len(ours)), strict=True))
    if WORDS in state:
        state.setdefault(OUTPUT, state.get("decoder.embed_tokens.weight", state[WORDS]))
    return state


def sizes(state: Mapping[str, Any], path: str | Path) -> tuple[str, dict[str, int]]:
    """Architecture and flags by the shapes of weights under our names; InputError for others."""
    try:
        embed_dim, latent_dim = state[WORDS].size(1), state[FUSION].size(1) - state[WORDS].size(1)
        layers = dict.fromkeys(("encoder", "decoder"), 0)
        for side in layers:
            while FFN.format(side=side, layer=layers[side]) in state:
                layers[side] += 1
        flags = {
            "embed_dim": embed_dim,
            "ffn_dim": state[FFN.format(side="encoder", layer=0)].size(0),
            "layers": layers["encoder"],
            "latent_dim": latent_dim,
            "prior_hidden_dim": state[PRIOR_HIDDEN].size(0),
        }
        outputs = state[POSTERIOR].size(0)
    except (KeyError, IndexError):
        raise InputError(f"{path}: its weights are of another architecture; {REMEDY}") from None
    kinds = {2 * latent_dim: "t_cvae", latent_dim: "t_spacefusion"}
    if latent_dim < 1 or outputs not in kinds or layers["decoder"] != layers["encoder"]:
        raise InputError(
            f"{path}: {layers['encoder']} and {layers['decoder']} layers, a latent of {latent_dim}, a posterior "
            f"of {outputs}: no T-CVAE has these sizes; {REMEDY}"
        )
    return kinds[outputs], flags


def import_checkpoint(path: Path, data: str, out: Path, heads: int | None) -> tuple[str, dict[str, int]]:
    """Write theirs as a checkpoint of ours; its architecture and sizes.

    heads: where the file does not say. InputError for a file that is no such checkpoint, or of another dictionary than the
    data's.
    """
    import fairseq_latent

    fairseq_latent.register()
    from ..compat.checkpoints.checkpoint_files import read_plain

    if not path.is_file():
        raise InputError(f"{path}: no such file; {REMEDY}")
    found = read_plain(str(path))
    weights = found["model"]
    _check_tensors(weights, path)
    state = renamed(weights)
    arch, flags = sizes(state, path)
    flags["heads"] = heads or _heads(found.get("args"), path)
    if flags["embed_dim"] % flags["heads"]:
        raise InputError(
            f"{path}: {flags['heads']} heads do not divide {flags['embed_dim']}; remedy: --heads, as in training"
        )
    words = _further_flags(state, flags["layers"])
    words += [word for flag, value in flags.items() for word in (f"--{flag.replace('_', '-')}", str(value))]
    cfg, task = configured([data, "--task", "dialogue", "--arch", arch, "--criterion", "elbo", *words])
    size = len(task.target_dictionary)
    if len(state[WORDS]) != size:
        raise InputError(
            f"{path}: {len(state[WORDS]):,} tokens, {data} has {size:,}; remedy: --data with the "
            "dictionary of its training"
        )
    model = task.build_model(cfg.model)
    _fill(model, state, path)
    write_checkpoint(cfg, task, model, out)
    return arch, flags


def _check_tensors(weights: Mapping[str, object], path: Path) -> None:
    from torch import Tensor

    for name, tensor in weights.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise InputError(f"{path}: {name!r:.80} is no tensor; {REMEDY}")
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise InputError(f"{path}: {name:.80} has values that are no numbers; remedy: an earlier checkpoint")


def _heads(args: object, path: Path) -> int:
    heads = getattr(args, "encoder_attention_heads", None)
    if not isinstance(heads, int) or heads < 1:
        raise InputError(
            f"{path} does not say how many attention heads it has; remedy: --heads, 8 in a Transformer-base"
        )
    return heads


def _further_flags(state: Mapping[str, Any], layers: int) -> list[str]:
    """What is shared is equal there: layers, and words with the output."""
    shared = all(
        state[f"encoder.layers.{layer}.{part}"].equal(state[f"decoder.layers.{layer}.{part}"])
        for layer in range(layers)
        for part in ("fc1.weight", "self_attn.out_proj.weight")
    )
    return [
        *([] if shared else ["--no-share-layers"]),
        *([] if state[OUTPUT].equal(state[WORDS]) else ["--no-share-output"]),
    ]


def _fill(model, state: dict[str, Any], path: Path) -> None:
    """Every weight, and none besides."""
    own = {name: value for name, value in model.named_buffers() if name in model.state_dict()}
    try:
        model.load_state_dict(state | {name: value for name, value in own.items() if name not in state}, strict=True)
    except RuntimeError as error:
        what = " ".join(str(error).partition(":\n")[2].split())[:160]
        raise InputError(f"{path}: {what or 'other weights'}; {REMEDY}") from None
