"""Candidate replies: those of a corpus, or replies of other dialogues, sampled from (seed, epoch)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from fairseq.data import data_utils
from torch import Tensor

from ..errors import InputError
from ..memory import require_memory
from .prompt_dataset import PromptDataset

DISTRACTORS = "distractors"
DRAWS = ("random", "last")
ATTEMPTS = 100  # to sample a reply of another dialogue that is not the right one
AGAIN = "remedy: PERSONAS=yes when the data is prepared, again"


@dataclass(frozen=True)
class Candidates:
    """The wrong replies that a split offers: each different text once, as token ids with their end, and which a pair has.

    texts: (M) of ids. rows (N, K): places in `texts` in the order of the file, -1 where a pair has fewer.
    """

    texts: list[np.ndarray]
    rows: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """(M,) tokens of each text."""
        return np.array([len(text) for text in self.texts], np.int64)


def read_candidates(
    name: object, lines: Sequence[str], encode: Callable[[str], np.ndarray], replies: Sequence[Tensor], longest: int
) -> tuple[Candidates, int]:
    """Of a file's lines, one per pair with candidates between tabs; the right reply and its copies are left out.

    encode: text -> ids with the end. Texts of more than `longest` tokens are cut to these; the second result counts them.
    InputError for a file with another number of lines.
    """
    if len(lines) != len(replies):
        raise InputError(f"{name}: {len(lines)} lines of candidates of {len(replies)} pairs; {AGAIN}")
    places: dict[bytes, int] = {}
    of_text: dict[str, int] = {}
    texts: list[np.ndarray] = []
    cut, rows = 0, []
    for line, reply in zip(lines, replies, strict=True):
        right, row = _key(reply.numpy()), []
        for text in line.split("\t") if line.strip() else ():
            if text not in of_text:
                ids = encode(text)
                cut += len(ids) > longest
                ids = ids if len(ids) <= longest else np.append(ids[: longest - 1], ids[-1])
                of_text[text] = places.setdefault(_key(ids), len(texts))
                if of_text[text] == len(texts):
                    texts.append(ids)
            place = of_text[text]
            if _key(texts[place]) != right and place not in row:
                row.append(place)
        rows.append(row)
    return Candidates(texts, _table(rows)), cut


def replies_of(replies: Sequence[Tensor]) -> Candidates:
    """No pair has candidates of its own: the texts are all replies of the split, and rows (N, 0)."""
    places: dict[bytes, int] = {}
    texts: list[np.ndarray] = []
    for reply in replies:
        ids = reply.numpy().astype(np.int64)
        if places.setdefault(_key(ids), len(texts)) == len(texts):
            texts.append(ids)
    return Candidates(texts, np.full((len(replies), 0), -1, np.int64))


def _key(ids: np.ndarray) -> bytes:
    return np.asarray(ids, np.int64).tobytes()


def _table(rows: list[list[int]]) -> np.ndarray:
    table = np.full((len(rows), max(map(len, rows), default=0)), -1, np.int64)
    for place, row in enumerate(rows):
        table[place, : len(row)] = row
    return table


class Offers:
    """Which wrong replies every pair has in an epoch: (N, C - 1) places in one list of texts, -1 where there are too few.

    candidates: those of the corpus. count: C, the right reply among them; 0: all that a pair has. how: `random`, sampled
    from (seed, epoch), or the `last` C - 1. Pairs without candidates get `sampled` replies of other dialogues (`dialogues`
    (N,) says which), as the whole split does where candidates is None.
    """

    def __init__(
        self,
        candidates: Candidates | None,
        replies: Sequence[Tensor],
        dialogues: Sequence[str] | None,
        count: int,
        sampled: int,
        how: str = "random",
        seed: int = 1,
    ):
        if how not in DRAWS:
            raise ValueError(f"candidates by {how}, not {DRAWS}")
        self.count, self.how, self.seed = count, how, seed
        lacking = candidates is None or not (candidates.rows >= 0).any(1).all()
        pool = replies_of(replies) if lacking else None
        self.texts = [] if candidates is None else list(candidates.texts)
        self.rows = np.full((len(replies), 0), -1, np.int64) if candidates is None else candidates.rows
        self.lacking = np.flatnonzero(~(self.rows >= 0).any(1))
        self.sampled = (sampled if count == 0 else count) - 1
        if pool is not None:
            self.first = len(self.texts)
            self.texts += pool.texts
            self.sampled = min(self.sampled, len(pool.texts) - 1)  # none twice
            needed = 16.0 * len(self.lacking) * self.sampled
            require_memory(
                needed, f"{self.sampled + 1:,} candidates of {len(self.lacking):,} pairs", "fewer candidates"
            )
            place = {_key(text): number for number, text in enumerate(pool.texts)}
            self.reply = np.array([self.first + place[_key(reply.numpy())] for reply in replies])
            names = np.arange(len(replies)) if dialogues is None else np.unique(dialogues, return_inverse=True)[1]
            self.dialogues = names
        self.sizes = np.array([len(text) for text in self.texts], np.int64)

    def of_epoch(self, epoch: int) -> np.ndarray:
        """(N, C - 1)"""
        rng = np.random.default_rng([self.seed % 2**32, epoch])
        kept = self._kept(rng)
        if len(self.lacking) and self.sampled > 0:
            width = max(kept.shape[1], self.sampled)
            kept = np.pad(kept, ((0, 0), (0, width - kept.shape[1])), constant_values=-1)
            kept[self.lacking, : self.sampled] = self._others(rng)
        return kept

    def _kept(self, rng: np.random.Generator) -> np.ndarray:
        if not self.count or self.rows.shape[1] == 0:
            return self.rows.copy()
        there = self.rows >= 0
        rank = rng.random(self.rows.shape) if self.how == "random" else -np.cumsum(there, 1, dtype=np.float64)
        order = np.argsort(np.where(there, rank, np.inf), axis=1, kind="stable")[:, : self.count - 1]
        order = np.sort(np.where(np.take_along_axis(there, order, 1), order, self.rows.shape[1]), axis=1)
        padded = np.pad(self.rows, ((0, 0), (0, 1)), constant_values=-1)
        return np.take_along_axis(padded, order, 1)

    def _others(self, rng: np.random.Generator) -> np.ndarray:
        """(lacking, sampled): replies of other dialogues, not the right one and none twice; -1 where there are too few."""
        total = len(self.reply)
        found = np.full((len(self.lacking), self.sampled), -1, np.int64)
        for column in range(self.sampled):
            missing = np.arange(len(self.lacking))
            for _ in range(ATTEMPTS):
                if not len(missing):
                    break
                other = rng.integers(total, size=len(missing))
                rows = self.lacking[missing]
                text = self.reply[other]
                fits = (self.dialogues[other] != self.dialogues[rows]) & (text != self.reply[rows])
                fits &= (found[missing, :column] != text[:, None]).all(1)
                found[missing[fits], column] = text[fits]
                missing = missing[~fits]
        return found


class CandidateDataset(PromptDataset):
    """Adds net_input["distractors"] (B, C - 1, R): wrong replies with their ends, padded on the right; all pads: none."""

    def __init__(self, dataset: PromptDataset, offers: Offers):
        given = (dataset.personas, dataset.layout, dataset.separator, dataset.end, dataset.pad)
        super().__init__(dataset.dataset, *given, dataset.order, dataset.copies, dataset.seed)
        self.offers = offers
        self.offered = offers.of_epoch(1)

    def collater(self, samples, **kwargs):
        """The wrapped batch with its wrong replies."""
        batch = super().collater(samples, **kwargs)
        if batch:
            batch["net_input"][DISTRACTORS] = self._collate([self.offered[row] for row in batch["id"].tolist()])
        return batch

    def _collate(self, rows: Sequence[np.ndarray]) -> Tensor:
        count = max(int((row >= 0).sum()) for row in rows)
        nothing = torch.full((1,), self.pad)
        texts = [
            torch.from_numpy(self.offers.texts[place].astype(np.int64)) if place >= 0 else nothing
            for row in rows
            for place in [*row[row >= 0], *[-1] * (count - int((row >= 0).sum()))]
        ]
        if not texts:
            return torch.full((len(rows), 0, 1), self.pad)
        return data_utils.collate_tokens(texts, self.pad).view(len(rows), count, -1)

    @property
    def sizes(self) -> np.ndarray:
        """(copies * N,): tokens of prompt, reply and wrong replies."""
        there = self.offered >= 0
        each = np.where(there, self.offers.sizes[np.where(there, self.offered, 0)] + len(self.layout.reply), 0)
        return super().sizes + np.tile(each.sum(1), self.copies)

    @property
    def can_reuse_epoch_itr_across_epochs(self) -> bool:
        """Lengths are those of an epoch where candidates are sampled."""
        return super().can_reuse_epoch_itr_across_epochs and self.offers.count == 0

    def set_epoch(self, epoch: int) -> None:
        """Sample those of the epoch."""
        if epoch != self.epoch:
            self.offered = self.offers.of_epoch(epoch)
        super().set_epoch(epoch)


def offers_of(
    name: object,
    lines: Sequence[str] | None,
    ids: Sequence[str] | None,
    encode: Callable[[str], np.ndarray],
    replies: Sequence[Tensor],
    longest: int,
    count: int,
    sampled: int,
    how: str = "random",
    seed: int = 1,
) -> tuple[Offers, int]:
    """`Offers` of a split named `name`: lines of its candidates, ids `dialogue:turn`; and how many texts were cut."""
    own, cut = (None, 0) if lines is None else read_candidates(name, lines, encode, replies, longest)
    if ids is not None and len(ids) != len(replies):
        raise InputError(f"{name}: {len(ids)} ids of {len(replies)} pairs; {AGAIN}")
    dialogues = None if ids is None else [each.rpartition(":")[0] or each for each in ids]
    return Offers(own, replies, dialogues, count, sampled, how, seed), cut
