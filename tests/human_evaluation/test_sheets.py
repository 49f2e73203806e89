"""What raters get: selection, assignment, pages and sheets that tell nothing about systems."""

import json
import random
from itertools import combinations

import pytest

from fairseq_latent.cli import main
from fairseq_latent.errors import InputError
from fairseq_latent.human_evaluation.protocol import read_protocol
from fairseq_latent.human_evaluation.sheets.assignment import balanced
from fairseq_latent.human_evaluation.sheets.build import build, files
from fairseq_latent.human_evaluation.sheets.selection import read_material, select
from fairseq_latent.human_evaluation.sheets.spreadsheet import as_text, read_sheet, same_text
from fairseq_latent.human_evaluation.study import read_key

from ..helpers.scored import generated, text
from .made_up import material, study

RESPONSES = [["yes", "no"], ["\u202eno"] * 2, [""] * 2]  # of two hypotheses each: the first is judged
IDS = "a:1\na:2\nb:1\n"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.txt").write_text(generated(RESPONSES))
    (tmp_path / "two.txt").write_text(text(["yes", "never", "x"]))
    (tmp_path / "src").write_text(text(["hi <eot> context 0", "context 1", "a <eou> b <eot> context 2"]))
    (tmp_path / "partner").write_text(text(["i ski . <eot> i own a cat .", "i run .", ""]))
    (tmp_path / "ids").write_text(IDS)
    return tmp_path


@pytest.mark.parametrize(("contexts", "raters", "each"), [(50, 6, 3), (100, 6, 6), (7, 3, 2), (10, 5, 1)])
def test_assignment_is_balanced(contexts, raters, each):
    found = balanced(contexts, raters, each, random.Random(1))
    loads = [len(set(own)) for own in found]
    assert sum(loads) == contexts * each and max(loads) - min(loads) <= 1
    assert all(sum(context in own for own in found) == each for context in range(contexts))
    shared = [len({*one} & {*two}) for one, two in combinations(found, 2)]
    assert max(shared) - min(shared) <= 4


def test_equal_responses_are_judged_once_and_count_for_all():
    made = study(raters=2)
    assert [each.systems for each in made.judged if each.responses == ("i see .",)] == [(("alpha", "beta", "gamma"),)]
    assert [len(tasks) for tasks in made.raters.values()] == [1 + 3 * 3] * 2
    pairs = study("preference", raters=1)
    assert len(pairs.judged) == 3 * 3 and len(pairs.equal) == 3


def test_responses_of_a_context_stay_together_and_are_shuffled_for_each_rater():
    made = study(raters=3, contexts=12)
    orders = []
    for tasks in made.raters.values():
        met = [task.context for task in tasks]
        assert [met[0], *(b for a, b in zip(met, met[1:], strict=False) if a != b)] == list(dict.fromkeys(met))
        orders.append([made.by_id[task.of].systems[0][0] for task in sorted(tasks, key=lambda each: each.context)])
    assert len({tuple(each) for each in orders}) == 3
    assert made == study(raters=3, contexts=12) != study(raters=3, contexts=12, seed=2)


