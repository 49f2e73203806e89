"""The mean of several checkpoints' weights, or the moving average that --store-ema keeps of one.

The mean is that of fairseq's own script, which no wheel contains: scripts/average_checkpoints.py of its repository.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError

NUMBERED = re.compile(r"checkpoint(?:(\d+)|_(\d+)_(\d+))\.pt")  # the end of epoch 3; update 400 of epoch 3
MOVING = ("ema_fp32_params", "ema")  # the more exact first


def average(paths: Sequence[Path], ema: bool = False) -> dict:
    """The first checkpoint with the mean of all their weights, and without the state of the optimiser that made them."""
    from ..compat.checkpoints.checkpoint_files import read_plain
    from ..compat.checkpoints.trust import check_form

    mean: dict = {}
    for path in paths:
        state = read_plain(str(path))
        check_form(state, str(path))
        weights = moving_average(path, state) if ema else state["model"]
        check_finite(path, weights)
        if not mean:
            mean, model = state, same_model(state, weights)
            sums = {name: _summable(value) for name, value in weights.items() if value.is_floating_point()}
            counts = {name: [value] for name, value in weights.items() if name not in sums}
            continue
        if same_model(state, weights) != model:
            raise InputError(
                f"{path}: another model than {paths[0]}, or other words; remedy: checkpoints of one training"
            )
        for name, total in sums.items():
            total += weights[name]
        for name, values in counts.items():
            values.append(weights[name])
    means = {name: total.div_(len(paths)) for name, total in sums.items()}
    means |= {name: values[0] if _equal(values) else sum(values) // len(values) for name, values in counts.items()}
    mean["model"] = {name: means[name] for name, _ in model[0]}
    mean.pop("last_optimizer_state", None)
    for name in MOVING:
        mean.get("extra_state", {}).pop(name, None)
    return mean


def moving_average(path: Path, state: dict) -> dict:
    """The average that `--store-ema` kept beside the weights."""
    for name in MOVING:
        if isinstance(kept := state.get("extra_state", {}).get(name), dict):
            return kept
    raise InputError(f"{path}: no moving average in it; remedy: a checkpoint of a training with --store-ema")


def check_finite(path: Path, weights: dict) -> None:
    """One training that diverged would make the mean of all no number, and so would what is none."""
    from torch import Tensor

    for name, value in weights.items():
        if not isinstance(value, Tensor):
            raise InputError(f"{path}: {name!r:.80} is a {type(value).__name__}, no weight; remedy: leave it out")
        if value.is_floating_point() and not value.isfinite().all():
            raise InputError(f"{path}: {name} is not finite, this training diverged; remedy: leave it out")


def same_model(state: dict, weights: dict) -> tuple:
    """What checkpoints with a common mean have in common: names and shapes of weights, and the words they are of."""
    words = (state.get("task_state") or {}).get("dictionary_digest")
    return [(name, tuple(value.shape)) for name, value in weights.items()], words


def last_checkpoints(folder: Path, count: int) -> list[Path]:
    """The last `count` checkpoints that were saved under a number, of an epoch or an update; the newest first."""

    def age(path: Path) -> tuple[int, float]:
        found = NUMBERED.fullmatch(path.name)
        epoch, within, updates = found.groups() if found else (0, 0, 0)
        return (int(epoch), math.inf) if epoch else (int(within), int(updates))

    numbered = sorted((path for path in folder.iterdir() if NUMBERED.fullmatch(path.name)), key=age, reverse=True)
    if len(numbered) < count:
        raise InputError(
            f"{folder}: {len(numbered)} checkpoints with a number, --last {count}; "
            "remedy: train without --no-epoch-checkpoints, or with --save-interval-updates"
        )
    return numbered[:count]


def _summable(value):
    """A copy; a sum of half-precision numbers would lose too many digits."""
    return value.float() if value.element_size() < 4 else value.clone()


def _equal(values) -> bool:
    return all(value.equal(values[0]) for value in values)
