"""What fairseq and torch say when a user's files or flags are wrong, as one line with the remedy and exit code 2."""

import os
import re
import sys

from .errors import EXIT_CODE, InputError, describe

# (pattern in the message, one line with the remedy): the first that matches; {0} is the match, {1} its first group.
REMEDIES = (
    (
        r"Cannot load model parameters from checkpoint ([^\s;]+)",
        "{1}: a checkpoint of another architecture; "
        "remedy: the --arch and sizes it was trained with, or another --save-dir",
    ),
    (
        r"Error\(s\) in loading state_dict for (\w+)",
        "the checkpoint does not fit {1}; remedy: the --arch and sizes it was trained with, and its own data-bin",
    ),
    (
        r"(?:Criterion|Optimizer) does not match|parameter group that doesn't match the size",
        "the checkpoint in --save-dir was trained with another architecture, loss or optimiser; "
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
        "a sentence is longer than --max-tokens {1}; remedy: a larger --max-tokens",
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
        r"Could not infer language pair",
        "no data found; remedy: a folder made by fairseq-preprocess, and --source-lang src --target-lang tgt",
    ),
)


def translate(error: BaseException) -> str | None:
    """One line for a user's mistake, None for a defect."""
    cause: BaseException | None = error
    while cause is not None:  # fairseq wraps what goes wrong while a checkpoint is loaded
        if isinstance(cause, InputError):
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    message = re.sub(r"np\.int\d+\((\d+)\)", r"\1", str(error))  # numpy 2 prints its types
    own = re.search(r"InputError: (.*)", message)  # raised in a spawned process
    if own:
        return own.group(1)
    for pattern, remedy in REMEDIES:
        found = re.search(pattern, message)
        if found:
            return remedy.format(found.group(0), *found.groups())
    return describe(error)


def one_line_hook(previous):
    """A sys.excepthook that ends the program with one line and exit code 2 where `translate` knows the error."""

    def hook(kind, error, traceback):
        if issubclass(kind, BrokenPipeError):  # `command | head` closed our output
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0)
        if getattr(error, "exit_code", None) == EXIT_CODE:  # a spawned process, which has said why
            raise SystemExit(EXIT_CODE)
        line = translate(error) if issubclass(kind, Exception) else None
        if line is None:
            return previous(kind, error, traceback)
        print(f"error: {line}", file=sys.stderr, flush=True)
        raise SystemExit(EXIT_CODE)

    return hook
