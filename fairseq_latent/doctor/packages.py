"""Checks of Python and of the packages beside fairseq and torch."""

import re

from fairseq_latent.doctor.machine import Machine
from fairseq_latent.doctor.result import FAIL, OK, WARN, Check, Result

ASK_MECAB = """
import json
from fairseq_latent.text.word_tokenizers import tokenizer
from fairseq_latent.errors import InputError
try:
    print(json.dumps({"words": tokenizer("ja")(["今日は良い天気です"])[0]}))
except InputError as error:
    raise SystemExit(str(error))
"""


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version: "2.13.0+cpu" -> (2, 13, 0)."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def python(machine: Machine) -> Result:
    """fairseq's wheels exist for 3.11 and 3.12."""
    found = ".".join(map(str, machine.python))
    if (3, 11) <= machine.python[:2] <= (3, 12):
        return Result(OK, "python", found)
    return Result(FAIL, "python", found, "make the environment with Python 3.11: python3.11 -m venv .venv")


def numpy(machine: Machine) -> Result:
    """fairseq was written for numpy 1; `compat` gives it back the names that 2 removed."""
    result = needed("numpy")(machine)
    if result.status == OK and release(result.found) >= (2,):
        return Result(OK, "numpy", f"{result.found} (fairseq's numpy 1 names are restored)")
    return result


def hydra(machine: Machine) -> Result:
    """Dataclass configs of fairseq work with hydra 1.3."""
    return _between(machine, "hydra-core", (1, 3), (1, 4))


def omegaconf(machine: Machine) -> Result:
    """The companion of hydra 1.3."""
    return _between(machine, "omegaconf", (2, 3), (2, 4))


def _between(machine: Machine, name: str, low: tuple[int, ...], high: tuple[int, ...]) -> Result:
    version = machine.version(name)
    if version is not None and low <= release(version) < high:
        return Result(OK, name, version)
    bounds = f">={'.'.join(map(str, low))},<{'.'.join(map(str, high))}"
    return Result(FAIL, name, version or "not installed", f"pip install '{name}{bounds}'")


def needed(distribution: str, module: str | None = None) -> Check:
    """A check: the package is installed and imports."""

    def check(machine: Machine) -> Result:
        version = machine.version(distribution)
        if version is None:
            return Result(FAIL, distribution, "not installed", f"pip install {distribution}")
        answer = machine.ask(f"import {module or distribution}; print('{{}}')")
        if answer.error:
            remedy = f"pip install --force-reinstall {distribution}"
            return Result(FAIL, distribution, f"{version}: {answer.error}", remedy)
        return Result(OK, distribution, version)

    return check


def optional(distribution: str, module: str, extra: str, purpose: str) -> Check:
    """A check: the package of an extra; without it everything but `purpose` works."""

    def check(machine: Machine) -> Result:
        result = needed(distribution, module)(machine)
        if result.status == OK:
            return result
        remedy = f"pip install 'fairseq_latent[{extra}]'" if result.found == "not installed" else result.remedy
        return Result(WARN, distribution, f"{result.found}; only for {purpose}", remedy)

    return check


def mecab(machine: Machine) -> Result:
    """Tags a sentence with ipadic."""
    answer = machine.ask(ASK_MECAB)
    if answer.error:
        found, _, remedy = answer.error.partition("; remedy: ")
        return Result(WARN, "mecab", f"{found}; only for Japanese", remedy or "pip install 'fairseq_latent[ja]'")
    return Result(OK, "mecab", f"ipadic: {answer.facts['words']}")
