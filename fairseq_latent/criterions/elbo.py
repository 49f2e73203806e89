"""Criterion `elbo`: the evidence lower bound with every option of the family; the other names only pick defaults.

--k: best-of-K or mean-of-K training of the latent; --kl-schedule: annealing; --bow-weight: bag of words; --podi-weight:
posterior-discriminated regularisation; --free-bits; --loss-scale. They mix freely, on every latent model.
"""

import logging
from dataclasses import dataclass, field

import torch
from fairseq.criterions import register_criterion
from fairseq.dataclass import ChoiceEnum
from torch import Tensor

from ..errors import InputError
from ..gaussian import DiagonalGaussian, LatentOutput, seeded_noise
from ..losses import bow_nll, free_bits, mmd, pair_divergence, podi, same_rows
from ..ranges import AMOUNT, POSITIVE, SAMPLES, SIZE_OR_NONE
from ..schedules import KLController, KLSchedule
from .latent_criterion import LatentCriterion, LatentCriterionConfig

logger = logging.getLogger(__name__)

EPOCH = "epoch"  # a --kl-cycle as long as the training set
LONGEST_NUMBER = 18  # digits


@dataclass
class ELBOConfig(LatentCriterionConfig):
    k: int = field(default=1, metadata={"help": "latent samples per example in training (K)", "range": SAMPLES})
    sample_reduction: ChoiceEnum(["best", "mean", "importance"]) = field(
        default="best",
        metadata={
            "help": "keep each example's best of K (speculative sampling), their mean (Monte Carlo sampling), or one by its "
            "importance weight, with the KL of that sample: in expectation the gradient of the importance-weighted bound "
            "(Burda et al., 2016)"
        },
    )
    selection_dtype: ChoiceEnum(["float32", "bfloat16"]) = field(
        default="float32", metadata={"help": "precision of the products that only rank the K samples"}
    )
    selection_words: int = field(
        default=0,
        metadata={
            "help": "rank the K samples by the target, half as many frequent words and a sample of the rest; 0: all V",
            "range": AMOUNT,
        },
    )
    kl_weight: float = field(
        default=1.0, metadata={"help": "weight of the KL term, once the schedule has risen", "range": AMOUNT}
    )
    kl_schedule: ChoiceEnum(["constant", "linear", "cyclical"]) = field(
        default="constant", metadata={"help": "how the KL weight rises from 0"}
    )
    kl_warmup: int = field(
        default=0,
        metadata={
            "help": "updates until the weight is reached (cyclical: in each cycle; 0 = half of it)",
            "range": AMOUNT,
        },
    )
    kl_cycle: str = field(
        default="0", metadata={"help": "updates per cycle, or `epoch`: one cycle per epoch, computed from the data"}
    )
    kl_set_point: float = field(
        default=0.0,
        metadata={
            "help": "nats per sentence at which a controller holds the training KL, by weights from 0 to --kl-weight "
            "(ControlVAE: Shao et al., 2020); 0: the schedule sets the weight",
            "range": AMOUNT,
        },
    )
    kl_first_update: int = field(
        default=0,
        metadata={
            "help": "number of the first update on the KL schedule: 0, or 1 as in the code of Zhao et al. (2017)",
            "range": AMOUNT,
        },
    )
    fader_weight: float = field(
        default=1.0, metadata={"help": "weight of the fader's KL, where a model has a fader", "range": AMOUNT}
    )
    free_bits: float = field(
        default=0.0,
        metadata={
            "help": "nats that are not penalised in training: per latent dimension, or as --free-bits-over says",
            "range": AMOUNT,
        },
    )
    free_bits_over: ChoiceEnum(["dimension", "total", "sample"]) = field(
        default="dimension",
        metadata={
            "help": "what has the free nats: each dimension, its mean over the batch (Kingma et al., 2016); the KL of all "
            "dimensions, its mean over the batch; or that of each example (Li et al., 2019)"
        },
    )
    loss_scale: ChoiceEnum(["elbo", "released"]) = field(
        default="elbo",
        metadata={
            "help": "elbo: NLL summed over a response's tokens, KL over latent dimensions; released: the mean of each, as "
            "the code of Cho et al. (2022) has it. The log has the sums either way, but for `loss`"
        },
    )
    bow_weight: float = field(default=0.0, metadata={"help": "weight of the bag-of-words loss", "range": AMOUNT})
    bow_target: ChoiceEnum(["types", "tokens"]) = field(
        default="types", metadata={"help": "predict the response's set of words, or all its tokens (Zhao et al., 2017)"}
    )
    bow_hidden_dim: int = field(
        default=0,
        metadata={
            "help": "hidden layer of the bag-of-words head, 0 = one linear map; Zhao et al. have 400",
            "range": SIZE_OR_NONE,
        },
    )
    mmd_weight: float = field(
        default=0.0,
        metadata={
            "help": "weight of the maximum mean discrepancy between the batch's latents and samples of their priors "
            "(InfoVAE: Zhao et al., 2019)",
            "range": AMOUNT,
        },
    )
    podi_weight: float = field(default=0.0, metadata={"help": "weight of L_Po-di", "range": AMOUNT})
    podi_target: float = field(
        default=0.15, metadata={"help": "lambda of L_Po-di, nats per latent dimension", "range": POSITIVE}
    )
    podi_form: ChoiceEnum(["per_dim", "literal", "auto"]) = field(
        default="per_dim", metadata={"help": "L_Po-di as released, as printed, or scaled to Z and the batch"}
    )


