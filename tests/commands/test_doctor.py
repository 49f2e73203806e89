"""`fairseq-latent doctor`: each fault on a pretended machine, and the command among really broken packages."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

import fairseq_latent
from fairseq_latent.doctor import CHECKS, as_json, as_text, examine, hardware, packages, plugin, precision, usable
from fairseq_latent.doctor.machine import Answer, Machine
from fairseq_latent.doctor.result import FAIL, OK, WARN, Result

VERSIONS = {
    "torch": "2.13.0+cpu",
    "numpy": "2.4.6",
    "hydra-core": "1.3.2",
    "omegaconf": "2.3.0",
    "ve-fairseq": "0.12.3",
    "sentencepiece": "0.2.3",
    "sacrebleu": "2.6.0",
    "sacremoses": "0.2.0",
    "matplotlib": "3.11.2",
    "openTSNE": "1.0.4",
    "chitchat-dataset": "0.9.0",
    "gensim": "4.4.0",
}
REGISTRY = {"criterions": ["elbo"], "tasks": ["dialogue"], "archs": ["t_cvae"]}
TORCH = {"cuda": None, "gpus": [], "bfloat16": False}
ON_GPU = {"cuda": "12.8", "gpus": ["Card"], "bfloat16": True}
ENOUGH = 64 * 10**9


class PretendedMachine:
    """A healthy machine with a CPU; a test breaks what it names."""

    def __init__(
        self, *, versions=None, answers=None, errors=None, environment=None, commands=("fairseq-train",), **rest
    ):
        self.python = rest.get("python", (3, 11, 7))
        self.versions = {**VERSIONS, **(versions or {})}
        self.environment = {"OMP_WAIT_POLICY": "PASSIVE"} if environment is None else environment
        self.search_path = rest.get("search_path", [])
        self.commands = commands
        self.errors = errors or {}
        self.answers = {
            hardware.ASK_TORCH: TORCH,
            plugin.ASK_REGISTRY: REGISTRY,
            plugin.ASK_FAIRSEQ: {"version": "0.12.3"},
            packages.ASK_MECAB: {"words": "猫 です"},
            **(answers or {}),
        }
        self.sizes = {"memory": ENOUGH, "disk": ENOUGH, **rest.get("sizes", {})}
        self.flags = rest.get("flags", set())

    def version(self, distribution):
        return self.versions.get(distribution)

    def ask(self, code):
        for word, error in self.errors.items():
            if word in code:
                return Answer(error=error)
        return Answer(facts=self.answers.get(code, {}))

    def command(self, name):
        return f"/bin/{name}" if name in self.commands else None

    def cores(self):
        return 2

    def memory(self):
        return self.sizes["memory"]

    def free_disk(self):
        return self.sizes["disk"]

    def processor_flags(self):
        return self.flags


def test_a_healthy_machine_is_all_right():
    results = examine(PretendedMachine())
    assert [result for result in results if result.status != OK] == []
    assert len(results) == len(CHECKS)
    assert as_text(results).endswith("usable: failures: 0, warnings: 0\n")


BROKEN = "ImportError: libbroken.so"
FAULTS = [
    # machine, the check's name, status, part of the finding, part of the remedy
    ({"python": (3, 10, 4)}, "python", FAIL, "3.10.4", "python3.11 -m venv"),
    ({"python": (3, 13, 0)}, "python", FAIL, "3.13.0", "python3.11 -m venv"),
    ({"versions": {"torch": None}}, "torch", FAIL, "not installed", "pip install torch"),
    ({"versions": {"torch": "2.5.1"}}, "torch", FAIL, "2.5.1", "torch>=2.6"),
    ({"errors": {"torch": BROKEN}}, "torch", FAIL, BROKEN, "--force-reinstall torch"),
    ({"errors": {"torch": BROKEN}}, "gpu", WARN, "unknown", "repair torch"),
    ({"answers": {hardware.ASK_TORCH: {**TORCH, "cuda": "12.8"}}}, "gpu", WARN, "sees none", "nvidia-smi"),
    ({"commands": ("fairseq-train", "nvidia-smi")}, "gpu", WARN, "built for CPUs", "https://pytorch.org"),
    (
        {"versions": {"torchaudio": "2.13.0"}, "errors": {"torchaudio": BROKEN}},
        "torchaudio",
        WARN,
        BROKEN,
        "pip uninstall -y torchaudio",
    ),
    ({"versions": {"numpy": None}}, "numpy", FAIL, "not installed", "pip install numpy"),
    ({"versions": {"hydra-core": "1.4.0"}}, "hydra-core", FAIL, "1.4.0", "hydra-core>=1.3,<1.4"),
    ({"versions": {"hydra-core": "1.0.7"}}, "hydra-core", FAIL, "1.0.7", "hydra-core>=1.3,<1.4"),
    ({"versions": {"omegaconf": "2.0.6"}}, "omegaconf", FAIL, "2.0.6", "omegaconf>=2.3,<2.4"),
    ({"versions": {"omegaconf": None}}, "omegaconf", FAIL, "not installed", "omegaconf>=2.3,<2.4"),
    ({"versions": {"ve-fairseq": None}}, "fairseq distribution", FAIL, "none installed", "ve-fairseq==0.12.3"),
    (
        {"versions": {"ve-fairseq": None, "fairseq": "0.12.2"}},
        "fairseq distribution",
        FAIL,
        "does not import on Python 3.11",
        "pip uninstall -y fairseq;",
    ),
    (
        {"versions": {"fairseq": "0.12.2"}},
        "fairseq distribution",
        WARN,
        "overwrite",
        "uninstall -y ve-fairseq fairseq;",
    ),
    ({"errors": {plugin.ASK_FAIRSEQ: BROKEN}}, "fairseq imports", FAIL, BROKEN, "ve-fairseq"),
    ({"commands": ()}, "fairseq commands", WARN, "fairseq-train is not found", "activate"),
    ({"errors": {"CRITERION_REGISTRY": BROKEN}}, "plugin registers", FAIL, BROKEN, "pip install"),
    (
        {"answers": {plugin.ASK_REGISTRY: {**REGISTRY, "criterions": [], "tasks": []}}},
        "plugin registers",
        FAIL,
        "not registered: elbo (criterions), dialogue (tasks)",
        "pip install",
    ),
    ({"versions": {"sentencepiece": None}}, "sentencepiece", FAIL, "not installed", "pip install sentencepiece"),
    ({"errors": {"import sacrebleu": BROKEN}}, "sacrebleu", FAIL, BROKEN, "--force-reinstall sacrebleu"),
    ({"versions": {"sacremoses": None}}, "sacremoses", FAIL, "not installed", "pip install sacremoses"),
    ({"versions": {"matplotlib": None}}, "matplotlib", FAIL, "not installed", "pip install matplotlib"),
    (
        {"errors": {packages.ASK_MECAB: "ipadic is not installed; remedy: pip install 'fairseq_latent[ja]'"}},
        "mecab",
        WARN,
        "ipadic is not installed; only for Japanese",
        "fairseq_latent[ja]",
    ),
    ({"versions": {"openTSNE": None}}, "openTSNE", WARN, "only for t-SNE", "fairseq_latent[plot]"),
    ({"errors": {"import gensim": BROKEN}}, "gensim", WARN, BROKEN, "--force-reinstall gensim"),
    ({"versions": {"chitchat-dataset": None}}, "chitchat-dataset", WARN, "quickstart", "fairseq_latent[quickstart]"),
    ({"versions": {"ve-fairseq": None}}, "compiler", WARN, "fairseq-fixed", "g++"),
    ({"environment": {}}, "waiting threads", WARN, "spin", "OMP_WAIT_POLICY=passive"),
    ({"sizes": {"memory": 3 * 10**9}}, "memory", WARN, "3.0 GB", "--max-tokens"),
    ({"sizes": {"disk": 4 * 10**9}}, "disk", WARN, "4.0 GB", "--no-epoch-checkpoints"),
]


@pytest.mark.parametrize(
    ("machine", "name", "status", "found", "remedy"), FAULTS, ids=[f"{fault[1]}-{fault[3]}" for fault in FAULTS]
)
def test_a_fault_is_found_and_has_its_remedy(machine, name, status, found, remedy):
    results = examine(PretendedMachine(**machine))
    (result,) = (result for result in results if result.name == name)
    assert result.status == status
    assert found in result.found
    assert remedy in result.remedy
    assert usable(results) == all(result.status != FAIL for result in results)
    assert all(result.remedy for result in results if result.status != OK)


@pytest.mark.parametrize(
    ("machine", "name", "found"),
    [
        ({"versions": {"ve-fairseq": None, "fairseq-fixed": "0.12.3.1"}}, "fairseq distribution", "fairseq-fixed"),
        ({"versions": {"torchaudio": "2.13.0"}}, "torchaudio", "not needed"),
        ({"versions": {"numpy": "1.26.4"}}, "numpy", "1.26.4"),
        ({"answers": {hardware.ASK_TORCH: ON_GPU}}, "gpu", "Card"),
        ({"answers": {hardware.ASK_TORCH: ON_GPU}}, "bfloat16", "on the GPU"),
        ({"flags": {"amx_bf16", "sse2"}}, "bfloat16", "on the CPU (amx_bf16)"),
        ({"environment": {}, "answers": {hardware.ASK_TORCH: ON_GPU}}, "waiting threads", "GPU"),
        ({"environment": {"OMP_NUM_THREADS": "1"}}, "waiting threads", "OMP_NUM_THREADS=1"),
        ({"python": (3, 12, 1)}, "python", "3.12.1"),
        ({"commands": ("g++",), "versions": {"ve-fairseq": None}}, "compiler", "/bin/g++"),
    ],
)
def test_what_is_all_right(machine, name, found):
    (result,) = (result for result in examine(PretendedMachine(**machine)) if result.name == name)
    assert result.status == OK
    assert found in result.found


def test_another_copy_of_the_plugin(tmp_path):
    (tmp_path / "fairseq_latent").mkdir()
    machine = PretendedMachine(search_path=[tmp_path, Path(fairseq_latent.__file__).parent.parent])
    assert plugin.one_plugin(machine).status == OK  # a folder that is no package
    (tmp_path / "fairseq_latent" / "__init__.py").touch()
    result = plugin.one_plugin(machine)
    assert result.status == WARN
    assert result.found == f"another copy: {tmp_path.resolve() / 'fairseq_latent'}"
    assert "--user-dir" in result.remedy


def test_a_surprised_check_does_not_hide_the_others():
    def surprised(machine):
        raise KeyError("flags")

    results = examine(PretendedMachine(), [surprised, packages.python])
    assert [result.status for result in results] == [WARN, OK]
    assert "KeyError('flags')" in results[0].found


def test_text_by_hand():
    results = [Result(OK, "python", "3.11.7"), Result(FAIL, "torch", "not installed", "pip install torch")]
    assert as_text(results).splitlines() == [
        "OK    python  3.11.7",
        "FAIL  torch   not installed",
        "              remedy: pip install torch",
        "not usable: failures: 1, warnings: 0",
    ]
    assert json.loads(as_json(results))["usable"] is False


@pytest.mark.parametrize(
    ("version", "numbers"), [("2.13.0+cpu", (2, 13, 0)), ("1.4", (1, 4)), ("2.0rc1", (2, 0)), ("dev", ()), ("", ())]
)
def test_release(version, numbers):
    assert packages.release(version) == numbers


def test_machine_answers():
    machine = Machine()
    assert machine.ask("import json; print('noise'); print(json.dumps({'a': 1}))").facts == {"a": 1}
    assert machine.ask("raise ValueError('no\\n-----')").error == "ValueError: no"
    assert machine.ask("raise SystemExit(3)").error == "Python ended with code 3"
    assert machine.version("no-such-distribution") is None
    assert machine.command("no-such-command") is None
    assert min(machine.cores(), machine.memory(), machine.free_disk()) > 0


def doctor(python, **variables):
    """The command's exit code and its results by name."""
    command = [python, "-m", "fairseq_latent.cli", "doctor", "--json"]
    done = subprocess.run(command, capture_output=True, timeout=300, env={**os.environ, **variables})
    assert done.stderr == b""
    report = json.loads(done.stdout)
    assert report["usable"] == (done.returncode == 0)
    return done.returncode, {check["name"]: check for check in report["checks"]}


