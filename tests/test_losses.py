"""Every term against a plain oracle: loops, torch.distributions, F.cross_entropy, numpy."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fairseq_latent import losses
from fairseq_latent.gaussian import DiagonalGaussian

PAD, EOS = 1, 2
V = 9
TARGET = torch.tensor([[4, 5, 5, EOS], [6, EOS, PAD, PAD], [EOS, PAD, PAD, PAD]])
COUNTS = [4, 2, 1]  # real tokens


def packed(logits, target=TARGET):
    return logits[target.ne(PAD)]


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_sum_by_sentence_equals_a_loop(random):
    mask = TARGET.ne(PAD)
    values = torch.randn(2, 7)
    expected = [[sum(path[:4]), sum(path[4:6]), path[6]] for path in values]
    torch.testing.assert_close(losses.sum_by_sentence(values, mask), torch.tensor(expected))
    torch.testing.assert_close(losses.sum_by_sentence(torch.ones(7), mask), torch.tensor(COUNTS).float())


def test_sum_by_sentence_passes_gradients(random):
    mask, weight = TARGET.ne(PAD), torch.tensor([1.0, 2.0, 3.0])
    values = torch.randn(2, 7, requires_grad=True)
    (gradient,) = torch.autograd.grad((losses.sum_by_sentence(values, mask) * weight).sum(), [values])
    assert gradient.tolist() == [[1, 1, 1, 1, 2, 2, 3]] * 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_sum_by_sentence_repeats_on_a_gpu(random):
    mask = torch.rand(512, 60, device="cuda") < 0.7
    values = 100 * torch.randn(3, int(mask.sum()), device="cuda")
    first = losses.sum_by_sentence(values, mask)
    assert all(torch.equal(first, losses.sum_by_sentence(values, mask)) for _ in range(50))


def test_an_empty_batch_of_tokens_sums_to_zero():
    mask = torch.zeros(2, 3, dtype=torch.bool)
    assert losses.sum_by_sentence(torch.zeros(0), mask).tolist() == [0, 0]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradients_of_token_nll(random, smoothing, monkeypatch):
    """Against finite differences, in parts of one row and whole."""
    logits, target = torch.randn(5, V, dtype=torch.float64, requires_grad=True), torch.randint(V, (5,))
    for elements in (V, 2**20):
        monkeypatch.setattr(losses, "ROWS_ELEMENTS", elements)
        assert torch.autograd.gradcheck(lambda x: losses.token_nll(x, target, smoothing), [logits])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_token_nll_equals_the_formula_and_its_gradient(random, smoothing):
    logits, target = 3 * torch.randn(40, 300), torch.randint(300, (40,))
    weight = torch.randn(40)  # each sentence's share in a loss
    found = []
    for formula in (lambda x: losses.token_nll(x, target, smoothing)[0], None):
        leaf = logits.clone().requires_grad_()
        if formula is None:
            log_probs = leaf.log_softmax(-1)
            nll = -log_probs.gather(-1, target.unsqueeze(-1)).squeeze(-1)
            value = (1 - smoothing) * nll - smoothing * log_probs.mean(-1)
        else:
            value = formula(leaf)
        (gradient,) = torch.autograd.grad((weight * value).sum(), [leaf])
        found.append((value, gradient))
    torch.testing.assert_close(*found)


def test_logits_in_bfloat16_get_a_gradient_in_bfloat16(random):
    """Rounded once, at the end: also where the target's probability is nearly 1 and its gradient nearly 0."""
    logits, target = torch.randn(6, V).bfloat16(), torch.randint(V, (6,))
    logits[torch.arange(6), target] += torch.arange(6) * 2
    logits.requires_grad_()
    losses.token_nll(logits, target, 0.1)[0].sum().backward()
    exact = logits.detach().float().requires_grad_()
    losses.token_nll(exact, target, 0.1)[0].sum().backward()
    assert logits.grad.dtype == torch.bfloat16
    assert torch.equal(logits.grad, exact.grad.bfloat16())


