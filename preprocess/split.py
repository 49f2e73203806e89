"""`python -m preprocess.split`: conversations.jsonl -> train|valid|test.src|tgt|ids, line-parallel text for training.

A target is a turn, its source the last N turns before it, joined by " <eot> ". Conversations are never torn apart: the side
of one is decided by a hash of (seed, id), parts that `preprocess.clean` cut off go where the first part goes, and the order
of the file does not matter. With fractions, adding conversations never moves another one to a different side. With exact
numbers it can: `--test 500` takes the 500 conversations with the smallest hashes, of which a new one may become part.
By time (`--test-from`), the first turn of a conversation decides (see preprocess/splitting/assign.py).

Branches of a thread (`ROOT`, `ROOT#branch2`, ...) begin with the same turns: where turns have ids, a response to a context
is written once. Then there is also `.turns`, line-parallel, from which `--ids` rebuilds the split on another machine:

    .ids      conversation:index           the response is turn `index`, from 0, of the conversation
    .turns    id id ...<TAB>id             the turns of the context, and the response; blank where one has no id

With `--references N`, test has one line per context, of those with N different responses or more. test.tgt has the first of
the file, test.ref1, test.ref2, ... the others, blank where there are fewer; test.ids and test.turns name all of them, with
tabulators between. These are text: score against them, not against what `preprocess.subwords` makes of test.tgt:

    fairseq-latent score NAME=FILE --reference DIR/test.tgt DIR/test.ref*
"""

import argparse
import sys
from datetime import datetime
from pathlib import Path

from fairseq_latent.errors import InputError, Parser, run
from fairseq_latent.ranges import COUNT, WORKERS, typed

from .parallel import BLOCK, available_cores
from .splitting.assign import SplitOptions, parse_share
from .splitting.collect import parse_time
from .splitting.from_ids import rebuild
from .splitting.passes_over_file import Options, split
from .splitting.split_files import SPLITS

DECIDING = (
    "valid", "test", "seed", "disjoint_speakers", "test_from", "start", "until", "whole", "references", "max_references",
)  # fmt: skip
FLAGS = {"start": "--from", "whole": "--as"}


