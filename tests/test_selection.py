"""Best of K: the chosen sample and all gradients equal a plain implementation's, in memory that does not grow with K."""

import pytest
import torch
import torch.nn.functional as F
from torch.profiler import ProfilerActivity, profile

from fairseq_latent.gaussian import DiagonalGaussian
from fairseq_latent.losses import sum_by_sentence, token_nll
from fairseq_latent.modules import latent_transformer
from fairseq_latent.modules.latents.fusion import DecodedResponse, LatentFusion
from fairseq_latent.modules.packed import PackedStates, Packing
from fairseq_latent.selection import TILE, VocabularyScorer, choose_noise

from .helpers.tiny import NO_DROPOUT, batch, build_criterion, build_model, fairseq_encoding, fairseq_latent, gradients


def posterior(size=6, latent_dim=3):
    return DiagonalGaussian(torch.randn(size, latent_dim), torch.randn(size, latent_dim))


def quadratic(z):
    """A score that a loop can repeat."""
    return (z - 0.3).square().sum(-1)


def never(z):
    raise AssertionError("scored")


# --- the choice ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_latents", [2, 5, 20])
def test_best_equals_a_python_loop(random, num_latents):
    latent = posterior()
    torch.manual_seed(3)
    chosen_noise, chosen = choose_noise(latent, num_latents, "best", quadratic)
    torch.manual_seed(3)
    noise = torch.randn(num_latents, 6, 3)
    for b in range(6):
        scores = [quadratic(latent[b].mean + latent[b].stddev * noise[k, b]).item() for k in range(num_latents)]
        assert chosen[b] == scores.index(min(scores))
        assert torch.equal(chosen_noise[b], noise[chosen[b], b])


def test_best_is_never_worse_than_any_sample(random):
    latent = posterior()
    torch.manual_seed(3)
    chosen_noise, _ = choose_noise(latent, 5, "best", quadratic)
    torch.manual_seed(3)
    scores = torch.stack([quadratic(latent.rsample(sample)) for sample in torch.randn(5, 6, 3)])
    assert (quadratic(latent.rsample(chosen_noise)) <= scores).all()


@pytest.mark.parametrize("reduce", ["best", "mean"])
def test_one_latent_is_never_scored_and_uses_the_same_random_numbers(random, reduce):
    latent = posterior()
    torch.manual_seed(3)
    noise, chosen = choose_noise(latent, 1, reduce, never)
    after = torch.randn(2)
    torch.manual_seed(3)
    assert torch.equal(noise, torch.randn(6, 3)) and chosen is None
    assert torch.equal(after, torch.randn(2))


def test_mean_is_the_mean_of_the_latents(random):
    latent = posterior()
    torch.manual_seed(3)
    noise, chosen = choose_noise(latent, 5, "mean", never)
    torch.manual_seed(3)
    latents = torch.stack([latent.rsample(sample) for sample in torch.randn(5, 6, 3)])
    torch.testing.assert_close(latent.rsample(noise), latents.mean(0))
    assert chosen is None


def test_scoring_runs_without_gradient(random):
    mean = torch.zeros(4, 2, requires_grad=True)

    def score(z):
        assert not torch.is_grad_enabled() and not z.requires_grad
        return quadratic(z)

    choose_noise(DiagonalGaussian(mean, torch.zeros(4, 2)), 3, "best", score)


def test_other_reductions_are_refused():
    with pytest.raises(ValueError, match="neither best, importance nor mean"):
        choose_noise(posterior(), 2, "worst", quadratic)


# --- scoring ---------------------------------------------------------------------------------------------------------

ROWS, WORDS = TILE["cpu"]
SHAPES = [(1, 5), (7, 50), (ROWS, WORDS), (ROWS + 3, WORDS + 5), (2 * ROWS + 1, 11)]


def random_projection(rows, words, width=16, scale=1.0):
    return torch.randn(rows, width), scale * torch.randn(words, width), torch.randint(words, (rows,))


@pytest.mark.parametrize("rows, words", SHAPES)
def test_scores_equal_cross_entropy(random, rows, words):
    hidden, weight, target = random_projection(rows, words)
    expected = F.cross_entropy((hidden.double() @ weight.double().T), target, reduction="none")
    found = VocabularyScorer(weight, target)(hidden)
    torch.testing.assert_close(found, expected.float(), rtol=1e-5, atol=2e-5)


def test_scores_of_several_latents_are_those_of_each(random):
    hidden, weight, target = random_projection(ROWS - 7, WORDS + 5)
    several = torch.stack([hidden, 2 * hidden, -hidden])
    score = VocabularyScorer(weight, target)
    torch.testing.assert_close(score(several), torch.stack([score(one) for one in several]))


def test_a_later_tile_may_hold_far_larger_logits(random):
    """e^88 is the largest float32: relative to the first tile's best word, others would overflow."""
    hidden, weight, target = random_projection(9, WORDS + 30)
    weight[WORDS + 7] = 40 * hidden[0]
    expected = F.cross_entropy((hidden.double() @ weight.double().T), target, reduction="none")
    assert expected.max() > 200
    torch.testing.assert_close(VocabularyScorer(weight, target)(hidden), expected.float(), rtol=1e-5, atol=1e-4)


