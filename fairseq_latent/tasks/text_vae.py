"""Task `text_vae`: a sentence in, the same sentence out, through a latent.

Reads stock `fairseq-preprocess --only-source` output of text with one sentence per line.
"""

import logging
import os
from dataclasses import dataclass, field
from typing import Optional

from fairseq import utils
from fairseq.data import LanguagePairDataset, data_utils
from fairseq.data.indexed_dataset import get_available_dataset_impl
from fairseq.dataclass import ChoiceEnum
from fairseq.tasks import register_task
from omegaconf import II

from ..data.binarised import check_files, parts
from ..data.seeded_dataset import SeededDataset
from ..data.tokens import holds
from ..errors import InputError
from ..ranges import COUNT
from .latent_task import LatentTask, LatentTaskConfig

logger = logging.getLogger(__name__)

PREPROCESS = "fairseq-preprocess --only-source --trainpref train.txt --validpref valid.txt --destdir"


@dataclass
class TextVAEConfig(LatentTaskConfig):
    data: Optional[str] = field(default=None, metadata={"help": "folder of fairseq-preprocess --only-source"})
    max_sentence_length: int = field(
        default=256,
        metadata={
            "help": "tokens of the longest sentence, its end included; longer ones are not trained",
            "range": COUNT,
        },
    )
    decode_from: ChoiceEnum(["posterior", "prior"]) = field(  # type: ignore[valid-type]
        default="posterior",
        metadata={"help": "decode latents of each sentence's posterior (reconstruction), or of the prior (sampling)"},
    )
    dataset_impl: Optional[ChoiceEnum(get_available_dataset_impl())] = II(  # type: ignore[valid-type]
        "dataset.dataset_impl"
    )


@register_task("text_vae", dataclass=TextVAEConfig)
class TextVAETask(LatentTask):
    """--task text_vae"""

    cfg: TextVAEConfig
    reads_context = False

    def __init__(self, cfg: TextVAEConfig, dictionary):
        super().__init__(cfg)
        self.dictionary = dictionary
        self._warned_of: set[str] = set()
        self._trains_unknown = True  # until the training set says otherwise
        self._unknown_in: str | None = None  # a split with words that the dictionary lacks

    @classmethod
    def setup_task(cls, cfg: TextVAEConfig, **kwargs) -> "TextVAETask":
        """Load the dictionary of the first data folder."""
        folder = utils.split_paths(cfg.data)[0]
        path = os.path.join(folder, "dict.txt")
        if not os.path.isfile(path):
            pairs = os.path.isfile(os.path.join(folder, "dict.src.txt"))
            what = "holds pairs, not sentences" if pairs else "no such dictionary"
            raise InputError(f"{folder if pairs else path}: {what}; remedy: {PREPROCESS} {folder}")
        dictionary = cls.load_dictionary(path)
        return cls(cfg, dictionary)

    def load_dataset(self, split, epoch=1, combine=False, **kwargs):
        """Read one split; refuse an empty one and pads among the words; say what can't be learnt."""
        paths = utils.split_paths(self.cfg.data)
        prefix = os.path.join(paths[(epoch - 1) % len(paths)], split)
        for part in parts(os.path.dirname(prefix), split, "", combine):
            check_files(os.path.join(os.path.dirname(prefix), part), len(self.dictionary))
        empty = f"{prefix}: split {split} is empty; remedy: {PREPROCESS} {paths[0]}, of files with lines"
        try:
            sentences = data_utils.load_indexed_dataset(prefix, self.dictionary, self.cfg.dataset_impl, combine=combine)
        except ValueError as error:
            if "empty file" not in str(error):  # numpy maps no file without bytes
                raise
            raise InputError(empty) from error
        if sentences is None:
            raise FileNotFoundError(f"Dataset not found: {split} ({prefix})")
        if len(sentences) == 0:
            raise InputError(empty)
        if holds(sentences, self.dictionary.pad()):
            raise InputError(
                f"{prefix}: a sentence has the word {self.dictionary[self.dictionary.pad()]}, which stands for no word; "
                f"remedy: take it out of the text, then {PREPROCESS} {paths[0]}"
            )
        self._tell(split, prefix, sentences)
        self.datasets[split] = self._paired(sentences, sentences.sizes, shuffle=split != "test")

    def _tell(self, split: str, prefix: str, sentences) -> None:
        """One line for each thing about a split that its user should know, once."""
        blank = int((sentences.sizes <= 1).sum())
        if blank:
            self._warn(f"{prefix}: {blank:,} of {len(sentences):,} lines are empty; remedy: leave them out of the text")
        unknown = self.dictionary.unk_word
        if split == self.cfg.train_subset:
            self._trains_unknown = holds(sentences, self.dictionary.unk())
        elif holds(sentences, self.dictionary.unk()):
            self._unknown_in = prefix
        if self._unknown_in and not self._trains_unknown:
            self._warn(
                f"{self._unknown_in} has words that the dictionary lacks, and training has no {unknown} to stand for them: "
                f"their probability is chance; remedy: fairseq-preprocess --thresholdsrc 2, or {unknown} for rare words"
            )

    def _warn(self, line: str) -> None:
        if line not in self._warned_of:
            self._warned_of.add(line)
            logger.warning(line)

    def _paired(self, sentences, sizes, shuffle: bool) -> SeededDataset:
        """Each sentence as source and as target, padded on the right."""
        words = self.dictionary
        pairs = LanguagePairDataset(
            sentences,
            sizes,
            words,
            sentences,
            sizes,
            words,
            left_pad_source=False,
            left_pad_target=False,
            shuffle=shuffle,
        )
        return SeededDataset(pairs, self.cfg.seed)

    def dataset_of_pairs(self, sources, targets):
        """Sentences as ids with their ends, which are sources and targets -> what a split of them would be."""
        return self._paired(sources, [len(row) for row in sources], shuffle=False)

    def build_dataset_for_inference(self, src_tokens, src_lengths, constraints=None):
        """For fairseq-interactive and the hub."""
        if constraints is not None:
            raise InputError("--constraints is for --task dialogue; remedy: leave it out")
        words = self.dictionary
        pairs = LanguagePairDataset(src_tokens, src_lengths, words, left_pad_source=False)
        return SeededDataset(pairs, self.cfg.seed)

    def sampling_inputs(self) -> dict:
        """The latent comes from the sentence, or from the prior."""
        return {**super().sampling_inputs(), "reconstruct": str(self.cfg.decode_from) == "posterior"}

    def max_positions(self) -> tuple[int, int]:
        """Of both sides, which are the same sentence."""
        return self.cfg.max_sentence_length, self.cfg.max_sentence_length

    @property
    def source_dictionary(self):
        """The one dictionary."""
        return self.dictionary

    @property
    def target_dictionary(self):
        """The one dictionary."""
        return self.dictionary
