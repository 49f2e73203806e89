"""What a checkpoint may bring: weights, and plain settings of models whose code the user chose (docs/security.md).

torch loads no code from a checkpoint. But fairseq builds the architecture, task and criterion that the settings in a
checkpoint name, and some of its own evaluate texts of these settings as Python. So the settings are checked as soon as torch
has read them, before fairseq looks at them. `patches.apply` puts everything here in place.
"""

import contextlib
import functools
import os
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import fields
from numbers import Number

import numpy as np
from fairseq.criterions import CRITERION_DATACLASS_REGISTRY, CRITERION_REGISTRY
from fairseq.dataclass.configs import FairseqConfig
from fairseq.logging import meters
from fairseq.models import ARCH_MODEL_NAME_REGISTRY, ARCH_MODEL_REGISTRY, MODEL_DATACLASS_REGISTRY, MODEL_REGISTRY
from fairseq.registry import REGISTRIES
from fairseq.tasks import TASK_DATACLASS_REGISTRY, TASK_REGISTRY
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor

from fairseq_latent.errors import InputError

from . import older, plain_values
from .allowed_models import is_stock, only_weights, stock_is_chosen

STOCK = "FAIRSEQ_LATENT_STOCK"  # names of fairseq's own models, tasks and criterions that the user allows
MOST_VALUES, DEEPEST = 100_000, 20  # settings have; lists and dictionaries in one another
PLACES = ("epoch", "iterations_in_epoch")  # in the data
MEASURED = ("best", "val_loss", "previous_training_time", "ema_updates")
MARK = "${"  # of what omegaconf replaces: ${oc.env:HOME}
KINDS = {"model": "architecture", "task": "task", "criterion": "criterion"}


class CheckedTorch:
    """`torch` as `fairseq.checkpoint_utils` sees it: what it loads is checked. Delete when fairseq checks it."""

    def __init__(self, torch):
        self._torch = torch

    def __getattr__(self, name):
        return getattr(self._torch, name)

    def load(self, file, *args, **kwargs):
        """torch's, then `checked`."""
        state = self._torch.load(file, *args, **kwargs)
        return checked(state, str(getattr(file, "name", file)))


def checked(state: object, path: str) -> dict:
    """The content of a checkpoint, its settings cut to those that its architecture, task and criterion have; InputError
    for what is no checkpoint of fairseq, or would build what the user did not choose."""
    plain_values.replace_eval()  # in modules that were imported since
    check_form(state, path)
    args, cfg = state.get("args"), state.get("cfg")
    for settings in (args, cfg):
        _check_plain(settings, path)
    if only_weights():
        _check_counters(state, path)
        if args is not None:  # of fairseq before 0.10; converting them would build a configuration that nobody reads
            state["args"] = None
        return state
    if args is not None:
        flags = vars(args)
        names = {
            "model": flags.get("arch"),
            "task": flags.get("task", "translation"),
            "criterion": flags.get("criterion"),
        }
        for group, registry in REGISTRIES.items():
            if flags.get(group) not in (None, *registry["registry"]):
                raise InputError(f"{path}: its {group} {flags[group]!r:.80} is not known")
    elif cfg is not None:
        names = {section: _name(cfg.get(section), section) for section in KINDS}
    else:
        raise InputError(f"{path}: it has weights, but not the settings of their model (no cfg)")
    classes = _classes(names, path)
    if args is None:
        state["cfg"] = {**cfg, **{section: _cut(cfg[section], section, names[section], path) for section in classes}}
    return state


