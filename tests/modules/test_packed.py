"""Layers over real tokens alone give what fairseq's own give with pads, states and gradients."""

import pytest
import torch
import torch.nn.functional as F

from fairseq_latent.modules import packed
from fairseq_latent.modules.packed import Packing

from ..helpers.tiny import NO_DROPOUT, batch, build_model, fairseq_encoding, gradients, widened

MASK = torch.tensor([[0, 1, 1], [1, 1, 1], [0, 0, 1]]).bool()


def test_packing_and_padding_undo_each_other(random):
    padded = torch.randn(3, 3, 4)
    packing = Packing(MASK)
    packed = packing.pack(padded)
    assert len(packing) == 6 and packed.shape == (6, 4)
    assert torch.equal(packed, padded[MASK])
    assert torch.equal(packing.pad(packed), padded * MASK.unsqueeze(-1))
    assert torch.equal(packing.pad(packed, 7.0)[~MASK], torch.full((3, 4), 7.0))


def test_what_a_position_may_attend_to():
    packing = Packing(MASK)
    assert packing.keys.shape == (3, 1, 1, 3) and torch.equal(packing.keys[:, 0, 0], MASK)
    for b in range(3):
        for query in range(3):
            for key in range(3):
                assert packing.past[b, 0, query, key] == (MASK[b, key] and key <= query)


def test_one_pass_over_contexts_and_responses_equals_fairseqs_two(task):
    model, sample = build_model(task).eval(), batch(task)
    tokens = [sample["net_input"][name] for name in ("src_tokens", "prev_output_tokens")]
    found = model.encoder.encode(*((each, Packing(each.ne(1))) for each in tokens))
    for each, ours in zip(tokens, found, strict=True):
        expected = fairseq_encoding(model, each)["encoder_out"][0].transpose(0, 1)
        torch.testing.assert_close(ours.states, expected[each.ne(1)])


@pytest.mark.parametrize("left", [0, 2])
def test_decoding_equals_fairseqs(task, left):
    """Also with pads before the response (--left-pad-target): a pad that may attend to nothing must not give NaN."""
    model, sample = build_model(task, **NO_DROPOUT), widened(task, batch(task))
    tokens, previous = sample["net_input"]["src_tokens"], sample["net_input"]["prev_output_tokens"]
    target = sample["target"]
    if left:
        previous, target = (F.pad(side, (left, 0), value=1) for side in (previous, target))
    _, _, decoded = model.distributions(tokens, previous, target)
    (decoded.states.square().sum()).backward()
    ours = gradients(model)
    model.zero_grad()
    states, _ = model.decoder.extract_features(previous, fairseq_encoding(model, tokens))
    expected = model.decoder.fusion.of_states(states)[target.ne(1)]
    expected.square().sum().backward()
    torch.testing.assert_close(decoded.states, expected)
    torch.testing.assert_close(ours, gradients(model), rtol=1e-4, atol=1e-4)
    assert all(gradient.isfinite().all() for gradient in ours.values())


@pytest.mark.parametrize("name", ["dropout", "attention_dropout", "activation_dropout"])
def test_each_dropout_acts_in_training_alone(task, name):
    model, sample = build_model(task, **{**NO_DROPOUT, name: 0.5}), batch(task)

    def states(training, seed):
        torch.manual_seed(seed)
        model.train(training)
        net_input = sample["net_input"]
        return model.distributions(net_input["src_tokens"], net_input["prev_output_tokens"], sample["target"])[2].states

    assert torch.equal(states(False, 1), states(False, 2))
    assert torch.equal(states(True, 1), states(True, 1))
    assert not torch.allclose(states(True, 1), states(True, 2))
    assert not torch.allclose(states(True, 1), states(False, 1))


def test_dropout_that_is_to_be_retained_acts_in_decoding(task):
    """fairseq-generate --retain-dropout."""
    model, sample = build_model(task, **{**NO_DROPOUT, "attention_dropout": 0.5}).eval(), batch(task)
    tokens = sample["net_input"]["src_tokens"]

    def states(seed):
        torch.manual_seed(seed)
        return model.encoder.encode((tokens, Packing(tokens.ne(1))))[0].states

    assert torch.equal(states(1), states(2))
    model.make_generation_fast_(retain_dropout=True)
    assert not torch.allclose(states(1), states(2))


def test_work_does_not_grow_with_pads(task):
    """Rows of the feed-forward layers: as many as there are tokens."""
    model, sample = build_model(task), batch(task)
    rows = []
    for layer in (model.encoder.layers[0], model.decoder.layers[0]):
        layer.final_layer_norm.register_forward_hook(lambda module, args, out: rows.append(out.size(0)))
    model(**widened(task, sample)["net_input"], target=widened(task, sample)["target"])
    context, response = sample["net_input"]["src_tokens"].ne(1).sum(), sample["target"].ne(1).sum()
    assert rows == [context + response, response]


def test_autocast_on_a_cpu_rounds_rows_that_nobody_reads(task, monkeypatch):
    """States, loss and gradients are those without the added rows."""
    found = []
    for rounded in (1, 64):
        monkeypatch.setattr(packed, "ROUNDED", rounded)
        torch.manual_seed(1)
        model, sample = build_model(task, **NO_DROPOUT), batch(task)
        with torch.autocast("cpu", torch.bfloat16):
            packing = Packing(sample["target"].ne(1))
            logits, extra = model(**sample["net_input"], target=sample["target"])
        assert len(packing) % rounded == 0 and len(packing.real(packing.pack(sample["target"]))) == len(logits)
        (logits.float().square().sum() + extra["latent"].posterior.kl(extra["latent"].prior).sum()).backward()
        found.append((logits, gradients(model)))
    torch.testing.assert_close(*found, rtol=0.02, atol=0.02)
