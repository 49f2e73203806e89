"""Task `dialogue`: context -> response, with a latent for what the context leaves open.

Reads stock `fairseq-preprocess` output of line-parallel text, sides `src` and `tgt`; the turns of a longer context stand
in one line with <eot> between them.
"""

import contextlib
import functools
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Optional

import numpy as np
import torch
from fairseq import utils
from fairseq.data import LanguagePairDataset
from fairseq.dataclass import ChoiceEnum
from fairseq.sequence_scorer import SequenceScorer
from fairseq.tasks import register_task
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from torch import Tensor

from ..data.binarised import check_files, parts
from ..data.first_tokens import keep_first_tokens, print_whole
from ..data.newest_turns import keep_newest_turns
from ..data.seeded_dataset import SeededDataset
from ..data.tokens import holds
from ..decoding.competing_beam import CompetingBeam
from ..decoding.search import restrict
from ..errors import InputError
from ..reranking import KINDS
from ..reranking.candidates import Candidates, Reranker, ranked
from ..reranking.rerankers import reranker_of
from ..symbols import BOS, EOT, USER_SYMBOLS
from ..text.tokenizers import SubwordTokenizer, tokenizer_of
from ..text.vocabulary import index_of
from .latent_task import LatentTask, LatentTaskConfig

logger = logging.getLogger(__name__)


@dataclass
class DialogueConfig(LatentTaskConfig, TranslationConfig):
    source_lang: Optional[str] = field(
        default="src", metadata={"help": "suffix of the contexts", "argparse_alias": "-s"}
    )
    target_lang: Optional[str] = field(
        default="tgt", metadata={"help": "suffix of the responses", "argparse_alias": "-t"}
    )
    p2bot_search: bool = field(
        default=False,
        metadata={
            "help": "beam search of P²BOT (Liu et al., 2020): scores are divided by the tokens with start and end, those "
            "that have ended compete with those that go on, and no bigram comes twice from the fourth token on"
        },
    )
    truncate_source: bool = field(
        default=False,
        metadata={
            "help": "leave out the oldest turns of contexts longer than --max-source-positions, or than the model's"
        },
    )
    rerank: ChoiceEnum(KINDS) = field(  # type: ignore[valid-type]
        default="none",
        metadata={
            "help": "print the responses to a context (--latent-samples 20) by their scores, the best first: mmi, the "
            "context's log probability given the response; relevance, the cosine of both; lm, the response's log "
            "probability without the context; oracle, BLEU against the reference, an upper bound. H- and D- lines have "
            "these scores"
        },
    )
    rerank_model: Optional[str] = field(
        default=None,
        metadata={
            "help": "of --rerank: mmi, a checkpoint trained on the same data with --source-lang tgt --target-lang src; "
            "relevance, a sentence encoder's folder; lm, a language model's"
        },
    )


