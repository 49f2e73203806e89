"""A DuckDB database of one process, which spills into a folder of its own: two would take each other's files."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from fairseq_latent.errors import InputError
from fairseq_latent.text.json_values import loads

SPACE = duckdb.OutOfMemoryException, duckdb.IOException
DATA = duckdb.DataError, duckdb.InvalidInputException, duckdb.SerializationException


def work_file(path: Path) -> dict:
    """What an earlier start noted in the folder of `--work`; InputError where that is damaged."""
    try:
        noted = loads(path.read_bytes())
    except ValueError as error:
        noted = error
    if not isinstance(noted, dict):
        raise InputError(f"{path}: damaged; remedy: remove {path.parent}, and start again")
    return noted


@contextmanager
def database(
    what: object, memory: str, threads: int, spill: Path, file: str = ":memory:", in_order: bool = True
) -> Iterator[duckdb.DuckDBPyConnection]:
    """In memory up to `memory`, e.g. 500MB, beyond that in the folder `spill`, which is gone in the end.

    What is wrong with memory, disk or data, not with a query, becomes an InputError about `what`.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": memory, "threads": threads, "temp_directory": str(spill), "preserve_insertion_order": in_order,
    }  # fmt: skip
    shutil.rmtree(spill, ignore_errors=True)  # of a process that was killed
    try:
        with duckdb.connect(file, config=config) as base:
            base.execute("SET enable_progress_bar = false; SET TimeZone = 'UTC'")
            yield base
    except SPACE as error:
        raise InputError(f"{what}: {_line(error)}; remedy: more space there or --memory, then start again") from None
    except DATA as error:
        raise InputError(f"{what}: {_line(error)}; remedy: mend the file, or leave it out") from None
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def _line(error: duckdb.Error) -> str:
    return " ".join(str(error).split())[:300]
