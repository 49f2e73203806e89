"""What a checkpoint says about the training that wrote it: its flags, its updates, its time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from fairseq_latent.errors import InputError

from ..tables import MISSING

# Flags that name a place or a way to report; two runs that differ in these alone are the same experiment.
UNIMPORTANT_GROUPS = (
    "checkpoint",
    "common_eval",
    "distributed_training",
    "ema",
    "eval_lm",
    "generation",
    "interactive",
)
UNIMPORTANT_FLAGS = ("log_file", "log_interval", "log_format", "tensorboard_logdir", "user_dir", "num_workers")
STARTED_FROM = "finetune_from_model"  # the one flag about checkpoints that makes another experiment


@dataclass(frozen=True)
class TrainingSettings:
    """arch and criterion as on the command line; flags: name -> value; updates of the checkpoint; seconds until it.

    model: the registered model that the arch is a size of. task: its name. own: those flags of the criterion that
    differ from its defaults.
    """

    arch: str
    criterion: str
    flags: Mapping[str, str]
    updates: int
    seconds: float
    parameters: int
    model: str = ""
    task: str = ""
    own: Mapping[str, str] = field(default_factory=dict)

    def flag(self, name: str) -> str:
        """A flag's value, a dash where the training had no such flag."""
        return self.flags.get(name, MISSING)

    def number(self, name: str) -> float | None:
        """A flag's value as a number, None where it is none."""
        try:
            return float(self.flags[name])
        except (KeyError, ValueError):
            return None


def training_settings(path: str | Path) -> TrainingSettings:
    """Read a checkpoint's record of its training; nothing in it is executed (`compat`), no weight is read."""
    from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
    from fairseq.models import ARCH_MODEL_NAME_REGISTRY

    import fairseq_latent

    fairseq_latent.register()
    from fairseq_latent.compat.checkpoints.settings import read_settings

    state = read_settings(path)
    cfg = state["cfg"]
    if not cfg["criterion"]:
        raise InputError(f"{path}: it does not say which --criterion it was trained with")
    arch, criterion = str(cfg["model"]["_name"]), str(cfg["criterion"]["_name"])
    flags: dict[str, str] = {}
    for group, values in sorted(cfg.items()):
        if isinstance(values, Mapping) and group not in UNIMPORTANT_GROUPS:
            flags.update({name: _shown(value) for name, value in values.items() if name not in UNIMPORTANT_FLAGS})
    if isinstance(checkpoints := cfg.get("checkpoint"), Mapping) and checkpoints.get(STARTED_FROM):
        flags[STARTED_FROM] = _shown(checkpoints[STARTED_FROM])
    try:
        updates = int(state["optimizer_history"][-1]["num_updates"])
        seconds = float(state["extra_state"].get("previous_training_time", 0))
    except (OverflowError, TypeError, ValueError):
        raise InputError(f"{path}: damaged: its number of updates or its time is no number") from None
    return TrainingSettings(
        arch=arch,
        criterion=criterion,
        flags={name: value for name, value in flags.items() if not name.startswith("_")},
        updates=updates,
        seconds=seconds,
        parameters=_parameters(state["model"]),
        task=str(cfg["task"]["_name"]) if isinstance(cfg.get("task"), Mapping) else "",
        model=ARCH_MODEL_NAME_REGISTRY.get(arch, arch),
        own=changed(cfg["criterion"], CRITERION_DATACLASS_REGISTRY.get(criterion)),
    )


def changed(values: Mapping[str, object], config: type | None) -> dict[str, str]:
    """What differs from the defaults of a registered dataclass; all of it where none is registered."""
    usual = {each.name: _shown(each.default) for each in fields(config)} if config else {}
    shown = {name: _shown(value) for name, value in values.items() if not name.startswith("_")}
    return {name: value for name, value in shown.items() if value != usual.get(name)}


def differences(runs: Sequence[TrainingSettings]) -> list[tuple[str, list[str]]]:
    """The flags in which the trainings differ, each with its value in every one of them."""
    names = sorted({name for run in runs for name in run.flags})
    rows = [("arch", [run.arch for run in runs]), ("criterion", [run.criterion for run in runs])]
    rows += [(name, [run.flag(name) for run in runs]) for name in names]
    return [(f"--{name.replace('_', '-')}", values) for name, values in rows if len(set(values)) > 1]


def _shown(value) -> str:
    return " ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)


def _parameters(weights: Mapping) -> int:
    """Numbers that were trained, shared ones once; fairseq's markers and the digest of the words are none."""
    markers = ("version", "_float_tensor")
    trained = [tensor for name, tensor in weights.items() if tensor.is_floating_point() and not name.endswith(markers)]
    return sum(size for _, size in {(tensor.data_ptr(), tensor.numel()) for tensor in trained})
