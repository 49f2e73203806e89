"""Run folders for reports: hand-written logs, responses and statistics, as a training and its measuring leave them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from . import corpus

TEST = corpus.pairs(21, seed=2)  # the test split of the shared corpus
SAMPLED = 8
EVIL = "<script>alert('x')</script> & | *b* [l](u) \x1b[31m \u202egnp.exe"
LATENTS = {"kl": 0.02, "au": 0, "mi": 0.01, "rec_ppl": 30.25, "elbo_ppl": 31.5}


def generated(count: int, answers: Callable[[int], Sequence[str]]) -> str:
    """A fairseq-generate file for the first contexts, the last first, as fairseq shuffles."""
    lines = []
    for number in reversed(range(count)):
        source, reference = TEST[number]
        lines += [f"S-{number}\t{source}", f"T-{number}\t{reference}"]
        for answer in answers(number):
            lines += [f"H-{number}\t-1.0\t{answer}", f"D-{number}\t-1.0\t{answer}"]
    return "\n".join([*lines, "Generate test with beam=5: BLEU4 = 1.00, 1.0/1.0/1.0/1.0"]) + "\n"


def log(start: float) -> str:
    """Ten updates and two validations."""
    lines = []
    for update in range(1, 11):
        point = {"kl": start / update, "nll": 60 - update, "rec_ppl": 90 - update, "kl_weight": 1, "wall": 6.5 * update}
        lines.append({"epoch": 1, **{name: str(value) for name, value in point.items()}, "num_updates": str(update)})
        if update % 5 == 0:
            found = {"kl": start / update, "nll": 61 - update, "rec_ppl": 91 - update, "num_updates": update}
            lines.append({"epoch": 1, **{f"valid_{name}": str(value) for name, value in found.items()}})
    return "".join(json.dumps(line) + "\n" for line in lines)


def write_measured(folder: Path, answers: Sequence[str], **latents: float) -> Path:
    """All that a run's folder holds but its checkpoint; `answers` are those of each latent."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {
        "train.log": log(3.0),
        "generate.test.txt": generated(len(TEST), lambda number: [answers[number % len(answers)]]),
        "samples.test1.txt": generated(SAMPLED, lambda number: answers),
    }
    for split in ("valid", "test"):
        found = {**LATENTS, **latents, "sentences": 21, "tokens": 160, "signature": f"split:{split}|seed:1"}
        files[f"latents.{split}.json"] = json.dumps(found)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder
