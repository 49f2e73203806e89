"""Contexts as turns, and sequences of unlike lengths as recurrent networks read them: without pads.

A hierarchical model (HRED: Serban et al., 2016) reads a turn as a sequence of words, and a context as a sequence of turns.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence


class Ragged:
    """R sequences of unlike lengths, each of one element or more, end to end; N elements in all.

    lengths (R,), on the host, which plans what a GRU on `device` reads. places (N,): where the elements stand that it reads
    first, second, …, all sequences at once.
    """

    def __init__(self, lengths: Tensor, device: torch.device | None = None):
        device = lengths.device if device is None else device
        lengths = lengths.cpu()
        descending, order = lengths.sort(descending=True, stable=True)
        steps = torch.arange(int(descending[0])).unsqueeze(1)
        running = steps < descending  # (T, R)
        self.batch_sizes = running.sum(1)
        starts = lengths.cumsum(0) - lengths
        self.order = order.to(device, non_blocking=True)
        self.places = (starts[order] + steps)[running].to(device, non_blocking=True)

    def packed(self, in_time: Tensor) -> PackedSequence:
        """Elements (N, H) in the order of `places` -> what nn.GRU takes."""
        return PackedSequence(in_time, self.batch_sizes, self.order, inverse(self.order))

    def end_to_end(self, in_time: Tensor) -> Tensor:
        """(N, H) in the order of `places` -> (N, H), sequence by sequence."""
        return in_time.index_select(0, inverse(self.places))


def inverse(permutation: Tensor) -> Tensor:
    """(N,) -> (N,): the permutation that undoes it."""
    undone = torch.empty_like(permutation)
    undone[permutation] = torch.arange(len(permutation), device=permutation.device)
    return undone


@dataclass(frozen=True)
class Turns:
    """The turns of B contexts, end to end.

    words (N,): tokens. lengths (U,): tokens per turn. counts (B,): turns per context. own (U,) bool: whether a turn is of
    who responds; speakers take turns, and the last one is the partner's. All but the words are on the host.
    """

    words: Tensor
    lengths: Tensor
    counts: Tensor
    own: Tensor


@dataclass(frozen=True)
class TurnReader:
    """Splits contexts into turns, each ended by the end of sentence, whatever parts them in the data.

    end_of_turn: what parts them there; -1 leaves each context one turn. begin: a token before each turn, -1 for none.
    most_turns: the newest are read; 0 reads all. most_tokens: longer turns keep their first tokens and the end; 0 keeps all.
    """

    pad: int
    end: int
    end_of_turn: int = -1
    begin: int = -1
    most_turns: int = 0
    most_tokens: int = 0

    def contexts(self, tokens: Tensor) -> Turns:
        """(B, S), pads anywhere -> their turns."""
        return self._split(tokens, self.end_of_turn)

    def responses(self, tokens: Tensor) -> Turns:
        """(B, T) -> one turn each."""
        return self._split(tokens, -1)

    def _split(self, tokens: Tensor, end_of_turn: int) -> Turns:
        device, tokens = tokens.device, tokens.cpu()  # how many there are of anything is for the host to know
        mask = tokens.ne(self.pad)
        row, words = mask.nonzero()[:, 0], tokens[mask]
        last = torch.ones_like(row, dtype=torch.bool)
        last[:-1] = row[1:] != row[:-1]
        ends = last | words.eq(end_of_turn)
        turn = ends.cumsum(0) - ends.long()  # (N,): number of the turn that a token belongs to
        counts = torch.bincount(row[ends], minlength=len(tokens))
        ordinal = torch.arange(len(row[ends]))
        from_last = counts.cumsum(0)[row[ends]] - 1 - ordinal  # (U,)
        kept = torch.ones_like(ends)
        if self.most_turns:
            kept &= (from_last < self.most_turns)[turn]
            counts = counts.clamp(max=self.most_turns)
        if self.most_tokens:
            lengths = torch.bincount(turn)
            place = torch.arange(len(words)) - (lengths.cumsum(0) - lengths)[turn]
            kept &= ends | (place < self.most_tokens - 1 - (self.begin >= 0))
        words, turn, ends = words.masked_fill(ends, self.end)[kept], turn[kept], ends[kept]
        own = from_last[turn[ends]] % 2 == 1
        turn = ends.cumsum(0) - ends.long()  # of the turns that are read
        lengths = torch.bincount(turn)
        if self.begin >= 0:
            begun = words.new_full((len(words) + len(lengths),), self.begin)
            begun[torch.arange(len(words)) + turn + 1] = words
            words, lengths = begun, lengths + 1
        return Turns(words.to(device, non_blocking=True), lengths, counts, own)
