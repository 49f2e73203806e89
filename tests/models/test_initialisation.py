"""How a T-CVAE starts: as in fairseq 0.8, which the authors' code runs on, as in fairseq 0.12, or from an old checkpoint."""

from argparse import Namespace

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.data import Dictionary

from fairseq_latent.compat.checkpoints.older import BIAS, BUFFERS, WEIGHT, give_prior_a_bias
from fairseq_latent.tasks.dialogue import DialogueConfig, DialogueTask
from fairseq_latent.tasks.latent_task import add_missing_options

from ..helpers import programs
from ..helpers.tiny import NO_DROPOUT, batch, build_model


def xavier(inputs: int, outputs: int) -> float:
    return (2 / (inputs + outputs)) ** 0.5


def own(inputs: int) -> float:
    """nn.Linear's own start: uniform between -1 / sqrt(inputs) and 1 / sqrt(inputs)."""
    return (1 / (3 * inputs)) ** 0.5


@pytest.fixture(scope="module")
def many_words():
    """A task with 300 words."""
    dictionary = Dictionary()
    for number in range(300):
        dictionary.add_symbol(f"word{number}")
    config = DialogueConfig(data="nowhere", seed=1, update_freq=[1], best_checkpoint_metric="au")
    return DialogueTask(config, dictionary, dictionary)


# Measured in the authors' code: feed-forward .0280, fusion .0180, posterior .0255, prior .0255 and .0361
@pytest.mark.parametrize("arch, latents", [("t_cvae", 1024), ("t_spacefusion", 512)])
@pytest.mark.parametrize("init", ["fairseq8", "fairseq12"])
def test_every_kind_of_layer_at_the_papers_size(task, arch, latents, init):
    torch.manual_seed(1)
    model = build_model(task, arch, init=init, layers=1)
    theirs = init == "fairseq8"
    layer, head = model.encoder.layers[0], model.encoder.latent
    for linear, expected in (
        (layer.fc1, xavier(512, 2048) if theirs else own(512)),
        (layer.fc2, xavier(2048, 512) if theirs else own(2048)),
        (layer.self_attn.q_proj, xavier(512, 3 * 512)),  # fairseq 0.8 stacks q, k and v
        (layer.self_attn.v_proj, xavier(512, 3 * 512)),
        (layer.self_attn.out_proj, xavier(512, 512)),
        (model.decoder.fusion.linear, own(1024) if theirs else xavier(1024, 512)),
        (head.posterior_net, own(512) if theirs else xavier(512, latents)),
        (head.prior_net[0], own(512) if theirs else xavier(512, 256)),
        (head.prior_net[2], own(256) if theirs else xavier(256, latents)),
    ):
        assert float(linear.weight.std()) == pytest.approx(expected, rel=0.02)
    for biased in (layer.fc1, layer.fc2, *(getattr(layer.self_attn, f"{each}_proj") for each in "qkv")):
        assert bool(biased.bias.any()) is not theirs
    assert not layer.self_attn.out_proj.bias.any()
    assert float(head.prior_net[0].bias.std()) == pytest.approx(own(512) if theirs else 0, rel=0.15)


def test_layers_apart_start_alike(task):
    decoder = build_model(task, no_share_layers=True).decoder
    for layer in decoder.layers:
        assert not layer.encoder_attn.q_proj.bias.any() and not layer.fc1.bias.any()


def test_the_untrained_kl_is_as_theirs(many_words):
    """The authors' Transformer-base starts at about 16 nats, that of fairseq 0.12 at 34 to 40: 2.3 times as much."""
    sample = batch(many_words, [(8 + row % 5, 8 + row % 7) for row in range(8)])
    found = {}
    for init in ("fairseq8", "fairseq12"):
        torch.manual_seed(1)
        model = build_model(many_words, "t_cvae", init=init).eval()
        with torch.no_grad():
            _, extra = model(**sample["net_input"], target=sample["target"])
        found[init] = float(extra["latent"].posterior.kl(extra["latent"].prior).mean())
    assert 8 < found["fairseq8"] < 32 and 1.6 < found["fairseq12"] / found["fairseq8"] < 3.2, found


