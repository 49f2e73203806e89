"""Renders a report as one self-contained HTML file, or as Markdown with its pictures beside it."""

import base64
import re

from .report_content import Report
from .tables import escaped, render

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
    environment.filters["table"] = lambda table: render(*table, style="markdown")
    return environment.get_template("report.md.j2").render(report=report)


def markdown_text(text: str) -> str:
    """Words that must stay words: neither Markdown's marks nor HTML's tags mean anything in them."""
    return LINE_STARTS.sub(r"&#8203;\1", escaped(text.replace("\n", " "), "markdown"))


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
