"""What tasks do for models that read the speaker's own persona: prompts of persona and history, and candidate replies."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from torch import Tensor

from ..data.candidates import DRAWS, CandidateDataset, Offers, offers_of
from ..data.own_persona import texts_between
from ..data.prompt_dataset import PromptDataset, collate_prompts
from ..errors import InputError
from ..ranges import COUNT
from ..symbols import EOT
from ..text.vocabulary import index_of

logger = logging.getLogger(__name__)

PREPARE = "remedy: PERSONAS=yes when the data is prepared"


@dataclass
class OwnPersonaConfig(FairseqDataclass):
    persona: Optional[str] = field(
        default=None,
        metadata={
            "help": "own persona for typed contexts (fairseq-interactive, chat), of models that read one: a file with a "
            "sentence per line, or one sentence"
        },
    )
    persona_permutations: int = field(
        default=1,
        metadata={
            "help": "copies of every example per epoch, each with the sentences of "
            "the own persona rotated once more, for models that read it",
            "range": COUNT,
        },
    )
    candidates: int = field(
        default=2,
        metadata={
            "help": "candidate replies per example in training, the right one among them (--criterion double_heads); of "
            "SPLIT.candidates or, where an example has none there, replies of other dialogues; 1: no choice is trained",
            "range": COUNT,
        },
    )
    valid_candidates: int = field(
        default=20,
        metadata={
            "help": "candidates in validation for examples that have none in SPLIT.candidates; others have all of theirs",
            "range": COUNT,
        },
    )
    draw_candidates: ChoiceEnum(DRAWS) = field(
        default="random",
        metadata={
            "help": "which of an example's wrong candidates are trained: sampled from the seed and the epoch, or the last "
            "ones of the file (the authors' code)"
        },
    )


class OwnPersonaTask:
    """A part of tasks that load pairs into `datasets` and have `profiles`, which reads the binarised profiles of a split."""

    _reads_candidates = False  # whether the criterion chooses among candidates
    _warned_of_no_persona = False

    @property
    def prompt_layout(self):
        """How the model reads the own persona and the history as one sequence; None of models that do not."""
        return getattr(self._model, "prompt_layout", None)

    @property
    def end_of_turn(self) -> int:
        """The id of <eot>; -1 where the dictionary has none."""
        return index_of(self.target_dictionary, EOT)

    def add_prompts(self, split: str, epoch: int, combine: bool) -> None:
        """The own persona of every example and, where the criterion chooses among candidates, its candidates."""
        if self.prompt_layout is None:
            return
        folder, pairs = Path(self.folder(split, epoch)), self.datasets[split]
        found, times, personas = self.profiles(folder, split, "own", combine, len(pairs))
        if personas is None:
            raise InputError(f"{folder / split}.own-None.own.idx is not there, the speaker's own persona; {PREPARE}")
        training = split == self.cfg.train_subset
        copies = self.cfg.persona_permutations if training else 1
        words = self.target_dictionary
        order = getattr(self._model, "persona_order", "given") if training else "given"
        prompts = PromptDataset(
            pairs, personas, self.prompt_layout, self.end_of_turn, words.eos(), words.pad(),
            "rotate" if copies > 1 else order, copies, self.cfg.seed,
        )  # fmt: skip
        if self._reads_candidates:
            prompts = CandidateDataset(prompts, self._offers(folder, found, times, prompts.pairs.tgt, training))
        self.datasets[split] = prompts

    def _offers(self, folder: Path, found: dict, times: list[int], replies, training: bool) -> Offers:
        """The wrong replies of every pair of the parts of a split."""
        name = folder / next(iter(found))
        lines, ids = (self._lines(folder, found, times, field) for field in ("candidates", "ids"))
        longest = self._model.max_positions()[1]
        count, sampled = (self.cfg.candidates, 0) if training else (0, self.cfg.valid_candidates)
        replies = [replies[row] for row in range(len(replies))]
        offers, cut = offers_of(
            name,
            lines,
            ids,
            self.encode_reply,
            replies,
            longest,
            count,
            sampled,
            str(self.cfg.draw_candidates),
            self.cfg.seed,
        )
        if cut:
            logger.warning(f"{name}: {cut:,} candidates cut at {longest} tokens, the longest reply of the model")
        if lacking := len(offers.lacking):
            of_all = "" if lacking == len(replies) else f"{lacking:,} of "
            logger.info(f"{name}: {of_all}{len(replies):,} examples get replies of other dialogues")
        return offers

    def _lines(self, folder: Path, found: dict, times: list[int], field: str) -> list[str] | None:
        """Lines of a text file beside every part of a split; None where the first part has none."""
        if not (folder / f"{next(iter(found))}.{field}").is_file():
            return None
        lines = []
        for part, count in zip(found, times, strict=True):
            lines += count * read_lines(folder / f"{part}.{field}")
        return lines

    def build_criterion(self, cfg, from_checkpoint=False):
        """fairseq's; it says whether batches need candidates."""
        criterion = super().build_criterion(cfg, from_checkpoint)
        self._reads_candidates = getattr(criterion, "reads_candidates", False)
        return criterion

    def prompts_of(self, src_tokens: Tensor) -> dict[str, Tensor]:
        """Typed contexts (B, S) -> what a model reads that has an own persona: that of --persona."""
        words, persona = self.source_dictionary, self._typed_persona()
        lines = [row[row.ne(words.pad())] for row in src_tokens]
        histories = [texts_between(line, self.end_of_turn, words.eos()) for line in lines]
        prompts = [self.prompt_layout.prompt(persona, history) for history in histories]
        return {name: value.to(src_tokens.device) for name, value in collate_prompts(prompts, words.pad()).items()}

    def _typed_persona(self) -> list[list[int]]:
        """The sentences of --persona as ids; none, and a warning once, where there are none."""
        if not self.cfg.persona:
            if not self._warned_of_no_persona:
                self._warned_of_no_persona = True
                logger.warning("this model reads its own persona, and has none here; remedy: --persona FILE")
            return []
        words = self.target_dictionary
        return [
            words.encode_line(self.subwords.encode(text), add_if_not_exist=False, append_eos=False).tolist()
            for text in persona_sentences(self.cfg.persona)
        ]


def persona_sentences(text: str) -> list[str]:
    """Of a file's lines, or the lines that `text` has."""
    path = Path(text)
    try:
        is_file = path.is_file()
    except OSError:  # too long for a file's name
        is_file = False
    try:
        lines = (path.read_text("utf-8") if is_file else text).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}; remedy: a text file in UTF-8, a sentence per line") from None
    return [line.strip() for line in lines if line.strip()]


def read_lines(path: Path) -> list[str]:
    """Of a text file; InputError where it is none."""
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}; {PREPARE}, again") from None
    return lines[:-1] if not lines[-1] else lines
