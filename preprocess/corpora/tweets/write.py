"""Step 3: the turns of each thread, a part of all roots at a time, become lines of conversations.jsonl."""

import gzip
import json
import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from fairseq_latent.files import written_whole
from preprocess.conversation import BRANCH, FORMAT, PART, VERSION

from .database import database
from .formats import quoted

# adjacent turns of one user become one, with the first one's id and time
MERGED = """
    SELECT root, part, branch, min(depth) AS depth, first(user_id) AS user_id, string_agg(text, ' ' ORDER BY depth) AS text,
           first(id ORDER BY depth) AS id, first(sent ORDER BY depth) AS sent
    FROM (SELECT *, sum(begins) OVER thread AS turn
          FROM (SELECT *, (user_id IS DISTINCT FROM lag(user_id) OVER thread)::INTEGER AS begins FROM {turns} WHERE merge
                WINDOW thread AS (PARTITION BY root, part, branch ORDER BY depth))
          WINDOW thread AS (PARTITION BY root, part, branch ORDER BY depth))
    GROUP BY root, part, branch, turn"""
ALONE = "SELECT root, part, branch, depth, user_id, text, id, sent FROM {turns} WHERE NOT merge"
LINES = """
    SELECT CAST(root AS VARCHAR) || CASE part WHEN 0 THEN '' ELSE '{more}' || (part + 1) END
               || CASE branch WHEN 1 THEN '' ELSE '{mark}' || branch END AS id,
           list({{'speaker': user_id, 'text': text, 'id': CAST(id AS VARCHAR), 'time': strftime(sent, '%Y-%m-%dT%H:%M:%SZ')}}
                ORDER BY depth) AS turns, 'tweets' AS source
    FROM ({turns}) GROUP BY root, part, branch ORDER BY root, part, branch"""


def write_part(part: Path, out: Path, merge: bool, memory: str, threads: int) -> int:
    """A folder of Parquet files -> JSON lines in the order of the roots; the number of conversations."""
    turns = f"read_parquet({quoted(part / '*.parquet')}, hive_partitioning=false)"
    turns = f"{ALONE.format(turns=turns)} UNION ALL {MERGED.format(turns=turns)}" if merge else f"FROM {turns}"
    query = LINES.format(more=PART, mark=BRANCH, turns=turns)
    with database(out, memory, threads, out.with_suffix(".spill")) as base:
        return base.execute(f"COPY ({query}) TO {quoted(out)} (FORMAT json)").fetchone()[0]


def concatenate(parts: Iterable[Path], out: Path) -> None:
    """One conversations.jsonl, or .jsonl.gz, whole or not at all."""
    with ExitStack() as stack:
        file = stack.enter_context(written_whole(out, "wb"))
        if out.name.endswith(".gz"):
            file = stack.enter_context(gzip.GzipFile("", "wb", 6, file, mtime=0))
        file.write(json.dumps({"format": FORMAT, "version": VERSION}).encode() + b"\n")
        for part in parts:
            with open(part, "rb") as lines:
                shutil.copyfileobj(lines, file, 1 << 22)
