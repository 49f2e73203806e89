"""`fairseq-latent sweep`: what is measured for each fader, and what is printed, written and drawn."""

import csv
import importlib.util
import io
import shutil

import pytest

from fairseq_latent.cli import main
from fairseq_latent.evaluation.analysis.sweep import measured
from fairseq_latent.evaluation.plotting.sweep_figure import sweep_picture
from fairseq_latent.evaluation.reporting.sweep_table import PRIOR, as_csv, as_table
from fairseq_latent.text.word_tokenizers import tokenizer
from tests.helpers import personas, programs
from tests.helpers.scored import text

pytest.importorskip("gensim")
needs_gpt2 = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="transformers is not installed"
)


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    """Each topic's words have a direction of their own."""
    path = tmp_path_factory.mktemp("vectors") / "vectors.txt"
    count = len(personas.TOPICS)
    lines = [
        f"{word} {' '.join('1' if place == other else '0' for other in range(count))}"
        for place, words in enumerate(personas.TOPICS.values())
        for word in words
    ]
    path.write_text(text([f"{len(lines)} {count}", *lines]), encoding="utf-8")
    return path


def swept(vectors, respond, seeds=(1, 2), faders=(0.0, 0.5, 1.0)):
    from fairseq_latent.evaluation.metrics.p_distance import p_distance

    profiles = ["i love my dog", "my guitar means a lot"]
    metric = p_distance(profiles, vectors)
    return measured(respond, ["your dog", "well"], metric, profiles, tokenizer("none"), faders, seeds, "sweep")


def persona(fader, seed):
    """Takes up one profile of two from the middle on, and both at the end; the prior does what 0.5 does."""
    fader = 0.5 if fader is None else fader
    return ["your cat" if fader else "bye", "your piano is great" if fader == 1 else "bye bye"]


def test_means_over_contexts(vectors):
    found = swept(vectors, persona)
    assert found.faders == [0, 0.5, 1]
    assert [found.mean(fader, "p_distance") for fader in (0, 0.5, 1, None)] == [0, 0.5, 1, 0.5]
    assert [found.mean(fader, "one_minus") for fader in (0, 1)] == [1, 0]
    # 1 + 2, 2 + 2, 2 + 4 words in two responses
    assert [found.mean(fader, "length") for fader in (0, 0.5, 1)] == [1.5, 2, 3]
    assert found.mean(1, "to_others") == 0
    assert (found.references.p_distance, found.references.length) == (0.5, 1.5)


def test_correlations(vectors):
    found = swept(vectors, persona)
    assert found.correlation("p_distance")[0] == pytest.approx(1)
    assert found.correlation("one_minus")[0] == pytest.approx(-1)
    assert found.correlation("to_others") is None
    # of 4 points of rank 1.5 and 3.5, one seed falls while the other rises: none
    mixed = swept(
        vectors, lambda fader, seed: persona(fader if seed == 1 else 1 - (fader or 0), seed), faders=(0.0, 1.0)
    )
    assert mixed.correlation("p_distance")[0] == pytest.approx(0)


def test_every_fader_is_asked_with_every_seed(vectors):
    asked = []
    swept(vectors, lambda fader, seed: asked.append((fader, seed)) or persona(fader, seed))
    assert asked == [(fader, seed) for seed in (1, 2) for fader in (None, 0, 0.5, 1)]


def test_the_table_in_all_formats(vectors):
    found = swept(vectors, persona)
    lines = as_table(found, "text").splitlines()
    assert lines[0].split("  ")[0] == "fader"
    assert [line.split() for line in lines[2:7]] == [
        ["references", "0.500", "0.500", "0.000", "1.5"],
        ["prior", "0.500", "0.500", "0.000", "2.0"],
        ["0", "0.000", "1.000", "0.000", "1.5"],
        ["0.5", "0.500", "0.500", "0.000", "2.0"],
        ["1", "1.000", "0.000", "0.000", "3.0"],
    ]
    assert "Spearman's rank correlation with the fader, 6 points:" in lines
    assert any(line.startswith("1 - P.Distance: -1.000 (p = ") for line in lines)
    assert "to others: none, it is constant" in lines
    assert lines[-2] == "sweep|seeds:1,2|tok:none" and lines[-1].startswith("p-distance|higher:closer|")
    assert as_table(found, "markdown").startswith("| fader")
    assert r"\begin{tabular}" in as_table(found, "latex")
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert [row["fader"] for row in rows] == [
        "references", *[PRIOR, "0", "0.5", "1"] * 2, "spearman", "spearman-p",
    ]  # fmt: skip
    assert (rows[-2]["p_distance"], rows[-2]["one_minus"], rows[-2]["to_others"]) == ("1", "-1", "")


def test_the_picture(vectors):
    panels = sweep_picture(swept(vectors, persona)).axes
    assert [panel.get_ylabel() for panel in panels] == ["P.Distance", "1 − P.Distance", "words per response"]
    assert [panel.get_title(loc="right") for panel in panels] == [
        "Spearman's ρ = +1.00", "Spearman's ρ = −1.00", "Spearman's ρ = +1.00",
    ]  # fmt: skip
    points, line = panels[0].lines[:2]
    assert list(points.get_xdata()) == [0, 0.5, 1] * 2
    assert list(line.get_ydata()) == [0, 0.5, 1]


