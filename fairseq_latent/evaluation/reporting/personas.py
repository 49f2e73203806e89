"""`fairseq-latent personas`: persona models side by side, with all measures of Cho et al. (2022).

Reads the folders that `scripts/tables/paper1_small.sh` makes, finished or not, and writes tables and pictures into a page
(between two marks, so that what people wrote around them stays) and the same numbers as CSV.
"""

import argparse
import csv
import io
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from fairseq_latent.errors import InputError
from fairseq_latent.files import written_together

from ..analysis.latent_statistics import WORTH
from ..analysis.sweep_points import MEASURES, Sweep
from ..runs.run_folder import run_folders
from ..tables import Column, Value, render
from .marked_page import with_part
from .persona_rows import OTHERS, PersonaRow, read_row, read_scores
from .published_results import CHO, CONVAI2

PART = "personas"  # of the page, between its marks
TITLE = "# Persona models\n\n"
REFERENCE = "Reference"  # what `fairseq-latent score` calls people's own responses
PERPLEXITIES = {
    "prior_ppl": Column("prior PPL", 2),
    "rec_ppl": Column("rec PPL", 2),
    "elbo_ppl": Column("elbo PPL", 2),
    "prior_word_ppl": Column("prior PPL/word", 2),
    "rec_word_ppl": Column("rec PPL/word", 2),
    "elbo_word_ppl": Column("elbo PPL/word", 2),
}
SCORES = {  # of `fairseq-latent score` -> its column
    name: Column(name, decimals)
    for name, decimals in {
        "Distinct-1": 3,
        "Distinct-2": 3,
        "Distinct-1@50": 3,
        "Distinct-2@50": 3,
        "dist-1": 2,
        "dist-2": 2,
        "P.Distance": 3,
        OTHERS: 3,
        "F1": 2,
        "length": 1,
    }.items()
}
CARRIED = {"kl": Column("KL(Zp)", 2), "fader_kl": Column("fader KL", 3), "au": Column("AU", 0), "mi": Column("MI", 2)}
PURITY = {
    "purity": Column("5-NN purity", 3),
    "untrained": Column("random weights", 3),
    "shuffled": Column("labels shuffled", 3),
}


def perplexity_table(rows: Sequence[PersonaRow], style: str = "markdown") -> str:
    """A token and a word."""
    values = [[row.name, *(getattr(row.latents, name, None) for name in PERPLEXITIES)] for row in rows]
    return render([Column("model"), *PERPLEXITIES.values()], values, style)


def responses_table(rows: Sequence[PersonaRow], references: Mapping[str, float] | None, style: str = "markdown") -> str:
    """Diversity, nearness to profiles, words shared with people's responses; theirs first."""
    values = [["people", *map(references.get, SCORES)]] if references else []
    values += [[row.name, *((row.scores or {}).get(name) for name in SCORES)] for row in rows]
    return render([Column("model"), *SCORES.values()], values, style)


def latents_table(rows: Sequence[PersonaRow], style: str = "markdown") -> str:
    """What the latents carry, of models that have some."""
    compared = WORTH if any(row.latents.worth is not None for row in rows) else {}
    columns = [Column("model"), *CARRIED.values(), *compared.values(), *PURITY.values()]
    columns += [Column("ρ(fader, P.Distance)", 2), Column("ρ(fader, length)", 2)]
    values: list[list[Value]] = []
    for row in rows:
        values.append(
            [
                row.name,
                *(getattr(row.latents, name) for name in CARRIED),
                *map(row.latents.shown, compared),
                *((row.purity or {}).get(name) for name in PURITY),
                *(_rho(row, name) for name in ("p_distance", "length")),
            ]
        )
    return render(columns, values, style)


def _rho(row: PersonaRow, measure: str) -> float | None:
    """Spearman's, of the fader and a measure."""
    found = row.sweep.correlation(measure) if row.sweep else None
    return found[0] if found else None


def sweep_table(sweep: Sweep, style: str = "markdown") -> str:
    """A row a fader, means over seeds."""
    columns = [Column("fader"), *MEASURES.values()]
    rows: list[list[Value]] = [["people", *(getattr(sweep.references, name) for name in MEASURES)]]
    own = "the prior's own" if sweep.inferred is None else f"the prior's own, {sweep.inferred:.2f} on average"
    for fader, label in ((None, own), *((fader, f"{fader:g}") for fader in sweep.faders)):
        rows.append([label, *(sweep.mean(fader, name) for name in MEASURES)])
    return render(columns, rows, style)


def papers_table(style: str = "markdown") -> str:
    """Table 1 of Cho et al. (2022)."""
    columns = [Column(CHO), Column("PPL", 3), *(Column(name, 3) for name in ("Distinct-1", "Distinct-2", "P.Distance"))]
    return render(columns, [[name, *numbers] for name, numbers in CONVAI2.items()], style)


def unfinished(rows: Sequence[PersonaRow]) -> str:
    """Which rows have no numbers, or not all of them, yet."""
    waiting = [f"{row.name} ({row.state})" for row in rows if row.state]
    return f"Not finished yet: {'; '.join(waiting)}." if waiting else "All rows are finished."


