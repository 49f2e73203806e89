"""Remedies against posterior collapse that are flags of the ELBO family, each against arithmetic of its own."""

import pytest
import torch

from fairseq_latent import losses

from ..helpers.tiny import NO_DROPOUT, batch, build_criterion, build_model

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
