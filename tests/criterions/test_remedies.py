"""Remedies against posterior collapse that are flags of the ELBO family, each against arithmetic of its own."""

import logging
import math

import pytest
import torch

from fairseq_latent import losses, schedules
from fairseq_latent.errors import InputError
from fairseq_latent.gaussian import DiagonalGaussian
from fairseq_latent.models import latent_model
from fairseq_latent.schedules import KLController
from fairseq_latent.selection import choose_noise

from ..helpers import programs
from ..helpers.tiny import NO_DROPOUT, batch, build_criterion, build_model, gradients, sentence_batch
from ..models.hierarchical_cases import task_of

# --- free bits -------------------------------------------------------------------------------------------------------

KL = [[0.2, 0.0], [0.6, 0.1]]  # nats: dimensions have means of .4 and .05, sentences sums of .2 and .7, all of them .45


@pytest.mark.parametrize("over, floor, values, gradient", [
    ("dimension", 0.3, [0.2 + 0.3, 0.6 + 0.3], [[1, 0], [1, 0]]),
    ("total", 0.4, [0.2, 0.7], [[1, 1], [1, 1]]),
    ("total", 0.5, [0.5, 0.5], [[0, 0], [0, 0]]),
    ("sample", 0.3, [0.3, 0.7], [[0, 0], [1, 1]]),
])  # fmt: skip
def test_free_bits_over_dimensions_all_of_them_or_examples(over, floor, values, gradient):
    kl = torch.tensor(KL, requires_grad=True)
    found = losses.free_bits(kl, floor, over)
    torch.testing.assert_close(found, torch.tensor(values))
    found.sum().backward()
    assert kl.grad.tolist() == gradient


def test_free_bits_over_something_else_are_no_loss():
    with pytest.raises(ValueError, match="neither dimension, total nor sample"):
        losses.free_bits(torch.tensor(KL), 0.3, "batch")


def test_the_criterion_reads_free_bits_as_it_is_told(task):
    model, sample = build_model(task, **NO_DROPOUT), batch(task)
    found = {}
    for over in ("dimension", "total", "sample"):
        criterion = build_criterion(task, free_bits=2.0, free_bits_over=over)
        torch.manual_seed(1)
        loss, _, log = criterion(model, sample)
        found[over] = float(loss.detach() - log["nll"]) / len(sample["target"])
    # an untrained model's KL is far below: 8 dimensions of 2 nats, or 2 nats a sentence
    assert found == pytest.approx({"dimension": 16.0, "total": 2.0, "sample": 2.0}, rel=1e-4)


# --- maximum mean discrepancy ----------------------------------------------------------------------------------------


def discrepancy(x, y):
    """MMD² of two samples, pair by pair, k(a, b) = c / (c + |a - b|²) with c = 2 Z."""
    constant = 2 * len(x[0])

    def kernel(a, b):
        return constant / (constant + sum((one - other) ** 2 for one, other in zip(a, b, strict=True)))

    size = len(x)
    within = [
        sum(kernel(sample[i], sample[j]) for i in range(size) for j in range(size) if i != j) / (size * (size - 1))
        for sample in (x, y)
    ]
    return sum(within) - 2 * sum(kernel(a, b) for a in x for b in y) / size**2


def test_mmd_is_that_of_all_pairs():
    torch.manual_seed(1)
    x, y = torch.randn(5, 3, dtype=torch.float64) * 2 + 1, torch.randn(5, 3, dtype=torch.float64)
    assert losses.mmd(x, y).mean().item() == pytest.approx(discrepancy(x.tolist(), y.tolist()), rel=1e-5)


def test_mmd_by_hand():
    """Z = 1, c = 2: 0 and 2, k = 1/3, against 0 and 1, k = 2/3; across they are 0, 1, 2 and 1 apart."""
    x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [1.0]])
    assert losses.mmd(x, y).mean().item() == pytest.approx(1 / 3 + 2 / 3 - 2 * (1 + 2 / 3 + 1 / 3 + 2 / 3) / 4)


