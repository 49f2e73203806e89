"""Corpora for tests: archives of self-written files, and the real ones where somebody has them."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest


def packed(path: Path, files: dict[str, str | bytes]) -> Path:
    """A zip, a tar archive or, for a name without such an ending, a folder with these files."""
    files = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    elif ".tar" in path.name:
        kind = path.suffix[1:]
        with tarfile.open(path, "w" if kind == "tar" else f"w:{kind}") as archive:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    else:
        for name, data in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
    return path


def real(name: str) -> Path:
    """A real corpus under the folder FAIRSEQ_LATENT_DATA; the test is skipped where there is none."""
    folder = os.environ.get("FAIRSEQ_LATENT_DATA")
    if not folder:
        pytest.skip("the environment variable FAIRSEQ_LATENT_DATA names no folder of real corpora")
    path = Path(folder, name)
    if not path.exists():
        pytest.skip(f"FAIRSEQ_LATENT_DATA has no {name}")
    return path
