"""Automatic metrics of several systems' responses: BLEU, dist-n, F1, length and P.Distance, with bootstrap intervals."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.metrics.bootstrap import FEWEST, Bootstrap
from fairseq_latent.evaluation.metrics.persona_metrics import NOTHING, PersonaMeasures, distinct
from fairseq_latent.evaluation.metrics.registry import SCORES
from fairseq_latent.evaluation.metrics.repetition import Duplicates, GzipRatio
from fairseq_latent.evaluation.metrics.response_metrics import F1, Bleu, InterDistinct, Length, Score
from fairseq_latent.evaluation.metrics.system_scores import (
    REFERENCE,
    Measure,
    Measurement,
    Responses,
    Row,
    over_seeds,
    resampled,
)
from fairseq_latent.evaluation.runs.outside_systems import is_outside, read_outside
from fairseq_latent.evaluation.runs.response_files import (
    Generation,
    named_paths,
    of_seeds,
    read_generations,
    with_references,
)
from fairseq_latent.symbols import UNK
from fairseq_latent.text.word_tokenizers import UNSPACED, Tokenizer, tokenizer

UNKNOWN = f"<{UNK}>"  # how fairseq writes an unknown token in a T- line
Measured = list[tuple[Row, list[Measurement]]]


@dataclass(frozen=True)
class System:
    """A row of the table before it is measured."""

    name: str
    file: str
    generations: tuple[Generation, ...]
    settings: str | None = None  # how the responses were sampled, of systems that were not trained here

    @property
    def samples(self) -> int:
        """Responses a context."""
        return len(self.generations[0].hypotheses)

    @property
    def references(self) -> tuple[tuple[str, ...], ...] | None:
        """Each context's references, or None where the file brings none."""
        if any(generation.reference is None for generation in self.generations):
            return None
        return tuple((generation.reference, *generation.further_references) for generation in self.generations)


def read_systems(
    specifications: Sequence[str], references: Sequence[str] = (), ids: Sequence[str] | None = None
) -> list[System]:
    """Read each NAME=FILE, or NAME=FILE,FILE,… of several seeds; all must answer the same test set.

    ids: those of the test set, for JSON Lines of systems that were not trained here.
    """
    files = [(name, file) for name, given in named_paths(specifications, "file") for file in of_seeds(given)]
    return read_named(files, references, ids)


def read_named(
    files: Sequence[tuple[str, str]], references: Sequence[str] = (), ids: Sequence[str] | None = None
) -> list[System]:
    """Read each (name, file); all must answer the same test set. Files of one name are its seeds."""
    systems = [read_system(name, file, references, ids) for name, file in files]
    known = next((system for system in systems if system.references is not None), None)
    if known is not None:
        systems = [joined(system, known) if is_outside(system.file) else system for system in systems]
    for system in systems[1:]:
        _check_same_test_set(systems[0], system, references_given=bool(references))
    return systems


def read_system(name: str, file: str, references: Sequence[str] = (), ids: Sequence[str] | None = None) -> System:
    """Read one file."""
    if not is_outside(file):
        return System(name, file, tuple(read_generations(file, references)))
    found = read_outside(file, ids)
    generations = with_references(found.generations, file, references) if references else found.generations
    return System(name, file, tuple(generations), found.settings)


def joined(system: System, known: System) -> System:
    """An outside system with the contexts and references of another system's file, in the same order."""
    if len(system.generations) != len(known.generations) or system.references is not None:
        return system
    pairs = zip(system.generations, known.generations, strict=True)
    return replace(
        system,
        generations=tuple(
            replace(
                ours, source=theirs.source, reference=theirs.reference, further_references=theirs.further_references
            )
            for ours, theirs in pairs
        ),
    )


def cut_alike(systems: Sequence[System], language: str, samples: int | None = None) -> list[System]:
    """The systems with each response cut to the words of the shortest one that any system gives in its place.

    samples: only so many responses of each context, the first ones. Distinct n-grams, BLEU and F1 depend on length: what
    differs here does not come from it. InputError where systems give different numbers of responses.
    """
    if samples is not None:
        systems = [_first(system, samples) for system in systems]
    if len({system.samples for system in systems}) > 1:
        raise InputError(
            "--equal-length: systems give different numbers of responses per context; remedy: as many of each"
        )
    words = tokenizer(language)
    split = [
        [[line.split() for line in words(generation.hypotheses)] for generation in system.generations]
        for system in systems
    ]
    shortest = [[min(map(len, one)) for one in zip(*of, strict=True)] for of in zip(*split, strict=True)]
    return [
        replace(
            system,
            generations=tuple(
                replace(generation, hypotheses=tuple(" ".join(line[:n]) for line, n in zip(lines, most, strict=True)))
                for generation, lines, most in zip(system.generations, of_system, shortest, strict=True)
            ),
        )
        for system, of_system in zip(systems, split, strict=True)
    ]


def _first(system: System, samples: int) -> System:
    """The system with the first responses to each context alone."""
    return replace(
        system, generations=tuple(replace(each, hypotheses=each.hypotheses[:samples]) for each in system.generations)
    )


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
    further: PersonaMeasures = NOTHING,
    more: Sequence[Measure] = (),
) -> list[Row]:
    """A row for the references, if there are any, and one for each system; `further` and `more`: what else is measured.

    With `resamples` > 0 each score gets its bootstrap interval, and each system its comparison with the `baseline`
    (the name of a system; default: the first).
    """
    check_bootstrap(systems, resamples, seed, baseline)
    return scored(measured_systems(systems, language, hypothesis, further, more), resamples, seed, baseline)


