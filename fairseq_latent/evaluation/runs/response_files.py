"""Reads responses: the output of `fairseq-generate` (the only place that does), or plain text, one response a line.

fairseq-generate sorts by length; the order of the test set is restored here by the numeric id of each line.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fairseq_latent.errors import InputError
from fairseq_latent.files import numbered_lines

RECORD = re.compile(r"([STHD])-([0-9]+)\t(.*)", re.DOTALL)
LONGEST_ID = 18  # digits: no data set has more examples
FAIRSEQ_LOG = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \| ")
LAST_LINE = re.compile(r"Generate .* with beam=\d+: ")
TRANSLATED = re.compile(r"Translated ([0-9,]{1,25}) sentences")
GPT2_IDS = re.compile(r"\d+( \d+)*")
WORD_START = "\u2581"  # how SentencePiece marks a word's beginning


@dataclass(frozen=True, slots=True)
class Generation:
    """One context: what was asked, what the reference says and what the model answered, in latent (or n-best) order."""

    id: int
    source: str | None
    reference: str | None
    hypotheses: tuple[str, ...]
    scores: tuple[float, ...] = ()
    further_references: tuple[str, ...] = ()  # none without a first one


@dataclass
class _Block:
    """The lines of one id while they are collected; H- and D- entries are (score, text)."""

    S: list[str] = field(default_factory=list)
    T: list[str] = field(default_factory=list)
    H: list[tuple[float, str]] = field(default_factory=list)
    D: list[tuple[float, str]] = field(default_factory=list)


def named_paths(specifications: Sequence[str], kind: str = "file") -> list[tuple[str, str]]:
    """The (name, path) of each NAME=FILE; `kind` is the word for what the path leads to. A path may be several: `of_seeds`.

    Names (K=5) and folders (lr=0.1) may hold a `=` too: the first one with an existing path behind it divides, else the
    last one with a path behind it whose folder exists.
    """
    pairs: dict[str, str] = {}
    for specification in specifications:
        parts = specification.split("=")
        splits = [("=".join(parts[:end]), "=".join(parts[end:])) for end in range(1, len(parts))]
        existing = [(name, path) for name, path in splits if name and path and Path(of_seeds(path)[0]).exists()]
        likely = [(name, path) for name, path in reversed(splits) if name and path and Path(path).parent.is_dir()]
        name, path = [*existing, *likely, *splits, ("", "")][0]
        if not (name and path):
            raise InputError(f"{specification}: a system needs a name and a {kind}; remedy: write NAME={kind.upper()}")
        if name in pairs:
            raise InputError(f"{specification}: the name {name!r} stands twice; remedy: give each system its own name")
        pairs[name] = path
    return list(pairs.items())


def of_seeds(given: str) -> list[str]:
    """PATH,PATH,… -> the paths of several seeds; a path that exists is one, whatever commas it has."""
    parts = [part for part in given.split(",") if part]
    return [given] if len(parts) < 2 or Path(given).exists() else parts


def read_lines(path: str | Path) -> list[str]:
    """All lines of a UTF-8 text file, such as the references; an empty file is an error."""
    lines = [line for _, line in numbered_lines(path)]
    if not lines:
        raise InputError(f"{path}: the file is empty; remedy: give a file with one response a line")
    return lines


def read_generations(path: str | Path, references: Sequence[str | Path] = ()) -> list[Generation]:
    """Read a fairseq-generate output or plain text, ordered by id; `references` (files) replace the T- lines.

    Several files give each context several references; a context has fewer where a file after the first is blank.
    """
    lines = list(numbered_lines(path))
    if any(RECORD.match(line) or FAIRSEQ_LOG.match(line) for _, line in lines):
        generations = _from_fairseq(path, lines)
    elif lines:
        generations = [Generation(number - 1, None, None, (line,)) for number, line in lines]
    else:
        raise InputError(f"{path}: the file is empty; remedy: generate again and look at the log")
    return with_references(generations, path, references) if references else generations


def with_references(
    generations: Sequence[Generation], path: str | Path, files: Sequence[str | Path]
) -> list[Generation]:
    """The responses of `path` with the lines of `files` for references, as `read_generations` has them."""
    columns = [read_lines(file) for file in files]
    for file, lines in zip(files, columns, strict=True):
        if len(lines) != len(generations):
            raise InputError(
                f"{path}: {len(generations)} responses, but {file} has {len(lines)} lines; "
                "remedy: give the references of the same test set, one per line, in the order of the data"
            )
        if not any(map(str.strip, lines)):
            raise InputError(f"{file}: all {len(lines)} lines are blank; remedy: give a file with references")
    return [
        replace(generation, reference=first, further_references=tuple(filter(str.strip, further)))
        for generation, first, *further in zip(generations, *columns, strict=True)
    ]


def _from_fairseq(path: str | Path, lines: list[tuple[int, str]]) -> list[Generation]:
    blocks = _collect(path, lines)
    if not any(block.H or block.D for block in blocks.values()):
        raise InputError(
            f"{path}: no hypothesis line (H- or D-) in {len(lines)} lines; "
            "remedy: generate again without --quiet and look at the end of its log"
        )
    _check_ids(path, blocks)
    _check_complete(path, blocks, [line for _, line in lines])
    generations = [_generation(number, blocks[number]) for number in sorted(blocks)]
    _check_sizes(path, generations)
    _refuse_gpt2_ids(path, generations)
    return _without_pieces(generations)


def _collect(path: str | Path, lines: list[tuple[int, str]]) -> dict[int, _Block]:
    blocks: dict[int, _Block] = {}
    for number, line in lines:
        record = RECORD.match(line)
        if record is None:
            continue
        kind, text = record[1], record[3]
        if len(record[2]) > LONGEST_ID:
            raise InputError(
                f"{path}: line {number}: an id of {len(record[2])} digits; remedy: the unedited output of fairseq-generate"
            )
        block = blocks.setdefault(int(record[2]), _Block())
        getattr(block, kind).append(_scored(path, number, kind, text) if kind in "HD" else text)
        if len(block.S) > 1 or len(block.T) > 1:
            raise InputError(
                f"{path}: line {number}: {kind}-{record[2]} stands here a second time, so the file holds several runs; "
                "remedy: keep one run a file (N responses per context: fairseq-generate --latent-samples N)"
            )
    return blocks


def _scored(path: str | Path, number: int, kind: str, text: str) -> tuple[float, str]:
    score, _, response = text.partition("\t")
    try:
        return float(score), response
    except ValueError:
        raise InputError(
            f"{path}: line {number}: a {kind}- line has no score between its id and its text; "
            "remedy: give the unedited output of fairseq-generate, or plain text without ids"
        ) from None


def _check_ids(path: str | Path, blocks: dict[int, _Block]) -> None:
    missing = max(blocks) + 1 - len(blocks)  # counted, not listed: one id can be as large as it likes
    if missing:
        first = next(number for number, found in enumerate(sorted(blocks)) if found != number)
        raise InputError(
            f"{path}: {missing} of {max(blocks) + 1} ids are missing (first: {first}), "
            "so the run was stopped, skipped sentences or is one shard; remedy: generate again without "
            "--skip-invalid-size-inputs-valid-test, or join all shards with cat"
        )


def _check_complete(path: str | Path, blocks: dict[int, _Block], lines: list[str]) -> None:
    """A run that ended says so; without its last lines, ids 0 … n-1 (checked before) have to do."""
    counts = [int(found[1].replace(",", "")) for found in map(TRANSLATED.search, lines) if found]
    if counts and sum(counts) != len(blocks):
        raise InputError(
            f"{path}: fairseq-generate says it answered {sum(counts)} sentences, but the file has {len(blocks)} ids; "
            "remedy: generate again"
        )
    cut = [number for number, block in blocks.items() if not (block.H or block.D)]
    if cut:
        raise InputError(
            f"{path}: incomplete: no hypothesis for id {min(cut)}, {_ending(lines)}; remedy: generate again"
        )
    half = [number for number, block in blocks.items() if len(block.D) < len(block.H)]
    if half and any(block.D for block in blocks.values()):
        raise InputError(
            f"{path}: incomplete: id {min(half)} has {len(blocks[min(half)].H)} H- lines, but "
            f"{len(blocks[min(half)].D)} D- lines, {_ending(lines)}; remedy: generate again"
        )


def _ending(lines: list[str]) -> str:
    ended = any(LAST_LINE.match(line) for line in lines)
    return "though the run ended" if ended else "and the run's last line, 'Generate … with beam=…', is missing"


def _generation(number: int, block: _Block) -> Generation:
    scored = block.D or block.H  # D- is detokenised, H- may still be subword tokens
    source, reference = (entries[0] if entries else None for entries in (block.S, block.T))
    return Generation(number, source, reference, tuple(text for _, text in scored), tuple(score for score, _ in scored))


def _check_sizes(path: str | Path, generations: Sequence[Generation]) -> None:
    expected = len(generations[0].hypotheses)
    for generation in generations:
        if len(generation.hypotheses) != expected:
            raise InputError(
                f"{path}: id {generation.id} has {len(generation.hypotheses)} hypotheses, id {generations[0].id} has "
                f"{expected}; remedy: generate again into a new file (runs were appended, or this one was stopped)"
            )
        if (generation.reference is None) != (generations[0].reference is None):
            raise InputError(
                f"{path}: only some ids have a T- line (id {generation.id} differs from id {generations[0].id}); "
                "remedy: generate again, or give --reference FILE with plain-text responses"
            )


def _refuse_gpt2_ids(path: str | Path, generations: Sequence[Generation]) -> None:
    texts = [generation.hypotheses[0] for generation in generations if generation.hypotheses[0]]
    if texts and all(map(GPT2_IDS.fullmatch, texts)):
        raise InputError(
            f"{path}: all hypotheses are numbers, GPT-2 token ids; remedy: generate again where DATA has GPT-2's tokenizer"
        )


def _without_pieces(generations: list[Generation]) -> list[Generation]:
    """Join SentencePiece tokens if the run did not (no --post-process sentencepiece); other text is left alone.

    Nearly every line of subword tokens has this character; in plain text it is rare: the majority decides.
    """
    texts = [
        text
        for generation in generations
        for text in (generation.source, generation.reference, *generation.hypotheses)
        if text
    ]
    if 2 * sum(WORD_START in text for text in texts) <= len(texts):
        return generations
    return [
        replace(
            generation,
            source=generation.source and _joined(generation.source),
            reference=generation.reference and _joined(generation.reference),
            hypotheses=tuple(map(_joined, generation.hypotheses)),
        )
        for generation in generations
    ]


def _joined(text: str) -> str:
    return text.replace(" ", "").replace(WORD_START, " ").strip()
