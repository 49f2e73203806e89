"""Candidate replies ranked by a model: Hits@1, Hits@5 and the mean reciprocal rank of the right one.

Two candidates that are one text after ParlAI's normalisation count once, and a tie counts against the right one.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from fairseq.data import data_utils
from torch import Tensor

from fairseq_latent.data.candidates import Offers, offers_of
from fairseq_latent.errors import InputError
from fairseq_latent.text.overlap import normalised
from fairseq_latent.text.strangers import read_dialogues

from ..metrics.dialogues.sums import DialogueSums, by_dialogue
from ..metrics.registry import METRICS
from ..metrics.worth import RESAMPLES, worth
from ..tables import Column, Estimate, Value, render
from .checkpoint import Trained
from .prior_nll import replies_nll

BY = ("choice", "normalised", "likelihood")
HITS = (1, 5)
COLUMNS = (
    Column("system"), Column("by"), *(METRICS[f"hits@{k}"].column() for k in HITS), METRICS["mrr"].column(),
    Column("candidates", 1), Column("responses", 0),
)  # fmt: skip


def rank_of(scores: Sequence[float], texts: Sequence[str], right: Sequence[str]) -> tuple[int, int]:
    """Rank of the best candidate that is one of the `right` texts, from 1, and how many different texts there are.

    Texts are compared by ParlAI's normalisation; each counts with its best score. Others with the same score are before it.
    """
    best: dict[tuple[str, ...], float] = {}
    for score, text in zip(scores, texts, strict=True):
        key = tuple(normalised(text))
        best[key] = max(score, best.get(key, -np.inf))
    keys = {tuple(normalised(text)) for text in right}
    found = [best[key] for key in keys if key in best]
    if not found:
        raise ValueError("the right text is no candidate")
    own = max(found)
    before = sum(score >= own for key, score in best.items() if key not in keys)
    return 1 + before, len(best)


@dataclass(frozen=True)
class Ranked:
    """A system's ranks (N,) of the right replies, among how many, in which dialogues; by what they were ranked."""

    name: str
    by: str
    ranks: np.ndarray
    candidates: np.ndarray
    dialogues: list[str] | None
    signature: str

    def measures(self, seed: int = 1) -> dict[str, Estimate]:
        """Hits@k in percent and MRR, with 95 % intervals over dialogues, or over responses where no dialogue is known."""
        of = self.dialogues or [str(row) for row in range(len(self.ranks))]
        return {name: worth(values, of, seed) for name, values in self._values().items()}

    def _values(self) -> dict[str, np.ndarray]:
        """(N,) each: a response's part in a mean."""
        return {f"Hits@{k}": 100.0 * (self.ranks <= k) for k in HITS} | {"MRR": 1.0 / self.ranks}

    def sums(self, data: str) -> DialogueSums:
        """What each dialogue adds to Hits@k and MRR; InputError where no dialogue is known."""
        if self.dialogues is None:
            raise InputError(f"--by-dialogue: {data} has no ids of its examples; remedy: copy SPLIT.ids from DATA.text")
        return by_dialogue(
            self.dialogues, {name: (values, np.ones(len(values))) for name, values in self._values().items()}
        )


def table(rows: Sequence[Ranked], style: str, seed: int = 1) -> str:
    """A line per system."""
    values: list[list[Value]] = [
        [row.name, row.by, *row.measures(seed).values(), float(row.candidates.mean()), float(len(row.ranks))]
        for row in rows
    ]
    return render(COLUMNS, values, style)


def as_fields(row: Ranked, seed: int = 1) -> dict:
    """For JSON; intervals are *_low and *_high."""
    found = {"system": row.name, "by": row.by, "responses": len(row.ranks), "candidates": float(row.candidates.mean())}
    for name, estimate in row.measures(seed).items():
        found[name] = estimate.value
        found[f"{name}_low"], found[f"{name}_high"] = estimate.interval or (None, None)
    return found | {"signature": row.signature}


def offers(trained: Trained, data: str, sampled: int, seed: int) -> tuple[Offers, list[str] | None, int]:
    """Candidates of the split: those of SPLIT.candidates, else `sampled` with the right one, and what dialogues they are of.

    Candidates longer than the model's replies are cut, the third result says how many.
    """
    from fairseq import utils

    folder, task = Path(utils.split_paths(str(data))[0]), trained.task
    pairs = task.dataset(trained.split)
    while not hasattr(pairs, "tgt_sizes"):
        pairs = pairs.dataset
    replies = [pairs.tgt[row] for row in range(len(pairs.tgt_sizes))]
    ids = _lines(folder / f"{trained.split}.ids")
    dialogues = None if ids is None else read_dialogues(folder / f"{trained.split}.ids", len(replies))
    path = folder / f"{trained.split}.candidates"
    longest = trained.model.max_positions()[1]
    found, cut = offers_of(path, _lines(path), ids, task.encode_reply, replies, longest, 0, sampled, seed=seed)
    return found, dialogues, cut


def _lines(path: Path) -> list[str] | None:
    if not path.is_file():
        return None
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}; remedy: prepare the data again") from None
    return lines[:-1] if not lines[-1] else lines


