"""A latent that is one of several codes: its arithmetic, the exact best of all codes, and training, measuring, decoding."""

import math

import pytest
import torch

from fairseq_latent.errors import InputError
from fairseq_latent.gaussian import seeded_noise
from fairseq_latent.losses import mutual_information
from fairseq_latent.modules.latents.categorical import Categorical
from fairseq_latent.selection import choose_noise

from ..helpers import programs
from ..helpers.tiny import NO_DROPOUT, batch, build_criterion, build_model

CODES = {"latent_kind": "categorical", "latent_codes": 4}
FLAGS = ("--latent-kind", "categorical", "--latent-codes", "4")


def of(*rows: list[float]) -> Categorical:
    return Categorical(torch.tensor(rows).log())


# --- the arithmetic --------------------------------------------------------------------------------------------------


def test_divergences_are_torchs():
    torch.manual_seed(1)
    q, p = (torch.randn(5, 7) for _ in range(2))
    ours = Categorical.of_scores(q).kl(Categorical.of_scores(p))
    theirs = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=q), torch.distributions.Categorical(logits=p)
    )
    torch.testing.assert_close(ours, theirs)


def test_a_code_is_sampled_as_often_as_its_probability_says():
    """By normal noise, as all latents are."""
    distribution = of([0.5, 0.3, 0.15, 0.05])
    seeds = torch.arange(40_000)
    shares = distribution.rsample(seeded_noise(seeds, 1, 4)[:, 0]).mean(0)
    torch.testing.assert_close(
        shares, torch.tensor([0.5, 0.3, 0.15, 0.05]), rtol=0, atol=0.0125
    )  # five standard errors
    assert distribution.rsample(torch.zeros(1, 4)).tolist() == [[1, 0, 0, 0]]  # --latent mean: the likeliest


def test_a_sample_is_one_hot_and_its_gradient_that_of_the_probabilities():
    scores = torch.tensor([[0.3, -0.2, 1.0]], requires_grad=True)
    weights = torch.tensor([1.0, 5.0, -2.0])
    z = Categorical.of_scores(scores).rsample(torch.randn(1, 3))
    assert sorted(z[0].tolist()) == [0, 0, 1]
    (z @ weights).sum().backward()
    straight, scores.grad = scores.grad.clone(), None
    (scores.softmax(-1) @ weights).sum().backward()
    torch.testing.assert_close(straight, scores.grad)