def section(
    rows: Sequence[PersonaRow],
    references: Mapping[str, float] | None,
    signatures: Mapping[str, str],
    pictures: Mapping[str, Sequence[str]],
) -> str:
    """What stands between the marks; `pictures`: row -> where its pictures lie, seen from the page."""
    parts = ["## Perplexity", perplexity_table(rows), unfinished(rows)]
    measured = [row for row in rows if row.latents]
    if measured:
        parts.append(f"Signature: `{measured[0].latents.signature}`.")
    parts += ["## Responses", responses_table(rows, references)]
    if signatures:
        parts.append(_signatures({signatures[name] for name in SCORES if name in signatures}))
    with_latents = [row for row in rows if row.has_latents]
    if with_latents:
        parts += ["## What the latents carry", latents_table(with_latents)]
        parts.append(_signatures({row.purity["signature"] for row in with_latents if row.purity}))
    for row in with_latents:
        if row.sweep:
            parts += [f"## The fader by hand: {row.name}", sweep_table(row.sweep), _signatures({row.sweep.signature})]
        parts += [f"![{row.name}]({picture})" for picture in pictures.get(row.name, ())]
    parts += [
        "## The paper's numbers",
        "Other data (17,878 training dialogues), models of up to 345M pre-trained weights, GoogleNews vectors: for the "
        "order, not for the values.",
        papers_table(),
    ]
    return "\n\n".join(part for part in parts if part)


def _signatures(found: set[str]) -> str:
    """Each once, a line of its own for each line of it."""
    lines = sorted({line for signature in found for line in signature.splitlines() if line})
    return "\n".join(("Signatures:\n", *(f"- `{line}`" for line in lines))) if lines else ""


def as_csv(rows: Sequence[PersonaRow], references: Mapping[str, float] | None) -> str:
    """A line a row: everything that was measured; empty where it was not."""
    text = io.StringIO()
    worths = ["other_ppl", "other_word_ppl"]
    worths += [f"{name}{end}" for name in WORTH for end in ("", "_low", "_high")] + ["dialogues"]
    names = [*PERPLEXITIES, *SCORES, *CARRIED, *worths, *PURITY, *(f"rho_{name}" for name in MEASURES)]
    writer = csv.DictWriter(text, ["row", "updates", "hours", *names, "state"], restval="", lineterminator="\n")
    writer.writeheader()
    if references:
        writer.writerow({"row": "people"} | {name: _rounded(references.get(name)) for name in SCORES})
    for row in rows:
        found = {name: getattr(row.latents, name, None) for name in (*PERPLEXITIES, *CARRIED, *worths)}
        found |= {name: (row.scores or {}).get(name) for name in SCORES}
        found |= {name: (row.purity or {}).get(name) for name in PURITY}
        found |= {f"rho_{name}": _rho(row, name) for name in MEASURES}
        found["hours"] = row.log.seconds / 3600 if row.log and row.log.seconds else None
        known = {"row": row.name, "updates": row.log.updates if row.log else None, "state": row.state}
        writer.writerow(known | {name: _rounded(value) for name, value in found.items()})
    return text.getvalue()


def _rounded(value):
    return f"{value:.4f}" if isinstance(value, float) else value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of `fairseq-latent personas`."""
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN", help="a row's name and the folder of its training")
    parser.add_argument(
        "--scores", metavar="FILE", help="`fairseq-latent score --format json` of rows of the same names"
    )
    parser.add_argument("--page", metavar="FILE", help="a Markdown page to put the tables into, between its two marks")
    parser.add_argument(
        "--pictures", nargs="*", default=[], metavar="NAME=FILE", help="pictures of rows, to be shown on the page"
    )
    parser.add_argument("--csv", metavar="FILE", help="write all numbers, a line a row")
    parser.add_argument("--format", choices=("text", "markdown", "latex"), default="text", help="of what is printed")


def main(args: argparse.Namespace) -> None:
    """Print the tables; write what was asked for."""
    scores, signatures = read_scores(Path(args.scores)) if args.scores else ({}, {})
    rows = [read_row(run, scores) for run in run_folders(args.runs, all_there=False)]
    references = scores.get(REFERENCE)
    files = {}
    if args.page:
        path = Path(args.page)
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        pictures = _pictures(args.pictures, path.parent, {row.name for row in rows})
        files[args.page] = with_part(before, PART, section(rows, references, signatures, pictures), TITLE)
    if args.csv:
        files[args.csv] = as_csv(rows, references)
    if files:
        with written_together(files) as opened:
            for file, content in zip(opened, files.values(), strict=True):
                file.write(content)
    print(perplexity_table(rows, args.format))
    print(f"\n{responses_table(rows, references, args.format)}")
    with_latents = [row for row in rows if row.has_latents]
    if with_latents:
        print(f"\n{latents_table(with_latents, args.format)}")
    print(unfinished(rows), file=sys.stderr)


def _pictures(given: Sequence[str], folder: Path, names: set[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in given:
        fitting = [name for name in names if each.startswith(f"{name}=")]  # names and files may hold a `=`, too
        if not fitting:
            raise InputError(f"--pictures {each}: no row of that name; remedy: NAME=FILE, the NAME of a run")
        name = max(fitting, key=len)
        file = os.path.relpath(each.removeprefix(f"{name}="), folder)
        found.setdefault(name, []).append(Path(file).as_posix())
    return found