@torch.no_grad()
def rank(
    trained: Trained,
    name: str,
    given: tuple[Offers, list[str] | None, int],
    by: str | None = None,
    samples: int = 1,
    seed: int = 1,
    progress=lambda count: None,
    autocast: str = "none",
    some: tuple[Collection[int] | None, str] = (None, ""),
) -> Ranked:
    """Rank the candidates of a split by the model's second head, or by likelihoods (`BY`); None: the head where it has one.

    samples: latents of the prior per context, over which likelihoods are averaged. autocast: precision of
    the products. some: the examples that are ranked (None: all), and what the signature says of that.
    """
    found, dialogues, cut = given
    places = found.of_epoch(1)
    dictionary, decode = trained.task.target_dictionary, trained.task.decode_reply
    texts = [decode(dictionary.string(torch.from_numpy(ids))) for ids in found.texts]
    rows: dict[int, tuple[int, int]] = {}
    with_head = None
    only, of_part = some
    for batch in trained.batches(max_tokens=1000, only=only):
        for part in _parts(batch):
            ids = part["id"].tolist()
            replies = [row[row.ne(dictionary.pad())] for row in part["target"].cpu()]
            wrong = [places[row][places[row] >= 0] for row in ids]
            candidates = _collate(
                replies, [[found.texts[place] for place in of_row] for of_row in wrong], dictionary.pad()
            )
            with torch.autocast(trained.device.type, torch.bfloat16, enabled=autocast == "bfloat16"):
                scores = _scores(trained.model, part, candidates.to(part["target"].device), dictionary.pad(), samples)
            with_head = "choice" in scores
            chosen = _chosen(scores, by, name).cpu().numpy()
            for row, (identity, reply, of_row) in enumerate(zip(ids, replies, wrong, strict=True)):
                right = decode(dictionary.string(reply))
                shown = [right, *(texts[place] for place in of_row)]
                rows[identity] = rank_of(chosen[row, : len(shown)].tolist(), shown, [right])
            progress(len(ids))
    if not rows:
        raise InputError(f"{name}: every pair of {trained.split} is too long for the model; remedy: shorter pairs")
    order = sorted(rows)
    ranks, counts = (np.array(column) for column in zip(*(rows[row] for row in order), strict=True))
    used = by or ("choice" if with_head else "normalised")
    sampled = f"|drawn:{len(found.lacking)}" if len(found.lacking) else ""
    latents = f"|latents:{samples}" if trained.model.latent_dim and used != "choice" else ""
    pairs = len(places) if only is None else len(only)
    precision = "" if autocast == "none" else f"|precision:{autocast}"
    signature = (
        f"rank|by:{used}|split:{trained.split}{of_part}|ties:against|normalised:parlai{latents}{sampled}|cut:{cut}|"
        f"too-long:{pairs - len(order)}|interval:percentile|bs:{RESAMPLES}|seed:{seed}{precision}"
    )
    return Ranked(name, used, ranks, counts, dialogues and [dialogues[row] for row in order], signature)


def _parts(batch: dict, rows: int = 16) -> Iterator[dict]:
    """A batch in parts whose candidates fit into memory."""
    for chosen in torch.arange(len(batch["id"]), device=batch["id"].device).split(rows):
        net_input = {
            key: value[chosen] if torch.is_tensor(value) else value for key, value in batch["net_input"].items()
        }
        yield {**batch, "id": batch["id"][chosen], "target": batch["target"][chosen], "net_input": net_input}


def _collate(replies: Sequence[Tensor], wrong: Sequence[Sequence[np.ndarray]], pad: int) -> Tensor:
    """(B, C, R): the right reply first, pads where there are fewer."""
    count = 1 + max(map(len, wrong))
    nothing = torch.full((1,), pad)
    texts = []
    for reply, others in zip(replies, wrong, strict=True):
        found = [reply, *(torch.from_numpy(np.asarray(ids, np.int64)) for ids in others)]
        texts += [*found, *[nothing] * (count - len(found))]
    return data_utils.collate_tokens(texts, pad).view(len(replies), count, -1)


def _scores(model, batch: dict, candidates: Tensor, pad: int, samples: int) -> dict[str, Tensor]:
    """(B, C) each: `likelihood`, `normalised` by tokens and, of a model with such a head, `choice`."""
    if hasattr(model, "score_replies"):
        scores = model.score_replies(batch["net_input"], candidates)
        log = -scores.pop("nll")
    else:
        scores = {}
        nll = replies_nll(model, batch, candidates, pad, samples)
        log = torch.logsumexp(-nll.double(), 0) - torch.log(torch.tensor(float(samples)))
    return {**scores, "likelihood": log, "normalised": log / candidates.ne(pad).sum(-1).clamp(min=1)}


def _chosen(scores: dict[str, Tensor], by: str | None, name: str) -> Tensor:
    by = by or ("choice" if "choice" in scores else "normalised")
    if by not in scores:
        raise InputError(f"--by {by}: {name} has no head that chooses; remedy: --by normalised")
    if not scores[by].isfinite().all():
        raise InputError(f"{name}: scores of candidates are no numbers; remedy: an earlier checkpoint")
    return scores[by]
