"""Records of trainings and tables of them: from real runs, by hand, and with damaged files."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from fairseq_latent.cli import main
from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.analysis.sweep import Point, Sweep
from fairseq_latent.evaluation.metrics.bootstrap import Bootstrap
from fairseq_latent.evaluation.metrics.dialogues.sums import OVER_OTHERS, by_dialogue
from fairseq_latent.evaluation.reporting.page import marks
from fairseq_latent.evaluation.reporting.records.comparison import by_system, compare, people
from fairseq_latent.evaluation.reporting.records.record import Cost, Record, as_json, read_record
from fairseq_latent.evaluation.reporting.records.words import in_words

from ...helpers import programs, speakers

TASK = ("--task", "persona_dialogue")
BOOTSTRAP = Bootstrap(400, 1)


def made_up(name: str, seed: int, f1: list[float], **further) -> Record:
    """A record whose only measure is the F1 of a response in each of so many dialogues."""
    sums = by_dialogue([f"d{place:03}" for place in range(len(f1))], {"F1": (f1, [1.0] * len(f1))})
    cost = Cost("fairseq-train data", 20, 0.5, 0.25, 2048, 3_000_000, 1_000_000)
    numbers = {"F1": float(np.mean(f1)), "sentences": len(f1), "words": 10 * len(f1)}
    return replace(
        Record(
            name,
            seed,
            f"again {name}",
            [cost],
            numbers,
            {"length": 9.5},
            {20: {"nll": 1.5}},
            ["f1|nrefs:1"],
            sums,
            sums,
        ),
        **further,
    )


def test_differences_are_paired_and_corrected():
    """Two systems that are better in every dialogue by the same, one that is another draw of the same."""
    draw = np.random.default_rng(3)
    base = draw.normal(10, 5, 60)
    others = {"better": base + 1, "worse": base - 1, "same": base, "other": draw.permutation(base)}
    rows = compare([made_up(name, 1, list(f1)) for name, f1 in {"base": base, **others}.items()], "base", BOOTSTRAP)
    found = {row.name: row for row in rows}
    smallest = 1 / 401  # nothing in 400 resamples is as far as a constant difference
    assert found["base"].p_values == {} and not found["base"].estimates["F1"].significant
    assert found["better"].p_values["F1"] == pytest.approx(4 * smallest)  # Holm: the smallest of four
    assert found["worse"].p_values["F1"] == pytest.approx(4 * smallest)
    assert found["same"].p_values["F1"] == 1 and found["better"].estimates["F1"].significant
    assert not found["other"].estimates["F1"].significant  # its mean is the same
    low, high = found["base"].estimates["F1"].interval
    assert low < base.mean() < high and high - low == pytest.approx(2 * 1.96 * base.std() / np.sqrt(60), rel=0.25)


def test_seeds_are_averaged_and_widen_the_interval():
    draw = np.random.default_rng(4)
    f1 = draw.normal(10, 1, 50)
    one = compare([made_up("a", 1, list(f1))], "a", BOOTSTRAP)[0]
    seeds = [made_up("a", seed, list(f1 + shift)) for seed, shift in ((3, 4.0), (1, -2.0), (2, 1.0))]
    three = compare(seeds, "a", BOOTSTRAP)[0]
    assert [record.seed for record in three.records] == [1, 2, 3]
    assert three.estimates["F1"].value == pytest.approx(f1.mean() + 1)
    assert three.range_of("F1") == pytest.approx((f1.mean() - 2, f1.mean() + 4)) and one.range_of("F1") is None
    assert three.estimates["F1"].deviation == pytest.approx(3) and one.estimates["F1"].deviation is None  # of -2, 1, 4
    width = [high - low for low, high in (one.estimates["F1"].interval, three.estimates["F1"].interval)]
    assert width[1] > 3 * width[0]
    with pytest.raises(InputError, match="two records of one seed"):
        by_system([seeds[0], seeds[0]])
    with pytest.raises(InputError, match="was measured on 50 sentences.* on 49; remedy"):
        compare([seeds[0], made_up("b", 1, [1.0] * 49)], "a", BOOTSTRAP)


def test_a_record_comes_back_as_it_was(tmp_path):
    sweep = Sweep(
        (Point(None, 1, 0.1, 0.2, 5.0), Point(0.0, 1, 0.3, 0.2, 6.0)), Point(None, 0, 0.4, 0.3, 7.0), "sweep", 0.5
    )
    record = made_up("a", 2, [1.0, 2.5], sweep=sweep)
    (tmp_path / "a.json").write_text(as_json(record), encoding="utf-8")
    found = read_record(tmp_path / "a.json")
    assert as_json(found) == as_json(record) and found.sweep == sweep and found.trainings == record.trainings
    assert found.sums.sums["F1"].tolist() == [[1, 1], [2.5, 1]]


@pytest.mark.parametrize("share", (0.0, 0.3, 0.6, 0.99))
def test_a_record_that_is_cut_short_is_named(tmp_path, capsys, share):
    text = as_json(made_up("a", 1, [1.0, 2.0]))
    (tmp_path / "a.json").write_text(text[: int(share * len(text))], encoding="utf-8")
    assert main(["compare", str(tmp_path / "a.json"), "--page", str(tmp_path / "page.md")]) == 2
    assert f"{tmp_path}/a.json: this is no record of a training; remedy" in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()


def write(folder, *records: Record) -> list[str]:
    paths = [folder / f"{record.name}.{record.seed}.json" for record in records]
    for path, record in zip(paths, records, strict=True):
        path.write_text(as_json(record), encoding="utf-8")
    return list(map(str, paths))


def test_a_page_of_two_corpora_and_what_is_not_there_yet(tmp_path):
    files = write(tmp_path, made_up("DialoGPT", 1, [1.0, 2.0, 3.0]), made_up("HRED", 1, [0.5, 2.0, 3.5]))
    page = tmp_path / "page.md"
    page.write_text("# Mine\n\nBefore.\n", encoding="utf-8")
    words = ["compare", *files, "--page", str(page), "--baseline", "DialoGPT"]
    assert (
        main([*words, "--rows", "HRED", "CVAE", "DialoGPT", "--part", "one", "--title", "First", "--beside-paper"]) == 0
    )
    assert main([*words, "--part", "two", "--title", "Second"]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Mine\n\nBefore.\n") and all(
        mark in text for name in ("one", "two") for mark in marks(name)
    )
    first, second = text.split(marks("one")[1])
    assert "Not there yet: CVAE." in first and "All rows are there." in second
    assert first.index("| HRED ") < first.index("| DialoGPT ")
    assert "| HRED " in first and "21.095" in first and "21.095" not in second  # the paper's
    assert (
        "again HRED    # HRED, seed 1" in first and "- `f1|nrefs:1`" in first and "3 responses of 3 dialogues" in first
    )
    assert "| people " in first and "| DialoGPT | 1 " in " ".join(first.split())  # one seed in the table of costs


def test_what_does_not_fit_is_one_line(tmp_path, capsys):
    files = write(tmp_path, made_up("a", 1, [1.0, 2.0]))
    for words, said in (
        (["--baseline", "nobody"], "--baseline nobody: no such system; remedy"),
        (["--bootstrap", "3"], "--bootstrap 3: too few"),
    ):
        assert main(["compare", *files, *words]) == 2
        assert said in capsys.readouterr().err
    assert main(["compare", str(tmp_path / "none.json")]) == 2
    assert main(["record", f"a={tmp_path / 'none'}", "--out", str(tmp_path / "x.json")]) == 2
    assert not (tmp_path / "x.json").exists()


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A DialoGPT after a few updates, measured as the table's script does: data, text, run."""
    pytest.importorskip("transformers")
    root = tmp_path_factory.mktemp("records")
    text, data, run = root / "text", root / "data", root / "dialogpt.1"
    text.mkdir()
    speakers.write(text, {"train": 12, "valid": 3, "test": 6})
    speakers.binarise(text, data)
    flags = (*TASK, "--log-file", run / "train.log")
    run.mkdir()
    programs.fit(data, run, *flags, arch="dialogpt_tiny")
    sampled = ("--sampling", "--sampling-topk", "4", "--beam", "1", "--max-len-b", "6", "--latent-samples", "2")
    answers = programs.decode(data, run / "checkpoint_last.pt", *TASK, *sampled, "--gen-subset", "test")
    (run / "generate.test.txt").write_text(answers.text, encoding="utf-8")
    shutil.copy(run / "checkpoint_last.pt", run / "checkpoint_best.pt")
    (run / "train.out").write_text("| num. shared model params: 1,234 (num. trained: 1,000)\n")
    (run / "cost.json").write_text('{"cpu_hours": 0.5, "peak_mib": 300}\n')
    of = ("--cpu", "--format", "json", "--by-dialogue")
    checkpoint, scores = str(run / "checkpoint_best.pt"), ("scores.json", run / "scores.by_dialogue.json")
    for words in (
        ("score", f"s={run}/generate.test.txt", "--lang", "none", "--hypothesis", "mean", "--dialogues", text / "test.ids",
         *of[1:], scores[1], "--out", run / scores[0]),
        ("latents", data, "--path", checkpoint, "--split", "test", *of, run / "latents.test.by_dialogue.json", "--out",
         run / "latents.test.json"),
        ("rank", data, checkpoint, "--candidates", "3", *of, run / "rank.test.by_dialogue.json", "--out",
         run / "rank.test.json"),
    ):  # fmt: skip
        assert main(list(map(str, words))) == 0
    return data, text, run


