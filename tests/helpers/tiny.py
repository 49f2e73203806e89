"""Tiny models, random batches and criterions for unit tests: two layers, sixteen wide, no data."""

from argparse import Namespace
from dataclasses import fields

import numpy as np
import torch
from fairseq.criterions import CRITERION_DATACLASS_REGISTRY, CRITERION_REGISTRY
from fairseq.data import LanguagePairDataset, ListDataset
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_NAME_REGISTRY, MODEL_DATACLASS_REGISTRY
from fairseq.models.transformer import TransformerEncoderBase

from fairseq_latent.data.seeded_dataset import SeededDataset
from fairseq_latent.gaussian import DiagonalGaussian

LENGTHS = ((3, 4), (5, 2), (2, 6), (4, 1), (6, 3))  # words of context and response
NO_DROPOUT = {"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}


def build_model(task, arch: str = "t_cvae_tiny", **changes):
    """The model that `--arch ARCH` and these flags give, through the task, as fairseq-train builds it."""
    chosen = Namespace(**changes)
    ARCH_CONFIG_REGISTRY[arch](chosen)
    name = ARCH_MODEL_NAME_REGISTRY[arch]
    config = MODEL_DATACLASS_REGISTRY[name]
    known = {field.name for field in fields(config)}
    assert set(vars(chosen)) <= known
    return task.build_model(Namespace(**{**vars(config()), **vars(chosen), "_name": name}))


def build_criterion(task, name: str = "elbo", **changes):
    """The criterion that `--criterion NAME` and these flags give; the task's model gets the heads it needs."""
    config = CRITERION_DATACLASS_REGISTRY[name](_name=name, **changes)
    criterion = CRITERION_REGISTRY[name].build_criterion(config, task)
    if task._model is not None:
        criterion.equip(task._model)
    return criterion


def dataset(task, lengths=LENGTHS, seed: int = 0) -> SeededDataset:
    """Pairs of random words of these lengths; sources are padded left, responses right, as fairseq does."""
    words = task.target_dictionary
    generator = torch.Generator().manual_seed(seed)

    def rows(side):
        return [
            torch.cat(
                [
                    torch.randint(words.nspecial, len(words), (pair[side],), generator=generator),
                    torch.tensor([words.eos()]),
                ]
            )
            for pair in lengths
        ]

    source, target = rows(0), rows(1)
    sizes = [[len(row) for row in side] for side in (source, target)]
    pairs = LanguagePairDataset(
        ListDataset(source, sizes[0]), sizes[0], words, ListDataset(target, sizes[1]), sizes[1], words, shuffle=False
    )
    return SeededDataset(pairs, task.cfg.seed)


def batch(task, lengths=LENGTHS, seed: int = 0) -> dict:
    """One collated batch of `dataset`."""
    data = dataset(task, lengths, seed)
    return data.collater([data[index] for index in range(len(data))])


def widened(task, sample: dict, left: int = 2, right: int = 3) -> dict:
    """The same batch with more pads: left of the contexts, right of the responses."""
    pad = task.target_dictionary.pad()

    def pads(count):
        return torch.full((sample["target"].size(0), count), pad)

    net_input = dict(sample["net_input"])
    net_input["src_tokens"] = torch.cat([pads(left), net_input["src_tokens"]], dim=1)
    net_input["prev_output_tokens"] = torch.cat([net_input["prev_output_tokens"], pads(right)], dim=1)
    return {**sample, "net_input": net_input, "target": torch.cat([sample["target"], pads(right)], dim=1)}


def fairseq_encoding(model, tokens: torch.Tensor) -> dict:
    """The encoder as fairseq runs it, pads and all: an oracle for ours."""
    return TransformerEncoderBase.forward(model.encoder, tokens)


def fairseq_latent(model, *encodings: dict):
    """Prior (one encoding) or posterior (two, joined in time): torch's attention over padded states, an oracle for ours."""
    head = model.encoder.latent
    states = torch.cat([encoding["encoder_out"][0] for encoding in encodings])
    pads = torch.cat([encoding["encoder_padding_mask"][0] for encoding in encodings], dim=1)
    query = head.pool.query.expand(-1, states.size(1), -1)
    pooled, _ = head.pool.attention(query, states, states, key_padding_mask=pads, need_weights=False)
    network = head.prior_net if len(encodings) == 1 else head.posterior_net
    return DiagonalGaussian(*network(pooled[0]).chunk(2, -1))


def gradients(model) -> dict[str, torch.Tensor]:
    """Every parameter's gradient, zero where it has none."""
    return {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
        for name, parameter in model.named_parameters()
    }


def sentences(task, lengths=(3, 5, 2, 4, 1), seed: int = 0) -> SeededDataset:
    """Random sentences of these lengths, as a TextVAETask without data pairs them."""
    words = task.dictionary
    generator = torch.Generator().manual_seed(seed)
    end = torch.tensor([words.eos()])
    rows = [torch.cat([torch.randint(words.nspecial, len(words), (n,), generator=generator), end]) for n in lengths]
    sizes = np.array([len(row) for row in rows])
    return task._paired(ListDataset(rows, sizes), sizes, shuffle=False)


def sentence_batch(task, lengths=(3, 5, 2, 4, 1), seed: int = 0) -> dict:
    """One collated batch of `sentences`."""
    data = sentences(task, lengths, seed)
    return data.collater([data[index] for index in range(len(data))])
