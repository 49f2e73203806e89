"""A small self-written corpus whose responses have something for a latent to explain: a question has several answers."""

import itertools
import random
from pathlib import Path

SUBJECTS = ("tea", "coffee", "the sea", "winter", "music", "football", "chess", "my dog")
QUESTIONS = ("do you like {}", "what about {}", "tell me of {}")
ANSWERS = ("yes , i love {}", "no , not {}", "maybe , {} is fine", "i never think of {}", "why do you ask of {} ?")


def pairs(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """`count` (context, response) lines; a third of the contexts have two turns."""
    rng = random.Random(seed)
    combinations = list(itertools.product(QUESTIONS, SUBJECTS))
    lines = []
    for index in range(count):
        question, subject = rng.choice(combinations)
        context = question.format(subject)
        if index % 3 == 0:
            context = f"hello there <eot> {context}"
        lines.append((context, rng.choice(ANSWERS).format(subject)))
    return lines


def write_splits(folder: Path, train: int = 120, valid: int = 21, test: int = 21) -> Path:
    """train|valid|test.src|tgt under `folder`; sizes that 8 does not divide, so that a dropped last batch shows."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (split, count) in enumerate({"train": train, "valid": valid, "test": test}.items()):
        lines = pairs(count, seed)
        for side, texts in zip(("src", "tgt"), zip(*lines, strict=True), strict=True):
            (folder / f"{split}.{side}").write_text("\n".join(texts) + "\n", encoding="utf-8")
    return folder
