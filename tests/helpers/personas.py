"""A self-written corpus of personas whose truth is known: what a profile is about, and when a response takes it up.

The partner's profile is of one of six topics. They let one of its facts slip, mostly. A question asks for a response
that takes up another one (similarity 1), so that only who knows the profile can tell which; a farewell for one that takes up
none (similarity 0).
"""

import random
from pathlib import Path
from typing import NamedTuple

TOPICS = {
    "family": ("sister", "brother", "mother", "uncle"),
    "food": ("pizza", "sushi", "bread", "cheese"),
    "sports": ("football", "tennis", "hockey", "golf"),
    "music": ("guitar", "piano", "opera", "jazz"),
    "animals": ("dog", "cat", "horse", "parrot"),
    "work": ("nurse", "farmer", "teacher", "lawyer"),
}
FACTS = ("i really love my {}", "my {} means a lot to me", "i think of my {} every day")
SMALL_TALK = ("hello there", "how are you today", "fine thank you", "it rains again", "i am well", "what a long week")
QUESTION, FAREWELL = "so what do you think ?", "well , i have to go now"
TAKEN_UP = ("tell me more of your {}", "your {} sounds great", "i like your {} too")
GENERIC = ("see you soon then", "bye and take care", "it was nice to talk")


class Example(NamedTuple):
    """One line of each file, and the truth."""

    context: str
    response: str
    partner: str
    similarity: float
    topic: str


def examples(count: int, seed: int) -> list[Example]:
    """`count` responses to people with profiles of their own."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        topic = draw.choice(list(TOPICS))
        things = draw.sample(TOPICS[topic], 3)
        profile = [draw.choice(FACTS).format(thing) for thing in things]
        slip = profile[0] if draw.random() < 0.7 else draw.choice(SMALL_TALK)
        draw.shuffle(profile)
        asked = draw.random() < 0.5
        turns = [draw.choice(SMALL_TALK), draw.choice(SMALL_TALK), slip, draw.choice(SMALL_TALK)]
        turns.append(QUESTION if asked else FAREWELL)
        response = draw.choice(TAKEN_UP).format(draw.choice(things[1:])) if asked else draw.choice(GENERIC)
        made.append(Example(" <eot> ".join(turns), response, " <eot> ".join(profile), float(asked), topic))
    return made


def write(folder: Path, sizes: dict[str, int]) -> dict[str, list[Example]]:
    """{split}.src|tgt|partner|fader under `folder`; what stands in them."""
    splits = {split: examples(count, seed) for seed, (split, count) in enumerate(sizes.items())}
    for split, rows in splits.items():
        for field, name in (("context", "src"), ("response", "tgt"), ("partner", "partner"), ("similarity", "fader")):
            lines = "".join(f"{getattr(row, field)}\n" for row in rows)
            (folder / f"{split}.{name}").write_text(lines, encoding="utf-8")
    return splits


def binarise(text: Path, target: Path) -> None:
    """What preparing does: pairs and profiles with one dictionary, similarities as they are."""
    from . import programs

    splits = [f"--{name}pref={text / name}" for name in ("train", "valid", "test")]
    programs.run(
        "fairseq-preprocess",
        "--source-lang",
        "src",
        "--target-lang",
        "tgt",
        *splits,
        "--joined-dictionary",
        "--destdir",
        target,
    )
    words = ("--only-source", "--source-lang", "partner", "--srcdict", target / "dict.src.txt")
    programs.run("fairseq-preprocess", *words, *splits, "--destdir", target)
    for split in ("train", "valid", "test"):
        (target / f"{split}.fader").write_text((text / f"{split}.fader").read_text())