def broken_package(folder, name, version, statement):
    """A distribution that pip believes in and whose import runs `statement`."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(statement, encoding="utf-8")
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")


def test_command_among_broken_packages(tmp_path):
    broken_package(tmp_path, "torch", "9.9.9", "raise OSError('libtorch_pretended.so: no such file')\n")
    broken_package(tmp_path, "numpy", "1.0.0", "import os\nos._exit(7)\n")
    code, checks = doctor(sys.executable, PYTHONPATH=str(tmp_path))
    assert code == 2
    assert checks["torch"]["found"] == "9.9.9: OSError: libtorch_pretended.so: no such file"
    assert checks["numpy"]["found"] == "1.0.0: Python ended with code 7"
    assert checks["fairseq imports"]["status"] == FAIL
    assert checks["python"]["status"] == OK


def test_command_in_an_empty_environment(tmp_path):
    venv.create(tmp_path / "empty", with_pip=False, symlinks=True)
    repository = str(Path(fairseq_latent.__file__).parent.parent)
    code, checks = doctor(str(tmp_path / "empty" / "bin" / "python"), PYTHONPATH=repository)
    assert code == 2
    for name in ("torch", "numpy", "hydra-core", "sentencepiece", "sacrebleu", "sacremoses"):
        assert (checks[name]["status"], checks[name]["found"]) == (FAIL, "not installed")
    assert checks["fairseq distribution"]["found"] == "none installed"
    assert checks["mecab"]["remedy"] == "pip install 'fairseq_latent[ja]'"


# --- which precision is worth it -------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratios, rows", [([0.02], [16]), ([0.9, 1.1], [16, 1024]), ([2.5, 3.0], [16, 1024])])
def test_a_large_product_is_tried_only_where_a_small_one_is_not_imitated(monkeypatch, ratios, rows):
    """Where a processor has no units for bfloat16, a large product of it takes seconds."""
    asked = []

    def ratio(number, tries):
        asked.append(number)
        return ratios[len(asked) - 1]

    monkeypatch.setattr(precision, "_ratio", ratio)
    assert precision.faster() == ratios[-1] and asked == rows


def test_products_are_measured():
    assert 1e-4 < precision._ratio(4, 2) < 1e4
