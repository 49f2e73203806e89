"""What profiles are worth to a language model that reads them as text before the context: the partner's, one's own, none.

Each is compared with a stranger's, in the same place and under the same letter: whatever any profile tells (the style of the
corpus, more tokens to attend to) is in both. A partner's profile may be worth nothing however good the model is: where each
speaker sees his own profile alone, as in Persona-Chat (Zhang et al., 2018), responses given the context do not depend on it.
"""

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fairseq_latent.errors import InputError
from fairseq_latent.text.strangers import strangers

from ..metrics.worth import FEWEST, RESAMPLES, worth
from ..tables import Column, Estimate, render
from .profile_text import PARTNER, SPEAKER, Example, Passage, Writer, batches, joined

NONE, OF_PARTNER, STRANGER_AS_PARTNER, OWN, STRANGER_AS_OWN = CONDITIONS = (
    "none",
    "the partner's",
    "a stranger's, as the partner's",
    "the speaker's own",
    "a stranger's, as the speaker's own",
)
STRANGERS = {OF_PARTNER: STRANGER_AS_PARTNER, OWN: STRANGER_AS_OWN}
TRAINED = (NONE, OF_PARTNER, OWN)
MAX_TOKENS = 4096  # in a batch
Scorer = Callable[[Sequence[Sequence[int]], Sequence[Sequence[tuple[int, int]]]], np.ndarray]  # nats of parts of texts


@dataclass(frozen=True)
class Row:
    """A profile's numbers: nats per response, perplexities, and what it saves over a stranger's and over none."""

    model: str
    profile: str
    nats: float
    word_ppl: float
    token_ppl: float
    over_stranger: Estimate | None
    over_none: Estimate | None


@dataclass(frozen=True)
class Setting:
    """The examples that are measured, with the profile of a stranger to each, and their contexts as far as they fit."""

    examples: tuple[Example, ...]
    others: tuple[tuple[str, ...], ...]
    contexts: tuple[tuple[str, ...], ...]
    shortened: int
    too_long: int

    @property
    def dialogues(self) -> list[str]:
        """Of each example."""
        return [example.dialogue for example in self.examples]


def setting(examples: Sequence[Example], pool: Sequence[Example], writer: Writer, seed: int, where: str) -> Setting:
    """Strangers come from `pool`, the whole split; all profiles of an example stand before the same turns."""
    pooled = [frozenset(each.own) for each in pool]
    index = {id(each): place for place, each in enumerate(pool)}
    avoid = [frozenset(each.own) | frozenset(each.partner) for each in pool]
    rows = strangers(pooled, avoid, [each.dialogue for each in pool], seed)
    if rows is None:
        raise InputError(
            f"{where}: there are no strangers, a profile whose sentences all others share; remedy: more data"
        )
    writer.learn(pool)
    kept, others, contexts, shortened, too_long = [], [], [], 0, 0
    for example in examples:
        other = pool[rows[index[id(example)]]].own
        longest = max(len(writer.profile(PARTNER, profile)) for profile in (example.partner, example.own, other))
        context = writer.fitting(example, longest)
        if context is None:
            too_long += 1
            continue
        shortened += len(context) < len(example.context)
        kept.append(example)
        others.append(other)
        contexts.append(context)
    if len({each.dialogue for each in kept}) < FEWEST:
        raise InputError(f"{where}: fewer than {FEWEST} dialogues, which have no interval; remedy: more data")
    return Setting(tuple(kept), tuple(others), tuple(contexts), shortened, too_long)


def profile_line(writer: Writer, condition: str, example: Example, other: Sequence[str]) -> list[int]:
    """The tokens of a condition's profile."""
    sentences = {OF_PARTNER: example.partner, OWN: example.own, NONE: ()}.get(condition, other)
    speaker = PARTNER if condition in (OF_PARTNER, STRANGER_AS_PARTNER) else SPEAKER
    return writer.profile(speaker, sentences)


def measure(
    name: str, found: Setting, writer: Writer, scorer: Scorer, seed: int, progress: Callable[[int], None]
) -> list[Row]:
    """A row per condition, of the model that is called `name`; `progress` is called with tokens."""
    nats: dict[str, np.ndarray] = {}
    for condition in CONDITIONS:
        of_condition = np.full(len(found.examples), np.nan)
        for batch in batches(passages(found, writer, condition), MAX_TOKENS):
            spans = [[(start, stop) for _, start, stop in passage.responses] for passage in batch]
            keys = [key for passage in batch for key, _, _ in passage.responses]
            of_condition[keys] = scorer([passage.tokens for passage in batch], spans)
            progress(sum(len(passage.tokens) for passage in batch))
        nats[condition] = of_condition
    words = sum(example.words for example in found.examples)
    tokens = writer.response_tokens(found.examples)
    return [_row(name, condition, nats, words, tokens, found.dialogues, seed) for condition in CONDITIONS]


