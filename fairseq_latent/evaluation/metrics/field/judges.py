"""What a model that was trained to judge says of responses: of their profile (C-score), of their context (DialogRPT).

The models are the user's, by path; which labels they have, their configurations say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from fairseq_latent.errors import InputError
from fairseq_latent.symbols import EOT

from ...runs.response_files import read_lines
from ..response_metrics import Mean, Ratio, Score
from ..system_scores import Measurement, Responses

ENTAILS, CONTRADICTS = "entail", "contradict"  # how labels of natural language inference begin


class Classifier(Protocol):
    """Texts, or pairs, to logits (N, L) of its labels. end: the token that ends a text."""

    name: str
    labels: Sequence[str]
    end: str

    def __call__(self, texts: Sequence) -> np.ndarray:
        """(N, L)"""


@dataclass(frozen=True)
class Judged(Mean):
    """Mean over responses of what a model says of each."""

    name: str
    signature: str

    def score(self, statistics: Sequence[Ratio]) -> Score:
        """Mean over lines."""
        sums = [sum(column) for column in zip(*statistics, strict=True)] or [0, 0]
        return Score(self.name, self.value(sums), self.signature)


@dataclass(frozen=True)
class PersonaConsistency:
    """The C-score of Madotto et al. (2019, https://aclanthology.org/P19-1542): the sentences of the speaker's own profile
    that a response entails, less those that it contradicts.

    profiles: sentences of who responds, for each context. InputError for a model without both labels.
    """

    judge: Classifier
    profiles: Sequence[Sequence[str]]

    def __post_init__(self):
        self._values()

    def _values(self) -> np.ndarray:
        """(L,): 1, 0 or -1 of each label."""
        labels = [label.lower() for label in self.judge.labels]
        values = [label.startswith(ENTAILS) - label.startswith(CONTRADICTS) for label in labels]
        if sorted(values)[:1] != [-1] or max(values) != 1:
            raise InputError(
                f"--nli {self.judge.name}: its labels are {', '.join(self.judge.labels) or 'none'}; remedy: a model of "
                "natural language inference whose config.json names entailment and contradiction"
            )
        return np.array(values)

    def measure(self, responses: Responses) -> list[Measurement]:
        """Of `samples` responses per context; equal pairs are judged once."""
        rows = [
            [(text, sentence) for sentence in self.profiles[place // responses.samples]]
            for place, text in enumerate(responses.texts)
        ]
        pairs = sorted({pair for row in rows for pair in row})
        values = self._values()[self.judge(pairs).argmax(1)] if pairs else []
        known = dict(zip(pairs, values, strict=True))
        signature = f"c-score|nli:{self.judge.name}|premise:response"
        statistics = [(float(sum(known[pair] for pair in row)), 1) for row in rows]
        return [Measurement(Judged("C-score", signature), statistics, responses.samples)]


@dataclass(frozen=True)
class HumanFeedback:
    """How probably people prefer a response, by a ranker of DialogRPT's form (Gao et al., 2020,
    https://arxiv.org/abs/2009.06978): the sigmoid of its one logit, of two labels the probability of the second.
    """

    judge: Classifier
    contexts: Sequence[str]

    def __post_init__(self):
        if len(self.judge.labels) > 2:
            raise InputError(
                f"--rpt {self.judge.name} has {len(self.judge.labels)} labels; remedy: a model with one, as DialogRPT has, "
                "or two"
            )

    def measure(self, responses: Responses) -> list[Measurement]:
        """Turns and response between ends of text, as DialogRPT was trained."""
        end = self.judge.end
        contexts = [end.join(turn.strip() for turn in text.split(EOT)) for text in self.contexts]
        texts = [f"{contexts[place // responses.samples]}{end}{text}" for place, text in enumerate(responses.texts)]
        different = sorted(set(texts))
        known = dict(zip(different, _preferred(self.judge(different)), strict=True))
        signature = f"dialogrpt|model:{self.judge.name}|label:{self.judge.labels[-1]}|turns:between-ends"
        statistics = [(known[text], 1) for text in texts]
        return [Measurement(Judged("DialogRPT", signature), statistics, responses.samples)]


def _preferred(logits: np.ndarray) -> list[float]:
    """(N, 1) or (N, 2) -> the probability of the last label."""
    odds = logits[:, -1] - (logits[:, 0] if logits.shape[1] == 2 else 0.0)
    return (1 / (1 + np.exp(-np.clip(odds, -700, 700)))).tolist()


def own_profiles(path: str | Path, contexts: int) -> list[list[str]]:
    """Sentences of the speaker's profile for each context, a line each, <eot> between them; blank lines have none."""
    lines = read_lines(path)
    if len(lines) != contexts:
        raise InputError(
            f"{path}: {len(lines)} profiles of {contexts} contexts; remedy: those of the same test set, one per line, e.g. "
            "DATA.text/test.own"
        )
    found = [[sentence for part in line.split(EOT) if (sentence := part.strip())] for line in lines]
    if not any(found):
        raise InputError(f"{path}: no profile has a sentence; remedy: those of who responds, e.g. DATA.text/test.own")
    return found