def test_sequence_nll_equals_cross_entropy(random):
    logits = torch.randn(3, 4, V)
    smoothed, nll = losses.sequence_nll(packed(logits), TARGET, PAD)
    expected = F.cross_entropy(logits.transpose(1, 2), TARGET, ignore_index=PAD, reduction="none").sum(1)
    torch.testing.assert_close(nll, expected)
    torch.testing.assert_close(smoothed, nll)


def test_label_smoothing_spreads_over_all_words(random):
    """fairseq 0.8: (1 - e) nll + e / V sum_v -log p_v, which is also torch's; fairseq 0.12 divides by V - 1."""
    logits = torch.randn(3, 4, V)
    smoothed, nll = losses.sequence_nll(packed(logits), TARGET, PAD, 0.1)
    loop = []
    for row, words in zip(logits, TARGET, strict=True):
        log_probs = row.log_softmax(-1)
        loop.append(
            sum(
                (1 - 0.1) * -log_probs[t, word] + 0.1 / V * sum(-log_probs[t, v] for v in range(V))
                for t, word in enumerate(words)
                if word != PAD
            )
        )
    torch.testing.assert_close(smoothed, torch.stack(loop))
    torch_own = F.cross_entropy(
        logits.transpose(1, 2), TARGET, ignore_index=PAD, reduction="none", label_smoothing=0.1
    ).sum(1)
    torch.testing.assert_close(smoothed, torch_own)
    torch.testing.assert_close(nll, losses.sequence_nll(packed(logits), TARGET, PAD)[1])


def test_padding_never_changes_a_loss(random):
    logits = torch.randn(3, 4, V)
    wider = F.pad(TARGET, (0, 3), value=PAD)
    rubbish = torch.cat([logits, torch.full((3, 3, V), 1e4)], dim=1)
    for smoothing in (0.0, 0.1):
        for one, other in zip(
            losses.sequence_nll(packed(logits), TARGET, PAD, smoothing),
            losses.sequence_nll(packed(rubbish, wider), wider, PAD, smoothing),
            strict=True,
        ):
            assert torch.equal(one, other)
    bow = torch.randn(3, V)
    for form in ("types", "tokens"):
        assert torch.equal(losses.bow_nll(bow, TARGET, PAD, EOS, form), losses.bow_nll(bow, wider, PAD, EOS, form))


def test_losses_are_float32(random):
    logits = torch.randn(7, V)
    assert losses.sequence_nll(logits.bfloat16(), TARGET, PAD)[1].dtype == torch.float32
    assert losses.bow_nll(logits[:3].bfloat16(), TARGET, PAD, EOS).dtype == torch.float32


# --- bag of words ----------------------------------------------------------------------------------------------------


def test_bow_types_and_tokens_counted_by_hand(random):
    logits = torch.randn(3, V)
    p = -logits.log_softmax(-1)
    types = [p[0, 4] + p[0, 5], p[1, 6], torch.tensor(0.0)]  # the set, neither pad nor end
    tokens = [p[0, 4] + 2 * p[0, 5] + p[0, EOS], p[1, 6] + p[1, EOS], p[2, EOS]]  # multiplicity, end included
    torch.testing.assert_close(losses.bow_nll(logits, TARGET, PAD, EOS, "types"), torch.stack(types))
    torch.testing.assert_close(losses.bow_nll(logits, TARGET, PAD, EOS, "tokens"), torch.stack(tokens))


def test_bow_rejects_other_forms():
    with pytest.raises(ValueError, match="neither types nor tokens"):
        losses.bow_nll(torch.zeros(3, V), TARGET, PAD, EOS, "bag")


# --- free bits -------------------------------------------------------------------------------------------------------


def test_free_bits_lift_dimensions_below_the_floor():
    kl = torch.tensor([[0.2, 0.0], [0.6, 0.1]], requires_grad=True)  # batch means 0.4 and 0.05
    value = losses.free_bits(kl, 0.3)
    torch.testing.assert_close(value, torch.tensor([0.2 + 0.3, 0.6 + 0.3]))
    assert value.mean().item() == pytest.approx(max(0.3, 0.4) + max(0.3, 0.05))
    value.sum().backward()
    assert kl.grad.tolist() == [[1, 0], [1, 0]]


