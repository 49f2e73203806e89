"""The bash scripts as they were installed, or as they lie in a checkout: recipes, their summaries, copies."""

import re
import shutil
from pathlib import Path

from ..errors import InputError

PACKAGE = Path(__file__).parents[1]
BASE = "base_"  # what recipes share, sourced by them


def scripts() -> Path:
    """The folder of all scripts: in a wheel part of the package, in a checkout beside it."""
    found = [folder for folder in (PACKAGE / "scripts", PACKAGE.parent / "scripts") if (folder / "recipes").is_dir()]
    if not found:
        raise InputError(f"{PACKAGE}: its scripts are missing; remedy: install fairseq_latent again")
    return found[0]


def summaries() -> dict[str, str]:
    """Name of each recipe -> the first line of what it says of itself."""
    found = {}
    for path in sorted((scripts() / "recipes").glob("*.sh")):
        if not path.name.startswith(BASE):
            lines = path.read_text(encoding="utf-8").splitlines()
            found[path.stem] = next(line[2:] for line in lines if line.startswith("# ")).rstrip(".:")
    return found


def text_of(name: str) -> str:
    """A recipe, and below it what it sources of its own."""
    folder = scripts() / "recipes"
    if name not in summaries():
        raise InputError(f"no recipe {name!r}; remedy: fairseq-latent recipes list")
    text = (folder / f"{name}.sh").read_text(encoding="utf-8")
    shared = re.findall(rf"({BASE}\w+\.sh)", text)
    return "\n".join([text, *((folder / each).read_text(encoding="utf-8") for each in dict.fromkeys(shared))])


def copy(folder: Path) -> Path:
    """All scripts to FOLDER/scripts, which must be new: bash FOLDER/scripts/recipes/NAME.sh runs them."""
    target = folder / "scripts"
    if target.exists():
        raise InputError(f"{target} is there already; remedy: another folder")
    part = folder / "scripts.part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        shutil.copytree(scripts(), part, ignore=shutil.ignore_patterns("__pycache__", "__init__.py"))
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target
