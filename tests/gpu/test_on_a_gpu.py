"""Every architecture and criterion as on a GPU: no tensor is made on the wrong device, and the host hardly waits."""

from dataclasses import dataclass
from functools import cached_property

import pytest
import torch
from fairseq.criterions import CRITERION_REGISTRY
from fairseq.models import ARCH_MODEL_REGISTRY

from fairseq_latent.modules.packed import Packing

from ..helpers import programs, speakers
from .pretended_gpu import GPU, MixedDevices, pretended_gpu


@dataclass(frozen=True)
class Case:
    """A training and its decoding, by flags of the real programs.

    waits: how often the host waits for the GPU between an update's first operation and its last; see AFTER_UPDATES.
    """

    arch: str
    criterion: str
    data: str
    task: str
    flags: tuple[str, ...] = ()
    decoding: tuple[str, ...] = ()
    waits: int = 0


CASES = {
    "t_cvae": Case(
        "t_cvae_tiny", "speculative_elbo", "data_bin", "dialogue",
        ("--k", "3", "--bow-weight", "1", "--label-smoothing", "0.1", "--selection-words", "9"),
        ("--latent-samples", "2"), waits=2,
    ),
    "t_cvae, K = 1": Case("t_cvae_tiny", "elbo", "data_bin", "dialogue", waits=1),
    "t_cvae, joint": Case(
        "t_cvae_tiny", "bow_elbo", "data_bin", "dialogue", ("--posterior-encoding", "joint", "--context-worth"),
        ("--sampling", "--sampling-topk", "4", "--sampling-topp", "0.8", "--beam", "1"), waits=1,
    ),
    "t_spacefusion": Case("t_spacefusion_tiny", "spacefusion", "data_bin", "dialogue", waits=1),
    "gru_vae": Case("gru_vae_tiny", "podi_elbo", "sentences_bin", "text_vae", ("--podi-form", "per_dim"), waits=3),
    "gru_vae, aggressive": Case(
        "gru_vae_tiny", "elbo", "sentences_bin", "text_vae", ("--aggressive", "--aggressive-steps", "2"), waits=11,
    ),
    "hred": Case("hred_tiny", "elbo", "persona_bin", "persona_dialogue", waits=2),
    "vhred": Case("vhred_tiny", "mc_elbo", "persona_bin", "persona_dialogue", ("--k", "2", "--prior-ppl"), waits=3),
    "rnn_cvae": Case(
        "rnn_cvae_tiny", "elbo", "persona_bin", "persona_dialogue",
        ("--bow-weight", "1", "--bow-target", "tokens", "--bow-hidden-dim", "5", "--k", "2"), waits=4,
    ),
    "persona_cvae_gpt2": Case(
        "persona_cvae_gpt2_tiny", "podi_elbo", "persona_bin", "persona_dialogue", ("--k", "2"),
        ("--latent-samples", "2", "--fader", "0.5", "--fader-noise", "0.1", "--repetition-penalty", "2"), waits=3,
    ),
    "dialogpt": Case("dialogpt_tiny", "elbo", "persona_bin", "persona_dialogue", waits=3),
    "transfertransfo": Case(
        "transfertransfo_tiny", "double_heads", "speakers_bin", "persona_dialogue", ("--candidates", "3"), waits=2,
    ),
    "p2bot_transmitter": Case(
        "p2bot_transmitter_tiny", "double_heads", "speakers_bin", "persona_dialogue", ("--candidates", "3"),
        ("--p2bot-search",), waits=2,
    ),
    "p2bot_receiver": Case(
        "p2bot_receiver_tiny", "receiver_margin", "speakers_bin", "persona_receiver",
        ("--valid-persona-sets", "4", "--best-checkpoint-metric", "hits1", "--maximize-best-checkpoint-metric",
         "--batch-size", "4"), waits=4,  # two of them are transformers': whether there are pads
    ),
}  # fmt: skip
SELF_PLAY = "self_play"  # a case of its own: it needs the two before
# after an update fairseq reads whether the gradient is finite, and all that it logs, some of which are functions of ours
AFTER_UPDATES = (
    *("fairseq/trainer.py:", "fairseq/logging/meters.py:"),
    *("latent_criterion.py:_perplexity", "double_heads.py:_loss"),
)


