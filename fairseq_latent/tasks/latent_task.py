"""What all tasks with a latent share: seeds, heads, the training of the inference network, decoding from several latents."""

import contextlib
import logging
import math
from argparse import Namespace
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from fairseq import utils
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_NAME_REGISTRY, ARCH_MODEL_REGISTRY, MODEL_DATACLASS_REGISTRY
from fairseq.search import Sampling
from fairseq.sequence_scorer import SequenceScorer
from fairseq.tasks import FairseqTask
from omegaconf import II, OmegaConf, open_dict

from ..data.with_strangers import WithStrangers
from ..decoding import generation_flags
from ..decoding.contexts import content_seeds, expand_contexts, regroup
from ..decoding.search import SeededSampling
from ..errors import InputError
from ..ranges import AMOUNT, COUNT, check_config
from ..text.tokenizers import gpt2_tokens
from ..text.vocabulary import check_words, digest
from .aggressive_training import AggressiveTraining
from .autoencoder_pretraining import AutoencoderPretraining, refuse_what_cannot
from .strangers import WORTHS, validate_with_strangers

logger = logging.getLogger(__name__)

COLLAPSED = (
    "the posterior has collapsed: no active units (au = 0), the decoder ignores the latent. Flags that help: --k 5 "
    "(speculative_elbo), --kl-schedule cyclical, --free-bits 0.1, --bow-weight 1, --podi-weight 1"
)


@dataclass
class LatentTaskConfig(FairseqDataclass):
    latent_samples: int = field(
        default=1, metadata={"help": "decoded texts per example, each from a latent of its own", "range": COUNT}
    )
    latent: ChoiceEnum(["sample", "mean"]) = field(  # type: ignore[valid-type]
        default="sample", metadata={"help": "decode a sample of the latent's distribution, or its mean"}
    )
    aggressive: bool = field(
        default=False,
        metadata={
            "help": "train the inference network alone before each update of the rest, until the validation set's mutual "
            "information falls from one epoch to the next (He et al., 2019); where the posterior has an encoder of its own"
        },
    )
    aggressive_steps: int = field(
        default=100,
        metadata={"help": "maximum number of inference-network updates before each update of the rest", "range": COUNT},
    )
    aggressive_window: int = field(
        default=15,
        metadata={
            "help": "window of inference updates: the rest is updated once the mean loss of one is not below that "
            "of the one before",
            "range": COUNT,
        },
    )
    aggressive_updates: int = field(
        default=0,
        metadata={
            "help": "aggressive training ends after N updates of the rest at the latest; 0: no limit",
            "range": AMOUNT,
        },
    )
    pretrain_autoencoder: int = field(
        default=0,
        metadata={
            "help": "train N updates with a KL weight of 0, then give the decoder its first weights back and begin the KL "
            "schedule (Li et al., 2019; Optimus), best with --free-bits; what encoder and decoder share stays",
            "range": AMOUNT,
        },
    )
    context_worth: bool = field(
        default=False,
        metadata={
            "help": "validation also logs context_worth, the nats per response that the context saves over the context of "
            "another dialogue, and latent_worth, those that the latent of its posterior saves over the latent of another "
            "response; validation takes about three times as long. --best-checkpoint-metric context_worth or latent_worth "
            "implies it"
        },
    )
    decoding_autocast: ChoiceEnum(["none", "bfloat16"]) = field(  # type: ignore[valid-type]
        default="none",
        metadata={
            "help": "precision of the matrix products of decoding; bfloat16 is faster on many processors, and some "
            "hypotheses change (none: as the model is)"
        },
    )
    seed: int = II("common.seed")
    update_freq: Any = II("optimization.update_freq")
    clip_norm: float = II("optimization.clip_norm")
    fp16: bool = II("common.fp16")
    bf16: bool = II("common.bf16")
    amp: bool = II("common.amp")
    disable_validation: bool = II("dataset.disable_validation")
    distributed_world_size: int = II("distributed_training.distributed_world_size")
    best_checkpoint_metric: str = II("checkpoint.best_checkpoint_metric")
    maximize_best_checkpoint_metric: bool = II("checkpoint.maximize_best_checkpoint_metric")
    train_subset: str = II("dataset.train_subset")


