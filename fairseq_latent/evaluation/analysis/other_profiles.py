"""What Zp tells about a response: its nats under q(Zp | profile), the same of a stranger's profile, and p(Zp | context).

All three are decoded with the same noise and the same fader, that of the example's own profile and response: what the fader
tells is in all of them, and what differs is due to Zp alone.
"""

import sys
from dataclasses import dataclass

import fairseq  # noqa: F401  first: it registers the plugin, whose parts import each other
import torch
from torch import Tensor

from fairseq_latent.gaussian import seeded_noise
from fairseq_latent.symbols import EOT
from fairseq_latent.tasks.strangers import dialogues_of, ids_of
from fairseq_latent.text.strangers import strangers
from fairseq_latent.text.vocabulary import index_of

from ..metrics.worth import FEWEST
from .checkpoint import Trained, distributions


@dataclass(frozen=True)
class OtherProfiles:
    """Of each example of a split, the example whose profile stands for a stranger's; and its dialogue, where known."""

    dataset: object  # a PersonaDataset
    rows: list[int]
    dialogues: list[str] | None

    def nll(self, model, batch: dict) -> dict[str, Tensor]:
        """`other` and `under_prior`, (B,) nats per response each, by the noise that the posterior's sample has."""
        profiles = self.dataset.collate_profiles([self.rows[row] for row in batch["id"].tolist()])
        inputs = {**batch["net_input"], "partner_tokens": profiles.to(batch["id"].device)}
        prior, posterior, decoded = distributions(model, {**batch, "net_input": inputs})
        noise = seeded_noise(inputs["noise_seed"], 1, prior.mean.size(-1))[:, 0]
        return {"other": decoded.nll(posterior.rsample(noise)), "under_prior": decoded.nll(prior.rsample(noise))}


def other_profiles(trained: Trained, data: str, seed: int) -> OtherProfiles | None:
    """None for a model or data without profiles, and, with a line on stderr, where there is no stranger's."""
    dataset = trained.task.dataset(trained.split)
    if not getattr(trained.model, "posterior_inputs", ()) or not hasattr(dataset, "collate_profiles"):
        return None
    path, dialogues = ids_of(data, trained.split), dialogues_of(data, trained.split, len(dataset))
    end_of_turn = index_of(trained.task.target_dictionary, EOT)
    profiles = [_sentences(dataset.profiles[row], end_of_turn) for row in range(len(dataset))]
    rows = strangers(profiles, profiles, dialogues, seed)
    if rows is None:
        print(f"{trained.split}: no other profiles: there is one whose sentences all others share", file=sys.stderr)
        return None
    if dialogues is None:
        print(f"{path} is not there: no intervals; remedy: copy {path.name} from the folder DATA.text", file=sys.stderr)
    elif len(set(dialogues)) < FEWEST:
        print(f"{path}: one dialogue: no intervals", file=sys.stderr)
    return OtherProfiles(dataset, rows, dialogues)


def _sentences(profile: Tensor, end_of_turn: int) -> frozenset[tuple[int, ...]]:
    """The sentences of a profile's tokens, its end left out."""
    sentences: list[list[int]] = [[]]
    for token in torch.as_tensor(profile)[:-1].tolist():
        if token == end_of_turn:
            sentences.append([])
        else:
            sentences[-1].append(token)
    return frozenset(tuple(sentence) for sentence in sentences if sentence)
