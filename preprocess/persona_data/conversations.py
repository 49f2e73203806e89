"""The conversations of a persona data set: those of two speakers with a profile each, and the side that each goes to."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fairseq_latent.errors import InputError
from fairseq_latent.text.similarity import Frequencies

from ..conversation import whole_id
from ..counts_table import Account
from ..lines import raw_lines
from ..parallel import BLOCK
from ..splitting.assign import NONE, TRAIN, SplitOptions, decide, part, without_any
from ..splitting.collect import survey
from ..splitting.examples import digest, numbers, trusted
from ..splitting.split_files import SPLITS, state, unchanged
from .examples import Dialogue, ExampleOptions, Lengths, dialogue_of, examples


@dataclass
class Corpus:
    """Dialogues, and the side of each; `counts` of the conversations that they were."""

    dialogues: list[Dialogue] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def on(self, code: int) -> Iterator[Dialogue]:
        """The dialogues of one side."""
        return (dialogue for dialogue, side in zip(self.dialogues, self.codes, strict=True) if side == code)

    def account(self) -> Account:
        """What became of the conversations."""
        sides = Counter(self.codes)
        dropped = {reason: count for reason, count in self.counts.items() if reason != "read"}
        notes = {f"of {side}": sides[code] for code, side in enumerate(SPLITS)}
        return Account("conversations", self.counts["read"], dropped, sum(sides[code] for code in range(NONE)), notes)


def read_corpus(path: Path, rule: SplitOptions, extra: dict[int, Path], workers: int) -> Corpus:
    """The conversations of `path` by the rule, and those of the files that are a side of their own."""
    corpus = Corpus()
    _read(corpus, path, rule, None, workers)
    for code, file in extra.items():
        _read(corpus, file, SplitOptions(valid=0, test=0), code, workers)
    if not corpus.dialogues:
        raise InputError(
            f"{path}: no conversation has two speakers and a profile of each; remedy: give one that has, e.g. ConvAI2's "
            "form both, or RealPersonaChat"
        )
    return corpus


def _read(corpus: Corpus, path: Path, rule: SplitOptions, code: int | None, workers: int) -> None:
    before = state(path)
    found = survey(path, rule.seed, False, False, workers, BLOCK)
    codes = decide(found, rule, path).codes
    seconds: dict[str, str] = {}  # of a conversation that was cut, by its first part
    with unchanged(path, before):
        records = chain.from_iterable(trusted(number, line) for number, line in raw_lines(path))
        for (_, record), side in zip(records, codes.tolist(), strict=True):
            corpus.counts["read"] += 1
            root = whole_id(record["id"])
            dialogue = "without a reply" if side == NONE else dialogue_of(record, seconds.get(root))
            if isinstance(dialogue, str):  # the reason why it is none
                corpus.counts[dialogue] += 1
                continue
            seconds.setdefault(root, dialogue.second)
            corpus.dialogues.append(dialogue)
            corpus.codes.append(side if code is None else code)


def part_profiles(corpus: Corpus, valid: bool) -> None:
    """No profile on two sides: see `splitting.assign.part`; ConvAI2 reuses profiles from conversation to conversation."""
    codes = np.array(corpus.codes, np.uint8)
    profiles = [digest("\n".join(profile)) for each in corpus.dialogues for profile in each.profiles.values()]
    part(codes, numbers(profiles), np.full(len(codes), 2), corpus.counts, "profile")
    if side := without_any(codes, valid):
        raise InputError(f"--disjoint-profiles leaves no conversation to {side}; remedy: smaller --valid and --test")
    kept = np.flatnonzero(codes != NONE).tolist()
    corpus.dialogues, corpus.codes = [corpus.dialogues[at] for at in kept], codes[kept].tolist()


def frequencies_of(corpus: Corpus, wanted: ExampleOptions, lengths: Lengths) -> Frequencies:
    """Of the training responses and profiles: each a text, each sentence of the different profiles one."""
    found, sentences = Frequencies(), set()
    for dialogue in tqdm(corpus.on(TRAIN), "count", unit=" dialogues", disable=None):
        for example in examples(dialogue, wanted, lengths, Counter()):
            found.add(example.response)
        sentences.update(chain.from_iterable(dialogue.profiles.values()))
    for sentence in sorted(sentences):
        found.add(sentence)
    return found
