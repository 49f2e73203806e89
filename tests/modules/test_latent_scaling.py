"""Batch norm on posterior means and a factor on all: their arithmetic, their bound, and every latent model with them."""

from dataclasses import replace

import pytest
import torch
from fairseq.criterions import CRITERION_DATACLASS_REGISTRY

from fairseq_latent.errors import InputError
from fairseq_latent.gaussian import DiagonalGaussian
from fairseq_latent.modules.latents.scaling import EPSILON, LatentScaling, PosteriorNorm

from ..helpers import programs
from ..helpers.tiny import batch, build_criterion, build_model, sentence_batch

ARCHS = ("t_cvae_tiny", "t_spacefusion_tiny", "rnn_cvae_tiny", "vhred_tiny")
NORM = ("--posterior-norm", "batch", "--posterior-norm-scale", "0.7")


# --- the arithmetic --------------------------------------------------------------------------------------------------


def test_the_norm_is_torchs_with_a_fixed_weight():
    torch.manual_seed(1)
    ours, theirs = PosteriorNorm(3, 0.7), torch.nn.BatchNorm1d(3, eps=EPSILON)
    theirs.weight.data.fill_(0.7)
    for shift in (ours.shift, theirs.bias):
        shift.data.copy_(torch.tensor([0.0, 1.0, -2.0]))
    for _ in range(4):
        means = torch.randn(6, 3) * 4 + 1
        torch.testing.assert_close(ours(means), theirs(means))
    torch.testing.assert_close(ours.eval()(means), theirs.eval()(means))  # of the running statistics
    assert [name for name, _ in ours.named_parameters()] == ["shift"]


def test_one_example_has_no_statistics_of_its_own():
    norm = PosteriorNorm(2, 0.5)
    before = norm.running_mean.clone()
    found = norm(torch.tensor([[3.0, -1.0]]))
    torch.testing.assert_close(found, 0.5 * torch.tensor([[3.0, -1.0]]), rtol=1e-4, atol=0)  # running: N(0, 1)
    assert torch.equal(norm.running_mean, before)


