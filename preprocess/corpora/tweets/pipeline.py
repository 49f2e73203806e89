"""Archives of tweets and who answered whom -> conversations.jsonl: read, join, write, each step where it was stopped."""

import argparse
import fcntl
import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict
from pathlib import Path

from fairseq_latent.errors import InputError
from fairseq_latent.files import written_whole
from preprocess.clean import cleaner
from preprocess.cleaning.rules import CleaningOptions, cleaning_options
from preprocess.parallel import map_tasks

from .accounts import accounts, remarks
from .database import database, work_file
from .files.batches import File, archive_files, batches
from .options import LEAST_MEMORY
from .progress import progress
from .read import Read, Selection, noted, read_batch
from .threads import Threads, parts_of, write_turns
from .write import concatenate, write_part

TURNS = 1_000_000  # of one part of the output, at most
TURNS_PER_MB = 200  # of the memory that a process has to write a part
PATIENCE = 3  # seconds


def convert(options: argparse.Namespace) -> None:
    """Read, join and write what the flags ask for."""
    selection = _selection(options)
    files = archive_files(options.archives)
    work = options.work or options.out.with_name(options.out.name + ".work")
    _check_places(options, work)
    with _held(work, options.shard, selection):
        read = _read([File.of(path) for path in files], work / "tweets", selection, options)
        counts = read.counts
        for remark in remarks(read):
            print(remark, file=sys.stderr)
        if options.shard:
            print(f"shard {options.shard[0]}/{options.shard[1]} is read; join the shards without --shard")
            return
        counts.update(_joined(work, options))
        lines = [line for account in accounts(counts) for line in account.lines()]
        if not counts["threads kept"]:
            print(*lines, sep="\n", flush=True)
            raise InputError(
                f"{options.archives[0]}: no conversations among {counts['tweets kept']:,} tweets; remedy: an archive that "
                "has replies and what they answer, or fewer filters (see --help)"
            )
        parts = _write(work, options)
        concatenate(parts, options.out)
        if options.report:
            with written_whole(options.report) as file:
                file.write("\n".join(lines) + "\n")
    shutil.rmtree(work)
    print(*lines, f"{counts['threads kept']:,} conversations -> {options.out}", sep="\n")


def _check_places(options: argparse.Namespace, work: Path) -> None:
    """What is wrong with them should not show after hours."""
    if set(str(work)) & set("*?[") or not str(work).isprintable():
        raise InputError(f"{work}: its name means several files to DuckDB; remedy: another --work, of plain characters")
    for path in filter(None, (options.out, options.report, work)):
        for archive in options.archives:
            if archive.is_dir() and archive.resolve() in path.resolve().parents:
                raise InputError(
                    f"{path} is within the archive {archive}; remedy: another place, it would be read as one"
                )
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):
            raise InputError(f"{path.parent}: nothing can be written there; remedy: another place for {path.name}")


def _selection(options: argparse.Namespace) -> Selection:
    languages, wanted = tuple(options.lang or ()), None
    if options.clean:
        if len(languages) > 1:
            raise InputError("--clean with several --lang; remedy: one language")
        options.lang = languages[0] if languages else None
        wanted = cleaning_options(options, tweets=True)
        cleaner(wanted)  # what is missing is missed before any work
    else:
        defaults = vars(CleaningOptions())
        given = [name for name, value in defaults.items() if name in vars(options) and getattr(options, name) != value]
        if set(given) - {"tweets", "lang"}:
            raise InputError(
                f"--{given[0].replace('_', '-')} without --clean; remedy: add --clean, or clean afterwards"
            )
    if options.keep_cut and not options.clean:
        raise InputError("--keep-cut without --clean, which alone drops them; remedy: leave it out")
    bots = tuple(_listed(options.bots))
    return Selection(languages, options.keep_retweets, options.keep_bots, bots, wanted, options.keep_cut)


def _read(files: Sequence[File], folder: Path, selection: Selection, options: argparse.Namespace) -> Read:
    """Step 1, a process per batch of files; what was read before is taken as it is, if its files are still the same."""
    folder.mkdir(exist_ok=True)
    if options.shard:
        number, shards = options.shard
        files = files[number - 1 :: shards]
    read = Read()
    done: set[tuple] = set()
    wanted = {tuple(file.noted()) for file in files}
    for record in sorted(folder.glob("*.json")):
        noted_files, before = noted(record)
        of = {tuple(file) for file in noted_files}
        if of <= wanted - done:
            done |= of
            read.add(before)
        elif not options.shard:  # other shards have other files
            record.unlink()
    if not options.shard:
        _remove_others(folder)
    todo = list(batches([file for file in files if tuple(file.noted()) not in done]))
    workers, memory, threads = _shares(options, len(todo))
    jobs = [(batch, folder, selection, memory, threads) for batch in todo]
    with (
        progress("read", sum(batch.size for batch in todo), "B") as report,
        closing(map_tasks(read_batch, jobs, workers)) as results,
    ):
        for (batch, *_), found in results:
            read.add(found)
            report(batch.size, f"{read.counts['tweets kept']:,} tweets")
    return read


