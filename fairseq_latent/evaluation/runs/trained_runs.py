"""`SYSTEM <TAB> RUN`, a line for each of NAME=RUN ... that has a checkpoint, or is a file of responses.

Seeds of a system stand one after the other.

The others are reported. For evaluate.sh.
"""

import sys

from fairseq_latent.errors import run

from .run_folder import CHECKPOINT, RunFolder, run_folders
from .seeds import systems_of


def main() -> None:
    """Print those that can be decoded; without any, refuse."""
    runs = run_folders(sys.argv[1:], all_there=False, files=True)
    ready = [each for each in runs if each.outside or (each.folder / CHECKPOINT).is_file()]
    if not ready:
        runs[0].require(CHECKPOINT)
    for each in runs:
        if each not in ready:
            print(f"{each.folder}: not trained yet, left out; remedy: {each.made_by(CHECKPOINT)}", file=sys.stderr)
    for system in systems_of(_settings(ready)):
        for each in system.runs:
            print(system.name, each.folder, sep="\t")


def _settings(runs: list[RunFolder]) -> dict:
    """What their checkpoints say, of two or more; None of one that cannot be read: `report` says why."""
    there = [each for each in runs if not each.outside and (each.folder / CHECKPOINT).stat().st_size]
    if len(there) < 2:
        return dict.fromkeys(runs)
    from fairseq_latent.compat.error_messages import translate

    from .training_config import training_settings

    found = dict.fromkeys(runs)
    for each in there:
        try:
            found[each] = training_settings(each.folder / CHECKPOINT)
        except Exception as error:
            if translate(error) is None:
                raise
    return found


if __name__ == "__main__":
    sys.exit(run(main))
