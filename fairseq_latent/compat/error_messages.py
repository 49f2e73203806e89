"""What fairseq and torch say when a user's files or flags are wrong, as one line with the remedy and exit code 2.

Only commands about this plugin's models are translated: a stock model lacks the flags that a remedy names, and what other
people's code raises is theirs to read. FAIRSEQ_LATENT_TRACEBACK=1 prints the traceback, whosever it is.
"""

import os
import re
import sys
from types import TracebackType

from ..errors import EXIT_CODE, INTERRUPTED, TRACEBACK, InputError, describe, printable

# Whose errors of files are a user's mistake: in other modules' they are for who wrote those.
OURS = {
    "fairseq",
    "fairseq_cli",
    "fairseq_latent",
    "preprocess",
    "torch",
    "numpy",
    "omegaconf",
    "hydra",
    "iopath",
    "tensorboardX",
}
LONGEST_MISMATCH = 160  # characters of the first of torch's list

# (pattern in the message, one line with the remedy): the first that matches; {0} is the match, {1} its first group.
REMEDIES = (
    (
        r"Cannot load model parameters from checkpoint ([^\s;]+)",
        "{1}: a checkpoint of another architecture{mismatch}; "
        "remedy: the --arch and sizes it was trained with, or another --save-dir",
    ),
    (
        r"Error\(s\) in loading state_dict for (\w+)",
        "the checkpoint does not fit {1}{mismatch}; "
        "remedy: the --arch and sizes it was trained with, and its own data-bin",
    ),
    (
        r"(?:Criterion|Optimizer) does not match|parameter group that doesn't match the size",
        "the checkpoint in --save-dir was trained with another architecture, loss, optimiser or precision (--bf16, --fp16); "
        "remedy: a new --save-dir with --finetune-from-model CHECKPOINT, or --reset-optimizer",
    ),
    (
        r"No such file or directory: '(\S*dict\.\w+\.txt)'",
        "{1}: no such dictionary; remedy: a folder made by fairseq-preprocess --source-lang src --target-lang tgt",
    ),
    (
        r"Incorrect dictionary format",
        "a dict.*.txt of the data is no fairseq dictionary; remedy: fairseq-preprocess again",
    ),
    (
        r"The dataset is empty\. This could indicate that all elements",
        "every example is longer than the model's positions; "
        "remedy: larger --max-source-positions --max-target-positions (persona_cvae_gpt2: --positions)",
    ),
    (
        r"Sentences lengths should not exceed max_tokens=(\d+)",
        "a sentence is longer than a batch of {1} tokens; remedy: a larger --max-tokens (of a validation set: "
        "--max-tokens-valid)",
    ),
    (
        r"embed_dim must be divisible by num_heads",
        "--embed-dim is no multiple of --heads; remedy: e.g. --embed-dim 512 --heads 8",
    ),
    (
        r"Model file not found: (\S+)",
        "{1}: no such checkpoint; remedy: --path to a checkpoint*.pt",
    ),
    (
        r"Dataset not found: (\S+) \((\S+)\)",
        "{2}: no split `{1}`; remedy: fairseq-preprocess it, with --source-lang src --target-lang tgt; sentences for "
        "text_vae with --only-source",
    ),
    (
        r"Size of sample #(\d+) is invalid \(=(.*?)\) since max_positions=(.*?), skip",
        "sample {1} has {2} tokens, the model takes {3}; remedy: --skip-invalid-size-inputs-valid-test, --truncate-source "
        "(dialogues without their oldest turns), or larger --max-source-positions --max-target-positions (text_vae: "
        "--max-sentence-length, persona_cvae_gpt2: --positions)",
    ),
    (
        r"No space left on device|enforce fail at inline_container|unexpected pos \d+ vs",
        "the disk is full: this checkpoint was not written, earlier ones are intact; "
        "remedy: free space, then run the same command",
    ),
    (
        r"Cannot resume training due to dataloader mismatch",
        "the data changed since this run's checkpoint; remedy: a new --save-dir, or --reset-dataloader",
    ),
    (
        r"^file (\S+) not found",
        "{1}: no such file; remedy: check the path",
    ),
    (
        r"server socket has failed to listen on any local network address\. port: (\d+)",
        "port {1} is in use on this machine; remedy: another port, or end what holds it: fuser {1}/tcp",
    ),
    (
        r"client socket has (?:timed out|failed).*?\(([^\s,]+), (\d+)\)|Ping failed, invalid value",
        "the rendezvous address is not answered by rank 0 of this training; remedy: the host and port of rank 0",
    ),
    (
        r"encoded data size \((\d+)\) exceeds max_size \((\d+)\)",
        "a worker's validation log of {1} bytes, which grows with the latent, exceeds --all-gather-list-size {2}; "
        "remedy: --all-gather-list-size 65536",
    ),
    (
        r"process (\d+) terminated with signal (\w+)",
        "training process {1} was ended by {2}, as for want of memory; "
        "remedy: the same command goes on from the last checkpoint",
    ),
    (
        r"DataLoader worker \(pid\(?s?\)? ?[\d, ]+\) (?:exited|is killed)",
        "a process that loads data was ended, as for want of memory; remedy: the same command goes on from the last "
        "checkpoint, with --num-workers 0 it needs no such process",
    ),
    (
        r"gloo.*(?:closed by peer|reset by peer|Broken pipe)|remote process exited or there was a network error",
        "another training process ended, its own output says why; "
        "remedy: the same command goes on from the last checkpoint",
    ),
    (
        r"gradients are Nan/Inf|Minimum loss scale reached|gradients are inconsistent between workers",
        "training diverged: a gradient is infinite or NaN (the parameters of that moment: crash.pt in --save-dir); "
        "remedy: a smaller --lr, longer --warmup-updates or --clip-norm 1, and weights of losses near 1",
    ),
    (
        r"DefaultCPUAllocator: can't allocate memory: you tried to allocate (\d+) bytes",
        "out of memory: {1} bytes more are not to be had; remedy: a smaller --max-tokens or --batch-size, smaller sizes of "
        "the model, or a smaller --k",
    ),
    (
        r"CUDA out of memory",
        "the GPU is out of memory; remedy: a smaller --max-tokens or --batch-size with a larger --update-freq, or a smaller "
        "--k",
    ),
    (
        r"[Pp]lease (?:run pip )?install (?:the )?([\w-]+)",
        "a flag needs the package {1}, which is not installed; remedy: install it, or leave out the flag",
    ),
    (
        r"--finetune-from-model (.*) does not exist",
        "--finetune-from-model {1}: no such file; remedy: check the path",
    ),
    (
        r"Index file doesn't match expected format",
        "--dataset-impl is not the form of this data; remedy: leave it out",
    ),
    (
        r"local variable 'valid_losses'",
        "--skip-remainder-batch leaves no update in an epoch; remedy: a smaller --batch-size or --update-freq",
    ),
    (
        r"Valid paths \[(.*)\] will be ignored",
        "validation sets that no flag names: {1}; remedy: --combine-valid-subsets, or --ignore-unused-valid-subsets",
    ),
    (
        r"Could not infer language pair",
        "no data found; remedy: a folder made by fairseq-preprocess, and --source-lang src --target-lang tgt",
    ),
)


