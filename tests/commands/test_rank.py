"""Ranking candidates beside ParlAI, against plain loops, and for every kind of model through `fairseq-latent rank`."""

import importlib.util
import json
import shutil

import numpy as np
import pytest
import torch

from fairseq_latent.evaluation.analysis import ranking
from fairseq_latent.evaluation.analysis.checkpoint import load
from fairseq_latent.evaluation.analysis.prior_nll import prior_nll, replies_nll
from fairseq_latent.evaluation.metrics.response_metrics import F1, measure
from fairseq_latent.text.overlap import normalised, unigram_f1

from ..helpers import programs, speakers
from ..helpers.cases import cases

if importlib.util.find_spec("transformers") is None:
    pytest.skip("transformers is not installed", allow_module_level=True)

TASK = ("--task", "persona_dialogue")
BEAM = (*TASK, "--beam", "2", "--max-len-a", "0", "--max-len-b", "8")
DOUBLE = (*TASK, "--persona-permutations", "2", "--candidates", "3", "--valid-candidates", "4")


# --- ParlAI ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inputs, expected", cases("parlai_f1"))
def test_f1_is_parlais(inputs, expected):
    assert " ".join(normalised(inputs["guess"])) == expected["normalised_guess"]
    assert [" ".join(normalised(text)) for text in inputs["answers"]] == expected["normalised_answers"]
    found = max(unigram_f1(inputs["guess"], answer) for answer in inputs["answers"])
    assert found == pytest.approx(expected["f1"], abs=1e-8)
    assert measure(F1(), [inputs["guess"]], [inputs["answers"]]).value == pytest.approx(100 * expected["f1"], abs=1e-6)
    same = any(normalised(inputs["guess"]) == normalised(answer) for answer in inputs["answers"])
    assert same is expected["exact_match"]


@pytest.mark.parametrize("inputs, expected", cases("parlai_hits"))
def test_hits_are_parlais(inputs, expected):
    ranks = []
    for example in inputs["examples"]:
        texts = example["ranked_candidates"]
        ranks.append(ranking.rank_of(list(range(len(texts), 0, -1)), texts, example["labels"])[0])
    for k in (1, 5, 10):
        assert np.mean([rank <= k for rank in ranks]) == expected[f"hits@{k}"]
    assert len(ranks) == expected["examples"]


def test_a_tie_counts_against_the_right_reply():
    assert ranking.rank_of([1, 1, 0], ["a b", "yes", "no"], ["yes"]) == (2, 3)
    assert ranking.rank_of([1, 1, 0], ["yes", "Yes .", "no"], ["yes"]) == (1, 2)  # one text twice
    assert ranking.rank_of([0, 0, 0, 0], ["w", "x", "y", "z"], ["x"]) == (4, 4)
    with pytest.raises(ValueError, match="no candidate"):
        ranking.rank_of([1], ["x"], ["y"])


def test_the_measures_of_ranks():
    found = ranking.Ranked("m", "choice", np.array([1, 2, 6, 1]), np.full(4, 20), None, "").measures()
    values = [estimate.value for estimate in found.values()]
    assert values == pytest.approx([50, 75, (1 + 1 / 2 + 1 / 6 + 1) / 4])
    assert all(
        low <= value <= high for value, (low, high) in zip(values, (e.interval for e in found.values()), strict=True)
    )


# --- programs --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Dialogues of people with personas; test and train have candidates, valid has none."""
    text, target = tmp_path_factory.mktemp("speakers"), tmp_path_factory.mktemp("speakers-bin")
    speakers.write(text, {"train": 12, "valid": 3, "test": 4})
    speakers.binarise(text, target)
    for split in ("train", "test"):
        replies = (text / f"{split}.tgt").read_text().splitlines()
        others = [[replies[(row + 7 * place) % len(replies)] for place in range(1, 5)] for row in range(len(replies))]
        rows = [[*wrong, reply] for wrong, reply in zip(others, replies, strict=True)]
        rows[2] = rows[2] + [replies[2]]  # the right reply twice
        rows[3] = []
        (target / f"{split}.candidates").write_text("".join("\t".join(row) + "\n" for row in rows))
    return target


@pytest.fixture(scope="module")
def runs(data, tmp_path_factory):
    """A checkpoint of every kind of model after a few updates."""
    root = tmp_path_factory.mktemp("runs")
    kinds = {
        "transfertransfo": ("transfertransfo_tiny", "double_heads", (*DOUBLE, "--max-epoch", "2", "--max-update", "0")),
        "dialogpt": ("dialogpt_tiny", "elbo", TASK),
        "persona": ("persona_cvae_gpt2_tiny", "elbo", TASK),
        "t_cvae": ("t_cvae_tiny", "elbo", ()),
        "hred": ("hred_tiny", "elbo", TASK),
        "rnn_cvae": ("rnn_cvae_tiny", "elbo", TASK),
    }
    made = {}
    for name, (arch, criterion, flags) in kinds.items():
        made[name] = programs.fit(data, root / name, *flags, arch=arch, criterion=criterion)
    return root, made


