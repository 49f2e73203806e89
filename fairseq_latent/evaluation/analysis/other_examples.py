"""What its context and its latent tell about a response: its nats with those of another example, of another dialogue.

Both are decoded with the noise that the example's own context and response have, so that what differs is due to these.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import fairseq  # noqa: F401  first: it registers the plugin, whose parts import each other
import torch
from torch import Tensor

from fairseq_latent.data.with_strangers import swapped
from fairseq_latent.gaussian import seeded_noise
from fairseq_latent.losses import CONTEXT_WORTH, LATENT_WORTH
from fairseq_latent.matching import in_order_of
from fairseq_latent.tasks.strangers import dialogues_of, ids_of, strangers_of, swaps_of

from ..metrics.worth import FEWEST
from .checkpoint import Trained, distributions
from .prior_nll import prior_nll

COUNTED = "counted"


@dataclass(frozen=True)
class OtherExamples:
    """Of each example of a split the one that stands for a stranger's (None: there is none), and its dialogue, if known.

    swaps: statistic -> what is taken from the stranger.
    """

    trained: Trained
    rows: Sequence[int | None]
    dialogues: list[str] | None
    swaps: dict[str, tuple[str, ...]]

    @property
    def alone(self) -> int:
        """Examples without a stranger."""
        return sum(row is None for row in self.rows)

    def nll(self, batch: dict, pad: int) -> dict[str, Tensor]:
        """(B,) nats per response for each statistic, by the first latent of the example's noise; and which are counted."""
        ids = batch["id"].tolist()
        others = [own if (row := self.rows[own]) is None else row for own in ids]
        found = {COUNTED: torch.tensor([self.rows[own] is not None for own in ids])}
        for name, sides in self.swaps.items():
            mixed = self.trained.on_device(swapped(self.trained.task.dataset(self.trained.split), ids, others, sides))
            order = in_order_of(batch["id"], mixed["id"])
            if name == CONTEXT_WORTH:
                found[name] = prior_nll(self.trained.model, mixed, pad, 1)[0][order]
            else:
                found[name] = self._under(batch, distributions(self.trained.model, mixed)[1][order])
        return found

    def _under(self, batch: dict, posterior) -> Tensor:
        decoded = distributions(self.trained.model, batch)[2]
        noise = seeded_noise(batch["net_input"]["noise_seed"], 1, posterior.mean.size(-1))[:, 0]
        return decoded.nll(posterior.rsample(noise))


def other_examples(trained: Trained, data: str, context: bool, told: bool) -> OtherExamples | None:
    """None for a model without context and latent, and, with a line on stderr, where no example has a stranger.

    context: whether contexts are swapped, too. told: whether it was said that there are no intervals.
    """
    swaps = {
        name: sides for name, sides in swaps_of(trained.task, trained.model).items() if context or name == LATENT_WORTH
    }
    if not swaps:
        return None
    split = str(trained.split)
    rows = strangers_of(trained.task, trained.model, split)
    if all(row is None for row in rows):
        print(
            f"{split}: no example has a stranger, the context of another dialogue: no {' and no '.join(swaps)}",
            file=sys.stderr,
        )
        return None
    dialogues = dialogues_of(data, split, len(rows))
    path = ids_of(data, split)
    if told or CONTEXT_WORTH not in swaps:
        return OtherExamples(trained, rows, dialogues, swaps)
    if dialogues is None:
        print(f"{path} is not there: no intervals; remedy: copy {path.name} from the folder DATA.text", file=sys.stderr)
    elif len(set(dialogues)) < FEWEST:
        print(f"{path}: one dialogue: no intervals", file=sys.stderr)
    return OtherExamples(trained, rows, dialogues, swaps)
