"""Renders measured systems: a table with its notes for a reader (text, Markdown, LaTeX), or JSON for programs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fairseq_latent.errors import InputError, printable
from fairseq_latent.text.json_values import OTHER_FORM, number, read_json, text, whole

from ..metrics.bootstrap import LEVEL
from ..metrics.registry import SCORES
from ..metrics.response_metrics import Score
from ..metrics.system_scores import Comparison, Row, undersampled
from ..tables import Column, Estimate, markdown_code, render

NOTES = {  # how a format shows the lines below (LaTeX: above) its table
    "text": printable,
    "markdown": lambda note: f"- {markdown_code(note)}",
    "latex": lambda note: f"% {printable(note)}",
}

LATEX_HEAD = (
    r"% needs \usepackage{booktabs}",
    r"% where it is too wide: \footnotesize\setlength{\tabcolsep}{2pt} before it",
)


def as_text(rows: Sequence[Row], style: str = "text") -> str:
    """The table, the parts of each BLEU as multi-bleu.perl prints them, what the marks mean, and the signatures."""
    names = [name for name in SCORES if any(name in row.scores for row in rows) or name in ("BLEU", "F1")]
    columns = [Column("system"), *(SCORES[name].column() for name in names)]
    values = [[row.name, *(_estimate(row, name) for name in names)] for row in rows]
    signatures = {score.signature: None for name in names for row in rows if (score := row.scores.get(name))}
    notes = [NOTES[style](note) for note in [*_notes(rows), *signatures]]
    table = render(columns, values, style)
    if style == "latex":
        return "\n".join([*LATEX_HEAD, *notes, table]) + "\n"
    return "\n".join([table, "", *notes]) + "\n"


def _estimate(row: Row, name: str) -> Estimate | None:
    if name not in row.scores:
        return None
    p_values = row.comparison.p_values if row.comparison else {}
    return Estimate(row.scores[name].value, row.scores[name].interval, p_values.get(name, 1.0) < LEVEL)


def _notes(rows: Sequence[Row]) -> list[str]:
    notes = [_note(row) for row in rows if row.file is not None]
    if rows[0].file is not None:
        notes.append("no references, so neither BLEU nor F1; remedy: --reference FILE")
    if any(score.interval for row in rows for score in row.scores.values()):
        notes.append("±: half of the 95 % bootstrap interval; --format json has both ends")
        notes += [
            f"{row.name}: matched 4-grams: {row.scores['BLEU'].extra['matches'][3]}, so BLEU's interval means little, "
            "and there is no test of it; remedy: more contexts, or more references"
            for row in rows
            if "BLEU" in row.scores and undersampled(row.scores["BLEU"])
        ]
    if rows[0].contexts == 1:
        notes.append("one context has no spread, so no intervals; remedy: give more contexts")
    compared = [row for row in rows if row.comparison]
    if compared:
        notes.append(
            f"*: p < {LEVEL} against {compared[0].comparison.baseline}, two-sided, each number for itself: "
            "not corrected for how many there are"
        )
    return notes + [_comparison(row) for row in compared]


def _note(row: Row) -> str:
    note = f"{row.name}: {row.responses_measured} of {row.responses_given} responses to each of {row.contexts} contexts"
    if "P.Distance" in row.scores:
        parts = row.scores["P.Distance"].extra
        note += (
            f"; P.Distance: {parts['to_other_profiles']:.3f} to profiles of others, keywords in "
            f"{100 * parts['responses_with_keywords']:.1f} % of responses and "
            f"{100 * parts['profiles_with_keywords']:.1f} % of profiles"
        )
    if "BLEU" not in row.scores:
        return note
    bleu = row.scores["BLEU"]
    parts = bleu.extra
    precisions = "/".join(f"{precision:.1f}" for precision in parts["precisions"])
    return (
        f"{note}; BLEU = {bleu.value:.2f}, {precisions} (BP={parts['brevity_penalty']:.3f}, "
        f"ratio={parts['ratio']:.3f}, hyp_len={parts['hypothesis_words']}, ref_len={parts['reference_words']})"
    )


def _comparison(row: Row) -> str:
    """`signature` says how the numbers were made, so it stands with them."""
    found = row.comparison
    p_values = ", ".join(f"{name} {found.p_values[name]:.3f}" for name in SCORES if name in found.p_values)
    bleu = "" if found.sacrebleu_p is None else f"; BLEU by sacrebleu --paired-bs {found.sacrebleu_p:.3f}"
    return f"{row.name} against {found.baseline}, p: {p_values}{bleu} ({found.signature})"


def read_rows(path: str | Path, table: str = "rows") -> dict[str, Row]:
    """What `as_json` wrote, by the systems' names; table: `equal_length` is the one that may not be there."""
    try:
        found = read_json(path)
        rows = found["rows"] if table == "rows" else found.get(table, [])
        return {text(row["name"]): _row(row) for row in rows}
    except OTHER_FORM:
        raise InputError(f"{path}: these are no scores; remedy: fairseq-latent score … --format json") from None


def _row(found: Mapping[str, Any]) -> Row:
    """InputError's causes are OTHER_FORM."""
    scores = {name: _score(name, score) for name, score in found["scores"].items()}
    comparison = None
    if compared := found.get("comparison"):
        p_values = {name: number(p) for name, p in compared["p_values"].items()}
        comparison = Comparison(text(compared["baseline"]), p_values, text(compared["signature"]))
    counts = (whole(found.get(name, 0)) for name in ("contexts", "responses_given", "responses_measured"))
    settings = None if found.get("settings") is None else text(found["settings"])
    seeds = whole(found.get("seeds", 1))
    return Row(text(found["name"]), found.get("file"), *counts, scores, comparison, settings, seeds)


PARTS = {  # of a score that pages look at
    "BLEU": lambda extra: whole(extra["matches"][3]),
    "P.Distance": lambda extra: number(extra["to_other_profiles"]),
}


def _score(name: str, found: Mapping[str, Any]) -> Score:
    extra, ends = found["extra"], found.get("interval")
    PARTS.get(name, dict)(extra)
    if "sd" in extra:
        number(extra["sd"])
    interval = (number(ends[0]), number(ends[1])) if ends else None
    return Score(name, number(found["value"]), text(found["signature"]), extra, interval)


def as_json(rows: Sequence[Row], alike: Sequence[Row] = ()) -> str:
    """All rows with values, signatures, intervals, comparisons and parts, for programs; alike: those at equal length."""
    tables = {"rows": rows} | ({"equal_length": alike} if alike else {})
    content = {name: [asdict(row) for row in table] for name, table in tables.items()}
    lines = json.dumps(content, ensure_ascii=False, indent=2).split("\n")
    return "\n".join(map(printable, lines)) + "\n"  # \u and four digits is JSON's own escape