@register_criterion("elbo", dataclass=ELBOConfig)
class ELBOCriterion(LatentCriterion):
    """--criterion elbo"""

    def __init__(self, cfg: ELBOConfig, task):
        super().__init__(cfg, task)
        _check(cfg)
        self.k = cfg.k
        self.sample_reduction = str(cfg.sample_reduction)
        self.importance = self.sample_reduction == "importance"
        self.selection_dtype = getattr(torch, str(cfg.selection_dtype))
        self.selection_words = cfg.selection_words
        self.free_bits, self.free_bits_over = cfg.free_bits, str(cfg.free_bits_over)
        self.loss_scale = str(cfg.loss_scale)
        self.fader_weight = cfg.fader_weight
        self.bow_weight, self.bow_target, self.bow_hidden_dim = cfg.bow_weight, str(cfg.bow_target), cfg.bow_hidden_dim
        self.mmd_weight = cfg.mmd_weight
        self.podi_weight, self.podi_target, self.podi_form = cfg.podi_weight, cfg.podi_target, str(cfg.podi_form)
        self.eos_idx = task.target_dictionary.eos()
        self.pretraining = getattr(getattr(task, "cfg", None), "pretrain_autoencoder", 0)  # updates
        self._pretrains = False
        self.controller = KLController(cfg.kl_set_point, cfg.kl_weight) if cfg.kl_set_point else None
        self._warned_of_one = False
        self._schedule_of = (str(cfg.kl_schedule), cfg.kl_weight, cfg.kl_warmup, cfg.kl_cycle)
        self._first_update = cfg.kl_first_update
        self._schedule: KLSchedule | None = (
            None
            if cfg.kl_cycle == EPOCH
            else KLSchedule.named(
                str(cfg.kl_schedule), cfg.kl_weight, cfg.kl_warmup, int(cfg.kl_cycle), self._first_update
            )
        )

    @property
    def schedule(self) -> KLSchedule:
        """The KL schedule; a cycle of one epoch is known once the training set has been batched."""
        if self._schedule is None:
            name, weight, warmup, _ = self._schedule_of
            cycle = getattr(self.task, "updates_per_epoch", None)
            if cycle is None:
                raise InputError(
                    "--kl-cycle epoch needs one data folder, whose updates an epoch can be counted, and a training set: "
                    "there are several (a:b:c), or nothing to train on yet; remedy: --kl-cycle UPDATES"
                )
            self._schedule = KLSchedule.named(name, weight, warmup, cycle, self._first_update)
        return self._schedule

    def kl_weight(self, step: int) -> float:
        """In training, after `step` updates; pretraining as an autoencoder comes first, with a weight of 0."""
        self._pretrains = step < self.pretraining
        if self._pretrains:
            return 0.0
        return self.schedule(step - self.pretraining) if self.controller is None else self.controller.weight

    def observe(self, logging_outputs: list[dict]) -> None:
        """Take note of an update that all workers have done: asked by the task."""
        sentences = sum(float(log.get("nsentences", 0)) for log in logging_outputs)
        if self.controller is not None and sentences and not self._pretrains:
            self.controller.observe(sum(float(log.get("kl", 0)) for log in logging_outputs) / sentences)
            if said := self.controller.unreached:
                logger.warning(said)

    def training_state(self) -> dict:
        """What an exact resume needs: asked by the task, which has a place in checkpoints."""
        return {} if self.controller is None else {"kl_controller": self.controller.state_dict()}

    def load_training_state(self, state: dict) -> None:
        """What `training_state` gave, of this criterion or another one."""
        if self.controller is not None and "kl_controller" in state:
            self.controller.load_state_dict(state["kl_controller"])

    def equip(self, model) -> None:
        """Give the model a bag-of-words head where the loss has that term; refuse what is about a latent without one."""
        if not model.latent_dim:
            for flag, asked in (
                ("--k", self.k > 1),
                ("--bow-weight", self.bow_weight),
                ("--mmd-weight", self.mmd_weight),
                ("--kl-set-point", self.controller),
                ("--podi-weight", self.podi_weight),
            ):
                if asked:
                    raise InputError(
                        f"{flag} is about the latent, and this model has none; remedy: --criterion elbo alone, or a "
                        "model with one (persona_cvae_gpt2: without --no-latents)"
                    )
        if getattr(model, "latent_class", DiagonalGaussian) is not DiagonalGaussian:
            self._refuse_what_codes_have_not()
        if self.importance and getattr(model, "latent_factor", 1.0) != 1:
            raise InputError(
                "--latent-scale leaves no density of a sample to weigh it by; remedy: without --sample-reduction importance"
            )
        if self.bow_weight:
            model.add_bow_head(self.bow_hidden_dim)

    def _refuse_what_codes_have_not(self) -> None:
        for flag, asked, remedy in (
            (f"--sample-reduction {self.sample_reduction}", self.k > 1 and self.sample_reduction != "best", "best"),
            ("--podi-weight", self.podi_weight, "--k"),
            (
                "--free-bits-over dimension",
                self.free_bits and self.free_bits_over == "dimension",
                "--free-bits-over total",
            ),
        ):
            if asked:
                raise InputError(
                    f"{flag} is for Gaussian latents, --latent-kind categorical has codes; remedy: {remedy}"
                )

    def decode(self, model, sample: dict) -> tuple[Tensor, dict]:
        """K samples in training, one in validation; a model hears of K, and of a precision, where it is asked for them."""
        choice = {}
        if self.training and self.k > 1:
            choice = {"num_latents": self.k, "reduce": self.sample_reduction}
            if self.selection_dtype != torch.float32:
                choice["selection_dtype"] = self.selection_dtype
            if self.selection_words:
                choice["selection_words"] = self.selection_words
        return model(**sample["net_input"], target=sample["target"], **choice)

    def divisor(self, name: str, latent: LatentOutput, target: Tensor) -> Tensor | int:
        """`--loss-scale released`: the mean NLL of a response's tokens, the mean KL of the latent's dimensions."""
        if self.loss_scale == "released" and name in ("nll", "smoothed_nll"):
            return target.ne(self.padding_idx).sum(1).clamp(min=1)
        if self.loss_scale == "released" and name == "kl":
            return max(1, latent.z.size(-1))
        return 1

    def terms(self, logits: Tensor, latent: LatentOutput, sample: dict, step: int):
        """Yield (name, value of each example (B,), weight)."""
        target = sample["target"]
        yield from self.nll_terms(logits, target)
        kl = self.divergence(latent) if self.training else latent.posterior.kl(latent.prior)
        weight = self.kl_weight(step) if self.training else 1.0
        yield "kl", kl, weight
        for name, value in latent.divergences.items():
            yield name, value, self.fader_weight * weight
        for name, value in latent.losses.items():
            yield name, value, 1.0
        if self.bow_weight:
            if latent.bow_logits is None:
                raise InputError(
                    "--bow-weight: this model was built without a bag-of-words head; remedy: --task dialogue"
                )
            bow = bow_nll(latent.bow_logits, target, self.padding_idx, self.eos_idx, self.bow_target)
            yield "bow", bow, self.bow_weight
        if self.mmd_weight:
            yield "mmd", mmd(latent.z, self._of_priors(latent, sample)), self.mmd_weight
        if self.podi_weight:
            self._warn_of_one(target.size(0))
            same = _same_inputs(sample)
            apart = podi(latent.posterior, self.podi_target, self.podi_form, same, shuffle=self.training)
            yield "podi", apart, self.podi_weight
            pairs = pair_divergence(latent.posterior.detach(), same)
            for name, divergence in zip(("podi_kl", "podi_kl_means"), pairs, strict=True):
                yield name, divergence, 0.0  # logged alone

    def divergence(self, latent: LatentOutput) -> Tensor:
        """(B,) nats: what training charges for the latent."""
        if self.importance:
            return latent.posterior.log_prob(latent.z) - latent.prior.log_prob(latent.z)
        if self.free_bits:
            return free_bits(latent.charged_kl, self.free_bits, self.free_bits_over)
        return latent.charged_kl.sum(-1)

    def _of_priors(self, latent: LatentOutput, sample: dict) -> Tensor:
        """(B, Z): a sample of each example's prior, in validation always the same."""
        if self.training:
            return latent.prior.rsample()
        seeds = sample["net_input"]["noise_seed"]
        return latent.prior.rsample(seeded_noise(seeds, 2, latent.z.size(-1))[:, 1])  # the first is the posterior's

    def _warn_of_one(self, sentences: int) -> None:
        if sentences == 1 and not self._warned_of_one:
            self._warned_of_one = True
            logger.warning(
                "a batch of one sentence: L_Po-di finds no other posterior there, and is 0; remedy: --batch-size 2 or more"
            )


