"""Reads what raters sent back, pages' JSON and filled-in sheets, and checks every rating against the study's key.

Raters send late, in part and twice: of one item's ratings by one rater the newest counts. What does not belong to the study,
is off the scale or was given to a changed text is rejected with its file and line.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fairseq_latent.errors import InputError
from fairseq_latent.text.json_values import OTHER_FORM, loads, number, text, whole

from .sheets.page import RATINGS, VERSION
from .sheets.spreadsheet import SheetRow, header, read_sheet, same_text
from .study import KEY, Study, Task

PAIR_VALUES = {"a": 1, "b": 2, "tie": 0, "=": 0}  # what people write into a sheet of preferences


@dataclass(frozen=True)
class Rating:
    """One item by one rater. time: seconds since 1970, of the rating or of its sheet. seconds: spent on it, if known."""

    rater: str
    task: Task
    scores: dict[str, int]
    time: float
    seconds: float | None
    file: Path


@dataclass(frozen=True)
class Returned:
    """All ratings that count, and notes on what was done with the files."""

    ratings: tuple[Rating, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _File:
    path: Path
    rater: str
    browsers: frozenset[str]
    ratings: tuple[Rating, ...]


def read_ratings(study: Study, paths: Iterable[Path]) -> Returned:
    """Read all files; of each rater and item the newest rating with scores counts."""
    files = [found for path in paths for found in _read(study, path)]
    if not any(file.ratings for file in files):
        raise InputError(
            "no ratings in these files; remedy: ratings.RATER.json of the pages, or filled-in sheet.RATER.tsv"
        )
    _check_one_person_a_name(files)
    newest: dict[str, Rating] = {}
    replaced: dict[str, int] = {}
    for rating in sorted((rating for file in files for rating in file.ratings), key=lambda each: each.time):
        before = newest.get(rating.task.item)
        if before is not None and before.scores != rating.scores:
            replaced[rating.rater] = replaced.get(rating.rater, 0) + 1
        newest[rating.task.item] = rating
    notes = [
        f"{rater}: {count} ratings were replaced by newer ones of the same item" for rater, count in replaced.items()
    ]
    for rater, tasks in study.raters.items():
        done = sum(task.item in newest for task in tasks)
        partly = sum(
            len(newest[task.item].scores) < len(study.protocol.criteria) for task in tasks if task.item in newest
        )
        if done < len(tasks) or partly:
            more = f", {partly} of them in part" if partly else ""
            notes.append(f"{rater}: {done} of {len(tasks)} items rated{more}")
    order = {task.item: place for tasks in study.raters.values() for place, task in enumerate(tasks)}
    counted = sorted(newest.values(), key=lambda each: (each.rater, order[each.task.item]))
    return Returned(tuple(counted), tuple(notes))


def files_of(folder: Path) -> list[Path]:
    """JSON files of ratings and TSV sheets of a folder, by name; the key is none of them."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; remedy: the folder that `sheets` wrote, with the ratings in it")
    return sorted(path for path in folder.iterdir() if path.suffix in (".json", ".tsv") and path.name != KEY)


def _read(study: Study, path: Path) -> list[_File]:
    if path.suffix == ".tsv":
        return _read_sheet(study, path)
    try:
        content = path.read_text(encoding="utf-8-sig")
        found = loads(content)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: invalid UTF-8 at byte {error.start}; remedy: the file as the page saved it"
        ) from None
    except ValueError as error:
        where = f"line {error.lineno}: " if hasattr(error, "lineno") else ""
        raise InputError(f"{path}: {where}not JSON; remedy: the file as the page saved it") from None
    if not isinstance(found, dict) or found.get("format") != RATINGS:
        return []  # somebody else's JSON, such as scores
    return [_read_page(study, path, found, content)]


def _read_page(study: Study, path: Path, found: dict[str, Any], content: str) -> _File:
    _check_study(study, str(path), found.get("study"))
    rater = _rater(study, str(path), found.get("rater"))
    try:
        if whole(found["version"]) != VERSION:
            raise ValueError("another version")
        browsers, rows = frozenset(map(text, found["browsers"])), found["ratings"]
        if not isinstance(rows, list):
            raise TypeError("ratings are no list")
    except OTHER_FORM:
        raise InputError(f"{path}: damaged; remedy: the file as the page saved it") from None
    tasks = {task.item: task for task in study.raters[rater]}
    ratings = []
    for place, row in enumerate(rows):
        where = _Where(path, content, place, row)
        task = _task(study, rater, tasks, row.get("item") if isinstance(row, dict) else None, where)
        ratings.append(_of_page(study, rater, task, row, where))
    return _File(path, rater, browsers, tuple(rating for rating in ratings if rating.scores))


@dataclass(frozen=True)
class _Where:
    """A rating's place in its file, for an error."""

    path: Path
    content: str
    place: int
    row: object

    def __str__(self) -> str:
        item = self.row.get("item") if isinstance(self.row, dict) else None
        if isinstance(item, str) and item:
            for line, words in enumerate(self.content.splitlines(), start=1):
                if f'"{item}"' in words:
                    return f"{self.path}: line {line}"
        return f"{self.path}: rating {self.place + 1}"


