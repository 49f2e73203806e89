"""n-grams of many lines as arrays, counted by sorting numbers: a million lines take seconds and a few bytes per word."""

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

ORDERS = 4  # of BLEU
WORD_BITS = 12  # of a word's number within its line: four of them, and that of the line, are one number
CHUNK = 1 << 14  # lines counted together


@dataclass(frozen=True)
class Words:
    """The words of N lines as numbers, end to end: numbers (M,), lengths (N,), and how many different words there are."""

    numbers: np.ndarray
    lengths: np.ndarray
    types: int

    @classmethod
    def of(cls, lines: Iterable[str]) -> "Words":
        """Lines whose words stand between spaces."""
        known: dict[str, int] = {}
        numbers, lengths = array("i"), array("i")
        for line in lines:
            words = line.split()
            lengths.append(len(words))
            numbers.extend([known.setdefault(word, len(known)) for word in words])
        return cls(np.array(numbers, np.int32), np.array(lengths, np.int64), len(known))

    def ngrams(self, n: int) -> "LineNgrams":
        """All n-grams, none of which goes over the end of a line."""
        numbers, begins = self.numbers.astype(np.int64), _begins(self.lengths, n)
        for _ in range(n - 1):  # a number for each that was seen, one word longer
            longer = numbers[:-1] * (self.types + 1) + self.numbers[len(self.numbers) - len(numbers) + 1 :]
            numbers = np.unique(longer, return_inverse=True)[1].astype(np.int64) if n > 2 else longer
        kept = np.unique(numbers[begins], return_inverse=True)[1] if n > 1 else numbers[begins]
        return LineNgrams(kept.astype(np.int32), np.maximum(self.lengths - n + 1, 0), self.lengths)


@dataclass(frozen=True)
class LineNgrams(Sequence):
    """The n-grams of N lines, end to end, as numbers that hold within this list; counts (N,) of each line, words (N,).

    A line of it is (its n-grams, its words); any choice of lines can be made one again by `of`.
    """

    numbers: np.ndarray
    counts: np.ndarray
    words: np.ndarray

    @classmethod
    def of(cls, lines: "Sequence[tuple[Sequence[int], int]] | LineNgrams") -> "LineNgrams":
        """Lines out of one list."""
        if isinstance(lines, cls):
            return lines
        numbers = [np.asarray(each, np.int32) for each, _ in lines]
        counts = np.array([len(each) for each in numbers], np.int64)
        return cls(np.concatenate([*numbers, np.empty(0, np.int32)]), counts, np.array([n for _, n in lines], np.int64))

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, place):
        ends = self.counts.cumsum()
        if isinstance(place, slice):
            chosen = np.zeros(len(self), bool)
            chosen[place] = True
            return LineNgrams(self.numbers[np.repeat(chosen, self.counts)], self.counts[place], self.words[place])
        end = int(ends[place])
        return tuple(self.numbers[end - int(self.counts[place]) : end].tolist()), int(self.words[place])

    @property
    def distinct(self) -> int:
        """Different n-grams."""
        return len(_different(self.numbers))

    def held_alone(self, group: np.ndarray, groups: int) -> tuple[np.ndarray, int]:
        """Of each group of lines how many n-grams no other group has; how many several have. group (N,): of each line."""
        pairs = _different(self.numbers.astype(np.int64) * groups + np.repeat(group, self.counts))
        number, holder = np.divmod(pairs, groups)
        holders = np.bincount(number)
        alone = np.bincount(holder[holders[number] == 1], minlength=groups)
        return alone, int((holders > 1).sum())


def _different(numbers: np.ndarray) -> np.ndarray:
    """Ascending, each once: by sorting, of which `numpy.unique` without further results would make a hash table."""
    ordered = np.sort(numbers)
    return ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]]


def _begins(lengths: np.ndarray, n: int) -> np.ndarray:
    """Places of the words at which an n-gram of a line begins."""
    ends = np.repeat(lengths.cumsum(), lengths)
    places = np.arange(len(ends))
    return places[places + n <= ends]