@pytest.mark.parametrize("scale", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("logvar", [-2.0, 0.0, 1.0])
def test_the_kl_against_n01_has_its_bound(scale, logvar):
    """Z / 2 (scale² + shift²) is what the means alone cost, whatever the network reads (Zhu et al., 2020, eq. 6)."""
    torch.manual_seed(2)
    latent_dim, scaling = 5, LatentScaling(5, norm_scale=scale)
    scaling.norm.shift.data.fill_(0.2)
    collapsed = DiagonalGaussian(torch.randn(64, latent_dim) * 0.01 + 3, torch.full((64, latent_dim), logvar))
    prior = DiagonalGaussian(torch.zeros(64, latent_dim), torch.zeros(64, latent_dim))
    found = scaling.posterior(collapsed).kl(scaling.prior(prior)).mean().detach()
    bound = latent_dim / 2 * (scale**2 + 0.2**2)
    assert found > bound * (1 - 1e-5)
    if logvar == 0.0:
        assert float(found) == pytest.approx(bound, rel=1e-5)  # nothing else costs anything


def test_a_factor_moves_means_for_the_decoder_and_not_what_is_charged():
    torch.manual_seed(3)
    scaling = LatentScaling(4, factor=3.0)
    prior, posterior = (DiagonalGaussian(torch.randn(6, 4), torch.randn(6, 4)) for _ in range(2))
    noise = torch.randn(6, 4)
    z = scaling.posterior(posterior).rsample(noise)
    torch.testing.assert_close(z, 3 * posterior.mean + posterior.stddev * noise)
    torch.testing.assert_close(scaling.prior(prior).mean, 3 * prior.mean)


# --- every latent model ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ARCHS)
def test_every_models_posterior_is_normalised(task, arch):
    torch.manual_seed(4)
    model, sample = build_model(task, arch, posterior_norm="batch", posterior_norm_scale=0.7).train(), batch(task)
    inputs = sample["net_input"]
    _, posterior, _ = model.distributions(inputs["src_tokens"], inputs["prev_output_tokens"], sample["target"])
    varied = posterior.mean.var(0, correction=0)
    torch.testing.assert_close(varied, torch.full_like(varied, 0.7**2), rtol=1e-2, atol=0)
    torch.testing.assert_close(posterior.mean.mean(0), torch.zeros(model.latent_dim), rtol=0, atol=1e-5)


@pytest.mark.parametrize("arch", ARCHS)
def test_every_models_latents_are_scaled_and_its_kl_is_not(task, arch):
    found = {}
    for scale in (1.0, 2.5):
        torch.manual_seed(5)
        model, sample = build_model(task, arch, latent_scale=scale), batch(task)
        torch.manual_seed(6)
        _, extra = model(**sample["net_input"], target=sample["target"])
        found[scale] = extra["latent"]
    plain, scaled = found[1.0], found[2.5]
    torch.testing.assert_close(scaled.posterior.mean, 2.5 * plain.posterior.mean)
    torch.testing.assert_close(scaled.z - scaled.posterior.mean, plain.z - plain.posterior.mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(scaled.charged_kl, plain.charged_kl, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(plain.charged_kl, plain.posterior.kl_per_dim(plain.prior))


def test_the_loss_charges_the_unscaled_kl_and_validation_the_decoders(text_task):
    torch.manual_seed(7)
    model, sample = build_model(text_task, "gru_vae_tiny", latent_scale=4.0), sentence_batch(text_task)
    criterion = build_criterion(text_task)
    loss, _, log = criterion(model, sample)
    posterior = model.encoder.posterior(sample["net_input"]["src_tokens"])
    mean, variance = posterior.mean / 4, posterior.logvar.exp()
    by_hand = 0.5 * (mean.square() + variance - posterior.logvar - 1).sum()
    assert float(loss - log["nll"]) == pytest.approx(float(by_hand), rel=1e-3)
    assert float(log["kl"]) > float(by_hand)  # of the latents that are decoded: the log's numbers are a bound
    model.eval(), criterion.eval()
    loss, _, log = criterion(model, sample)
    assert float(loss) == pytest.approx(float(log["nll"] + log["kl"]), rel=1e-5)


def test_samples_of_the_prior_are_scaled_in_decoding(task):
    model, sample = build_model(task, latent_scale=3.0).eval(), batch(task)
    inputs = {name: sample["net_input"][name] for name in ("src_tokens", "src_lengths", "noise_seed")}
    scaled = model.encoder(**inputs, latent_mean=True)["latent"][0]
    model.encoder.latent.scaling.factor = 1.0
    torch.testing.assert_close(scaled, 3 * model.encoder(**inputs, latent_mean=True)["latent"][0])


def test_a_model_without_the_flags_has_no_new_parts(task):
    plain, scaled = build_model(task), build_model(task, latent_scale=2.0)
    assert plain.state_dict().keys() == scaled.state_dict().keys()
    assert not any("scaling" in name for name in plain.state_dict())


# --- training --------------------------------------------------------------------------------------------------------


def test_a_resumed_run_is_the_uninterrupted_run_and_decodes(data_bin, tmp_path):
    """Running statistics are in the checkpoint."""
    flags = (*NORM, "--latent-scale", "1.5", "--lr-scheduler", "fixed")
    programs.fit(data_bin, tmp_path / "whole", *flags, "--max-update", "20")
    programs.fit(data_bin, tmp_path / "parts", *flags, "--max-update", "9")
    programs.fit(data_bin, tmp_path / "parts", *flags, "--max-update", "20")
    whole = tmp_path / "whole/checkpoint_last.pt"
    programs.assert_same_parameters(whole, tmp_path / "parts/checkpoint_last.pt")
    statistics = {name: value for name, value in programs.parameters(whole).items() if "running" in name}
    assert len(statistics) == 2 and all(value.ne(value[0]).any() for value in statistics.values())
    assert len(programs.decode(data_bin, whole, "--beam", "2", "--max-len-b", "8").hypotheses()) == 21


def test_the_kl_of_a_trained_model_keeps_its_bound(sentences_bin, tmp_path):
    """Z = 8: at least 8 / 2 * .7² = 1.96 nats, where the plain model is near none."""
    task = ("--task", "text_vae", "--max-update", "30", "--no-save")
    kl = {}
    for name, flags in (("plain", ()), ("norm", NORM)):
        printed = programs.fit(sentences_bin, tmp_path / name, *task, *flags, arch="gru_vae_tiny")
        kl[name] = [numbers["kl"] for numbers in printed.numbers("train_inner")]
    assert min(kl["norm"]) > 1.9 > max(kl["plain"])


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags, said", [
    ({"posterior_norm": "batch", "posterior_norm_scale": 0.0}, "--posterior-norm-scale 0.0 .*remedy: more than 0"),
    ({"posterior_norm": "batch", "posterior_norm_scale": -1.0}, "--posterior-norm-scale -1.0 .*remedy: more than 0"),
    ({"posterior_norm_scale": 0.7}, "--posterior-norm-scale 0.7 without --posterior-norm batch; remedy: both, or neither"),
    ({"latent_scale": 0.0}, "--latent-scale 0.0 .*remedy: more than 0"),
    ({"latent_scale": -2.0}, "--latent-scale -2.0 .*remedy: more than 0"),
    ({"latent_scale": float("nan")}, "--latent-scale nan .*remedy: more than 0"),
])  # fmt: skip
def test_wrong_values_are_refused(task, flags, said):
    with pytest.raises(InputError, match=said) as error:
        build_model(task, **flags)
    assert "\n" not in str(error.value)


def test_statistics_of_a_part_of_the_batch_are_refused(text_task):
    task = type(text_task)(replace(text_task.cfg, distributed_world_size=2), text_task.dictionary)
    build_model(task, "gru_vae_tiny", posterior_norm="batch")
    with pytest.raises(InputError, match="needs whole batches, .*; remedy: --distributed-world-size 1, --update-freq"):
        task.build_criterion(CRITERION_DATACLASS_REGISTRY["elbo"](_name="elbo"))


def test_a_scaled_sample_has_no_weight(task):
    build_model(task, latent_scale=2.0)
    with pytest.raises(InputError, match="--latent-scale .*remedy: without --sample-reduction importance"):
        build_criterion(task, k=5, sample_reduction="importance")
