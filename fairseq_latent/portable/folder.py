"""The files of an exported model, and how they are read: nothing in them is executed.

`config.json` says what is built, `words.json` has the tokens in the order of their ids, `model.safetensors` the weights. The
tokenizer's own files lie beside them as they lay in the data folder.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..ranges import COUNT, DEPTH, LARGEST, SEED, SIZE_OR_NONE, check
from ..symbols import RESERVED
from ..text.json_values import OTHER_FORM, read_json, text, whole
from .words import Words

CONFIG, WEIGHTS, WORDS = "config.json", "model.safetensors", "words.json"
OF_PERSONA, LATENTS = "latents.json", "latents.safetensors"  # beside the language model of a persona model
SIZES = ("_dim", "heads", "layers")  # endings of flags
OTHERS = {"longest": COUNT, "seed": SEED}
KIND, FORM = "fairseq_latent", 1  # of config.json
REMEDY = "remedy: fairseq-latent export, again, or a whole copy of the folder"


@dataclass(frozen=True)
class Description:
    """What is built: the name of an architecture without its size, and its flags.

    longest: tokens of a context, of a response. answers: False of a sentence VAE. seed: of the training, and of noise where
    none is named. forbidden: ids that are never said.
    """

    architecture: str
    flags: Mapping[str, Any]
    longest: tuple[int, int]
    answers: bool
    seed: int
    forbidden: tuple[int, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Of `config.json`."""
        own = {name: getattr(self, name) for name in ("architecture", "longest", "answers", "seed", "forbidden")}
        return {"model_type": KIND, "form": FORM, **own, "flags": dict(self.flags)}


def read_description(path: Path) -> Description:
    """InputError for what is no configuration of an exported model, or of a later version."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; remedy: a folder that fairseq-latent export made")
    try:
        found = read_json(path)
        if found["model_type"] != KIND:
            raise ValueError
        if found["form"] != FORM:
            raise InputError(
                f"{path}: its form is {found['form']!r:.20}, this version reads {FORM}; "
                "remedy: the version of fairseq_latent that it was exported with, or later"
            )
        source, target = (whole(value) for value in found["longest"])
        flags, forbidden = dict(found["flags"]), tuple(whole(value) for value in found["forbidden"])
        numbers = {name: (DEPTH if name.endswith("layers") else SIZE_OR_NONE) for name in flags if name.endswith(SIZES)}
        check({**flags, "longest": [source, target], "seed": whole(found["seed"])}, numbers | OTHERS)
        if any(not 0 <= each <= LARGEST for each in forbidden):
            raise ValueError
        return Description(
            text(found["architecture"]), flags, (source, target), bool(found["answers"]), found["seed"], forbidden
        )
    except InputError:
        raise
    except OTHER_FORM as error:
        raise InputError(f"{path}: no configuration of an exported model; {REMEDY}") from error


def read_words(path: Path) -> Words:
    """InputError for what is no list of tokens."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; {REMEDY}")
    try:
        symbols = [text(symbol) for symbol in read_json(path)]
    except OTHER_FORM as error:
        raise InputError(f"{path}: no list of tokens; {REMEDY}") from error
    if tuple(symbols[: len(RESERVED)]) != RESERVED:
        raise InputError(f"{path}: a list of tokens begins with {' '.join(RESERVED)}; {REMEDY}")
    return Words(symbols)


def read_weights(path: Path) -> dict[str, Tensor]:
    """InputError for a file that is missing or damaged."""
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise InputError("safetensors is not installed; remedy: pip install safetensors") from None
    if not path.is_file():
        raise InputError(f"{path}: no such file; {REMEDY}")
    try:
        return load_file(str(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: damaged, or no safetensors file; {REMEDY}") from error


def check_sizes(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """InputError for weights that a network has none of, or in other shapes; it may be on the meta device."""
    own = network.state_dict()
    for name, tensor in weights.items():
        if name not in own:
            raise InputError(f"{path}: weights {name!r:.80} belong to no part of this architecture; {REMEDY}")
        if own[name].shape != tensor.shape:
            shapes = f"{tuple(tensor.shape)}, {CONFIG} asks for {tuple(own[name].shape)}"
            raise InputError(f"{path}: {name} is {shapes}; {REMEDY}")
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise InputError(f"{path}: {name} has values that are no numbers; {REMEDY}")


@torch.no_grad()
def fill(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Copy the weights to a network's own, of which those that are shared are stored once; InputError if they do not fit."""
    check_sizes(network, weights, path)
    own = network.state_dict()
    filled = {own[name].data_ptr() for name in weights}
    if lacking := [name for name, tensor in own.items() if tensor.numel() and tensor.data_ptr() not in filled]:
        raise InputError(f"{path} lacks weights, e.g. {lacking[0]}; {REMEDY}")
    for name, tensor in weights.items():
        own[name].copy_(tensor)