# --- L_Po-di ---------------------------------------------------------------------------------------------------------

TARGET_KL = 0.15


def spread(size, gap, latent_dim=3):
    """Posteriors of unit variance whose means lie `gap` apart in every dimension."""
    mean = gap * torch.arange(size).float().unsqueeze(1).expand(size, latent_dim)
    return DiagonalGaussian(mean.clone().requires_grad_(), torch.zeros(size, latent_dim, requires_grad=True))


def different(size):
    return torch.eye(size, dtype=torch.bool)


@pytest.mark.parametrize("form", ["per_dim", "literal", "auto"])
def test_podi_is_zero_when_all_pairs_are_far_enough(form):
    """KL of two unit Gaussians at distance 1 is 1/2 nat a dimension, above lambda."""
    assert losses.podi(spread(5, 1.0), TARGET_KL, form).tolist() == [0] * 5


@pytest.mark.parametrize("size, latent_dim", [(2, 3), (5, 4), (8, 1)])
def test_podi_of_equal_posteriors_and_different_inputs(size, latent_dim):
    """Batch means: literal n lambda^2, auto Z lambda, per_dim n (n - 1) lambda^2."""
    posterior = spread(size, 0.0, latent_dim)
    value = {form: losses.podi(posterior, TARGET_KL, form).mean().item() for form in ("literal", "auto", "per_dim")}
    assert value["literal"] == pytest.approx(size * TARGET_KL**2)
    assert value["auto"] == pytest.approx(latent_dim * TARGET_KL)
    assert value["per_dim"] == pytest.approx(size * (size - 1) * TARGET_KL**2)


@pytest.mark.parametrize("form, target, leaves", [
    ("literal", 0.11, False),
    ("literal", 0.14, True),  # from Z / 4n = 32 / (4 * 64) = 0.125 on
    ("auto", 0.11, True),
    ("per_dim", 0.11, True),
])  # fmt: skip
def test_which_hinge_leads_out_of_a_collapse(form, target, leaves):
    """A small spread s of the means costs a KL of Z s^2 / 2 and saves 2 lambda n s^2 of the printed hinge, all told.

    So the printed form, its weight 1, leaves the prior for batches of 64 and a latent of 32 alone where lambda is large.
    """
    mean = 0.03 * torch.randn(64, 32, generator=torch.Generator().manual_seed(0)).double()

    def loss(posterior):
        prior = DiagonalGaussian(torch.zeros_like(mean), torch.zeros_like(mean))
        return (posterior.kl(prior) + losses.podi(posterior, target, form)).mean().item()

    spread_out, collapsed = (DiagonalGaussian(each, torch.zeros_like(mean)) for each in (mean, 0 * mean))
    assert (loss(spread_out) < loss(collapsed)) == leaves


def random_posterior(size=6, latent_dim=4):
    mean = 0.3 * torch.randn(size, latent_dim)
    return DiagonalGaussian(mean.requires_grad_(), (0.2 * torch.randn(size, latent_dim)).requires_grad_())


def podi_loop(posterior, same):
    """The released double loop: sum over ordered pairs of mean_d min(KL_d - lambda, 0)^2."""
    total = []
    for i in range(len(posterior.mean)):
        row = torch.zeros(())
        for j in range(len(posterior.mean)):
            if not same[i, j]:
                row = row + (posterior[i].kl_per_dim(posterior[j]) - TARGET_KL).clamp(max=0).square().mean()
        total.append(row)
    return torch.stack(total)


@pytest.mark.parametrize("elements", [1, 50, 2**24])
def test_podi_per_dim_equals_a_double_loop_whatever_the_chunks(random, monkeypatch, elements):
    monkeypatch.setattr(losses, "PAIR_ELEMENTS", elements)
    posterior = random_posterior()
    same = different(6)
    same[0, 3] = same[3, 0] = True
    value, loop = losses.podi(posterior, TARGET_KL, "per_dim", same), podi_loop(posterior, same)
    torch.testing.assert_close(value.mean(), loop.sum())
    torch.testing.assert_close(value, 6 * loop)
    ours = torch.autograd.grad(value.mean(), [posterior.mean, posterior.logvar])
    expected = torch.autograd.grad(loop.sum(), [posterior.mean, posterior.logvar])
    torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("form", ["literal", "auto"])
