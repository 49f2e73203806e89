"""The walls between the parts: directions of imports, one owner for each idea, silent registration."""

import ast
import subprocess
import sys
from dataclasses import fields
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from fairseq_latent import cli

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "fairseq_latent"
PREPROCESS = ROOT / "preprocess"

# Every room and file outside a room: each imports only what stands before it, and never what a later line says.
ORDER = (
    *("symbols", "errors", "memory", "files", "shell", "text", "ranges"),
    *("gaussian", "schedules", "matching", "rewards", "losses", "selection", "aggressive"),
    *("decoding", "compat", "modules", "data", "models", "self_play", "reranking", "criterions", "tasks"),
    *("evaluation.tables", "evaluation.runs", "evaluation.metrics", "evaluation.arguments", "evaluation.analysis"),
    *("evaluation.self_play", "evaluation.profiles_as_text"),
    *("human_evaluation", "evaluation.plotting", "evaluation.reporting"),
    *("portable", "interface", "weights", "doctor", "commands", "cli"),
    *("preprocess.lines", "preprocess.parallel", "preprocess.conversation", "preprocess.counts_table"),
    *("preprocess.sentencepiece_model", "preprocess.check", "preprocess.cleaning", "preprocess.splitting"),
    *("preprocess.clean", "preprocess.corpora", "preprocess.persona_data", "preprocess.split", "preprocess.subwords"),
    *("preprocess.vectors", "preprocess.gpt2_bpe", "preprocess.personas", "preprocess.self_descriptions"),
)
KERNEL = {"compat", "modules", "models", "self_play", "criterions", "tasks"}
NEVER = {
    "data": {"text", "ranges", "losses", "selection", *KERNEL},
    "criterions": {"data", "decoding", "text", "selection", *KERNEL},
    "tasks": {"criterions", "models", "modules", "compat"},
    "doctor": set(ORDER) - {"errors"},
    **dict.fromkeys((name for name in ORDER if "evaluation" in name), {"models", "modules", "criterions"}),
    # and neither torch nor fairseq, see below
    **dict.fromkeys(
        (name for name in ORDER if name.startswith("preprocess.")),
        set(ORDER[ORDER.index("gaussian") : ORDER.index("preprocess.lines")]),
    ),
}
LARGEST = 14  # files of a folder
FOREIGN = {"fairseq", "fairseq_cli", "torch", "numpy"}
WITHOUT_TORCH = ("symbols", "errors", "files", "memory", "ranges")
STANDARD_ALONE = {"fairseq_latent", *sys.stdlib_module_names}  # what scripts start several times a minute


def sources(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def imported(path: Path, root: Path = ROOT) -> set[str]:
    """Absolute names of all modules that a file imports, anywhere in it."""
    package = path.relative_to(root).with_suffix("").parts
    package = package[:-1]  # a module's, and an __init__'s own
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{module}.{alias.name}" for alias in node.names} | {module}
    return names


def room(module: str) -> str:
    """Which of ORDER a module is in; the name of itself where it is in none."""
    parts = module.split(".")[0 if module.startswith("preprocess") else 1 :]
    count = 2 if parts[0] in ("preprocess", "evaluation") else 1
    return ".".join(parts[:count])


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in (*sources(PLUGIN), *sources(PREPROCESS))}
PACKAGES = {"fairseq_latent", "fairseq_latent.evaluation", "preprocess"}  # they hold rooms


def modules_of(path: Path) -> set[str]:
    """The modules of ours that a file imports."""
    return {name for name in imported(path) if name in MODULES} - PACKAGES - {module_of(path)}


def plugin_parts(path: Path) -> set[str]:
    return {room(name) for name in modules_of(path)}


def part_of(path: Path) -> str:
    return path.relative_to(PLUGIN).with_suffix("").parts[0]


def test_the_reader_of_imports_sees_relative_and_nested_ones(tmp_path):
    folder = tmp_path / "pack" / "sub"
    folder.mkdir(parents=True)
    (folder / "one.py").write_text("from ..top import a\nfrom . import two\ndef f():\n    import torch.nn\n")
    assert {"pack.top", "pack.sub.two", "torch.nn"} <= imported(folder / "one.py", tmp_path)


