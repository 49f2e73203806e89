"""`fairseq-latent plot walk`: each latent on the way is decoded as it is, and what is refused."""

from types import SimpleNamespace

import pytest
import torch

from fairseq_latent.cli import main
from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.analysis.checkpoint import load
from fairseq_latent.evaluation.analysis.interpolation import sentence_of, walk
from tests.helpers import programs


@pytest.fixture(scope="module")
def checkpoint(data_bin, tmp_path_factory):
    """A model whose latent matters a little."""
    folder = tmp_path_factory.mktemp("run")
    flags = ("--max-update", "8", "--kl-weight", "0", "--lr", "0.02", "--disable-validation", "--no-epoch-checkpoints")
    programs.fit(data_bin, folder, *flags)
    return folder / "checkpoint_last.pt"


def test_each_latent_on_the_way_is_decoded_as_it_is(data_bin, checkpoint):
    trained = load(checkpoint, data_bin, "test", cpu=True)
    model, task = trained.model, trained.task
    found = walk(trained, 2, 5, 3, 1, 7, lambda texts: torch.eye(4)[:, :2].numpy() + 1.0)
    own, dataset = trained.examples([2]), task.dataset("test")
    mixed = dataset.collater([{**dataset[2], "target": dataset[5]["target"]}])
    ends, costs = [], []
    for batch in (own, mixed):
        inputs = batch["net_input"]
        with torch.no_grad():
            _, posterior, decoded = model.distributions(
                inputs["src_tokens"], inputs["prev_output_tokens"], batch["target"]
            )
        ends.append(posterior.mean)
        costs.append(decoded)
    words, forbidden = task.target_dictionary, task.restrictions([model])[0]
    for share, step in zip((0.0, 0.5, 1.0), found.steps, strict=True):
        z = torch.lerp(*ends, share)
        assert step.share == share
        assert step.nll == pytest.approx(costs[0].nll(z).item(), rel=1e-4)
        assert step.other_nll == pytest.approx(costs[1].nll(z).item(), rel=1e-4)
        with torch.no_grad():
            encoded = {**model.encoder(own["net_input"]["src_tokens"], latent_mean=True), "latent": [z]}
            tokens = [words.eos()]
            while len(tokens) <= 8:
                scores = model.decoder(torch.tensor([tokens]), encoder_out=encoded)[0][0, -1]
                scores[[words.pad(), *forbidden, *([] if len(tokens) > 1 else [words.eos()])]] = -torch.inf
                tokens.append(int(scores.argmax()) if len(tokens) < 8 else words.eos())
                if tokens[-1] == words.eos():
                    break
        assert step.reply == sentence_of(task, torch.tensor(tokens[1:-1]))
    assert found.steps[0].nll != found.steps[2].nll
    # (2, 1) against (1, 2), (1, 1), (1, 1)
    assert [step.relevance for step in found.steps] == pytest.approx([4 / 5, 3 / 10**0.5, 3 / 10**0.5])
    assert (found.context, found.reply, found.other) == (*trained.texts(2), trained.texts(5)[1])


def test_a_picture_is_written_and_the_steps_are_printed(data_bin, checkpoint, tmp_path, capsys):
    flags = ("--path", str(checkpoint), "--cpu", "--steps", "2", "--max-length", "4")
    assert main(["plot", "walk", str(data_bin), *flags, "--out", str(tmp_path / "walk.png")]) == 0
    out = capsys.readouterr().out
    assert "own nats" in out and "relevance" not in out and out.startswith("context: ")
    assert (tmp_path / "walk.png").read_bytes().startswith(b"\x89PNG")
    for more, message in (
        (("--to", "0"), "the same reply"),
        (("--to", "99"), "no example 99"),
        (("--steps", "1"), "2 or"),
    ):
        assert main(["plot", "walk", str(data_bin), *flags, *more, "--out", str(tmp_path / "x.png")]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize(
    "task, model, message",
    [
        ({}, {"latent_dim": 3, "posterior_inputs": ("partner_tokens",)}, "a latent of profiles, not of replies"),
        ({}, {"latent_dim": 0, "posterior_inputs": ()}, "no latent, not of replies"),
        ({"reads_context": False}, {}, "remedy: fairseq-latent interpolate"),
    ],
)
def test_models_without_a_latent_of_replies_are_refused(task, model, message):
    trained = SimpleNamespace(task=SimpleNamespace(**task), model=SimpleNamespace(**model))
    with pytest.raises(InputError, match=message):
        walk(trained, 0, 1, 2, 1, 4)