class LatentTask(FairseqTask):
    """The base of `dialogue` and `text_vae`."""

    reads_context = True  # the decoded text answers another one
    restores_state = True  # asked by compat.checkpoints.resuming: a training that goes on has the state of its task

    def __init__(self, cfg, *args, **kwargs):
        check_config(cfg, type(self))
        if getattr(cfg, "num_batch_buckets", 0):
            raise InputError(
                "--num-batch-buckets gives a TPU batches of few shapes, and drops what fills none; remedy: leave it out"
            )
        if cfg.aggressive_updates and not cfg.aggressive:
            raise InputError(
                f"--aggressive-updates {cfg.aggressive_updates} without --aggressive; remedy: both, or neither"
            )
        if cfg.best_checkpoint_metric in WORTHS and not cfg.maximize_best_checkpoint_metric:
            raise InputError(
                f"--best-checkpoint-metric {cfg.best_checkpoint_metric} is better if it is higher; "
                "remedy: --maximize-best-checkpoint-metric, too"
            )
        super().__init__(cfg, *args, **kwargs)
        self._validates = False  # a criterion was built
        self.updates_per_epoch: int | None = None
        self.nbest = 1  # hypotheses a latent
        self._generation = None  # the settings whose nbest was multiplied by the number of latents
        self._model = None
        self._criterion = None
        self._pretraining: AutoencoderPretraining | None = None
        self._warned_of_collapse = False
        self._aggressive = AggressiveTraining(cfg) if cfg.aggressive else None

    @classmethod
    def load_dictionary(cls, filename):
        """fairseq's; what is no dictionary is named."""
        try:
            return super().load_dictionary(filename)
        except OSError:
            raise
        except Exception as error:  # fairseq has no kind of its own for what it cannot decode
            why = str(error).partition(". ")[0]
            what = "not UTF-8" if "encoding" in why else f"no fairseq dictionary ({why})"
            raise InputError(f"{filename}: {what}; remedy: the one that fairseq-preprocess wrote") from error

    # --- building --------------------------------------------------------------------------------------------------

    def get_batch_iterator(self, dataset, *args, **kwargs):
        """fairseq's; the training set's length in updates serves `--kl-cycle epoch`, its batches the inner loop.

        Shards differ in length, and a resumed run starts on another one: with several, an epoch has no one length.
        """
        dataset = self._validated(dataset)
        iterator = super().get_batch_iterator(dataset, *args, **kwargs)
        if dataset is self.datasets.get(self.cfg.train_subset):
            if self._aggressive is not None:
                self._aggressive.iterator = iterator
            _refuse_short_batches(iterator, dataset, kwargs.get("max_tokens"))
            if len(utils.split_paths(self.cfg.data)) == 1:
                update_freq = self.cfg.update_freq or [1]
                self.updates_per_epoch = max(1, math.ceil(len(iterator) / update_freq[-1]))
        return iterator

    def _validated(self, dataset):
        """A validation set with the strangers that `--context-worth` asks for, from the first time it is read."""
        asked = self.cfg.context_worth or self.cfg.best_checkpoint_metric in WORTHS
        if not (asked and self._validates) or isinstance(dataset, WithStrangers):
            return dataset
        split = next((name for name, each in self.datasets.items() if each is dataset), self.cfg.train_subset)
        if split == self.cfg.train_subset:
            return dataset
        validate_with_strangers(self, self._model, split)
        return self.datasets[split]

    def build_model(self, cfg, from_checkpoint=False):
        """Keep hold of the model for `build_criterion`; options younger than a checkpoint have their defaults."""
        if from_checkpoint:
            add_missing_options(cfg)
        check_config(cfg, ARCH_MODEL_REGISTRY.get(getattr(cfg, "_name", None) or getattr(cfg, "arch", None)))
        self._model = super().build_model(cfg, from_checkpoint)
        with open_dict(cfg) if OmegaConf.is_config(cfg) else contextlib.nullcontext():
            for option, value in getattr(self._model, "found_options", {}).items():
                setattr(cfg, option, value)  # fairseq may have built the model from a copy
        return self._model

    def build_criterion(self, cfg, from_checkpoint=False):
        """The criterion adds the heads that its losses need, before the optimiser looks at the parameters."""
        criterion = self._criterion = super().build_criterion(cfg, from_checkpoint)
        self._validates = True
        if self._model is not None and hasattr(criterion, "equip"):
            criterion.equip(self._model)
        if getattr(self._model, "reads_whole_batches", False) and self.cfg.distributed_world_size > 1:
            raise InputError(
                "--posterior-norm batch needs whole batches, of which each process has a part; remedy: "
                "--distributed-world-size 1, --update-freq for large batches"
            )
        if self._model is not None and self._aggressive is not None:
            self._aggressive.check(self._model)
        if self._model is not None and self.cfg.pretrain_autoencoder:
            refuse_what_cannot(self.cfg, self._model)
            self._pretraining = AutoencoderPretraining(self.cfg.pretrain_autoencoder, self._model)
        return criterion

    # --- training --------------------------------------------------------------------------------------------------

    def train_step(self, sample, model, criterion, optimizer, update_num, ignore_grad=False):
        """fairseq's; while training is aggressive the inference network first, and then all but it."""
        if self._pretraining is not None:
            self._pretraining.begin_update(update_num, optimizer)

        def step():
            return super(LatentTask, self).train_step(sample, model, criterion, optimizer, update_num, ignore_grad)

        if self._aggressive is None or not self._aggressive.trained(update_num):
            return step()
        return self._aggressive.train_step(step, model, criterion, optimizer, update_num)

    def reduce_metrics(self, logging_outputs, criterion):
        """fairseq's; a criterion that steers by what an update was, of all workers, sees it."""
        super().reduce_metrics(logging_outputs, criterion)
        if criterion.training and hasattr(criterion, "observe"):
            criterion.observe(logging_outputs)

    def begin_valid_epoch(self, epoch, model):
        """fairseq's; aggressive training looks at the first validation set of several."""
        super().begin_valid_epoch(epoch, model)
        if self._aggressive is not None:
            self._aggressive.begin_validation()

    def post_validate(self, model, stats, agg):
        """Warn once of a collapsed posterior; refuse to pick the best checkpoint by what is not measured; end aggression."""
        if self.cfg.best_checkpoint_metric not in stats:
            known = ", ".join(sorted(name for name, value in stats.items() if not name.startswith("best_")))
            raise InputError(f"--best-checkpoint-metric {self.cfg.best_checkpoint_metric}; remedy: one of {known}")
        if stats.get("au") == 0 and getattr(self._model, "latent_dim", 1) and not self._warned_of_collapse:
            self._warned_of_collapse = True
            logger.warning(COLLAPSED)
        if self._aggressive is not None:
            self._aggressive.validated(stats)

    def state_dict(self) -> dict:
        """Whether training is aggressive, how a criterion steers, and which words the weights are of belong to a checkpoint.

        The words stand here and not among the weights, all of which an average or --store-ema takes for numbers.
        """
        state = {**super().state_dict(), "dictionary_digest": digest(self.target_dictionary)}
        if self._aggressive is not None:
            state["aggressive"] = self._aggressive.phase.state_dict()
        if hasattr(self._criterion, "training_state"):
            state["criterion"] = self._criterion.training_state()
        return state

    def load_state_dict(self, state_dict: dict) -> None:
        """What `state_dict` gave, of this task or one trained without."""
        self.check_state(state_dict)
        state = {name: value for name, value in state_dict.items() if name != "dictionary_digest"}
        phase = state.pop("aggressive", None)
        of_criterion = state.pop("criterion", {})
        if hasattr(self._criterion, "load_training_state"):
            self._criterion.load_training_state(of_criterion)
        super().load_state_dict(state)
        if phase is not None and self._aggressive is not None:
            self._aggressive.load_state_dict(phase)

    def check_state(self, state_dict: dict) -> None:
        """Refuse the checkpoint of a model that was trained with other words."""
        check_words(state_dict.get("dictionary_digest"), self.target_dictionary)

    # --- decoding --------------------------------------------------------------------------------------------------

    def sampling_inputs(self) -> dict:
        """How the encoder samples the latent: keywords of its `forward`."""
        return {"latent_mean": str(self.cfg.latent) == "mean"}

    def build_bpe(self, args):
        """fairseq's; for GPT-2's tokens the tokenizer in the data folder: fairseq's own downloads one and knows no <eot>."""
        asked = args if isinstance(args, str) else getattr(args, "_name", None)
        own = gpt2_tokens(utils.split_paths(self.cfg.data)[0]) if asked in (None, "gpt2") else None
        return own or super().build_bpe(args)

    def build_generator(self, models, args, **kwargs):
        """fairseq's; with several latents an example all their hypotheses are printed, and no batch changes a sample."""
        generation_flags.check_models(models, args, (kwargs.get("extra_gen_cls_kwargs") or {}).get("lm_model"))
        if args is not self._generation:
            generation_flags.check_flags(args)
        if self.cfg.latent_samples > 1 and args is not self._generation:  # once, however many generators are built
            self.nbest, self._generation = getattr(args, "nbest", 1), args
            args.nbest = self.nbest * self.cfg.latent_samples
        generator = super().build_generator(models, args, **kwargs)
        if isinstance(search := getattr(generator, "search", None), Sampling):
            generator.search = SeededSampling(self.target_dictionary, search.sampling_topk, search.sampling_topp)
        return generator

    def decoding_precision(self, device: str) -> contextlib.AbstractContextManager:
        """In which all that decodes runs: autocast, if it was asked for."""
        if str(self.cfg.decoding_autocast) == "none":
            return contextlib.nullcontext()
        return torch.autocast(device, torch.bfloat16)

    def inference_step(self, generator, models, sample, prefix_tokens=None, constraints=None):
        """Decode one latent an example, or `--latent-samples N`."""
        net_input = dict(sample["net_input"])
        if "noise_seed" not in net_input:  # fairseq-interactive makes its own net_input
            pad = self.source_dictionary.pad()
            net_input["noise_seed"] = content_seeds(net_input["src_tokens"], pad, self.cfg.seed)
        net_input.update(self.sampling_inputs())
        num_latents = 1 if isinstance(generator, SequenceScorer) else self.cfg.latent_samples
        if not isinstance(generator, SequenceScorer):
            generation_flags.require_room(generator, models[0], net_input["src_tokens"], num_latents)
        if num_latents > 1:
            net_input = expand_contexts(net_input, num_latents)
            if prefix_tokens is not None:
                prefix_tokens = prefix_tokens.repeat_interleave(num_latents, dim=0)
            if constraints is not None:
                constraints = constraints.repeat_interleave(num_latents, dim=0)
        sample = {**sample, "net_input": net_input}
        if isinstance(search := getattr(generator, "search", None), SeededSampling):
            search.begin(net_input["noise_seed"], num_latents, generator.beam_size)
            sample["id"] = torch.arange(len(net_input["noise_seed"]), device=net_input["noise_seed"].device)
        elif num_latents > 1 and torch.is_tensor(sample.get("id")):
            sample["id"] = sample["id"].repeat_interleave(num_latents)
        if constraints is None and getattr(search, "supports_constraints", False):
            raise InputError(
                "--constraints: there are none; remedy: fairseq-interactive, which reads them behind a tab"
            )
        try:
            with self.decoding_precision(net_input["src_tokens"].device.type):
                hypotheses = super().inference_step(generator, models, sample, prefix_tokens, constraints)
        except AssertionError as error:
            raise generation_flags.explained(error, generator, net_input, constraints) or error from None
        return regroup(hypotheses, num_latents, self.nbest) if num_latents > 1 else hypotheses