def _of_page(study: Study, rater: str, task: Task, row: dict[str, Any], where: _Where) -> Rating:
    try:
        given = row["scores"]
        scores = {text(name): whole(value) for name, value in given.items()}
        shown = list(map(text, row["responses"]))
        seconds = float(number(row["seconds"]))
        time = datetime.fromisoformat(row["time"]).timestamp()
    except OTHER_FORM:
        raise InputError(f"{where}: a damaged rating; remedy: the file as the page saved it") from None
    if shown != list(study.shown(task)):
        raise InputError(f"{where}: the response is not the study's; remedy: the page as `sheets` wrote it")
    _check_scores(study, scores, where)
    return Rating(rater, task, scores, time, max(0.0, seconds), where.path)


def _read_sheet(study: Study, path: Path) -> list[_File]:
    columns, rows = read_sheet(path)
    needed = [name for name in header(study) if name != "comment"]
    missing = [name for name in needed if name not in columns]
    if missing:
        raise InputError(
            f"{path}: line 1: no column {missing[0]!r}; remedy: the columns of sheet.RATER.tsv, with tabs between cells"
        )
    time = path.stat().st_mtime
    found: dict[str, list[Rating]] = {}
    seen: set[str] = set()
    for row in rows:
        where = f"{path}: line {row.line}"
        _check_study(study, where, row.cells.get("study"))
        rater = _rater(study, where, row.cells.get("rater", "").strip())
        tasks = {task.item: task for task in study.raters[rater]}
        task = _task(study, rater, tasks, row.cells.get("item", "").strip(), where)
        if task.item in seen:
            raise InputError(f"{where}: item {task.item} stands twice; remedy: one row for each item")
        seen.add(task.item)
        _check_texts(study, task, row, where)
        scores = {
            each.name: _cell(row.cells.get(each.name, ""), study, where, each.name) for each in study.protocol.criteria
        }
        given = {name: value for name, value in scores.items() if value is not None}
        _check_scores(study, given, where)
        if given:
            found.setdefault(rater, []).append(Rating(rater, task, given, time, None, path))
    return [_File(path, rater, frozenset(), tuple(ratings)) for rater, ratings in found.items()]


def _cell(cell: str, study: Study, where: str, name: str) -> int | None:
    words = cell.strip().removeprefix("'").strip()
    if not words:
        return None
    if study.protocol.pairwise and words.lower() in PAIR_VALUES:
        return PAIR_VALUES[words.lower()]
    if not re.fullmatch(r"[0-9]{1,4}(\.0+)?", words):
        raise InputError(f"{where}: {name} is {words[:40]!r}; remedy: one whole number")
    return int(float(words))


def _check_texts(study: Study, task: Task, row: SheetRow, where: str) -> None:
    texts = study.shown(task)
    columns = ("response", "response B") if study.protocol.pairwise else ("response",)
    for column, shown in zip(columns, texts, strict=True):
        if not same_text(row.cells.get(column, ""), shown):
            raise InputError(
                f"{where}: the {column} is not the study's, {shown[:60]!r}; remedy: restore that cell from the sheet"
            )


def _check_study(study: Study, where: str, name: object) -> None:
    if name != study.id:
        shown = name[:20] if isinstance(name, str) else name
        raise InputError(
            f"{where}: of study {shown!r}, not {study.id!r}; remedy: take the file out, or name its own key"
        )


def _rater(study: Study, where: str, name: object) -> str:
    if not isinstance(name, str) or name not in study.raters:
        shown = name[:40] if isinstance(name, str) else name
        raise InputError(
            f"{where}: the study has no rater {shown!r}; remedy: one of {', '.join(list(study.raters)[:9])}"
        )
    return name


def _task(study: Study, rater: str, tasks: dict[str, Task], item: object, where: object) -> Task:
    if not isinstance(item, str) or item not in tasks:
        shown = item[:40] if isinstance(item, str) else item
        owner = next((name for name, all_ in study.raters.items() if any(task.item == item for task in all_)), None)
        of = f"is {owner}'s, not {rater}'s" if owner else "is not of this study"
        raise InputError(f"{where}: item {shown!r} {of}; remedy: each rater's own page or sheet")
    return tasks[item]


def _check_scores(study: Study, scores: dict[str, int], where: object) -> None:
    scales = {each.name: each for each in study.protocol.criteria}
    for name, value in scores.items():
        if name not in scales:
            raise InputError(f"{where}: no criterion is called {name[:60]!r}; remedy: {', '.join(scales)}")
        if value not in scales[name].values:
            raise InputError(f"{where}: {name} is {value}, off its scale; remedy: {scales[name].allowed()}")


def _check_one_person_a_name(files: Sequence[_File]) -> None:
    """Two files of one rater from different browsers with different ratings of one item are two people's."""
    pages = [file for file in files if file.browsers]
    for place, one in enumerate(pages):
        for two in pages[place + 1 :]:
            if one.rater != two.rater or one.browsers & two.browsers:
                continue
            scores = {rating.task.item: rating.scores for rating in one.ratings}
            if any(scores.get(each.task.item, each.scores) != each.scores for each in two.ratings):
                raise InputError(
                    f"{one.path} and {two.path}: two raters under one name, {one.rater}: their browsers differ, and so do "
                    "their ratings; remedy: keep one of the files, or, if it is one person, load the older into the page "
                    "and save again"
                )
