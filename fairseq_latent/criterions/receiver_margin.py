"""Criterion `receiver_margin`: a speaker's utterances match his own profile better than others (Liu et al., 2020; ACL).

Margin loss over candidate profiles, plus a weight times the sparsity of all scores; scores are weighted by an attention that
is flat at first and sharper with each `--attention-step` training examples.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from fairseq.criterions import FairseqCriterion, register_criterion
from fairseq.dataclass import FairseqDataclass
from fairseq.logging import metrics
from omegaconf import II

from .. import matching
from ..ranges import AMOUNT, COUNT, check_config


@dataclass
class ReceiverMarginConfig(FairseqDataclass):
    margin: float = field(
        default=0.5,
        metadata={"help": "margin by which the own profile's score should exceed the others'", "range": AMOUNT},
    )
    sparsity_weight: float = field(
        default=0.01, metadata={"help": "weight of the mean of |score| per utterance in the loss", "range": AMOUNT}
    )
    attention_step: int = field(
        default=5000,
        metadata={
            "help": "training examples (speakers) after which the attention's weight rises by 0.1, from 0.1 to 1.5",
            "range": COUNT,
        },
    )
    batch_size: Any = II("dataset.batch_size")
    update_freq: Any = II("optimization.update_freq")
    distributed_world_size: int = II("distributed_training.distributed_world_size")


@register_criterion("receiver_margin", dataclass=ReceiverMarginConfig)
class ReceiverMarginCriterion(FairseqCriterion):
    """--criterion receiver_margin"""

    def __init__(self, cfg: ReceiverMarginConfig, task):
        super().__init__(task)
        check_config(cfg, type(self))
        self.margin, self.sparsity_weight, self.attention_step = cfg.margin, cfg.sparsity_weight, cfg.attention_step
        often = cfg.update_freq if isinstance(cfg.update_freq, int) else (list(cfg.update_freq or [1])[0])
        self.per_update = (cfg.batch_size or 1) * often * max(1, cfg.distributed_world_size or 1)

    @classmethod
    def build_criterion(cls, cfg, task):
        """One argument for all fields, in place of fairseq's one keyword a field."""
        return cls(cfg, task)

    def forward(self, model, sample, reduce=True):
        """Return (loss, speakers, log), all sums over the batch's speakers; the own profile is candidate 0."""
        utterances, real, personas, persona_real = model(**sample["net_input"])
        grid = matching.score_grid(utterances, real, personas, persona_real)
        weight = matching.attention_weight(self.examples(model.num_updates), self.attention_step)
        scores = matching.candidate_scores(grid, real, persona_real, weight)
        gold = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
        margin = matching.margin_loss(scores, gold, self.margin)
        sparse = matching.sparsity(grid, real).mean(1)
        loss = margin + self.sparsity_weight * sparse
        speakers = len(scores)
        log = {
            "loss": loss.detach().sum(),
            "margin": margin.detach().sum(),
            "sparsity": sparse.detach().sum(),
            "hits1": matching.gold_wins(scores.detach(), gold).float().sum(),
            "attention_weight": weight * speakers,
            "nsentences": speakers,
            "ntokens": sample["ntokens"],
            "sample_size": speakers,
        }
        return (loss.sum() if reduce else loss), speakers, log

    def examples(self, num_updates: int) -> int:
        """Training examples seen, those of a present update included: updates alone advance it, validation does not."""
        return (num_updates + 1 if self.training else num_updates) * self.per_update

    @classmethod
    def reduce_metrics(cls, logging_outputs) -> None:
        """Means over speakers; hits1 in percent, of as many candidates as there were."""
        speakers = sum(log.get("nsentences", 0) for log in logging_outputs)
        if not speakers:  # the metric that picks the best checkpoint must exist, and be the worst
            metrics.log_scalar("loss", float("inf"), 0)
            metrics.log_scalar("hits1", 0.0, 0)
            return
        for name in ("loss", "margin", "sparsity", "hits1", "attention_weight"):
            total = sum(log.get(name, 0) for log in logging_outputs)
            metrics.log_scalar(name, (100 if name == "hits1" else 1) * total / speakers, speakers, round=4)

    @staticmethod
    def logging_outputs_can_be_summed() -> bool:
        """All values are scalars."""
        return True
