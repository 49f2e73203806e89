"""The KL weight: constant, linear (Bowman et al., 2016) or cyclical (Fu et al., 2019), or under control (ControlVAE)."""

import math
from dataclasses import asdict, dataclass

from .errors import InputError


@dataclass(frozen=True)
class KLSchedule:
    """A frozen value you call: `KLSchedule(1.0, warmup=5000, cycle=10000)(step)`.

    warmup: updates in which the weight rises from 0 to `weight`; 0 means at once.
    cycle: updates after which it starts again from 0; 0 means never.
    first: number of the first update.
    """

    weight: float = 1.0
    warmup: int = 0
    cycle: int = 0
    first: int = 0

    def __post_init__(self):
        if self.weight < 0:
            raise InputError(f"--kl-weight {self.weight} is negative; remedy: 0 or more")
        if self.warmup < 0 or self.cycle < 0:
            raise InputError(
                f"--kl-warmup {self.warmup} --kl-cycle {self.cycle}: updates can't be negative; remedy: 0 or more"
            )
        if self.cycle and self.warmup > self.cycle:
            raise InputError(
                f"--kl-warmup {self.warmup} is longer than its --kl-cycle {self.cycle}; remedy: half of it"
            )

    def __call__(self, step: int) -> float:
        """The weight after `step` updates: weight * min(1, ((step + first) mod cycle) / warmup)."""
        step += self.first
        step = step % self.cycle if self.cycle else step
        return self.weight * min(1.0, step / self.warmup) if self.warmup else self.weight

    @classmethod
    def named(cls, name: str, weight: float, warmup: int, cycle: int, first: int = 0) -> "KLSchedule":
        """The schedule that `--kl-schedule NAME` means; a cycle rises in its first half unless `warmup` says otherwise."""
        if name == "constant":
            if warmup or cycle:
                raise InputError(
                    "--kl-schedule constant has no --kl-warmup and no --kl-cycle; remedy: --kl-schedule linear or cyclical"
                )
            return cls(weight)
        if name == "linear":
            if cycle:
                raise InputError("--kl-schedule linear has no --kl-cycle; remedy: --kl-schedule cyclical")
            if warmup <= 0:
                raise InputError(
                    "--kl-schedule linear without a warm-up; remedy: --kl-warmup UPDATES, e.g. --kl-warmup 10000"
                )
            return cls(weight, warmup, first=first)
        if name == "cyclical":
            if cycle <= 0:
                raise InputError(
                    "--kl-schedule cyclical without a cycle; remedy: --kl-cycle UPDATES, or --kl-cycle epoch"
                )
            return cls(weight, warmup or max(1, cycle // 2), cycle, first)
        raise InputError(f"--kl-schedule {name} is unknown; remedy: constant, linear or cyclical")


PROPORTIONAL, INTEGRAL = 0.01, 0.0001  # gains of Shao et al. (2020) for text
PATIENCE = 500  # updates in a row that the weight has been at an end of its range, before that is told


@dataclass
class KLController:
    """A weight that holds the KL at `set_point` (ControlVAE: Shao et al., 2020, algorithm 1; arXiv 2004.05988).

    A proportional and an integral term of the error, Kp / (1 + exp(e)) - Ki * sum of e with e = set_point - KL, within 0 and
    `most`. The integral term stays within -Kp and `most`; the paper's stands still wherever the weight is outside its range,
    and would never come back after a single large error.
    set_point: nats per sentence. total: the integral term. output: both terms, before the range. ended: updates in a row
    with the weight at an end of its range and the KL on the wrong side.
    """

    set_point: float
    most: float = 1.0
    total: float = 0.0
    output: float = 0.0
    ended: int = 0

    @property
    def weight(self) -> float:
        """Of the next update; 0 before the first one."""
        return min(max(self.output, 0.0), self.most)

    def observe(self, kl: float) -> None:
        """Take note of an update's mean KL, nats per sentence."""
        error = self.set_point - kl
        self.total = min(max(self.total - INTEGRAL * error, -PROPORTIONAL), self.most)
        self.output = PROPORTIONAL / (1 + math.exp(min(error, 700.0))) + self.total
        stuck = error > 0 and self.weight == 0 or error < 0 and self.weight == self.most
        self.ended = self.ended + 1 if stuck else 0

    @property
    def unreached(self) -> str:
        """Once, after PATIENCE updates: why the set point is not reached; empty where it is, or may be."""
        if self.ended != PATIENCE:
            return ""
        at = f"--kl-set-point {self.set_point:g}: for {PATIENCE} updates the KL has been"
        if self.weight == 0:
            return f"{at} below, with a weight of 0: the model does not reach it; remedy: a lower one"
        return f"{at} above, with a weight of {self.most:g}; remedy: a higher one, or a larger --kl-weight"

    def state_dict(self) -> dict:
        """Plain values, for a checkpoint: set point and range are the training's."""
        return {name: value for name, value in asdict(self).items() if name not in ("set_point", "most")}

    def load_state_dict(self, state: dict) -> None:
        """What `state_dict` gave."""
        self.total, self.output, self.ended = float(state["total"]), float(state["output"]), int(state["ended"])
