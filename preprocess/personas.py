"""`python -m preprocess.personas`: conversations with both personas -> line-parallel examples for train|valid|test.

    .src         the turns before the response, joined by " <eot> ", the oldest first; the last is always the partner's
    .tgt         the response
    .partner     the profile of the partner, its sentences joined by " <eot> "
    .own         the speaker's own profile
    .fader       how much of the partner's profile the response carries, a number in [0, 1] (`text.similarity`)
    .own_fader   the same of the speaker's own profile
    .ids         conversation:turn, the response's place in its conversation, from 0
    .candidates  the replies that were offered, tabs between them, blank for none; no file for a side without any

personas.json says how they were made, personas.txt how many turns became examples, and what became of the others. The side
of a conversation is what `preprocess.split` gives it; both speakers' responses in it go there. Options default to what the
the authors' code of Cho et al. (2022) does; `--min-turns 1 --min-response-words 1 --filter none` is one example a turn.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from fairseq_latent.errors import InputError, Parser, run
from fairseq_latent.ranges import COUNT, SHARE, WORKERS, typed
from fairseq_latent.text.gpt2_tokenizer import load_gpt2
from fairseq_latent.text.similarity import SIMILARITIES, WITH_VECTORS, Similarity, coverage, similarity
from fairseq_latent.text.word_vectors import load_vectors

from .parallel import available_cores
from .persona_data.conversations import frequencies_of, part_profiles, read_corpus
from .persona_data.examples import FILTERS, Drop, ExampleOptions, Lengths, about_oneself, first_person
from .persona_data.files import Writer, write
from .splitting.assign import TEST, TRAIN, VALID, Share, SplitOptions, parse_share


def word_lengths(texts: list[str]) -> list[int]:
    """Of each text, what stands between spaces."""
    return [text.count(" ") + 1 for text in texts]


def _share_or_file(text: str) -> Share | Path:
    return Path(text) if text.endswith((".jsonl", ".jsonl.gz")) else parse_share(text)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m preprocess.personas",
        description="Write train|valid|test.src (contexts), .tgt (responses), .partner and .own (the profiles of the other "
        "party and of the speaker), .fader and .own_fader (their similarities to the response), .ids and, where there are "
        "any, .candidates from conversations with personas.",
    )
    add = parser.add_argument
    add(
        "file", type=Path, metavar="FILE", help="clean conversations.jsonl or .jsonl.gz, with personas of both speakers"
    )
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    add(
        "--workers",
        type=typed(int, WORKERS),
        default=available_cores(),
        metavar="N",
        help="processes (default: all cores)",
    )
    by = parser.add_argument_group("sides, by conversation")
    share = "fraction (0.1) or number (100) of the conversations, or a conversations.jsonl of its own; 0: none"
    by.add_argument("--valid", type=_share_or_file, default=0.1, metavar="SHARE", help=f"{share} (default: 0.1)")
    by.add_argument("--test", type=_share_or_file, default=0.1, metavar="SHARE", help=f"{share} (default: 0.1)")
    by.add_argument("--seed", type=int, default=1, metavar="N", help="another seed, another split (default: 1)")
    by.add_argument(
        "--disjoint-profiles",
        action="store_true",
        help="no profile on two sides: valid loses conversations with a profile of test, then train those with a profile "
        "of valid or test",
    )
    _add_example_options(parser)
    of = parser.add_argument_group("similarity of a response and a profile (.fader)")
    of.add_argument("--similarity", choices=SIMILARITIES, default="tfidf", help="(default: tfidf)")
    of.add_argument(
        "--vectors",
        type=Path,
        metavar="FILE",
        help=f"of {' and '.join(WITH_VECTORS)}: word vectors, text of word2vec or GloVe, or .bin of word2vec; also .gz",
    )
    return parser


def _add_example_options(parser: argparse.ArgumentParser) -> None:
    of = parser.add_argument_group("examples")
    of.add_argument(
        "--sides", choices=("both", "second"), default="both", help="whose turns are responses (default: both)"
    )
    of.add_argument(
        "--min-turns", type=typed(int, COUNT), default=4, metavar="N", help="turns in a context, at least (default: 4)"
    )
    of.add_argument(
        "--min-response-words",
        type=typed(int, COUNT),
        default=5,
        metavar="N",
        help="words of a response, at least (default: 5)",
    )
    of.add_argument(
        "--max-tokens",
        type=typed(int, COUNT),
        default=200,
        metavar="N",
        help="tokens of context and response, one for the end of each turn included: the oldest turns are dropped until "
        "they fit (default: 200)",
    )
    of.add_argument(
        "--gpt2", type=Path, metavar="FOLDER", help="count tokens as this tokenizer has them (default: words)"
    )
    of.add_argument(
        "--filter",
        choices=FILTERS,
        default="first_person",
        help="drop self-centred responses of training: first_person, whose first word begins with i or my, without you or "
        "your; similarity, near the own profile and far from the other (default: first_person)",
    )
    of.add_argument(
        "--filter-own", type=typed(float, SHARE), default=0.6, metavar="S", help="of --filter similarity (default: 0.6)"
    )
    of.add_argument(
        "--filter-partner",
        type=typed(float, SHARE),
        default=0.3,
        metavar="S",
        help="of --filter similarity (default: 0.3)",
    )
    of.add_argument(
        "--per-dialogue",
        type=typed(int, COUNT),
        metavar="N",
        help="validation and test have at most N responses of each dialogue, sampled by --seed: more dialogues, and so "
        "narrower intervals over them, for the same time (default: all)",
    )
    of.add_argument("--filter-test", action="store_true", help="filter validation and test too")
    of.add_argument(
        "--whole-test",
        action="store_true",
        help="test has all responses: as --min-turns 1 --min-response-words 1, for test alone",
    )


def _report(options: argparse.Namespace) -> dict:
    """What decided; of files their names."""
    given = {name: value.name if isinstance(value, Path) else value for name, value in vars(options).items()}
    return {"version": 1} | {name: value for name, value in given.items() if name not in ("out", "workers")}


def _sides(options: argparse.Namespace) -> dict[int, tuple[ExampleOptions, bool]]:
    """Of each side, its examples and whether the filter is for it."""
    wanted = ExampleOptions(options.min_turns, options.min_response_words, options.max_tokens, options.sides == "both")
    measured = replace(wanted, per_dialogue=options.per_dialogue)
    whole = replace(measured, min_turns=1, min_response_words=1) if options.whole_test else measured
    sides = {TRAIN: (wanted, True), VALID: (measured, options.filter_test), TEST: (whole, options.filter_test)}
    shares = {TRAIN: 1, VALID: options.valid, TEST: options.test}
    return {code: of for code, of in sides.items() if shares[code] != 0}


def _drop(options: argparse.Namespace, measure: Similarity) -> Drop | None:
    """The filter."""
    if options.filter == "similarity":
        return about_oneself(measure, options.filter_own, options.filter_partner)
    return first_person if options.filter == "first_person" else None


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    options = _parser().parse_args(arguments)
    if options.vectors and options.similarity not in WITH_VECTORS:
        raise InputError(
            f"--similarity {options.similarity} takes no --vectors; remedy: leave them out, or --similarity embedding"
        )
    if options.similarity in WITH_VECTORS and not options.vectors:
        raise InputError(f"--similarity {options.similarity} needs word vectors; remedy: --vectors FILE")
    lengths: Lengths = load_gpt2(options.gpt2).lengths if options.gpt2 else word_lengths
    vectors = load_vectors(options.vectors) if options.vectors else None
    files = {code: share for code, share in ((VALID, options.valid), (TEST, options.test)) if isinstance(share, Path)}
    valid, test = (0 if isinstance(share, Path) else share for share in (options.valid, options.test))
    corpus = read_corpus(options.file, SplitOptions(valid, test, options.seed), files, options.workers)
    if options.disjoint_profiles:
        part_profiles(corpus, valid=options.valid != 0)
    sides = _sides(options)
    frequencies = frequencies_of(corpus, sides[TRAIN][0], lengths)
    measure = similarity(options.similarity, frequencies, vectors)
    report = _report(options)
    if vectors:
        report["vectors_sha256"] = vectors.sha256
        report["vectors_coverage"] = round(coverage(frequencies, vectors), 4)
    writer = Writer(corpus, measure, lengths, _drop(options, measure), options.filter, options.seed)
    print(*write(options.out, writer, sides, report), sep="\n")
    for side, found in report["splits"].items():
        fader = found["fader"]
        print(f"{side:<6} fader: mean {fader['mean']:.3f}, sd {fader['sd']:.3f}, {fader['zeros']:.1%} are 0")
    if vectors:
        print(f"{report['vectors_coverage']:.1%} of the words of training have a vector")
    print(f"{sum(found['examples'] for found in report['splits'].values()):,} examples -> {options.out}")


if __name__ == "__main__":
    sys.exit(run(main))
