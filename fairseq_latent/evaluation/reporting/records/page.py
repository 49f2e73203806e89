"""Tables of systems that are compared by their records, beside those of Cho et al. (2022)."""

from collections.abc import Sequence

from fairseq_latent.text.json_values import text

from ...analysis.sweep import MEASURES
from ...metrics.bootstrap import LEVEL, Bootstrap
from ...metrics.dialogues.sums import OVER_OTHERS, TO_OTHERS
from ...metrics.registry import METRICS
from ...tables import Column, Value, markdown_code, render
from ..comparisons import listed
from ..page import markdown_text
from ..published_results import CHO, CONVAI2
from .comparison import Compared
from .words import in_words

NAMES = {"Hits@1": "hits@1", TO_OTHERS: "to_other_profiles", OVER_OTHERS: "over_other_profiles"}  # in the registry
PERPLEXITIES = ("prior_ppl", "rec_ppl", "elbo_ppl", "other_ppl", "prior_word_ppl", "rec_word_ppl", "elbo_word_ppl")
WORTHS = ("context_worth", "worth", "worth_over_prior")
DIVERSITY = ("Distinct-1", "Distinct-2", "Distinct-1@50", "Distinct-2@50", "dist-1", "dist-2", "duplicates", "length")
NEARNESS = ("P.Distance", TO_OTHERS, OVER_OTHERS, "F1", "Hits@1", "relevance")
LATENT = ("kl", "fader_kl", "au", "mi")
TESTED = (
    "prior_word_ppl",
    "context_worth",
    "Distinct-1",
    "Distinct-2",
    "P.Distance",
    OVER_OTHERS,
    "F1",
    "Hits@1",
    "length",
)


def columns(measures: Sequence[str]) -> list[Column]:
    """By the registry; KL is that of Zp in most rows."""
    return [METRICS[NAMES.get(name, name)].column("KL" if name == "kl" else None) for name in measures]


def table(rows: Sequence[Compared], measures: Sequence[str], style: str) -> str:
    """Measures that no row has are left out."""
    shown = [name for name in measures if any(name in row.estimates for row in rows)]
    cells: list[list[Value]] = [[row.name, *(row.estimates.get(name) for name in shown)] for row in rows]
    return render([Column("system"), *columns(shown)], cells, style)


def costs(rows: Sequence[Compared], style: str) -> str:
    """Of the first seed; stages are summed, of memory the largest counts."""
    heads = (
        Column("system"), Column("seeds", 0), Column("updates", 0), Column("processor hours", 2), Column("peak GiB", 1),
        Column("parameters, M", 1), Column("trained, M", 1),
    )  # fmt: skip
    cells: list[list[Value]] = []
    for row in rows:
        first = row.records[0]
        last, peak = first.trainings[-1], first.peak_mib
        size = (None if count is None else count / 1e6 for count in (last.parameters, last.trained))
        cost = first.total("updates"), first.total("cpu_hours"), None if peak is None else peak / 1024
        cells.append([row.name, len(row.records), *cost, *size])
    return render(heads, cells, style)


def seeds(rows: Sequence[Compared], style: str) -> str:
    """Lowest and highest of systems with several."""
    several = [row for row in rows if len(row.records) > 1]
    if not several:
        return ""
    shown = [name for name in TESTED if any(row.range_of(name) for row in several)]
    cells: list[list[Value]] = []
    for row in several:
        listed = ", ".join(str(record.seed) for record in row.records)
        cells.append([row.name, listed, *(_range(row, name) for name in shown)])
    heads = [Column(METRICS[NAMES.get(name, name)].header) for name in shown]
    return render([Column("system"), Column("seeds"), *heads], cells, style)


def _range(row: Compared, name: str) -> str | None:
    found = row.range_of(name)
    decimals = METRICS[NAMES.get(name, name)].decimals
    return found and f"{found[0]:.{decimals}f} to {found[1]:.{decimals}f}"


def tests(rows: Sequence[Compared], style: str) -> str:
    """p-values after Holm's correction."""
    tested = [row for row in rows if row.p_values]
    shown = [name for name in TESTED if any(name in row.p_values for row in tested)]
    if not tested:
        return ""
    heads = [Column(METRICS[NAMES.get(name, name)].header, 3) for name in shown]
    return render(
        [Column("p, corrected"), *heads], [[row.name, *map(row.p_values.get, shown)] for row in tested], style
    )


