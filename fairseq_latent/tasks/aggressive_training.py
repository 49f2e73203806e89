"""The inference network trained alone before each update of the rest, as long as that pays (He et al., 2019)."""

import contextlib
import logging
from collections.abc import Iterable, Iterator

import numpy as np
from fairseq import utils
from torch import nn

from ..aggressive import AggressivePhase, InnerLoop
from ..errors import InputError

logger = logging.getLogger(__name__)


class AggressiveTraining:
    """What a task with `--aggressive` does at each update and validation. iterator: the training set's, once it is made."""

    def __init__(self, cfg):
        self.cfg = cfg
        self.phase = AggressivePhase(cfg.aggressive_updates)
        self.inner_loop = InnerLoop(cfg.aggressive_steps, cfg.aggressive_window)
        self.iterator = None
        self._judged = False  # whether this validation's mutual information was looked at
        self._inner_of: int | None = None  # the update whose inner loop has run
        self._inner_steps = 0

    def check(self, model: nn.Module) -> None:
        """Refuse what aggressive training can't do, before anything is trained."""
        if self.cfg.fp16 or self.cfg.bf16 or self.cfg.amp:
            raise InputError(
                "--aggressive updates parts of the model alone, which --fp16, --bf16 and --amp cannot; "
                "remedy: --autocast bfloat16"
            )
        if self.cfg.disable_validation and not self.cfg.aggressive_updates:
            raise InputError(
                "--aggressive ends when validation says so, and --disable-validation leaves that out; "
                "remedy: --aggressive-updates, or with validation"
            )
        if self.cfg.distributed_world_size > 1:
            raise InputError(
                "--aggressive trains in one process; remedy: --distributed-world-size 1, --update-freq for large batches"
            )
        inference_parameters(model)

    def trained(self, update_num: int) -> bool:
        """Take note of the updates so far; returns whether the next one is aggressive, too."""
        if self.phase.trained(update_num):
            logger.info(f"aggressive training ends: --aggressive-updates {self.cfg.aggressive_updates}")
        return self.phase.active

    def train_step(self, step, model, criterion, optimizer, update_num: int):
        """Train the inference network, then all but it by `step`, which returns loss, sample size and log."""
        inference = inference_parameters(model)
        if self._inner_of != update_num:  # once an update, whatever --update-freq
            self._inner_of = update_num
            self._inner_steps = self._train_inference_network(inference, model, criterion, optimizer, update_num)
        with frozen(inference):
            loss, sample_size, log = step()
        return loss, sample_size, {**log, "inner_steps": float(self._inner_steps * log["nsentences"])}

    def _train_inference_network(self, inference: list, model, criterion, optimizer, update_num: int) -> int:
        """Update the inference network on fresh random batches until its loss no longer falls; returns the updates."""
        model.train()
        model.set_num_updates(update_num)
        kept = {id(parameter) for parameter in inference}
        batches = self._random_batches(update_num, next(model.parameters()).is_cuda)

        def step() -> tuple[float, int]:
            sample = next(batches)
            optimizer.zero_grad()
            loss, sample_size, log = criterion(model, sample)
            optimizer.backward(loss)
            optimizer.multiply_grads(1.0 / sample_size)
            optimizer.clip_grad_norm(self.cfg.clip_norm)
            optimizer.step()
            return float(log["loss"]), int(log["ntokens"])

        with frozen(parameter for parameter in model.parameters() if id(parameter) not in kept):
            steps = self.inner_loop.run(step)
        optimizer.zero_grad()
        return steps

    def _random_batches(self, update_num: int, on_gpu: bool) -> Iterator[dict]:
        """Batches of the training set, sampled from (seed, update): a resumed run samples the same."""
        composed, dataset = self.iterator.frozen_batches, self.iterator.dataset
        rng = np.random.default_rng([self.cfg.seed % 2**32, update_num])
        while True:
            rows = composed[int(rng.integers(len(composed)))]
            batch = dataset.collater([dataset[index] for index in rows])
            yield utils.move_to_cuda(batch) if on_gpu else batch

    def begin_validation(self) -> None:
        """Of several validation sets the first one judges."""
        self._judged = False

    def validated(self, stats) -> None:
        """End with a fall of the mutual information.

        Only the end of an epoch is judged: a stop, or a checkpoint in between, must change nothing.
        """
        if self._judged or not self.iterator.end_of_epoch():
            return
        self._judged = True
        before = self.phase.mutual_information
        if self.phase.validated(float(stats["mi"])):
            logger.info(
                f"aggressive training ends: mutual information {float(stats['mi']):.4f} nats, {before:.4f} before"
            )

    def load_state_dict(self, state: dict) -> None:
        """What `phase.state_dict` gave."""
        self.phase = AggressivePhase.from_state(state, self.cfg.aggressive_updates)


def inference_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters of the posterior alone, where a model has any that nothing else uses."""
    parameters = getattr(model, "inference_parameters", None)
    if parameters is None:
        raise InputError(
            f"--aggressive trains an encoder that only the posterior uses, {type(model).__name__} has none; "
            "remedy: --arch gru_vae, rnn_cvae or vhred, or another remedy against collapse: --k 5, "
            "--kl-schedule cyclical, --podi-weight 1"
        )
    return list(parameters())


@contextlib.contextmanager
def frozen(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Leave these parameters without a gradient, so that no optimiser moves them."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
