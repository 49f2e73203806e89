"""A trained latent model and one split of its data, as every measure and picture needs them."""

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import fairseq_latent
from fairseq_latent.decoding.generation_flags import require_finite
from fairseq_latent.errors import InputError

from ..runs.response_files import WORD_START


@dataclass(frozen=True)
class Trained:
    """A model in evaluation mode, its task, and the split that was asked for."""

    model: Any  # one of `models`
    task: Any  # one of `tasks`
    split: str | None
    device: torch.device

    def batches(self, max_tokens: int = 4000, only: Collection[int] | None = None) -> Iterator[dict]:
        """The split's batches, on the model's device; every example once, but what is longer than the model's positions.

        only: ids of the examples that are wanted.
        """
        dataset = self.task.dataset(self.split)
        iterator = self.task.get_batch_iterator(
            dataset, max_tokens=max_tokens, max_positions=self.model.max_positions(), ignore_invalid_inputs=True
        )
        if only is None:
            wanted = iterator.next_epoch_itr(shuffle=False)
        else:
            parts = ([index for index in batch if index in only] for batch in iterator.frozen_batches)
            wanted = (dataset.collater([dataset[index] for index in part]) for part in parts if part)
        yield from map(self.on_device, wanted)

    def on_device(self, batch: dict) -> dict:
        """A batch where the model is."""
        from fairseq import utils

        return utils.move_to_cuda(batch) if self.device.type == "cuda" else batch

    def examples(self, indices: list[int]) -> dict:
        """One batch of the examples with these ids, in fairseq's order (`batch["id"]` tells which is which)."""
        dataset = self.task.dataset(self.split)
        for index in indices:
            self._check(index)
        return self.on_device(dataset.collater([dataset[index] for index in indices]))

    def _check(self, index: int) -> None:
        dataset = self.task.dataset(self.split)
        if not 0 <= index < len(dataset):
            raise InputError(f"{self.split} has no example {index}; remedy: ids from 0 to {len(dataset) - 1}")
        sizes = [len(dataset[index][side]) for side in ("source", "target")]
        if any(size > limit for size, limit in zip(sizes, self.model.max_positions(), strict=True)):
            longest = " and ".join(f"{limit:,}" for limit in self.model.max_positions())
            raise InputError(
                f"{self.split} example {index} has {sizes[0]:,} and {sizes[1]:,} tokens, the model takes {longest}; "
                "remedy: another example"
            )

    def texts(self, index: int) -> tuple[str, str]:
        """Context and reference of an example as text, SentencePiece's tokens joined."""
        from fairseq.data.data_utils import post_process

        example = self.task.dataset(self.split)[index]
        sides = (
            self.task.source_dictionary.string(example["source"]),
            self.task.target_dictionary.string(example["target"]),
        )
        joined = not any(WORD_START in text for text in sides)
        return tuple(post_process(text, "none" if joined else "sentencepiece").strip() for text in sides)


def load(
    path: str | Path, data: str | Path, split: str | None, seed: int = 1, cpu: bool = False, **task: object
) -> Trained:
    """Load a checkpoint and the split `split` of the binarised data, None: none; the GPU is used where there is one.

    `task`: options of the task, in place of those of the training.
    """
    from fairseq import checkpoint_utils

    fairseq_latent.register()
    from fairseq_latent.compat.checkpoints.allowed_models import asked_for

    _quieten()
    if not Path(path).is_file():
        raise InputError(f"{path}: no such checkpoint; remedy: a checkpoint*.pt of the run's --save-dir")
    overrides = {"data": str(data), "seed": seed, **task}
    with asked_for(stock=False):
        models, _, task = checkpoint_utils.load_model_ensemble_and_task([str(path)], arg_overrides=overrides)
    model = models[0]
    if not hasattr(model, "distributions"):
        raise InputError(
            f"{path}: this architecture has no latent; remedy: a checkpoint of t_cvae, t_spacefusion, gru_vae, "
            "vhred, rnn_cvae or persona_cvae_gpt2"
        )
    require_finite(model, path)
    if split is not None:
        try:
            task.load_dataset(split)
        except FileNotFoundError as error:
            if error.errno is not None:
                raise
            raise InputError(f"{data}: no split {split!r}; remedy: --split train, valid or test") from None
    device = torch.device("cuda" if torch.cuda.is_available() and not cpu else "cpu")
    return Trained(model.to(device).eval(), task, split, device)


def _quieten() -> None:
    """fairseq's configuration sets the root logger to DEBUG."""
    for talkative in ("fairseq", "matplotlib", "PIL", "openTSNE", "gensim", "smart_open"):
        logging.getLogger(talkative).setLevel(logging.WARNING)


def posterior_inputs(batch: dict) -> dict:
    """What the posterior reads of a batch beside context and response, keywords of the model's `distributions`."""
    from fairseq_latent.data.persona_dataset import POSTERIOR_INPUTS  # fairseq comes first: it registers the plugin

    return {name: batch["net_input"][name] for name in POSTERIOR_INPUTS if name in batch["net_input"]}


def distributions(model, batch: dict) -> tuple:
    """Prior, posterior, and the responses waiting for a latent."""
    from fairseq_latent.data.prompt_dataset import PROMPT_INPUTS

    inputs = batch["net_input"]
    given = posterior_inputs(batch) | {name: inputs[name] for name in PROMPT_INPUTS if name in inputs}
    return model.distributions(inputs["src_tokens"], inputs["prev_output_tokens"], batch["target"], **given)


def corpus_sizes(path: str | Path, data: str | Path) -> dict[str, tuple[int, int]]:
    """Split -> (pairs, response tokens with their ends of sentence), of the splits that the data has.

    path: a checkpoint, whose task reads them; no model is built.
    """
    from fairseq.tasks import setup_task
    from omegaconf import OmegaConf

    fairseq_latent.register()
    from fairseq_latent.compat.checkpoints.settings import read_settings

    _quieten()
    cfg = OmegaConf.create({**read_settings(path)["cfg"]["task"], "data": str(data)})
    task = setup_task(cfg)
    sizes = {}
    for split in ("train", "valid", "test"):
        try:
            task.load_dataset(split)
        except FileNotFoundError:  # data may have been moved without its training part
            continue
        pairs = task.dataset(split)
        while not hasattr(pairs, "tgt_sizes"):  # the pairs lie within what adds seeds, and profiles
            pairs = pairs.dataset
        sizes[split] = (len(pairs), int(pairs.tgt_sizes.sum()))
    return sizes