def _moment(text: str) -> datetime:
    """A border: ISO 8601, UTC where it does not say."""
    time = parse_time(text)
    if time is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time in ISO 8601, e.g. 2019-01-01 or 2019-01-01T09:00:00+09:00"
        )
    return time


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m preprocess.split",
        description="Split a clean conversations.jsonl by conversation and write train|valid|test.src (contexts), .tgt "
        "(responses), .ids and split.json, also .turns where turns have ids. The side of a conversation depends on the "
        "seed and its id alone, or on its time.",
    )
    share = "fraction (0.05) or exact number (500) of the conversations with a reply; 0: none"
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help="conversations.jsonl or conversations.jsonl.gz")
    add("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    add("--context-turns", type=typed(int, COUNT), metavar="N", help="turns in a context (default: 1)")
    add(
        "--workers",
        type=typed(int, WORKERS),
        default=available_cores(),
        metavar="N",
        help="processes (default: all cores)",
    )
    by = parser.add_argument_group("by conversation")
    by.add_argument("--valid", type=parse_share, metavar="SHARE", help=f"{share} (default: 0.05)")
    by.add_argument("--test", type=parse_share, metavar="SHARE", help=f"{share} (default: 0.05)")
    by.add_argument("--seed", type=int, metavar="N", help="another seed, another split (default: 1)")
    by.add_argument(
        "--disjoint-speakers",
        action="store_true",
        default=None,
        help="nobody speaks on two sides: valid loses conversations with a speaker of test, then train those with a "
        "speaker of valid or test",
    )
    by = parser.add_argument_group(
        "by time", "TIME: 2019-01-01 or 2019-01-01T09:00:00+09:00, UTC where it does not say; the first turn decides"
    )
    by.add_argument(
        "--test-from",
        type=_moment,
        metavar="TIME",
        help="test has the conversations that begin from then on, or --test of them; train and valid have the earlier ones",
    )
    by.add_argument("--from", dest="start", type=_moment, metavar="TIME", help="leave out what begins before")
    by.add_argument("--until", type=_moment, metavar="TIME", help="leave out what begins from then on")
    by = parser.add_argument_group("a split that somebody else made")
    by.add_argument(
        "--as",
        dest="whole",
        choices=SPLITS,
        help="all of the file is this side: files of this name alone are written",
    )
    by = parser.add_argument_group("several references")
    by.add_argument(
        "--references",
        type=typed(int, COUNT),
        metavar="N",
        help="test has one line for each context with N different responses or more: the first one in test.tgt, the "
        "others in test.ref1, test.ref2, ...; for fairseq-latent score --reference DIR/test.tgt DIR/test.ref*",
    )
    by.add_argument(
        "--max-references",
        type=typed(int, COUNT),
        metavar="N",
        help="responses that are kept of a context (default: 100)",
    )
    by = parser.add_argument_group("by ids")
    by.add_argument(
        "--ids",
        type=Path,
        metavar="DIR",
        help="the pairs that DIR/train|valid|test.turns of another split name, or .ids where turns have no ids; lines of "
        "valid and test in that order; what is found and what is missing is counted",
    )
    return parser


def _rule(options: argparse.Namespace) -> SplitOptions:
    if options.whole:
        _refuse_deciding(options, f"--as {options.whole}")
        return SplitOptions(whole=options.whole)
    test = options.test
    if test is None and options.test_from is None:
        test = 0.05
    if options.references and test == 0:
        raise InputError("--references takes contexts of test, and --test 0 has none; remedy: leave out one of them")
    if options.max_references and not options.references:
        raise InputError("--max-references without --references; remedy: e.g. --references 3")
    times = [time for time in (options.start, options.test_from, options.until) if time is not None]
    if times != sorted(set(times)):
        raise InputError(
            "--from, --test-from and --until are not in this order; remedy: each later than the one before"
        )
    return SplitOptions(
        valid=0.05 if options.valid is None else options.valid,
        test=test,
        seed=1 if options.seed is None else options.seed,
        start=options.start,
        test_from=options.test_from,
        until=options.until,
        disjoint_speakers=bool(options.disjoint_speakers),
    )


def _refuse_deciding(options: argparse.Namespace, other: str) -> None:
    """Flags that decide what another one decides alone."""
    for name in DECIDING:
        if getattr(options, name) is not None and other.partition(" ")[0] != FLAGS.get(name):
            flag = FLAGS.get(name, f"--{name.replace('_', '-')}")
            raise InputError(f"{flag} with {other}, which decides everything; remedy: leave out one of them")


def _rebuilt(options: argparse.Namespace) -> None:
    """The command with --ids."""
    _refuse_deciding(options, "--ids")
    report = rebuild(options.file, options.out, options.ids, options.context_turns, options.workers, BLOCK)
    for side, count in report["splits"].items():
        found, missing = count["found"], count["missing"]
        print(f"{side:<6}{found:>12,} pairs found{missing:>12,} missing -> {count['pairs']:,} lines")


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    options = _parser().parse_args(arguments)
    if options.ids:
        _rebuilt(options)
        return
    turns = 1 if options.context_turns is None else options.context_turns
    wanted = Options(turns, options.references or 0, options.max_references or 100, options.workers)
    report = split(options.file, options.out, _rule(options), wanted)
    for side, count in report["splits"].items():
        print(f"{side:<6}{count['conversations']:>10,} conversations{count['pairs']:>12,} pairs")
    for reason, count in report.get("left_out", {}).items():
        print(f"{count:,} conversations left out: {reason}")
    if "repeated" in report:
        print(f"{report['repeated']:,} pairs of branches stood in an earlier branch")
    if found := report.get("references"):
        print(
            f"{found['contexts']:,} test contexts have {found['least']} responses or more, {found['responses']:,} in all; "
            f"{found['contexts_with_fewer']:,} with fewer left out"
        )
    print(f"{report['without_reply']:,} conversations, or parts of one, have no reply -> {options.out}")


if __name__ == "__main__":
    sys.exit(run(main))
