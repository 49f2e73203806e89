"""Schedules of the KL weight: constant, linear (Bowman et al., 2016) and cyclical (Fu et al., 2019)."""

from dataclasses import dataclass

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