def passages(found: Setting, writer: Writer, condition: str) -> list[Passage]:
    """All examples with a condition's profile."""
    rows = zip(found.examples, found.others, found.contexts, strict=True)
    return joined(
        writer.write(profile_line(writer, condition, example, other), context, example.response, key)
        for key, (example, other, context) in enumerate(rows)
    )


def _row(
    name: str, condition: str, nats: Mapping[str, np.ndarray], words: int, tokens: int, dialogues: list[str], seed: int
) -> Row:
    mine = nats[condition]
    total = float(mine.sum())
    stranger = STRANGERS.get(condition)
    return Row(
        name,
        condition,
        total / len(mine),
        math.exp(min(total / words, 700.0)),
        math.exp(min(total / tokens, 700.0)),
        worth(nats[stranger] - mine, dialogues, seed) if stranger else None,
        worth(nats[NONE] - mine, dialogues, seed) if condition != NONE else None,
    )


def training_batches(
    examples: Sequence[Example], writer: Writer, updates: int, responses: int, seed: int
) -> Iterator[list[Passage]]:
    """`updates` batches of about so many responses: dialogues in random order, each speaker's with the profile of one of
    three conditions (none, the partner's, his own), so that one model learns to read both and to do without."""
    draw = random.Random(seed)
    groups: dict[tuple, list[Example]] = {}
    for example in examples:
        groups.setdefault((example.dialogue, example.partner, example.own), []).append(example)
    waiting: list[Passage] = []
    order: list[list[Example]] = []
    tried = 0  # speakers in a row none of whose responses fits
    for _ in range(updates):
        batch: list[Passage] = []
        while not _full(batch, responses):
            if not waiting:
                if not order:
                    order = list(groups.values())
                    draw.shuffle(order)
                waiting = _trained(order.pop(), draw.choice(TRAINED), writer)
                draw.shuffle(waiting)
                tried = 0 if waiting else tried + 1
                if tried == len(groups):
                    raise InputError(
                        f"train: no response fits into {writer.positions} tokens; remedy: more --positions"
                    )
            if waiting:
                batch.append(waiting.pop())
        yield batch


def _full(batch: list[Passage], responses: int) -> bool:
    return (
        sum(len(each.responses) for each in batch) >= responses or sum(len(each.tokens) for each in batch) >= MAX_TOKENS
    )


def _trained(group: list[Example], condition: str, writer: Writer) -> list[Passage]:
    """The passages of a speaker in a dialogue; what does not fit is left out."""
    writer.learn(group)
    profile = profile_line(writer, condition, group[0], ())
    fitting = [(example, writer.fitting(example, len(profile))) for example in group]
    return joined(
        writer.write(profile, context, example.response, key)
        for key, (example, context) in enumerate(fitting)
        if context is not None
    )


COLUMNS = (
    Column("model"),
    Column("profile"),
    Column("PPL/word", 2),
    Column("nats/response", 2),
    Column("over a stranger's", 2),
    Column("over none", 2),
)


def table(rows: Sequence[Row], style: str) -> str:
    """A line per model and profile."""
    values = [[row.model, row.profile, row.word_ppl, row.nats, row.over_stranger, row.over_none] for row in rows]
    return render(COLUMNS, values, style)


def as_fields(row: Row) -> dict[str, str | float | None]:
    """For JSON; intervals are *_low and *_high."""
    found = {name: getattr(row, name) for name in ("model", "profile", "nats", "word_ppl", "token_ppl")}
    for name in ("over_stranger", "over_none"):
        saved = getattr(row, name)
        found[name] = saved.value if saved else None
        found[f"{name}_low"], found[f"{name}_high"] = (saved and saved.interval) or (None, None)
    return found


def signature(found: Setting, split: str, seed: int, *more: str) -> str:
    """What the numbers depend on."""
    parts = (
        f"profile-worth|split:{split}|responses:{len(found.examples)}|dialogues:{len(set(found.dialogues))}",
        *more,
        f"shortened:{found.shortened}|too-long:{found.too_long}|interval:percentile|bs:{RESAMPLES}|seed:{seed}",
    )
    return "|".join(parts)
