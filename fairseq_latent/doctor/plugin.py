"""Checks of fairseq and of this plugin inside it."""

from pathlib import Path

from fairseq_latent.doctor.machine import Machine
from fairseq_latent.doctor.result import FAIL, OK, WARN, Result

INSTALL_FAIRSEQ = "pip install --no-deps ve-fairseq==0.12.3 (no wheel for this platform: fairseq-fixed==0.12.3.1)"
FAIRSEQS = ("ve-fairseq", "fairseq-fixed", "fairseq")

ASK_FAIRSEQ = "import json, fairseq; print(json.dumps({'version': fairseq.__version__}))"
ASK_REGISTRY = """
import json, fairseq_latent, fairseq
from fairseq.criterions import CRITERION_REGISTRY
from fairseq.models import ARCH_MODEL_REGISTRY
from fairseq.tasks import TASK_REGISTRY
print(json.dumps({
    "criterions": sorted(CRITERION_REGISTRY), "tasks": sorted(TASK_REGISTRY), "archs": sorted(ARCH_MODEL_REGISTRY),
}))
"""


def fairseq_distribution(machine: Machine) -> Result:
    """Exactly one of the distributions that bring the module fairseq; the official one is too old for 3.11."""
    found = {name: version for name in FAIRSEQS if (version := machine.version(name))}
    text = ", ".join(f"{name} {version}" for name, version in found.items()) or "none installed"
    if not found:
        return Result(FAIL, "fairseq distribution", text, INSTALL_FAIRSEQ)
    if list(found) == ["fairseq"]:
        remedy = f"pip uninstall -y fairseq; {INSTALL_FAIRSEQ}"
        return Result(FAIL, "fairseq distribution", f"{text}: does not import on Python 3.11", remedy)
    if len(found) > 1:
        remedy = f"pip uninstall -y {' '.join(found)}; {INSTALL_FAIRSEQ}"
        return Result(WARN, "fairseq distribution", f"{text}: they overwrite each other's files", remedy)
    return Result(OK, "fairseq distribution", text)


def fairseq_imports(machine: Machine) -> Result:
    """A real import."""
    answer = machine.ask(ASK_FAIRSEQ)
    if answer.error:
        return Result(
            FAIL, "fairseq imports", answer.error, f"repair what FAILs around this line, or {INSTALL_FAIRSEQ}"
        )
    return Result(OK, "fairseq imports", f"fairseq {answer.facts['version']}")


def fairseq_commands(machine: Machine) -> Result:
    """fairseq-train and its sisters."""
    found = machine.command("fairseq-train")
    if found is None:
        return Result(WARN, "fairseq commands", "fairseq-train is not found", "source .venv/bin/activate")
    return Result(OK, "fairseq commands", found)


def plugin_registers(machine: Machine) -> Result:
    """Importing fairseq_latent beside fairseq brings its tasks, criterions and architectures."""
    answer = machine.ask(ASK_REGISTRY)
    remedy = "pip install --no-deps --force-reinstall fairseq_latent (in a clone: pip install --no-deps -e .)"
    if answer.error:
        return Result(FAIL, "plugin registers", answer.error, remedy)
    wanted = {"criterions": "elbo", "tasks": "dialogue", "archs": "t_cvae"}
    missing = [f"{name} ({kind})" for kind, name in wanted.items() if name not in answer.facts[kind]]
    if missing:
        return Result(FAIL, "plugin registers", f"not registered: {', '.join(missing)}", remedy)
    return Result(OK, "plugin registers", ", ".join(wanted.values()))


def one_plugin(machine: Machine) -> Result:
    """fairseq refuses --user-dir when another folder of the same name was imported before."""
    here = Path(__file__).resolve().parent.parent
    candidates = {(folder / "fairseq_latent").resolve() for folder in machine.search_path}
    others = sorted(str(path) for path in candidates if path != here and (path / "__init__.py").is_file())
    if others:
        remedy = f"pass --user-dir {here}, or remove the other copy (pip uninstall fairseq_latent)"
        return Result(WARN, "one fairseq_latent", f"another copy: {', '.join(others)}", remedy)
    return Result(OK, "one fairseq_latent", str(here))


def compiler(machine: Machine) -> Result:
    """Only fairseq-fixed without a wheel is compiled."""
    found = next(filter(None, map(machine.command, ("g++", "c++", "clang++"))), None)
    if found or any(map(machine.version, FAIRSEQS[:2])):
        return Result(OK, "compiler", found or "none; not needed, fairseq is installed")
    return Result(WARN, "compiler", "none; only to install fairseq-fixed from source", "apt-get install g++")
