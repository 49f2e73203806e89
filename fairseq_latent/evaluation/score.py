"""`fairseq-latent score`: BLEU, dist-n, F1 and length of several systems' responses in one table."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.io import Generation, named_paths, read_generations
from fairseq_latent.evaluation.metrics import F1, Bleu, Distinct, InterDistinct, Length, Score, measure
from fairseq_latent.evaluation.tables import Column, render
from fairseq_latent.evaluation.tokenize import LANGUAGES, Tokenizer, tokenizer
from fairseq_latent.files import written_whole

COLUMNS = {  # name of a metric -> decimals, in the order of the table; a score without a column is an error
    "BLEU": 2,
    "dist-1": 2,
    "dist-2": 2,
    "Distinct-1": 3,
    "Distinct-2": 3,
    "inter-dist-1": 2,
    "inter-dist-2": 2,
    "F1": 2,
    "length": 1,
}


@dataclass(frozen=True)
class System:
    """A row of the table before it is measured."""

    name: str
    file: str
    generations: tuple[Generation, ...]

    @property
    def samples(self) -> int:
        """Responses a context."""
        return len(self.generations[0].hypotheses)

    @property
    def references(self) -> tuple[str, ...] | None:
        """The references, or None where the file brings none."""
        found = tuple(generation.reference for generation in self.generations)
        return None if None in found else found


@dataclass(frozen=True)
class Comparison:
    """A system against the baseline: for each metric that both have, the p-value of a paired bootstrap test."""

    baseline: str
    p_values: Mapping[str, float]
    signature: str


@dataclass(frozen=True)
class Row:
    """A measured system, or the references."""

    name: str
    file: str | None
    contexts: int
    responses_given: int  # a context
    responses_measured: int
    scores: dict[str, Score]
    comparison: Comparison | None = None  # None for the references, the baseline, and where nothing was resampled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `fairseq-latent score`."""
    parser.add_argument(
        "systems",
        nargs="+",
        metavar="NAME=FILE",
        help="a row's name and its responses: the output of fairseq-generate, or text with one response a line",
    )
    parser.add_argument("--reference", metavar="FILE", help="references, one a line; default: the T- lines")
    parser.add_argument(
        "--lang",
        choices=LANGUAGES,
        default="en",
        help="words: Moses tokens (en), MeCab with ipadic (ja), or already separated by spaces (none); default: en",
    )
    parser.add_argument(
        "--hypothesis",
        choices=("first", "all"),
        default="first",
        help="of several responses a context, measure the first, or all of them and their diversity; default: first",
    )
    parser.add_argument("--format", choices=("text", "markdown", "json"), default="text")
    parser.add_argument("--json", dest="format", action="store_const", const="json", help="same as --format json")
    parser.add_argument("--out", metavar="FILE", help="write there instead of to the standard output")


def main(args: argparse.Namespace) -> None:
    """Read, measure, print."""
    rows = measure_systems(read_systems(args.systems, args.reference), args.lang, args.hypothesis)
    text = as_json(rows) if args.format == "json" else as_text(rows, args.format)
    if args.out is None:
        sys.stdout.write(text)
        return
    with written_whole(args.out) as file:
        file.write(text)


def read_systems(specifications: Sequence[str], reference: str | None = None) -> list[System]:
    """Read each NAME=FILE; all must answer the same test set."""
    return read_named(named_paths(specifications, "file"), reference)


def read_named(files: Sequence[tuple[str, str]], reference: str | None = None) -> list[System]:
    """Read each (name, file); all must answer the same test set."""
    systems = [System(name, file, tuple(read_generations(file, reference))) for name, file in files]
    for system in systems[1:]:
        _check_same_test_set(systems[0], system, references_given=reference is not None)
    return systems


def _check_same_test_set(first: System, other: System, references_given: bool) -> None:
    pair = f"{first.name} ({first.file}) and {other.name} ({other.file})"
    if len(first.generations) != len(other.generations):
        raise InputError(
            f"{pair} answer {len(first.generations)} and {len(other.generations)} contexts; "
            "remedy: compare systems on the same test set"
        )
    if references_given:
        return
    if (first.references is None) != (other.references is None):
        raise InputError(f"only one of {pair} brings references; remedy: --reference FILE")
    for one, two in zip(first.generations, other.generations, strict=True):
        if one.reference != two.reference:
            raise InputError(
                f"{pair} have different references at id {one.id}; remedy: compare systems on the same test set, "
                "or give --reference FILE where only the dictionaries differ"
            )