def test_scores_in_bfloat16_are_close(random):
    hidden, weight, target = random_projection(700, 5000, scale=0.3)
    exact = VocabularyScorer(weight, target)(hidden)
    rough = VocabularyScorer(weight, target, torch.bfloat16)(hidden)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=0.01, atol=0.02)


def test_scores_of_nothing():
    score = VocabularyScorer(torch.zeros(6, 4), torch.zeros(0, dtype=torch.long))
    assert score(torch.zeros(0, 4)).shape == (0,)


# --- a sample of the words -------------------------------------------------------------------------------------------


def test_a_sample_of_the_words_equals_the_sum_it_stands_for(random, monkeypatch):
    """Target + head + factor * sample, the target once: by a loop over words."""
    hidden, weight, target = random_projection(40, 300, scale=0.5)
    order = torch.randperm(250)
    monkeypatch.setattr(torch, "randperm", lambda count, device=None: order[:count] if count == 250 else None)
    found = VocabularyScorer(weight, target, words=100)(hidden)
    counted = torch.cat([torch.ones(50), torch.zeros(250)])
    counted[50 + order[:50]] = 250 / 50
    logits = (hidden @ weight.T).double()
    for row, word in enumerate(target.tolist()):
        weights = counted.clone()
        weights[word] = 1
        expected = (weights * logits[row].exp()).sum().log() - logits[row, word]
        assert found[row].item() == pytest.approx(expected.item(), abs=1e-4)
    assert len({counted[word].item() for word in target.tolist()}) == 3  # in the head, in the sample, left out


def test_a_sample_estimates_the_sum_over_all_words(random):
    hidden, weight, target = random_projection(200, 2000, scale=0.3)
    exact = VocabularyScorer(weight, target)(hidden)
    estimates = torch.stack([VocabularyScorer(weight, target, words=600)(hidden) for _ in range(60)])
    assert (estimates.mean(0) - exact).abs().mean() < 0.02
    assert 0.005 < estimates.std(0).mean() < 0.2