def test_every_file_has_a_room():
    assert {room(module) for module in MODULES.keys() - PACKAGES} == set(ORDER)


@pytest.mark.parametrize("module", sorted(MODULES.keys() - PACKAGES))
def test_imports_run_downwards(module):
    own = room(module)
    for other in plugin_parts(MODULES[module]) - {own}:
        assert ORDER.index(other) < ORDER.index(own), f"{module} imports {other}"
        assert other not in NEVER.get(own, ()), f"{module} imports {other}"


def test_every_folder_is_a_package():
    """Or a wheel would leave it out."""
    for path in MODULES.values():
        assert (path.parent / "__init__.py").is_file(), path.parent


def test_there_is_no_circle():
    graph = {name: {n for n in modules_of(path) if not name.startswith(f"{n}.")} for name, path in MODULES.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


def test_no_folder_is_crowded():
    tops = (PLUGIN, PREPROCESS, ROOT / "tests", ROOT / "benchmarks")
    for folder in {path.parent for top in tops for path in sources(top)}:
        files = [path.stem for path in folder.glob("*.py") if path.name != "__init__.py"]
        if folder == PLUGIN / "commands":  # a file each, however many there are
            assert sorted(files) == sorted(cli.module_of(name).rpartition(".")[2] for name in cli.COMMANDS)
        else:
            assert len(files) <= LARGEST, f"{folder} has {len(files)} files"


def test_no_module_is_called_as_one_of_the_standard_library():
    for path in MODULES.values():
        if path.stem not in ("__init__", "__main__"):
            assert path.stem not in sys.stdlib_module_names, path


def test_preprocess_needs_neither_torch_nor_fairseq():
    for path in sources(PREPROCESS):
        assert not {name.split(".")[0] for name in imported(path)} & {"torch", "fairseq", "transformers"}, path


def test_the_ground_needs_no_torch():
    for name in WITHOUT_TORCH:
        assert not {part.split(".")[0] for part in imported(PLUGIN / f"{name}.py")} & {"torch", "fairseq", "numpy"}


def test_what_scripts_call_needs_the_standard_library_alone():
    for path in sources(PLUGIN / "shell"):
        assert {part.split(".")[0] for part in imported(path)} <= STANDARD_ALONE, path


def test_pure_parts_need_no_fairseq():
    names = ("gaussian", "schedules", "losses", "matching", "rewards", "selection")
    for path in (*(PLUGIN / f"{name}.py" for name in names), *sources(PLUGIN / "modules")):
        assert "fairseq" not in {part.split(".")[0] for part in imported(path)}, path


def test_the_gaussian_lives_in_one_place():
    for path in [*sources(PLUGIN), *sources(PREPROCESS)]:
        if path.name == "gaussian.py":
            continue
        text = path.read_text(encoding="utf-8").replace(" ", "")
        for formula in ("exp(0.5", "exp(.5", ".exp()-1", "torch.exp(logvar", "logvar.exp("):
            assert formula not in text, f"{path}: {formula}"


def test_only_compat_patches_other_packages():
    """No assignment to an attribute of an imported fairseq or torch name."""
    for path in sources(PLUGIN):
        if part_of(path) == "compat":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        foreign = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                foreign |= {(a.asname or a.name).split(".")[0] for a in node.names if a.name.split(".")[0] in FOREIGN}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module.split(".")[0] in FOREIGN:
                foreign |= {alias.asname or alias.name for alias in node.names}
        for node in ast.walk(tree):
            targets = node.targets if isinstance(node, ast.Assign) else []
            for target in targets:
                while isinstance(target, ast.Attribute):
                    target = target.value
                    if isinstance(target, ast.Name):
                        assert target.id not in foreign, f"{path}:{node.lineno} patches {target.id}"


# --- registration ----------------------------------------------------------------------------------------------------

CHECK = """
from fairseq.criterions import CRITERION_REGISTRY
from fairseq.models import ARCH_MODEL_REGISTRY
from fairseq.tasks import TASK_REGISTRY
KINDS = ("t_cvae", "t_spacefusion", "gru_vae", "dialogpt", "transfertransfo")
archs = {f"{kind}{size}" for kind in KINDS for size in ("", "_small", "_tiny")}
assert archs <= ARCH_MODEL_REGISTRY.keys()
assert {"elbo", "bow_elbo", "mc_elbo", "speculative_elbo", "podi_elbo", "spacefusion"} <= CRITERION_REGISTRY.keys()
assert {"double_heads"} <= CRITERION_REGISTRY.keys()
assert {"dialogue", "text_vae"} <= TASK_REGISTRY.keys()
"""


def python(code: str) -> subprocess.CompletedProcess:
    words = [sys.executable, "-W", "error::UserWarning:fairseq_latent", "-c", code]
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, timeout=120)


