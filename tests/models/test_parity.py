"""T-CVAE and SpaceFusion beside the authors' code (Sato et al., 2021): equal weights and noise, equal numbers.

`tests/oracles` holds what that code computed, on fairseq 0.8, for models of 2 + 2 layers of 32 with random weights; see the
README there. "Equal" is within 1e-5 of a tensor's largest value.
"""

import json
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from fairseq.data import Dictionary
from safetensors import safe_open

from fairseq_latent.models import latent_model
from fairseq_latent.modules.latents import sampling
from fairseq_latent.schedules import KLSchedule
from fairseq_latent.tasks.dialogue import DialogueConfig, DialogueTask
from fairseq_latent.weights.released import places, renamed

from ..helpers.tiny import NO_DROPOUT, build_criterion, build_model

ORACLES = Path(__file__).parents[1] / "oracles"
SIZES = {"embed_dim": 32, "ffn_dim": 64, "layers": 2, "heads": 2, "latent_dim": 32, "prior_hidden_dim": 256}
TOLERANCE = 1e-5
WORDS = 56


class Oracle:
    """Numbers and tensors of one model of the authors', by name; a tensor that others repeat is stored once."""

    def __init__(self, name: str):
        self.tensors, same = {}, {}
        for path in sorted(ORACLES.glob(f"{name}.*.safetensors")):
            with safe_open(path, "pt") as file:
                self.tensors |= {key: file.get_tensor(key) for key in list(file.keys())}
                same |= json.loads((file.metadata() or {}).get("same", "{}"))
        self.tensors |= {name: self.tensors[stored] for name, stored in same.items()}
        self.numbers = json.loads((ORACLES / f"{name}.json").read_text())

    def __getitem__(self, name: str):
        return self.tensors[name] if name in self.tensors else self.numbers[name]

    def under(self, prefix: str) -> dict[str, torch.Tensor]:
        return {name.removeprefix(prefix): value for name, value in self.tensors.items() if name.startswith(prefix)}

    def sample(self) -> dict:
        net_input = {**self.under("batch/net_input/"), "noise_seed": torch.arange(7)}
        return {
            **{name: self.tensors[f"batch/{name}"] for name in ("id", "target")},
            **{name: self.numbers[f"batch/{name}"] for name in ("nsentences", "ntokens")},
            "net_input": net_input,
        }


@pytest.fixture(scope="module")
def words():
    dictionary = Dictionary()
    for number in range(WORDS - dictionary.nspecial):
        dictionary.add_symbol(f"word{number}")
    return dictionary


@pytest.fixture
def theirs(words):
    """name of an oracle -> the oracle, and our model with its weights."""

    def load(name: str, bow: bool):
        config = DialogueConfig(data="nowhere", seed=1, update_freq=[1], best_checkpoint_metric="au")
        task, oracle = DialogueTask(config, words, words), Oracle(name)
        model = build_model(task, "t_cvae" if name == "t_cvae" else "t_spacefusion", **SIZES, **NO_DROPOUT)
        if bow:
            model.add_bow_head(0)
        state = renamed(oracle.under("state/"))
        buffers = {name: value for name, value in model.named_buffers() if name in model.state_dict()}
        model.load_state_dict(state | buffers, strict=True)
        return oracle, task, model

    return load


def same(found, expected, what: str = "") -> None:
    found, expected = torch.as_tensor(found).detach().double(), torch.as_tensor(expected).double()
    assert found.shape == expected.shape, what
    scale = expected.abs().max().clamp(min=1e-9)
    assert float((found - expected).abs().max() / scale) <= TOLERANCE, what


def same_gradients(model, oracle: Oracle, prefix: str) -> None:
    """Every one, and no parameter without."""
    expected = oracle.under(f"{prefix}/grads/")
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    found = places(expected)
    assert sorted(sum(found.values(), [])) == sorted(gradients)
    for name, ours in found.items():
        same(torch.cat([gradients[each] for each in ours]), expected[name], name)


