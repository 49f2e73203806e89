"""A speaker's utterances beside several profiles, one of them his own: for the training of P²BOT's receiver.

The others have as many sentences, each sampled from all profiles of the split; none of his own is among them (Liu et al.,
2020).
"""

from collections.abc import Sequence

import numpy as np
import torch
from fairseq.data import FairseqDataset
from torch import Tensor

from ..errors import InputError
from .speakers import Speaker, Text

GOLD = 0  # the place of his own profile


class PersonaSetDataset(FairseqDataset):
    """Speakers, in the receiver's tokens, with `count` profiles each, from (seed, epoch, speaker) or (seed, speaker).

    A batch: net_input["utterances"] (B, U, L), net_input["personas"] (B, C, P, L), padded on the right; gold is candidate 0.
    Holds plain values only: DataLoader workers pickle it.
    """

    def __init__(self, speakers: Sequence[Speaker], count: int, pad: int, seed: int, resampled: bool, where: str):
        super().__init__()
        self.speakers, self.count, self.pad = speakers, count, pad
        self.seed, self.resampled = seed, resampled
        self.epoch = 1
        self.sentences = sorted({sentence for speaker in speakers for sentence in speaker.persona})
        most = max((len(set(speaker.persona)) for speaker in speakers), default=0)
        if count > 1 and len(self.sentences) <= most:
            raise InputError(
                f"{where}: its profiles have {len(self.sentences)} sentences in all, and one has {most} of them: nothing is "
                "left for profiles of others; remedy: more conversations"
            )
        longest = max((len(sentence) for sentence in self.sentences), default=0)
        self._sizes = np.array([
            sum(map(len, speaker.utterances)) + sum(map(len, speaker.persona))
            + (count - 1) * longest * len(speaker.persona)
            for speaker in speakers
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self.speakers)

    def __getitem__(self, index: int) -> dict:
        """The speaker's utterances and `count` profiles, his own first."""
        speaker = self.speakers[index]
        rng = np.random.default_rng([self.seed, self.epoch if self.resampled else 0, index])
        others = [self._sampled(speaker.persona, rng) for _ in range(self.count - 1)]
        return {"id": index, "utterances": speaker.utterances, "personas": (speaker.persona, *others)}

    def _sampled(self, gold: Sequence[Text], rng: np.random.Generator) -> list[Text]:
        """As many sentences, none of which is in `gold`: the whole set is sampled again until that is so.

        Sentence by sentence that is the same distribution, and ends whatever the split holds.
        """
        sampled: list[Text] = []
        own = set(gold)
        while len(sampled) < len(gold):
            sentence = self.sentences[int(rng.integers(len(self.sentences)))]
            if sentence not in own:
                sampled.append(sentence)
        return sampled

    def collater(self, samples: list[dict]) -> dict:
        """A batch, {} of nothing."""
        if not samples:
            return {}
        utterances = _padded([sample["utterances"] for sample in samples], self.pad)
        rows = [persona for sample in samples for persona in sample["personas"]]
        personas = _padded(rows, self.pad)
        return {
            "id": torch.tensor([sample["id"] for sample in samples]),
            "nsentences": len(samples),
            "ntokens": int(utterances.ne(self.pad).sum() + personas.ne(self.pad).sum()),
            "net_input": {
                "utterances": utterances,
                "personas": personas.view(len(samples), self.count, *personas.shape[1:]),
            },
        }

    @property
    def sizes(self) -> np.ndarray:
        """(N,): tokens of each, at most."""
        return self._sizes

    def num_tokens(self, index: int) -> int:
        """Tokens of a speaker with all candidates, at most."""
        return int(self._sizes[index])

    def size(self, index: int) -> int:
        """The same."""
        return int(self._sizes[index])

    def ordered_indices(self) -> np.ndarray:
        """In training at random, sampled by fairseq's seed."""
        return np.random.permutation(len(self)) if self.resampled else np.arange(len(self))

    @property
    def can_reuse_epoch_itr_across_epochs(self) -> bool:
        """The same speakers with other candidates."""
        return True

    def set_epoch(self, epoch: int) -> None:
        """Other profiles of others."""
        self.epoch = epoch


def _padded(rows: Sequence[Sequence[Text]], pad: int) -> Tensor:
    """R lists of texts -> (R, most texts, longest text)."""
    most = max(len(row) for row in rows)
    longest = max(len(text) for row in rows for text in row)
    padded = torch.full((len(rows), most, longest), pad)
    for place, row in enumerate(rows):
        for line, text in enumerate(row):
            padded[place, line, : len(text)] = torch.tensor(text)
    return padded