def bleu_counts(hypotheses: Sequence[str], references: Iterable[Sequence[str]]) -> np.ndarray:
    """(N, 10): words of hypothesis and of the closest reference, matched 1- to 4-grams, all 1- to 4-grams of each line.

    An n-gram matches as often as the reference has it that has it most often. Of two references as close in length, the
    shorter counts.
    """
    pairs = list(zip(hypotheses, references, strict=True))
    parts = [_counted(pairs[start : start + CHUNK]) for start in range(0, len(pairs), CHUNK)]
    return np.concatenate([*parts, np.empty((0, 2 + 2 * ORDERS), np.int64)])


def _counted(pairs: Sequence[tuple[str, Sequence[str]]]) -> np.ndarray:
    found = np.zeros((len(pairs), 2 + 2 * ORDERS), np.int64)
    sides: list[list[tuple[int, list[int]]]] = [[]]  # hypotheses, first references, second ones, ...
    for line, (hypothesis, texts) in enumerate(pairs):
        known: dict[str, int] = {}
        numbers = [[known.setdefault(word, len(known)) for word in text.split()] for text in (hypothesis, *texts)]
        length = len(numbers[0])
        found[line, 0] = length
        found[line, 1] = min((abs(len(each) - length), len(each)) for each in numbers[1:])[1]
        if len(known) >= 1 << WORD_BITS:
            found[line, 2 : 2 + ORDERS] = _matched(numbers)
            continue
        while len(sides) < len(numbers):
            sides.append([])
        for side, each in zip(sides, numbers, strict=False):
            side.append((line, each))
    for n in range(1, ORDERS + 1):
        found[:, 1 + ORDERS + n] = np.maximum(found[:, 0] - n + 1, 0)
    packed = [_packed(side) for side in sides]
    for n in range(1, ORDERS + 1):
        (guessed, times), *given = [_with_counts(side, n) for side in packed]
        keys, most = _merged(given)
        place = np.searchsorted(keys, guessed)
        there = place < len(keys)
        there[there] = keys[place[there]] == guessed[there]
        clipped = np.minimum(times[there], most[place[there]])
        lines = (guessed[there] >> (ORDERS * WORD_BITS)).astype(np.int64)
        found[:, 1 + n] += np.bincount(lines, weights=clipped, minlength=len(pairs)).astype(np.int64)
    return found


def _packed(side: Sequence[tuple[int, list[int]]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(line, numbers) each -> numbers (M,), lengths, lines."""
    lengths = np.array([len(numbers) for _, numbers in side], np.int64)
    flat = np.fromiter((number for _, numbers in side for number in numbers), np.int64, int(lengths.sum()))
    return flat, lengths, np.repeat(np.array([line for line, _ in side], np.int64), lengths)


def _with_counts(side: tuple[np.ndarray, np.ndarray, np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray]:
    """The different n-grams of each line as numbers, ascending, and how often the line has them."""
    numbers, lengths, lines = side
    begins = _begins(lengths, n)
    keys = lines[begins]
    for place in range(ORDERS):
        keys = (keys << WORD_BITS) + (numbers[begins + place] if place < n else 0)
    return np.unique(keys, return_counts=True)


def _merged(sides: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Of several references the largest counts."""
    if len(sides) == 1:
        return sides[0]
    keys, counts = (np.concatenate(parts) for parts in zip(*sides, strict=True))
    order = keys.argsort(kind="stable")
    different, first = np.unique(keys[order], return_index=True)
    return different, np.maximum.reduceat(counts[order], first) if len(order) else counts


def _matched(numbers: Sequence[Sequence[int]]) -> list[int]:
    """Matched n-grams of one line of very many words."""
    matches = []
    for n in range(1, ORDERS + 1):
        guess, *given = (Counter(zip(*(each[start:] for start in range(n)), strict=False)) for each in numbers)
        most = given[0]
        for other in given[1:]:
            most = most | other
        matches.append(sum((guess & most).values()))
    return matches