def fixed_noise(monkeypatch, posterior: torch.Tensor, prior: torch.Tensor | None = None) -> None:
    """Noise (K, B, Z) of the posterior, and (B, Z) of the prior, in place of random numbers."""
    queue = [posterior, *([] if prior is None else [prior])]
    monkeypatch.setattr(torch, "randn_like", lambda like: queue.pop(0).view(like.shape))


def step(model, criterion, sample) -> tuple[torch.Tensor, dict, list]:
    """The loss with its gradients, the log, and what the model told its criterion: [(logits, extras)]."""
    said: list = []
    hook = model.register_forward_hook(lambda module, inputs, output: said.append(output))
    loss, _, log = criterion(model, sample)
    hook.remove()
    if model.training:
        loss.backward()
    return loss, log, said


# --- T-CVAE ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_t_cvae_evaluates_as_theirs(theirs, monkeypatch, smoothing):
    oracle, task, model = theirs("t_cvae", bow=True)
    at = f"eval_{smoothing}"
    noise = torch.stack([oracle["eps_post"], oracle["eps_prior"]], dim=1)
    monkeypatch.setattr(latent_model, "seeded_noise", lambda *_: noise)
    criterion = build_criterion(task, "bow_elbo", label_smoothing=smoothing)
    model.eval(), criterion.eval()
    sample = oracle.sample()
    with torch.no_grad():
        loss, log, [(logits, extra)] = step(model, criterion, sample)
    latent, real = extra["latent"], sample["target"].ne(1)
    for name, value in (
        ("prior_mean", latent.prior.mean), ("prior_logvar", latent.prior.logvar),
        ("post_mean", latent.posterior.mean), ("post_logvar", latent.posterior.logvar),
        ("post_out", latent.z), ("prior_out", latent.prior.rsample(oracle["eps_prior"])),
        ("kld_each", latent.posterior.kl(latent.prior)),
    ):  # fmt: skip
        same(value, oracle[f"{at}/{name}"], name)
    same(logits, oracle[f"{at}/logits"][real])
    each = dict(criterion_terms(criterion, logits, latent, sample))
    same(each["nll"], oracle[f"{at}/per_nll"])
    same(each["bow"], oracle[f"{at}/bow"])
    same(log.get("smoothed_nll", log["nll"]), oracle[f"{at}/smoothed"])
    same(log["nll"], oracle[f"{at}/nll"])
    same(log["kl"], oracle[f"{at}/kld"])
    same(loss - log["kl"], oracle[f"{at}/loss"])


def criterion_terms(criterion, logits, latent, sample):
    for name, value, _ in criterion.terms(logits, latent, sample, 0):
        yield name, value


@pytest.mark.parametrize(("name", "k", "reduction"), [
    ("train_k1", 1, "best"),
    ("train_k5", 5, "best"),
    ("train_mc5", 5, "mean"),
])  # fmt: skip
def test_t_cvae_trains_as_theirs(theirs, monkeypatch, name, k, reduction):
    oracle, task, model = theirs("t_cvae", bow=True)
    noise = oracle["eps_post"][None] if k == 1 else oracle["epsK_post"].transpose(0, 1)
    flags = {"k": k, "sample_reduction": reduction, "kl_weight": 0.7, "bow_weight": 1.0, "label_smoothing": 0.1}
    criterion = build_criterion(task, "elbo", **flags)
    model.train()
    fixed_noise(monkeypatch, noise)
    loss, log, [(_, extra)] = step(model, criterion, oracle.sample())
    latent = extra["latent"]
    same(loss, oracle[f"{name}/loss"])
    same(log["smoothed_nll"], oracle[f"{name}/smoothed"])
    same(log["nll"], oracle[f"{name}/nll"])
    if reduction == "best" and k > 1:
        best = oracle[f"{name}/best"].flatten()
        assert torch.equal(latent.chosen, best)
        z = oracle[f"{name}/z"][torch.arange(7), best]
        same(latent.posterior.unsqueeze(1).rsample(oracle["epsK_post"]), oracle[f"{name}/z"])
        same(scores_of(model, oracle), oracle[f"{name}/per_k"])
    else:
        z = oracle[f"{name}/z"]
    same(latent.z, z)
    same_gradients(model, oracle, name)


