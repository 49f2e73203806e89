"""Criterion `double_heads`: the language model's loss on the right reply, and its choice among candidates.

loss = lm_weight * (NLL / target tokens) + choice_weight * (cross-entropy / examples with candidates), as TransferTransfo
has it (Wolf et al., 2019); for P²BOT's transmitter (Liu et al., 2020) the cross-entropy is that of each candidate being the
next utterance, or not. Each sum has a denominator of its own, over all batches of an update and all workers.
"""

from dataclasses import dataclass, field

from fairseq.criterions import register_criterion
from fairseq.logging import metrics
from torch import Tensor

from ..errors import InputError
from ..gaussian import LatentOutput
from ..losses import choice_nll, next_utterance_nll, real_places, sum_by_sentence, token_divergence
from ..ranges import AMOUNT, SHARE_BELOW_ONE
from .latent_criterion import LatentCriterion, LatentCriterionConfig

OWN = ("loss", "choice", "hits@1", "choices", "lm")  # logged here, by denominators of their own


@dataclass
class DoubleHeadsConfig(LatentCriterionConfig):
    lm_weight: float = field(
        default=1.0, metadata={"help": "weight of the mean NLL of the right replies' tokens", "range": AMOUNT}
    )
    choice_weight: float = field(
        default=1.0,
        metadata={"help": "weight of the mean cross-entropy of choosing the right reply", "range": AMOUNT},
    )
    label_smoothing: float = field(
        default=0.0,
        metadata={
            "help": "epsilon of label smoothing, spread over all words but the right one and the pad (P²BOT: 0.05)",
            "range": SHARE_BELOW_ONE,
        },
    )


@dataclass(frozen=True)
class Counts:
    """Target tokens, sentences and examples with several candidates, of an update or of one batch."""

    tokens: float
    sentences: float
    choices: float


@register_criterion("double_heads", dataclass=DoubleHeadsConfig)
class DoubleHeadsCriterion(LatentCriterion):
    """--criterion double_heads"""

    def __init__(self, cfg: DoubleHeadsConfig, task):
        super().__init__(cfg, task)
        self.lm_weight, self.choice_weight = cfg.lm_weight, cfg.choice_weight
        self.candidates = getattr(getattr(task, "cfg", None), "candidates", 1)
        self.choice_loss = "softmax"  # a model may say otherwise
        self._update: Counts | None = None

    @property
    def reads_candidates(self) -> bool:
        """Whether batches need candidates: asked by the task."""
        return self.candidates > 1 and self.choice_weight > 0

    def equip(self, model) -> None:
        """Give the model its second head, unless one candidate leaves nothing to choose."""
        self.choice_loss = getattr(model, "choice_loss", "softmax")
        if not self.reads_candidates:
            return
        if not hasattr(model, "add_choice_head"):
            raise InputError(
                f"--criterion double_heads: {type(model).__name__} has no head that chooses; "
                "remedy: --arch transfertransfo, or --candidates 1"
            )
        model.add_choice_head()

    def begin_update(self, samples: list, add_up) -> None:
        """Count what all batches of an update hold, before the first is computed; add_up: a list of numbers over workers."""
        counts = [0.0, 0.0, 0.0]
        for sample in samples:
            if sample:
                for place, count in enumerate(self._counts(sample)):
                    counts[place] += count
        self._update = Counts(*add_up(counts))

    def _counts(self, sample: dict) -> tuple[float, float, float]:
        """Target tokens, sentences, examples with a wrong reply; these are counted once, while the batch is the host's."""
        if "choices" not in sample:
            distractors = sample["net_input"].get("distractors")
            counted = distractors is not None and distractors.size(1)
            sample["choices"] = float(distractors[:, :, 0].ne(self.padding_idx).any(1).sum()) if counted else 0.0
        return float(sample["ntokens"]), float(sample["target"].size(0)), sample["choices"]

    def forward(self, model, sample, reduce=True):
        """`LatentCriterion.forward`, with the denominators of the update in training and of the batch in validation."""
        own = Counts(*self._counts(sample))
        self._now = self._update if self.training and self._update is not None else own
        loss, sentences, log = super().forward(model, sample, reduce)
        log["choices"] = own.choices
        log["lm_weight"], log["choice_weight"] = self.lm_weight * sentences, self.choice_weight * sentences
        return loss, sentences, log

    def decode(self, model, sample: dict) -> tuple[Tensor, dict]:
        """One pass for both heads."""
        return model(**sample["net_input"], target=sample["target"])

    def nll(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Packed logits (N, V) -> smoothed and plain NLL (B,), nats per sentence; the least smoothed value is 0."""
        mask = target.ne(self.padding_idx)
        words = target.flatten().index_select(0, real_places(mask, len(logits)))
        smoothed, nll = token_divergence(logits, words, self.padding_idx, self.label_smoothing)
        return sum_by_sentence(smoothed, mask), sum_by_sentence(nll, mask)

    def divisor(self, name: str, latent: LatentOutput, target: Tensor) -> Tensor | int:
        """fairseq divides by sentences, so that a mean over something else needs how many of it a sentence has."""
        if name in ("nll", "smoothed_nll"):
            return self._now.tokens / max(self._now.sentences, 1)
        if name == "choice":
            return max(self._now.choices, 1) / max(self._now.sentences, 1)
        return 1

    def terms(self, logits: Tensor, latent: LatentOutput, sample: dict, step: int):
        """Yield (name, value of each example (B,), weight)."""
        for name, value, weight in self.nll_terms(logits, sample["target"]):
            yield name, value, weight * self.lm_weight
            if weight:
                yield "lm", value.detach(), 0.0
        if latent.choice is not None:
            nll, hit = choice_nll(latent.choice)
            if self.choice_loss == "binary":
                nll = next_utterance_nll(latent.choice)
            yield "choice", nll, self.choice_weight
            yield "hits@1", hit, 0.0

    @classmethod
    def reduce_metrics(cls, logging_outputs) -> None:
        """Log ratios of sums: the loss of many batches is not the mean of their losses."""
        super().reduce_metrics([{name: log[name] for name in log.keys() - set(OWN)} for log in logging_outputs])
        total = {name: sum(log.get(name, 0) for log in logging_outputs) for name in (*OWN, "ntokens")}
        if not any(logging_outputs):
            return
        metrics.log_scalar("_lm_token", total["lm"] / max(total["ntokens"], 1), total["ntokens"])
        choices = total["choices"]
        if any("choice" in log for log in logging_outputs):
            for name in ("choice", "hits@1"):
                metrics.log_scalar(name, total[name] / max(choices, 1), choices, priority=13, round=4)
        metrics.log_derived("loss", _loss, priority=0)


def _loss(meters) -> float:
    choice = meters["choice_weight"].avg * meters["choice"].avg if "choice" in meters else 0.0
    return round(float(meters["lm_weight"].avg * meters["_lm_token"].avg + choice), 4)
