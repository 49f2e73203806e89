"""Step 2: who answers whom. Joins over ids, on disk beyond the memory limit, then one row for every turn of every thread.

present    id, parent, copies            every tweet once
links      id, parent                    replies whose parent is there, texts that repeat an earlier one left out
placed     id, root, depth               by pointer doubling: a chain of a million replies takes twenty rounds, and
                                         what is in no round at a root is in a cycle
steps      leaf, id, depth               the turns of a thread, root to leaf
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import duckdb

from .formats import quoted

Say = Callable[[str], None]


class Threads:
    """The joins, in one DuckDB database of which nothing outlives the step."""

    def __init__(self, base: duckdb.DuckDBPyConnection, parquet: str, counts: Counter, say: Say):
        self.base, self.counts, self.say = base, counts, say
        base.execute(f"CREATE VIEW tweets AS SELECT * FROM read_parquet({quoted(parquet)}, hive_partitioning=false)")

    def count(self, query: str) -> int:
        """The single number that a query yields."""
        (number,) = self.base.execute(query).fetchall()[0]
        return number

    def link(self, repeated: str) -> None:
        """Make `links` and `texts` (id, user_id, sent, text, raw); `repeated`: first, user or keep (see --help)."""
        self.say("finding the tweets that answer or are answered")
        run = self.base.execute
        run(
            "CREATE TABLE present AS SELECT id, max(nullif(parent, id)) AS parent, bool_or(parent IS NOT NULL) AS answers, "
            "count(*) AS copies FROM tweets GROUP BY id"
        )
        self._follow_edits()
        run("CREATE TABLE links AS SELECT id, parent FROM present WHERE parent IN (SELECT id FROM present)")
        run("CREATE TABLE nodes AS SELECT id FROM links UNION SELECT parent FROM links")
        self.counts["tweets kept"] = self.count("SELECT coalesce(sum(copies), 0)::BIGINT FROM present")
        unique = self.count("SELECT count(*) FROM present")
        self.counts["with the id of another"] = self.counts["tweets kept"] - unique
        replies = self.count("SELECT count(*) FROM present WHERE answers")
        self.counts["replies to a tweet that is not there"] = replies - self.count("SELECT count(*) FROM links")
        nodes = self.count("SELECT count(*) FROM nodes")
        self.counts["neither answering nor answered"] = unique - nodes
        self.say(f"taking the texts of {nodes:,} tweets")
        # of tweets with one id, the one whose parent was taken; then any rule that does not depend on the order of files
        run(
            "CREATE TABLE texts AS SELECT t.id, t.user_id, t.sent, t.text, t.raw FROM tweets t JOIN present USING (id) "
            "WHERE copies = 1 AND id IN (FROM nodes)"
        )
        run(
            "INSERT INTO texts SELECT t.id, t.user_id, t.sent, t.text, t.raw FROM tweets t JOIN present USING (id) "
            "WHERE copies > 1 AND id IN (FROM nodes) QUALIFY row_number() OVER "
            "(PARTITION BY t.id ORDER BY coalesce(t.parent, 0) = coalesce(present.parent, 0) DESC, length(t.text) DESC, "
            "t.text, t.user_id, t.sent) = 1"
        )
        run("DROP TABLE present")
        if repeated != "keep":
            self._drop_repeated(repeated, nodes)

    def _follow_edits(self) -> None:
        """A reply to an earlier version of a tweet that was edited, where only a later one is there, answers that."""
        run = self.base.execute
        run("CREATE TABLE edits AS SELECT unnest(earlier) AS version, id FROM tweets WHERE earlier IS NOT NULL")
        if self.count("SELECT count(*) FROM edits"):
            run(
                "CREATE TABLE followed AS SELECT p.* REPLACE (coalesce(latest, parent) AS parent) FROM present p LEFT JOIN "
                "(SELECT version, max(id) AS latest FROM edits WHERE version NOT IN (SELECT id FROM present) "
                "GROUP BY version) ON parent = version AND p.id <> latest"
            )
            run("DROP TABLE present")
            run("ALTER TABLE followed RENAME TO present")
        run("DROP TABLE edits")

    def _drop_repeated(self, repeated: str, nodes: int) -> None:
        run = self.base.execute
        key = "raw" if repeated == "first" else "hash(user_id, raw)"
        run(f"CREATE TABLE firsts AS SELECT min(id) AS id FROM (SELECT id, {key} AS k FROM texts) GROUP BY k")
        first = self.count("SELECT count(*) FROM firsts")
        self.counts["with the text of an earlier one"] = nodes - first
        run("CREATE TABLE kept AS SELECT * FROM links WHERE id IN (FROM firsts) AND parent IN (FROM firsts)")
        run("DROP TABLE links")
        run("ALTER TABLE kept RENAME TO links")
        run("CREATE OR REPLACE TABLE nodes AS SELECT id FROM links UNION SELECT parent FROM links")
        self.counts["left without a neighbour by these"] = first - self.count("SELECT count(*) FROM nodes")

    def place(self) -> None:
        """Make `placed`: each tweet's root and how far it is from it."""
        run = self.base.execute
        run(
            "CREATE TABLE placed AS SELECT DISTINCT parent AS id, parent AS root, 0::INTEGER AS depth FROM links "
            "WHERE parent NOT IN (SELECT id FROM links)"
        )
        run("CREATE TABLE waiting AS SELECT id, parent AS ancestor, 1::INTEGER AS distance FROM links")
        number = 0
        while left := self.count("SELECT count(*) FROM waiting"):
            number += 1
            self.say(f"round {number}: {left:,} tweets are not yet placed")
            before = self.count("SELECT count(*) FROM placed")
            run(
                "CREATE TABLE further AS SELECT w.id, v.ancestor, w.distance + v.distance AS distance "
                "FROM waiting w JOIN waiting v ON w.ancestor = v.id"
            )
            run(
                "INSERT INTO placed SELECT w.id, p.root, p.depth + w.distance FROM waiting w "
                "JOIN placed p ON w.ancestor = p.id"
            )
            run("DROP TABLE waiting")
            if self.count("SELECT count(*) FROM placed") == before:
                self.counts["in a cycle of replies, or below one"] = left
                run("DELETE FROM links WHERE id NOT IN (SELECT id FROM placed)")
                break
            run("ALTER TABLE further RENAME TO waiting")
        self.counts["in threads"] = self.count("SELECT count(*) FROM placed")

    def walk(self, each_reply: bool, max_turns: int) -> None:
        """Make `steps`: root to leaf, or a reply and what it answers; threads beyond `max_turns` are cut into parts.

        `ends` (leaf, part) says of which part a leaf is the end, from 0.
        """
        run = self.base.execute
        cut = "true" if each_reply else f"depth % {max_turns} <> 0"
        # a tweet at depth max_turns, 2 max_turns, ... begins a new part
        run(f"CREATE TABLE inner_links AS SELECT id, parent FROM links JOIN placed USING (id) WHERE {cut}")
        self.counts["where a thread was cut at its length"] = self.count("SELECT count(*) FROM links") - self.count(
            "SELECT count(*) FROM inner_links"
        )
        if self.counts["where a thread was cut at its length"]:
            self.counts["alone where a thread was cut"] = self.count(
                "SELECT count(*) FROM placed "
                "WHERE id NOT IN (SELECT id FROM inner_links UNION SELECT parent FROM inner_links)"
            )
        ends = "SELECT id FROM inner_links" + (
            "" if each_reply else " WHERE id NOT IN (SELECT parent FROM inner_links)"
        )
        part = "0" if each_reply else f"depth // {max_turns}"
        run(f"CREATE TABLE ends AS SELECT id AS leaf, {part} AS part FROM ({ends}) JOIN placed USING (id)")
        run("CREATE TABLE frontier AS SELECT leaf, leaf AS id FROM ends")
        run("CREATE TABLE steps AS SELECT leaf, id FROM frontier")
        number = 0
        while self.count("SELECT count(*) FROM frontier") and not (each_reply and number):
            number += 1
            if number % 10 == 1:
                self.say(f"walking up from the last turns: step {number}")
            run("CREATE TABLE above AS SELECT leaf, l.parent AS id FROM frontier JOIN inner_links l USING (id)")
            run("INSERT INTO steps FROM above")
            run("DROP TABLE frontier")
            run("ALTER TABLE above RENAME TO frontier")

    def choose(self, keep_monologues: bool, keep_crowds: bool) -> None:
        """Make `chosen` (leaf, root, part, branch, merge): threads of two parties, and others where wanted.

        branch: from 1, of those of one root and part. merge: whether a user spoke twice in a row.
        """
        run = self.base.execute
        self.say("counting the parties of each thread")
        run(
            "CREATE TABLE continuing AS SELECT links.id FROM links JOIN texts AS own ON own.id = links.id "
            "JOIN texts AS before ON before.id = links.parent WHERE own.user_id = before.user_id"
        )
        run(
            "CREATE TABLE parties AS SELECT leaf, count(DISTINCT user_id) AS parties, "
            "bool_or(id IN (FROM continuing)) AS merge FROM steps "
            "JOIN (SELECT id, user_id FROM texts) USING (id) GROUP BY leaf"
        )
        alone, crowd = (
            "SELECT count(*) FROM parties WHERE parties = 1",
            "SELECT count(*) FROM parties WHERE parties > 2",
        )
        self.counts["threads"] = self.count("SELECT count(*) FROM parties")
        self.counts["of one party"] = 0 if keep_monologues else self.count(alone)
        self.counts["of more than two parties"] = 0 if keep_crowds else self.count(crowd)
        wanted = ["parties = 2", *["parties = 1"] * keep_monologues, *["parties > 2"] * keep_crowds]
        run(
            "CREATE TABLE chosen AS SELECT leaf, root, part, merge, "
            "row_number() OVER (PARTITION BY root, part ORDER BY leaf) AS branch "
            f"FROM parties JOIN placed ON placed.id = leaf JOIN ends USING (leaf) WHERE {' OR '.join(wanted)}"
        )
        self.counts["threads kept"] = self.count("SELECT count(*) FROM chosen")

    def turns(self) -> str:
        """The query for all turns of the chosen threads: root, part, branch, merge, depth, id, user_id, sent, text."""
        return (
            "SELECT root, part, branch, merge, depth, steps.id, user_id, sent, text FROM steps JOIN chosen USING (leaf) "
            "JOIN (SELECT id, depth FROM placed) AS place ON place.id = steps.id JOIN texts ON texts.id = steps.id"
        )


