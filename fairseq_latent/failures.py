"""What fairseq and torch say when a user's files or flags are wrong, as one line with the remedy and exit code 2."""

import re
import sys

from .errors import EXIT_CODE, describe

# (pattern in the message, one line with the remedy): the first that matches; {0} is the match, {1} its first group.
REMEDIES = (
    (
        r"Cannot load model parameters from checkpoint ([^\s;]+)",
        "{1}: a checkpoint of another architecture; "
        "remedy: the --arch and sizes it was trained with, or another --save-dir",
    ),
    (
        r"Error\(s\) in loading state_dict for (\w+)",
        "the checkpoint does not fit {1}; remedy: the --arch and sizes it was trained with",
    ),
    (
        r"PytorchStreamReader failed|failed finding central directory|not a ZIP archive|unexpected EOF|Ran out of input"
        r"|pickle data was truncated|invalid load key",
        "a checkpoint is truncated, or no checkpoint; "
        "remedy: go on from the one before, e.g. --restore-file checkpoint_best.pt",
    ),
    (
        r"Model file not found: (\S+)",
        "{1}: no such checkpoint; remedy: --path to a checkpoint*.pt",
    ),
    (
        r"Dataset not found: (\S+) \((\S+)\)",
        "{2}: no split `{1}`; remedy: fairseq-preprocess it, with --source-lang src --target-lang tgt",
    ),
    (
        r"Size of sample #(\d+) is invalid \(=(.*?)\) since max_positions=(.*?), skip",
        "sample {1} has {2} tokens, the model takes {3}; remedy: --skip-invalid-size-inputs-valid-test, "
        "--truncate-source, or larger --max-source-positions --max-target-positions",
    ),
    (
        r"No space left on device|enforce fail at inline_container|unexpected pos \d+ vs",
        "the disk is full: this checkpoint was not written, earlier ones are intact; "
        "remedy: free space, then run the same command",
    ),
    (
        r"Could not infer language pair",
        "no data found; remedy: a folder made by fairseq-preprocess, and --source-lang src --target-lang tgt",
    ),
)


def translate(error: BaseException) -> str | None:
    """One line for a user's mistake, None for a defect."""
    line = describe(error)
    if line is not None:
        return line
    message = str(error)
    own = re.search(r"InputError: (.*)", message)  # raised in a spawned process
    if own:
        return own.group(1)
    for pattern, remedy in REMEDIES:
        found = re.search(pattern, message)
        if found:
            return remedy.format(found.group(0), *found.groups())
    return None


def one_line_hook(previous):
    """A sys.excepthook that ends the program with one line and exit code 2 where `translate` knows the error."""

    def hook(kind, error, traceback):
        line = translate(error) if issubclass(kind, Exception) else None
        if line is None:
            return previous(kind, error, traceback)
        print(f"error: {line}", file=sys.stderr, flush=True)
        raise SystemExit(EXIT_CODE)

    return hook