# --- checkpoints from before -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ["t_cvae_tiny", "t_spacefusion_tiny"])
def test_a_checkpoint_without_the_priors_bias_computes_what_it_did(task, arch):
    model, sample = build_model(task, arch, **NO_DROPOUT).eval(), batch(task)
    state = model.state_dict()
    del state[BIAS]
    other = build_model(task, arch, **NO_DROPOUT).eval()
    other.load_state_dict(state, strict=True)
    assert not other.encoder.latent.prior_net[0].bias.any()
    model.encoder.latent.prior_net[0].bias.data.zero_()
    found, expected = (
        each(**sample["net_input"], target=sample["target"])[1]["latent"].prior for each in (other, model)
    )
    assert torch.equal(found.mean, expected.mean)


def test_a_prior_without_the_tanh_layer_has_no_bias_to_add(task):
    model = build_model(task, prior_hidden_dim=0)
    model.load_state_dict(model.state_dict(), strict=True)


def made_older(path) -> None:
    """A checkpoint as it was written before: no --init, no bias, no optimiser's state of it."""
    state = torch.load(path, weights_only=False)
    del state["cfg"]["model"]["init"]
    names = [name for name in state["model"] if name.startswith("encoder.") and not name.endswith(BUFFERS)]
    place, optimizer = names.index(BIAS), state["last_optimizer_state"]
    del state["model"][BIAS]
    optimizer["state"] = {
        number - (number > place): known for number, known in optimizer["state"].items() if number != place
    }
    optimizer["param_groups"][0]["params"].pop()
    torch.save(state, path)


def test_an_old_training_decodes_and_goes_on(data_bin, tmp_path):
    """As one whose bias is zero, and of which Adam knows nothing."""
    checkpoint = tmp_path / "checkpoint_last.pt"
    programs.fit(data_bin, tmp_path, "--max-update", "3")
    before = torch.load(checkpoint, weights_only=False)["last_optimizer_state"]
    made_older(checkpoint)
    assert programs.decode(data_bin, checkpoint, "--max-len-b", "4").hypotheses()
    older = checkpoint_utils.load_checkpoint_to_cpu(str(checkpoint))
    assert not older["model"][BIAS].any()
    found = older["last_optimizer_state"]
    (bias,) = before["state"].keys() - found["state"].keys()
    assert before["state"][bias]["exp_avg"].shape == older["model"][BIAS].shape
    assert all(
        torch.equal(known["exp_avg"], before["state"][number]["exp_avg"]) for number, known in found["state"].items()
    )
    assert found["param_groups"] == before["param_groups"]
    programs.fit(data_bin, tmp_path, "--max-update", "4")
    assert programs.parameters(checkpoint)[BIAS].any()


def test_an_old_optimiser_with_all_parameters_in_one_vector(tmp_path):
    """As --fp16 has it."""
    weights = {
        "encoder.version": torch.ones(1),
        "encoder.a": torch.ones(2),
        WEIGHT: torch.ones(3, 1),
        "decoder.b": torch.ones(2),
    }
    optimizer = {"param_groups": [{"params": [0]}], "state": {0: {"step": 3, "exp_avg": torch.arange(1.0, 8)}}}
    state = give_prior_a_bias(lambda path: {"model": weights, "last_optimizer_state": optimizer})("any.pt")
    assert state["last_optimizer_state"]["state"][0]["exp_avg"].tolist() == [1, 2, 3, 4, 5, 0, 0, 0, 6, 7]
    assert state["model"][BIAS].tolist() == [0, 0, 0]


def test_options_younger_than_a_checkpoint(task):
    old = Namespace(_name="t_cvae_tiny", embed_dim=16)
    add_missing_options(old)
    assert str(old.init) == "fairseq8"
