"""`python -m preprocess.self_descriptions`: conversations.jsonl -> the same with profiles from what speakers say elsewhere.

Most corpora have no profiles, but speakers who come again. The profile of a speaker in a conversation are sentences in which
he describes himself in his other conversations (Mazaré et al., 2018; see `first_person`), never in the same one,
of which the parts that `preprocess.clean` cut off and the branches of a thread are parts. They are drawn by (seed,
conversation, speaker). Ids of speakers must last: A and B, as many corpora have them, are roles and not people.

Where the split is known, all sides draw from training alone, so that nothing that is said in a test conversation stands in a
profile. The split is what `preprocess.personas` or `preprocess.split` make with the same --valid, --test and --seed, or one
that was made before (--ids DIR). Conversations in a file of their own, an official test set, take --history TRAIN.jsonl.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fairseq_latent.errors import InputError, Parser, run
from fairseq_latent.files import written_whole
from fairseq_latent.ranges import COUNT, WORKERS, typed

from .conversation import dump_record, header_line, whole_id, zipped
from .counts_table import Account
from .lines import raw_lines, read_lines
from .parallel import BLOCK, available_cores
from .persona_data.first_person import Rules
from .persona_data.histories import Histories, listen
from .persona_data.recurring_speakers import Recurring, Sources, recurring
from .splitting.assign import TRAIN, SplitOptions, decide, parse_share
from .splitting.collect import Survey, root_digest, survey
from .splitting.examples import digest, numbers, trusted
from .splitting.split_files import state, unchanged


@dataclass(frozen=True)
class Profiler:
    """Gives conversations their profiles."""

    histories: Histories
    known: Recurring
    sources: Sources
    least: int  # sentences
    seed: int
    replace: bool

    def profiled(self, records: Iterator[dict], counts: Counter[str]) -> Iterator[dict]:
        """Conversations' JSON objects, with a profile of each speaker who has one; counts speakers by reason, "kept", and
        "conversations" in which all have one."""
        for record in records:
            if record.get("personas") and not self.replace:
                raise InputError(f"conversation {record['id']} has personas; remedy: --replace, or a file without them")
            rest = {key: value for key, value in record.items() if key != "personas"}
            profiles = {}
            roots = numbers([root_digest(self.seed, record["id"])])
            root, is_source = int(roots[0]), bool(self.sources.has(roots)[0])
            speakers = list(dict.fromkeys(turn["speaker"] for turn in record["turns"]))
            for speaker in speakers:
                profile = self._profile(speaker, root, is_source, whole_id(record["id"]))
                counts["kept" if isinstance(profile, list) else profile] += 1
                if isinstance(profile, list):
                    profiles[speaker] = profile
            counts["conversations"] += len(profiles) == len(speakers) > 1
            yield rest | {"personas": profiles} if profiles else rest

    def _profile(self, speaker: str, root: int, is_source: bool, conversation: str) -> list[str] | str:
        """The sentences, or why there are none."""
        who = int(numbers([digest(speaker)])[0])
        others = self.known.others(who, is_source)
        if others is None:
            return "of speakers with one conversation"
        if others < 1:
            return "of speakers without another conversation of training"
        profile = self.histories.profile(who, root, digest(f"{self.seed}\n{conversation}\n{speaker}"))
        return profile if len(profile) >= self.least else f"with fewer than {self.least} self-descriptions elsewhere"


def training_by_ids(folder: Path, seed: int) -> np.ndarray:
    """The conversations of train.ids, as digests in order."""
    if not (folder / "train.ids").is_file():
        raise InputError(f"{folder} has no train.ids; remedy: a folder of preprocess.split or preprocess.personas")
    return np.unique(numbers(root_digest(seed, line.rpartition(":")[0]) for line in read_lines(folder / "train.ids")))


def sources_of(found: Survey, path: Path, options: argparse.Namespace) -> Sources:
    """What --valid and --test, or --ids, make training of a file."""
    if options.ids:
        sources = Sources(training_by_ids(options.ids, options.seed))
        if not sources.has(found.roots).any():
            raise InputError(
                f"{path} has no conversation that {options.ids / 'train.ids'} names; "
                "remedy: the folder that was split from it"
            )
        return sources
    if options.valid is None:
        return Sources()
    codes = decide(found, SplitOptions(options.valid, options.test, options.seed), path).codes
    return Sources(np.unique(found.roots[codes == TRAIN]))


def refuse_roles(found: Survey, path: Path) -> None:
    """InputError where the same two speak in all of more than two conversations."""
    speakers, conversations = len(np.unique(found.speakers)), len(np.unique(found.roots))
    if speakers <= 2 < conversations:
        raise InputError(
            f"{path}: the same {speakers} speak in all of its {conversations:,} conversations, as roles do (A and B); "
            "remedy: ids of speakers that last, or --few-speakers if these are people"
        )


def describe(options: argparse.Namespace) -> list[Account]:
    """Write the conversations with profiles, whole or not at all; what became of turns, sentences and speakers."""
    path = options.history or options.file
    before = {each: state(each) for each in {path, options.file}}
    source = survey(path, options.seed, False, True, options.workers, BLOCK)
    if not options.few_speakers:
        refuse_roles(source, path)
    sources = sources_of(source, path, options)
    other = None
    if options.history:
        other = survey(options.file, options.seed, False, True, options.workers, BLOCK)
    known = recurring(other or source, source if other else None, sources)
    if not known.sources:
        raise InputError(
            f"{options.file}: none of its {known.all:,} speakers is in two conversations or more; "
            "remedy: a corpus whose speakers come again, under the same id"
        )
    rules = Rules(options.min_words, options.max_words, options.questions, options.strict)
    with unchanged(path, before[path]):
        histories, accounts = listen(path, sources, known, rules, options.sentences, options.seed, options.workers)
    profiler = Profiler(histories, known, sources, options.min_sentences, options.seed, options.replace)
    counts: Counter[str] = Counter()
    with (
        unchanged(options.file, before[options.file]),
        written_whole(options.out, "wb") as plain,
        zipped(plain, options.out) as file,
    ):
        file.write(header_line())
        records = chain.from_iterable(trusted(number, line) for number, line in raw_lines(options.file))
        read = (record for _, record in records)
        for record in tqdm(profiler.profiled(read, counts), "profiles", unit=" conversations", disable=None):
            file.write(dump_record(record))
        both = counts.pop("conversations")
        dropped = {reason: count for reason, count in counts.items() if reason != "kept"}
        if not counts["kept"]:
            why = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())
            raise InputError(f"{options.file}: no speaker gets a profile ({why}); remedy: a smaller --min-sentences")
    notes = {"conversations in which all have a profile": both}
    return [*accounts, Account("speakers of conversations", counts.total(), dropped, counts["kept"], notes)]


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m preprocess.self_descriptions",
        description="Give each speaker of a clean conversations.jsonl a profile (personas): sentences in which the same "
        "speaker describes himself in other conversations, never in the same one. A sentence of 4 to 20 words with I or my, "
        "a verb, and another noun, pronoun or adjective is a self-description (Mazare et al., 2018); in Japanese likewise.",
    )
    add = parser.add_argument
    add(
        "file", type=Path, metavar="FILE", help="clean conversations.jsonl or .jsonl.gz, with ids of speakers that last"
    )
    add("--out", type=Path, required=True, metavar="FILE", help="the conversations with personas (.jsonl or .jsonl.gz)")
    add(
        "--sentences",
        type=typed(int, COUNT),
        default=8,
        metavar="N",
        help="sentences of a profile, at most (default: 8)",
    )
    add(
        "--min-sentences",
        type=typed(int, COUNT),
        default=3,
        metavar="N",
        help="at least; with fewer a speaker gets no profile (default: 3)",
    )
    add("--seed", type=int, default=1, metavar="N", help="another seed, other sentences and another split (default: 1)")
    add("--replace", action="store_true", help="replace the personas that conversations have (default: refuse them)")
    add("--few-speakers", action="store_true", help="accept a corpus of two speakers in all, which are mostly roles")
    add("--report", type=Path, metavar="FILE", help="write the table of counts there too")
    add(
        "--workers",
        type=typed(int, WORKERS),
        default=available_cores(),
        metavar="N",
        help="processes (default: all cores)",
    )
    of = parser.add_argument_group("self-descriptions")
    of.add_argument(
        "--min-words", type=typed(int, COUNT), default=4, metavar="N", help="words of a sentence, at least (default: 4)"
    )
    of.add_argument(
        "--max-words",
        type=typed(int, COUNT),
        default=20,
        metavar="N",
        help="words of a sentence, at most (default: 20)",
    )
    of.add_argument("--questions", action="store_true", help="questions too, as the paper (default: they are left out)")
    of.add_argument(
        "--strict",
        action="store_true",
        help="only sentences that begin with I or my, have no you, and are no guess, wish or reaction (I think, I would): "
        "fewer, but nearer to the profiles of Persona-Chat (default: the paper's rules)",
    )
    by = parser.add_argument_group(
        "split", "profiles come from training alone where it is known; else from all conversations"
    )
    share = "as for preprocess.personas and preprocess.split: fraction or number of the conversations"
    by.add_argument("--valid", type=parse_share, metavar="SHARE", help=f"{share}; with --test")
    by.add_argument("--test", type=parse_share, metavar="SHARE", help=f"{share}; with --valid")
    by.add_argument("--ids", type=Path, metavar="DIR", help="training is what DIR/train.ids names, of any split")
    by.add_argument(
        "--history",
        type=Path,
        metavar="TRAIN",
        help="profiles come from this file of conversations; FILE is a side of its own, e.g. an official test set",
    )
    return parser


def _checked(options: argparse.Namespace) -> argparse.Namespace:
    if (options.valid is None) != (options.test is None):
        raise InputError("--valid and --test go together; remedy: both, as preprocess.personas gets them (0: none)")
    if options.ids and options.valid is not None:
        raise InputError("--ids with --valid and --test, and only one can decide; remedy: leave out one of them")
    for least, most in (("min_sentences", "sentences"), ("min_words", "max_words")):
        if getattr(options, least) > getattr(options, most):
            names = (f"--{name.replace('_', '-')} {getattr(options, name)}" for name in (least, most))
            raise InputError(f"{' is more than '.join(names)}; remedy: a smaller --min, or a larger maximum")
    return options


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    options = _checked(_parser().parse_args(arguments))
    lines = [line for account in describe(options) for line in account.lines()]
    print(*lines, sep="\n")
    if options.report:
        with written_whole(options.report) as file:
            file.write("\n".join(lines) + "\n")
    if options.valid is None and not (options.ids or options.history):
        print(
            "no split was given: a profile may hold what is said in a test conversation (--valid and --test, or --ids)"
        )


if __name__ == "__main__":
    sys.exit(run(main))
