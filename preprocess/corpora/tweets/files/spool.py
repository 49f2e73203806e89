"""The files of an archive, many or a part of one, as two files of lines on disk: of JSON, and of tables."""

import codecs
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import IO

import orjson

from .decompress import BLOCK, PACKED, Truncated, is_plain, line_blocks, spool
from .json_objects import unfold
from .json_text import ASSIGNMENT, without_assignment
from .members import TAR_MARK, TAR_MARK_AT, ZIPS, Stream, beside_file, broken_off, is_archive, streams_of
from .second_look import Spooled

PORTION = 1 << 30  # bytes of lines that are read at once
SMALL = 1 << 18  # bytes of a file that is read as a whole
FLAT = bytes(max(byte, 32) for byte in range(256))  # JSON has no line feed within a string

Form = Callable[[bytes], str]


class Portion:
    """Two files of lines, `STEM.json` and `STEM.tsv`, which are gone in the end."""

    def __init__(self, stem: Path, form_of: Form, counts: Counter):
        self.json, self.tsv = stem.with_suffix(".json.lines"), stem.with_suffix(".tsv.lines")
        self.starts: list[tuple[int, str]] = []  # of the file of JSON
        self.tsv_starts: list[tuple[int, str]] = []
        self.owners: dict[str, dict[str, str]] = {}
        self.unfolded: set[str] = set()
        self._form_of, self._counts = form_of, counts
        self._files = ExitStack()
        self._open: dict[Path, IO[bytes]] = {}

    @property
    def size(self) -> int:
        """Bytes so far."""
        return sum(file.tell() for file in self._open.values())

    def link(self, path: Path, form: str) -> None:
        """A plain file as it is, where it is clean."""
        spool(path, self.tsv if form == "tsv" else self.json, self._counts)
        (self.tsv_starts if form == "tsv" else self.starts).append((0, str(path)))

    def add(self, stream: Stream) -> None:
        """A file, in pieces."""
        head, pieces, whole = _sample(stream.pieces)
        if whole and self._is_value(stream.where, head):
            return
        form = self._form_of(head)
        if form == "folded":
            if ASSIGNMENT.match(head.removeprefix(codecs.BOM_UTF8)):
                self.owners[stream.where] = _owner(stream)
            self.unfolded.add(stream.where)
            unfold(pieces, self._begin(stream.where), self._counts)
            return
        target = self._begin(stream.where, form == "tsv") if form in ("json", "tsv") else None
        read: Counter[str] = Counter()
        first = True
        try:
            for _, clean in line_blocks(pieces, read):
                if target:
                    target.write(clean.removeprefix(codecs.BOM_UTF8) if first else clean)
                first = False
        except Truncated:
            read["truncated files"] += 1
        if not target:
            read[f"lines {form}"] += read["lines"] - read["invalid UTF-8"] - read["longer than 16 MB"]
        self._counts.update(read)

    def _is_value(self, where: str, data: bytes) -> bool:
        """Take a file of one JSON object, whatever lines it has; False where it is none."""
        data = data.removeprefix(codecs.BOM_UTF8).strip()
        if not data.startswith(b"{"):
            return False
        try:
            orjson.loads(data)
        except orjson.JSONDecodeError:
            return False
        self._counts["lines"] += 1
        self._begin(where).write(data.translate(FLAT) + b"\n")
        return True

    def spooled(self) -> Spooled:
        """What stands in the file of JSON."""
        self._files.close()
        return Spooled(self.json, self.starts, self.owners, frozenset(self.unfolded))

    def remove(self) -> None:
        """Both files."""
        self._files.close()
        self.json.unlink(missing_ok=True)
        self.tsv.unlink(missing_ok=True)

    def _begin(self, where: str, table: bool = False) -> IO[bytes]:
        path = self.tsv if table else self.json
        if path not in self._open:
            self._open[path] = self._files.enter_context(path.open("wb"))
        (self.tsv_starts if table else self.starts).append((self._open[path].tell(), where))
        return self._open[path]


def portions(files: Sequence[Path], stem: Path, form_of: Form, counts: Counter) -> Iterator[Portion]:
    """All lines of the files, some at a time; each portion is removed before the next one is made."""
    portion = Portion(stem, form_of, counts)
    try:
        if len(files) == 1 and (form := _form_as_it_is(files[0], form_of)):
            portion.link(files[0], form)
        else:
            for stream in chain.from_iterable(_streams(path, counts) for path in files):
                portion.add(stream)
                if portion.size > PORTION:
                    yield portion
                    portion.remove()
                    portion = Portion(stem, form_of, counts)
        yield portion
    finally:
        portion.remove()


def _form_as_it_is(path: Path, form_of: Form) -> str | None:
    """The form of a large file of lines that may be read where it lies."""
    if path.stat().st_size <= SMALL or not is_plain(path) or is_archive(path):
        return None
    with open(path, "rb") as file:
        form = form_of(file.read(SMALL))
    return form if form in ("json", "tsv") else None


def _streams(path: Path, counts: Counter) -> Iterator[Stream]:
    """As `streams_of`, small files in a hurry."""
    if path.stat().st_size > SMALL:
        yield from streams_of(path, counts)
        return
    data = path.read_bytes()
    if data.startswith((*PACKED, *ZIPS)) or data[TAR_MARK_AT:].startswith(TAR_MARK):
        yield from streams_of(path, counts)
    elif data:
        yield Stream(str(path), iter([data]), beside_file(path))


def _sample(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes], bool]:
    """(the first 256 kB or so, all of it again, whether the former are all)."""
    first: list[bytes] = []
    size = 0
    try:
        while size < BLOCK and (piece := next(pieces, b"")):
            first.append(piece)
            size += len(piece)
    except Truncated:
        return b"".join(first), chain(first, broken_off()), False
    return b"".join(first), chain(first, pieces), size < BLOCK


def _owner(stream: Stream) -> dict[str, str]:
    """Whose account a file of tweets was downloaded of: `account.js` beside it says, else some name of its own."""
    data = without_assignment((stream.beside("account.js") or b"").removeprefix(codecs.BOM_UTF8))
    with suppress(orjson.JSONDecodeError, LookupError, TypeError):
        account = orjson.loads(data)[0]["account"]
        return {"id_str": str(account["accountId"]), "screen_name": str(account["username"])}
    return {
        "screen_name": f"owner_{blake2b(stream.where.encode('utf-8', 'surrogateescape'), digest_size=6).hexdigest()}"
    }
