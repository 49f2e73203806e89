"""Task `persona_receiver`: all that a speaker says in a dialogue -> which of several profiles is his (Liu et al., 2020).

Reads a persona data set of scripts/prepare.sh: contexts, responses and `SPLIT.own-None.own`, the speaker's own profile;
`SPLIT.ids` says which responses are of one conversation. Texts become tokens of the encoder's own
tokenizer, which a checkpoint keeps.
"""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from fairseq import utils
from fairseq.data import data_utils
from fairseq.data.indexed_dataset import get_available_dataset_impl
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.tasks import FairseqTask, register_task
from omegaconf import II

from ..data.binarised import check_files
from ..data.persona_sets import PersonaSetDataset
from ..data.speakers import Speaker, Text, speakers
from ..errors import InputError
from ..ranges import AMOUNT, Range, check_config
from ..symbols import EOT
from ..text.tokenizers import tokenizer_of
from ..text.vocabulary import check_words, digest, index_of
from ..text.wordpiece import WordPieces
from .latent_task import LatentTask, add_missing_options

logger = logging.getLogger(__name__)

PREPARE = "remedy: PERSONAS=yes when the data is prepared"


@dataclass
class PersonaReceiverConfig(FairseqDataclass):
    data: Optional[str] = field(default=None, metadata={"help": "folder of a persona data set (scripts/prepare.sh)"})
    persona_sets: int = field(
        default=2,
        metadata={
            "help": "number of profiles compared with a speaker's utterances in training, the speaker's own among them",
            "range": Range(2),
        },
    )
    valid_persona_sets: int = field(
        default=32,
        metadata={"help": "number of profiles in validation and test, always the same ones", "range": Range(2)},
    )
    valid_speakers: int = field(
        default=5000,
        metadata={
            "help": "maximum number of speakers that are measured in validation and test; 0: all",
            "range": AMOUNT,
        },
    )
    max_text_tokens: int = field(
        default=128,
        metadata={
            "help": "longest utterance or sentence in the encoder's tokens; longer ones are cut",
            "range": Range(2),
        },
    )
    dataset_impl: Optional[ChoiceEnum(get_available_dataset_impl())] = II(  # type: ignore[valid-type]
        "dataset.dataset_impl"
    )
    seed: int = II("common.seed")
    train_subset: str = II("dataset.train_subset")