def translate(error: BaseException) -> str | None:
    """One line for a user's mistake, None for a defect."""
    if line := own_line(error):
        return line
    message = re.sub(r"np\.int\d+\((\d+)\)", r"\1", str(error))  # numpy 2 prints its types
    for pattern, remedy in REMEDIES:
        found = re.search(pattern, message)
        if found:
            return remedy.format(found.group(0), *found.groups(), mismatch=_mismatch(error))
    return describe(error)


def own_line(error: BaseException) -> str | None:
    """The line of an InputError, which our own code raised, here or in a spawned process."""
    for cause in _causes(error):  # fairseq wraps what goes wrong while a checkpoint is loaded
        if isinstance(cause, InputError):
            return str(cause)
    spawned = re.search(r"InputError: (.*)", str(error))
    return spawned.group(1) if spawned else None


def _causes(error: BaseException | None):
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _mismatch(error: BaseException) -> str:
    """The first of the parameters that do not fit, as torch lists them, and how many more there are."""
    for cause in _causes(error):
        if "Error(s) in loading state_dict" in str(cause):
            first, *more = [" ".join(line.split()) for line in str(cause).splitlines()[1:]] or ["?"]
            first = first if len(first) <= LONGEST_MISMATCH else f"{first[:LONGEST_MISMATCH]} ..."
            return f" ({first.rstrip('. ')}{f', and {len(more)} more' if more else ''}; {TRACEBACK}=1 lists all)"
    return ""


class Command:
    """What runs in this process: `ours` if it is about a task, an architecture or a criterion of this plugin."""

    ours = False


def _owner(traceback: TracebackType | None) -> str:
    """The module of the innermost code outside Python's own library."""
    owner = "fairseq_latent"
    while traceback is not None:
        name = traceback.tb_frame.f_globals.get("__name__", "")
        if name.partition(".")[0] not in sys.stdlib_module_names:
            owner = name
        traceback = traceback.tb_next
    return owner


def _raised_by_others(traceback: TracebackType | None) -> bool:
    """Whether that code is neither ours nor fairseq's."""
    return _owner(traceback).partition(".")[0] not in OURS


def _line(error: BaseException, traceback: TracebackType | None) -> str | None:
    """What the user reads in place of the traceback; None where the traceback stays."""
    if not isinstance(error, Exception):
        return None
    if not Command.ours or (isinstance(error, OSError | UnicodeError) and _raised_by_others(traceback)):
        return own_line(error)
    return translate(error) or _of_optimiser(error, traceback)


def _of_optimiser(error: Exception, traceback: TracebackType | None) -> str | None:
    """What fairseq's optimisers and schedules say of their flags; only some of it names one."""
    if isinstance(error, ValueError | AssertionError | SyntaxError) and _owner(traceback).startswith("fairseq.optim."):
        said = str(error).partition("\n")[0].rstrip(".") or "a flag of it is out of range"
        return f"optimiser or learning rate: {said}; remedy: other flags of --optimizer, --lr-scheduler or --lr"
    return None


def one_line_hook(previous):
    """A sys.excepthook that ends the program with one line and exit code 2 where the mistake is the user's."""

    def hook(kind, error, traceback):
        if Command.ours and issubclass(kind, BrokenPipeError):  # `command | head` closed our output
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0)
        if Command.ours and getattr(error, "exit_code", None) == EXIT_CODE:  # a spawned process, which has said why
            raise SystemExit(EXIT_CODE)
        interrupted = Command.ours and issubclass(kind, KeyboardInterrupt)
        line = "interrupted" if interrupted else _line(error, traceback)
        if line is None:
            return previous(kind, error, traceback)
        if os.environ.get(TRACEBACK):
            previous(kind, error, traceback)
        print(line if interrupted else f"error: {printable(line)}", file=sys.stderr, flush=True)
        raise SystemExit(INTERRUPTED if interrupted else EXIT_CODE)

    return hook