@pytest.fixture(scope="module")
def speakers_bin(tmp_path_factory):
    """Dialogues with both profiles."""
    text, data = tmp_path_factory.mktemp("text"), tmp_path_factory.mktemp("data")
    speakers.write(text, {"train": 12, "valid": 6, "test": 3})
    speakers.binarise(text, data)
    return data


def train(case: Case, data, folder, *flags):
    """Two updates and a validation by `fairseq-train`, which looks for a GPU; what it printed."""
    kind = ("--user-dir", programs.PLUGIN, "--task", case.task, "--arch", case.arch, "--criterion", case.criterion)
    words = [word for word in programs.TINY_TRAINING if word != "--cpu"]
    often = ("--max-update", "2", "--log-interval", "100", "--save-dir", folder)
    return programs.run("fairseq-train", data, *kind, *words, *often, *case.flags, *flags)


def generate(case: Case, data, folder, *flags):
    """`fairseq-generate` with its last checkpoint."""
    kind = ("--user-dir", programs.PLUGIN, "--task", case.task, "--path", folder / "checkpoint_last.pt")
    few = ("--num-workers", "0", "--beam", "2", "--max-len-a", "0", "--max-len-b", "8", "--max-sentences", "7")
    return programs.run("fairseq-generate", data, *kind, *few, *case.decoding, *flags)


@pytest.mark.parametrize("name", CASES)
def test_trains_and_decodes_as_on_the_cpu(name, request, tmp_path):
    """No error of mixed devices, the same numbers and the same texts."""
    case = CASES[name]
    data = request.getfixturevalue(case.data)
    with pretended_gpu() as gpu:
        trained = train(case, data, tmp_path / "gpu")
        decoded = generate(case, data, tmp_path / "gpu") if case.arch != "p2bot_receiver_tiny" else None
    assert gpu.mixed == []
    waits = {place: n for place, n in gpu.updates[-1].items() if not any(after in place for after in AFTER_UPDATES)}
    assert sum(waits.values()) == case.waits, waits
    beside = train(case, data, tmp_path / "cpu", "--cpu")
    for tag in ("train", "valid"):
        (found,), (expected,) = trained.numbers(tag), beside.numbers(tag)
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-3)
    if decoded is not None:
        assert decoded.hypotheses() == generate(case, data, tmp_path / "gpu", "--cpu").hypotheses()


def test_self_play_trains_as_on_the_cpu(speakers_bin, tmp_path):
    """Rollouts, judges and the update: two agents of one transmitter, rewarded by a receiver."""
    reply = ("--max-reply-tokens", "8")
    for name, flags in (("p2bot_transmitter", reply), ("p2bot_receiver", ("--disable-validation",))):
        train(CASES[name], speakers_bin, tmp_path / name, "--cpu", *flags)
    earlier = [tmp_path / name / "checkpoint_last.pt" for name in ("p2bot_transmitter", "p2bot_receiver")]
    case = Case("p2bot_transmitter_tiny", SELF_PLAY, "speakers_bin", "self_play", (
        *reply, "--finetune-from-model", earlier[0], "--transmitter", earlier[0], "--receiver", earlier[1],
        "--lm-reward", "0", "--self-play-turns", "1", "--best-checkpoint-metric", "f1",
        "--maximize-best-checkpoint-metric", "--log-interval", "1",
    ))  # fmt: skip
    with pretended_gpu() as gpu:
        trained = train(case, speakers_bin, tmp_path / "gpu")
    assert gpu.mixed == []
    beside = train(case, speakers_bin, tmp_path / "cpu", "--cpu")
    assert trained.numbers("valid")[-1]["loss"] == pytest.approx(beside.numbers("valid")[-1]["loss"], rel=1e-3)


def test_every_architecture_and_criterion_is_tried():
    ours = [
        {name for name, kind in registry.items() if kind.__module__.startswith("fairseq_latent.")}
        for registry in (ARCH_MODEL_REGISTRY, CRITERION_REGISTRY)
    ]
    assert {case.arch for case in CASES.values()} == {name for name in ours[0] if name.endswith("_tiny")}
    assert {case.criterion for case in CASES.values()} | {SELF_PLAY} == ours[1]


