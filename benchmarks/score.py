#!/usr/bin/env python3
"""Time and memory of `fairseq-latent score` on many made-up responses with references.

    python benchmarks/score.py --lines 1000000

Words follow Zipf's law, with the commas, full stops and apostrophes of chit-chat; a third of a response is its reference's.
The command runs as a user types it: CPU seconds are those of all its processes, memory is the most that one of them held.
"""

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from itertools import accumulate
from pathlib import Path

TYPES, LONGEST = 20_000, 40
LETTERS = "etaoinshrdlucmfwypvbgk"
ENDS = (".", ".", ".", "?", "!", " .", "...", "")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--bootstrap", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="keep the texts there, and the table")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        write(folder, args.lines)
        measured = run(folder, args.bootstrap)
    print("| lines | wall s | CPU s | peak MB |\n| --: | --: | --: | --: |")
    print(f"| {args.lines:,} | {measured[0]:,.1f} | {measured[1]:,.1f} | {measured[2]:,.0f} |")
    print(f"\n{len(os.sched_getaffinity(0))} processors, {args.bootstrap} resamples")


def write(folder: Path, lines: int) -> None:
    """`responses` and `references`, mostly different lines."""
    draw = random.Random(1)
    words = [word_of(rank) for rank in range(TYPES)]
    weights = list(accumulate(1 / (rank + 2) for rank in range(TYPES)))
    with (folder / "responses").open("w") as responses, (folder / "references").open("w") as references:
        for _ in range(lines):
            length = min(LONGEST, max(1, int(draw.lognormvariate(2.2, 0.6))))
            reference = draw.choices(words, cum_weights=weights, k=length)
            response = [
                word if draw.random() < 1 / 3 else other
                for word, other in zip(reference, draw.choices(words, cum_weights=weights, k=length), strict=True)
            ]
            for file, said in ((responses, response), (references, reference)):
                said = [f"{word}," if draw.random() < 0.05 else word for word in said]
                file.write(" ".join(said).rstrip(",") + draw.choice(ENDS) + "\n")


def word_of(rank: int) -> str:
    """A word for every rank, the frequent ones short; some are contractions, as don't is."""
    letters, left = "", rank
    while True:
        left, letter = divmod(left, len(LETTERS))
        letters += LETTERS[letter]
        if not left:
            break
    return letters if rank % 17 else f"{letters}n't"


def run(folder: Path, resamples: int) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and megabytes of the command."""
    command = [sys.executable, "-m", "fairseq_latent.cli", "score", f"made-up={folder / 'responses'}"]
    command += [
        "--reference",
        str(folder / "references"),
        "--bootstrap",
        str(resamples),
        "--out",
        str(folder / "table"),
    ]
    begin = time.perf_counter()
    subprocess.run(command, check=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - begin, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000


if __name__ == "__main__":
    main()
