"""`fairseq-latent table`: trainings side by side, for a page that people write around, beside Cho et al. (2022)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..analysis.latent_statistics import WORTH
from ..analysis.sweep import MEASURES, Sweep
from ..metrics.registry import METRICS
from ..tables import Column, Estimate, Value, render
from .published_results import CHO, CONVAI2, PENN_TREEBANK
from .table_rows import CARRIED, OTHERS, PEOPLE, PERPLEXITIES, PERSONAS, PURITY, RESPONSES, SD, SENTENCES, Layout, Row


@dataclass(frozen=True, eq=False)
class Part:
    """What stands between two marks of a page: its name there, the page's title if it is new, and how it is made.

    tables: those that are printed, in a style. section: all of it, with pictures (row -> files, "" for all rows) as seen
    from the page. unfinished: which rows have no numbers, or not all of them, yet.
    """

    name: str
    title: str
    layout: Layout
    tables: Callable[[Sequence[Row], str], list[str]]
    section: Callable[[Sequence[Row], Mapping[str, Sequence[str]]], str]
    unfinished: Callable[[Sequence[Row]], str]
    draw: Callable[[Sequence[Row]], Any] = lambda rows: None


def _columns(names: Sequence[str], **headers: str) -> dict[str, Column]:
    registered = {OTHERS: "to_other_profiles"}
    return {name: METRICS[registered.get(name, name)].column(headers.get(name)) for name in names}


def _table(first: str, columns: Mapping[str, Column], rows: Sequence[Row], style: str) -> str:
    return render(
        [Column(first), *columns.values()],
        [[row.name, *(value_of(row, name) for name in columns)] for row in rows],
        style,
    )


def value_of(row: Row, name: str) -> Value:
    """With its interval and its standard deviation over seeds, if it has them."""
    value, low, high, deviation = (row.numbers.get(f"{name}{end}") for end in ("", "_low", "_high", SD))
    if value is None:
        return None
    return Estimate(value, None if low is None or high is None else (low, high), deviation=deviation)


def _not_finished(rows: Sequence[Row]) -> list[str]:
    waiting = [f"{row.name} ({row.state})" for row in rows if row.state]
    return [f"Not finished yet: {'; '.join(waiting)}."] if waiting else []


def _of_seeds(rows: Sequence[Row]) -> list[str]:
    several = [f"{row.name} ({row.numbers['seeds']})" for row in rows if "seeds" in row.numbers]
    return [f"Means over seeds, with their standard deviation (sd): {', '.join(several)}."] if several else []


ALL_FINISHED = "All rows are finished."
OURS = _columns(("rec_ppl", "elbo_ppl", "iw_ppl", "au", "kl", "mi"), kl="KL")


def _sentence_table(rows: Sequence[Row], style: str) -> list[str]:
    """All rows, the paper's numbers beside ours."""
    theirs = [Column(f"{name}, paper", decimals) for name, decimals in (("PPL", 2), ("AU", 0), ("KL", 2))]
    values = [
        [row.name, *PENN_TREEBANK.get(row.name, (None,) * 3), *(value_of(row, name) for name in OURS)] for row in rows
    ]
    return [render([Column("row"), *theirs, *OURS.values()], values, style)]


def _unfinished_sentences(rows: Sequence[Row]) -> str:
    unweighted = [row.name for row in rows if row.measured and "iw_ppl" not in row.numbers]
    parts = [f"Not weighted by importance yet: {'; '.join(unweighted)}."] if unweighted else []
    return " ".join([*(_not_finished(rows) + parts or [ALL_FINISHED]), *_of_seeds(rows)])


def _sentence_section(rows: Sequence[Row], pictures: Mapping[str, Sequence[str]]) -> str:
    finished = [row for row in rows if row.measured]
    budgets = sorted({row.numbers["updates"] for row in finished if "updates" in row.numbers})
    parts = [*_sentence_table(rows, "markdown"), _unfinished_sentences(rows)]
    if finished:
        count = (
            f"{budgets[0]:,} updates each" if len(budgets) == 1 else f"{' or '.join(f'{n:,}' for n in budgets)} updates"
        )
        parts.append(
            f"Columns with “paper” are those of {CHO}, Table 3. Ours: test set, {count}, the state after the last update. "
            f"KL and MI in nats per sentence. {signatures_of(finished)}"
        )
    parts += [f"![KL over updates, a panel per row ({CHO}, Figure 7)]({file})" for file in pictures.get("", ())]
    return "\n\n".join(parts)


