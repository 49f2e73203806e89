"""The first lines of DATA's test split as split test1 of a folder of their own: `python -m … DATA NUMBER OUT`."""

import shutil
import sys
from pathlib import Path

from fairseq.data import Dictionary, data_utils, indexed_dataset

from ..errors import InputError, run


def main() -> None:
    """Copy both sides, then the dictionaries."""
    data, number, out = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    if not (data / "dict.src.txt").is_file():
        raise InputError(f"{data} has no dict.src.txt; remedy: a folder of fairseq-preprocess -s src -t tgt")
    out.mkdir(parents=True)
    for side in ("src", "tgt"):
        dictionary = Dictionary.load(str(data / f"dict.{side}.txt"))
        lines = data_utils.load_indexed_dataset(str(data / f"test.src-tgt.{side}"), dictionary)
        if lines is None:
            raise InputError(f"{data} has no split test; remedy: fairseq-preprocess with --testpref")
        target = out / f"test1.src-tgt.{side}"
        builder = indexed_dataset.make_builder(f"{target}.bin", "mmap", len(dictionary))
        for index in range(min(number, len(lines))):
            builder.add_item(lines[index])
        builder.finalize(f"{target}.idx")
        shutil.copyfile(data / f"dict.{side}.txt", out / f"dict.{side}.txt")


if __name__ == "__main__":
    sys.exit(run(main))
