"""`python -m preprocess.tweets ARCHIVE... --out conversations.jsonl`: tweets and who answered whom -> conversations."""

import argparse
import fcntl
import json
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path

import duckdb
from tqdm import tqdm

from fairseq_latent.errors import InputError, run
from fairseq_latent.files import written_whole

from ..clean import cleaner
from ..rules import Wanted, wanted_by
from .accounts import accounts
from .options import parser
from .read import Selection, read_file
from .spool import archive_files
from .threads import Threads, parquet_of_turns
from .write import concatenate, write_part

TURNS = 1_000_000  # of one part of the output, at most
TURNS_PER_MB = 200  # of the memory that a process has to write a part


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    options = parser().parse_args(arguments)
    selection = _selection(options)
    files = archive_files(options.archives)
    work = options.work or options.out.with_name(options.out.name + ".work")
    with _held(work, files, options, selection):
        counts = _read(files, work / "tweets", selection, options)
        if options.shard:
            print(f"shard {options.shard[0]}/{options.shard[1]} is read; join the shards without --shard")
            return
        counts += _join(work, options)
        parts = _write(work, options)
        concatenate(parts, options.out)
        lines = [line for account in accounts(counts) for line in account.lines()]
        if options.report:
            with written_whole(options.report) as file:
                file.write("\n".join(lines) + "\n")
    shutil.rmtree(work)
    print(*lines, f"{counts['threads kept']:,} conversations -> {options.out}", sep="\n")


def _selection(options: argparse.Namespace) -> Selection:
    languages, wanted = tuple(options.lang or ()), None
    if options.clean:
        if len(languages) > 1:
            raise InputError("--clean with several --lang; remedy: one language")
        options.lang = languages[0] if languages else None
        wanted = wanted_by(options, tweets=True)
        cleaner(wanted)  # what is missing is missed before any work
    else:
        given = [
            name for name, value in vars(Wanted()).items() if name in vars(options) and getattr(options, name) != value
        ]
        if set(given) - {"tweets", "lang"}:
            raise InputError(
                f"--{given[0].replace('_', '-')} without --clean; remedy: add --clean, or clean afterwards"
            )
    return Selection(languages, options.keep_retweets, options.keep_bots, tuple(_listed(options.bots)), wanted)


def _read(files: Sequence[Path], folder: Path, selection: Selection, options: argparse.Namespace) -> Counter:
    """Step 1, a process a file; files that were read before are passed over."""
    folder.mkdir(exist_ok=True)
    tasks = list(enumerate(files))
    if options.shard:
        number, shards = options.shard
        tasks = [(index, path) for index, path in tasks if index % shards == number - 1]
    workers = max(1, min(options.workers, len(tasks)))
    threads = max(1, options.workers // workers)
    memory = f"{max(256, options.memory // workers)}MB"
    counts: Counter[str] = Counter()
    size = sum(path.stat().st_size for _, path in tasks)
    with tqdm(total=size, desc="read", unit="B", unit_scale=True, disable=None) as bar:
        jobs = {(path, index, folder, selection, memory, threads): path.stat().st_size for index, path in tasks}
        for job, counted in _parallel(read_file, jobs, workers):
            counts += counted
            bar.update(jobs[job])
            bar.set_postfix_str(f"{counts['tweets kept']:,} tweets")
    return counts


def _join(work: Path, options: argparse.Namespace) -> Counter:
    """Step 2, in one process with all its threads."""
    folder, counted = work / "turns", work / "turns.json"
    if counted.exists():
        return Counter(json.loads(counted.read_text()))
    shutil.rmtree(folder, ignore_errors=True)
    for left in work.glob("threads.duckdb*"):
        left.unlink()
    counts: Counter[str] = Counter()
    config = {
        "memory_limit": f"{options.memory}MB", "threads": options.workers, "temp_directory": str(work / "spill"),
        "preserve_insertion_order": False,
    }  # fmt: skip
    with duckdb.connect(str(work / "threads.duckdb"), config=config) as base:
        base.execute("SET enable_progress_bar = false")
        threads = Threads(base, str(work / "tweets" / "*.parquet"), counts, _say)
        threads.link(options.repeated)
        threads.place()
        threads.walk(options.each_reply, options.max_turns)
        threads.choose(options.keep_monologues, options.keep_crowds)
        if not counts["threads kept"]:
            raise InputError(
                f"{options.archives[0]}: no conversations among {counts['tweets kept']:,} tweets; remedy: an archive that "
                "has replies and what they answer, or fewer filters (see --help)"
            )
        del counts["tweets kept"]  # step 1 counted them
        size = min(TURNS, TURNS_PER_MB * max(256, options.memory // options.workers))
        parquet_of_turns(threads, folder, size)
    for left in work.glob("threads.duckdb*"):
        left.unlink()
    with written_whole(counted) as file:
        json.dump(counts, file)
    return counts


def _write(work: Path, options: argparse.Namespace) -> list[Path]:
    """Step 3, a process a part."""
    folders = sorted((work / "turns").glob("part_of=*"), key=lambda part: int(part.name.partition("=")[2]))
    workers = max(1, min(options.workers, len(folders)))
    memory = f"{max(256, options.memory // workers)}MB"
    jobs = {
        (part, work / f"{part.name}.jsonl", options.clean, memory, max(1, options.workers // workers)): 1
        for part in folders
    }
    with tqdm(total=len(jobs), desc="write", unit=" parts", disable=None) as bar:
        for _ in _parallel(write_part, jobs, workers):
            bar.update()
    return [out for _, out, *_ in jobs]


def _parallel(function: Callable, jobs: Iterable[tuple], workers: int) -> Iterator[tuple[tuple, object]]:
    """(job, result) as they come; an error ends all."""
    if workers == 1:
        for job in jobs:
            yield job, function(*job)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("forkserver")) as pool:
        futures = {pool.submit(function, *job): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def _held(work: Path, files: Sequence[Path], options: argparse.Namespace, selection: Selection) -> Iterator[None]:
    """The work folder, for this run alone unless it reads a shard, and only with the options that it was begun with."""
    work.mkdir(parents=True, exist_ok=True)
    kept = {
        "files": [[str(path), path.stat().st_size] for path in files], "selection": asdict(selection),
        "join": [options.repeated, options.each_reply, options.max_turns, options.keep_monologues, options.keep_crowds],
    }  # fmt: skip
    wanted = json.loads(json.dumps(kept))
    with open(work / "lock", "a") as lock:
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if options.shard else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"{work}: another run works there; remedy: wait for it, or another --work") from None
        begun = work / "options.json"
        if begun.exists() and json.loads(begun.read_text()) != wanted:
            raise InputError(f"{work} was begun with other files or options; remedy: remove it, or another --work")
        with written_whole(begun) as file:
            json.dump(wanted, file)
        try:
            yield
        except duckdb.Error as error:
            line = " ".join(str(error).split())[:300]
            raise InputError(f"{work}: {line}; remedy: more space there or --memory, then start again") from None


def _listed(path: Path | None) -> list[str]:
    return (
        []
        if path is None
        else [line.strip().lstrip("@") for line in path.read_text("utf-8").splitlines() if line.strip()]
    )


def _say(line: str) -> None:
    print(f"join: {line}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run(main))
