"""What speakers say of themselves in their conversations, and the profile of one of them in one: out of the others.

No speaker's memory is endless: of the self-descriptions of one speaker those with the smallest hashes are kept, a few of a
conversation, so that memory grows with the number of speakers who come again, not with what they say. What is kept and
what is chosen depends on neither the order of the file nor the number of processes.
"""

import random
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from ..counts_table import Account
from ..parallel import BLOCK, map_blocks
from ..splitting.collect import root_digest
from ..splitting.examples import digest, numbers, places, trusted
from .first_person import Rules
from .recurring_speakers import Recurring, Sources
from .sentences import sentences

OF_A_CONVERSATION, OF_A_SPEAKER = 4, 32  # times the sentences of a profile
ALIKE = 0.75  # of the words of two sentences, those in both: with more they say the same

Said = tuple[int, str]  # digest of a conversation, and a sentence as it stands there
Found = list[tuple[int, int, list[tuple[str, str]]]]  # speaker, conversation, (content words, sentence) of each


@dataclass
class Histories:
    """Self-descriptions by the digest of their speaker and by their content words; a profile has `size` at most."""

    size: int
    pools: dict[int, dict[str, tuple[Said, ...]]] = field(default_factory=dict)
    repeated: int = 0

    def add(self, speaker: int, root: int, found: Iterable[tuple[str, str]]) -> None:
        """(content words, sentence) of a speaker in a conversation, or in a part of one."""
        pool = self.pools.setdefault(speaker, {})
        for key, sentence in found:
            before = pool.get(key, ())
            self.repeated += before != ()
            # of two conversations, so that there is one more, whichever a profile is for
            here = min(said for said in (*before, (root, sentence)) if said[0] == root)
            pool[key] = tuple(sorted((here, *(said for said in before if said[0] != root)))[:2])
        if len(pool) > 2 * OF_A_SPEAKER * self.size:
            self.pools[speaker] = dict(smallest(pool.items(), OF_A_SPEAKER * self.size))

    def finish(self) -> int:
        """To be called when all are added; the number of different sentences that are kept."""
        for speaker, pool in self.pools.items():
            self.pools[speaker] = dict(sorted(smallest(pool.items(), OF_A_SPEAKER * self.size)))
        return sum(map(len, self.pools.values()))

    def profile(self, speaker: int, root: int, seed: bytes) -> list[str]:
        """Sentences of the speaker's other conversations, drawn by `seed`, no two of which say the same."""
        others = [
            (key, sentence)
            for key, said in self.pools.get(speaker, {}).items()
            if (sentence := next((each for where, each in said if where != root), None))
        ]
        chosen: list[str] = []
        words: list[set[str]] = []
        for key, sentence in _shuffled(others, random.Random(seed)):
            here = set(key.split())
            if not any(len(here & other) >= ALIKE * len(here | other) for other in words):
                chosen.append(sentence)
                words.append(here)
                if len(chosen) == self.size:
                    break
        return chosen


def smallest(found: Iterable[tuple[str, object]], count: int) -> list[tuple[str, object]]:
    """Of (content words, anything), those with the smallest hashes."""
    found = list(found)
    return found if len(found) <= count else sorted(found, key=lambda each: (digest(each[0]), each[1]))[:count]


def _shuffled(values: list, generator: random.Random) -> Iterator:
    """One after another at random: mostly a few are asked for."""
    for at in range(len(values)):
        other = generator.randrange(at, len(values))
        values[at], values[other] = values[other], values[at]
        yield values[at]


def listen(
    path: Path, sources: Sources, known: Recurring, rules: Rules, size: int, seed: int, workers: int
) -> tuple[Histories, list[Account]]:
    """What those who come again say of themselves, and what became of all turns and sentences."""
    histories, turns, read = Histories(size), Counter(), Counter()
    speakers = np.array(sorted(known.sources), np.uint64)
    work = partial(_hear, sources=sources, speakers=speakers, rules=rules, seed=seed, most=OF_A_CONVERSATION * size)
    with closing(map_blocks(work, path, workers, BLOCK, "listen")) as results:
        for found, of_turns, of_sentences in results:
            turns.update(of_turns)
            read.update(of_sentences)
            for speaker, root, said in found:
                histories.add(speaker, root, said)
    kept = histories.finish()
    beyond = f"beyond {OF_A_CONVERSATION * size} of a conversation or {OF_A_SPEAKER * size} of a speaker"
    left = {"said again": histories.repeated, beyond: read["kept"] - histories.repeated - kept}
    described = Account("self-descriptions", read["kept"], left, kept)
    return histories, [_account("turns", turns), _account("sentences", read), described]


def _account(unit: str, counts: Counter[str]) -> Account:
    dropped = {reason: count for reason, count in counts.items() if reason != "kept"}
    return Account(unit, counts.total(), dropped, counts["kept"])


def _hear(
    first: int, data: bytes, sources: Sources, speakers: np.ndarray, rules: Rules, seed: int, most: int
) -> tuple[Found, Counter[str], Counter[str]]:
    """The self-descriptions in a block of lines; turns and sentences by what became of them."""
    found: Found = []
    turns, read = Counter(), Counter()
    records = [record for _, record in trusted(first, data)]
    roots = numbers(root_digest(seed, record["id"]) for record in records)
    names = sorted({turn["speaker"] for record in records for turn in record["turns"]})
    digests = numbers(map(digest, names))
    again = {
        name: int(each) for name, each, at in zip(names, digests, places(speakers, digests), strict=True) if at >= 0
    }
    for record, root, usable in zip(records, roots.tolist(), sources.has(roots).tolist(), strict=True):
        said: dict[int, list[tuple[str, str]]] = {}
        for turn in record["turns"]:
            speaker = again.get(turn["speaker"])
            if not usable or speaker is None:
                turns[
                    "of speakers with one conversation" if usable else "of conversations that are not of training"
                ] += 1
                continue
            turns["kept"] += 1
            said.setdefault(speaker, []).extend(_described(turn["text"], rules, read))
        found += [(speaker, root, smallest(each, most)) for speaker, each in said.items() if each]
    return found, turns, read


def _described(text: str, rules: Rules, read: Counter[str]) -> Iterator[tuple[str, str]]:
    """(content words, sentence) of the self-descriptions in a turn."""
    for sentence in sentences(text):
        verdict = rules.verdict(sentence)
        read[verdict if isinstance(verdict, str) else "kept"] += 1
        if not isinstance(verdict, str):
            yield " ".join(verdict), sentence
