"""Who can talk in self-play: everybody with a profile in a split of the data."""

from pathlib import Path

from ..data.speakers import Speaker, speakers
from ..errors import InputError

PREPARE = "remedy: PERSONAS=yes when the data is prepared"


def people_of(folder: str | Path, split: str, prompts, end_of_turn: int, end: int) -> list[Speaker]:
    """Speakers of a loaded split (`data.prompt_dataset.PromptDataset`), whose conversations SPLIT.ids tells apart."""
    path = Path(folder) / f"{split}.ids"
    if not path.is_file():
        raise InputError(f"{path}: no such file: it says which responses are of one conversation; {PREPARE}, again")
    ids, pairs = path.read_text("utf-8").splitlines(), prompts.pairs
    if len(ids) != len(pairs):
        raise InputError(f"{path}: {len(ids):,} ids of {len(pairs):,} pairs; {PREPARE}, again")
    wrong = next((line for line, text in enumerate(ids, 1) if not text.rpartition(":")[2].isdecimal()), None)
    if wrong:
        raise InputError(f"{path}, line {wrong}: {ids[wrong - 1]!r:.80} is no conversation:turn; {PREPARE}, again")
    rows = ((pairs.src[row], pairs.tgt[row], prompts.personas[row]) for row in range(len(ids)))
    found = speakers(ids, rows, end_of_turn, end)
    if not found:
        raise InputError(f"{folder}: {split} has nobody with a profile; {PREPARE}")
    return found