def faders(rows: Sequence[Compared], style: str) -> str:
    """P.Distance, that to others and length at each fader, means over seeds of the sweep, of each system's first record."""
    cells: list[list[Value]] = []
    for row in rows:
        sweep = row.records[0].sweep if row.records else None
        if sweep is None:
            continue
        inferred = "" if sweep.inferred is None else f", {sweep.inferred:.2f} on average"
        for fader in (None, *sweep.faders):
            label = f"the prior's own{inferred}" if fader is None else f"{fader:g}"
            cells.append([row.name, label, *(sweep.mean(fader, name) for name in MEASURES)])
    return render([Column("system"), Column("fader"), *MEASURES.values()], cells, style) if cells else ""


def beside_the_paper(rows: Sequence[Compared], style: str) -> str:
    """The paper's numbers, and ours of the measures that it names."""
    ours = ("prior_ppl", "Distinct-1@50", "Distinct-2@50", "P.Distance")
    heads = [Column(f"{name}, paper", 3) for name in ("PPL", "Distinct-1", "Distinct-2", "P.Distance")]
    known = {row.name: row for row in rows}
    cells: list[list[Value]] = []
    for name, numbers in CONVAI2.items():
        found = known[name].estimates if name in known else {}
        values = (found.get(measure) or found.get(measure.removesuffix("@50")) for measure in ours)
        cells.append([name, *numbers, *(value and value.value for value in values)])
    return render([Column(CHO), *heads, *columns(ours)], cells, style)


def section(
    title: str, rows: Sequence[Compared], references: Compared, baseline: str, waiting: Sequence[str], paper: bool,
    bootstrap: Bootstrap,
) -> str:  # fmt: skip
    """All of it in Markdown."""
    style = "markdown"
    state = f"Not there yet: {listed(waiting)}." if waiting else "All rows are there."
    dialogues = len({name for row in rows for record in row.records for name in record.sums.dialogues})
    responses = next((record.numbers.get("sentences") for row in rows for record in row.records), None)
    said = (
        f"{state} {responses} responses of {dialogues} dialogues; ± is half of the 95 % interval over dialogues, and over "
        f"seeds if there are several. \\*: differs from {baseline} (paired bootstrap over dialogues, p < {LEVEL} after "
        "Holm's correction for the number of rows)."
    )
    parts = [f"## {title}", said]
    words = in_words(rows, references, baseline, paper)
    parts += ["\n".join(f"- {markdown_text(each)}" for each in words)] if words else []
    parts += ["### Perplexity", table(rows, PERPLEXITIES, style)]
    parts += ["### What context and profile are worth", table(rows, WORTHS, style)]
    parts += [
        "### Responses",
        table([references, *rows], NEARNESS, style),
        table([references, *rows], DIVERSITY, style),
    ]
    with_latents = [row for row in rows if "kl" in row.estimates]
    parts += ["### Latents", table(with_latents, LATENT, style)] if with_latents else []
    swept = faders(rows, style)
    parts += ["### A fixed fader", swept] if swept else []
    parts += ["### Tests", tests(rows, style)] if any(row.p_values for row in rows) else []
    parts += ["### Seeds", seeds(rows, style)] if any(len(row.records) > 1 for row in rows) else []
    parts += ["### Cost", costs(rows, style)]
    parts += ["### Beside the paper", beside_the_paper(rows, style)] if paper else []
    parts += ["### Commands", _commands(rows), "Signatures:", _signatures(rows, bootstrap)]
    return "\n\n".join(part for part in parts if part)


def printed(rows: Sequence[Compared], references: Compared, style: str) -> str:
    """The tables for a terminal."""
    found = [table(rows, (*PERPLEXITIES, *WORTHS), style), table([references, *rows], (*NEARNESS, *DIVERSITY), style)]
    return "\n\n".join(
        part for part in (*found, table(rows, LATENT, style), tests(rows, style), costs(rows, style)) if part
    )


def _commands(rows: Sequence[Compared]) -> str:
    lines = [f"{record.again}    # {row.name}, seed {record.seed}" for row in rows for record in row.records]
    return "\n".join(("```text", *lines, "```"))


def _signatures(rows: Sequence[Compared], bootstrap: Bootstrap) -> str:
    """Each once."""
    found = {signature: None for row in rows for record in row.records for signature in record.signatures}
    return "\n".join(f"- {markdown_code(text(each))}" for each in (*found, f"dialogues|{bootstrap.signature}"))
