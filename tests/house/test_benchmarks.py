"""The benchmarks run, at toy size, and compare like with like."""

import json
import os
import runpy
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from fairseq_latent.doctor import precision

from ..helpers import programs

FOLDER = Path(__file__).parents[2] / "benchmarks"
TOY = ("--arch", "t_cvae_tiny", "--vocabulary", "60", "--max-tokens", "140", "--repeats", "1", "--threads", "1")


def benchmark(name, *arguments) -> str:
    """What a benchmark prints, as a command of its own."""
    words = [sys.executable, FOLDER / f"{name}.py", *map(str, arguments)]  # a new process, whose memory is measured
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def here(monkeypatch, capsys):
    """The same in this process, which has loaded what it needs."""

    def benchmark(name, *arguments) -> str:
        monkeypatch.syspath_prepend(FOLDER)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        capsys.readouterr()
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return benchmark


def table_of(printed: str) -> dict[str, list[str]]:
    """First column -> the others, of the rows of a Markdown table."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines() if line[:1] == "|"]
    return {first: rest for first, *rest in lines[2:]}


@pytest.fixture
def k_samples(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import k_samples

    return k_samples


def test_k_samples_measures_every_system_in_turn(here, tmp_path):
    flags = ("--batches", "1", "--k", "2", "5", "--plain", "2", "--words", "20", "--json", tmp_path / "out.json")
    rows = table_of(here("k_samples", *TOY, *flags, "--no-memory"))
    assert rows["transformer (fairseq)"][3] == "1.00"
    assert {
        "K = 5, float32",
        "K = 5, bfloat16",
        "K = 5, bfloat16, 20 words",
        "K = 2, plain implementation",
    } <= rows.keys()
    found = json.loads((tmp_path / "out.json").read_text())
    for row in found["rows"]:
        assert len(row["seconds"]) == len(row["ratios"]) == 1 and row["seconds"][0] > 0
        assert float(rows[row["name"]][1]) == pytest.approx(row["ratios"][0], abs=0.005)


def test_memory_is_that_of_one_system(k_samples, capsys):
    args = Namespace(arch="t_cvae_tiny", vocabulary=60, max_tokens=140, batches=1, threads=torch.get_num_threads())
    k_samples.print_peak(args, k_samples.System("K = 2", 2))
    assert 50 < float(capsys.readouterr().out) < 20000  # MiB


def test_a_profile_names_what_takes_longest(here):
    printed = here("k_samples", *TOY, "--batches", "1", "--profile", "1")
    shares = [float(line.split("%")[0]) for line in printed.splitlines() if "calls" in line]
    assert "aten::" in printed  # which of a toy's operations take longest is chance
    assert len(shares) == 15 and shares == sorted(shares, reverse=True) and sum(shares) <= 100


def test_the_plain_implementation_has_our_loss(k_samples):
    """The same random numbers, the same choice: only the work differs."""
    args = Namespace(arch="t_cvae_tiny", vocabulary=60, max_tokens=140, batches=1, threads=torch.get_num_threads())
    steps = k_samples.Steps(args)
    losses = []
    for scoring in (k_samples.FLOAT32, k_samples.PLAIN):
        trainer = steps._configured(k_samples.System("", 5, scoring))
        for module in trainer.model.modules():
            if hasattr(module, "p"):
                module.p = 0.0
        trainer.model.encoder.latent.pool.attention.dropout = 0.0
        torch.manual_seed(1)
        losses.append(trainer.criterion(trainer.model.train(), steps.batches[0])[2]["nll"])
    torch.testing.assert_close(*losses)


def test_generation_is_measured(here):
    rows = table_of(here("generation", *TOY, "--length", "3", "--beam", "2", "--latents", "2"))
    assert rows.keys() == {"transformer (fairseq)", "T-CVAE", "T-CVAE, 2 latents"}
    assert rows["T-CVAE"][2] == rows["transformer (fairseq)"][1] == "1.000"


def test_agreement_of_cheaper_scoring(here, data_bin, tmp_path):
    """All words and more than all are the same; any choice is better than none."""
    programs.fit(data_bin, tmp_path, "--max-update", "40", "--kl-weight", "0.01", "--lr", "0.02")
    flags = ("--k", "4", "--words", "4", "100000", "--sentences", "20", "--batch-size", "7")
    printed = here("agreement", data_bin, tmp_path / "checkpoint_best.pt", *flags).splitlines()
    ways = {line.split("|")[2].strip(): line.split("|")[3:5] for line in printed if line.startswith("|")}
    same = {way: float(columns[0].rstrip(" %")) for way, columns in ways.items() if "%" in columns[0]}
    regret = {way: float(columns[1]) for way, columns in ways.items() if "%" in columns[0]}
    assert same["any sample"] == 25.0 and same["bfloat16, 100,000 words"] == same["bfloat16, all words"] > 50
    assert 0 <= regret["bfloat16, all words"] < regret["any sample"]


def test_too_few_processors_and_slow_bfloat16_are_said_and_no_reason_to_stop(k_samples, monkeypatch, capsys):
    def measure(args, rows):
        for row in rows:
            row.seconds, row.ratios, row.cpu_ratios = [1.0], [1.0], [1.0]
        return "no batches"

    monkeypatch.setattr(precision, "faster", lambda: 0.7)
    monkeypatch.setattr(k_samples, "measure", measure)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
    monkeypatch.setattr(sys, "argv", ["k_samples.py", "--no-memory"])
    k_samples.main()
    printed, said = capsys.readouterr()
    assert "1 processor for 2 threads" in said and "0.7 times as fast" in said
    assert table_of(printed)["K = 40, bfloat16"][:2] == ["1.00", "1.00"]


def test_preprocessing_finds_the_pairs_of_plain_python(tmp_path):
    """It ends in an error where they differ."""
    pytest.importorskip("duckdb")
    flags = ("--forms", "tsv", "json", "tar.gz", "--workers", 2, "--memory", "300MB", "--folder", tmp_path)
    printed = benchmark("preprocess", "--tweets", 3000, *flags)
    rows = [line.split("|")[1:-1] for line in printed.splitlines() if "3,000" in line]
    assert [row[0].strip() for row in rows] == ["tsv", "json", "tar.gz"]
    pairs = {row[-1].strip() for row in rows}
    assert len(pairs) == 1 and int(pairs.pop()) > 100
    assert all(row[5].strip() for row in rows)  # plain Python ran
    assert list(tmp_path.iterdir()) == []


def test_the_bare_loop_trains_the_same_model(monkeypatch, text_task):
    """Without dropout, the same noise: the loss of our criterion, before and after an update of each."""
    monkeypatch.syspath_prepend(FOLDER)
    import text_vae

    from ..helpers.tiny import build_criterion, build_model, sentence_batch

    model = build_model(text_task, "gru_vae_tiny", dropout_in=0.0, dropout_out=0.0)
    criterion, sample = build_criterion(text_task, "elbo"), sentence_batch(text_task)
    bare = text_vae.BareLoop(model, text_task.dictionary)
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    sentences = [row[row.ne(1)] for row in sample["target"]]
    losses = []
    for seed in range(3):
        torch.manual_seed(seed)
        loss, size, _ = criterion(model, sample)
        optimiser.zero_grad(), (loss / size).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        torch.manual_seed(seed)
        losses.append((bare.step(sentences), loss.item() / size))
    assert [theirs for theirs, _ in losses] == pytest.approx([ours for _, ours in losses], rel=1e-4)
    assert len({ours for _, ours in losses}) == 3


def test_an_epoch_of_the_sentence_vae_is_measured(here):
    rows = table_of(
        here("text_vae", "--arch", "gru_vae_tiny", "--batches", "2", "--batch-size", "16", "--threads", "1")
    )
    assert rows.pop("bare PyTorch loop")[1:] == ["1.00", "1.00"]
    assert list(rows) == ["fairseq-train, gru_vae", "fairseq-train, gru_vae, --autocast bfloat16"]
    assert all(0 < float(cell) < 20 for row in rows.values() for cell in row[1:])


def test_persona_measures_one_update():
    pytest.importorskip("transformers")
    flags = ("--arch", "persona_cvae_gpt2_tiny", "--vocabulary", "50", "--tokens", "30", "--updates", "1", "--k", "2")
    row = table_of(benchmark("persona", *flags))["persona_cvae_gpt2_tiny"]
    assert row[1:4] == ["4 x 30", "2", "none"] and float(row[5].replace(",", "")) >= float(row[4].replace(",", "")) > 0


@pytest.mark.parametrize("name", ["hred", "rnn_cvae"])
def test_the_bare_loop_trains_the_same_hierarchical_model(name, monkeypatch):
    """Without dropout, the same noise: the loss of our criterion, before and after an update of each."""
    monkeypatch.syspath_prepend(FOLDER)
    import recurrent

    args = Namespace(size="_tiny", vocabulary=60)
    trainer = recurrent.trainer_of(args, name)
    trainer.model.encoder.dropout = trainer.model.decoder.dropout = 0.0
    bare = recurrent.BareLoop(trainer.model, trainer.task.target_dictionary, *recurrent.SYSTEMS[name][1:])
    pairs = recurrent.made_up(trainer.task, 8)
    dataset = recurrent.as_dataset(trainer.task, pairs)
    sample = dataset.collater([dataset[row] for row in range(8)])
    ordered = [pairs[row] for row in sample["id"].tolist()]  # noise is drawn row by row
    optimiser = torch.optim.Adam(trainer.model.parameters(), recurrent.SYSTEMS[name][1])
    losses = []
    for seed in range(3):
        torch.manual_seed(seed)
        loss, size, _ = trainer.criterion(trainer.model.train(), sample)
        optimiser.zero_grad(), (loss / size).backward()
        torch.nn.utils.clip_grad_norm_(trainer.model.parameters(), recurrent.SYSTEMS[name][2])
        optimiser.step()
        torch.manual_seed(seed)
        losses.append((bare.step(ordered), loss.item() / size))
    assert [theirs for theirs, _ in losses] == pytest.approx([ours for _, ours in losses], rel=1e-4)
    assert len({ours for _, ours in losses}) == 3


def test_hierarchical_models_are_measured_beside_bare_loops(here):
    """Both decode responses of the given lengths."""
    printed = here(
        "recurrent", "--size", "_tiny", "--vocabulary", "60", "--batches", "1", "--contexts", "5", "--threads", "1"
    )
    rows = [line.split("|")[1:-1] for line in printed.splitlines()[2:] if line.startswith("|")]
    assert [row[0].strip() for row in rows] == ["hred"] * 3 + ["rnn_cvae"] * 3
    assert all(float(cell) > 0 for row in rows for cell in row[2:])


def test_candidates_cost_less_in_one_sequence(here, persona_bin, tmp_path):
    """Tokens, which unlike seconds are the same on every machine."""
    for path in persona_bin.iterdir():
        name = path.name.replace(".partner-None.partner", ".own-None.own")
        (tmp_path / name).write_bytes(path.read_bytes())
    (tmp_path / "dict.own.txt").write_bytes((persona_bin / "dict.partner.txt").read_bytes())
    flags = ("--arch", "transfertransfo_tiny", "--batch-size", "4", "--batches", "1", "--repeats", "1")
    rows = table_of(here("candidates", tmp_path, *flags))
    one, together, apart = (int(row[-1]) for row in rows.values())
    assert len(rows) == 3 and one < together < apart and rows["the right reply alone"][1] == "1.00"


def test_scoring_is_measured(tmp_path):
    """The command's own table is made of as many lines."""
    pytest.importorskip("sacremoses")
    row = table_of(benchmark("score", "--lines", 300, "--bootstrap", 40, "--folder", tmp_path))["300"]
    assert all(float(cell.replace(",", "")) > 0 for cell in row)
    assert "made-up" in (tmp_path / "table").read_text()
    assert len((tmp_path / "responses").read_text().splitlines()) == 300
