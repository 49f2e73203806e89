"""What all tests share: one tiny binarised corpus a session, and parts built without data.

torch and fairseq are imported inside the fixtures: tests that need neither start in a moment.
"""

import fcntl
import logging
import os
import shutil
import time
from importlib.util import find_spec

import pytest

from .helpers.corpus import write_splits

# Threads that spin make tiny operations slower; torch reads this when it is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

WORDS = ("yes", "no", "tea", "sea", "i", "love", "hate")


def pytest_configure(config):
    """fairseq's and torch's own deprecations say nothing about this project."""
    for warning in (
        "ignore::DeprecationWarning:torch",
        "ignore::FutureWarning:fairseq",
        "ignore:Support for mismatched key_padding_mask:UserWarning",
        "ignore:'pin_memory' argument is set as true:UserWarning",
    ):
        config.addinivalue_line("filterwarnings", warning)


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def log_level():
    """A command that runs in this process sets it."""
    logger = logging.getLogger("fairseq_latent")
    before = logger.level
    yield
    logger.setLevel(before)


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """What is dear, made once for all processes that test: shared(name, make) is a folder filled by make(folder)."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent

    def made(name, make):
        folder, mark = root / name, root / f"{name}.made"
        with open(root / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # whoever comes second waits
            if not mark.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                mark.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def smoke(shared):
    """The smoke quickstart from end to end: data-bin/, runs/, and how many seconds it took."""
    from .helpers import quickstart

    if find_spec("chitchat_dataset") is None:
        pytest.skip("chitchat-dataset is not installed")

    def make(folder):
        begun = time.monotonic()
        quickstart.finish(quickstart.checkout(folder), folder / "log")
        (folder / "seconds").write_text(f"{time.monotonic() - begun:.1f}")

    return shared("smoke", make)


@pytest.fixture(scope="session")
def text(tmp_path_factory):
    """Folder of train|valid|test.src|tgt."""
    return write_splits(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="session")
def binarise(tmp_path_factory):
    """Text folder, more flags -> data-bin folder, by the real fairseq-preprocess."""
    from .helpers import programs

    def binarised(folder, *flags):
        target = tmp_path_factory.mktemp("data-bin")
        splits = [f"--{name}pref={folder / name}" for name in ("train", "valid", "test")]
        sides = ("--source-lang", "src", "--target-lang", "tgt")
        programs.run("fairseq-preprocess", *sides, *splits, "--joined-dictionary", "--destdir", target, *flags)
        return target

    return binarised


@pytest.fixture(scope="session")
def data_bin(text, binarise):
    """The corpus, binarised."""
    return binarise(text)


@pytest.fixture(scope="session")
def sentences_bin(text, tmp_path_factory):
    """The corpus' responses as sentences of their own, binarised for `text_vae`."""
    from .helpers import programs

    target = tmp_path_factory.mktemp("sentences-bin")
    splits = [f"--{name}pref={text / name}.tgt" for name in ("train", "valid", "test")]
    programs.run("fairseq-preprocess", "--only-source", *splits, "--destdir", target)
    return target


@pytest.fixture(scope="session")
def persona_bin(tmp_path_factory):
    """Dialogues with profiles: 40 responses to train on, 11 to validate, 13 to test, binarised."""
    from .helpers import personas

    text, target = tmp_path_factory.mktemp("personas"), tmp_path_factory.mktemp("personas-bin")
    personas.write(text, {"train": 40, "valid": 11, "test": 13})
    personas.binarise(text, target)
    return target


@pytest.fixture(scope="session")
def persona_run(persona_bin, tmp_path_factory):
    """A persona model after two updates on `persona_bin`: its checkpoint, and what training printed."""
    from .helpers import programs

    folder = tmp_path_factory.mktemp("persona-run")
    flags = ("--task", "persona_dialogue", "--max-update", "2", "--lr", "0.01")
    log = programs.fit(persona_bin, folder, *flags, arch="persona_cvae_gpt2_tiny", criterion="podi_elbo")
    return folder / "checkpoint_last.pt", log


@pytest.fixture(scope="session")
def dictionary():
    """Seven words and the four special symbols: V = 11."""
    from fairseq.data import Dictionary

    words = Dictionary()
    for word in WORDS:
        words.add_symbol(word)
    return words


@pytest.fixture
def task(dictionary):
    """A DialogueTask without data."""
    from fairseq_latent.tasks.dialogue import DialogueConfig, DialogueTask

    config = DialogueConfig(data="nowhere", seed=1, update_freq=[1], best_checkpoint_metric="au")
    return DialogueTask(config, dictionary, dictionary)


@pytest.fixture
def text_task(dictionary):
    """A TextVAETask without data."""
    from fairseq_latent.tasks.text_vae import TextVAEConfig, TextVAETask

    config = TextVAEConfig(
        data="nowhere", seed=1, update_freq=[1], clip_norm=5.0, best_checkpoint_metric="au", train_subset="train",
        fp16=False, bf16=False, amp=False, distributed_world_size=1,
    )  # fmt: skip
    return TextVAETask(config, dictionary)


@pytest.fixture
def random():
    """Seed torch for one test."""
    import torch

    return torch.manual_seed(0)


@pytest.fixture
def refused(capsys):
    """Run something that must fail as a command would: through our sys.excepthook. Returns the one line."""

    from fairseq_latent.compat import error_messages

    def run(call, *arguments, **options):
        def previous(kind, error, traceback):
            raise AssertionError(f"a traceback for the user: {error!r}") from error

        capsys.readouterr()
        with pytest.raises(Exception) as caught:  # noqa: B017  whatever fairseq throws
            call(*arguments, **options)
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            error_messages.one_line_hook(previous)(caught.type, caught.value, caught.tb)
        assert stop.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ") and "remedy" in line, line
        return line

    return run


@pytest.fixture(scope="module")
def browser():
    """One for all tests of a file; it may be missing, and then so are they."""
    from .helpers.browser import launched

    with launched() as opened:
        yield opened