def signatures_of(finished: Sequence[Row]) -> str:
    """One signature for all rows, or each with the rows that have it."""
    rows: dict[str, list[str]] = {}
    for row in finished:
        rows.setdefault(row.signatures.get("latents", ""), []).append(row.name)
    if len(rows) == 1:
        return f"Signature of the numbers: `{next(iter(rows))}`."
    listed = "; ".join(f"`{signature}` ({', '.join(names)})" for signature, names in rows.items())
    return f"Signatures of the numbers: {listed}."


def _perplexities(rows: Sequence[Row], style: str) -> str:
    """A token and a word."""
    return _table("model", _columns(PERPLEXITIES), [row for row in rows if row.name != PEOPLE], style)


def _responses(rows: Sequence[Row], style: str) -> str:
    """Diversity, nearness to profiles, words shared with people's responses; theirs first."""
    return _table("model", _columns(RESPONSES), sorted(rows, key=lambda row: row.name != PEOPLE), style)


def _latents(rows: Sequence[Row], style: str) -> str:
    """What the latents carry."""
    columns = _columns(CARRIED, kl="KL(Zp)")
    if any("worth" in row.numbers for row in rows):
        columns |= _columns(WORTH)
    columns |= _columns(PURITY)
    columns |= {"rho_p_distance": Column("ρ(fader, P.Distance)", 2), "rho_length": Column("ρ(fader, length)", 2)}
    return _table("model", columns, rows, style)


def _have_latents(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if "fader_kl" in row.numbers]


def _persona_tables(rows: Sequence[Row], style: str) -> list[str]:
    with_latents = _have_latents(rows)
    return [_perplexities(rows, style), _responses(rows, style)] + (
        [_latents(with_latents, style)] if with_latents else []
    )


def _sweep_table(sweep: Sweep) -> str:
    """A row per fader, means over seeds."""
    columns = [Column("fader"), *MEASURES.values()]
    rows: list[list[Value]] = [[PEOPLE, *(getattr(sweep.references, name) for name in MEASURES)]]
    own = "the prior's own" if sweep.inferred is None else f"the prior's own, {sweep.inferred:.2f} on average"
    for fader, label in ((None, own), *((fader, f"{fader:g}") for fader in sweep.faders)):
        rows.append([label, *(sweep.mean(fader, name) for name in MEASURES)])
    return render(columns, rows, "markdown")


def unfinished(rows: Sequence[Row]) -> str:
    """Which rows have no numbers, or not all of them, yet, and which are of several seeds."""
    return " ".join([*(_not_finished(rows) or [ALL_FINISHED]), *_of_seeds(rows)])


def _persona_section(rows: Sequence[Row], pictures: Mapping[str, Sequence[str]]) -> str:
    parts = ["## Perplexity", _perplexities(rows, "markdown"), unfinished(rows)]
    parts += [f"Signature: `{row.signatures['latents']}`." for row in rows if "latents" in row.signatures][:1]
    parts += ["## Responses", _responses(rows, "markdown"), _signatures(rows, "responses")]
    with_latents = _have_latents(rows)
    if with_latents:
        parts += ["## What the latents carry", _latents(with_latents, "markdown"), _signatures(with_latents, "purity")]
    for row in with_latents:
        if row.sweep:
            signatures = _listed(row.sweep.signature.splitlines())
            parts += [f"## A fixed fader: {row.name}", _sweep_table(row.sweep), signatures]
        parts += [f"![{row.name}]({picture})" for picture in pictures.get(row.name, ())]
    columns = [Column(CHO), Column("PPL", 3), *(Column(name, 3) for name in ("Distinct-1", "Distinct-2", "P.Distance"))]
    parts += [
        "## The paper's numbers",
        "Other data (17,878 training dialogues), models of up to 345M pre-trained weights, GoogleNews vectors: for the "
        "order, not for the values.",
        render(columns, [[name, *numbers] for name, numbers in CONVAI2.items()], "markdown"),
    ]
    return "\n\n".join(part for part in parts if part)


def _signatures(rows: Sequence[Row], of: str) -> str:
    return _listed([line for row in rows for line in row.signatures.get(of, "").splitlines()])


def _listed(signatures: Sequence[str]) -> str:
    """Each once, a line of its own."""
    lines = sorted({line for line in signatures if line})
    return "\n".join(("Signatures:\n", *(f"- `{line}`" for line in lines))) if lines else ""


def _kl_curves(rows: Sequence[Row]):
    from ..plotting.training_curves import kl_curves

    logs = {row.name: row.log for row in rows if row.log}
    return kl_curves(logs) if logs else None


PARTS = {
    "sentences": Part(
        "collapse",
        "# Remedies against posterior collapse\n\n",
        SENTENCES,
        _sentence_table,
        _sentence_section,
        _unfinished_sentences,
        _kl_curves,
    ),
    "personas": Part("personas", "# Persona models\n\n", PERSONAS, _persona_tables, _persona_section, unfinished),
}