def test_a_record_of_a_real_run(measured, tmp_path, capsys):
    _, _, run = measured
    files = []
    for seed in (1, 2):
        files.append(str(tmp_path / f"dialogpt.{seed}.json"))
        words = ["record", f"DialoGPT={run}", "--training-seed", str(seed), "--again", "make it", "--out", files[-1]]
        assert main(words) == 0
    found, latents = read_record(files[0]), json.loads((run / "latents.test.json").read_text())
    assert found.numbers["prior_word_ppl"] == pytest.approx(latents["prior_word_ppl"], rel=1e-5)
    assert "kl" not in found.numbers and len(found.sums.dialogues) == 6  # it has no latent
    for name in ("prior_ppl", "prior_word_ppl", "rec_word_ppl", "context_worth", "F1", "length", "Hits@1"):
        assert found.sums.value(name) == pytest.approx(found.numbers[name], rel=1e-3), name
    cost = found.trainings[0]
    assert (cost.updates, cost.cpu_hours, cost.peak_mib, cost.parameters, cost.trained) == (5, 0.5, 300, 1234, 1000)
    assert set(found.people) & {"Distinct-1", "length"} and found.again == "make it"
    assert main(["compare", *files, "--page", str(tmp_path / "page.md"), "--bootstrap", "40"]) == 0
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "### Seeds" in text and "1, 2" in text and str(tmp_path) not in text


