"""One table, three renderings (text, Markdown, HTML): numbers to the right, missing values as a dash."""

from collections.abc import Sequence
from dataclasses import dataclass

FORMATS = {"text": "simple", "markdown": "pipe", "html": "html"}
MISSING = "–"


@dataclass(frozen=True)
class Column:
    """A header, and the decimals of its numbers; None for a column of words."""

    header: str
    decimals: int | None = None

    def cell(self, value: float | str | None) -> str:
        """A value as it is printed."""
        if value is None or value != value:
            return MISSING
        return f"{value:.{self.decimals}f}" if self.decimals is not None else str(value)


def render(columns: Sequence[Column], rows: Sequence[Sequence[float | str | None]], style: str = "text") -> str:
    """Render rows of values, one a column; `style` is a key of FORMATS."""
    from tabulate import tabulate

    cells = [[_escaped(column.cell(value), style) for column, value in zip(columns, row, strict=True)] for row in rows]
    return tabulate(
        cells,
        headers=[_escaped(column.header, style) for column in columns],
        tablefmt=FORMATS[style],
        colalign=["left" if column.decimals is None else "right" for column in columns] if cells else None,
        disable_numparse=True,
    )


def _escaped(text: str, style: str) -> str:
    """A `|` would end a Markdown cell; tabulate escapes HTML itself."""
    return text.replace("|", "\\|") if style == "markdown" else text
