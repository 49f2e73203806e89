"""Active units (Burda et al., 2016) as a fairseq meter: it adds up over batches and workers."""

from fairseq.logging.meters import Meter
from torch import Tensor

from ..losses import active_units


class ActiveUnits(Meter):
    """Number of latent dimensions whose posterior mean varies over the split (variance >= 0.01)."""

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.mean_sum, self.mean_square_sum, self.count = 0.0, 0.0, 0

    def update(self, mean_sum: Tensor, mean_square_sum: Tensor, count: int) -> None:
        """Add a batch: sums (Z,) over its examples of posterior means and of their squares."""
        self.mean_sum = self.mean_sum + mean_sum
        self.mean_square_sum = self.mean_square_sum + mean_square_sum
        self.count += int(count)

    @property
    def smoothed_value(self) -> int:
        """Active units so far."""
        return active_units(self.mean_sum, self.mean_square_sum, self.count) if self.count > 1 else 0

    def state_dict(self) -> dict:
        """For fairseq's checkpoints."""
        return {"mean_sum": self.mean_sum, "mean_square_sum": self.mean_square_sum, "count": self.count}

    def load_state_dict(self, state_dict: dict) -> None:
        """From fairseq's checkpoints."""
        self.__dict__.update(state_dict)