def test_mmd_of_samples_of_one_distribution_is_zero_on_average():
    torch.manual_seed(2)
    found = torch.tensor([losses.mmd(torch.randn(8, 4), torch.randn(8, 4)).mean() for _ in range(2000)])
    assert abs(found.mean()) < 4 * found.std() / 2000**0.5  # without bias
    apart = losses.mmd(torch.randn(200, 4) + 2, torch.randn(200, 4)).mean()
    assert apart > 0.3


def test_mmd_pulls_the_latents_to_the_prior_and_a_batch_of_one_has_none():
    x = torch.tensor([[2.0, 2.0], [3.0, 3.0]], requires_grad=True)
    losses.mmd(x, torch.zeros(2, 2)).mean().backward()
    assert x.grad.isfinite().all() and (x.grad.sum(0) > 0).all()
    alone = torch.ones(1, 2, requires_grad=True)
    losses.mmd(alone, torch.zeros(1, 2)).sum().backward()
    assert alone.grad.tolist() == [[0, 0]]


def test_the_mmd_is_a_term_of_the_loss(task):
    model, sample = build_model(task, **NO_DROPOUT), batch(task)
    criterion = build_criterion(task, mmd_weight=3.0)
    torch.manual_seed(1)
    loss, _, log = criterion(model, sample)
    torch.manual_seed(1)
    _, extra = model(**sample["net_input"], target=sample["target"])
    latent = extra["latent"]
    expected = losses.mmd(latent.z, latent.prior.rsample()).sum()
    assert float(log["mmd"]) == pytest.approx(float(expected), rel=1e-4)
    assert float(loss) == pytest.approx(float(log["nll"] + log["kl"] + 3 * expected), rel=1e-4)
    model.eval(), criterion.eval()
    assert criterion(model, sample)[2]["mmd"] == criterion(model, sample)[2]["mmd"]


# --- one of K by importance ------------------------------------------------------------------------------------------


def test_a_sample_is_kept_as_often_as_its_weight_says():
    """Two latents that cost ln 3 more and less: three in four times the cheaper one."""
    posterior = DiagonalGaussian(torch.zeros(40_000, 1), torch.zeros(40_000, 1))
    noise = [torch.zeros(40_000, 1), torch.ones(40_000, 1)]
    torch.manual_seed(1)
    kept, chosen = choose_noise(posterior, 2, "importance", lambda z: z.squeeze(-1) * math.log(3.0), noise)
    assert abs(chosen.float().mean() - 0.25) < 0.01  # five standard errors
    assert torch.equal(kept.squeeze(1), chosen.float())


def test_the_gradient_is_that_of_the_importance_weighted_bound(text_task, monkeypatch):
    """All K choices, each with its probability, against autograd through -log 1/K sum_k p(y|z_k) p(z_k) / q(z_k|y)."""
    model = build_model(text_task, "gru_vae_tiny", dropout_in=0.0, dropout_out=0.0)
    sample, samples = sentence_batch(text_task, (4,)), 5
    criterion = build_criterion(text_task, k=samples, sample_reduction="importance")
    torch.manual_seed(3)
    noise, cost = torch.randn(samples, 1, model.latent_dim) * 2, {}
    order = iter(range(samples))

    def choose(posterior, num_latents, reduce, score, given=None):
        assert (num_latents, reduce) == (samples, "importance")
        cost["all"] = score(posterior.rsample(noise)).detach()
        return noise[next(order)], None

    monkeypatch.setattr(latent_model, "choose_noise", choose)
    losses_of, gradients_of = [], []
    for _ in range(samples):
        model.zero_grad()
        loss, _, _ = criterion(model, sample)
        loss.backward()
        losses_of.append(loss.detach()), gradients_of.append(gradients(model))
    probabilities = (-cost["all"][:, 0]).softmax(0)
    assert probabilities.max() < 0.9  # no choice alone decides
    torch.testing.assert_close(torch.stack(losses_of), cost["all"][:, 0])  # the loss of a sample is what it is kept by

    model.zero_grad()
    inputs = sample["net_input"]
    prior, posterior, decoded = model.distributions(
        inputs["src_tokens"], inputs["prev_output_tokens"], sample["target"]
    )
    z = posterior.rsample(noise)
    words = sample["target"][sample["target"].ne(1)]
    nll = torch.stack([torch.nn.functional.cross_entropy(decoded.logits(each), words, reduction="sum") for each in z])
    normal = torch.distributions.Normal
    log_prior = normal(prior.mean, prior.stddev).log_prob(z).sum((1, 2))
    log_posterior = normal(posterior.mean, posterior.stddev).log_prob(z).sum((1, 2))
    bound = math.log(samples) - (log_prior - log_posterior - nll).logsumexp(0)
    bound.backward()
    for name, wanted in gradients(model).items():
        expected = sum(share * each[name] for share, each in zip(probabilities, gradients_of, strict=True))
        torch.testing.assert_close(expected, wanted, rtol=1e-3, atol=1e-5, msg=name)


