"""A rater's sheet: the same items as TSV for a spreadsheet. What a cell holds is text, never a formula."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairseq_latent.errors import InputError

from ..study import Study
from .page import words

FORMULA = "=+-@\t\r'"  # what a spreadsheet takes for a formula, and our own mark against it
MARK = "'"
BOMS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb\xbf": "utf-8-sig"}
LARGEST_CELL = 1 << 20  # characters


@dataclass(frozen=True)
class SheetRow:
    """A row that a rater filled in: column -> text, and its line in the file."""

    line: int
    cells: dict[str, str]


def header(study: Study) -> list[str]:
    """The columns: what is shown, then one for each criterion; a profile stands before the first criterion that shows it."""
    shown = ["context"] * study.protocol.show_context
    shown += ["response", "response B"] if study.protocol.pairwise else ["response"]
    found = ["study", "rater", "item", *shown]
    for criterion in study.protocol.criteria:
        if criterion.show_profile and "profile" not in found:
            found.append("profile")
        found.append(criterion.name)
    return [*found, "comment"]


def sheet(study: Study, rater: str) -> str:
    """The TSV, with empty cells for the ratings."""
    columns = header(study)
    file = io.StringIO()
    writer = csv.writer(file, delimiter="\t", lineterminator="\n")
    writer.writerow(map(as_text, columns))
    for task in study.raters[rater]:
        context = study.contexts[task.context]
        texts = study.shown(task)
        cells = {"study": study.id, "rater": rater, "item": task.item, "response": texts[0], "response B": texts[-1]}
        cells["context"] = _chat(context.turns, study.language)
        cells["profile"] = " / ".join(context.profile)
        writer.writerow(as_text(cells.get(column, "")) for column in columns)
    return file.getvalue()


def as_text(cell: str) -> str:
    """A cell that no spreadsheet computes."""
    return MARK + cell if cell[:1] and cell[0] in FORMULA else cell


def same_text(cell: str, text: str) -> bool:
    """Whether a cell still holds the text; spreadsheets drop the mark, spaces at the ends, and change line ends."""
    return _bare(cell) == _bare(text)


def read_sheet(path: Path) -> tuple[list[str], list[SheetRow]]:
    """The columns and the rows that hold anything, of UTF-8 or of what a spreadsheet calls Unicode text (UTF-16)."""
    raw = path.read_bytes()
    encoding = BOMS.get(raw[:2]) or BOMS.get(raw[:3]) or "utf-8"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: no text at byte {error.start}; remedy: save the sheet as UTF-8, with tabs") from None
    rows = list(_rows(path, text))
    if not rows:
        raise InputError(f"{path}: the sheet is empty; remedy: the sheet that `sheets` wrote, filled in")
    columns = [cell.removeprefix(MARK).strip() for cell in rows[0][1]]
    found = []
    for line, cells in rows[1:]:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
            raise InputError(
                f"{path}: line {line}: {len(cells)} cells under {len(columns)} columns; remedy: save it with tabs"
            )
        found.append(SheetRow(line, dict(zip(columns, cells, strict=False))))
    return columns, found


def _rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(LARGEST_CELL)
    reader = csv.reader(io.StringIO(text.replace("\0", "\N{REPLACEMENT CHARACTER}")), delimiter="\t")
    begun = 1
    try:
        for cells in reader:
            yield begun, cells
            begun = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{path}: line {begun}: no table ({error}); remedy: save the sheet as text with tabs"
        ) from None


def _chat(turns: Sequence[str], language: str) -> str:
    names = words(language)
    last = len(turns) - 1
    lines = (f"{names['other' if (last - place) % 2 == 0 else 'self']}: {turn}" for place, turn in enumerate(turns))
    return "\n".join(lines)


def _bare(text: str) -> str:
    return " ".join(text.strip().removeprefix(MARK).split())
