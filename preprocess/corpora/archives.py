"""A corpus as it is released (a plain file, a folder, a zip or a tar archive), read file by file; nothing is unpacked."""

import bz2
import codecs
import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from fairseq_latent.errors import InputError
from fairseq_latent.memory import TooLarge, bounded_lines, read_bounded
from fairseq_latent.text.json_values import loads

from ..lines import decode

TAR = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2")
OPENERS = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
# OSError without a number: what gzip and bz2 raise; RuntimeError: a zip with a password, or packed in an unknown way
UNREADABLE = (EOFError, OSError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError)
SHOWN = 5


@dataclass(frozen=True)
class Member:
    """One file of a corpus; it is read before the next one is asked for."""

    name: str  # path inside the corpus
    where: str  # path in messages
    open: Callable[[], IO[bytes]]

    @property
    def stem(self) -> str:
        """The name without folders and endings: a/dev.tsv.gz -> dev."""
        name = PurePosixPath(self.name)
        return PurePosixPath(name.stem).stem if name.suffix in OPENERS else name.stem

    def lines(self) -> Iterator[tuple[int, str]]:
        """(number, line without its end); InputError "FILE:LINE: ..." where it is damaged or no UTF-8."""
        number = 0
        try:
            with self.open() as file:
                for number, line in enumerate(bounded_lines(file), 1):
                    if number == 1:
                        line = line.removeprefix(codecs.BOM_UTF8)
                    yield number, decode(line.removesuffix(b"\n").removesuffix(b"\r"))
        except TooLarge as error:
            raise InputError(f"{self.where}:{number + 1}: {error}") from None
        except InputError as error:
            raise InputError(f"{self.where}:{number}: {error}") from None
        except UNREADABLE as error:
            raise _damaged(f"{self.where}:{number + 1}", error) from None

    def text(self) -> str:
        """The whole file, with the errors of `lines`."""
        try:
            with self.open() as file:
                data = read_bounded(file).removeprefix(codecs.BOM_UTF8)
        except TooLarge as error:
            raise InputError(f"{self.where}: {error}") from None
        except UNREADABLE as error:
            raise _damaged(self.where, error) from None
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            remedy = "convert the file, e.g. iconv -f LATIN1 -t UTF-8"
            raise InputError(f"{self.where}:{line}: invalid UTF-8; remedy: {remedy}") from None

    def json(self) -> object:
        """The whole file's JSON value; InputError "FILE:LINE: ..." where it is none."""
        try:
            return loads(self.text())
        except ValueError as error:
            raise self.no_json(error) from None

    def no_json(self, error: ValueError | RecursionError) -> InputError:
        """The error for what the json module cannot read."""
        line = getattr(error, "lineno", 1)
        return InputError(f"{self.where}:{line}: no JSON ({error}); remedy: download or copy it again")

    def other_form(self, line: int, error: InputError | KeyError | TypeError) -> InputError:
        """The error for a record, at `line`, that lacks what its corpus has."""
        reason = f"no key {error}" if isinstance(error, KeyError) else str(error).partition("; remedy")[0]
        return InputError(f"{self.where}:{line}: not as the corpus is released ({reason}); remedy: download it again")


def members(path: str | Path, pattern: str, plain: str = "*") -> Iterator[Member]:
    """The files of the archive or folder `path` whose path ends in `pattern`, e.g. "dialogues/*.json", in its order.

    A plain file stands for itself, where its name is like `plain`. InputError where no file is found, or damaged ones.
    """
    path, seen, found = Path(path), [], False
    for member in _undamaged(path):
        name = PurePosixPath(member.name)
        alone = member.where == str(path)
        if not alone and any(part.startswith(".") or part == "__MACOSX" for part in name.parts):
            continue
        if name.match(plain if alone else pattern):
            found = True
            yield member
        elif len(seen) <= SHOWN:
            seen.append(name.name)
    if not found:
        more = ", ..." if len(seen) > SHOWN else ""
        has = ", ".join(seen[:SHOWN]) + more if seen else "no files"
        wanted = pattern if plain == "*" else plain
        raise InputError(f"{path} has no {wanted}, but {has}; remedy: give the corpus as it was released")


def _undamaged(path: Path) -> Iterator[Member]:
    try:
        yield from _all(path)
    except UNREADABLE as error:
        raise _damaged(str(path), error) from None


def _all(path: Path) -> Iterator[Member]:
    if path.is_dir():
        for file in sorted(file for file in path.rglob("*") if file.is_file()):
            yield Member(file.relative_to(path).as_posix(), str(file), partial(_open, file))
    elif path.name.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if not info.filename:
                    raise zipfile.BadZipFile("a file without a name")
                if not info.is_dir():
                    yield Member(
                        info.filename,
                        f"{path}/{info.filename}",
                        partial(_open_member, info.filename, partial(archive.open, info)),
                    )
    elif path.name.endswith(TAR):
        with tarfile.open(path) as archive:
            for info in archive:
                if info.isfile():
                    yield Member(
                        info.name,
                        f"{path}/{info.name}",
                        partial(_open_member, info.name, partial(archive.extractfile, info)),
                    )
            while archive.fileobj.read(1 << 20):  # up to the check sum of what compressed it
                pass
            if path.suffix == ".tar" and archive.offset + tarfile.BLOCKSIZE > path.stat().st_size:
                raise tarfile.ReadError("the mark of its end is missing")
    else:
        yield Member(path.name, str(path), partial(_open, path))


def _open(path: Path) -> IO[bytes]:
    return OPENERS.get(path.suffix, open)(path, "rb")


def _open_member(name: str, opened: Callable[[], IO[bytes]]) -> IO[bytes]:
    """A file of an archive, which may be compressed itself."""
    opener = OPENERS.get(PurePosixPath(name).suffix)
    return opener(opened(), "rb") if opener else opened()


def _damaged(where: str, error: Exception) -> Exception:
    """The error of a file that cannot be read to its end; what the system reports stays as it is."""
    if isinstance(error, OSError) and error.errno is not None:
        return error
    reason = str(error).partition("\n")[0].rstrip(":")
    return InputError(f"{where}: damaged or not what its name says ({reason}); remedy: download or copy it again")