def test_importance_needs_several_samples_and_no_free_bits(task):
    with pytest.raises(InputError, match="importance chooses one of several samples, --k 1 is one; remedy: --k 5"):
        build_criterion(task, sample_reduction="importance")
    with pytest.raises(InputError, match="--free-bits .*remedy: one of them"):
        build_criterion(task, k=5, sample_reduction="importance", free_bits=0.1)


def test_importance_is_for_training_alone(task):
    model, sample = build_model(task, **NO_DROPOUT), batch(task)
    plain, weighted = build_criterion(task), build_criterion(task, k=5, sample_reduction="importance")
    for module in (model, plain, weighted):
        module.eval()
    assert torch.equal(plain(model, sample)[0], weighted(model, sample)[0])


# --- a set point of the KL -------------------------------------------------------------------------------------------

SET_POINT = ("--kl-set-point", "2", "--k", "3", "--sample-reduction", "importance", "--mmd-weight", "5")


def test_the_weight_follows_the_kl_of_the_update_before(data_bin, tmp_path):
    """All batches of an update count, and validation does not."""
    flags = ("--kl-set-point", "0.1", "--update-freq", "2", "--max-update", "6", "--validate-interval-updates", "2")
    trained = programs.fit(data_bin, tmp_path, *flags, "--no-save").numbers("train_inner")
    controller = KLController(0.1)
    for numbers in trained:
        assert numbers["kl_weight"] == pytest.approx(controller.weight, abs=1e-4)  # the log has four decimals
        controller.observe(numbers["kl"])
    assert trained[0]["kl_weight"] == 0 < trained[-1]["kl_weight"]


def test_a_resumed_run_steers_as_the_uninterrupted_one(data_bin, tmp_path):
    programs.fit(data_bin, tmp_path / "whole", *SET_POINT, "--max-update", "20")
    programs.fit(data_bin, tmp_path / "parts", *SET_POINT, "--max-update", "9")
    programs.fit(data_bin, tmp_path / "parts", *SET_POINT, "--max-update", "20")
    programs.assert_same_parameters(tmp_path / "whole/checkpoint_last.pt", tmp_path / "parts/checkpoint_last.pt")


def test_a_checkpoint_without_a_controller_begins_one(data_bin, tmp_path):
    programs.fit(data_bin, tmp_path, "--max-update", "5")
    resumed = programs.fit(data_bin, tmp_path, "--kl-set-point", "2", "--max-update", "7").numbers("train_inner")
    assert resumed[0]["kl_weight"] == 0


def test_a_set_point_beyond_reach_is_said(data_bin, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(schedules, "PATIENCE", 4)
    with caplog.at_level(logging.WARNING):
        programs.fit(data_bin, tmp_path, "--kl-set-point", "1000", "--max-update", "12", "--no-save")
    (record,) = [record for record in caplog.records if "--kl-set-point" in record.getMessage()]
    assert "the model does not reach it; remedy: a lower one" in record.getMessage()


def test_a_set_point_and_a_schedule_are_two_weights(task):
    with pytest.raises(InputError, match="--kl-set-point 3 sets the weight, and so does --kl-schedule linear; remedy"):
        build_criterion(task, kl_set_point=3.0, kl_schedule="linear", kl_warmup=10)


@pytest.mark.parametrize("flags", [{"mmd_weight": 1.0}, {"kl_set_point": 2.0}])
def test_what_is_about_a_latent_needs_one(flags):
    task = task_of()
    build_model(task, "hred_tiny")
    with pytest.raises(InputError, match="is about the latent, and this model has none; remedy: "):
        build_criterion(task, **flags)