def measured_systems(
    systems: Sequence[System],
    language: str = "en",
    hypothesis: str = "first",
    further: PersonaMeasures = NOTHING,
    more: Sequence[Measure] = (),
) -> Measured:
    """Rows without numbers, and what they are measured by: the references' first, if there are any."""
    if hypothesis == "all" and len({system.samples for system in systems}) > 1:
        counts = ", ".join(f"{system.name} {system.samples}" for system in systems)
        raise InputError(
            f"responses per context differ ({counts}), and dist-n falls with the amount of text; "
            "remedy: --hypothesis first, or the same --latent-samples for all"
        )
    words = tokenizer(language)
    references = None if systems[0].references is None else _tokenised(systems[0].references, words)
    measured = [_measure(system, references, words, language, hypothesis, further, more) for system in systems]
    if references is not None:
        # one reference a context: dist-n falls with the amount of text
        first, raw = ([texts[0] for texts in each] for each in (references, systems[0].references))
        found = measured_lines(first, words.signature) + further.measure(
            first, first if language in UNSPACED else raw, words.signature, 1
        )
        people = Responses(raw, first, 1, words.signature)
        found += [measurement for each in more for measurement in each.measure(people)]
        measured.insert(0, (Row(REFERENCE, None, len(first), 1, 1, {}), found))
    return measured


def scored(measured: Measured, resamples: int, seed: int, baseline: str | None) -> list[Row]:
    """The rows with their numbers; with `resamples` > 0 intervals and comparisons, too."""
    rows = [replace(row, scores=_named(measurements)) for row, measurements in measured]
    found = [measurements for _, measurements in measured]
    if not resamples or rows[-1].contexts == 1:  # one context has no spread to resample
        return over_seeds(rows)
    base = baseline or next(row.name for row in rows if row.file is not None)
    return resampled(rows, found, Bootstrap(resamples, seed), base)


def check_bootstrap(systems: Sequence[System], resamples: int, seed: int, baseline: str | None) -> None:
    """InputError for numbers of resamples, seeds and names that no bootstrap has."""
    if resamples < 0 or 0 < resamples < FEWEST:
        raise InputError(
            f"--bootstrap {resamples}: too few for 95 % intervals; remedy: 1000, at least {FEWEST}, or 0 for none"
        )
    if seed < 0:
        raise InputError(f"--seed {seed}: negative; remedy: 0 or more")
    names = [system.name for system in systems]
    if baseline is not None and baseline not in names:
        raise InputError(f"--baseline {baseline}: no such system; remedy: one of {', '.join(names)}")


def _tokenised(references: Sequence[tuple[str, ...]], words: Tokenizer) -> list[tuple[str, ...]]:
    found = iter(words(text for texts in references for text in texts))
    return [tuple(next(found) for _ in texts) for texts in references]


def _measure(
    system: System,
    references: list[tuple[str, ...]] | None,
    words: Tokenizer,
    language: str,
    hypothesis: str,
    further: PersonaMeasures,
    more: Sequence[Measure],
) -> tuple[Row, list[Measurement]]:
    samples = 1 if hypothesis == "first" else system.samples
    row = Row(system.name, system.file, len(system.generations), system.samples, samples, {}, settings=system.settings)
    raw = [text for generation in system.generations for text in generation.hypotheses[:samples]]
    lines = words(raw)
    found = measured_lines(lines, words.signature, samples)
    found += further.measure(lines, lines if language in UNSPACED else raw, words.signature, samples)
    responses = Responses(raw, lines, samples, words.signature, references, system.references if references else None)
    found += [measurement for each in more for measurement in each.measure(responses)]
    if samples > 1:
        contexts = [lines[start : start + samples] for start in range(0, len(lines), samples)]
        metrics = [InterDistinct(n, samples, words.signature) for n in (1, 2)]
        found += [Measurement(metric, metric.statistics(contexts)) for metric in metrics]
    if references is not None:
        repeated, raw_repeated = (_repeated(texts, samples) for texts in (references, system.references))
        sizes = {len(texts) for texts in references}
        count = str(*sizes) if len(sizes) == 1 else "var"  # sacrebleu's word
        bleu = Bleu(words.signature, count)
        found.append(Measurement(bleu, bleu.statistics(lines, repeated), samples))
        # ParlAI's F1 has its own normalisation of raw English; text without spaces needs words first.
        if language in UNSPACED:
            f1, texts = F1(words.signature, count), (lines, repeated)
        else:
            f1, texts = F1(references=count), (raw, raw_repeated)
        found.append(Measurement(f1, f1.statistics(*texts), samples))
    return row, [each.of_samples() for each in found] if hypothesis == "mean" else found


def _repeated(texts: Sequence, times: int) -> list:
    return [text for text in texts for _ in range(times)]


def words_of(systems: Sequence[System], language: str) -> int:
    """Different words of all that is compared: responses of every system, and references."""
    texts = {text for system in systems for generation in system.generations for text in generation.hypotheses}
    texts |= {text for each in systems[0].references or () for text in each}
    return len({word for line in tokenizer(language)(sorted(texts)) for word in line.split()})


def measured_lines(lines: Sequence[str], signature: str, samples: int = 1) -> list[Measurement]:
    """What responses, and references, are measured by alone."""
    length = Length(signature)
    found = [Measurement(length, length.statistics(lines), samples)]
    found += [Measurement(metric, list(lines), samples) for metric in (Duplicates(signature), GzipRatio(signature))]
    return found + distinct(lines, signature, samples)


def _named(measurements: Sequence[Measurement]) -> dict[str, Score]:
    named = {found.metric.name: found.score() for found in measurements}
    if unknown := named.keys() - SCORES.keys():
        raise LookupError(f"no column for {', '.join(sorted(unknown))}: add it to SCORES in registry.py")
    return named
