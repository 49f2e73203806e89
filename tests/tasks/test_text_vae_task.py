"""Task `text_vae` through the real programs: train, validate, reconstruct, sample; what its data may not be."""

import json
import logging

import pytest
import torch
from fairseq.data import data_utils

from fairseq_latent.cli import main
from fairseq_latent.compat.error_messages import translate
from fairseq_latent.errors import InputError
from fairseq_latent.tasks.text_vae import TextVAEConfig, TextVAETask

from ..helpers import programs
from ..helpers.tiny import build_criterion, build_model, sentence_batch

TASK = ("--task", "text_vae")
SHORT = ("--max-len-a", "0", "--max-len-b", "8")


def fit(data, folder, *flags, criterion="elbo"):
    return programs.fit(data, folder, *TASK, *flags, arch="gru_vae_tiny", criterion=criterion)


def decode(data, checkpoint, *flags):
    return programs.decode(data, checkpoint, *TASK, *SHORT, *flags)


@pytest.fixture(scope="module")
def trained(sentences_bin, tmp_path_factory):
    """A model that has learnt what its sentences say: 50 epochs of the tiny corpus at a small KL weight."""
    folder = tmp_path_factory.mktemp("trained")
    size = ("--embed-dim", "16", "--hidden-dim", "64", "--latent-dim", "16", "--bidirectional")
    budget = ("--max-update", "400", "--lr", "0.01", "--batch-size", "16", "--kl-weight", "0.005")
    quiet = ("--dropout-in", "0", "--dropout-out", "0", "--validate-interval", "50", "--no-epoch-checkpoints")
    fit(sentences_bin, folder, *size, *budget, *quiet)
    return folder / "checkpoint_last.pt"


def references(printed) -> dict[str, str]:
    lines = [line.split("\t") for line in printed.text.splitlines() if line.startswith("T-")]
    return {name.removeprefix("T-"): words for name, words in lines}


# --- the real programs -----------------------------------------------------------------------------------------------


def test_the_mean_latent_gives_the_sentence_back(sentences_bin, trained):
    printed = decode(sentences_bin, trained, "--latent", "mean", "--beam", "3")
    expected, found = references(printed), printed.hypotheses()
    assert len(expected) == 21
    right = sum(found[name][0] == words for name, words in expected.items())
    assert right >= 19, f"{right} of 21 sentences came back"


def test_samples_of_the_prior_are_sentences_of_the_corpus(sentences_bin, trained, text):
    """Not the sentence's own: N(0, I) knows nothing of it; the first of several latents is the one of one."""
    flags = ("--decode-from", "prior", "--beam", "1")
    one = decode(sentences_bin, trained, *flags).hypotheses()
    printed = decode(sentences_bin, trained, *flags, "--latent-samples", "3")
    several = printed.hypotheses()
    assert {name: found[0] for name, found in several.items()} == {name: found[0] for name, found in one.items()}
    own = sum(one[name][0] == words for name, words in references(printed).items())
    assert own <= 8  # 40 sentences, equally likely
    assert len({words for found in several.values() for words in found}) > 10
    known = set((text / "train.tgt").read_text(encoding="utf-8").split())
    assert all(word in known for found in several.values() for words in found for word in words.split())
    sampled = decode(sentences_bin, trained, "--decode-from", "prior", "--sampling", "--beam", "1", "--nbest", "1")
    assert len(sampled.hypotheses()) == 21


def test_sentences_do_not_depend_on_the_batch(sentences_bin, trained):
    whole = decode(sentences_bin, trained, "--beam", "2", "--batch-size", "21").hypotheses()
    assert whole == decode(sentences_bin, trained, "--beam", "2", "--batch-size", "4").hypotheses()


def test_interactive_reconstructs_a_sentence(sentences_bin, trained):
    flags = (*programs.PLUG_IN, *TASK, "--path", trained, "--cpu", *SHORT, "--latent", "mean")
    printed = programs.run("fairseq-interactive", sentences_bin, *flags, stdin="yes , i love chess\n")
    assert printed.hypotheses()["0"] == ["yes , i love chess"]