def _refuse_short_batches(iterator, dataset, max_tokens: int | None) -> None:
    """fairseq leaves out what is longer than a batch, and says nothing where that is all of the training set."""
    longest_sides = np.asarray(dataset.sizes).reshape(len(dataset), -1).max(1)
    if max_tokens is not None and longest_sides.min() > max_tokens and len(iterator) == 0:
        raise InputError(
            f"--max-tokens {max_tokens}: the shortest example has {longest_sides.min()} tokens, so no batch holds one; "
            "remedy: a larger --max-tokens"
        )


def add_missing_options(cfg) -> None:
    """fairseq does so for names of models alone, not of architectures (`t_cvae_small`)."""
    arch = getattr(cfg, "_name", None) or getattr(cfg, "arch", None)
    name = ARCH_MODEL_NAME_REGISTRY.get(arch)
    if name not in MODEL_DATACLASS_REGISTRY:
        return
    of_arch = Namespace()
    ARCH_CONFIG_REGISTRY[arch](of_arch)
    with open_dict(cfg) if OmegaConf.is_config(cfg) else contextlib.nullcontext():
        for option, default in {**vars(MODEL_DATACLASS_REGISTRY[name]()), **vars(of_arch)}.items():
            if option not in cfg:
                setattr(cfg, option, default)
