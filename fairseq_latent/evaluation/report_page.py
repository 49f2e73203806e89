"""Renders a report as one self-contained HTML file, or as Markdown with its pictures beside it."""

import base64
import html
import re

from .report_content import Report
from .report_tables import Table
from .tables import render

MARKDOWN_MARKS = re.compile(r"([\\`*_\[\]|~#$])")
LINE_STARTS = re.compile(r"^(\s*(?:[-+>]|\d+[.)]|={2,}))")


def as_html(report: Report) -> str:
    """Nothing outside the file is needed to read it: pictures and style are inside, and there is no script."""
    environment = _environment(autoescape=True)
    environment.filters["data_uri"] = lambda png: "data:image/png;base64," + base64.b64encode(png).decode()
    environment.filters["table"] = lambda table: _safe(render(*table, style="html"))
    return environment.get_template("report.html.j2").render(report=report)


def as_markdown(report: Report) -> str:
    """The same for a repository's page."""
    environment = _environment(autoescape=False)
    environment.filters["text"] = markdown_text
    environment.filters["table"] = _markdown_table
    return environment.get_template("report.md.j2").render(report=report)


def markdown_text(text: str) -> str:
    """Words that must stay words: neither Markdown's marks nor HTML's tags mean anything in them."""
    escaped = html.escape(MARKDOWN_MARKS.sub(r"\\\1", text.replace("\n", " ")), quote=False)
    return LINE_STARTS.sub(r"&#8203;\1", escaped)


def _markdown_table(table: Table) -> str:
    """`render` itself escapes what would end a cell."""
    columns, rows = table
    safe = [[html.escape(cell, quote=False) if isinstance(cell, str) else cell for cell in row] for row in rows]
    return render(columns, safe, "markdown")


def _environment(autoescape: bool):
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("fairseq_latent.evaluation", "."),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _safe(markup: str):
    """tabulate has escaped the cells."""
    from markupsafe import Markup

    return Markup(markup)