@torch.no_grad()
def scores_of(model, oracle) -> torch.Tensor:
    """(B, K): NLL of each sample."""
    net_input = oracle.sample()["net_input"]
    _, posterior, decoded = model.distributions(
        net_input["src_tokens"], net_input["prev_output_tokens"], oracle["batch/target"]
    )
    return decoded.nll(posterior.rsample(oracle["epsK_post"].transpose(0, 1))).T


def test_their_schedules():
    oracle = Oracle("t_cvae")
    for name, schedule in (
        ("cyclical", KLSchedule.named("cyclical", 1.0, 9, 18)),
        ("linear", KLSchedule.named("linear", 1.0, 9, 0)),
    ):
        same([schedule(update) for update in range(len(oracle[name]))], oracle[name])


# --- SpaceFusion -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_spacefusion_trains_as_theirs(theirs, monkeypatch, smoothing):
    oracle, task, model = theirs("spacefusion", bow=False)
    at, sample = f"sf_{smoothing}", oracle.sample()
    criterion = build_criterion(task, "spacefusion", label_smoothing=smoothing)
    model.train()
    fixed_noise(monkeypatch, oracle["eps_post"][None], oracle["eps_prior"])
    monkeypatch.setattr(torch, "rand_like", lambda like: oracle["share"])
    loss, log, [(logits, extra)] = step(model, criterion, sample)
    latent, real = extra["latent"], sample["target"].ne(1)
    same(latent.prior.mean, oracle["enc/prior_mean"])
    same(latent.posterior.mean, oracle["enc/post_mean"])
    same(latent.prior.stddev, oracle["enc/prior_std"])
    same(latent.posterior.stddev, oracle["enc/post_std"])
    same(latent.prior_z, oracle["enc/prior_out"])
    same(latent.z, oracle["enc/post_out"])
    mean_length = sample["ntokens"] / sample["nsentences"]
    names = ("ce_prior", "ce_posterior", "ce_interpolation")
    for name, path, each in zip(names, ("prior_out", "post_out", "interp_out"), logits, strict=True):
        same(each, oracle[f"{at}/per/{path}/logits"][real], path)
        same(log[name] * mean_length, oracle[f"{at}/per/{path}/ce_sum"], path)
        same(criterion.nll(each, sample["target"])[1].sum(), oracle[f"{at}/per/{path}/size"], path)
    same(dict(criterion_terms(criterion, logits, latent, sample))["fusion"], oracle[f"{at}/per/fuse"])
    same(loss, oracle[f"{at}/loss"])
    same_gradients(model, oracle, at)


# --- decoding --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length_penalty", [1.0, 1.2])
@pytest.mark.parametrize("latent", ["sampled", "mean"])
@pytest.mark.parametrize("name", ["t_cvae", "spacefusion"])
def test_hypotheses_are_theirs(theirs, monkeypatch, name, latent, length_penalty):
    """Five a context, in order, with their scores."""
    oracle, task, model = theirs(name, bow=name == "t_cvae")
    monkeypatch.setattr(sampling, "seeded_noise", lambda *_: oracle["eps_prior"].unsqueeze(1))
    task.cfg.latent = "mean" if latent == "mean" else "sample"
    generator = task.build_generator(
        [model.eval()], Namespace(beam=5, nbest=5, lenpen=length_penalty, max_len_a=0, max_len_b=30)
    )
    found = task.inference_step(generator, [model], oracle.sample())
    for ours, theirs_ in zip(found, oracle[f"hyps_{latent}_{length_penalty}"], strict=True):
        assert [each["tokens"].tolist() for each in ours] == [each["tokens"] for each in theirs_]
        same([float(each["score"]) for each in ours], [each["score"] for each in theirs_])
