"""The files of a persona data set, and the table of what became of the turns that they were made of."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from fairseq_latent.errors import InputError
from fairseq_latent.files import written_together
from fairseq_latent.symbols import EOT
from fairseq_latent.text.similarity import Similarity

from ..counts_table import Account
from ..splitting.split_files import SPLITS, refuse_leftovers
from .conversations import Corpus
from .examples import Dialogue, Drop, Example, ExampleOptions, Lengths, examples

FIELDS = ("src", "tgt", "partner", "own", "ids", "fader", "own_fader", "candidates")
TABLE, REPORT = "personas.txt", "personas.json"
SUMS = (
    "turns",
    "kept",
    "shortened",
    "fader",
    "fader squared",
    "faders of 0",
    "with candidates",
)  # counts that are no reason to drop a turn


@dataclass(frozen=True)
class Writer:
    """Makes the lines of one side after another. seed: of what is sampled from a dialogue."""

    corpus: Corpus
    similarity: Similarity
    lengths: Lengths
    drop: Drop | None
    filter: str
    seed: int

    def lines(self, code: int, wanted: ExampleOptions, filtered: bool, counts: Counter[str]) -> Iterator[list[str]]:
        """The fields of the examples of a side; counts turns by reason, "kept", and the faders' sums."""
        for dialogue in tqdm(self.corpus.on(code), SPLITS[code], unit=" dialogues", disable=None):
            for example in self._kept(dialogue, wanted, filtered, counts):
                fader = self.similarity(example.response, example.partner)
                counts.update(kept=1, shortened=example.shortened)
                counts["fader"] += fader
                counts["fader squared"] += fader * fader
                counts["faders of 0"] += fader == 0
                counts["with candidates"] += example.candidates != ""
                yield columns(example, fader, self.similarity(example.response, example.own))

    def fields(self, code: int, wanted: ExampleOptions, filtered: bool) -> tuple[str, ...]:
        """The names of a side's fields: candidates are one of them where any example has some."""
        offered = (dialogue for dialogue in self.corpus.on(code) if any(dialogue.candidates))
        kept = (example for dialogue in offered for example in self._kept(dialogue, wanted, filtered, Counter()))
        return FIELDS if any(example.candidates for example in kept) else FIELDS[:-1]

    def _kept(self, dialogue: Dialogue, wanted: ExampleOptions, filtered: bool, counts: Counter[str]) -> list[Example]:
        kept = []
        for example in examples(dialogue, wanted, self.lengths, counts):
            if filtered and self.drop and self.drop(example):
                counts[f"self-centred ({self.filter})"] += 1
            else:
                kept.append(example)
        most = wanted.per_dialogue
        if most is None or len(kept) <= most:
            return kept
        counts[f"beyond {most} per dialogue"] += len(kept) - most
        sampled = random.Random(f"{self.seed} {dialogue.id}").sample(range(len(kept)), most)
        return [kept[index] for index in sorted(sampled)]


def columns(example: Example, fader: float, own_fader: float) -> list[str]:
    """The line of each of FIELDS; faders are the response's similarities with the partner's profile and its own."""
    source, partner, own = (f" {EOT} ".join(texts) for texts in (example.context, example.partner, example.own))
    faders = [f"{value:.4f}" for value in (fader, own_fader)]
    return [source, example.response, partner, own, example.id, *faders, example.candidates]


def account(side: str, counts: Counter[str]) -> Account:
    """What became of the turns of a side."""
    dropped = {reason: count for reason, count in counts.items() if reason not in SUMS}
    notes = {"contexts shortened": counts["shortened"], "with candidates": counts["with candidates"]}
    return Account(f"{side} turns", counts["turns"], dropped, counts["kept"], notes)


def fader_statistics(counts: Counter[str]) -> dict[str, float]:
    """Mean, standard deviation and the share of zeros."""
    kept = counts["kept"]
    mean = counts["fader"] / kept
    deviation = max(0.0, counts["fader squared"] / kept - mean * mean) ** 0.5
    return {"mean": round(mean, 4), "sd": round(deviation, 4), "zeros": round(counts["faders of 0"] / kept, 4)}


def write(out: Path, writer: Writer, sides: dict[int, tuple[ExampleOptions, bool]], report: dict) -> list[str]:
    """Write all files, or none; the rows of the table."""
    fields = {code: writer.fields(code, *of) for code, of in sides.items()}
    names = [f"{SPLITS[code]}.{name}" for code in sides for name in fields[code]]
    refuse_leftovers(out, names)
    tables = [writer.corpus.account()]
    report["splits"] = {}
    with written_together(out / name for name in (*names, TABLE, REPORT)) as (*opened, table, summary):
        files = dict(zip(names, opened, strict=True))
        for code, (wanted, filtered) in sides.items():
            side, counts = SPLITS[code], Counter()
            of_side = [files[f"{side}.{name}"] for name in fields[code]]
            for lines in writer.lines(code, wanted, filtered, counts):
                for file, line in zip(of_side, lines, strict=False):  # candidates come last
                    file.write(f"{line}\n")
            tables.append(account(side, counts))
            if not counts["kept"]:
                reasons = (f"{count:,} turns {reason}" for reason, count in tables[-1].dropped.items() if count)
                why = ", ".join(reasons) or "no conversation of it has profiles"
                raise InputError(f"{side} gets no example ({why}); remedy: a smaller --min-turns, or a larger side")
            report["splits"][side] = {"examples": counts["kept"], "fader": fader_statistics(counts)}
        rows = [row for each in tables for row in each.lines()]
        table.write("\n".join(rows) + "\n")
        summary.write(json.dumps(report, indent=2) + "\n")  # comes last: where it is, all the others are
    return rows