# --- the pretended GPU itself ----------------------------------------------------------------------------------------


def test_a_tensor_on_the_wrong_device_is_found(data_bin, tmp_path, monkeypatch):
    """A mask that forgets its device."""

    def past(self):
        return self.keys & torch.ones(self.mask.size(1), self.mask.size(1), dtype=torch.bool).tril()

    planted = cached_property(past)
    planted.__set_name__(Packing, "past")
    monkeypatch.setattr(Packing, "past", planted)
    with pretended_gpu() as gpu, pytest.raises(MixedDevices, match=r"bitwise_and.*fairseq_latent/modules/packed.py"):
        train(CASES["t_cvae, K = 1"], data_bin, tmp_path)
    assert len(gpu.mixed) == 1


def test_tensors_lie_where_they_were_put():
    with pretended_gpu() as gpu:
        there = torch.ones(2, 3, device="cuda", requires_grad=True)
        assert (
            there.device == there.new_zeros(1).device == torch.zeros_like(there).device == (there * 2)[0].device == GPU
        )
        assert there.is_cuda and not there.cpu().is_cuda and torch.ones(2).device.type == "cpu"
        assert torch.tensor([1.0]).to(there).is_cuda and torch.arange(3, device=there.device).is_cuda
        (there.square().sum() * 3).backward()
        assert there.grad.is_cuda and there.grad.tolist() == [[6.0] * 3] * 2
        model = torch.nn.Linear(3, 2).cuda()
        assert all(parameter.is_cuda for parameter in model.parameters()) and model(there).is_cuda
        assert there.to("cpu", torch.float64).dtype == torch.float64
    assert there.device.type == "cpu" and not gpu.mixed


@pytest.mark.parametrize("mixed", [
    lambda there, here: there + here, lambda there, here: torch.cat([there, here]), lambda there, here: there @ here,
    lambda there, here: here[there.long()], lambda there, here: there.index_select(0, here[0].long()),
    lambda there, here: torch.where(here > 0, there, 0.0), lambda there, here: there.add_(here),
], ids=["add", "cat", "product", "index", "select", "where", "in-place"])  # fmt: skip
def test_operations_on_both_devices_are_refused(mixed):
    with pretended_gpu() as gpu:
        there, here = torch.ones(2, 2, device="cuda"), torch.ones(2, 2)
        assert (there + torch.tensor(1.0)).is_cuda  # numbers may lie anywhere
        with pytest.raises(MixedDevices, match="same device"):
            mixed(there, here)
    assert len(gpu.mixed) == 1


@pytest.mark.parametrize("asked, kind", [
    (lambda there: there.sum().item(), "local_scalar_dense"), (lambda there: bool(there.any()), "local_scalar_dense"),
    (lambda there: there.tolist(), "tolist"), (lambda there: there.cpu(), "copy to the CPU"),
    (lambda there: there.nonzero(), "nonzero"), (lambda there: there[there > 0], "mask as index"),
    (lambda there: there.masked_select(there > 0), "masked_select"), (lambda there: torch.unique(there), "unique"),
    (lambda there: there.new_tensor(3.0), "copy of a number to the GPU"), (lambda there: torch.equal(there, there), "equal"),
    (lambda there: there[torch.tensor([0])], "indices on the CPU"), (lambda there: torch.ones(2).cuda(), "copy to the GPU"),
])  # fmt: skip
def test_what_the_host_waits_for_is_counted(asked, kind):
    with pretended_gpu() as gpu:
        there = torch.ones(2, 2, device="cuda")
        there[there > 0] = 0.0
        there = there.masked_fill(there > 0, 1.0).clone()
        torch.full((2,), 3, device="cuda")
        torch.ones(2).to(there.device, non_blocking=True)
        assert not gpu.waits
        asked(there)
    ((place, count),) = gpu.waits.items()
    assert place.startswith(f"{kind}") and count == 1


def test_numpy_wants_the_cpu():
    with pretended_gpu(), pytest.raises(TypeError, match="can't convert cuda"):
        torch.ones(2, device="cuda").numpy()
