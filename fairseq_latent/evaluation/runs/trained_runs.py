"""`NAME=RUN <TAB> RUN`, a line for each of NAME=RUN ... that has a checkpoint; the others are reported. For evaluate.sh."""

import sys

from fairseq_latent.errors import run

from .run_folder import CHECKPOINT, run_folders


def main() -> None:
    """Print those that can be decoded; without any, refuse."""
    pairs = list(zip(sys.argv[1:], run_folders(sys.argv[1:], all_there=False), strict=True))
    ready = [(specification, each) for specification, each in pairs if (each.folder / CHECKPOINT).is_file()]
    if not ready:
        pairs[0][1].require(CHECKPOINT)
    for specification, each in pairs:
        if (specification, each) in ready:
            print(specification, each.folder, sep="\t")
        else:
            print(f"{each.folder}: not trained yet, left out; remedy: {each.made_by(CHECKPOINT)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run(main))