def test_repeats_come_in_the_second_half_and_checks_say_what_to_choose():
    made = study(raters=2, contexts=10, repeat=0.2, checks=2)
    for tasks in made.raters.values():
        repeated = [place for place, task in enumerate(tasks) if task.repeat]
        assert len(repeated) == 6 and all(place > len(tasks) // 3 for place in repeated)  # .2 of 28
        for place in repeated:
            assert tasks[place].of in [task.of for task in tasks[:place]]
        checks = [task for task in tasks if task.expects]
        assert len(checks) == 2 and all(f"the {task.expects} number" in made.shown(task)[0] for task in checks)


def test_pages_and_sheets_hold_nothing_of_the_key():
    """A study whose systems have other names has the same pages, byte for byte; no name is in them, nor an id of the key."""
    options = {"repeat": 0.1, "checks": 1}
    made, other = study(**options), study(systems=("zulu", "yankee", "xray"), **options)
    assert files(made) == files(other) and made.systems != other.systems
    for page in files(made).values():
        assert not any(name in page for name in (*made.systems, *made.by_id, "expects", "swapped"))
    # and the order in which systems are given is not that of the items
    assert sorted(made.by_id) != [each.id for each in made.judged]


def test_a_page_is_one_file_in_which_texts_stay_texts():
    hostile = "</script><script>alert(1)</script><!-- \u2028 &amp;"
    own = material()
    responses = ((hostile, *own.responses[0][1:]), *own.responses[1:])
    made = build(type(own)(own.systems, own.contexts, responses, None), read_protocol("persona"), "en", 1)
    page = files(made)["rate.r1.html"]
    assert page.count("<script") == 2 and "alert(1)</script>" not in page
    assert "http" not in page.replace('http-equiv="Content-Security-Policy"', "")
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    assert hostile in [each["responses"][0] for each in data["items"]]


def test_a_sheet_is_text_for_spreadsheets(tmp_path):
    assert [as_text(cell) for cell in ("=1+1", "-1", "'x", "fine", "")] == ["'=1+1", "'-1", "''x", "fine", ""]
    assert same_text("=1+1", "=1+1") and same_text("'=1+1", "=1+1") and not same_text("=1", "=1+1")
    made = study(raters=1)
    sheet = files(made)["sheet.r1.tsv"]
    for name, raw in (("plain", sheet.encode()), ("excel", sheet.replace("\n", "\r\n").encode("utf-16"))):
        (tmp_path / name).write_bytes(raw)
        columns, rows = read_sheet(tmp_path / name)
        assert columns == ["study", "rater", "item", "context", "response", "coherence", "engagingness", "profile"] + [
            "persona relevancy", "comment",
        ]  # fmt: skip
        assert len(rows) == 10 and rows[0].line == 2
    assert rows[-1].cells["context"].splitlines()[0] == "Responder: hello"


def test_the_command_writes_a_study(here, capsys):
    words = "--contexts src --profiles partner --protocol persona --items 2 --dialogues ids --raters 2 --out study"
    flags = words.split()
    assert main(["sheets", "one=one.txt", "two=two.txt", *flags]) == 0
    made = read_key(here / "study/key.json")
    assert made.systems == ("one", "two") and [each.id for each in made.contexts][1] == "b:1"
    assert ("\\u202eno",) in [each.responses for each in made.judged]  # a turned direction is written out
    assert made.contexts[1].turns == ("a\nb", "context 2") and len(made.contexts) == 2  # one of dialogue a
    assert {each.name for each in (here / "study").iterdir()} == {
        "key.json", "rate.r1.html", "rate.r2.html", "sheet.r1.tsv", "sheet.r2.tsv",
    }  # fmt: skip
    assert "2 contexts, 2 systems" in capsys.readouterr().out
    assert main(["sheets", "one=one.txt", "two=two.txt", *flags]) == 2  # pages may be with raters
    assert "holds a study" in capsys.readouterr().err


def test_a_hand_picked_set(here):
    protocol = read_protocol("sensibleness-specificity")
    (here / "picked").write_text("2\n\nb:1\n")
    found = read_material(["one=one.txt"], protocol, "src", dialogues="ids")
    with pytest.raises(InputError, match="line 3: the id 'b:1' stands twice"):
        select(found, None, protocol, 1, "picked")
    (here / "picked").write_text("2\na:1\n")
    assert [each.id for each in select(found, None, protocol, 1, "picked").contexts] == ["b:1", "a:1"]
    (here / "picked").write_text("3\n")
    with pytest.raises(InputError, match="line 1: no context has the id '3'"):
        select(found, None, protocol, 1, "picked")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("one=one.txt two=two.txt", "there are 3 contexts, fewer than 100, as protocol"),
        ("one=one.txt --items 4", "fewer than --items 4; remedy: --items 3"),
        ("two=two.txt --items 2", "without contexts (S- lines); remedy: --contexts"),
        ("one=one.txt short=short.txt --items 2", "answer 3 and 1 contexts"),
        ("one=one.txt other=other.txt --items 2", "have different contexts at id 1"),
        ("one=one.txt --contexts wrong --items 2", "answers other contexts than wrong"),
        ("one=one.txt --contexts short.txt --items 2", "short.txt: 1 contexts, but one has 3 responses"),
        ("one=one.txt --protocol persona --items 2", "remedy: --profiles"),
        ("one=one.txt --protocol preference --items 2", "a second NAME=FILE"),
        ("one=one.txt --items 2 --per-item 7", "--per-item 7, but --raters 6"),
        ("--plan one=one.txt", "--plan makes no pages"),
        ("--plan --protocol preference", "remedy: --pilot"),
        ("--plan --difference 9", "5 at most; remedy: one below"),
    ],
)
def test_what_does_not_fit_is_refused(here, capsys, flags, words):
    (here / "short.txt").write_text("x\n")
    (here / "other.txt").write_text(generated(RESPONSES).replace("S-1\tcontext", "S-1\tanother"))
    (here / "wrong").write_text(text(["a", "b", "c"]))
    out = [] if "--plan" in flags else ["--out", "study"]
    assert main(["sheets", *flags.split(), *out]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and not (here / "study").exists()
