"""The run folders of NAME=RUN ..., each once, one a line: run_folders.py NAME=RUN [NAME=RUN ...]. For evaluate.sh."""

import sys

from fairseq_latent.errors import run
from fairseq_latent.evaluation.run_folder import CHECKPOINT, run_folders


def main() -> None:
    """Print them, if all have a checkpoint."""
    runs = run_folders(sys.argv[1:])
    for each in runs:
        each.require(CHECKPOINT)
    print(*dict.fromkeys(str(each.folder) for each in runs), sep="\n")


if __name__ == "__main__":
    sys.exit(run(main))
