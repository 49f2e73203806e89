"""--fp16, --bf16 and autocast: Gaussians, KL, L_Po-di, fader and the choice among K are float32, whatever the layers are.

Half tensors are those of the CPU, which has kernels for all that training needs.
"""

import contextlib

import pytest
import torch

from fairseq_latent.gaussian import DiagonalGaussian
from fairseq_latent.models import latent_model

from ..helpers import programs
from ..helpers.tiny import batch, build_criterion, build_model, sentence_batch
from ..models import hierarchical_cases
from .pretended_gpu import pretended_gpu

DIALOGUE = ("t_cvae_tiny", "vhred_tiny", "rnn_cvae_tiny")
LOSS = {"k": 3, "podi_weight": 1.0, "podi_form": "auto", "bow_weight": 1.0, "label_smoothing": 0.1}


class Seen:
    """What a batch's loss was made of: dtypes by name, and values."""

    def __init__(self):
        self.dtypes: dict[str, torch.dtype] = {}
        self.log: dict = {}


@pytest.fixture
def seen(monkeypatch):
    """Watch Gaussians, latents and scores of the K."""
    found = Seen()
    choose = latent_model.choose_noise

    def spied(posterior, num_latents, reduce, score, noise=None):
        def watched(z):
            scores = score(z)
            found.dtypes |= {"latents that are scored": z.dtype, "scores": scores.dtype}
            return scores

        return choose(posterior, num_latents, reduce, watched, noise)

    kl_per_dim = DiagonalGaussian.kl_per_dim

    def watched_kl(self, other):
        value = kl_per_dim(self, other)
        found.dtypes |= {
            "mean": self.mean.dtype,
            "logvar": self.logvar.dtype,
            "prior": other.mean.dtype,
            "KL": value.dtype,
        }
        return value

    monkeypatch.setattr(latent_model, "choose_noise", spied)
    monkeypatch.setattr(DiagonalGaussian, "kl_per_dim", watched_kl)
    return found


def made(arch, task, text_task):
    """The task that an architecture belongs to, and a batch of it."""
    if arch == "gru_vae_tiny":
        return text_task, sentence_batch(text_task)
    if arch == "t_cvae_tiny":
        return task, batch(task)
    dialogues = hierarchical_cases.task_of()
    return dialogues, hierarchical_cases.batch(dialogues)


