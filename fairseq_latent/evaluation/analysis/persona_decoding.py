"""Texts of a persona data set and responses of its model, in this process: what a sweep needs many times over."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fairseq_latent.errors import InputError
from fairseq_latent.symbols import EOT
from fairseq_latent.text.tokenizers import SubwordTokenizer

from .checkpoint import Trained

PREPARE = "remedy: PERSONAS=yes when the data is prepared"


def require_latents(trained: Trained, path: str) -> None:
    """InputError for a model that infers no persona."""
    if getattr(trained.model.encoder, "latents", None) is None:
        raise InputError(
            f"{path} has neither perception nor fader; remedy: a checkpoint of persona_cvae_gpt2, without --no-latents"
        )


def profiles_of(trained: Trained, data: str):
    """The split's profiles, tokens (P,) each; InputError where the data has none."""
    profiles = getattr(trained.task.dataset(trained.split), "profiles", None)
    if profiles is None:
        raise InputError(f"{data}: {trained.split} has no profiles of the partner; {PREPARE}")
    return profiles


def sentences(subwords: SubwordTokenizer, line: str) -> list[str]:
    """Tokens between spaces, with a symbol between sentences -> text, a sentence each."""
    return [subwords.decode(part.strip()) for part in line.split(EOT)]


@dataclass(frozen=True)
class Speaker:
    """A persona model that answers contexts of its data."""

    trained: Trained
    subwords: SubwordTokenizer
    generator: object
    batch_size: int

    def fitting(self, examples: Sequence[int]) -> list[int]:
        """Those that are not too long for the model."""
        dataset = self.trained.task.dataset(self.trained.split)
        kept, _ = dataset.filter_indices_by_size(np.array(examples), self.trained.model.max_positions())
        return sorted(int(example) for example in kept)

    def respond(self, examples: Sequence[int], fader: float | None, seed: int) -> list[str]:
        """A response to each; a fixed fader, or as the prior has it. The seed is that of latents and of words."""
        from fairseq_latent.decoding.contexts import example_seeds

        task, model = self.trained.task, self.trained.model
        task.cfg.fader = fader
        found = {}
        for batch in self._batches(examples):
            batch["net_input"]["noise_seed"] = example_seeds(batch["id"], seed).to(self.trained.device)
            with torch.no_grad():
                beams = task.inference_step(self.generator, [model], batch)
            for example, (best, *_) in zip(batch["id"].tolist(), beams, strict=True):
                found[example] = self.subwords.decode(task.target_dictionary.string(best["tokens"]))
        return [found[example] for example in examples]

    def inferred_fader(self, examples: Sequence[int], seed: int) -> float:
        """The mean of what the prior chooses."""
        from fairseq_latent.decoding.contexts import example_seeds

        encoder, total = self.trained.model.encoder, 0.0
        for batch in self._batches(examples):
            seeds = example_seeds(batch["id"], seed).to(self.trained.device)
            with torch.no_grad(), self.trained.task.decoding_precision(self.trained.device.type):
                sampled = encoder(batch["net_input"]["src_tokens"], noise_seed=seeds)
            total += encoder.latents.number(sampled["fader"][0]).sum().item()
        return total / len(examples)

    def _batches(self, examples: Sequence[int]):
        """Contexts of like lengths together."""
        from fairseq import utils

        dataset = self.trained.task.dataset(self.trained.split)
        ordered = sorted(examples, key=lambda example: (dataset.size(example), example))
        for start in range(0, len(ordered), self.batch_size):
            batch = dataset.collater([dataset[example] for example in ordered[start : start + self.batch_size]])
            yield utils.move_to_cuda(batch) if self.trained.device.type == "cuda" else batch
