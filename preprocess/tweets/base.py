"""A DuckDB database of one process, which spills into a folder of its own: two would take each other's files."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb


@contextmanager
def database(memory: str, threads: int, spill: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """In memory up to `memory`, e.g. 500MB, beyond that in the folder `spill`, which is gone in the end."""
    config = {"memory_limit": memory, "threads": threads, "temp_directory": str(spill)}
    try:
        with duckdb.connect(config=config) as base:
            base.execute("SET enable_progress_bar = false")
            yield base
    finally:
        shutil.rmtree(spill, ignore_errors=True)