def update(model, criterion, sample, seen):
    """Forward and backward pass of a training step; the log in float32."""
    torch.manual_seed(3)
    model.zero_grad()
    loss, sentences, log = criterion(model.train(), sample)
    (loss / sentences).backward()
    assert loss.dtype == torch.float32 and loss.isfinite()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert gradients and all(gradient.isfinite().all() for gradient in gradients)
    seen.log = {name: float(value) for name, value in log.items()}
    return seen.log


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
@pytest.mark.parametrize("arch", (*DIALOGUE, "gru_vae_tiny"))
def test_latents_are_float32(arch, dtype, task, text_task, seen, random):
    """As --bf16 and --fp16 do: all parameters in half precision."""
    owner, sample = made(arch, task, text_task)
    model = build_model(owner, arch)
    criterion = build_criterion(owner, "elbo", **LOSS)
    model.to(dtype)
    log = update(model, criterion, sample, seen)
    assert set(seen.dtypes.values()) == {torch.float32} and len(seen.dtypes) == 6, seen.dtypes
    assert all(log[name] >= 0 for name in ("kl", "podi", "bow"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
@pytest.mark.parametrize("arch", (*DIALOGUE, "gru_vae_tiny"))
def test_a_small_kl_survives(arch, dtype, task, text_task, random):
    """Of a posterior that hardly differs from the prior: what rounding leaves of the same weights in float32."""
    owner, sample = made(arch, task, text_task)
    model = build_model(owner, arch).to(dtype).eval()
    inputs = {name: value for name, value in sample["net_input"].items() if name not in ("src_lengths", "noise_seed")}
    prior, posterior, _ = model.distributions(target=sample["target"], **inputs)
    exact_prior, exact, _ = model.float().distributions(target=sample["target"], **inputs)
    found, expected = posterior.kl(prior), exact.kl(exact_prior)
    torch.testing.assert_close(found, expected, rtol=0.2, atol=0.02 if dtype == torch.bfloat16 else 0.003)


def test_what_a_float32_head_is_worth(random):
    """KL of nearly equal Gaussians read off the same states: a head in bfloat16 loses it, ours does not."""
    from fairseq_latent.modules.full_precision import in_full

    torch.manual_seed(0)
    states = torch.randn(64, 32).bfloat16()
    prior, posterior = (torch.nn.Linear(32, 2 * 16, bias=False) for _ in range(2))
    with torch.no_grad():
        posterior.weight.copy_(prior.weight + 1e-3 * torch.randn_like(prior.weight))
    half = [net.bfloat16() for net in (prior, posterior)]

    def kl(read):
        gaussians = [DiagonalGaussian(*read(net).float().chunk(2, -1)) for net in half]
        return gaussians[1].kl(gaussians[0]).mean().item()

    exact = kl(lambda net: states.double() @ net.weight.double().T)
    assert kl(lambda net: in_full(net, states)) == pytest.approx(exact, rel=1e-3)
    assert kl(lambda net: net(states)) != pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize("arch", (*DIALOGUE, "gru_vae_tiny"))
def test_latents_are_float32_under_autocast(arch, task, text_task, seen, random):
    owner, sample = made(arch, task, text_task)
    model = build_model(owner, arch)
    criterion = build_criterion(owner, "elbo", **LOSS, autocast="bfloat16")
    update(model, criterion, sample, seen)
    assert set(seen.dtypes.values()) == {torch.float32} and len(seen.dtypes) == 6, seen.dtypes


PERSONA = ("--task", "persona_dialogue", "--max-update", "2", "--k", "2", "--podi-weight", "1")


@pytest.mark.parametrize("flags", [("--bf16",), ("--autocast", "bfloat16"), ()], ids=["bf16", "autocast", "float32"])
def test_the_fader_is_float32(flags, persona_bin, tmp_path, seen, monkeypatch):
    """Its KL too; in training by the real program."""
    from fairseq_latent.modules.latents.persona import PersonaLatents

    fader_kl, dtypes = PersonaLatents.fader_kl, set()

    def watched(self, fader, similarity):
        value = fader_kl(self, fader, similarity)
        dtypes.update((value.dtype, self.of_number(similarity.float()).dtype, self.number(fader).dtype))
        return value

    monkeypatch.setattr(PersonaLatents, "fader_kl", watched)
    printed = programs.fit(persona_bin, tmp_path, *PERSONA, *flags, arch="persona_cvae_gpt2_tiny")
    assert dtypes == {torch.float32} and set(seen.dtypes.values()) == {torch.float32}
    last = printed.numbers("train_inner")[-1]
    assert 0 <= last["fader_kl"] < 10 and 0 < last["loss"] < 1e4


@pytest.mark.parametrize("arch, task, precision", [
    ("t_cvae_tiny", "dialogue", "--fp16"), ("t_cvae_tiny", "dialogue", "--bf16"),
    ("t_spacefusion_tiny", "dialogue", "--fp16"), ("vhred_tiny", "dialogue", "--fp16"),
    ("gru_vae_tiny", "text_vae", "--fp16"), ("persona_cvae_gpt2_tiny", "persona_dialogue", "--fp16"),
])  # fmt: skip
def test_half_precision_trains_and_decodes_as_on_a_gpu(arch, task, precision, request, tmp_path):
    """fairseq-train --fp16 itself, with its loss scale and its float32 copies; losses are those of float32, nearly."""
    data = request.getfixturevalue(
        {"text_vae": "sentences_bin", "persona_dialogue": "persona_bin"}.get(task, "data_bin")
    )
    words = [word for word in programs.TINY_TRAINING if word != "--cpu"]
    criterion = "spacefusion" if "spacefusion" in arch else "podi_elbo"
    kind = ("--user-dir", programs.PLUGIN, "--task", task, "--arch", arch, "--criterion", criterion)
    losses = {}
    for flags in ((), (precision, *(("--fp16-init-scale", "4") if precision == "--fp16" else ()))):
        with pretended_gpu() if flags else contextlib.nullcontext():
            where = ("--save-dir", tmp_path / "".join(flags[:1])) + (() if flags else ("--cpu",))
            printed = programs.run("fairseq-train", data, *kind, *words, *where, *flags)
        losses[bool(flags)] = [numbers["loss"] for numbers in printed.numbers("train_inner")]
    assert len(losses[True]) == 5 and losses[True] == pytest.approx(losses[False], rel=0.1)
    with pretended_gpu():
        kind = ("--user-dir", programs.PLUGIN, "--task", task, "--path", tmp_path / precision / "checkpoint_last.pt")
        short = ("--beam", "2", "--max-len-a", "0", "--max-len-b", "6", "--num-workers", "0", "--fp16")
        decoded = programs.run("fairseq-generate", data, *kind, *short)
    assert len(decoded.hypotheses()) > 5