def checkpoint(runs, name):
    return runs[0] / name / "checkpoint_last.pt"


def test_both_heads_are_logged(runs):
    log = runs[1]["transfertransfo"]
    for numbers in (log.numbers("train_inner")[-1], log.numbers("valid")[-1]):
        tokens = np.log(numbers["rec_ppl"])
        assert numbers["loss"] == pytest.approx(tokens + numbers["choice"], abs=2e-3) and 0 <= numbers["hits@1"] <= 1


def test_a_resumed_run_is_the_same(data, runs, tmp_path):
    """In the middle of an epoch, too, whose candidates are drawn again."""
    for stop in (("--max-epoch", "1", "--max-update", "0"), ("--max-epoch", "2", "--max-update", "11"),
                 ("--max-epoch", "2", "--max-update", "0")):  # fmt: skip
        programs.fit(data, tmp_path, *DOUBLE, *stop, arch="transfertransfo_tiny", criterion="double_heads")
    programs.assert_same_parameters(tmp_path / "checkpoint_last.pt", checkpoint(runs, "transfertransfo"))


def test_two_halves_are_one_batch(data, tmp_path):
    """--update-freq 2 against a double batch: means over tokens and over choices are those of the update."""
    still = [word for name in ("dropout", "attention-dropout", "choice-dropout") for word in (f"--{name}", "0")]
    quiet = (*DOUBLE, *still, "--optimizer", "sgd", "--lr", "0.1", "--required-batch-size-multiple", "1")
    sizes = {"double": ("--batch-size", "120"), "halves": ("--batch-size", "60", "--update-freq", "2")}
    numbers = {}
    for name, flags in sizes.items():
        kind = {"arch": "transfertransfo_tiny", "criterion": "double_heads"}
        log = programs.fit(data, tmp_path / name, *quiet, *flags, "--max-update", "1", **kind)
        numbers[name] = log.numbers("train_inner")[0]
    for name in ("loss", "choice", "hits@1", "nll", "gnorm"):
        assert numbers["halves"][name] == pytest.approx(numbers["double"][name], rel=1e-3), name
    one, other = (programs.parameters(tmp_path / name / "checkpoint_last.pt") for name in sizes)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_candidates_and_the_partner_never_reach_generation(data, runs, tmp_path, monkeypatch):
    """Without these files the responses are the same; without the own persona they are refused."""
    from fairseq_latent.modules.prompts.encoder import PromptEncoder

    seen, forward = set(), PromptEncoder.forward

    def noted(self, *args, **inputs):
        seen.update(inputs)
        return forward(self, *args, **inputs)

    monkeypatch.setattr(PromptEncoder, "forward", noted)
    path = checkpoint(runs, "transfertransfo")
    expected = programs.decode(data, path, *BEAM, "--batch-size", "3").hypotheses()
    assert len(expected) == 20 and "prompt" in seen and not {"distractors", "partner_tokens", "similarity"} & seen
    for file in data.iterdir():
        if "partner" not in file.name and not file.name.endswith((".fader", ".candidates")):
            shutil.copy(file, tmp_path)
    assert programs.decode(tmp_path, path, *BEAM, "--batch-size", "20").hypotheses() == expected
    assert not any("<" in text for texts in expected.values() for text in texts)


def test_data_without_own_personas_is_refused(data, tmp_path, refused):
    for file in data.iterdir():
        if ".own" not in file.name:
            shutil.copy(file, tmp_path)
    line = refused(
        programs.fit, tmp_path, tmp_path / "run", *DOUBLE, arch="transfertransfo_tiny", criterion="double_heads"
    )
    assert "own-None.own" in line and "PERSONAS=yes" in line


def test_another_persona_another_reply_and_typed_contexts(data, runs):
    """fairseq-interactive and chat read --persona; with the test set's own it is what generation says."""
    path, words = checkpoint(runs, "transfertransfo"), (*programs.PLUG_IN, *BEAM, "--path")
    lines = (data / "test.candidates").read_text()
    assert lines
    said = [
        programs.run("fairseq-interactive", data, *words, path, "--cpu", *persona, stdin="hello there\n").hypotheses()
        for persona in ((), ("--persona", "i really love my dog"))
    ]
    assert all(len(each) == 1 for each in said)


