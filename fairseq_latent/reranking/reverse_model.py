"""Maximum mutual information: a model of contexts given responses says which response fits its context best."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from fairseq.sequence_scorer import SequenceScorer
from torch import Tensor

from ..compat.checkpoints.allowed_models import asked_for
from ..data.newest_turns import newest_turns
from ..errors import InputError
from ..symbols import EOT
from ..text.vocabulary import index_of
from .candidates import Candidates

PAIRS = 64  # scored at once
TRAIN = "remedy: a model of this package, trained on the same DATA with --source-lang {target} --target-lang {source}"


class ReverseModel:
    """Mean of log p(token of the context | response), nats (Li et al., 2016, https://arxiv.org/abs/1510.03055; of it this
    term alone, as Zhang et al., 2020, https://arxiv.org/abs/1911.00536). Its latent, if it has one, is its prior's mean.
    """

    def __init__(self, path: str, task: Any, device: torch.device):
        sides = {"source": str(task.cfg.source_lang), "target": str(task.cfg.target_lang)}
        remedy = TRAIN.format(**sides)
        if not Path(path).is_file():
            raise InputError(f"--rerank-model {path}: no such checkpoint; {remedy}")
        model, self.task = _loaded(path, task)
        backwards = (getattr(self.task.cfg, "target_lang", None), getattr(self.task.cfg, "source_lang", None))
        if not hasattr(model, "distributions") or backwards != (sides["source"], sides["target"]):
            what = f"{backwards[0]} from {backwards[1]}" if all(backwards) else "no responses"
            raise InputError(f"--rerank-model {path} writes {what}: it is no reverse model; {remedy}")
        if (
            self.task.source_dictionary != task.target_dictionary
            or self.task.target_dictionary != task.source_dictionary
        ):
            raise InputError(f"--rerank-model {path} has another dictionary; {remedy}")
        self.model = model.to(device).eval()
        self.device, self.encode = device, task.encode_reply
        self.scorer = SequenceScorer(self.task.target_dictionary)
        self.end_of_turn = index_of(self.task.target_dictionary, EOT)

    @torch.no_grad()
    def __call__(self, batch: Sequence[Candidates]) -> list[list[float]]:
        """Of each context the scores of its candidates."""
        wanted = {  # equal replies to a context are scored once
            (row, text): candidates.context for row, candidates in enumerate(batch) for text in candidates.texts
        }
        pairs = [(text, context) for (_, text), context in wanted.items()]
        known = dict(zip(wanted, self._scored(pairs), strict=True))
        return [[known[row, text] for text in candidates.texts] for row, candidates in enumerate(batch)]

    def _scored(self, pairs: Sequence[tuple[str, Tensor]]) -> list[float]:
        longest = self.model.max_positions()
        sources = [torch.from_numpy(self.encode(reply)).long()[: longest[0]] for reply, _ in pairs]
        targets = [newest_turns(context.long().cpu(), longest[1], self.end_of_turn) for _, context in pairs]
        dataset = self.task.dataset_of_pairs(sources, targets)
        order = sorted(range(len(pairs)), key=lambda place: (len(targets[place]), len(sources[place])))
        found = [0.0] * len(pairs)
        for start in range(0, len(order), PAIRS):
            sample = dataset.collater([dataset[place] for place in order[start : start + PAIRS]])
            sample["net_input"] = {name: _on(value, self.device) for name, value in sample["net_input"].items()}
            sample["target"] = sample["target"].to(self.device)
            hypotheses = self.task.inference_step(self.scorer, [self.model], sample)
            for place, (hypothesis, *_) in zip(sample["id"].tolist(), hypotheses, strict=True):
                found[place] = float(hypothesis["score"])
        return found


def _on(value: Any, device: torch.device) -> Any:
    return value.to(device) if torch.is_tensor(value) else value


def _loaded(path: str, task: Any) -> tuple[Any, Any]:
    """Model and task, with the words of the data that is decoded."""
    from fairseq import checkpoint_utils

    overrides = {"data": task.cfg.data, "latent": "mean", "latent_samples": 1, "rerank": "none", "rerank_model": None}
    try:
        with asked_for(stock=False):
            (model,), _, reverse = checkpoint_utils.load_model_ensemble_and_task([path], arg_overrides=overrides)
    except InputError as error:
        raise InputError(f"--rerank-model {path}: {error}") from None
    return model, reverse
