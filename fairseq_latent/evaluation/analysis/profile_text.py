"""Persona data as plain text for a language model: a profile, the turns before a response, and the response.

    B: i have two dogs. i like to ski.
    A: hello , how are you ?
    B: fine , thank you .

B is who responds, A the partner. Whose a profile is, its letter says: it stands as what that speaker said before.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairseq_latent.errors import InputError
from fairseq_latent.files import numbered_lines
from fairseq_latent.symbols import EOT
from fairseq_latent.text.strangers import read_dialogues

PARTNER, SPEAKER = "A", "B"
FIELDS = ("src", "tgt", "partner", "own")
PREPARE = "remedy: PERSONAS=yes bash scripts/prepare/….sh, which makes the folder DATA.text"


@dataclass(frozen=True)
class Example:
    """A response in its dialogue; turns and profiles are lists of texts."""

    dialogue: str
    context: tuple[str, ...]
    response: str
    partner: tuple[str, ...]
    own: tuple[str, ...]

    @property
    def words(self) -> int:
        """Of the response, between spaces, and one for its end."""
        return len(self.response.split()) + 1


def read_examples(folder: str | Path, split: str) -> list[Example]:
    """The examples of a split in the folder of `scripts/prepare.sh`, or in the one beside it, FOLDER.text."""
    place = Path(folder)
    if not (place / f"{split}.src").is_file() and (place.parent / f"{place.name}.text").is_dir():
        place = place.parent / f"{place.name}.text"
    for field in (*FIELDS, "ids"):
        if not (place / f"{split}.{field}").is_file():
            raise InputError(f"{place / split}.{field}: no such file; {PREPARE}")
    columns = [[line for _, line in numbered_lines(place / f"{split}.{field}")] for field in FIELDS]
    for field, lines in zip(FIELDS, columns, strict=True):
        if len(lines) != len(columns[0]):
            raise InputError(f"{place / split}.{field}: {len(lines)} lines of {len(columns[0])} examples; {PREPARE}")
    if not columns[0]:
        raise InputError(f"{place / split}.src: the file is empty; {PREPARE}")
    dialogues = read_dialogues(place / f"{split}.ids", len(columns[0]))
    return [
        Example(dialogue, turns(source), target, turns(partner), turns(own))
        for dialogue, source, target, partner, own in zip(dialogues, *columns, strict=True)
    ]


def turns(line: str) -> tuple[str, ...]:
    """The texts between <eot>."""
    return tuple(text for text in (part.strip() for part in line.split(EOT)) if text)


def some_of(examples: Sequence[Example], dialogues: int | None, most: int | None, seed: int) -> list[Example]:
    """All examples of so many dialogues at random, and of these `most` examples at random, in their order."""
    names = sorted({example.dialogue for example in examples})
    if dialogues is not None and dialogues < len(names):
        sampled = set(random.Random(seed).sample(names, dialogues))
        examples = [example for example in examples if example.dialogue in sampled]
    if most is not None and most < len(examples):
        examples = [examples[place] for place in sorted(random.Random(seed).sample(range(len(examples)), most))]
    return list(examples)


@dataclass(frozen=True)
class Passage:
    """Tokens, and where responses stand in them with their ends: (key, start, stop)."""

    tokens: tuple[int, ...]
    responses: tuple[tuple[int, int, int], ...]


class Writer:
    """Examples as tokens of a language model, each turn encoded by itself.

    `begin` begins a text, `end` ends a turn: a line break where the tokenizer has one, else the model's end of a text.
    """

    def __init__(self, ids: Callable[[list[str]], list[list[int]]], begin: int, end: int, positions: int):
        self.ids, self.begin, self.end, self.positions = ids, begin, end, positions
        self.labels = dict(zip((PARTNER, SPEAKER), ids([f"{PARTNER}:", f"{SPEAKER}:"]), strict=True))
        self._known: dict[str, list[int]] = {}

    def learn(self, examples: Iterable[Example]) -> None:
        """Encode all different texts at once."""
        texts = {
            text
            for each in examples
            for text in (*each.context, each.response, *each.partner, *each.own)
            if text not in self._known
        }
        spaced = [f" {text}" for text in sorted(texts)]
        self._known |= {text[1:]: ids for text, ids in zip(spaced, self.ids(spaced), strict=True)}

    def profile(self, speaker: str, sentences: Sequence[str]) -> list[int]:
        """The line of a profile; nothing of an empty one."""
        if not sentences:
            return []
        return [*self.labels[speaker], *(token for text in sentences for token in self._known[text]), self.end]

    def fitting(self, example: Example, profile: int) -> tuple[str, ...] | None:
        """The newest turns that fit between a profile of so many tokens and the response; None if none does."""
        room = self.positions - 1 - profile - self._length(example.response)
        kept = 0
        for text in reversed(example.context):
            room -= self._length(text)
            if room < 0:
                break
            kept += 1
        return example.context[len(example.context) - kept :] if kept else None

    def response_tokens(self, examples: Iterable[Example]) -> int:
        """Of all responses, with their ends."""
        return sum(len(self._known[example.response]) + 1 for example in examples)

    def _length(self, text: str) -> int:
        return max(map(len, self.labels.values())) + len(self._known[text]) + 1

    def write(self, profile: Sequence[int], context: Sequence[str], response: str, key: int) -> Passage:
        """One example; B answers, so that the last turn of a context is A's."""
        tokens = [self.begin, *profile]
        for place, text in enumerate(context):
            speaker = PARTNER if (len(context) - place) % 2 else SPEAKER
            tokens += [*self.labels[speaker], *self._known[text], self.end]
        tokens += self.labels[SPEAKER]
        start = len(tokens)
        tokens += [*self._known[response], self.end]
        return Passage(tuple(tokens), ((key, start, len(tokens)),))


def joined(passages: Iterable[Passage]) -> list[Passage]:
    """Passages that begin others become part of them: a model that sees no future computes the same in fewer tokens.

    A speaker's responses in one dialogue are of one passage, as long as no context was cut.
    """
    found: list[Passage] = []
    for passage in sorted(passages, key=lambda each: each.tokens, reverse=True):
        if found and found[-1].tokens[: len(passage.tokens)] == passage.tokens:
            found[-1] = Passage(found[-1].tokens, found[-1].responses + passage.responses)
        else:
            found.append(passage)
    return found


def batches(passages: Sequence[Passage], max_tokens: int) -> Iterator[list[Passage]]:
    """Of passages of like lengths, no more than `max_tokens` together, or one."""
    batch: list[Passage] = []
    tokens = 0
    for passage in sorted(passages, key=lambda each: len(each.tokens)):
        if batch and tokens + len(passage.tokens) > max_tokens:
            yield batch
            batch, tokens = [], 0
        batch.append(passage)
        tokens += len(passage.tokens)
    if batch:
        yield batch