def test_ranks_of_every_kind_of_model(data, runs, tmp_path):
    systems = [f"{name}={checkpoint(runs, name)}" for name in runs[1]]
    done = programs.tool("rank", data, *systems, "--cpu", "--format", "json", "--candidates", "4")
    assert done.returncode == 0, done.stderr
    rows = {row["system"]: row for row in json.loads(done.stdout)}
    assert list(rows) == list(runs[1]) and all(row["responses"] == 20 for row in rows.values())
    by = {name: row["by"] for name, row in rows.items()}
    assert by.pop("transfertransfo") == "choice" and set(by.values()) == {"normalised"}
    assert all(0 <= row["Hits@1_low"] <= row["Hits@1"] <= row["Hits@5"] <= 100 for row in rows.values())
    assert "drawn:1|" in rows["hred"]["signature"] and "latents:3" in rows["rnn_cvae"]["signature"]
    done = programs.tool(
        "rank", data, systems[0], "--cpu", "--by", "likelihood", "--split", "valid", "--candidates", "3"
    )
    assert done.returncode == 0 and "drawn:15" in done.stdout, done.stderr
    done = programs.tool("rank", data, systems[1], "--cpu", "--by", "choice")
    assert done.returncode == 2 and "no head that chooses" in done.stderr


@pytest.mark.parametrize("name", ["rnn_cvae", "t_cvae", "persona", "dialogpt", "hred"])
def test_likelihoods_of_candidates_are_those_of_responses(data, runs, name):
    """Against one pass per candidate."""
    trained = load(checkpoint(runs, name), data, "test", cpu=True)
    dataset, pad = trained.task.dataset("test"), 1
    samples = 2 if trained.model.latent_dim else 1
    batch = dataset.collater([dataset[row] for row in range(4)])
    with torch.no_grad():
        targets = [batch["target"], batch["target"].roll(1, 0)]
        found = replies_nll(trained.model, batch, torch.stack(targets, 1), pad, samples)
        for place, target in enumerate(targets):
            previous = torch.cat([torch.full((4, 1), 2), target.masked_fill(target.eq(2), pad)[:, :-1]], 1)
            other = {**batch, "target": target, "net_input": batch["net_input"] | {"prev_output_tokens": previous}}
            expected = prior_nll(trained.model, other, pad, samples)
            torch.testing.assert_close(found[:, :, place], expected, rtol=1e-4, atol=1e-4)


def test_the_head_ranks_as_it_chose_in_validation(data, runs):
    """With the candidates that validation drew: the same share of hits."""
    log = runs[1]["transfertransfo"].numbers("valid")[-1]
    done = programs.tool("rank", data, checkpoint(runs, "transfertransfo"), "--cpu", "--format", "json", "--split", "valid",
                         "--candidates", "4")  # fmt: skip
    assert json.loads(done.stdout)[0]["Hits@1"] == pytest.approx(100 * log["hits@1"], abs=0.1)


@pytest.mark.parametrize(("lines", "what"), [(3, "3 lines of candidates of 20 pairs")])
def test_a_candidate_file_of_another_length(data, runs, tmp_path, lines, what):
    for file in data.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "test.candidates").write_text("a\tb\n" * lines)
    done = programs.tool("rank", tmp_path, checkpoint(runs, "transfertransfo"), "--cpu")
    assert done.returncode == 2 and what in done.stderr


# --- chat ------------------------------------------------------------------------------------------------------------


def chat(data, path, *flags, stdin="hello there\n/quit\n"):
    return programs.tool("chat", data, "--path", path, "--cpu", "--replies", "2", *flags, stdin=stdin)


def test_chat_with_a_persona(data, runs, tmp_path):
    path = checkpoint(runs, "transfertransfo")
    (tmp_path / "persona").write_text("i really love my dog\ni think of my guitar every day\n")
    plain = chat(data, path)
    assert plain.returncode == 0 and "it has no persona" in plain.stderr and "1. " in plain.stdout, plain.stderr
    for persona in (tmp_path / "persona", "i really love my dog"):
        done = chat(data, path, "--persona", persona)
        assert done.returncode == 0 and "persona" not in done.stderr and "2. " in done.stdout, done.stderr
    (tmp_path / "latin").write_bytes(b"caf\xe9\n")
    done = chat(data, path, "--persona", tmp_path / "latin")
    assert done.returncode == 2 and "UTF-8" in done.stderr
    done = chat(data, checkpoint(runs, "dialogpt"), "--persona", "i like tea .")
    assert done.returncode == 2 and "reads no persona" in done.stderr
