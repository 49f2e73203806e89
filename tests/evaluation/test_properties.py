"""Property tests: whatever stands in responses, logs and measured numbers, the commands that read them end in success or in
one line."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from fairseq_latent.cli import main
from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.analysis.sweep import as_json
from fairseq_latent.evaluation.metrics import profile_categories
from fairseq_latent.evaluation.reporting import collect
from fairseq_latent.evaluation.runs.outside_systems import read_outside
from fairseq_latent.evaluation.runs.run_folder import run_folders
from fairseq_latent.evaluation.runs.training_log import read_training_log

from ..helpers.hostile import DEAR, altered, edited, folder, outcome, refused_or_written
from ..helpers.report_runs import write_measured
from ..helpers.scored import BASE, OURS, REFERENCES, generated, text
from ..preprocess.corpora.test_properties_readers import text_of
from ..preprocess.test_properties_steps import BINARY, VECTORS
from .reporting.test_table_personas import LATENTS, PERCEPTION, SWEEP, score
from .reporting.test_table_sentences import NUMBERS

ROUGH = ("--bootstrap", "40")
GENERATED = generated([[line, line] for line in OURS]).encode()


@given(edited(GENERATED), st.sampled_from(("first", "all", "mean")), st.sampled_from(("text", "json", "latex")))
def test_score_of_what_was_generated(data, hypothesis, style):
    with folder() as here:
        (here / "a").write_bytes(data)
        (here / "b").write_bytes(GENERATED)
        flags = ("--lang", "none", "--hypothesis", hypothesis, "--format", style, "--out", here / "out")
        found = outcome(main, "score", "a=a", "b=b", *ROUGH, *flags)
        refused_or_written(found, here / "out")


OUTSIDE = b"".join(b'{"id": %d, "responses": ["yes .", "no"], "settings": {"top_p": 0.9}}\n' % row for row in range(3))


@given(edited(OUTSIDE))
def test_responses_of_outside_systems(data):
    with folder() as here:
        (here / "a.jsonl").write_bytes(data)
        try:
            found = read_outside(here / "a.jsonl")
        except InputError as error:
            assert "remedy: " in str(error)
        else:
            assert all(each.hypotheses for each in found.generations)


@given(edited(text(BASE).encode()), edited(text(REFERENCES).encode()), st.sampled_from(("en", "ja", "none")))
def test_score_of_text(responses, references, language):
    with folder() as here:
        (here / "a").write_bytes(responses)
        (here / "r").write_bytes(references)
        found = outcome(main, "score", "a=a", "--reference", "r", "--lang", language, *ROUGH, "--out", here / "out")
        refused_or_written(found, here / "out")


FILES = {
    "profiles": b"i like tea .\ni ski .\ntea , tea\n", "vectors": VECTORS, "stopwords": b"i\nlike\n",
    "train-text": b"tea tea\n", "dialogues": b"a:1\na:2\nb:1\n",
}  # fmt: skip


@given(st.sampled_from(sorted(FILES)), st.data())
def test_score_beside_profiles(which, data):
    used = FILES | {which: data.draw(edited(FILES[which]) | edited(BINARY))}
    with folder() as here:
        for name, content in used.items():
            (here / name).write_bytes(content)
        (here / "a").write_text(text(OURS))
        names = set(FILES) - ({"dialogues"} if which != "dialogues" else set())
        flags = [word for name in sorted(names) for word in (f"--{name}", name)]
        found = outcome(main, "score", "a=a", "--lang", "none", *flags, "--out", here / "out")
        refused_or_written(found, here / "out")


LOG = [
    {"num_updates": "10", "kl": "0.5", "kl_weight": "0.1", "wall": "1800", "inner_steps": "30", "nll": 3, "rec_ppl": 9},
    {"valid_num_updates": "10", "valid_kl": "0.4", "valid_rec_ppl": "8"},
    {"num_updates": "20", "kl": "2", "kl_weight": "0.2", "wall": "3600", "inner_steps": "45"},
]
LOGS = altered(LOG).map(lambda records: b"".join(text_of(each) + b"\n" for each in records))
LOGS |= edited(b"".join(text_of(each) + b"\n" for each in LOG))


@given(LOGS)
def test_training_log(data):
    with folder() as here:
        (here / "train.log").write_bytes(data)
        outcome(lambda words: read_training_log(*words).seconds and None, here / "train.log")


CATEGORIES = {"food": ["pizza", "寿司"], "sport": ["ski"]}


@given(altered(CATEGORIES).map(text_of) | edited(text_of(CATEGORIES)))
def test_categories(data):
    with folder() as here:
        (here / "x.json").write_bytes(data)
        outcome(
            lambda words: (
                profile_categories.by_words(["i like pizza"], profile_categories.read_categories(*words)) and None
            ),
            here / "x.json",
        )


SCORES = {
    "rows": [
        {"name": "Full", "scores": {"Distinct-1": score(0.5), "P.Distance": score(0.4, to_other_profiles=0.375)}},
    ]
}
PERSONA = {
    "train.log": LOG, "latents.test.json": LATENTS | {"fader_kl": 0.125}, "sweep.json": json.loads(as_json(SWEEP)),
    "perception.json": PERCEPTION, "scores.json": SCORES,
}  # fmt: skip


def run_folder(files: dict[str, object], which: str, draw, home: Path) -> None:
    """A finished run's files, one of them altered."""
    home.mkdir()
    for name, value in files.items():
        lines = name.endswith(".log")

        def written(value: object, lines: bool = lines) -> bytes:
            return b"".join(text_of(each) + b"\n" for each in value) if lines else text_of(value)

        data = written(value)
        (home / name).write_bytes(draw(altered(value).map(written) | edited(data)) if name == which else data)
    (home / "done").write_text("20 0\n")