def test_what_is_not_measured_is_missed(measured, tmp_path, capsys):
    _, _, run = measured
    for name, said in (
        ("scores.json", "scores.json is missing; remedy: fairseq-latent score"),
        ("latents.test.by_dialogue.json", "remedy: fairseq-latent latents DATA"),
        ("train.log", "train.log"),
    ):
        folder = tmp_path / name
        shutil.copytree(run, folder)
        (folder / name).unlink()
        assert main(["record", f"DialoGPT={folder}", "--out", str(tmp_path / "x.json")]) == 2
        assert said in capsys.readouterr().err and not (tmp_path / "x.json").exists()


def test_sums_need_dialogues(measured, tmp_path, capsys):
    data, _, run = measured
    answers = f"s={run}/generate.test.txt"
    for words, said in (
        (("score", answers, "--by-dialogue", "x.json"), "--by-dialogue: no dialogues are given; remedy: --dialogues"),
        (
            ("score", f"s={run}/generate.test.txt,{run}/generate.test.txt", "--by-dialogue", "x.json", "--dialogues",
             run.parent / "text/test.ids"),
            "--by-dialogue: a system has several seeds",
        ),
    ):  # fmt: skip
        assert main(list(map(str, words))) == 2
        assert said in capsys.readouterr().err
    bare = tmp_path / "data"
    shutil.copytree(data, bare)
    (bare / "test.ids").unlink()
    for command in (
        ("latents", bare, "--path", run / "checkpoint_best.pt", "--split", "test"),
        ("rank", bare, run / "checkpoint_best.pt"),
    ):
        assert main([*map(str, command), "--cpu", "--by-dialogue", str(tmp_path / "x.json")]) == 2
        assert "--by-dialogue: " in capsys.readouterr().err and not (tmp_path / "x.json").exists()


