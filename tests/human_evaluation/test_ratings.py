"""What raters send back: late, in part, twice, changed, off the scale, of another study."""

import csv
import io
import json

import pytest

from fairseq_latent.errors import InputError
from fairseq_latent.human_evaluation.ratings import files_of, read_ratings
from fairseq_latent.human_evaluation.sheets.spreadsheet import sheet
from fairseq_latent.human_evaluation.study import read_key

from .made_up import as_file, saved, send, study, written


@pytest.fixture(scope="module")
def made():
    return study("sensibleness-specificity", raters=2)


def rated(made, *contents, folder):
    paths = [send(folder, content, f"{place}.json") for place, content in enumerate(contents)]
    return read_ratings(made, paths)


def test_the_newest_rating_counts_and_says_so(made, tmp_path):
    old = saved(made, "r1", lambda task, criterion: 2)
    part = [task.item for task in made.raters["r1"]][:3]
    new = saved(made, "r1", lambda task, criterion: 4 if criterion.name == "specificity" else None, minute=5, only=part)
    found = rated(made, new, old, folder=tmp_path)
    assert [rating.scores for rating in found.ratings[:4]] == [{"specificity": 4}] * 3 + [
        {"sensibleness": 2, "specificity": 2}
    ]
    assert found.notes == (
        "r1: 3 ratings were replaced by newer ones of the same item",
        "r1: 10 of 10 items rated, 3 of them in part",
        "r2: 0 of 10 items rated",
    )


def test_two_people_under_one_name(made, tmp_path):
    one = saved(made, "r1", lambda *_: 2, browser="x")
    two = saved(made, "r1", lambda *_: 3, browser="y", minute=1)
    with pytest.raises(InputError, match="two raters under one name, r1"):
        rated(made, one, two, folder=tmp_path)
    # one person who took the file to another device has both browsers in it
    two["browsers"] += one["browsers"]
    assert {rating.scores["sensibleness"] for rating in rated(made, one, two, folder=tmp_path).ratings} == {3}
    # and halves that do not contradict each other may come from two devices
    same = saved(made, "r1", lambda *_: 2, browser="z")
    assert rated(made, one, same, folder=tmp_path).ratings


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda row, file: row["scores"].update(sensibleness=7),
            "line 4: sensibleness is 7, off its scale; remedy: 1 to 5",
        ),
        (
            lambda row, file: row["scores"].update(sensibleness=0),
            "line 4: sensibleness is 0, off its scale; remedy: 1 to 5",
        ),
        (lambda row, file: row["scores"].update(specificity=2.5), "line 4: a damaged rating"),
        (lambda row, file: row["scores"].update(charm=1), "line 4: no criterion is called 'charm'"),
        (lambda row, file: row.update(item="ffff"), "line 4: item 'ffff' is not of this study"),
        (lambda row, file: row.update(responses=["other words"]), "line 4: the response is not the study's"),
        (lambda row, file: row.update(time="yesterday"), "line 4: a damaged rating"),
        (lambda row, file: file.update(study="0123"), "of study '0123', not "),
        (lambda row, file: file.update(rater="r9"), "no rater 'r9'; remedy: one of r1, r2"),
        (lambda row, file: file.update(rater="r2"), "is r1's, not r2's; remedy: each rater's own page"),
        (lambda row, file: file.update(browsers=3), "damaged"),
    ],
)
def test_what_does_not_belong_is_refused_by_line(made, tmp_path, change, words):
    content = saved(made, "r1", lambda *_: 3)
    change(content["ratings"][2], content)
    with pytest.raises(InputError) as error:
        rated(made, content, folder=tmp_path)
    assert words in str(error.value) and "0.json" in str(error.value) and "remedy: " in str(error.value)


def filled(made, rater, cells, folder):
    """The sheet as the rater would fill it in: `cells` are those of its two criteria, the same in each row."""
    rows = list(csv.reader(io.StringIO(sheet(made, rater)), delimiter="\t"))
    with open(folder / f"sheet.{rater}.tsv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([rows[0], *([*row[:5], *cells, "fine"] for row in rows[1:])])
    return folder / f"sheet.{rater}.tsv"


def test_sheets_are_read_as_pages_are(tmp_path):
    made = study("sensibleness-specificity", raters=2, contexts=3)
    folder = written(tmp_path / "study", made)
    found = read_ratings(made, [filled(made, "r1", ("4", "0.0"), folder)])
    (first, *_) = found.ratings
    assert len(found.ratings) == 7 and first.scores == {"sensibleness": 4, "specificity": 0} and first.seconds is None
    assert [path.name for path in files_of(folder)] == ["sheet.r1.tsv", "sheet.r2.tsv"]  # not the key
    for cells, words in ((("6", "1"), "line 2: sensibleness is 6"), (("good", "1"), "sensibleness is 'good'")):
        with pytest.raises(InputError, match=words):
            read_ratings(made, [filled(made, "r1", cells, folder)])
    done = filled(made, "r1", ("4", "1"), folder)
    for before, after, words in (
        ("i see .", "i sea .", "the response is not the study's, 'i see .'; remedy: restore"),
        ("\tspecificity", "\tspec", "line 1: no column 'specificity'"),
        (made.id, "x", "of study 'x'"),
    ):
        text = done.read_text("utf-8")
        assert before in text
        (folder / "other.tsv").write_text(text.replace(before, after), "utf-8")
        with pytest.raises(InputError, match=words):
            read_ratings(made, [folder / "other.tsv"])


def test_a_page_and_a_sheet_of_one_rater(tmp_path):
    made = study("sensibleness-specificity", raters=2, contexts=3)
    folder = written(tmp_path / "study", made)
    page = send(folder, saved(made, "r1", lambda *_: 2))
    done = filled(made, "r1", ("5", "5"), folder)  # its file is newer than the page's ratings
    found = read_ratings(made, [done, page])
    assert {rating.scores["specificity"] for rating in found.ratings} == {5}
    assert "r1: 7 ratings were replaced" in found.notes[0]


def test_a_key_of_another_form(tmp_path):
    made = study(raters=1)
    folder = written(tmp_path / "study", made)
    assert read_key(folder / "key.json") == made
    key = json.loads((folder / "key.json").read_text("utf-8"))
    for change in (
        {"format": "x"},
        {"judged": []},
        {"raters": {}},
        {"language": "fr"},
        {"protocol": {}},
        {"systems": 3},
    ):
        (tmp_path / "key.json").write_text(json.dumps(key | change))
        with pytest.raises(InputError, match="remedy: "):
            read_key(tmp_path / "key.json")


def test_nothing_is_no_study(made, tmp_path):
    (tmp_path / "scores.json").write_text('{"rows": []}')  # of somebody else
    with pytest.raises(InputError, match="no ratings in these files"):
        read_ratings(made, files_of(tmp_path))
    (tmp_path / "broken.json").write_text(as_file(saved(made, "r1", lambda *_: 3))[:-40])
    with pytest.raises(InputError, match=r"broken.json: line \d+: not JSON"):
        read_ratings(made, files_of(tmp_path))