@given(st.sampled_from(sorted(PERSONA)), st.data())
def test_personas(which, data):
    with folder() as here:
        run_folder(PERSONA, which, data.draw, here / "run")
        outs = [here / "page.md", here / "numbers.csv", here / "sweeps.jsonl"]
        flags = ("--page", outs[0], "--csv", outs[1], "--curves", outs[2])
        found = outcome(main, "table", "personas", "Full=run", "--scores", here / "run/scores.json", *flags)
        refused_or_written(found, *outs)
        _read_again(found, "personas", outs, flags, data)


def _read_again(found, kind, outs, flags, data):
    """What was written is read again, edited."""
    if not found.code:
        broken = data.draw(st.sampled_from(outs))
        broken.write_bytes(data.draw(edited(broken.read_bytes())))
        outcome(main, "table", kind, "b=run", *flags)


COLLAPSE = {
    "train.log": LOG, "latents.test.json": NUMBERS | {"signature": "split:test"},
    "latents.valid.json": NUMBERS | {"signature": "split:valid"},
    "latents.test.iw.json": NUMBERS | {"iw_ppl": 99.5, "signature": "split:test"},
}  # fmt: skip


@given(st.sampled_from(sorted(COLLAPSE)), st.data())
def test_collapse(which, data):
    with folder() as here:
        run_folder(COLLAPSE, which, data.draw, here / "run")
        outs = [here / "page.md", here / "numbers.csv", here / "curves.csv"]
        flags = ("--page", outs[0], "--csv", outs[1], "--curves", outs[2])
        found = outcome(main, "table", "sentences", "a=run", *flags)
        refused_or_written(found, *outs)
        _read_again(found, "sentences", outs, flags, data)


MEASURED = st.sampled_from(
    ("train.log", "generate.test.txt", "samples.test1.txt", "latents.valid.json", "latents.test.json")
)


def damaged(which: str, draw, here: Path) -> None:
    """Two measured runs, a file of one of them edited."""
    for name in ("a", "b"):
        write_measured(here / name, ["i see .", "why ?"])
    file = here / "a" / which
    file.write_bytes(draw(edited(file.read_bytes())))


@given(MEASURED, st.data())
def test_what_a_report_reads(which, data):
    """All of it; a file that is broken is named as missing."""
    with folder() as here:
        damaged(which, data.draw, here)
        outcome(_read_all, "a=a", "b=b")


def _read_all(words):
    missing = []
    for kind, runs in collect.grouped(run_folders(words), missing).items():
        collect.measured(kind, runs, collect.Scoring("none", 0, 1), missing)


@DEAR
@given(MEASURED, st.data())
def test_report(which, data):
    with folder() as here:
        damaged(which, data.draw, here)
        found = outcome(main, "report", "a=a", "b=b", "--data", here, "--out", here / "page", "--bootstrap", "0")
        refused_or_written(found, here / "page")