@register_task("dialogue", dataclass=DialogueConfig)
class DialogueTask(LatentTask, TranslationTask):
    """--task dialogue"""

    cfg: DialogueConfig

    def __init__(self, cfg: DialogueConfig, *args, **kwargs):
        super().__init__(cfg, *args, **kwargs)
        self._reranker: Reranker | None = None
        self._rerankers: dict[tuple, Reranker] = {}  # that were made

    def load_dataset(self, split, epoch=1, combine=False, **kwargs):
        """Read one split; refuse sides that are not parallel, empty ones, and pads among the words."""
        self._check_files(split, epoch, combine)
        empty = f"{self.cfg.data}: split {split} is empty; remedy: fairseq-preprocess a file with lines"
        try:
            with self._as_it_is():
                super().load_dataset(split, epoch=epoch, combine=combine, **kwargs)
        except AssertionError as error:
            if "expected format" in str(error):
                raise
            raise InputError(
                f"{self.cfg.data}: split {split}: {error}; remedy: line k of {split}.{self.cfg.target_lang} must answer "
                f"line k of {split}.{self.cfg.source_lang}, then run fairseq-preprocess again"
            ) from error
        except ValueError as error:
            if "empty file" not in str(error):  # numpy maps no file without bytes
                raise
            raise InputError(empty) from error
        if len(self.datasets[split]) == 0:
            raise InputError(empty)
        if self.datasets[split].tgt is None:
            raise InputError(
                f"{self.cfg.data}: split {split} has contexts without responses; remedy: fairseq-preprocess with "
                f"--target-lang {self.cfg.target_lang}"
            )
        pad = self.target_dictionary.pad()
        if holds(self.datasets[split].tgt, pad):
            raise InputError(
                f"{self.cfg.data}: split {split}: a response has the word {self.target_dictionary[pad]}, which stands for "
                f"no word; remedy: take it out of {split}.{self.cfg.target_lang}, then run fairseq-preprocess again"
            )
        self._warn_of_one_turn(self.datasets[split].src, split)
        self._truncate(self.datasets[split], split)
        self.datasets[split] = SeededDataset(self.datasets[split], self.cfg.seed)

    def folder(self, split: str, epoch: int) -> str:
        """Where the split lies: the training set's shards take turns."""
        folders = utils.split_paths(self.cfg.data)
        return folders[0] if split != self.cfg.train_subset else folders[(epoch - 1) % len(folders)]

    def _check_files(self, split: str, epoch: int, combine: bool) -> None:
        """Refuse files that are damaged, or of another dictionary."""
        folder, sides = self.folder(split, epoch), (self.cfg.source_lang, self.cfg.target_lang)
        dictionaries = (self.source_dictionary, self.target_dictionary)
        for one, other in (sides, sides[::-1]):
            for part in parts(folder, split, f".{one}-{other}.{self.cfg.source_lang}", combine):
                for side, dictionary in zip(sides, dictionaries, strict=True):
                    check_files(os.path.join(folder, f"{part}.{one}-{other}.{side}"), len(dictionary))

    @contextlib.contextmanager
    def _as_it_is(self) -> Iterator[None]:
        """fairseq would leave out the newest turns, and take the first part of a split -1 times."""
        truncate, times = self.cfg.truncate_source, self.cfg.upsample_primary
        self.cfg.truncate_source, self.cfg.upsample_primary = False, self.first_part_times
        try:
            yield
        finally:
            self.cfg.truncate_source, self.cfg.upsample_primary = truncate, times

    @property
    def first_part_times(self) -> int:
        """How often `train` is taken beside train1, train2, …; fairseq's default is -1, which it cannot read."""
        return max(1, self.cfg.upsample_primary)

    def _truncate(self, pairs, split: str) -> None:
        if getattr(self._model, "cuts_replies", False):
            longest = self._model.max_positions()[1]
            if long := keep_first_tokens(pairs, longest):
                logger.info(f"{split}: {long:,} of {len(pairs):,} replies cut at {longest} tokens, the model's longest")
        if not self.cfg.truncate_source:
            return
        words, longest = self.source_dictionary, self.cfg.max_source_positions
        if self._model is not None:
            longest = min(longest, self._model.max_positions()[0])
        if long := keep_newest_turns(pairs, longest, index_of(words, EOT)):
            logger.info(
                f"{split}: {long:,} of {len(pairs):,} contexts cut to their newest turns, {longest:,} tokens at most"
            )

    def _warn_of_one_turn(self, contexts, split: str) -> None:
        """Where a model that reads turns trains on contexts without any border between them."""
        if split != self.cfg.train_subset or not getattr(self._model, "reads_turns", False):
            return
        end_of_turn = index_of(self.source_dictionary, EOT)
        if end_of_turn >= 0 and not holds(contexts, end_of_turn):
            logger.warning(
                f"{self.cfg.data}: no context of {split} has {EOT}, which stands between turns: each is read as one turn; "
                "remedy: CONTEXT_TURNS=10 when the data is prepared, if there are longer contexts"
            )

    def build_dataset_for_inference(self, src_tokens, src_lengths, constraints=None):
        """For fairseq-interactive and the hub."""
        dataset = super().build_dataset_for_inference(src_tokens, src_lengths, constraints)
        self._truncate(dataset, "input")
        return SeededDataset(dataset, self.cfg.seed)

    def dataset_of_pairs(self, sources: Sequence[Tensor], targets: Sequence[Tensor]):
        """Contexts and responses as ids with their ends -> what a split of them would be."""
        sizes = [[len(row) for row in side] for side in (sources, targets)]
        pairs = LanguagePairDataset(
            sources, sizes[0], self.source_dictionary, targets, sizes[1], self.target_dictionary,
            left_pad_source=self.cfg.left_pad_source, left_pad_target=self.cfg.left_pad_target, shuffle=False,
        )  # fmt: skip
        return SeededDataset(pairs, self.cfg.seed)

    def build_generator(self, models, args, **kwargs):
        """fairseq's; special tokens are kept out of the responses of models that say words alone."""
        if self.cfg.p2bot_search and not getattr(args, "score_reference", False):
            kwargs["seq_gen_cls"] = CompetingBeam
        if not getattr(args, "score_reference", False) and self.cfg.train_subset not in self.datasets:
            for pairs in self.datasets.values():  # no training: responses are references, which are printed
                print_whole(pairs)
        generator = super().build_generator(models, args, **kwargs)
        self._reranker = None
        if str(self.cfg.rerank) != "none" and not getattr(args, "score_reference", False):
            if getattr(args, "nbest", 1) < 2:
                raise InputError(
                    f"--rerank {self.cfg.rerank}: one response to each context; remedy: --latent-samples 20"
                )
            self._reranker = self._made_reranker(next(models[0].parameters()).device)
        forbidden, penalty = self.restrictions(models)
        if forbidden and (search := getattr(generator, "search", None)):
            restrict(search, forbidden, penalty)
        return generator

    def _made_reranker(self, device: torch.device) -> Reranker:
        key = (str(self.cfg.rerank), self.cfg.rerank_model, device)
        if key not in self._rerankers:
            self._rerankers[key] = reranker_of(str(self.cfg.rerank), self.cfg.rerank_model, self, device)
        return self._rerankers[key]

    def inference_step(self, generator, models, sample, prefix_tokens=None, constraints=None):
        """Decode; with `--rerank` the best response comes first."""
        hypotheses = super().inference_step(generator, models, sample, prefix_tokens, constraints)
        if self._reranker is None or isinstance(generator, SequenceScorer):
            return hypotheses
        return ranked(hypotheses, self._reranker(self._candidates(hypotheses, sample)))

    def _candidates(self, hypotheses, sample) -> list[Candidates]:
        """The responses to each context of a batch, with the references that it has."""
        contexts, targets = sample["net_input"]["src_tokens"], sample.get("target")
        found = []
        for row, of_row in enumerate(hypotheses):
            context = utils.strip_pad(contexts[row], self.source_dictionary.pad())
            reference = None
            if targets is not None:
                target = utils.strip_pad(targets[row], self.target_dictionary.pad())
                reference = self.decode_reply(self.target_dictionary.string(target))
            texts = tuple(self.decode_reply(self.target_dictionary.string(each["tokens"])) for each in of_row)
            context_text = self.subwords.decode(self.source_dictionary.string(context))
            found.append(Candidates(context, context_text, texts, reference))
        return found

    def restrictions(self, models) -> tuple[list[int], float]:
        """Ids that are not decoded, and the penalty of repetition."""
        return self.never_said() if any(getattr(model, "says_words_alone", False) for model in models) else [], 1.0

    @functools.cached_property
    def subwords(self) -> SubwordTokenizer:
        """Text to tokens of the data folder, and back."""
        return tokenizer_of(utils.split_paths(self.cfg.data)[0])

    def encode_reply(self, text: str) -> np.ndarray:
        """Text -> ids of a reply with its end."""
        return self.target_dictionary.encode_line(self.subwords.encode(text), add_if_not_exist=False).numpy()

    def decode_reply(self, line: str) -> str:
        """Tokens between spaces -> text."""
        return self.subwords.decode(line)

    def never_said(self) -> list[int]:
        """Ids of the special tokens and of the tokens without text, which no response has."""
        words, without_text = self.target_dictionary, self.subwords.without_text
        found = (index_of(words, word) for word in (BOS, *USER_SYMBOLS, *without_text))
        return [words.unk(), *(place for place in found if place >= 0)]

    def build_model(self, cfg, from_checkpoint=False):
        """A checkpoint brings its vectors, without the file they came from."""
        if from_checkpoint and getattr(cfg, "encoder_embed_path", None):
            cfg.encoder_embed_path = None
        return super().build_model(cfg, from_checkpoint)
