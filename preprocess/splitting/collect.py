"""The first pass over conversations.jsonl: every line checked, and of every conversation what a split is decided by."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np

from fairseq_latent.errors import InputError

from ..conversation import whole_id
from ..parallel import block_lines, map_blocks
from .examples import checked, digest, has_ids, numbers, refuse_repeated_ids

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Survey:
    """N conversations, in the order of the file, as far as the decision needs them.

    ids (N,): digests, until they were compared; positions (N,): where (seed, root) falls in [0, 1), -1 without a reply;
    times (N,): in microseconds since 1970, of the first turn that has one, or NEVER; speakers: digests of those of the
    first conversation, of the second, ..., `speaker_counts` (N,) of them each, and then also `roots` (N,): digests of
    (seed, root). `header`: lines before the first one.
    """

    ids: np.ndarray
    positions: np.ndarray
    times: np.ndarray
    speakers: np.ndarray
    speaker_counts: np.ndarray
    roots: np.ndarray
    has_ids: bool
    header: int


def survey(path: Path, seed: int, times: bool, speakers: bool, workers: int, block_bytes: int) -> Survey:
    """Read and check the whole file; no id may stand there twice."""
    look = partial(_survey_block, path=str(path), seed=seed, by_time=times, by_speaker=speakers)
    parts = list(map_blocks(look, path, workers, block_bytes, "check"))
    if not sum(len(part.ids) for part in parts):
        raise InputError(f"{path} has no conversations; remedy: write it again")

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    arrays = (joined(name) for name in ("ids", "positions", "times", "speakers", "speaker_counts", "roots"))
    found = Survey(*arrays, any(part.has_ids for part in parts), parts[0].header)
    refuse_repeated_ids(path, found.ids)
    return replace(found, ids=found.ids[:0].copy())  # that was all they were for, and they are as large as the rest


def _survey_block(first: int, data: bytes, path: str, seed: int, by_time: bool, by_speaker: bool) -> Survey:
    ids, roots, replied, times, speakers, counts = [], [], [], [], [], []
    named = False
    for _, record in checked(first, data, path):
        identity, turns = record["id"], record["turns"]
        ids.append(_hash(seed, identity))
        roots.append(root_digest(seed, identity) if "#" in identity else ids[-1])
        replied.append(len(turns) > 1)
        named = named or has_ids(record)
        if by_time:
            times.append(_begin(turns))
        if by_speaker:
            present = {turn["speaker"] for turn in turns}
            speakers += map(digest, present)
            counts.append(len(present))
    whole = numbers(roots)
    positions = np.where(np.array(replied, bool), _fractions(whole), -1.0)
    asked = whole if by_speaker else whole[:0]
    arrays = (numbers(ids), positions, np.array(times, np.int64), numbers(speakers), np.array(counts, np.int64), asked)
    return Survey(*arrays, named, header=sum(1 for _ in block_lines(first, data)) - len(ids))


def position(seed: int, conversation_id: str) -> float:
    """Where (seed, conversation) falls in [0, 1), evenly; equal for all parts of a conversation."""
    return float(_fractions(numbers([root_digest(seed, conversation_id)]))[0])


def root_digest(seed: int, conversation_id: str) -> bytes:
    """What stands for (seed, conversation); equal for all parts and branches of a conversation."""
    return _hash(seed, whole_id(conversation_id))


def _hash(seed: int, identity: str) -> bytes:
    return digest(f"{seed}\n{identity}")


def _fractions(digests: np.ndarray) -> np.ndarray:
    return (digests >> np.uint64(11)) / 2**53  # 53 bits: exact in a float, and below 1


def parse_time(text: str) -> datetime | None:
    """A time in ISO 8601, UTC where it does not say; None for anything else."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def microseconds(time: datetime) -> int:
    """Since 1970."""
    return (time - EPOCH) // timedelta(microseconds=1)


def _begin(turns: Sequence[dict]) -> int:
    for turn in turns:
        time = parse_time(turn.get("time") or "")
        if time is not None:
            return microseconds(time)
    return NEVER