def check_form(state: object, path: str) -> None:
    """InputError for what is no checkpoint, or lacks a part of one."""
    if not isinstance(state, dict):
        raise InputError(f"{path}: no checkpoint of fairseq, but a {type(state).__name__}")
    if not isinstance(state.get("model"), Mapping):
        raise InputError(f"{path}: no checkpoint of fairseq: it has no model")
    for name, tensor in state["model"].items():
        if not isinstance(name, str) or not (isinstance(tensor, Tensor) or name.endswith("_extra_state")):
            raise InputError(f"{path}: no checkpoint of fairseq: its model has {name!r:.80}, a {type(tensor).__name__}")
    history = state.get("optimizer_history")
    entries = isinstance(history, list) and history and all(isinstance(entry, dict) for entry in history)
    if not (entries or (history is None and {"best_loss", "optimizer"} <= state.keys())):
        raise InputError(f"{path}: no checkpoint of fairseq: it has no optimizer_history")
    if not (isinstance(state.get("extra_state"), dict) or {"epoch", "batch_offset", "val_loss"} <= state.keys()):
        raise InputError(f"{path}: no checkpoint of fairseq: it has no extra_state")
    for name, kind in (("args", Namespace), ("cfg", dict), ("task_state", dict), ("extra_state", dict)):
        if not isinstance(state.get(name), kind | None):
            raise InputError(f"{path}: no checkpoint of fairseq: its {name} is a {type(state[name]).__name__}")
    for group in set(state.get("cfg") or ()) & FairseqConfig.__dataclass_fields__.keys():
        if not isinstance(state["cfg"][group], dict | Namespace | str | None):
            raise InputError(f"{path}: no checkpoint of fairseq: its {group} is a {type(state['cfg'][group]).__name__}")


def check_training(state: object, path: str) -> None:
    """InputError for what no training can go on from."""
    check_form(state, path)
    _check_counters(state, path)


def _check_counters(state: dict, path: str) -> None:
    """What a training goes on from. Of the meters fairseq calls by name whatever its module has of that name."""
    extra, last = state.get("extra_state") or {}, (state.get("optimizer_history") or [{}])[-1]
    iterator, metrics = extra.get("train_iterator"), extra.get("metrics")
    places = [(iterator or {}).get(name, 0) for name in PLACES] if isinstance(iterator, dict | None) else [None]
    if not all(isinstance(number, int) for number in (last.get("num_updates", 0), *places)):
        raise InputError(f"{path}: damaged: its number of updates or its place in the data is no number")
    for part, value in (
        ("task", extra.get("task_state")),
        ("early stopping", extra.get("early_stop")),
        ("moving average", extra.get("ema")),
        ("optimiser", state.get("last_optimizer_state")),
        ("learning rate", last.get("lr_scheduler_state")),
    ):
        if not isinstance(value, dict | None):
            raise InputError(f"{path}: damaged: the state of its {part} is a {type(value).__name__}")
    counted = {name: extra.get(name) for name in MEASURED} | (extra.get("early_stop") or {})
    for name, value in counted.items():
        if not isinstance(value, Number | np.generic | Tensor | None):
            raise InputError(f"{path}: damaged: its {name} is no number")
    try:
        named = [kind for group in (metrics or {}).values() for _, _, kind, _ in group]
        known = all(issubclass(getattr(meters, str(kind), object), meters.Meter) for kind in named)
    except (AttributeError, TypeError, ValueError):
        known = False
    if not known:
        raise InputError(f"{path}: damaged: its metrics are none of fairseq's")


def refuse_damaged(upgrade_state_dict):
    """fairseq looks deep into the settings for what older ones called otherwise. Delete when it does not expect it there."""

    @functools.wraps(upgrade_state_dict)
    def wrapped(state):
        try:
            return upgrade_state_dict(state)
        except (AttributeError, TypeError, OmegaConfBaseException) as error:
            raise ValueError("settings of another form") from error  # the file is named further up

    return wrapped


def _check_plain(settings: object, path: str) -> None:
    """Numbers, texts, and lists and dictionaries of them, not too many; no text that omegaconf would replace."""
    left, waiting = MOST_VALUES, [("settings", settings, 0)]
    while waiting:
        where, value, depth = waiting.pop()
        left -= 1
        if left < 0 or depth > DEEPEST:  # one list can hold itself, many times
            raise InputError(f"{path}: refused, its settings are nested or too many")
        if isinstance(value, str):
            if MARK in value:
                raise InputError(f"{path}: refused, its {where} is {value!r:.80}, which would be replaced on loading")
        elif isinstance(value, Namespace | dict):
            for name, inner in (vars(value) if isinstance(value, Namespace) else value).items():
                if not isinstance(name, str | int | float | bool):
                    raise InputError(f"{path}: refused, its {where} have a key that is a {type(name).__name__}")
                waiting.append((f"{name!s:.80}", inner, depth + 1))
        elif isinstance(value, list | tuple):
            waiting += [(where, inner, depth + 1) for inner in value]
        elif not isinstance(value, bool | int | float | np.generic | None):
            raise InputError(f"{path}: refused, its {where} is a {type(value).__name__}, no plain value")


