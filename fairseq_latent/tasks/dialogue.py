"""Task `dialogue`: context -> response, with a latent for what the context leaves open.

Reads stock `fairseq-preprocess` output of line-parallel text, sides `src` and `tgt`; the turns of a longer context stand
in one line with <eot> between them.
"""

import logging
import math
from dataclasses import dataclass, field
from typing import Any, Optional

from fairseq import utils
from fairseq.dataclass import ChoiceEnum
from fairseq.sequence_scorer import SequenceScorer
from fairseq.tasks import register_task
from fairseq.tasks.translation import TranslationConfig, TranslationTask
from omegaconf import II

from ..data.seeded_dataset import SeededDataset
from ..data.tokens import holds
from ..errors import InputError
from ..search import content_seeds, expand_contexts, regroup

logger = logging.getLogger(__name__)

COLLAPSED = (
    "the posterior has collapsed: no active units (au = 0), the decoder ignores the latent. Flags that help: --k 5 "
    "(speculative_elbo), --kl-schedule cyclical, --free-bits 0.1, --bow-weight 1, --podi-weight 1"
)


@dataclass
class DialogueConfig(TranslationConfig):
    source_lang: Optional[str] = field(
        default="src", metadata={"help": "suffix of the contexts", "argparse_alias": "-s"}
    )
    target_lang: Optional[str] = field(
        default="tgt", metadata={"help": "suffix of the responses", "argparse_alias": "-t"}
    )
    latent_samples: int = field(default=1, metadata={"help": "responses a context, each from a latent of its own"})
    latent: ChoiceEnum(["sample", "mean"]) = field(
        default="sample", metadata={"help": "decode a sample of the prior, or its mean"}
    )
    seed: int = II("common.seed")
    update_freq: Any = II("optimization.update_freq")
    best_checkpoint_metric: str = II("checkpoint.best_checkpoint_metric")


@register_task("dialogue", dataclass=DialogueConfig)
class DialogueTask(TranslationTask):
    """--task dialogue"""

    cfg: DialogueConfig

    def __init__(self, cfg: DialogueConfig, src_dict, tgt_dict):
        if cfg.latent_samples < 1:
            raise InputError(
                f"--latent-samples {cfg.latent_samples}: at least one latent a context is needed; remedy: 1"
            )
        super().__init__(cfg, src_dict, tgt_dict)
        self.updates_per_epoch: int | None = None
        self.nbest = 1  # hypotheses a latent
        self._generation = None  # the settings whose nbest was multiplied by the number of latents
        self._model = None
        self._warned_of_collapse = False

    def load_dataset(self, split, epoch=1, combine=False, **kwargs):
        """Read one split; refuse sides that are not parallel, empty ones, and pads among the words."""
        empty = f"{self.cfg.data}: split {split} is empty; remedy: fairseq-preprocess a file with lines"
        try:
            super().load_dataset(split, epoch=epoch, combine=combine, **kwargs)
        except AssertionError as error:
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
        pad = self.target_dictionary.pad()
        if holds(self.datasets[split].tgt, pad):
            raise InputError(
                f"{self.cfg.data}: split {split}: a response has the word {self.target_dictionary[pad]}, which stands for "
                f"no word; remedy: take it out of {split}.{self.cfg.target_lang}, then run fairseq-preprocess again"
            )
        self.datasets[split] = SeededDataset(self.datasets[split], self.cfg.seed)

    def build_dataset_for_inference(self, src_tokens, src_lengths, constraints=None):
        """For fairseq-interactive and the hub."""
        dataset = super().build_dataset_for_inference(src_tokens, src_lengths, constraints)
        return SeededDataset(dataset, self.cfg.seed)

    def get_batch_iterator(self, dataset, *args, **kwargs):
        """fairseq's; the training set's length in updates serves `--kl-cycle epoch`.

        Shards differ in length, and a resumed run starts on another one: with several, an epoch has no one length.
        """
        iterator = super().get_batch_iterator(dataset, *args, **kwargs)
        if dataset is self.datasets.get(self.cfg.train_subset) and len(utils.split_paths(self.cfg.data)) == 1:
            update_freq = self.cfg.update_freq or [1]
            self.updates_per_epoch = max(1, math.ceil(len(iterator) / update_freq[-1]))
        return iterator

    def build_model(self, cfg, from_checkpoint=False):
        """Keep hold of the model for `build_criterion`; a checkpoint brings its vectors, without the file they came from."""
        if from_checkpoint and getattr(cfg, "encoder_embed_path", None):
            cfg.encoder_embed_path = None
        self._model = super().build_model(cfg, from_checkpoint)
        return self._model

    def build_criterion(self, cfg, from_checkpoint=False):
        """The criterion adds the heads that its losses need, before the optimiser looks at the parameters."""
        criterion = super().build_criterion(cfg, from_checkpoint)
        if self._model is not None and hasattr(criterion, "equip"):
            criterion.equip(self._model)
        return criterion

    def post_validate(self, model, stats, agg):
        """Warn once of a collapsed posterior; refuse to pick the best checkpoint by what is not measured."""
        if self.cfg.best_checkpoint_metric not in stats:
            known = ", ".join(sorted(name for name, value in stats.items() if not name.startswith("best_")))
            raise InputError(f"--best-checkpoint-metric {self.cfg.best_checkpoint_metric}; remedy: one of {known}")
        if stats.get("au") == 0 and not self._warned_of_collapse:
            self._warned_of_collapse = True
            logger.warning(COLLAPSED)

    def build_generator(self, models, args, **kwargs):
        """fairseq's; with several latents a context all their hypotheses are printed."""
        if self.cfg.latent_samples > 1 and args is not self._generation:  # once, however many generators are built
            self.nbest, self._generation = getattr(args, "nbest", 1), args
            args.nbest = self.nbest * self.cfg.latent_samples
        return super().build_generator(models, args, **kwargs)

    def inference_step(self, generator, models, sample, prefix_tokens=None, constraints=None):
        """Decode with latents of the prior: one a context, or `--latent-samples N`."""
        net_input = dict(sample["net_input"])
        if "noise_seed" not in net_input:  # fairseq-interactive makes its own net_input
            pad = self.source_dictionary.pad()
            net_input["noise_seed"] = content_seeds(net_input["src_tokens"], pad, self.cfg.seed)
        net_input["prior_mean"] = str(self.cfg.latent) == "mean"
        num_latents = 1 if isinstance(generator, SequenceScorer) else self.cfg.latent_samples
        if num_latents > 1:
            net_input = expand_contexts(net_input, num_latents)
            if prefix_tokens is not None:
                prefix_tokens = prefix_tokens.repeat_interleave(num_latents, dim=0)
            if constraints is not None:
                constraints = constraints.repeat_interleave(num_latents, dim=0)
        hypotheses = super().inference_step(
            generator, models, {**sample, "net_input": net_input}, prefix_tokens, constraints
        )
        return regroup(hypotheses, num_latents, self.nbest) if num_latents > 1 else hypotheses
