"""`fairseq-latent interpolate`: from one sentence to another, each latent decoded as it is; what it refuses."""

import pytest
import torch

from fairseq_latent.cli import main
from fairseq_latent.evaluation.analysis.checkpoint import load
from fairseq_latent.evaluation.analysis.interpolation import ends_of, interpolate
from tests.helpers import programs


@pytest.fixture(scope="module")
def trained(sentences_bin, tmp_path_factory):
    """A sentence VAE that has learnt a little: enough that different latents are different sentences."""
    folder = tmp_path_factory.mktemp("run")
    size = ("--embed-dim", "16", "--hidden-dim", "64", "--latent-dim", "16", "--bidirectional")
    budget = (
        "--max-update",
        "120",
        "--lr",
        "0.01",
        "--batch-size",
        "16",
        "--kl-weight",
        "0.005",
        "--disable-validation",
    )
    quiet = ("--dropout-in", "0", "--dropout-out", "0", "--no-epoch-checkpoints", "--task", "text_vae")
    programs.fit(sentences_bin, folder, *size, *budget, *quiet, arch="gru_vae_tiny")
    return folder / "checkpoint_last.pt"


def run(data, checkpoint, *flags):
    return main(["interpolate", str(data), "--path", str(checkpoint), "--cpu", *map(str, flags)])


def test_each_latent_is_decoded_as_it_is(sentences_bin, trained, monkeypatch):
    """The ends are posterior means, those between lie on the line; greedy words are those of a search by hand."""
    model = load(trained, sentences_bin, "valid", cpu=True)
    ends = ends_of(model, [3, 8], None)
    mean = model.model.encoder.posterior(ends["src_tokens"]).mean.detach()
    words = model.task.dictionary
    found = interpolate(model, ends, 5, 1, 9)
    assert [share for share, _ in found] == [0.0, 0.25, 0.5, 0.75, 1.0]
    for share, sentence in found:
        z, tokens = ((1 - share) * mean[0] + share * mean[1]).unsqueeze(0), [words.eos()]
        while len(tokens) <= 10:
            scores = model.model.decoder(torch.tensor([tokens]), encoder_out={"latent": [z]})[0][0, -1]
            scores[[words.pad(), *([] if len(tokens) > 1 else [words.eos()])]] = -torch.inf
            tokens.append(int(scores.argmax()) if len(tokens) < 10 else words.eos())
            if tokens[-1] == words.eos():
                break
        assert sentence == words.string(torch.tensor(tokens))
    assert len({sentence for _, sentence in found}) > 1


def test_examples_keep_their_order_and_texts_are_examples(sentences_bin, trained, capsys):
    """Batches are sorted by length: the first end must stay the first."""
    lines = {}
    for pair in ((3, 8), (8, 3)):
        assert run(sentences_bin, trained, "--example", *pair, "--steps", 3) == 0
        lines[pair] = capsys.readouterr().out.splitlines()
    there, back = ([line.split("\t") for line in lines[pair]] for pair in lines)
    assert [name for name, _ in there] == ["from", "0.00", "0.50", "1.00", "to"]
    assert [text for _, text in there] == [text for _, text in reversed(back)]
    assert run(sentences_bin, trained, "--text", there[0][1], there[-1][1], "--steps", 3) == 0
    assert capsys.readouterr().out.splitlines() == lines[(3, 8)]
    assert run(sentences_bin, trained, "--example", 4, 4, "--steps", 2) == 0
    same = capsys.readouterr().out.splitlines()
    assert same[1].split("\t")[1] == same[2].split("\t")[1]


def test_pads_are_no_words(sentences_bin, trained, capsys):
    assert run(sentences_bin, trained, "--text", "yes", "no no no no", "--steps", 2) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert "<pad>" not in str(lines) and len(lines[0][1].split()) == 1 and len(lines[-1][1].split()) == 4


def test_what_is_refused_is_one_line(sentences_bin, data_bin, trained, tmp_path, capsys):
    programs.fit(data_bin, tmp_path, "--max-update", "1", "--disable-validation")
    for data, checkpoint, flags, said in (
        (sentences_bin, trained, ("--example", 0, 999), "valid has no example 999"),
        (sentences_bin, trained, ("--example", 0, 1, "--steps", 1), "--steps 1; remedy: 2 or more"),
        (sentences_bin, trained, ("--text", "yes", " "), "one has 0 words, the model takes 1 to 255"),
        (sentences_bin, trained, ("--text", "yes", "no " * 300), "one has 300 words"),
        (data_bin, tmp_path / "checkpoint_last.pt", ("--example", 0, 1), "no sentence VAE"),
    ):
        assert run(data, checkpoint, *flags) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("error: ") and said in err and "remedy: " in err and err.count("\n") == 1
