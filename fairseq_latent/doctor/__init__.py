"""What is wrong with an installation, and what to type; works while packages are broken."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from fairseq_latent.doctor import hardware, packages, plugin
from fairseq_latent.doctor.machine import Machine
from fairseq_latent.doctor.result import FAIL, WARN, Check, Result

# Adding a check is adding one function here.
CHECKS: tuple[Check, ...] = (
    packages.python,
    hardware.torch,
    hardware.gpu,
    hardware.bfloat16,
    hardware.torchaudio,
    packages.numpy,
    packages.hydra,
    packages.omegaconf,
    plugin.fairseq_distribution,
    plugin.fairseq_imports,
    plugin.fairseq_commands,
    plugin.plugin_registers,
    plugin.one_plugin,
    packages.needed("sentencepiece"),
    packages.needed("sacrebleu"),
    packages.needed("sacremoses"),
    packages.mecab,
    packages.needed("matplotlib"),
    packages.optional("openTSNE", "openTSNE", "plot", "t-SNE plots of latents"),
    packages.optional("chitchat-dataset", "chitchat_dataset", "quickstart", "the quickstart's data"),
    packages.optional("gensim", "gensim", "vectors", "word vectors"),
    plugin.compiler,
    hardware.waiting_threads,
    hardware.cores,
    hardware.memory,
    hardware.disk,
)


def examine(machine: Machine, checks: Sequence[Check] = CHECKS) -> list[Result]:
    """Run all checks side by side; most of them wait for an import in another process."""
    with ThreadPoolExecutor(max_workers=len(checks)) as pool:
        return list(pool.map(lambda check: _guarded(check, machine), checks))


def _guarded(check: Check, machine: Machine) -> Result:
    try:
        return check(machine)
    except Exception as error:  # a check that this machine surprises must not hide the others
        name = check.__name__.replace("_", " ")
        return Result(WARN, name, f"the check itself failed: {error!r}", "report this line as an issue")


def usable(results: Sequence[Result]) -> bool:
    """Whether nothing needed fails."""
    return all(result.status != FAIL for result in results)


def as_text(results: Sequence[Result]) -> str:
    """One line a check, its remedy below it, and the verdict."""
    width = max(len(result.name) for result in results)
    lines = []
    for result in results:
        lines.append(f"{result.status:4}  {result.name:{width}}  {result.found}")
        if result.remedy:
            lines.append(f"{'':4}  {'':{width}}  remedy: {result.remedy}")
    failures, warnings = (sum(result.status == status for result in results) for status in (FAIL, WARN))
    verdict = "usable" if usable(results) else "not usable"
    return "\n".join([*lines, f"{verdict}: failures: {failures}, warnings: {warnings}"]) + "\n"


def as_json(results: Sequence[Result]) -> str:
    """The same for programs."""
    report = {"usable": usable(results), "checks": [asdict(result) for result in results]}
    return json.dumps(report, ensure_ascii=False, indent=2) + "\n"
