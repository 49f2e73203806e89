"""`fairseq-latent latents`: what is counted, and what is left out."""

import json

import pytest

from fairseq_latent.cli import main

from . import corpus, programs


@pytest.fixture(scope="module")
def checkpoint(data_bin, tmp_path_factory):
    """A tiny model after five updates."""
    folder = tmp_path_factory.mktemp("run")
    programs.fit(data_bin, folder)
    return folder / "checkpoint_last.pt"


@pytest.fixture(scope="module")
def with_long_pairs(data_bin, binarise, tmp_path_factory):
    """The same data, but that two of the 21 validation contexts have more words than the model has positions, 1024."""
    folder = corpus.write_splits(tmp_path_factory.mktemp("long"))
    lines = (folder / "valid.src").read_text(encoding="utf-8").splitlines()
    lines[0] = lines[7] = " ".join(["tea"] * 1100)
    (folder / "valid.src").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return binarise(folder, "--srcdict", data_bin / "dict.src.txt")


def latents(data, checkpoint, *flags):
    return main(["latents", str(data), "--path", str(checkpoint), "--cpu", *flags])


def test_pairs_that_are_too_long_are_counted_and_said(with_long_pairs, checkpoint, capfd):
    assert latents(with_long_pairs, checkpoint, "--format", "json") == 0
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert found["sentences"] == 19
    assert found["signature"].endswith("|too-long:2")
    assert "valid: 2 of 21 pairs are too long for the model and left out" in err.splitlines()


def test_where_all_pairs_fit_nothing_is_said(data_bin, checkpoint, capfd):
    assert latents(data_bin, checkpoint) == 0
    out, err = capfd.readouterr()
    assert out.rstrip().endswith("|too-long:0")
    assert "too long" not in err
