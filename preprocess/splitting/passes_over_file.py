"""The passes over conversations.jsonl that split it: look at all of it, decide, compare where it branches, write.

All that a worker needs to know of other blocks is in its `Plan`, in arrays with an element for a conversation or a pair.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from fairseq_latent.errors import InputError
from fairseq_latent.files import written_together

from ..conversation import whole_id
from ..parallel import BLOCK, map_blocks
from .assign import NONE, TEST, Decision, SplitOptions, decide
from .collect import Survey, survey
from .examples import Pair, digest, numbers, pairs, places, trusted
from .split_files import FIELDS, SPLITS, References, columns, names_of, refuse_leftovers, state, unchanged


@dataclass(frozen=True)
class Options:
    """What is written, and with how many processes; these never change the result."""

    context_turns: int = 1
    references: int = 0
    max_references: int = 100
    workers: int = 1
    block_bytes: int = BLOCK


@dataclass(frozen=True)
class Plan:
    """What a worker has to know to write its block.

    codes, shared (N,): of the N conversations, see `Decision`; repeated (P,): for every pair with ids in shared
    conversations, in the order of the file, whether it stood there before, and `starts`: which of them is the first of
    the block that begins with a line; contexts: digests of those that test keeps, in order, or None for all.
    """

    context_turns: int
    header: int
    codes: np.ndarray
    shared: np.ndarray
    repeated: np.ndarray | None = None
    starts: dict[int, int] | None = None
    contexts: np.ndarray | None = None

    def conversations(self, first: int, data: bytes) -> Iterator[tuple[dict, int, bool]]:
        """(JSON object, side, shared) of the conversations of a block that are on a side."""
        start = max(0, first - 1 - self.header)
        stop = start + data.count(b"\n") + 1
        known = zip(self.codes[start:stop].tolist(), self.shared[start:stop].tolist(), strict=True)
        for (_, record), (code, shared) in zip(trusted(first, data), known, strict=False):
            if code != NONE:
                yield record, code, shared


def split(path: Path, out: Path, rule: SplitOptions, options: Options) -> dict:
    """Write the sides to the folder `out`, all files or none; returns what is written to split.json."""
    if options.context_turns < 1:
        raise InputError(
            f"--context-turns {options.context_turns}: a context needs 1 turn or more; remedy: --context-turns 1"
        )
    before = state(path)
    looked_at = (rule.seed, rule.by_time, rule.disjoint_speakers)
    found = survey(path, *looked_at, options.workers, options.block_bytes)
    decision = decide(found, rule, path)
    plan = Plan(options.context_turns, found.header, decision.codes, decision.shared)
    references = References(options.references, options.max_references) if options.references else None
    if references or (found.has_ids and decision.shared.any()):
        with unchanged(path, before):
            plan = _compared(plan, path, references, options)
    sides = [side for side, share in zip(SPLITS, (1, rule.valid, rule.test), strict=True) if share != 0]
    sides = [rule.whole] if rule.whole else sides
    names = names_of(sides, found.has_ids, references.most if references else 1)
    refuse_leftovers(out, names)
    report = _report(path, found, decision, rule, options)
    # split.json comes last: where it is, all the others are
    with written_together((out / name for name in (*names, "split.json")), "wb") as (*opened, summary):
        with unchanged(path, before):
            pairs_of = _write(plan, path, dict(zip(names, opened, strict=True)), references, options)
        if pairs_of["repeated"]:
            report["repeated"] = pairs_of["repeated"]
        if references:
            report["references"] = {"least": references.least, **references.counts}
        counts = {side: {"conversations": decision.counts[side], "pairs": pairs_of[side]} for side in sides}
        report["splits"] = counts
        summary.write(json.dumps(report, indent=2).encode() + b"\n")
    return report


def _report(path: Path, found: Survey, decision: Decision, rule: SplitOptions, options: Options) -> dict:
    """What split.json says beside the numbers of pairs; what was not asked for is not in it."""
    test = "all" if rule.test is None else rule.test
    report = {"version": 1, "input": path.name, "context_turns": options.context_turns, "valid": rule.valid}
    report |= {"test": test, "seed": rule.seed}
    if rule.whole:
        report = {key: value for key, value in report.items() if key not in ("valid", "test", "seed")}
        report["whole"] = rule.whole
    times = {"from": rule.start, "test_from": rule.test_from, "until": rule.until}
    report |= {name: time.isoformat() for name, time in times.items() if time is not None}
    if rule.disjoint_speakers:
        report["disjoint_speakers"] = True
    report["without_reply"] = int(np.sum(found.positions < 0))
    if left_out := {reason: count for reason, count in decision.left_out.items() if count}:
        report["left_out"] = left_out
    return report


def _compared(plan: Plan, path: Path, references: References | None, options: Options) -> Plan:
    """One more pass: which pairs stand in the file twice, and which contexts of test have responses enough."""
    look = partial(_compare_block, plan=plan, contexts=references is not None)
    starts, digests, responses, total = {}, [], [], 0
    with closing(map_blocks(look, path, options.workers, options.block_bytes, "compare")) as results:
        for first, here, answers in results:
            starts[first] = total
            total += len(here)
            digests.append(here)
            responses.append(answers)
    repeated = np.ones(total, bool)
    repeated[np.unique(np.concatenate(digests), return_index=True)[1]] = False
    contexts = references.choose(np.concatenate(responses)) if references else None
    return replace(plan, repeated=repeated, starts=starts, contexts=contexts)


def _compare_block(first: int, data: bytes, plan: Plan, contexts: bool) -> tuple[int, np.ndarray, np.ndarray]:
    """Digests of the pairs in shared conversations (P,), and of (context, response) of the pairs of test (R, 2)."""
    found, answers = [], []
    for record, code, shared in plan.conversations(first, data):
        test = contexts and code == TEST
        if not (shared or test):
            continue
        root = whole_id(record["id"])
        for pair in pairs(record, plan.context_turns):
            if shared and pair.turns:
                found.append(digest(f"{root}\n{pair.turns}"))
            if test:
                answers += (digest(pair.context), digest(pair.target))
    return first, numbers(found), numbers(answers).reshape(-1, 2)


def _write(
    plan: Plan, path: Path, files: dict[str, IO[bytes]], references: References | None, options: Options
) -> Counter[str]:
    """Write all lines; the number of pairs on each side, and of "repeated" ones."""
    counts: Counter[str] = Counter()
    work = partial(_write_block, plan=plan)
    with closing(map_blocks(work, path, options.workers, options.block_bytes, "split")) as results:
        for text, here, referenced in results:
            counts += here
            for name in text.keys() & files.keys():
                files[name].write(text[name])
            for context, pair in referenced:
                references.add(context, pair)
    if references:
        references.write(files)
        counts["test"] = references.counts["contexts"]
    return counts


def _write_block(
    first: int, data: bytes, plan: Plan
) -> tuple[dict[str, bytes], Counter[str], list[tuple[bytes, Pair]]]:
    """The text of each file, the number of pairs, and the pairs of test that wait for other responses."""
    sides: list[list[Pair]] = [[] for _ in SPLITS]
    repeated, at = 0, plan.starts[first] if plan.starts else 0
    for record, code, shared in plan.conversations(first, data):
        found = list(pairs(record, plan.context_turns))
        if shared and plan.repeated is not None:
            fresh = []
            for pair in found:
                if pair.turns:
                    at += 1
                    if plan.repeated[at - 1]:
                        continue
                fresh.append(pair)
            repeated += len(found) - len(fresh)
            found = fresh
        sides[code] += found
    referenced = []
    if plan.contexts is not None:
        contexts = [digest(pair.context) for pair in sides[TEST]]
        kept = places(plan.contexts, numbers(contexts)) >= 0
        referenced = [
            entry for entry, wanted in zip(zip(contexts, sides[TEST], strict=True), kept, strict=True) if wanted
        ]
        sides[TEST] = []
    text = {
        f"{side}.{field}": "".join(f"{line}\n" for line in lines).encode()
        for side, found in zip(SPLITS, sides, strict=True)
        for field, lines in zip(FIELDS, columns(found), strict=True)
    }
    counts = Counter(dict(zip(SPLITS, map(len, sides), strict=True)), repeated=repeated)
    return text, counts, referenced
