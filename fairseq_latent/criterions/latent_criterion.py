"""The base of all latent criterions: it runs the model, sums the terms, logs them and reduces over workers.

Units: NLL is a sum over a response's tokens, KL a sum over latent dimensions, in nats; the loss is averaged over
sentences. A child may scale the terms of its loss (`divisor`), never what is logged. Validation is always one posterior
sample and KL weight 1.
"""

import contextlib
import math
from dataclasses import dataclass, field

import torch
from fairseq.criterions import FairseqCriterion
from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from fairseq.logging import metrics
from torch import Tensor

from ..gaussian import LatentOutput, seeded_noise
from ..losses import CONTEXT_WORTH, LATENT_WORTH, active_units, mutual_information, sequence_nll
from ..matching import in_order_of
from ..ranges import SHARE_BELOW_ONE, check_config

PRIOR_PPL = "prior_ppl"
BESIDE = ("fader_kl",)  # terms of the bound beside the KL of z
COUNTED = ("inner_steps",)  # added up over updates, where all else is a mean over sentences
# An empty split: the metric that picks the best checkpoint must exist, and be the worst.
EMPTY = {
    **dict.fromkeys(("loss", "nll", "kl", "_nll_token", "_bound_token", "_prior_token"), math.inf),
    "au": 0,
    "mi": 0,
    **dict.fromkeys((CONTEXT_WORTH, LATENT_WORTH), -math.inf),
}


@dataclass
class LatentCriterionConfig(FairseqDataclass):
    label_smoothing: float = field(
        default=0.0,
        metadata={
            "help": "epsilon of label smoothing, spread over all V words (the paper: 0.1)",
            "range": SHARE_BELOW_ONE,
        },
    )
    autocast: ChoiceEnum(["none", "bfloat16"]) = field(  # type: ignore[valid-type]
        default="none",
        metadata={
            "help": "precision of the model's matrix products in training, on any device; parameters, losses and validation "
            "stay float32. Faster where the processor has bfloat16 units (fairseq-latent doctor)"
        },
    )
    prior_ppl: bool = field(
        default=False,
        metadata={
            "help": "validation also logs prior_ppl, a perplexity with latents inferred from the context alone, as decoding "
            "has them; --best-checkpoint-metric prior_ppl implies it"
        },
    )


