"""Conversations with personas of both speakers -> examples: a context, the response, both profiles (Cho et al., 2022).

What an example is, is theirs in two forms: that of the paper, every turn with its context, and that of the authors' code,
which wants contexts of 4 turns or more, responses of 5 words or more, and drops the oldest turns of what is too long.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fairseq_latent.errors import InputError
from fairseq_latent.symbols import EOT
from fairseq_latent.text.similarity import Similarity, words

from ..corpora.convai2 import SILENCE
from ..splitting.examples import LINE_BREAK

FILTERS = ("first_person", "similarity", "none")
SECOND_PERSON = frozenset(("you", "your", "yours", "u", "ur"))
SPOKEN_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")  # you're is one word, and not `you`

Lengths = Callable[[Sequence[str]], list[int]]  # of texts, in tokens
Drop = Callable[["Example"], bool]


@dataclass(frozen=True)
class ExampleOptions:
    """Which turns become responses, and with which contexts. per_dialogue: of each dialogue so many at random; None: all."""

    min_turns: int = 4
    min_response_words: int = 5
    max_tokens: int = 200
    both_sides: bool = True
    per_dialogue: int | None = None


@dataclass(frozen=True)
class Dialogue:
    """A conversation of two; `turns` are (speaker, text), `second` the speaker who did not open it.

    `candidates` of each turn are one text, with tabs between: as a text each they would take twice the memory.
    """

    id: str
    turns: tuple[tuple[str, str], ...]
    profiles: Mapping[str, tuple[str, ...]]
    second: str
    candidates: tuple[str, ...]


@dataclass(frozen=True)
class Example:
    """A response, the turns before it, and both profiles."""

    id: str
    context: tuple[str, ...]
    response: str
    partner: tuple[str, ...]
    own: tuple[str, ...]
    shortened: bool = False  # older turns were dropped
    candidates: str = ""  # for the response, between tabs


def dialogue_of(record: dict, second: str | None = None) -> Dialogue | str:
    """A dialogue from a conversation's JSON object, or why it is none; `second`: of the whole that a part was cut from.

    A profile's sentences stand in the order of their characters: equal profiles, which ConvAI2 shuffles, are equal.
    """
    turns = tuple((turn["speaker"], turn["text"]) for turn in record["turns"])
    speakers = list(dict.fromkeys(speaker for speaker, _ in turns))
    if len(speakers) != 2:
        return "of other than two speakers"
    for index in range(1, len(turns)):
        if turns[index][0] == turns[index - 1][0]:
            raise InputError(
                f"conversation {record['id']}: turns[{index - 1}] and turns[{index}] are of one speaker; "
                "remedy: python -m preprocess.clean, which makes them one"
            )
    given = record.get("personas") or {}
    profiles = {speaker: _profile(record["id"], given.get(speaker, ())) for speaker in speakers}
    if not all(profiles.values()):
        return "without a profile of both speakers"
    candidates = tuple(_candidates(record["id"], turn.get("candidates") or ()) for turn in record["turns"])
    return Dialogue(record["id"], turns, profiles, second if second in speakers else speakers[1], candidates)


def _profile(identity: str, sentences: Sequence[str]) -> tuple[str, ...]:
    for sentence in sentences:
        if LINE_BREAK.search(sentence) or EOT in sentence:
            raise InputError(
                f"conversation {identity}: a profile has a line break or {EOT}; remedy: python -m preprocess.clean"
            )
    return tuple(sorted({text for sentence in sentences if (text := sentence.strip()) and text != SILENCE}))


def _candidates(identity: str, texts: Sequence[str]) -> str:
    for text in texts:
        if not text.strip() or "\t" in text or LINE_BREAK.search(text) or EOT in text:
            raise InputError(
                f"conversation {identity}: a candidate is empty or has a tab, a line break or {EOT}; "
                "remedy: python -m preprocess.clean"
            )
    return "\t".join(texts)


def examples(dialogue: Dialogue, wanted: ExampleOptions, lengths: Lengths, counts: Counter[str]) -> Iterator[Example]:
    """The examples of a dialogue; counts "turns" and, by reason, those that are no response.

    A context never reaches over a silence. Its length and the response's are their tokens and one more for the end of
    each turn; where both are too long, the oldest turns go, as far as `min_turns` of them stay.
    """
    counts["turns"] += len(dialogue.turns)
    sizes = [size + 1 for size in lengths([text for _, text in dialogue.turns])]
    first = 0  # turn of the context
    for index, (speaker, text) in enumerate(dialogue.turns):
        if text == SILENCE:
            first = index + 1
        if reason := _unfit(dialogue, index, first, wanted):
            counts[reason] += 1
            continue
        start = first
        while sum(sizes[start : index + 1]) > wanted.max_tokens and index - start > wanted.min_turns:
            start += 1
        if sum(sizes[start : index + 1]) > wanted.max_tokens:
            counts[f"too long with {wanted.min_turns} turns before"] += 1
            continue
        other = dialogue.turns[index - 1][0]
        context = tuple(each for _, each in dialogue.turns[start:index])
        profiles = dialogue.profiles[other], dialogue.profiles[speaker]
        candidates = dialogue.candidates[index]
        yield Example(f"{dialogue.id}:{index}", context, text, *profiles, start > first, candidates)


def _unfit(dialogue: Dialogue, index: int, first: int, wanted: ExampleOptions) -> str | None:
    """Why a turn is no response."""
    speaker, text = dialogue.turns[index]
    if text == SILENCE:
        return "silence"
    if index == first:
        return "with nothing before"
    if not wanted.both_sides and speaker != dialogue.second:
        return "of the first speaker"
    if index - first < wanted.min_turns:
        return f"with less than {wanted.min_turns} turns before"
    if text.count(" ") + 1 < wanted.min_response_words:
        return f"of less than {wanted.min_response_words} words"
    return None


def first_person(example: Example) -> bool:
    """Self-centred as the authors' code has it: the first word begins with "i" or "my" (also "it", "is", "if"), and no
    word is "you" or "your"."""
    found = SPOKEN_WORD.findall(example.response.lower())
    return bool(found) and found[0].startswith(("i", "my")) and not {"you", "your"} & set(found)


def about_oneself(similarity: Similarity, own: float, partner: float) -> Drop:
    """Self-centred by meaning: nothing of the second person, no question, near the own profile and far from the other."""

    def drop(example: Example) -> bool:
        text = example.response
        if "?" in text or "\uff1f" in text or SECOND_PERSON & set(words(text)):
            return False
        return similarity(text, example.own) >= own and similarity(text, example.partner) < partner

    return drop