def test_validation_and_latents_agree(sentences_bin, trained, capsys):
    """One posterior sample a sentence with the same noise: the same numbers from both commands."""
    validated = programs.run(
        "fairseq-validate", sentences_bin, *programs.PLUG_IN, *TASK, "--path", trained, "--cpu", "--batch-size", "21",
        "--required-batch-size-multiple", "1", "--num-workers", "0", "--log-format", "json",
    ).numbers("valid")[-1]  # fmt: skip
    flags = ("--path", str(trained), "--cpu", "--importance-samples", "40")
    assert main(["latents", str(sentences_bin), *flags, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for name in ("kl", "mi", "rec_ppl", "elbo_ppl", "au"):
        assert found[name] == pytest.approx(validated[name], rel=1e-3), name
    assert found["rec_ppl"] < found["iw_ppl"] < found["elbo_ppl"] and found["au"] > 0
    assert main(["latents", str(sentences_bin), *flags, "--format", "latex"]) == 0
    assert capsys.readouterr().out.startswith("\\begin{tabular}")


# --- every remedy ----------------------------------------------------------------------------------------------------

MIX = (
    *("--k", "3", "--kl-schedule", "cyclical", "--kl-cycle", "4", "--kl-weight", "0.5", "--free-bits", "0.1"),
    *("--bow-weight", "0.7", "--bow-target", "tokens", "--bow-hidden-dim", "5", "--label-smoothing", "0.1"),
    *("--podi-weight", "2", "--podi-form", "auto", "--selection-dtype", "bfloat16", "--selection-words", "8"),
    *("--autocast", "bfloat16", "--loss-scale", "released", "--word-dropout", "0.2", "--bidirectional"),
)


@pytest.mark.parametrize("criterion", ["elbo", "bow_elbo", "mc_elbo", "speculative_elbo", "podi_elbo", "spacefusion"])
def test_every_criterion_trains_it(sentences_bin, tmp_path, criterion):
    printed = fit(sentences_bin, tmp_path, "--max-update", "3", criterion=criterion)
    validated = printed.numbers("valid")[-1]
    assert {"rec_ppl", "elbo_ppl", "kl", "au", "mi"} <= validated.keys()
    assert all(torch.isfinite(torch.tensor(n["loss"])) for n in (*printed.numbers("train_inner"), validated))


def test_remedies_mix(sentences_bin, tmp_path):
    trained = fit(sentences_bin, tmp_path, *MIX, "--no-save").numbers("train_inner")
    assert [numbers["kl_weight"] for numbers in trained] == [0, 0.25, 0.5, 0.5, 0]
    assert {"bow", "podi", "smoothed_nll", "nll", "kl"} <= trained[-1].keys()


@pytest.mark.parametrize("form", ["literal", "auto", "per_dim"])
def test_one_sentence_alone_has_nothing_to_be_kept_from(text_task, form, caplog):
    model = build_model(text_task, "gru_vae_tiny")
    criterion = build_criterion(text_task, "podi_elbo", podi_form=form)
    sample = sentence_batch(text_task, (4,))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            loss, _, log = criterion(model, sample)
            loss.backward()
            assert float(log["podi"]) == 0 and torch.isfinite(loss)
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    told = [record.getMessage() for record in caplog.records if "L_Po-di" in record.getMessage()]
    assert len(told) == 1 and "remedy: --batch-size" in told[0]


# --- data ------------------------------------------------------------------------------------------------------------


def config(data, **changes):
    resolved = {"seed": 1, "update_freq": [1], "dataset_impl": None, "train_subset": "train"}
    return TextVAEConfig(data=str(data), **{**resolved, **changes})


def binarised(folder, **splits):
    """Text of splits -> a folder of fairseq-preprocess --only-source."""
    folder.mkdir()
    for split, lines in splits.items():
        (folder / f"{split}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    flags = [f"--{split}pref={folder / split}.txt" for split in splits]
    programs.run("fairseq-preprocess", "--only-source", *flags, "--destdir", folder / "bin")
    return folder / "bin"


def test_a_sentence_stands_on_both_sides(sentences_bin):
    task = TextVAETask.setup_task(config(sentences_bin))
    task.load_dataset("valid")
    data = task.dataset("valid")
    batch = data.collater([data[index] for index in range(21)])
    net_input, target = batch["net_input"], batch["target"]
    assert torch.equal(net_input["src_tokens"], target)  # padded on the right, both
    assert net_input["prev_output_tokens"][:, 0].eq(task.dictionary.eos()).all()
    stored = data_utils.load_indexed_dataset(str(sentences_bin / "valid"), task.dictionary)
    for row, index in enumerate(batch["id"].tolist()):
        assert target[row][target[row].ne(1)].tolist() == stored[index].tolist()


def test_the_texts_own_unknown_is_the_dictionarys(tmp_path):
    data = binarised(tmp_path / "x", train=["tea <unk> tea", "<unk> tea"], valid=["tea water"])
    task = TextVAETask.setup_task(config(data))
    task.load_dataset("train")
    assert "<unk>" not in (data / "dict.txt").read_text().split()
    assert task.dataset("train")[0]["source"].tolist()[1] == task.dictionary.unk() == 3


def told(caplog):
    return [record.getMessage() for record in caplog.records if record.name.startswith("fairseq_latent")]


def test_words_that_nothing_stands_for_are_told_once(tmp_path, caplog):
    data = binarised(tmp_path / "x", train=["tea tea", "tea"], valid=["tea water"], test=["tea"])
    task = TextVAETask.setup_task(config(data))
    for split in ("valid", "train", "test", "valid"):
        task.load_dataset(split)
    (line,) = told(caplog)
    assert (
        f"{data}/valid has words that the dictionary lacks" in line
        and "remedy: fairseq-preprocess --thresholdsrc 2" in line
    )


def test_empty_lines_are_told(tmp_path, caplog):
    data = binarised(tmp_path / "x", train=["tea tea", "", "", "sea"], valid=["tea"])
    task = TextVAETask.setup_task(config(data))
    task.load_dataset("train")
    assert told(caplog) == [f"{data}/train: 2 of 4 lines are empty; remedy: leave them out of the text"]


def test_empty_lines_give_no_nan(tmp_path):
    data = binarised(tmp_path / "x", train=["tea tea", "", "", "sea"], valid=["", "tea", ""])
    printed = fit(data, tmp_path / "run", "--podi-weight", "1", "--podi-form", "literal", "--batch-size", "2")
    assert all(
        torch.isfinite(torch.tensor(n["loss"])) for n in (*printed.numbers("train_inner"), *printed.numbers("valid"))
    )


def test_a_sentence_that_is_too_long_is_one_line(tmp_path):
    data = binarised(tmp_path / "x", train=["tea tea", "sea " * 30, "sea"], valid=["tea", "sea " * 30])
    with pytest.raises(Exception) as error:
        fit(data, tmp_path / "run", "--max-sentence-length", "20")
    line = translate(error.value)
    assert "sample 1 has (31, 31) tokens, the model takes (20, 20)" in line and "--max-sentence-length" in line
    skipped = ("--skip-invalid-size-inputs-valid-test", "--max-sentence-length", "20")
    assert fit(data, tmp_path / "run", *skipped).numbers("valid")[-1]["loss"] > 0


def test_folders_of_other_data_are_refused(data_bin, tmp_path):
    with pytest.raises(InputError, match="holds pairs, not sentences; remedy: fairseq-preprocess --only-source"):
        TextVAETask.setup_task(config(data_bin))
    with pytest.raises(InputError, match="dict.txt: no such dictionary; remedy: "):
        TextVAETask.setup_task(config(tmp_path))
    data = binarised(tmp_path / "x", train=["tea"], valid=["tea"])
    with pytest.raises(FileNotFoundError, match="Dataset not found: test"):
        TextVAETask.setup_task(config(data)).load_dataset("test")
    pads = binarised(tmp_path / "y", train=["tea <pad> tea"], valid=["tea"])
    with pytest.raises(InputError, match="stands for no word; remedy: "):
        TextVAETask.setup_task(config(pads)).load_dataset("train")


@pytest.mark.parametrize(
    "flags", [("--podi-weight", "1", "--podi-target", "0"), ("--podi-weight", "1", "--podi-target", "-1")]
)
def test_a_hinge_needs_a_positive_lambda(sentences_bin, tmp_path, flags):
    with pytest.raises(InputError, match="--podi-target .* is out of range; remedy: more than 0"):
        fit(sentences_bin, tmp_path, *flags)