def _same_inputs(sample: dict) -> Tensor:
    """(B, B) bool: whose posteriors read the same."""
    inputs = sample["net_input"]
    if "partner_tokens" in inputs:
        return same_rows(inputs["partner_tokens"])
    return same_rows(inputs["src_tokens"], sample["target"])


def _check(cfg: ELBOConfig) -> None:
    """Refuse combinations that no training can mean."""
    if str(cfg.sample_reduction) == "importance":
        if cfg.k == 1:
            raise InputError(
                "--sample-reduction importance chooses one of several samples, --k 1 is one; remedy: --k 5"
            )
        if cfg.free_bits:
            raise InputError(
                "--free-bits is about the KL of distributions, --sample-reduction importance charges that of the kept "
                "sample; remedy: one of them"
            )
    if cfg.kl_set_point and str(cfg.kl_schedule) != "constant":
        raise InputError(
            f"--kl-set-point {cfg.kl_set_point:g} sets the weight, and so does --kl-schedule {cfg.kl_schedule}; "
            "remedy: one of them"
        )
    if cfg.selection_words == 1:
        raise InputError("--selection-words 1 is no sample of the words; remedy: 4096, or 0 for all")
    if cfg.kl_cycle != EPOCH and not (cfg.kl_cycle.isdecimal() and len(cfg.kl_cycle) <= LONGEST_NUMBER):
        raise InputError(f"--kl-cycle {cfg.kl_cycle} is neither a number of updates nor `epoch`; remedy: one of them")
    if cfg.kl_cycle == EPOCH and str(cfg.kl_schedule) != "cyclical":
        raise InputError(f"--kl-schedule {cfg.kl_schedule} has no --kl-cycle; remedy: --kl-schedule cyclical")
