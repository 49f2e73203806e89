"""The hook that turns a user's mistake into one line: what it translates, and what it leaves as it is."""

from types import SimpleNamespace

import pytest
from fairseq import options

from fairseq_latent import errors
from fairseq_latent.compat import error_messages
from fairseq_latent.compat.error_messages import Command
from fairseq_latent.errors import InputError

OURS = ("--task", "dialogue", "--arch", "t_cvae_tiny")
STOCK = ("--task", "translation", "--arch", "transformer")
MISMATCH = RuntimeError(
    "Error(s) in loading state_dict for TCVAEModel:\n"
    '\tMissing key(s) in state_dict: "encoder.layers.1.fc1.weight", "encoder.layers.1.fc1.bias". \n'
    "\tsize mismatch for encoder.embed.weight: copying a param with shape torch.Size([9, 2]) from checkpoint."
)


@pytest.fixture
def command(monkeypatch):
    """Parse a command line, as fairseq's programs do before all else."""
    monkeypatch.setattr(Command, "ours", False)

    def parse(*flags):
        return options.parse_args_and_arch(options.get_training_parser(), ["data", *flags])

    return parse


@pytest.fixture
def hooked(capsys):
    """An error, raised in a module of this name -> exit code (None: left to Python), what was printed."""

    def run(error, module="fairseq.trainer"):
        space = {"__name__": module, "error": error}
        left = []
        try:
            exec("def fail():\n    raise error\nfail()", space)
        except BaseException as raised:
            hook = error_messages.one_line_hook(lambda *error: left.append(error))
            try:
                hook(type(raised), raised, raised.__traceback__)
                code = None
            except SystemExit as stop:
                code = stop.code
        return SimpleNamespace(code=code, left=bool(left), printed=capsys.readouterr().err)

    return run


def test_whose_command_it_is(command):
    for flags, ours in (
        (OURS, True),
        (STOCK, False),
        (("--task", "translation", "--arch", "transformer", "--criterion", "elbo"), True),
        (STOCK, False),
    ):
        command(*flags)
        assert Command.ours is ours


@pytest.mark.parametrize("error", [
    MISMATCH,
    RuntimeError("The dataset is empty. This could indicate that all elements of the dataset have been skipped."),
    FloatingPointError("gradients are Nan/Inf"),
    FileNotFoundError(2, "No such file or directory", "vectors.txt"),
    KeyboardInterrupt(),
])  # fmt: skip
def test_errors_of_stock_models_stay_as_they_are(command, hooked, error):
    command(*STOCK)
    seen = hooked(error)
    assert seen.left and seen.code is None and not seen.printed
    command(*OURS)
    assert hooked(error.with_traceback(None)).code is not None


def test_our_own_refusals_are_one_line_in_any_command(command, hooked):
    command(*STOCK)
    seen = hooked(InputError("x.pt: refused; remedy: another"), "fairseq_latent.compat.checkpoints.checkpoint_files")
    assert seen.code == 2 and seen.printed == "error: x.pt: refused; remedy: another\n" and not seen.left


def test_files_that_other_peoples_code_reads_keep_their_traceback(command, hooked):
    command(*OURS)
    assert hooked(FileNotFoundError(2, "No such file", "mine.txt"), "my_plugin.criterions").left
    assert "mine.txt" in hooked(FileNotFoundError(2, "No such file", "mine.txt"), "fairseq_latent.tasks").printed
    assert hooked(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "my_plugin").left


def test_defects_keep_their_traceback(command, hooked):
    command(*OURS)
    seen = hooked(ZeroDivisionError("division by zero"), "fairseq_latent.losses")
    assert seen.left and seen.code is None


@pytest.mark.parametrize("module, error, said", [
    ("fairseq.optim.adafactor", ValueError("Cannot combine manual lr and relative_step options"), ": Cannot combine manual"),
    ("fairseq.optim.lr_scheduler.step_lr_scheduler", AssertionError(), "a flag of it is out of range"),
    ("fairseq.optim.lr_scheduler.manual_lr_scheduler", SyntaxError("invalid syntax"), ": invalid syntax"),
])  # fmt: skip
def test_optimisers_and_schedules_say_what_their_flags_lack(command, hooked, module, error, said):
    command(*OURS)
    seen = hooked(error, module)
    assert seen.code == 2 and said in seen.printed and seen.printed.count("\n") == 1 and not seen.left
    assert hooked(error.with_traceback(None), "fairseq.trainer").left
    command(*STOCK)
    assert hooked(error.with_traceback(None), module).left


def test_an_interrupted_training_says_so_in_a_word(command, hooked):
    command(*OURS)
    seen = hooked(KeyboardInterrupt())
    assert seen.code == errors.INTERRUPTED == 130 and seen.printed == "interrupted\n" and not seen.left


def test_any_traceback_can_be_asked_for(command, hooked, monkeypatch, capsys):
    command(*OURS)
    monkeypatch.setenv(errors.TRACEBACK, "1")
    seen = hooked(InputError("wrong; remedy: right"))
    assert seen.left and seen.code == 2 and "error: wrong" in seen.printed

    def fail():
        raise InputError("wrong; remedy: right")

    assert errors.run(fail) == 2
    printed = capsys.readouterr().err
    assert "Traceback" in printed and printed.endswith("error: wrong; remedy: right\n")


def test_what_does_not_fit_is_named(command, hooked):
    command(*OURS)
    printed = hooked(MISMATCH).printed
    assert 'Missing key(s) in state_dict: "encoder.layers.1.fc1.weight"' in printed and "and 1 more" in printed
    assert errors.TRACEBACK in printed and printed.count("\n") == 1


def test_what_an_error_names_does_nothing_to_the_terminal(command, hooked):
    command(*OURS)
    assert "\x1b" not in hooked(FileNotFoundError(2, "No such file", "\x1b]0;x\a.pt")).printed


@pytest.mark.parametrize("message, said", [
    ("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
     "256000000000 bytes. Error code 12 (Cannot allocate memory)", "out of memory: 256000000000 bytes"),
    ("CUDA out of memory. Tried to allocate 2.00 GiB.", "the GPU is out of memory"),
    ("Please install DeepSpeed: pip install deepspeed", "the package DeepSpeed"),
    ("please run pip install pyarrow to use --use_plasma_view", "the package pyarrow"),
    ("--finetune-from-model x.pt does not exist", "x.pt: no such file"),
    ("Sentences lengths should not exceed max_tokens=1", "a batch of 1 tokens; remedy: a larger --max-tokens (of"),
    ("Index file doesn't match expected format. Make sure that ...", "--dataset-impl is not the form of this data"),
    ("Valid paths ['valid1'] will be ignored. Set --combine-val", "--combine-valid-subsets"),
    ("Minimum loss scale reached (0.0001). Your loss is probably exploding.", "training diverged"),
])  # fmt: skip
def test_what_torch_and_fairseq_say_is_one_line_with_a_remedy(command, hooked, message, said):
    command(*OURS)
    printed = hooked(RuntimeError(message)).printed
    assert said in printed and "remedy: " in printed


def test_every_translation_has_a_remedy():
    assert all("remedy: " in remedy and "\n" not in remedy for _, remedy in error_messages.REMEDIES)