def test_podi_pairs_every_example_with_one_other(random, form):
    posterior = random_posterior()
    for seed in range(20):
        torch.manual_seed(seed)
        partner, paired = losses._partners(6, None, torch.device("cpu"))
        assert sorted(partner.tolist()) == list(range(6)) and paired.tolist() == [1] * 6
        torch.manual_seed(seed)
        value = losses.podi(posterior, TARGET_KL, form)
        for i, j in enumerate(partner.tolist()):
            kl = posterior[i].kl_per_dim(posterior[j])
            if form == "literal":
                expected = 6 * min(kl.mean().item() - TARGET_KL, 0) ** 2
            else:
                expected = min(kl.sum().item() - 4 * TARGET_KL, 0) ** 2 / (4 * TARGET_KL)
            assert value[i].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("form", ["per_dim", "literal", "auto"])
def test_podi_pushes_means_apart(random, form):
    posterior = spread(2, 0.1)
    (gradient,) = torch.autograd.grad(losses.podi(posterior, TARGET_KL, form).mean(), [posterior.mean])
    assert (gradient[0] > 0).all() and (gradient[1] < 0).all()  # descent lowers the lower mean, raises the upper


@pytest.mark.parametrize("form", ["per_dim", "literal", "auto"])
def test_equal_inputs_never_make_a_pair(form):
    posterior = spread(3, 0.0)
    everything = torch.ones(3, 3, dtype=torch.bool)
    value = losses.podi(posterior, TARGET_KL, form, everything)
    assert value.tolist() == [0, 0, 0]
    gradient = torch.autograd.grad(value.sum(), [posterior.mean, posterior.logvar])
    assert all(part.abs().max() == 0 for part in gradient)


@pytest.mark.parametrize("form", ["per_dim", "literal", "auto"])
@pytest.mark.parametrize("same", [None, torch.ones(1, 1, dtype=torch.bool)])
def test_podi_of_a_batch_of_one_is_zero(form, same):
    posterior = spread(1, 0.0)
    value = losses.podi(posterior, TARGET_KL, form, same)
    assert value.tolist() == [0]
    gradient = torch.autograd.grad(value.sum(), [posterior.mean, posterior.logvar])
    assert all(part.abs().max() == 0 for part in gradient)


def test_podi_rejects_other_forms():
    with pytest.raises(ValueError, match="neither per_dim, literal nor auto"):
        losses.podi(spread(2, 0.0), TARGET_KL, "mean")


def test_podi_leaves_random_numbers_alone_in_its_backward(random):
    posterior = random_posterior()
    before = torch.get_rng_state()
    losses.podi(posterior, TARGET_KL, "per_dim").mean().backward()
    assert torch.equal(torch.get_rng_state(), before)


def test_pair_divergence_tells_means_from_variances(random):
    """Neighbours in a ring: 0 with 3, 1 with 0, …; variances alone give a KL without a part of the means."""
    posterior = random_posterior(4)
    whole, means = losses.pair_divergence(posterior)
    for i in range(4):
        assert whole[i].item() == pytest.approx(posterior[i].kl(posterior[i - 1]).item())
        assert means[i].item() == pytest.approx(posterior[i].kl_of_means(posterior[i - 1]).item())
    cheating = DiagonalGaussian(torch.zeros(4, 3), torch.linspace(-4, 4, 4).unsqueeze(1).expand(4, 3))
    whole, means = losses.pair_divergence(cheating)
    assert (whole > 1).all() and means.tolist() == [0] * 4
    honest = spread(
        4, 2.0, 3
    )  # unit variances: all of it is due to means, 3 * 2^2 / 2 = 6 nats, and 54 around the ring
    whole, means = losses.pair_divergence(honest)
    torch.testing.assert_close(whole, means)
    assert means.tolist() == [54, 6, 6, 6]