def measure_systems(
    systems: Sequence[System],
    language: str = "en",
    hypothesis: str = "first",
    resamples: int = 0,
    seed: int = 1,
    baseline: str | None = None,
) -> list[Row]:
    """A row for the references, if there are any, and one for each system.

    With `resamples` > 0 each score gets its bootstrap interval, and each system its comparison with the `baseline`
    (the name of a system; default: the first).
    """
    if resamples:
        raise NotImplementedError("bootstrap intervals are about to come")
    if hypothesis == "all" and len({system.samples for system in systems}) > 1:
        counts = ", ".join(f"{system.name} {system.samples}" for system in systems)
        raise InputError(
            f"responses a context differ ({counts}), and dist-n falls with the amount of text; "
            "remedy: --hypothesis first, or the same --latent-samples for all"
        )
    words = tokenizer(language)
    if systems[0].references is None:
        return [_measure(system, None, words, language, hypothesis) for system in systems]
    references = words(systems[0].references)
    row = Row("Reference", None, len(references), 1, 1, _diversity(references, words.signature))
    return [row, *(_measure(system, references, words, language, hypothesis) for system in systems)]


def _measure(system: System, references: list[str] | None, words: Tokenizer, language: str, hypothesis: str) -> Row:
    samples = system.samples if hypothesis == "all" else 1
    raw = [text for generation in system.generations for text in generation.hypotheses[:samples]]
    lines = words(raw)
    scores = _diversity(lines, words.signature)
    if samples > 1:
        contexts = [lines[start : start + samples] for start in range(0, len(lines), samples)]
        scores |= _named(measure(InterDistinct(n, samples, words.signature), contexts) for n in (1, 2))
    if references is not None:
        repeated, raw_repeated = (_repeated(texts, samples) for texts in (references, system.references))
        # ParlAI's F1 has its own normalisation of raw English; Japanese needs words first.
        f1 = (F1(words.signature), lines, repeated) if language == "ja" else (F1(), raw, raw_repeated)
        scores |= _named([measure(Bleu(words.signature), lines, repeated), measure(*f1)])
    return Row(system.name, system.file, len(system.generations), system.samples, samples, scores)


def _repeated(texts: Sequence[str], times: int) -> list[str]:
    return [text for text in texts for _ in range(times)]


def _diversity(lines: Sequence[str], signature: str) -> dict[str, Score]:
    scores = [measure(Length(signature), lines)]
    for n in (1, 2):
        statistics = Distinct(n, signature).statistics(lines)  # the same for both denominators
        scores += [Distinct(n, signature, denominator).score(statistics) for denominator in ("ngrams", "words")]
    return _named(scores)


def _named(scores) -> dict[str, Score]:
    named = {score.name: score for score in scores}
    if unknown := named.keys() - COLUMNS.keys():
        raise LookupError(f"no column for {', '.join(sorted(unknown))}: add it to COLUMNS in {__name__}")
    return named


def as_text(rows: Sequence[Row], style: str = "text") -> str:
    """The table, the parts of each BLEU as multi-bleu.perl prints them, and the signatures."""
    names = [name for name in COLUMNS if any(name in row.scores for row in rows) or name in ("BLEU", "F1")]
    columns = [Column("system"), *(Column(name, COLUMNS[name]) for name in names)]
    values = [[row.name, *(row.scores[name].value if name in row.scores else None for name in names)] for row in rows]
    notes = [_note(row) for row in rows if row.file is not None]
    if rows[0].file is not None:
        notes.append("no references, so neither BLEU nor F1; remedy: --reference FILE")
    signatures = {score.signature: None for name in names for row in rows if (score := row.scores.get(name))}
    items = [*notes, *signatures]
    if style == "markdown":
        items = [f"- `{item}`" for item in items]
    return "\n".join([render(columns, values, style), "", *items]) + "\n"


def _note(row: Row) -> str:
    note = f"{row.name}: {row.responses_measured} of {row.responses_given} responses to each of {row.contexts} contexts"
    if "BLEU" not in row.scores:
        return note
    bleu = row.scores["BLEU"]
    parts = bleu.extra
    precisions = "/".join(f"{precision:.1f}" for precision in parts["precisions"])
    return (
        f"{note}; BLEU = {bleu.value:.2f}, {precisions} (BP={parts['brevity_penalty']:.3f}, "
        f"ratio={parts['ratio']:.3f}, hyp_len={parts['hypothesis_words']}, ref_len={parts['reference_words']})"
    )


def as_json(rows: Sequence[Row]) -> str:
    """All rows with values, signatures and parts, for programs."""
    return json.dumps({"rows": [asdict(row) for row in rows]}, ensure_ascii=False, indent=2) + "\n"
