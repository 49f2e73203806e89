"""One table, four renderings (text, Markdown, HTML, LaTeX): numbers to the right, missing values as a dash.

Whatever a name or a text holds (control characters, terminal escapes, markup of any of the four) is shown as text.
"""

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fairseq_latent.errors import printable

FORMATS = {"text": "simple", "markdown": "pipe", "html": "html", "latex": None}  # None: tabulate would escape formulas
MISSING = "–"
SIGNIFICANT = "*"

MARKDOWN_MARKS = re.compile(r"([\\`*\[\]|~#$]|(?<!\w)_|_(?!\w))")  # an underscore inside a word marks nothing
LATEX_MARKS = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    "[": "{[}",  # at a line's beginning it would belong to the line break before, as would the star
    "*": "{*}",
    MISSING: "--",
}


@dataclass(frozen=True)
class Estimate:
    """A number, its 95 % interval, and whether it differs significantly from the baseline's.

    deviation: of a mean over seeds their standard deviation.
    """

    value: float
    interval: tuple[float, float] | None = None
    significant: bool = False
    deviation: float | None = None


Value = float | str | Estimate | None


HUGE = 1e7  # from here on a power of ten says more than digits


def decimal(value: float, places: int) -> str:
    """A number with so many decimals, in which nothing is no -0.00."""
    shown = f"{value:.{places}f}"
    return shown if float(shown) else shown.removeprefix("-")


@dataclass(frozen=True)
class Column:
    """A header, and the decimals of its numbers; None for a column of words."""

    header: str
    decimals: int | None = None

    def cell(self, value: Value, style: str = "text") -> str:
        """A value as it is printed; the interval as ± half its width, then the standard deviation over seeds."""
        estimate = value if isinstance(value, Estimate) else Estimate(value)
        if estimate.value is None or estimate.value != estimate.value:
            return escaped(MISSING, style)
        if self.decimals is None:
            return escaped(str(estimate.value), style)
        number = decimal(estimate.value, self.decimals) if abs(estimate.value) < HUGE else f"{estimate.value:.1e}"
        spreads = self.spreads(estimate)
        return SPREADS[style](number, spreads, SIGNIFICANT if estimate.significant else "")

    def spreads(self, estimate: Estimate) -> list[str]:
        """±, of the interval, and sd, over seeds: what there is."""
        found = []
        if estimate.interval is not None:
            low, high = estimate.interval
            found.append(f"±{(high - low) / 2:.{self.decimals}f}")
        if estimate.deviation is not None:
            found.append(f"sd {estimate.deviation:.{max(1, self.decimals or 0)}f}")
        return found


def _text_spreads(number: str, spreads: Sequence[str], mark: str) -> str:
    """A line each, so that a table with intervals is no wider; the mark in front, so that decimals stay aligned."""
    return "\n".join([f"{mark}{number}", *spreads])


def _inline_spreads(number: str, spreads: Sequence[str], mark: str) -> str:
    return " ".join([f"{number}{mark}", *spreads])


def _latex_spreads(number: str, spreads: Sequence[str], mark: str) -> str:
    subscript = r",\ ".join(each.replace("±", r"\pm ").replace("sd", r"\mathrm{sd}") for each in spreads)
    return f"${number}{mark and f'^{{{mark}}}'}{subscript and f'_{{{subscript}}}'}$"


SPREADS: dict[str, Callable[[str, Sequence[str], str], str]] = {
    "text": _text_spreads,
    "markdown": lambda number, spreads, mark: _inline_spreads(number, spreads, mark and f"\\{mark}"),
    "html": _inline_spreads,
    "latex": _latex_spreads,
}


def render(columns: Sequence[Column], rows: Sequence[Sequence[Value]], style: str = "text") -> str:
    """Render rows of values, one a column; `style` is a key of FORMATS."""
    cells = [[column.cell(value, style) for column, value in zip(columns, row, strict=True)] for row in rows]
    headers = [escaped(column.header, style) for column in columns]
    sides = ["left" if column.decimals is None else "right" for column in columns]
    if style == "latex":
        return _booktabs(headers, cells, "".join(side[0] for side in sides))
    from tabulate import tabulate

    return tabulate(
        cells,
        headers=headers,
        tablefmt=FORMATS[style],
        colalign=sides if cells else None,
        disable_numparse=True,
    )


def _booktabs(headers: Sequence[str], cells: Sequence[Sequence[str]], sides: str) -> str:
    lines = [" & ".join(row) + r" \\" for row in [headers, *cells]]
    return "\n".join(
        [rf"\begin{{tabular}}{{{sides}}}", r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
        + [r"\end{tabular}"]
    )


def escaped(text: str, style: str) -> str:
    """Text that must stay text, in a table or beside it."""
    text = printable(text)
    if style == "markdown":
        return html.escape(MARKDOWN_MARKS.sub(r"\\\1", text), quote=False)
    if style == "latex":
        marked = "".join(LATEX_MARKS.get(character, character) for character in text)
        return marked if text == MISSING else re.sub("-(?=-)", "-{}", marked)  # two hyphens would become a dash
    return text  # tabulate escapes HTML itself


def markdown_code(text: str) -> str:
    """A code span, whatever backticks the text holds."""
    text = printable(text)
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{fence}{text}{fence}" if len(fence) == 1 else f"{fence} {text} {fence}"