class LatentCriterion(FairseqCriterion):
    """A child says how the model is run (`decode`) and which terms make its loss (`terms`)."""

    def __init__(self, cfg: LatentCriterionConfig, task):
        super().__init__(task)
        check_config(cfg, type(self))
        self.label_smoothing = cfg.label_smoothing
        self.autocast = str(cfg.autocast) == "bfloat16"
        self.prior_ppl = cfg.prior_ppl or getattr(getattr(task, "cfg", None), "best_checkpoint_metric", "") == PRIOR_PPL

    @classmethod
    def build_criterion(cls, cfg, task):
        """One argument for all fields, in place of fairseq's one keyword a field."""
        return cls(cfg, task)

    def equip(self, model) -> None:
        """Add to the model what the terms need."""

    def decode(self, model, sample: dict) -> tuple[Tensor, dict]:
        """Run the model on a batch with its target."""
        raise NotImplementedError

    def terms(self, logits: Tensor, latent: LatentOutput, sample: dict, step: int):
        """Yield (name, value of each example (B,), weight)."""
        raise NotImplementedError

    def divisor(self, name: str, latent: LatentOutput, target: Tensor) -> Tensor | float:
        """What the loss divides a term by: a number, or one an example (B,). The log keeps the term as it is."""
        return 1

    def nll(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Packed logits (N, V) -> smoothed and plain NLL (B,), nats per sentence."""
        return sequence_nll(logits, target, self.padding_idx, self.label_smoothing)

    def nll_terms(self, logits: Tensor, target: Tensor):
        """The NLL as a term of the loss; under label smoothing the plain one is logged beside it."""
        smoothed, nll = self.nll(logits, target)
        if self.label_smoothing:
            yield "smoothed_nll", smoothed, 1.0
        yield "nll", nll.detach() if self.label_smoothing else nll, 0.0 if self.label_smoothing else 1.0

    def forward(self, model, sample, reduce=True):
        """Return (loss, sentences, log), all sums over the batch's sentences; `reduce=False` gives the loss as (B,)."""
        target = sample["target"]
        ours = self.autocast and self.training  # else as it is: --amp has its own
        with torch.autocast(target.device.type, torch.bfloat16) if ours else contextlib.nullcontext():
            logits, extra = self.decode(model, sample)
        latent: LatentOutput = extra["latent"]
        sentences = target.size(0)
        log = {
            "nsentences": sentences,
            "sample_size": sentences,
            "ntokens": sample["ntokens"],
            "kl": latent.posterior.kl(latent.prior).detach().sum(),
            "kl_weight": 0.0,  # where the loss has no such term
        }
        loss = target.new_zeros(sentences, dtype=torch.float32)
        for name, value, weight in self.terms(logits, latent, sample, model.num_updates):
            loss = loss + weight * value / self.divisor(name, latent, target)
            if name == "kl":
                log["kl_weight"] = weight * sentences
            else:
                log[name] = value.detach().sum()
            if name == "nll":
                nll = value.detach()
        log["loss"] = loss.detach().sum()
        if not self.training:
            log.update(_validation_log(latent))
            strangers = sample.get("strangers", {})
            if self.prior_ppl or CONTEXT_WORTH in strangers:
                prior_nll = self.prior_nll(model, sample)
            if self.prior_ppl:
                log["prior_nll"] = prior_nll.sum()
            if CONTEXT_WORTH in strangers:
                other = strangers[CONTEXT_WORTH]
                saved = self.prior_nll(model, other)[in_order_of(sample["id"], other["id"])] - prior_nll
                log[CONTEXT_WORTH] = saved[strangers["counted"]].sum()
            if LATENT_WORTH in strangers:
                saved = under_other_posterior(model, sample, strangers[LATENT_WORTH]) - nll
                log[LATENT_WORTH] = saved[strangers["counted"]].sum()
            if strangers:
                log["strangers"] = strangers["counted"].sum()
        return (loss.sum() if reduce else loss), sentences, log

    def prior_nll(self, model, sample: dict) -> Tensor:
        """(B,) nats per sentence: the target decoded without having been seen, from a sample of the prior."""
        target = sample["target"]
        logits, _ = model(**sample["net_input"])
        return sequence_nll(logits[target.ne(self.padding_idx)], target, self.padding_idx)[1]

    @classmethod
    def reduce_metrics(cls, logging_outputs) -> None:
        """Log ratios of sums: one dictionary of all workers' sums gives the same as theirs one by one."""
        total = {
            name: sum(log.get(name, 0) for log in logging_outputs)
            for name in {name for log in logging_outputs for name in log}
        }
        sentences, tokens = total.get("nsentences", 0), total.get("ntokens", 0)
        with_strangers = total.pop("strangers", 0)
        for name in (CONTEXT_WORTH, LATENT_WORTH):
            if name in total:
                metrics.log_scalar(name, total.pop(name) / max(with_strangers, 1), with_strangers, round=4)
        vectors = ("mean_sum", "mean_square_sum")
        for name in sorted(total.keys() - {"nsentences", "ntokens", "sample_size", *vectors}):
            if name in COUNTED:
                metrics.log_scalar_sum(name, total[name] / max(sentences, 1))
                continue
            priority = {"loss": 0, "nll": 10, "kl": 11, "kl_weight": 12}.get(name, 20)
            metrics.log_scalar(name, total[name] / max(sentences, 1), sentences, priority=priority, round=4)
        if not total:
            for name, worst in EMPTY.items():
                metrics.log_scalar(name, worst, 0)
        else:
            metrics.log_scalar("_nll_token", total["nll"] / max(tokens, 1), tokens)
            bound = total["nll"] + total["kl"] + sum(total.get(name, 0) for name in BESIDE)
            metrics.log_scalar("_bound_token", bound / max(tokens, 1), tokens)
        if "prior_nll" in total:
            metrics.log_scalar("_prior_token", total["prior_nll"] / max(tokens, 1), tokens)
        if "prior_nll" in total or not total:
            metrics.log_derived(PRIOR_PPL, lambda meters: _perplexity(meters["_prior_token"].avg))
        metrics.log_derived("rec_ppl", lambda meters: _perplexity(meters["_nll_token"].avg))
        metrics.log_derived("elbo_ppl", lambda meters: _perplexity(meters["_bound_token"].avg))
        if "mean_sum" in total:
            # sums and a ratio, no meter of our own: fairseq restores a checkpoint's meters from its own classes alone
            for name in vectors:
                metrics.log_scalar_sum(f"_{name}", total[name])
            metrics.log_scalar_sum("_count", sentences)
            metrics.log_derived("au", _active_units)

    def logging_outputs_can_be_summed(self) -> bool:
        """In training all values are scalars; in validation vectors are among them, which fairseq must gather."""
        return self.training


def under_other_posterior(model, sample: dict, other: dict) -> Tensor:
    """(B,) nats per response with latents of the posteriors of `other`, the same examples with others' responses."""
    posterior = _distributions(model, other)[1][in_order_of(sample["id"], other["id"])]
    decoded = _distributions(model, sample)[2]
    noise = seeded_noise(sample["net_input"]["noise_seed"], 1, posterior.mean.size(-1))[:, 0]
    return decoded.nll(posterior.rsample(noise))


def _distributions(model, sample: dict) -> tuple:
    inputs = {name: value for name, value in sample["net_input"].items() if name not in ("src_lengths", "noise_seed")}
    return model.distributions(target=sample["target"], **inputs)


def _perplexity(nats_per_token) -> float:
    return round(math.exp(min(float(nats_per_token), 700.0)), 3)


def _active_units(meters) -> int:
    mean_sum, mean_square_sum, count = (meters[f"_{name}"].sum for name in ("mean_sum", "mean_square_sum", "count"))
    return active_units(mean_sum, mean_square_sum, count) if count > 1 else 0


def _validation_log(latent: LatentOutput) -> dict[str, Tensor]:
    """Sums over the batch from which active units and mutual information come."""
    mean = latent.posterior.mean.float()  # not double: a worker's log must fit into --all-gather-list-size
    return {
        "mi": mutual_information(latent.posterior, latent.z).sum(),
        "mean_sum": mean.sum(0),
        "mean_square_sum": mean.square().sum(0),
    }
