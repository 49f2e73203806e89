"""Made-up studies: texts written here, and raters that a generator plays."""

import json
import random
from pathlib import Path

from fairseq_latent.human_evaluation.protocol import read_protocol
from fairseq_latent.human_evaluation.sheets.build import build, files
from fairseq_latent.human_evaluation.sheets.page import RATINGS, VERSION
from fairseq_latent.human_evaluation.sheets.selection import Material
from fairseq_latent.human_evaluation.study import Context, Study, write_study

SYSTEMS = ("alpha", "beta", "gamma")


def material(contexts: int = 4, systems: tuple[str, ...] = SYSTEMS) -> Material:
    """Each system says something of its own, but to the first context all say the same."""
    shown = tuple(
        Context(str(place), ("hello", f"do you like tea {place} ?"), (f"i own {place} cats .",), f"yes {place}")
        for place in range(contexts)
    )
    responses = tuple(
        tuple(
            "i see ." if not place else f"answer {(number + place) % len(systems)} to {place}"
            for place in range(contexts)
        )
        for number in range(len(systems))
    )
    return Material(systems, shown, responses, None)


def study(protocol: str = "persona", raters: int = 3, contexts: int = 4, systems=SYSTEMS, **options) -> Study:
    return build(material(contexts, systems), read_protocol(protocol), options.pop("language", "en"), raters, **options)


def written(folder: Path, made: Study) -> Path:
    write_study(made, folder, files(made))
    return folder


def saved(made: Study, rater: str, score, browser: str = "b", minute: int = 0, only=None) -> dict:
    """What the rater's page would save; `score(task, criterion)` is what the rater says, None for nothing."""
    rows = []
    for task in made.raters[rater]:
        scores = {each.name: score(task, each) for each in made.protocol.criteria}
        scores = {name: value for name, value in scores.items() if value is not None}
        if scores and (only is None or task.item in only):
            time = f"2026-01-02T03:{minute:02d}:00.000Z"
            row = {"item": task.item, "responses": list(made.shown(task)), "scores": scores, "seconds": 7.5}
            rows.append(row | {"time": time, "later": False})
    head = {"format": RATINGS, "version": VERSION, "study": made.id, "rater": rater, "browsers": [f"{browser}-{rater}"]}
    return head | {"saved": "2026-01-02T04:00:00.000Z", "ratings": rows}


def as_file(content: dict) -> str:
    """One rating a line, as the page writes it."""
    head = json.dumps({key: value for key, value in content.items() if key != "ratings"})
    lines = ",\n".join(json.dumps(row) for row in content["ratings"])
    return f'{head[:-1]}, "ratings": [\n{lines}\n]}}\n'


def send(folder: Path, content: dict, name: str | None = None) -> Path:
    path = folder / (name or f"ratings.{content['rater']}.json")
    path.write_text(as_file(content), encoding="utf-8")
    return path


def play(made: Study, folder: Path, seed: int = 0, better: float = 0.8) -> None:
    """All raters rate everything: each system is a little better than the one before, seen with noise."""
    quality = {system: better * place for place, system in enumerate(made.systems)}
    for number, rater in enumerate(made.raters):
        draw = random.Random(f"{seed}:{number}")

        def score(task, criterion, draw=draw):
            values = criterion.values
            if task.of is None:
                return values[0 if task.expects == "lowest" else -1]
            found = made.by_id[task.of]
            of = quality[found.systems[0][0]] + random.Random(f"{seed}:{task.of}").gauss(0, 0.7)
            return values[max(0, min(len(values) - 1, round(len(values) / 2 - 1 + of + draw.gauss(0, 0.6))))]

        send(folder, saved(made, rater, score))
