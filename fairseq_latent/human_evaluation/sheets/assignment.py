"""Who judges which contexts, in which order: balanced incomplete assignment, shuffling, repeated items, attention checks."""

import random
from collections.abc import Sequence

from ..study import HIGHEST, LOWEST, Judged, Task

CHECKS = {  # what a check says instead of a response
    "en": {
        LOWEST: "This is a check of attention: please choose the lowest number for every question.",
        HIGHEST: "This is a check of attention: please choose the highest number for every question.",
    },
    "ja": {
        LOWEST: "これは注意力の確認です。すべての質問で一番小さい数字を選んでください。",
        HIGHEST: "これは注意力の確認です。すべての質問で一番大きい数字を選んでください。",
    },
}


def balanced(contexts: int, raters: int, per_item: int, draw: random.Random) -> list[list[int]]:
    """The contexts of each rater: each context has `per_item` raters, whose loads differ by at most one.

    Among equally loaded raters those are taken that share the fewest contexts so far, so that all pairs of raters overlap
    about equally and agreement rests on all of them.
    """
    loads = [0] * raters
    shared = [[0] * raters for _ in range(raters)]
    found: list[list[int]] = [[] for _ in range(raters)]
    for context in draw.sample(range(contexts), contexts):
        chosen: list[int] = []
        for _ in range(per_item):
            free = [rater for rater in range(raters) if rater not in chosen]
            best = min(free, key=lambda r: (loads[r], sum(shared[r][other] for other in chosen), draw.random()))
            for other in chosen:
                shared[best][other] += 1
                shared[other][best] += 1
            chosen.append(best)
            loads[best] += 1
        for rater in chosen:
            found[rater].append(context)
    return [sorted(each) for each in found]


def ways(
    judged: Sequence[Judged],
    contexts: Sequence[Sequence[int]],
    seed: int,
    repeat: float = 0.0,
    checks: int = 0,
    language: str = "en",
) -> list[tuple[Task, ...]]:
    """Each rater's tasks: contexts shuffled, the responses to each together and shuffled, sides of preferences tossed.

    repeat: share of the responses that come once more, each in the half after the one where it was first. checks: attention
    checks, spread over the way.
    """
    of_context: dict[int, list[Judged]] = {}
    for each in judged:
        of_context.setdefault(each.context, []).append(each)
    found = []
    used: set[str] = set()
    for rater, own in enumerate(contexts):
        draw = random.Random(f"{seed}:{rater}")
        groups = [_group(of_context.get(context, []), draw, used) for context in draw.sample(list(own), len(own))]
        groups = [group for group in groups if group]
        _repeat(groups, repeat, draw, used)
        _insert_checks(groups, checks, language, draw, used)
        found.append(tuple(task for group in groups for task in group))
    return found


def _group(judged: Sequence[Judged], draw: random.Random, used: set[str]) -> list[Task]:
    shuffled = draw.sample(list(judged), len(judged))
    return [
        Task(new_id(draw, used), each.context, each.id, swapped=len(each.responses) == 2 and draw.random() < 0.5)
        for each in shuffled
    ]


def _repeat(groups: list[list[Task]], share: float, draw: random.Random, used: set[str]) -> None:
    """Add groups of one in the second half, of what stands in the first."""
    early = [task for group in groups[: max(1, len(groups) // 2)] for task in group]
    total = sum(map(len, groups))
    count = min(len(early), round(share * total))
    for task in draw.sample(early, count):
        again = Task(new_id(draw, used), task.context, task.of, swapped=task.swapped, repeat=True)
        groups.insert(draw.randint(max(1, (len(groups) + 1) // 2), len(groups)), [again])


def _insert_checks(groups: list[list[Task]], count: int, language: str, draw: random.Random, used: set[str]) -> None:
    if not groups:
        return
    contexts = [group[0].context for group in groups]
    for _ in range(count):
        expects = draw.choice((LOWEST, HIGHEST))
        text = CHECKS[language][expects]
        check = Task(new_id(draw, used), draw.choice(contexts), None, expects=expects, text=text)
        groups.insert(draw.randint(1, len(groups)), [check])


def new_id(draw: random.Random, used: set[str]) -> str:
    """A random name that says nothing."""
    while (name := f"{draw.getrandbits(40):010x}") in used:
        pass
    used.add(name)
    return name