def test_bfloat16_is_near_float32(measured, tmp_path, capsys):
    """And the signature says so; decoding takes it, too."""
    data, _, run = measured
    low = tmp_path / "low.json"
    words = [
        "latents",
        str(data),
        "--path",
        str(run / "checkpoint_best.pt"),
        "--split",
        "test",
        "--cpu",
        "--format",
        "json",
    ]
    assert main([*words, "--autocast", "bfloat16", "--out", str(low)]) == 0
    found, exact = json.loads(low.read_text()), json.loads((run / "latents.test.json").read_text())
    assert found["signature"] == exact["signature"] + "|precision:bfloat16"
    assert found["rec_ppl"] != exact["rec_ppl"] and found["rec_ppl"] == pytest.approx(exact["rec_ppl"], rel=2e-2)
    flags = (*TASK, "--beam", "1", "--max-len-b", "6", "--gen-subset", "test")
    printed = [
        programs.decode(data, run / "checkpoint_last.pt", *flags, "--decoding-autocast", kind).text
        for kind in ("none", "bfloat16")
    ]
    scores = [[float(line.split("\t")[1]) for line in text.splitlines() if line.startswith("H-")] for text in printed]
    assert scores[0] != scores[1] and np.mean(scores[0]) == pytest.approx(np.mean(scores[1]), rel=5e-2)


def test_what_tables_show_in_words():
    """Four responses in as many dialogues; only the second system is nearer to the partner in all of them."""

    def record(name, near, nats, sweep=None):
        dialogues, ones = [f"d{place}" for place in range(4)], [1.0] * 4
        measures = dict.fromkeys(("prior_word_ppl", "context_worth"), (nats, ones))
        measures |= {OVER_OTHERS: (near, ones), "worth": ([0.0] * 4, ones)}
        return replace(made_up(name, 1, [1.0] * 4), sums=by_dialogue(dialogues, measures), sweep=sweep)

    points = (Point(None, 1, 0.1, 0.2, 5.0), Point(0.0, 1, 0.3, 0.2, 6.0), Point(1.0, 1, 0.4, 0.25, 8.0))
    sweep = Sweep(points, Point(None, 0, 0.4, 0.3, 7.0), "sweep", 0.5)
    records = [
        record("HRED", [0.1, -0.1, 0.2, -0.2], [3.0, 3.0, 3.0, 3.0]),
        record("DialoGPT", [0.1, 0.1, 0.2, 0.2], [2.0, 2.0, 2.0, 2.0], sweep),
    ]
    rows = compare(records, "DialoGPT", BOOTSTRAP)
    said = in_words(rows, people(records, BOOTSTRAP), "DialoGPT", paper=True)
    assert (
        said[0]
        == "Prior perplexity per word, from the lowest: DialoGPT 7.4 ±0.0, HRED 20.1 ±0.0. All differ from DialoGPT."
    )
    assert said[1].endswith("HRED 3.00 ±0.00, DialoGPT 2.00 ±0.00; all read it.")
    assert said[2].startswith("Nearer to their partner's profile than to other people's: DialoGPT 0.150 ±0.0")
    assert said[2].endswith("; no other system's responses.")
    assert said[3].endswith("HRED 0.000 ±0.000, DialoGPT 0.000 ±0.000.")
    assert said[4] == (
        "DialoGPT, the fader from 0 to 1: P.Distance 0.300 to 0.400, to other people's profiles 0.200 to 0.250, words per "
        "response 6.0 to 8.0."
    )
    assert said[5] == "By prior PPL/word 1 of 1 pairs of the paper's systems stand in the order of its PPL."
    assert len(said) == 6 and in_words([], people(records, BOOTSTRAP), "DialoGPT", paper=True) == []
