"""Property tests: whatever stands in protocols, keys, ratings, sheets and scores, both commands end well or in one line."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from fairseq_latent.cli import main
from fairseq_latent.human_evaluation.sheets.spreadsheet import sheet
from fairseq_latent.human_evaluation.study import as_json

from ..helpers.hostile import altered, edited, folder, outcome, refused_or_written
from ..helpers.scored import generated, text
from .made_up import as_file, saved, study
from .test_protocol import OWN

FEW = settings(max_examples=max(1, settings.default.max_examples // 5))  # each reads and analyses a whole study
MADE = study("sensibleness-specificity", raters=2, contexts=3, repeat=0.2, checks=1)
RATED = [saved(MADE, rater, lambda task, criterion: 2) for rater in MADE.raters]
KEY = json.loads(as_json(MADE))
SCORES = {
    "rows": [{"name": name, "scores": {"BLEU": {"value": 1.5}}} for name in MADE.systems],
    "items": [{"system": "beta", "id": "1", "scores": {"x": 0.5}}, {"system": "beta", "id": "2", "scores": {"x": 2}}],
}
NUMBERED = sheet(MADE, "r1").replace("\t\t\t\n", "\t3\t4\tfine\n").encode()


def agree(here, *flags):
    """On a study whose files are written already."""
    found = outcome(main, "agreement", here, "--bootstrap", "40", "--out", here / "out", *flags)
    refused_or_written(found, here / "out")


@FEW
@given(altered(RATED[0]), st.sampled_from(("text", "json", "latex", "markdown")))
def test_ratings_of_any_form(content, style):
    with folder() as here:
        (here / "key.json").write_text(json.dumps(KEY))
        (here / "a.json").write_text(json.dumps(content))
        (here / "b.json").write_text(as_file(RATED[1]))
        agree(here, "--format", style)


@FEW
@given(edited(NUMBERED) | st.just(NUMBERED), edited(as_file(RATED[1]).encode()))
def test_damaged_sheets_and_ratings(cells, ratings):
    with folder() as here:
        (here / "key.json").write_text(json.dumps(KEY))
        (here / "a.tsv").write_bytes(cells)
        (here / "b.json").write_bytes(ratings)
        agree(here)


@FEW
@given(altered(KEY))
def test_a_key_of_any_form(key):
    with folder() as here:
        (here / "key.json").write_text(json.dumps(key))
        (here / "a.json").write_text(as_file(RATED[0]))
        agree(here)


@FEW
@given(altered(SCORES))
def test_scores_of_any_form(scores):
    with folder() as here:
        (here / "key.json").write_text(json.dumps(KEY))
        (here / "a.json").write_text(as_file(RATED[0]))
        (here / "s").write_text(json.dumps(scores))
        agree(here, "--scores", "s")


@FEW
@given(edited(OWN.encode()), edited(generated([["yes"], ["no"], ["=1"]]).encode()), edited(b"0\n2\n"))
def test_protocols_responses_and_ids(protocol, responses, ids):
    with folder() as here:
        (here / "own.toml").write_bytes(protocol)
        (here / "a").write_bytes(responses)
        (here / "b").write_text(text(["x", "y", "z"]))
        (here / "ids").write_bytes(ids)
        flags = ("--protocol", "own.toml", "--ids", "ids", "--raters", "2", "--out", "out")
        found = outcome(main, "sheets", "a=a", "b=b", *flags)
        refused_or_written(found, here / "out")
