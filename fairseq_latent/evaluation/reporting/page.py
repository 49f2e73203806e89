"""Renders a report as one self-contained HTML file, or as Markdown with its pictures beside it.

Names, responses and titles are anybody's text: shown as it is, whatever it means to HTML, Markdown or a terminal.
"""

import base64
import re
from dataclasses import dataclass

from fairseq_latent.errors import InputError, printable

from ..tables import SIGNIFICANT, Column, Estimate, Value, escaped, render
from .content import Report
from .tables import Table


def marks(name: str) -> tuple[str, str]:
    """The lines before and after the part."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def with_part(text: str, name: str, part: str, title: str) -> str:
    """The page with `part` between its marks; a page without marks gets them at its end, an empty one `title` first."""
    begin, end = marks(name)
    if (begin in text) != (end in text):
        raise InputError(f"the page has one of the two marks {begin} and {end}; remedy: both, or none")
    if begin not in text:
        text = f"{text or title}{begin}\n{end}\n"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{part}\n\n{end}{after}"


LINE_STARTS = re.compile(r"^(\s*(?:[-+>]|\d+[.)]|={2,}))")
ADDRESSES = re.compile(r"(?<=[a-z])(:)(?=//)|(?<=www)(\.)", re.IGNORECASE)  # GitHub would make links of them
# No script runs and nothing is loaded, even if a text found its way around the escaping; no icon is asked for either.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True)
class Cell:
    """A value of an HTML table, in the parts that look different."""

    text: str
    margin: str = ""
    mark: str = ""


def cell(column: Column, value: Value) -> Cell:
    """A number with half of its interval's width, or words."""
    if not isinstance(value, Estimate) or not (spreads := column.spreads(value)):
        return Cell(column.cell(value))
    return Cell(column.cell(value.value), " ".join(spreads), SIGNIFICANT if value.significant else "")


def as_html(report: Report) -> str:
    """Nothing outside the file is needed to read it: pictures and style are inside, and there is no script."""
    environment = _environment(autoescape=True, finalize=_one_line)
    environment.filters["data_uri"] = lambda png: "data:image/png;base64," + base64.b64encode(png).decode()
    environment.globals["cell"] = cell
    return environment.get_template("report.html.j2").render(report=report, policy=POLICY)


def as_markdown(report: Report) -> str:
    """The same for a repository's page."""
    environment = _environment(autoescape=False)
    environment.filters["text"] = markdown_text
    environment.filters["line"] = printable
    environment.filters["table"] = _markdown_table
    return environment.get_template("report.md.j2").render(report=report)


def markdown_text(text: str) -> str:
    """Words that must stay words: neither Markdown's marks nor HTML's tags mean anything in them, nor addresses."""
    flat = escaped(" ".join(text.split()), "markdown")
    flat = ADDRESSES.sub(lambda found: f"&#{ord(found[0])};", flat)
    return LINE_STARTS.sub(r"&#8203;\1", flat)


def _markdown_table(table: Table) -> str:
    columns = [
        Column(f"{column.header} (reported)", column.decimals)
        if column.header in table.reported and "reported" not in column.header
        else column
        for column in table.columns
    ]
    return render(columns, table.rows, "markdown")


def _one_line(value):
    """Control characters and turned writing direction become visible; what is markup already stays."""
    return printable(value) if type(value) is str else value


def _environment(autoescape: bool, finalize=None):
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("fairseq_latent.evaluation.reporting", "."),
        autoescape=autoescape,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
