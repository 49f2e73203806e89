"""The lexical model: what it computes, packed and padded, and what it does to the words of a context."""

import math

import fairseq  # noqa: F401  first: it registers the plugin, whose parts import each other
import pytest
import torch
from fairseq.modules.fairseq_dropout import FairseqDropout

from fairseq_latent.losses import sequence_nll
from fairseq_latent.modules.lexical_model import LexicalModel
from fairseq_latent.modules.packed import PackedStates, Packing

from ..helpers.tiny import NO_DROPOUT, batch, build_model

ARCHS = ("t_cvae_tiny", "t_spacefusion_tiny")


def with_lexical_model(task, arch="t_cvae_tiny", **flags):
    return build_model(task, arch, lexical_model=True, **NO_DROPOUT, **flags)


def test_it_is_attention_over_words_through_a_map():
    """One response of two tokens, one context of three, by loops."""
    torch.manual_seed(1)
    lexical = LexicalModel(4, FairseqDropout(0.0))
    torch.nn.init.normal_(lexical.word.weight)
    states, context, words = torch.randn(1, 2, 4), torch.randn(1, 3, 4), torch.randn(1, 3, 4)
    found = lexical(states, context, words, torch.ones(1, 3, dtype=torch.bool))
    of_query, of_key, of_word = (part.weight.detach() for part in (lexical.query, lexical.key, lexical.word))
    for place in range(2):
        query = of_query @ states[0, place]
        weights = [math.exp(float(query @ (of_key @ context[0, at])) / math.sqrt(4)) for at in range(3)]
        mean = sum(weight / sum(weights) * words[0, at] for at, weight in enumerate(weights))
        torch.testing.assert_close(found[0, place], of_word @ mean)


def test_its_map_starts_as_the_identity():
    assert torch.equal(LexicalModel(4, FairseqDropout(0.0)).word.weight, torch.eye(4))


def test_packed_it_computes_the_same_and_sees_no_pads():
    torch.manual_seed(1)
    lexical = LexicalModel(8, FairseqDropout(0.0))
    of_response = Packing(torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]], dtype=torch.bool))
    of_context = Packing(torch.tensor([[0, 1, 1], [0, 0, 1]], dtype=torch.bool))  # contexts are padded on the left
    states, context, words = torch.randn(2, 4, 8), torch.randn(2, 3, 8), torch.randn(2, 3, 8)
    padded = lexical(states, context, words, of_context.mask)
    found = lexical.packed(
        of_response.pack(states),
        of_response,
        PackedStates(of_context.pack(context), of_context),
        of_context.pack(words),
    )
    torch.testing.assert_close(found, of_response.pack(padded))


@pytest.mark.parametrize("arch", ARCHS)
def test_words_of_the_context_are_likelier_from_the_start(task, arch):
    """Identity and tied embeddings: the same untrained model without its lexical model gives them less."""
    gained = []
    for seed in range(5):
        torch.manual_seed(seed)
        model, sample = with_lexical_model(task, arch).eval(), batch(task, seed=seed)
        with torch.no_grad():
            own, _ = model(**sample["net_input"])
            model.decoder.lexical = None
            without, _ = model(**sample["net_input"])
        more = own.softmax(-1) - without.softmax(-1)  # (B, T, V)
        for row, context in zip(more, sample["net_input"]["src_tokens"], strict=True):
            gained.append(row[:, context[context.ne(task.target_dictionary.pad())].unique()].sum(-1).mean())
    assert torch.stack(gained).mean() > 0.05


@pytest.mark.parametrize("arch", ARCHS)
def test_k_latents_are_scored_by_what_is_trained(task, arch):
    """`nll` makes no logits; they agree, for every latent."""
    model, sample = with_lexical_model(task, arch).eval(), batch(task)
    inputs, target = sample["net_input"], sample["target"]
    with torch.no_grad():
        decoded = model.distributions(inputs["src_tokens"], inputs["prev_output_tokens"], target)[2]
        latents = torch.randn(3, len(target), model.latent_dim)
        scores = decoded.nll(latents)
        for z, score in zip(latents, scores, strict=True):
            torch.testing.assert_close(score, sequence_nll(decoded.logits(z), target, 1)[1], rtol=1e-4, atol=1e-4)


def test_training_and_decoding_compute_the_same_logits(task):
    """With a latent of the prior, in fairseq's decoder and in the packed one."""
    model, sample = with_lexical_model(task).eval(), batch(task)
    inputs, target = sample["net_input"], sample["target"]
    with torch.no_grad():
        logits, _ = model(**inputs)
        z = model.encoder(inputs["src_tokens"], inputs["src_lengths"], inputs["noise_seed"])["latent"][0]
        decoded = model.distributions(inputs["src_tokens"], inputs["prev_output_tokens"], target)[2]
        torch.testing.assert_close(decoded.logits(z), logits[target.ne(1)], rtol=1e-4, atol=1e-4)


def test_it_is_trained_and_is_no_part_of_a_model_without(task):
    model, sample = with_lexical_model(task), batch(task)
    logits, _ = model(**sample["net_input"], target=sample["target"])
    logits.logsumexp(-1).sum().backward()
    for linear in (model.decoder.lexical.query, model.decoder.lexical.key, model.decoder.lexical.word):
        assert linear.weight.grad.abs().max() > 0
    assert not any("lexical" in name for name in build_model(task).state_dict())