@register_task("persona_receiver", dataclass=PersonaReceiverConfig)
class PersonaReceiverTask(FairseqTask):
    """--task persona_receiver"""

    cfg: PersonaReceiverConfig
    reads_persona_sets = True
    restores_state = True  # asked by compat.checkpoints.resuming

    def __init__(self, cfg: PersonaReceiverConfig, dictionary):
        check_config(cfg, type(self))
        super().__init__(cfg)
        self.dictionary = dictionary
        self.tokenizer: WordPieces | None = None  # of --encoder-path, or of a checkpoint
        self._longest = cfg.max_text_tokens

    @classmethod
    def setup_task(cls, cfg: PersonaReceiverConfig, **kwargs) -> "PersonaReceiverTask":
        """Load the dictionary of the first data folder."""
        path = Path(utils.split_paths(cfg.data)[0]) / "dict.tgt.txt"
        if not path.is_file():
            raise InputError(f"{path}: no such dictionary; {PREPARE}")
        return cls(cfg, LatentTask.load_dictionary(str(path)))

    @property
    def source_dictionary(self):
        """That of the data."""
        return self.dictionary

    @property
    def target_dictionary(self):
        """That of the data."""
        return self.dictionary

    # --- the model -------------------------------------------------------------------------------------------------

    def build_model(self, cfg, from_checkpoint=False):
        """A checkpoint brings weights and tokenizer, without the folder that they came from."""
        if from_checkpoint:
            add_missing_options(cfg)
            cfg.encoder_path = None
        elif cfg.encoder_path:
            self.tokenizer = WordPieces.of_folder(cfg.encoder_path)
        if cfg.encoder_config and self.tokenizer is None and not cfg.encoder_path:
            raise InputError("this checkpoint has no tokenizer; remedy: the one that training wrote")
        model = super().build_model(cfg, from_checkpoint)
        for option, value in model.found_options.items():
            setattr(cfg, option, value)
        self._longest = min(self.cfg.max_text_tokens, model.encoder.positions)
        return model

    def encoder_types(self) -> int:
        """Tokens that the encoder has to know."""
        return len(self.dictionary) if self.tokenizer is None else self.tokenizer.size

    def encoder_pad(self) -> int:
        """What pads its batches; no text has it."""
        return self.dictionary.pad() if self.tokenizer is None else self.tokenizer.pad

    def encoded(self, texts: list[Text]) -> list[Text]:
        """Texts in the data's tokens -> in the encoder's, each with its start."""
        if self.tokenizer is None:
            return [(self.dictionary.bos(), *text[: self._longest - 1]) for text in texts]
        decode = tokenizer_of(utils.split_paths(self.cfg.data)[0]).decode
        words = [decode(" ".join(self.dictionary[token] for token in text)) for text in texts]
        return self.tokenizer.ids(words, self._longest)

    def train_step(self, sample, model, criterion, optimizer, update_num, ignore_grad=False):
        """fairseq's; afterwards the model knows of this update, as one that is loaded from a checkpoint does."""
        done = super().train_step(sample, model, criterion, optimizer, update_num, ignore_grad)
        model.set_num_updates(update_num + 1)
        return done

    # --- data ------------------------------------------------------------------------------------------------------

    def load_dataset(self, split, epoch=1, combine=False, **kwargs):
        """Read a split's speakers; refuse one without profiles, or without ids."""
        folders = utils.split_paths(self.cfg.data)
        training = split == self.cfg.train_subset
        folder = Path(folders[(epoch - 1) % len(folders)] if training else folders[0])
        found = self._speakers(folder, split)
        if not training and self.cfg.valid_speakers:
            found = found[: self.cfg.valid_speakers]
        texts = sorted({text for speaker in found for text in (*speaker.utterances, *speaker.persona)})
        tokens = dict(zip(texts, self.encoded(texts), strict=True))
        read = [
            Speaker(tuple(tokens[text] for text in speaker.utterances), tuple(tokens[text] for text in speaker.persona))
            for speaker in found
        ]
        count = self.cfg.persona_sets if training else self.cfg.valid_persona_sets
        where, pad = f"{folder}, {split}", self.encoder_pad()
        self.datasets[split] = PersonaSetDataset(read, count, pad, self.cfg.seed, training, where)
        logger.info(f"{where}: {len(read):,} speakers, {len(self.datasets[split].sentences):,} sentences of profiles")

    def _speakers(self, folder: Path, split: str) -> list[Speaker]:
        fields = [self._field(folder, f"{split}.{name}") for name in ("src-tgt.src", "src-tgt.tgt", "own-None.own")]
        path = folder / f"{split}.ids"
        if not path.is_file():
            raise InputError(f"{path}: no such file: it says which responses are of one conversation; {PREPARE}, again")
        ids = path.read_text("utf-8").splitlines()
        if len({len(ids), *map(len, fields)}) > 1:
            counts = ", ".join(f"{len(each):,}" for each in (ids, *fields))
            raise InputError(f"{path}, contexts, responses and profiles differ in length ({counts}); {PREPARE}, again")
        wrong = next((line for line, text in enumerate(ids, 1) if not text.rpartition(":")[2].isdecimal()), None)
        if wrong:
            raise InputError(f"{path}, line {wrong}: {ids[wrong - 1]!r:.80} is no conversation:turn; {PREPARE}, again")
        rows = (
            (context[row], response[row], own[row]) for row in range(len(ids)) for context, response, own in [fields]
        )
        found = speakers(ids, rows, index_of(self.dictionary, EOT), self.dictionary.eos())
        if not found:
            raise InputError(f"{folder}: split {split} has no speaker with a profile; {PREPARE}")
        return found

    def _field(self, folder: Path, name: str):
        check_files(folder / name, len(self.dictionary))
        read = data_utils.load_indexed_dataset(str(folder / name), self.dictionary, self.cfg.dataset_impl)
        if read is None:
            if name.endswith(".own"):
                raise InputError(f"{folder / name}.idx is not there; {PREPARE}")
            raise FileNotFoundError(f"Dataset not found: {name.partition('.')[0]} ({folder})")
        return read

    def get_batch_iterator(self, dataset, *args, **kwargs):
        """fairseq's; its workers live on from epoch to epoch with the dataset as it was, which would sample nothing anew."""
        iterator = super().get_batch_iterator(dataset, *args, **kwargs)
        iterator.reuse_dataloader = False
        return iterator

    def max_positions(self):
        """Texts are cut."""
        return

    # --- checkpoints -----------------------------------------------------------------------------------------------

    def state_dict(self) -> dict:
        """The tokenizer, and which words the data had."""
        state = {**super().state_dict(), "dictionary_digest": digest(self.dictionary)}
        return state if self.tokenizer is None else {**state, "tokenizer": self.tokenizer.text}

    def load_state_dict(self, state_dict: dict) -> None:
        """What `state_dict` gave."""
        self.check_state(state_dict)
        state = {name: value for name, value in state_dict.items() if name not in ("dictionary_digest", "tokenizer")}
        if "tokenizer" in state_dict and self.tokenizer is None:
            self.tokenizer = WordPieces(state_dict["tokenizer"])
        super().load_state_dict(state)

    def check_state(self, state_dict: dict) -> None:
        """Refuse a checkpoint of other words, or of another tokenizer. One with its own tokenizer reads any data's texts."""
        tokenizer = state_dict.get("tokenizer")
        if tokenizer is None:
            check_words(state_dict.get("dictionary_digest"), self.dictionary)
        elif self.tokenizer is not None and self.tokenizer.text != tokenizer:
            raise InputError(
                "--encoder-path: its tokenizer is not that of this checkpoint; remedy: the folder of its training"
            )
