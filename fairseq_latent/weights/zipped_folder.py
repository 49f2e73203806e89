"""A model's folder as a zip file in a package."""

import zipfile
from pathlib import Path


def unpack(archive: Path, folder: Path) -> None:
    """Write the files of the archive, whose hash is known, below `folder`."""
    with zipfile.ZipFile(archive) as members:
        members.extractall(folder)
