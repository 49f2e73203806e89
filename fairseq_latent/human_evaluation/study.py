"""A study: contexts, the responses to judge, who judges what in which order, and the key, which alone knows the systems.

The key is `key.json` of the study's folder. Pages and sheets hold nothing of it but the random ids of what they show.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fairseq_latent.errors import InputError
from fairseq_latent.files import written_together
from fairseq_latent.text.json_values import OTHER_FORM, read_json, text, whole

from .protocol import Protocol, of_key

KEY = "key.json"
FORMAT, VERSION = "fairseq-latent human evaluation", 1
LOWEST, HIGHEST = "lowest", "highest"  # what an attention check asks for


@dataclass(frozen=True)
class Context:
    """id: of the test set. turns: oldest first. profile: the partner's sentences. reference: the human's response."""

    id: str
    turns: tuple[str, ...]
    profile: tuple[str, ...] = ()
    reference: str | None = None


@dataclass(frozen=True)
class Judged:
    """What is judged at once: a response, or two of a preference; `systems`: those that gave each."""

    id: str
    context: int
    responses: tuple[str, ...]
    systems: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Task:
    """One step of a rater's way. `of`: a Judged's id; None for an attention check, which `expects` one end of each scale.

    `swapped`: a preference whose second response is shown first. `repeat`: the rater has judged the same before.
    """

    item: str
    context: int
    of: str | None
    swapped: bool = False
    repeat: bool = False
    expects: str | None = None
    text: str = ""  # of a check


@dataclass(frozen=True)
class Study:
    """raters: name -> tasks in the order shown. assigned: name -> contexts, also those with nothing to compare.

    equal: (context, system, system) of equal responses, which a preference never compares. per_item: raters per context.
    """

    id: str
    protocol: Protocol
    language: str
    systems: tuple[str, ...]
    contexts: tuple[Context, ...]
    judged: tuple[Judged, ...]
    raters: Mapping[str, tuple[Task, ...]]
    assigned: Mapping[str, tuple[int, ...]]
    equal: tuple[tuple[int, str, str], ...] = ()
    per_item: int = 1
    signature: str = ""

    def shown(self, task: Task) -> tuple[str, ...]:
        """The texts of a task in the order shown."""
        if task.of is None:
            return (task.text,) * (2 if self.protocol.pairwise else 1)
        texts = self.by_id[task.of].responses
        return texts[::-1] if task.swapped else texts

    @cached_property
    def by_id(self) -> dict[str, Judged]:
        """The judged ones by their ids."""
        return {each.id: each for each in self.judged}


def identity(protocol: Protocol, contexts: Sequence[Context], texts: Sequence[str], *settings: object) -> str:
    """Names a study by what its raters see, never by which system said it."""
    seen = [dict(protocol.raw), [asdict(context) for context in contexts], sorted(texts), list(map(str, settings))]
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def as_json(study: Study) -> str:
    """The key's text."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "study": study.id,
        "signature": study.signature,
        "protocol": study.protocol.raw,
        "language": study.language,
        "per_item": study.per_item,
        "systems": study.systems,
        "contexts": [asdict(each) for each in study.contexts],
        "judged": [asdict(each) for each in study.judged],
        "equal": study.equal,
        "assigned": study.assigned,
        "raters": {name: [asdict(task) for task in tasks] for name, tasks in study.raters.items()},
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def write_study(study: Study, folder: Path, pages: Mapping[str, str]) -> None:
    """All files of a study, by name, the key last; InputError where the folder already has a study."""
    if (folder / KEY).exists():
        raise InputError(
            f"{folder} holds a study, whose pages may be with raters already; remedy: another --out, or remove that one"
        )
    files = {**pages, KEY: as_json(study)}
    with written_together([folder / name for name in files]) as opened:
        for file, content in zip(opened, files.values(), strict=True):
            file.write(content)


def read_key(path: Path) -> Study:
    """The study of a key; InputError where the file is another or damaged."""
    try:
        found = read_json(path)
        if found["format"] != FORMAT or found["version"] != VERSION:
            raise ValueError("another format")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: invalid UTF-8 at byte {error.start}; remedy: the key.json that `sheets` wrote"
        ) from None
    except OTHER_FORM:
        raise InputError(f"{path}: not the key of a study; remedy: the key.json that `sheets` wrote") from None
    protocol = of_key(found.get("protocol"), str(path))
    try:
        study = _study(found, protocol)
        _check(study)
    except OTHER_FORM as error:
        raise InputError(f"{path}: damaged ({str(error)[:100]}); remedy: the key.json that `sheets` wrote") from None
    return study


def _study(found: dict[str, Any], protocol: Protocol) -> Study:
    return Study(
        id=text(found["study"]),
        protocol=protocol,
        language=text(found["language"]),
        systems=tuple(map(text, found["systems"])),
        contexts=tuple(
            Context(text(e["id"]), _texts(e["turns"]), _texts(e["profile"]), e["reference"] and text(e["reference"]))
            for e in found["contexts"]
        ),
        judged=tuple(
            Judged(text(e["id"]), whole(e["context"]), _texts(e["responses"]), tuple(_texts(s) for s in e["systems"]))
            for e in found["judged"]
        ),
        raters={text(name): tuple(map(_task, tasks)) for name, tasks in found["raters"].items()},
        assigned={text(name): tuple(map(whole, places)) for name, places in found["assigned"].items()},
        equal=tuple((whole(context), text(one), text(two)) for context, one, two in found["equal"]),
        per_item=whole(found["per_item"]),
        signature=text(found["signature"]),
    )


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list):
        raise TypeError("a list is missing")
    return tuple(map(text, values))


def _task(e: dict[str, Any]) -> Task:
    of, expects = (None if e[name] is None else text(e[name]) for name in ("of", "expects"))
    return Task(
        text(e["item"]), whole(e["context"]), of, e["swapped"] is True, e["repeat"] is True, expects, text(e["text"])
    )


def _check(study: Study) -> None:
    """What every later step relies on."""
    ids = [each.id for each in study.judged]
    items = [task.item for tasks in study.raters.values() for task in tasks]
    if not ids or len({*ids}) != len(ids) or len({*items}) != len(items) or len({*study.systems}) != len(study.systems):
        raise ValueError("ids are missing or stand twice")
    known = {*ids}
    width = 2 if study.protocol.pairwise else 1
    for each in study.judged:
        if len(each.responses) != width or len(each.systems) != width or not all(each.systems):
            raise ValueError(f"{each.id}: another number of responses")
        if not {name for names in each.systems for name in names} <= {*study.systems}:
            raise ValueError(f"{each.id}: a system of no name")
        _check_place(each.context, study)
    for task in (task for tasks in study.raters.values() for task in tasks):
        _check_place(task.context, study)
        if (task.expects not in (LOWEST, HIGHEST)) if task.of is None else (task.of not in known):
            raise ValueError(f"{task.item}: what it shows is missing")
    for context, one, two in study.equal:
        _check_place(context, study)
        if one not in study.systems or two not in study.systems:
            raise ValueError("equal responses of a system of no name")
    if study.assigned.keys() != study.raters.keys():
        raise ValueError("contexts are assigned to other raters")
    if study.language not in study.protocol.languages():
        raise ValueError(f"the protocol has no words in {study.language!r:.20}")
    if not study.raters or study.per_item < 1:
        raise ValueError("no raters")


def _check_place(context: int, study: Study) -> None:
    if not 0 <= context < len(study.contexts):
        raise ValueError(f"there is no context {context}")