def _name(section: object, kind: str) -> object:
    """What a section of the settings names, in the order in which fairseq looks for it."""
    plain = isinstance(section, Namespace)
    values = vars(section) if plain else section
    if not isinstance(values, Mapping):
        return values
    keys = {"model": ("_name", "arch"), "task": ("task", "_name"), "criterion": ("criterion" if plain else "_name",)}[
        kind
    ]
    named = next((values[key] for key in keys if values.get(key)), None)
    return next(iter(values)) if named is None and kind == "model" and len(values) == 1 else named


def _classes(names: Mapping[str, object], path: str) -> dict[str, type]:
    """Section -> the class that would be built; InputError for an unknown one, or fairseq's own if nobody asked for it."""
    registries = {
        "model": {**MODEL_REGISTRY, **ARCH_MODEL_REGISTRY},
        "task": TASK_REGISTRY,
        "criterion": CRITERION_REGISTRY,
    }
    classes = {
        section: registries[section][name]
        for section, name in names.items()
        if isinstance(name, str) and name in registries[section]
    }
    foreign = {} if stock_is_chosen() else {section: kind for section, kind in classes.items() if is_stock(kind)}
    stock = [str(names[section]) for section in foreign]
    if set(stock) - set(os.environ.get(STOCK, "").split(",")):
        refused = " and ".join(f"{KINDS[section]} {names[section]!r}" for section in foreign)
        raise InputError(
            f"{path}: refused, its {refused} would be built by fairseq's own code; remedy: if you trust the file, "
            f"{STOCK}={','.join(stock)} before the command"
        )
    needed = ["model"] if stock_is_chosen() else ["model", "task", *(["criterion"] if names["criterion"] else [])]
    for section in needed:
        if section not in classes:
            remedy = "; remedy: the --user-dir of the package that has it" if names[section] else ""
            raise InputError(f"{path}: its {KINDS[section]} {names[section]!r:.80} is not known{remedy}")
    return classes


def _cut(section: object, kind: str, name: str, path: str) -> object:
    """A section of the settings with what its configuration class has, each value of the right type.

    fairseq merges the two for names of models, but not of architectures; and its own classes keep what they have.
    """
    registry = {
        "task": TASK_DATACLASS_REGISTRY,
        "criterion": CRITERION_DATACLASS_REGISTRY,
        "model": MODEL_DATACLASS_REGISTRY,
    }
    config = registry[kind].get(ARCH_MODEL_NAME_REGISTRY.get(name, name) if kind == "model" else name)
    if config is None or is_stock(config):
        return section
    values = vars(section) if isinstance(section, Namespace) else section
    if not isinstance(values, dict):
        raise InputError(f"{path}: the settings of its {KINDS[kind]} are {values!r}")
    values = older.renamed(values)
    kept = {field.name: values[field.name] for field in fields(config) if field.name in values}
    kept.pop("_name", None)
    try:
        return {"_name": name, **_typed(config, kept)}
    except OmegaConfBaseException:
        for flag, value in kept.items():
            with contextlib.suppress(OmegaConfBaseException):
                _typed(config, {flag: value})
                continue
            flag = f"--{flag.replace('_', '-')}"
            raise InputError(f"{path}: refused, its {flag} is {value!r:.80}, which that flag does not take") from None
        raise


def _typed(config: type, values: dict) -> dict:
    """The values as the fields of a configuration class have them; OmegaConfBaseException where one does not fit."""
    merged = OmegaConf.merge(config(), values)
    return OmegaConf.to_container(OmegaConf.masked_copy(merged, list(values)), enum_to_str=True)