def test_pair_divergence_of_equal_inputs_and_of_one_example_is_zero(random):
    posterior = random_posterior(4)
    assert [part.tolist() for part in losses.pair_divergence(posterior, torch.ones(4, 4).bool())] == [[0] * 4] * 2
    assert [part.tolist() for part in losses.pair_divergence(posterior[:1])] == [[0]] * 2


def test_same_rows_needs_all_tensors_equal():
    source = torch.tensor([[1, 4], [1, 4], [1, 5]])
    response = torch.tensor([[7], [8], [7]])
    assert losses.same_rows(source).tolist() == [[True, True, False], [True, True, False], [False, False, True]]
    assert torch.equal(losses.same_rows(source, response), torch.eye(3, dtype=torch.bool))


# --- SpaceFusion -----------------------------------------------------------------------------------------------------


def test_fusion_distance_equals_a_loop(random):
    x, y, clip = 0.3 * torch.randn(5, 4), 0.3 * torch.randn(5, 4), 0.3

    def distance(a, b):
        return math.sqrt(((a - b) ** 2).mean().item() + 1e-9)

    expected, unclipped = [], []
    for i in range(5):
        spreads = sum(min(distance(s[i], s[j]), clip) for s in (x, y) for j in range(5)) / 4
        expected.append(min(distance(x[i], y[i]), clip) - spreads)
        unclipped.append(distance(x[i], y[i]) - spreads)
    torch.testing.assert_close(losses.fusion_distance(x, y, clip), torch.tensor(expected))
    torch.testing.assert_close(losses.fusion_distance(x, y, clip, clip_pull=False), torch.tensor(unclipped))


def test_fusion_distances_are_clipped(random):
    """Far apart: pull = clip; each spread is clip, but for the diagonal's sqrt(1e-9) = 3e-5."""
    x, y = 100 * torch.randn(4, 3), 100 * torch.randn(4, 3)
    expected = 0.3 - 2 * (3 * 0.3 + math.sqrt(1e-9)) / 3
    torch.testing.assert_close(losses.fusion_distance(x, y), torch.full((4,), expected))


def test_fusion_of_identical_vectors_has_a_finite_gradient():
    x = torch.zeros(4, 3, requires_grad=True)
    value = losses.fusion_distance(x, torch.zeros(4, 3))
    assert value.abs().max() < 1e-4
    (gradient,) = torch.autograd.grad(value.sum(), [x])
    assert gradient.isfinite().all()


def test_fusion_of_a_batch_of_one_has_no_spread():
    value = losses.fusion_distance(torch.zeros(1, 4), torch.full((1, 4), 0.2))
    assert value.item() == pytest.approx(0.2, abs=1e-4)


def test_clipped_pull_has_no_gradient_for_far_pairs():
    """As released; `clip_pull=False` keeps it."""
    for clip_pull, moves in ((True, False), (False, True)):
        x = torch.full((1, 2), 5.0, requires_grad=True)
        losses.fusion_distance(x, torch.zeros(1, 2), clip_pull=clip_pull).sum().backward()
        assert bool(x.grad.abs().max() > 1e-3) is moves


# --- measures --------------------------------------------------------------------------------------------------------


def test_active_units_equal_numpy_and_add_up_over_splits(random):
    means = torch.randn(40, 6) * torch.tensor([1.0, 0.2, 0.101, 0.08, 0.01, 0.0]) + 50
    expected = int((np.var(means.double().numpy(), axis=0, ddof=1) >= 0.01).sum())
    assert 0 < expected < 6
    sums = [(part.double().sum(0), part.double().square().sum(0)) for part in means.split([7, 13, 20])]
    total = [sum(parts) for parts in zip(*sums, strict=True)]
    assert losses.active_units(*total, 40) == expected


def test_no_unit_is_active_when_the_means_are_equal():
    means = torch.full((9, 4), 0.7).double()
    assert losses.active_units(means.sum(0), means.square().sum(0), 9) == 0


