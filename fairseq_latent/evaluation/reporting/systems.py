"""What a report knows of one run, and what it goes without."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..analysis.latent_statistics import LatentStatistics
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
    """Everything that was read of one run; None for what is missing."""

    run: RunFolder
    row: Row | None = None
    valid: LatentStatistics | None = None
    test: LatentStatistics | None = None
    log: TrainingLog | None = None
    settings: TrainingSettings | None = None
    samples: Sequence[Generation] | None = None
    ranking: Mapping[str, Estimate] | None = None

    @property
    def name(self) -> str:
        """The system's name."""
        return self.run.name

    @property
    def has_latents(self) -> bool:
        """Whether the model has any."""
        return has_latent(self.settings)

    def score(self, metric: str) -> float | None:
        """A corpus value on the test set."""
        found = self.row and self.row.scores.get(metric)
        return found.value if found else None