@pytest.mark.parametrize("words", [50, 51, 4000])
def test_as_many_words_as_there_are_is_all_of_them(random, words):
    hidden, weight, target = random_projection(7, 50)
    expected = VocabularyScorer(weight, target)(hidden)
    assert torch.equal(VocabularyScorer(weight, target, words=words)(hidden), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("margin", [0.0, 20.0, 300.0])
def test_a_target_that_outweighs_all_other_words_counts_once(random, dtype, margin):
    """In the head, in the sample, in neither: never weighted up, never an infinity, never far below 0."""
    hidden, weight, _ = random_projection(300, 500, width=64, scale=0.1)
    target = torch.arange(300) + 100  # 200 words are outside the head of 30 in any case
    weight[target] += margin * hidden / hidden.square().sum(1, keepdim=True)
    nll = VocabularyScorer(weight, target, dtype, words=60)(hidden)
    exact = VocabularyScorer(weight, target)(hidden)
    assert nll.isfinite().all()
    if margin:
        torch.testing.assert_close(nll, exact, rtol=0, atol=0.005)
    else:
        assert (nll - exact).abs().mean() < 0.4


# --- the whole model -------------------------------------------------------------------------------------------------


def plain_best_of_k(model, sample, num_latents, label_smoothing):
    """All K samples decoded with gradient, then argmin, as the authors' code of Sato et al. (2021) does."""
    net_input, target = sample["net_input"], sample["target"]
    context = fairseq_encoding(model, net_input["src_tokens"])
    prior = fairseq_latent(model, context)
    latent = fairseq_latent(model, context, fairseq_encoding(model, net_input["prev_output_tokens"]))
    states, _ = model.decoder.extract_features(net_input["prev_output_tokens"], context)
    real = target.ne(model.decoder.padding_idx).float()
    unsmoothed, smoothed, latents = [], [], []
    for noise in torch.randn(num_latents, *latent.mean.shape):
        z = latent.mean + (0.5 * latent.logvar).exp() * noise
        z.retain_grad()
        joined = torch.cat([states, z.unsqueeze(1).expand(-1, states.size(1), -1)], dim=-1)
        hidden = F.leaky_relu(joined @ model.decoder.fusion.linear.weight.T)
        log_probs = (hidden @ model.decoder.embed_tokens.weight.T).log_softmax(-1)
        nll = -log_probs.gather(-1, target.unsqueeze(-1)).squeeze(-1)
        unsmoothed.append((nll * real).sum(1))
        uniform = -log_probs.mean(-1)
        smoothed.append((((1 - label_smoothing) * nll + label_smoothing * uniform) * real).sum(1))
        latents.append(z)
    chosen = torch.stack(unsmoothed).argmin(0)
    best = torch.stack(smoothed).gather(0, chosen.unsqueeze(0))[0]
    kl = (
        torch.distributions.kl_divergence(
            torch.distributions.Normal(latent.mean, (0.5 * latent.logvar).exp()),
            torch.distributions.Normal(prior.mean, (0.5 * prior.logvar).exp()),
        )
    ).sum(-1)
    return chosen, (best + kl).sum(), latents


@pytest.mark.parametrize("num_latents, seed", [(2, 4), (5, 1), (5, 2), (10, 3)])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_choice_and_gradients_equal_a_plain_implementation(task, num_latents, seed, label_smoothing):
    torch.manual_seed(seed)
    model = build_model(task, **NO_DROPOUT)
    with torch.no_grad():  # a latent that matters, so that the choice does
        model.decoder.fusion.linear.weight.mul_(3)
    criterion = build_criterion(task, "speculative_elbo", k=num_latents, label_smoothing=label_smoothing)
    sample = batch(task, seed=seed)
    model.train(), criterion.train()

    torch.manual_seed(100 + seed)
    loss, _, _ = criterion(model, sample)
    loss.backward()
    ours = gradients(model)
    torch.manual_seed(100 + seed)
    with torch.no_grad():
        _, extra = model(**sample["net_input"], target=sample["target"], num_latents=num_latents)

    model.zero_grad()
    torch.manual_seed(100 + seed)
    chosen, plain_loss, latents = plain_best_of_k(model, sample, num_latents, label_smoothing)
    plain_loss.backward()
    assert extra["latent"].chosen.tolist() == chosen.tolist()
    assert len(set(chosen.tolist())) > 1
    torch.testing.assert_close(loss, plain_loss)
    torch.testing.assert_close(ours, gradients(model), rtol=1e-4, atol=1e-5)

    # only the winner gets a gradient, and the winner is the latent that our one pass decoded
    for k, z in enumerate(latents):
        moved = z.grad.abs().sum(1) > 0
        assert torch.equal(moved, chosen.eq(k))
    winners = torch.stack(latents)[chosen, torch.arange(len(chosen))]
    torch.testing.assert_close(extra["latent"].z, winners)


def test_the_decoder_body_runs_once_whatever_k(task, random, monkeypatch):
    model = build_model(task)
    calls = []
    for name in ("encoder_layer", "decoder_layer"):
        layer = getattr(latent_transformer, name)
        monkeypatch.setattr(
            latent_transformer, name, lambda *args, name=name, layer=layer: calls.append(name) or layer(*args)
        )
    sample = batch(task)
    model(**sample["net_input"], target=sample["target"], num_latents=20)
    assert calls == 2 * ["encoder_layer"] + 2 * ["decoder_layer"]  # two layers; context and response together


# --- memory ----------------------------------------------------------------------------------------------------------


def peak_and_largest(run) -> tuple[int, int]:
    """Most bytes alive at once, and the largest single allocation, while `run` ran."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        run()
    events = [event for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
    alive = peak = largest = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        alive += event.nbytes()
        peak, largest = max(peak, alive), max(largest, event.nbytes())
    return peak, largest


def response(target, width) -> PackedStates:
    packing = Packing(target.ne(1))
    return PackedStates(torch.randn(len(packing), width), packing)


def test_memory_does_not_grow_with_k(random):
    sentences, length, words, width, latent_dim = 64, 24, 6000, 16, 4
    target = torch.randint(4, words, (sentences, length))
    fusion, projection = LatentFusion(width, latent_dim, "leaky_relu"), torch.nn.Linear(width, words, bias=False)
    decoded = DecodedResponse(fusion, projection, response(target, width), target)
    latent = posterior(sentences, latent_dim)
    peaks = {}
    for num_latents in (2, 16):
        peaks[num_latents], largest = peak_and_largest(
            lambda k=num_latents: choose_noise(latent, k, "best", decoded.nll)
        )
        assert 0 < largest <= 4 * max(ROWS * WORDS, words * width)
        assert largest < 4 * sentences * length * words / 4  # nowhere near all logits, let alone K times them
    latents = 4 * 2 * sentences * latent_dim  # each sample's noise and z
    scores = 4 * 2 * sentences  # each sample's (B,), and their stack
    assert peaks[16] - peaks[2] <= 14 * (latents + 2 * scores)


def test_scoring_equals_the_logits_it_never_makes(random):
    target = torch.tensor([[4, 5, 2], [6, 2, 1]])
    fusion, projection = LatentFusion(8, 4, "leaky_relu"), torch.nn.Linear(8, 9, bias=False)
    decoded = DecodedResponse(fusion, projection, response(target, 8), target)
    z = torch.randn(3, 2, 4)
    for several, latent in zip(decoded.nll(z), z, strict=True):
        logits = decoded.logits(latent)
        assert logits.shape == (5, 9)  # pads are never projected
        expected = sum_by_sentence(token_nll(logits, target[target.ne(1)])[1], target.ne(1))
        torch.testing.assert_close(several, expected)
        torch.testing.assert_close(decoded.nll(latent), expected)