def test_mutual_information_equals_a_loop(random):
    posterior, size = random_posterior(), 6
    z = posterior.rsample()
    expected = []
    for i in range(size):
        densities = [math.exp(posterior[j].log_prob(z[i]).item()) for j in range(size)]
        expected.append(math.log(densities[i]) - math.log(sum(densities) / size))
    torch.testing.assert_close(losses.mutual_information(posterior, z).float(), torch.tensor(expected))


def test_mutual_information_is_at_most_log_batch():
    """Posteriors far apart: z names its example."""
    posterior = spread(8, 100.0)
    value = losses.mutual_information(posterior, posterior.mean)
    torch.testing.assert_close(value.float(), torch.full((8,), math.log(8)))


def test_mutual_information_of_identical_posteriors_is_zero(random):
    posterior = spread(5, 0.0)
    assert losses.mutual_information(posterior, posterior.rsample()).abs().max() < 1e-9


# --- importance weights: z ~ N(0.5, 2^2) and y | z ~ N(3 z + 1, 1.5^2), whose log p(y) is known ----------------------------

OBSERVED = 4.0


def gaussian(mean, variance):
    return DiagonalGaussian(torch.tensor([[mean]]), torch.tensor([[math.log(variance)]]))


TOY_PRIOR = gaussian(0.5, 4.0)
TOY_NLL = -gaussian(3 * 0.5 + 1, 9 * 4 + 2.25).log_prob(torch.tensor([[OBSERVED]])).item()
# precision 1 / 4 + 9 / 2.25 = 4.25, mean (0.5 / 4 + 3 (y - 1) / 2.25) / 4.25
TOY_POSTERIOR = gaussian((0.125 + 3 * (OBSERVED - 1) / 2.25) / 4.25, 1 / 4.25)
WRONG_POSTERIOR = gaussian(0.8, 0.5)


def toy_bound(posterior, num_latents, repeats):
    """(repeats,)"""
    z = posterior.rsample(torch.randn(num_latents, repeats, 1))
    nll = -DiagonalGaussian(3 * z + 1, torch.full_like(z, math.log(2.25))).log_prob(torch.full_like(z, OBSERVED))
    return losses.importance_weighted_nll(nll, TOY_PRIOR.log_prob(z), posterior.log_prob(z))


def test_importance_weighted_nll_equals_a_loop(random):
    nll, log_prior, log_posterior = torch.rand(3, 4, 2).double()
    expected = []
    for b in range(2):
        weights = [math.exp(log_prior[k, b] - log_posterior[k, b] - nll[k, b]) for k in range(4)]
        expected.append(-math.log(sum(weights) / 4))
    found = losses.importance_weighted_nll(nll, log_prior, log_posterior)
    torch.testing.assert_close(found, torch.tensor(expected).double())


def test_one_importance_sample_is_the_sampled_elbo(random):
    nll, log_prior, log_posterior = 5000 * torch.rand(3, 1, 6).double()
    found = losses.importance_weighted_nll(nll, log_prior, log_posterior)
    torch.testing.assert_close(found, (nll + log_posterior - log_prior)[0])


def test_samples_of_the_true_posterior_give_the_exact_likelihood(random):
    for num_latents in (1, 7):
        found = toy_bound(TOY_POSTERIOR, num_latents, 50)
        torch.testing.assert_close(found, torch.full((50,), TOY_NLL).double(), atol=1e-4, rtol=0)


def test_the_importance_weighted_bound_falls_to_the_likelihood(random):
    bounds = [toy_bound(WRONG_POSTERIOR, num_latents, 4000).mean().item() for num_latents in (1, 2, 5, 50)]
    gap = WRONG_POSTERIOR.kl(TOY_POSTERIOR).item()  # of the ELBO, exactly
    assert bounds[0] == pytest.approx(TOY_NLL + gap, abs=0.02)
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] == pytest.approx(TOY_NLL, abs=0.02)
    assert toy_bound(WRONG_POSTERIOR, 50_000, 1).item() == pytest.approx(TOY_NLL, abs=0.02)
