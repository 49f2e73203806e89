"""Criterion `self_play`: REINFORCE on what an agent said in self-play, or the NLL of right replies (Liu et al., 2020; ACL).

An episode's loss is the mean over utterances of -(log-probability / tokens) * advantage; that of a supervised update, and of
validation, the mean NLL of the right replies' tokens.
"""

from dataclasses import dataclass

from fairseq.criterions import register_criterion
from fairseq.logging import metrics
from torch import Tensor

from ..gaussian import LatentOutput
from ..losses import sequence_nll
from ..rewards import normalised, reinforce
from .latent_criterion import LatentCriterion, LatentCriterionConfig

PLAYED, SUPERVISED = "utterances", "right_replies"  # how many, in the logs of updates: of an episode, and of the others
COUNTS = (PLAYED, SUPERVISED, "nsentences", "ntokens", "sample_size")


@dataclass
class SelfPlayConfig(LatentCriterionConfig):
    pass


@register_criterion("self_play", dataclass=SelfPlayConfig)
class SelfPlayCriterion(LatentCriterion):
    """--criterion self_play"""

    def forward(self, model, sample, reduce=True):
        """An episode has `advantages` (N,), one for each of its N utterances, and `rewards` {name: (N,)} to be logged."""
        if "advantages" not in sample:
            loss, sentences, log = super().forward(model, sample, reduce)
            return loss, sentences, ({**log, SUPERVISED: sentences} if self.training else log)
        target = sample["target"]
        logits, _ = model(**sample["net_input"], target=target)
        _, nll = sequence_nll(logits, target, self.padding_idx)
        tokens = target.ne(self.padding_idx).sum(1)
        loss = reinforce(normalised(-nll, tokens), sample["advantages"])
        count = len(loss)
        log = {
            "loss": loss.detach().sum(),
            "length": tokens.sum(),
            "advantage": sample["advantages"].abs().sum(),
            **{name: values.sum() for name, values in sample["rewards"].items()},
            PLAYED: count,
            "nsentences": count,
            "ntokens": tokens.sum(),
            "sample_size": count,
        }
        return (loss.sum() if reduce else loss), count, log

    def decode(self, model, sample: dict) -> tuple[Tensor, dict]:
        """One pass; no candidate is read."""
        return model(**sample["net_input"], target=sample["target"])

    def divisor(self, name: str, latent: LatentOutput, target: Tensor) -> Tensor | float:
        """The mean over tokens, where fairseq divides by sentences."""
        return target.ne(self.padding_idx).sum() / len(target)

    def terms(self, logits: Tensor, latent: LatentOutput, sample: dict, step: int):
        """The NLL alone."""
        yield from self.nll_terms(logits, sample["target"])

    @classmethod
    def reduce_metrics(cls, logging_outputs) -> None:
        """Episodes and supervised updates under names of their own; the loss is of whatever the update was."""
        updates = [[log for log in logging_outputs if kind in log] for kind in (PLAYED, SUPERVISED)]
        if not any(
            updates
        ):  # validation; it has perplexities, which need their sums each time that something is logged
            super().reduce_metrics(logging_outputs)
        for kind, logs in zip((PLAYED, SUPERVISED), updates, strict=True):
            count = sum(log[kind] for log in logs)
            for name in sorted({name for log in logs for name in log} - {*COUNTS, "kl", "kl_weight"}):
                total = sum(log.get(name, 0) for log in logs)
                metrics.log_scalar(name, total / count, count, priority=0 if name == "loss" else 15, round=4)

    def logging_outputs_can_be_summed(self) -> bool:
        """Episodes and supervised updates are told apart."""
        return False
