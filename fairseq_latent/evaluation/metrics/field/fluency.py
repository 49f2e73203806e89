"""How probable responses are to a language model that was trained elsewhere: its perplexity of them, without contexts.

Of samples of a sentence VAE's prior this is the forward perplexity (Zhao et al., 2018, https://arxiv.org/abs/1706.04223).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..response_metrics import Additive, Ratio, Score
from ..system_scores import Measurement, Responses

Nats = Callable[[Sequence[str]], Sequence[Ratio]]  # texts -> nats and tokens of each, its end included


@dataclass(frozen=True)
class Perplexity(Additive):
    """Per token of the language model, the ends of texts included."""

    model: str  # its name
    name: str = "LM PPL"

    def value(self, sums: Sequence[float]) -> float:
        """1 of nothing."""
        nats, tokens = sums
        return math.exp(min(nats / tokens, 700.0)) if tokens else 1.0

    def score(self, statistics: Sequence[Ratio]) -> Score:
        """Of all texts."""
        sums = [sum(column) for column in zip(*statistics, strict=True)] or [0, 0]
        return Score(
            self.name, self.value(sums), f"lm-ppl|lm:{self.model}|per:token|contexts:none", {"tokens": sums[1]}
        )


@dataclass(frozen=True)
class Fluency:
    """The perplexity of any system's responses, and of the references."""

    nats: Nats
    model: str

    def measure(self, responses: Responses) -> list[Measurement]:
        """Equal texts are computed once."""
        metric = Perplexity(self.model)
        different = sorted(set(responses.texts))
        known = dict(zip(different, self.nats(different), strict=True))
        return [Measurement(metric, [known[text] for text in responses.texts], responses.samples)]