def borders(base: duckdb.DuckDBPyConnection, turns: int, size: int) -> list[int]:
    """Roots at which the turns fall into parts of about `size`; what is written does not depend on them."""
    parts = max(1, turns // size)
    if parts == 1:
        return []
    shares = [index / parts for index in range(1, parts)]
    found = base.execute(f"SELECT approx_quantile(root, {shares}) FROM chosen").fetchall()[0][0]
    return sorted({min(int(root), 2**64 - 1) for root in found or []})  # doubles, which may round up


def write_turns(threads: Threads, folder: Path, size: int) -> None:
    """Write the turns, a Parquet file for each range of roots, in folders that `parts_of` finds."""
    base = threads.base
    turns = threads.count("SELECT count(*) FROM steps JOIN chosen USING (leaf)")
    edges = borders(base, turns, size)
    threads.say(f"writing {turns:,} turns")
    place = f"list_count(list_filter({edges}::UBIGINT[], lambda edge: edge <= root))" if edges else "0"
    base.execute(
        f"COPY (SELECT *, {place} AS part_of FROM ({threads.turns()})) TO {quoted(folder)} "
        "(FORMAT parquet, PARTITION_BY (part_of), COMPRESSION zstd, OVERWRITE_OR_IGNORE)"
    )


def parts_of(folder: Path) -> list[Path]:
    """What `write_turns` wrote, in the order of the roots."""
    return sorted(folder.glob("part_of=*"), key=lambda part: int(part.name.partition("=")[2]))
