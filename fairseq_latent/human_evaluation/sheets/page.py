"""A rater's page: one HTML file that holds all it needs, asks for nothing, and knows no system's name."""

import base64
import hashlib
import json
import tomllib
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from ..study import Study, Task

HERE = Path(__file__).parent
RATINGS, VERSION = "fairseq-latent ratings", 1  # the form of what the page saves


def page(study: Study, rater: str) -> str:
    """The HTML. Its script runs by its hash alone, and nothing is loaded, whatever a text holds."""
    style, script = _source("page.css"), _source("page.js")
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{_digest(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return _template().render(
        language=study.language,
        policy=policy,
        words=words(study.language),
        rater=rater,
        style=style,
        script=script,
        data=_data(study, rater),
    )


def words(language: str) -> dict[str, str]:
    """Those of the page, in one language."""
    return _all_words()[language]


@cache
def _all_words() -> dict[str, dict[str, str]]:
    return tomllib.loads(_source("interface.toml"))


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.j2")


@cache
def _source(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _data(study: Study, rater: str) -> str:
    """JSON that no text of it can leave: < > & and the line ends of JavaScript are escapes."""
    tasks = study.raters[rater]
    places: dict[int, int] = {}  # contexts in the order in which the rater meets them
    for task in tasks:
        places.setdefault(task.context, len(places))
    content = {
        "format": RATINGS,
        "version": VERSION,
        "study": study.id,
        "rater": rater,
        "pairwise": study.protocol.pairwise,
        "show_context": study.protocol.show_context,
        "criteria": [
            {
                "name": each.name,
                "title": each.wording[study.language].title,
                "question": each.wording[study.language].question,
                "values": each.values,
                "anchors": each.wording[study.language].anchors,
                "profile": each.show_profile,
            }
            for each in study.protocol.criteria
        ],
        "contexts": [
            {"turns": study.contexts[place].turns, "profile": study.contexts[place].profile} for place in places
        ],
        "items": [_item(study, task, places[task.context]) for task in tasks],
        "words": words(study.language),
    }
    text = json.dumps(content, ensure_ascii=False)
    escapes = {each: f"\\u{ord(each):04x}" for each in "<>&\u2028\u2029"}
    return "".join(escapes.get(each, each) for each in text)


def _item(study: Study, task: Task, context: int) -> dict[str, object]:
    return {"item": task.item, "context": context, "responses": study.shown(task)}