def _remove_others(folder: Path) -> None:
    """What no record names: of files that changed or are gone, and what a killed run left."""
    kept = {record.stem for record in folder.glob("*.json")}
    for path in folder.iterdir():
        if path.name.partition(".")[0] not in kept:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _joined(work: Path, options: argparse.Namespace) -> Counter:
    """Step 2, in a process of its own, unless that is done: with these options, of the tweets that are there."""
    done = work / "turns.json"
    wanted = [options.repeated, options.each_reply, options.max_turns, options.keep_monologues, options.keep_crowds]
    wanted += sorted(record.stem for record in (work / "tweets").glob("*.json"))
    if done.exists():
        kept = work_file(done)
        if kept["options"] == wanted:
            return Counter(kept["counts"])
        done.unlink()
    with closing(map_tasks(join, [(work, options)], 1)) as results:
        ((_, counts),) = results
    with written_whole(done) as file:
        json.dump({"options": wanted, "counts": counts}, file)
    return counts


def join(work: Path, options: argparse.Namespace) -> Counter:
    """Write the turns of all threads to `work`/turns; the counts of it."""
    folder = work / "turns"
    shutil.rmtree(folder, ignore_errors=True)
    for left in work.glob("threads.duckdb*"):
        left.unlink()
    counts: Counter[str] = Counter()
    joining = database(
        work, f"{options.memory}MB", options.workers, work / "spill", str(work / "threads.duckdb"), in_order=False
    )
    with joining as base:
        threads = Threads(base, str(work / "tweets" / "*.parquet"), counts, _say)
        threads.link(options.repeated)
        threads.place()
        threads.walk(options.each_reply, options.max_turns)
        threads.choose(options.keep_monologues, options.keep_crowds)
        if counts["threads kept"]:
            size = min(TURNS, TURNS_PER_MB * max(LEAST_MEMORY, options.memory // options.workers))
            write_turns(threads, folder, size)
    for left in work.glob("threads.duckdb*"):
        left.unlink()
    del counts["tweets kept"]  # step 1 counted them
    return counts


def _write(work: Path, options: argparse.Namespace) -> list[Path]:
    """Step 3, a process a part."""
    parts = parts_of(work / "turns")
    workers, memory, threads = _shares(options, len(parts))
    jobs = [(part, work / f"{part.name}.jsonl", options.clean, memory, threads) for part in parts]
    with progress("write", len(jobs), " parts") as report, closing(map_tasks(write_part, jobs, workers)) as results:
        for _ in results:
            report(1)
    return [out for _, out, *_ in jobs]


def _shares(options: argparse.Namespace, jobs: int) -> tuple[int, str, int]:
    """How many processes for so many jobs, and the memory and threads of each."""
    workers = max(1, min(options.workers, jobs, options.memory // LEAST_MEMORY))
    return workers, f"{options.memory // workers}MB", max(1, options.workers // workers)


@contextmanager
def _held(work: Path, shard: tuple[int, int] | None, selection: Selection) -> Iterator[None]:
    """The work folder, for this run alone unless it reads a shard, and only with the filters that it was begun with."""
    begun, lock = work / "options.json", work / "lock"
    if work.exists() and not begun.exists() and {each.name for each in work.iterdir()} - {lock.name}:
        raise InputError(f"{work} is not empty, and is removed in the end; remedy: a new folder for --work")
    work.mkdir(parents=True, exist_ok=True)
    wanted = json.loads(json.dumps({"selection": asdict(selection)}))
    with ExitStack() as locks:
        locks.enter_context(_locked(lock, fcntl.LOCK_SH if shard else fcntl.LOCK_EX))
        if shard:
            locks.enter_context(_locked(work / "lock.{}of{}".format(*shard), fcntl.LOCK_EX))
        if begun.exists() and work_file(begun) != wanted:
            raise InputError(f"{work} was begun with other options; remedy: remove it, or another --work")
        with written_whole(begun) as file:
            json.dump(wanted, file)
        yield


@contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    """A lock on a file; what a killed run leaves behind holds its own for a moment."""
    with open(path, "a") as file:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(file, how | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise InputError(
                        f"{path.parent}: another run works there; remedy: wait for it, or another --work"
                    ) from None
                time.sleep(0.1)
        yield


def _listed(path: Path | None) -> list[str]:
    return (
        []
        if path is None
        else [line.strip().lstrip("@") for line in path.read_text("utf-8").splitlines() if line.strip()]
    )


def _say(line: str) -> None:
    print(f"join: {line}", file=sys.stderr)
