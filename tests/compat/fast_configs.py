"""fairseq's flags become a configuration by hydra, which takes half a second: here once for each model, task and so on.

What hydra does with `task=dialogue model=t_cvae …` is kept; `model.dropout=0.1 …` is then set by hydra's own code on a copy.
`test_configs.py` compares the two.
"""

import copy
from contextlib import contextmanager
from functools import cache

from fairseq.dataclass import utils
from hydra import initialize_config_module
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

_slow = utils.compose
_composed: dict[tuple, DictConfig] = {}


def use() -> None:
    """From now on, in this process."""
    utils.initialize, utils.compose = _initialize, compose


@contextmanager
def _initialize(config_path: str):
    """Nothing to prepare: hydra is asked only now and then."""
    yield


def compose(config_name: str, overrides: list[str], strict: bool = False) -> DictConfig:
    """As hydra's `compose`, with fairseq's folder of configurations."""
    choices = tuple(line for line in overrides if "." not in line.partition("=")[0])
    key = config_name, choices, *map(_registered, choices)
    if key not in _composed:
        GlobalHydra.instance().clear()
        with initialize_config_module("fairseq.config"):
            _composed[key] = _slow(config_name, overrides=[*choices], strict=True)
    cfg = copy.deepcopy(_composed[key])
    values = [_parsed(line) for line in overrides if "." in line.partition("=")[0]]
    ConfigLoaderImpl._apply_overrides_to_config(values, cfg)
    OmegaConf.set_struct(cfg, strict)
    return cfg


@cache
def _parsed(line: str) -> Override:
    """`model.dropout=0.1`"""
    return OverridesParser.create().parse_override(line)


def _registered(choice: str) -> object:
    """What `task=dialogue` stands for now: a plugin may be imported again, from another folder."""
    group, _, name = choice.partition("=")
    node = ConfigStore.instance().repo.get(group, {}).get(f"{name}.yaml")
    return None if node is None else id(node)