FIRST = (
    "import fairseq, fairseq_latent",
    "import fairseq_latent, fairseq",
    "import fairseq_latent.tasks.dialogue",
    "import fairseq_latent.criterions.elbo",
)
# one process loads what takes long and is not looked at; each order is a copy of it
EACH = """
import os, sys, sklearn.metrics, torch, torch.export
assert not {"fairseq", "fairseq_latent"} & sys.modules.keys()
for first in FIRST:
    if not (child := os.fork()):
        exec(first + CHECK)
        sys.stdout.flush()
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(first)
"""


def test_importing_registers_everything_silently():
    done = python(f"FIRST, CHECK = {FIRST!r}, {CHECK!r}\n{EACH}")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert not [line for line in done.stderr.splitlines() if "fairseq_latent" in line]


def test_importing_alone_needs_neither_torch_nor_fairseq():
    code = "import sys, fairseq_latent, fairseq_latent.errors, fairseq_latent.files, fairseq_latent.symbols\n"
    done = python(code + "assert not {'torch', 'fairseq', 'numpy'} & sys.modules.keys()")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_no_flag_has_two_owners():
    """fairseq silently merges equal names of a model, a criterion and a task."""
    import fairseq  # noqa: F401
    from fairseq.criterions import CRITERION_DATACLASS_REGISTRY
    from fairseq.dataclass import FairseqDataclass
    from fairseq.models import MODEL_DATACLASS_REGISTRY
    from fairseq.tasks import TASK_DATACLASS_REGISTRY

    import fairseq_latent  # noqa: F401

    ours = {}
    common = {field.name for field in fields(FairseqDataclass)}
    for kind, registry in (
        ("model", MODEL_DATACLASS_REGISTRY),
        ("criterion", CRITERION_DATACLASS_REGISTRY),
        ("task", TASK_DATACLASS_REGISTRY),
    ):
        for config in registry.values():
            if config.__module__.startswith("fairseq_latent"):
                own = {field.name for field in fields(config) if not str(field.default).startswith("${")} - common
                ours.setdefault(kind, set()).update(own)
    assert ours.keys() == {"model", "criterion", "task"}
    assert not ours["model"] & ours["criterion"]
    assert not (ours["model"] | ours["criterion"]) & ours["task"]


def test_every_flag_has_a_help_text():
    import fairseq  # noqa: F401

    from fairseq_latent.criterions.elbo import ELBOConfig
    from fairseq_latent.criterions.spacefusion import SpaceFusionConfig
    from fairseq_latent.models.gru_vae import GRUVAEConfig
    from fairseq_latent.models.t_spacefusion import TSpaceFusionConfig

    for config in (ELBOConfig, SpaceFusionConfig, TSpaceFusionConfig, GRUVAEConfig):
        for field in fields(config):
            assert field.name == "_name" or field.metadata.get("help"), field.name


def test_files_are_named_like_what_they_register():
    """--criterion X is criterions/X.py, --arch X… is models/X.py, --task X is tasks/X.py."""
    for folder, decorator in (
        ("criterions", "register_criterion"),
        ("models", "register_model"),
        ("tasks", "register_task"),
    ):
        for path in sources(PLUGIN / folder):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                for call in getattr(node, "decorator_list", []):
                    if isinstance(call, ast.Call) and getattr(call.func, "id", "") == decorator:
                        assert call.args[0].value == path.stem