def test_densities_and_mutual_information_by_hand():
    """Two posteriors, .9 and .1 on their own code: I = ln 2 - H(.9, .1) where z is in proportion."""
    posterior = of([0.9, 0.1], [0.1, 0.9])
    z = torch.eye(2)
    torch.testing.assert_close(posterior.log_prob(z), torch.tensor([0.9, 0.9]).log())
    expected = torch.tensor([[0.9, 0.1], [0.1, 0.9]], dtype=torch.float64).log()
    torch.testing.assert_close(posterior.pairwise_log_prob(z), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(
        mutual_information(posterior, z), torch.full((2,), math.log(0.9 / 0.5), dtype=torch.float64), rtol=1e-6, atol=0
    )
    again = Categorical.of_moments(posterior.mean, posterior.logvar)
    torch.testing.assert_close(again.log_probs, posterior.log_probs)
    variances = torch.tensor([[0.09, 0.09], [0.09, 0.09]])
    torch.testing.assert_close(posterior.logvar.exp(), variances)  # p (1 - p)


# --- the best of all codes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [4, 9])
def test_the_best_of_all_codes_is_exact(task, samples):
    """Whatever the posterior says, and without chance: each code is scored once."""
    model, sample = build_model(task, **NO_DROPOUT, **CODES), batch(task)
    inputs = sample["net_input"]
    prior, posterior, decoded = model.distributions(
        inputs["src_tokens"], inputs["prev_output_tokens"], sample["target"]
    )
    far = Categorical(posterior.log_probs - 200 * torch.eye(4)[0])  # the first code as good as impossible
    size, scored = len(sample["target"]), []

    def score(z):
        scored.append(z)
        return decoded.nll(z)

    noise, chosen = choose_noise(far, samples, "best", score)
    by_code = torch.stack([decoded.nll(torch.eye(4)[code].expand(size, 4)) for code in range(4)])
    torch.testing.assert_close(scored[0], torch.eye(4)[:, None].expand(4, size, 4))
    assert torch.equal(chosen, by_code.argmin(0))
    torch.testing.assert_close(far.rsample(noise).detach(), torch.eye(4)[chosen])


def test_fewer_samples_than_codes_are_sampled(task):
    distribution = of([0.97, 0.01, 0.01, 0.01])
    torch.manual_seed(2)
    _, chosen = choose_noise(distribution, 3, "best", lambda z: z[..., 0])
    assert 0 <= int(chosen) < 3
    torch.manual_seed(2)
    normal = torch.randn(3, 1, 4)
    torch.manual_seed(2)
    assert torch.equal(distribution.noise(3), normal)


def test_the_loss_of_all_codes_does_not_depend_on_chance(task):
    model, sample = build_model(task, **NO_DROPOUT, **CODES), batch(task)
    criterion = build_criterion(task, k=4)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model.zero_grad()
        loss, _, log = criterion(model, sample)
        loss.backward()
        found.append(loss.item())
        assert log["kl"] >= 0
    assert found[0] == found[1]
    assert model.encoder.latent.posterior_net.weight.grad.abs().max() > 0


def test_the_bound_is_one_of_the_exact_likelihood(task):
    """Of so few codes the likelihood is a sum: -log sum_c p(c|x) p(y|x, c) <= E_q NLL + KL(q || p)."""
    model, sample = build_model(task, **NO_DROPOUT, **CODES).eval(), batch(task)
    inputs = sample["net_input"]
    prior, posterior, decoded = model.distributions(
        inputs["src_tokens"], inputs["prev_output_tokens"], sample["target"]
    )
    by_code = torch.stack([decoded.nll(torch.eye(4)[code].expand(len(sample["target"]), 4)) for code in range(4)], 1)
    exact = -(prior.log_probs - by_code).logsumexp(1)
    bound = (posterior.mean * by_code).sum(1) + posterior.kl(prior)
    assert (bound >= exact - 1e-5).all() and (bound - exact).max() < 1


# --- the programs ----------------------------------------------------------------------------------------------------


def test_codes_are_trained_measured_and_decoded(data_bin, tmp_path):
    flags = (*FLAGS, "--k", "4", "--bow-weight", "1", "--context-worth")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    programs.fit(data_bin, whole, *flags, "--max-update", "12")
    for updates in ("7", "12"):
        programs.fit(data_bin, parts, *flags, "--max-update", updates)
    programs.assert_same_parameters(whole / "checkpoint_last.pt", parts / "checkpoint_last.pt")
    checkpoint = whole / "checkpoint_last.pt"
    assert len(
        programs.decode(data_bin, checkpoint, "--beam", "2", "--max-len-b", "8", "--latent-samples", "3").hypotheses()
    )
    words = ("latents", data_bin, "--path", checkpoint, "--split", "test", "--importance-samples", "3", "--cpu")
    done = programs.tool(*words)
    assert done.returncode == 0, done.stderr
    assert "AU" in done.stdout and "iw PPL" in done.stdout


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags, said", [
    ({"k": 3, "sample_reduction": "mean"}, "--sample-reduction mean is for Gaussian latents"),
    ({"k": 3, "sample_reduction": "importance"}, "--sample-reduction importance is for Gaussian latents"),
    ({"podi_weight": 1.0}, "--podi-weight is for Gaussian latents"),
    ({"free_bits": 0.1}, "--free-bits-over dimension is for Gaussian latents.*remedy: --free-bits-over total"),
])  # fmt: skip
def test_what_codes_do_not_have_is_refused(task, flags, said):
    build_model(task, **CODES)
    with pytest.raises(InputError, match=said):
        build_criterion(task, **flags)


def test_free_bits_over_their_sum_are_for_codes_too(task):
    model = build_model(task, **CODES)
    loss, _, _ = build_criterion(task, free_bits=0.5, free_bits_over="total")(model, batch(task))
    assert loss.isfinite()


@pytest.mark.parametrize("arch, flags, said", [
    ("t_cvae_tiny", {"posterior_norm": "batch"}, "--posterior-norm and --latent-scale are about means"),
    ("t_cvae_tiny", {"latent_scale": 2.0}, "--posterior-norm and --latent-scale are about means"),
    ("t_cvae_tiny", {"latent_codes": 1}, "--latent-codes 1 .*remedy: from 2 to 10000"),
    ("t_spacefusion_tiny", {}, "t_spacefusion fuses two spaces"),
])  # fmt: skip
def test_models_that_no_codes_fit_are_refused(task, arch, flags, said):
    with pytest.raises(InputError, match=said):
        build_model(task, arch, **CODES | flags)
    if arch == "t_cvae_tiny" and "latent_scale" in flags:
        build_model(task, **CODES)
        with pytest.raises(InputError, match="spacefusion fuses two latents of one space"):
            build_criterion(task, "spacefusion")
