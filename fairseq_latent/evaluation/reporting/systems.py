"""What a report knows of one run, and what it goes without."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import stdev

from ..analysis.latent_statistics import LatentStatistics
from ..analysis.latent_statistics import over_seeds as statistics_over_seeds
from ..metrics.bootstrap import interval_over_seeds
from ..metrics.system_scores import Row
from ..runs.method_names import has_latent
from ..runs.response_files import Generation
from ..runs.run_folder import RunFolder
from ..runs.training_config import TrainingSettings
from ..runs.training_log import TrainingLog
from ..tables import Estimate


@dataclass(frozen=True)
class Missing:
    """Something that a report goes without: whose, what is wrong, what is lacking for it, and what to do."""

    system: str
    problem: str
    lacking: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.system}: {self.problem} (lacking: {self.lacking}); remedy: {self.remedy}"


@dataclass(frozen=True)
class MeasuredSystem:
    """Everything that was read of one run; None for what is missing.

    seeds: of a system that was trained several times each training; then numbers (row, valid, test, ranking) are means,
    and all else is of the first seed.
    """

    run: RunFolder
    row: Row | None = None
    valid: LatentStatistics | None = None
    test: LatentStatistics | None = None
    log: TrainingLog | None = None
    settings: TrainingSettings | None = None
    samples: Sequence[Generation] | None = None
    ranking: Mapping[str, Estimate] | None = None
    seeds: "Sequence[MeasuredSystem]" = ()
    differ: Sequence[str] = ()  # flags in which its trainings differ beside the seed

    @property
    def name(self) -> str:
        """The system's name."""
        return self.run.name

    @property
    def has_latents(self) -> bool:
        """Whether the model has any."""
        return has_latent(self.settings)

    @property
    def trainings(self) -> "Sequence[MeasuredSystem]":
        """Each seed, or itself."""
        return self.seeds or [self]

    @property
    def seed(self) -> str | None:
        """Of one training."""
        return self.settings.flags.get("seed") if self.settings else None

    def score(self, metric: str) -> float | None:
        """A corpus value on the test set."""
        found = self.row and self.row.scores.get(metric)
        return found.value if found else None


def over_seeds(name: str, members: Sequence[MeasuredSystem], differ: Sequence[str] = ()) -> MeasuredSystem:
    """The trainings of a system, in the order of their seeds, as one."""
    first = members[0]
    if len(members) == 1:
        return first
    valid, test = ([found for each in members if (found := getattr(each, split))] for split in ("valid", "test"))
    return replace(
        first,
        run=replace(first.run, name=name),
        valid=statistics_over_seeds(valid) if valid else None,
        test=statistics_over_seeds(test) if test else None,
        ranking=_rankings([each.ranking for each in members if each.ranking]),
        seeds=tuple(members),
        differ=tuple(differ),
    )


def _rankings(found: Sequence[Mapping[str, Estimate]]) -> Mapping[str, Estimate] | None:
    """Means of each measure."""
    if len(found) < 2:
        return found[0] if found else None
    means = {}
    for name in found[0]:
        values = [each[name].value for each in found]
        ends = interval_over_seeds(values, [each[name].interval for each in found])
        means[name] = Estimate(sum(values) / len(values), ends, deviation=stdev(values))
    return means


def trainings(systems: Sequence[MeasuredSystem]) -> list[MeasuredSystem]:
    """All seeds of all systems."""
    return [training for system in systems for training in system.trainings]
