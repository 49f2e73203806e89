"""Results as tables (text, Markdown, LaTeX), as JSON, and beside a paper's numbers."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fairseq_latent.errors import InputError, printable
from fairseq_latent.evaluation.metrics.bootstrap import LEVEL
from fairseq_latent.evaluation.tables import Column, Estimate, Value, escaped, render
from fairseq_latent.text.json_values import OTHER_FORM, number, read_json

from ..published import PAPERS
from .analysis import Results
from .correlation import MetricCorrelation

FORMAT = "fairseq-latent agreement"
Table = tuple[str, list[Column], list[list[Value]]]
HEADINGS = {"text": "{}", "markdown": "### {}", "latex": "% {}"}


def as_text(results: Results, style: str, baseline: str, metrics: Sequence[MetricCorrelation] = ()) -> str:
    """All tables, each under its heading, and the notes; `style`: text, markdown or latex."""
    tables = [_means(results, baseline), _tests(results), _agreement(results), _raters(results)]
    if results.data.pairs:
        tables.insert(1, _shares(results))
    if metrics:
        tables.append(_metrics(metrics))
    parts = []
    for heading, columns, rows in tables:
        parts.append(f"{HEADINGS[style].format(escaped(heading, style))}\n\n{render(columns, rows, style)}")
    if style == "latex":
        parts.insert(0, r"% needs \usepackage{booktabs}")
    marks = {"text": "", "markdown": "- ", "latex": "% "}
    notes = "\n".join(f"{marks[style]}{escaped(printable(note), style)}" for note in _notes(results, baseline, metrics))
    return "\n\n".join([*parts, notes])


def _means(results: Results, baseline: str) -> Table:
    decimals = results.study.protocol.decimals
    pairwise = bool(results.data.pairs)
    heading = "Preference: wins minus losses of the first system" if pairwise else "Means"
    columns = [Column("pair" if pairwise else "system"), *(Column(name, decimals) for name in results.columns)]
    rows: list[list[Value]] = []
    for row, means in results.means.items():
        cells: list[Value] = [row]
        for name in results.columns:
            found = means[name]
            cells.append(Estimate(found.value, found.interval, _significant(results, row, name, baseline)))
        rows.append([*cells, float(min(each.ratings for each in means.values()))])
    return heading, [*columns, Column("ratings", 0)], rows


def _significant(results: Results, row: str, name: str, baseline: str) -> bool:
    for test in results.tests[name]:
        pair = f"{test.first} : {test.second}" if results.data.pairs else None
        if pair == row or (pair is None and {test.first, test.second} == {row, baseline}):
            return test.wilcoxon_holm < LEVEL
    return False


def _shares(results: Results) -> Table:
    columns = [Column("pair"), Column("criterion"), *(Column(name, 1) for name in ("first, %", "tie, %", "second, %"))]
    rows: list[list[Value]] = [
        [row, name, 100 * share.first, 100 * share.tie, 100 * share.second, float(share.ratings)]
        for row, named in results.shares.items()
        for name, share in named.items()
    ]
    return "Which was preferred", [*columns, Column("judgements", 0)], rows


def _tests(results: Results) -> Table:
    heads = ("Wilcoxon p", "Holm", "permutation p", "Holm (permutation)")
    columns = [Column("systems"), Column("criterion"), Column("contexts", 0), Column("difference", 3)]
    columns += [Column(head, 4) for head in heads]
    rows: list[list[Value]] = [
        [
            f"{test.first} - {test.second}", name, float(test.contexts), test.difference, test.wilcoxon,
            Estimate(test.wilcoxon_holm, None, test.wilcoxon_holm < LEVEL), test.permutation, test.permutation_holm,
        ]
        for name, tests in results.tests.items()
        for test in tests
    ]  # fmt: skip
    return "Paired tests over contexts", columns, rows


def _agreement(results: Results) -> Table:
    heads = ("items, complete", "kappa, complete", "items, 2 raters or more", "kappa, unequal")
    columns = [Column("criterion"), *(Column(head, 3 * (place % 2)) for place, head in enumerate(heads))]
    columns += [Column("alpha, ordinal", 3), Column("Pearson", 3), Column("Spearman", 3), Column("pairs of raters", 0)]
    rows: list[list[Value]] = [
        [
            each.criterion, float(each.complete.items), each.complete.kappa, float(each.unequal.items), each.unequal.kappa,
            each.alpha, each.pearson, each.spearman, float(each.pairs),
        ]
        for each in results.agreement
    ]  # fmt: skip
    return "Agreement of raters", columns, rows


def _raters(results: Results) -> Table:
    columns = [
        Column("rater"), Column("rated"), Column("s per item", 1), Column("with others", 2), Column("bias", 2),
        Column("same twice, %", 0), Column("apart", 2), Column("checks"), Column("remarks"),
    ]  # fmt: skip
    rows: list[list[Value]] = []
    for each in results.raters:
        remarks = [*each.remarks, *(["left out"] if each.name in results.left_out else [])]
        rows.append([
            each.name, f"{each.rated} of {each.assigned}", each.seconds, each.with_others, each.bias,
            None if each.same is None else 100 * each.same, each.apart,
            f"{each.checks_passed} of {each.checks}" if each.checks else None, "; ".join(remarks) or None,
        ])  # fmt: skip
    return "Raters", columns, rows


def _metrics(metrics: Sequence[MetricCorrelation]) -> Table:
    columns = [
        Column("metric"), Column("criterion"), Column("over"), Column("n", 0), Column("Spearman", 3), Column("Kendall", 3)
    ]  # fmt: skip
    rows: list[list[Value]] = [
        [
            each.metric, each.criterion, each.over, float(each.count), Estimate(_nan(each.spearman), each.spearman_interval),
            Estimate(_nan(each.kendall), each.kendall_interval),
        ]
        for each in metrics
    ]  # fmt: skip
    return "Automatic metrics and raters", columns, rows


def _nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _notes(results: Results, baseline: str, metrics: Sequence[MetricCorrelation]) -> list[str]:
    notes = list(results.notes)
    notes += [f"{name}: left out of all tables but that of raters" for name in results.left_out]
    if any(found.interval for means in results.means.values() for found in means.values()):
        notes.append(
            "±: half of the 95 % interval of a bootstrap over contexts and raters; --format json has both ends"
        )
    against = "no preference" if results.data.pairs else baseline
    notes.append(f"*: p < {LEVEL} against {against}, Wilcoxon, two-sided, Holm-corrected over all pairs of a criterion")
    notes.append(
        "kappa, complete: Fleiss' kappa of the items that all their raters judged; kappa, unequal: of all items with two "
        "ratings or more, each with its own number of raters; alpha: Krippendorff's; Pearson, Spearman: means over pairs of "
        "raters"
    )
    merged = sum(len(names) - 1 for each in results.study.judged for names in each.systems)
    if merged and not results.data.pairs:
        notes.append(f"{merged} responses equal another system's to the same context: judged once, they count for both")
    if metrics:
        notes.append(
            "metrics over items: of single responses; over systems: of score's JSON, contexts of raters resampled"
        )
    paper = PAPERS.get(results.study.protocol.name)
    if paper:
        notes.append(f"{paper.paper} reports: {paper.agreement}")
    return [*notes, results.signature]


def as_json(results: Results, metrics: Sequence[MetricCorrelation] = ()) -> str:
    """Everything, for programs and for `report`."""
    content = {
        "format": FORMAT,
        "version": 1,
        "study": results.study.id,
        "protocol": results.study.protocol.name,
        "signature": results.signature,
        "decimals": results.study.protocol.decimals,
        "criteria": results.columns,
        "means": {row: {name: asdict(found) for name, found in means.items()} for row, means in results.means.items()},
        "preferences": {row: {name: asdict(s) for name, s in named.items()} for row, named in results.shares.items()},
        "tests": {name: [asdict(test) for test in tests] for name, tests in results.tests.items()},
        "agreement": [asdict(each) for each in results.agreement],
        "raters": [asdict(each) for each in results.raters],
        "left_out": results.left_out,
        "metrics": [asdict(each) for each in metrics],
        "notes": results.notes,
    }
    return json.dumps(_without_nan(content), ensure_ascii=False, indent=2)


def _without_nan(value: Any) -> Any:
    """JSON knows no NaN."""
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, Mapping):
        return {key: _without_nan(each) for key, each in value.items()}
    return [_without_nan(each) for each in value] if isinstance(value, list | tuple) else value


def beside_the_paper(path: str | Path) -> tuple[list[Column], list[list[Value]], str]:
    """Columns, rows and a note of a report's section: the means of an agreement's JSON, then the paper's own.

    Rows of the paper begin with its name in the second column; of a protocol without a paper there are none of them.
    InputError where the file is no such JSON.
    """
    try:
        found = read_json(path)
        if found["format"] != FORMAT:
            raise ValueError("another format")
        criteria = [str(name) for name in found["criteria"]]
        decimals = min(6, max(0, int(number(found["decimals"]))))
        rows: list[list[Value]] = []
        for system, means in found["means"].items():
            rows.append([system, "here", *(_estimate(means[name]) for name in criteria)])
        protocol, alike = str(found["protocol"]), [str(each["criterion"]) for each in found["agreement"]]
        note = "; ".join(
            f"{name}: Fleiss' kappa {_shown(each['unequal']['kappa'])}, alpha {_shown(each['alpha'])}, "
            f"Pearson {_shown(each['pearson'])}"
            for name, each in zip(alike, found["agreement"], strict=True)
        )
    except OTHER_FORM:
        raise InputError(
            f"{path}: not what `agreement --format json` writes; remedy: --format json --out {path}"
        ) from None
    paper = PAPERS.get(protocol)
    if paper is not None:
        places = [paper.criteria.index(name) if name in paper.criteria else None for name in criteria]
        for system, values in paper.values.items():
            rows.append([system, paper.paper, *(None if place is None else values[place] for place in places)])
        note = f"{note}; {paper.paper}: {paper.agreement}"
    columns = [Column("system"), Column("rated"), *(Column(name, decimals) for name in criteria)]
    return columns, rows, note


def _estimate(found: Any) -> Value:
    if found["value"] is None:
        return None
    ends = found["interval"]
    return Estimate(
        float(number(found["value"])), None if ends is None else (float(number(ends[0])), float(number(ends[1])))
    )


def _shown(value: Any) -> str:
    return "–" if value is None else f"{number(value):.2f}"