# --- with a model -----------------------------------------------------------------------------------------------------


@pytest.fixture
def data(persona_bin):
    return persona_bin


@pytest.fixture
def checkpoint(persona_run):
    return persona_run[0]


def sweep(data, checkpoint, vectors, *flags):
    small = ("--max-length", "8", "--steps", "1", "--seeds", "1", "--cpu")
    return main(["sweep", str(data), "--path", str(checkpoint), "--vectors", str(vectors), *small, *map(str, flags)])


@needs_gpt2
def test_a_model_is_swept(data, checkpoint, vectors, tmp_path, capsys):
    files = ("--out", tmp_path / "sweep.csv", "--plot", tmp_path / "sweep.png", "--format", "csv")
    few = ("--seeds", "1", "2", "--max-length", "2")
    assert sweep(data, checkpoint, vectors, *files, *few) == 0
    first = (tmp_path / "sweep.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(first)))
    assert [(row["fader"], row["seed"]) for row in rows[1:-2]] == [(f, s) for s in "12" for f in (PRIOR, "0", "1")]
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out == ""
    assert sweep(data, checkpoint, vectors, "--format", "csv", *few, "--batch-size", "3") == 0
    assert capsys.readouterr().out == first
    assert sweep(data, checkpoint, vectors) == 0
    assert "\nprior: its own fader, " in capsys.readouterr().out


@needs_gpt2
def test_responses_are_those_of_generate(data, checkpoint):
    """Word for word: the same fader, the same latents and samples, the order of the data."""
    from fairseq.dataclass.configs import GenerationConfig

    from fairseq_latent.evaluation.analysis.checkpoint import load
    from fairseq_latent.evaluation.analysis.persona_decoding import Speaker
    from fairseq_latent.text.tokenizers import tokenizer_of

    flags = ("--sampling", "--sampling-topk", "4", "--beam", "1", "--max-len-a", "0", "--max-len-b", "8")
    printed = programs.decode(data, checkpoint, "--task", "persona_dialogue", *flags, "--fader", "0.75").hypotheses()
    trained = load(checkpoint, data, "test", cpu=True)
    generation = GenerationConfig(beam=1, sampling=True, sampling_topk=4, max_len_a=0, max_len_b=8)
    speaker = Speaker(trained, tokenizer_of(data), trained.task.build_generator([trained.model], generation), 4)
    found = speaker.respond(range(13), 0.75, 1)
    assert found == [printed[str(example)][0] for example in range(13)]
    assert found != speaker.respond(range(13), 0.75, 2)  # another seed, other responses
    numbers = [speaker.inferred_fader([example], 1) for example in range(13)]
    assert speaker.inferred_fader(range(13), 1) == pytest.approx(sum(numbers) / 13, abs=1e-6)
    assert speaker.inferred_fader(range(13), 2) != speaker.inferred_fader(range(13), 1)
    assert speaker.respond([7, 2], 0.75, 1) == [found[7], found[2]]


@needs_gpt2
def test_what_cannot_be_swept(data, checkpoint, vectors, tmp_path, data_bin, capsys):
    def fails(*arguments):
        assert sweep(*arguments) == 2
        out, err = capsys.readouterr()
        assert out == "" and "remedy: " in err
        return err.splitlines()[-1]

    without = shutil.copytree(data, tmp_path / "without")
    for path in without.glob("test.partner*"):
        path.unlink()
    assert f"{without}: test has no profiles of the partner" in fails(without, checkpoint, vectors)
    programs.fit(data_bin, tmp_path / "t")
    assert "has neither perception nor fader" in fails(data_bin, tmp_path / "t/checkpoint_last.pt", vectors)
    (tmp_path / "bad.txt").write_text("dog\n", encoding="utf-8")
    assert "has no vectors in word2vec's or GloVe's text form" in fails(data, checkpoint, tmp_path / "bad.txt")
    (tmp_path / "other.txt").write_text("1 2\nbonjour 1 2\n", encoding="utf-8")
    out = tmp_path / "table.txt"
    assert "no vector of any word of the profiles" in fails(data, checkpoint, tmp_path / "other.txt", "--out", out)
    assert not out.exists()
    (tmp_path / "ids").write_text("c:1\n", encoding="utf-8")
    assert "1 ids of 13 contexts" in fails(data, checkpoint, vectors, "--dialogues", tmp_path / "ids")
    assert "--steps 0; remedy" in fails(data, checkpoint, vectors, "--steps", "0")
    assert "--seeds 3 3; remedy" in fails(data, checkpoint, vectors, "--seeds", "3", "3")
    assert "--sampling-topk 4 --sampling-topp 2.0" in fails(data, checkpoint, vectors, "--sampling-topp", "2")
    assert "x.gif: not the name of a picture" in fails(data, checkpoint, vectors, "--plot", "x.gif")
