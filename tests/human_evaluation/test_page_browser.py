"""The rating page in a real browser: a whole study by keyboard, phones and desktops, storage, files, hostile texts."""

import json

import pytest

from fairseq_latent.cli import main
from fairseq_latent.human_evaluation.protocol import read_protocol
from fairseq_latent.human_evaluation.sheets.build import build, files
from fairseq_latent.human_evaluation.sheets.selection import Material
from fairseq_latent.human_evaluation.study import Context, write_study

from ..helpers.browser import STICKING_OUT, unreadable, visit
from .made_up import study, written

PHONE, DESKTOP = 390, 1280
HOSTILE = (
    "<script>document.title='run'</script>",
    "</script><img src=https://example.org/x.png onerror=\"document.title='run'\">",
    "شكرا، أنا بخير. ماذا تحب أن تأكل؟",
    "うどんを食べました。" * 20,
    "a" * 300,
    "",
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Pages of texts that mean something to HTML, are long, empty, Arabic or Japanese."""
    folder = tmp_path_factory.mktemp("hostile")
    contexts = tuple(Context(str(n), (HOSTILE[n - 1], text), (text or "x",)) for n, text in enumerate(HOSTILE))
    own = Material(("a", "b"), contexts, (HOSTILE, HOSTILE[::-1]), None)
    for protocol, language in (("persona", "en"), ("preference", "ja")):
        made = build(own, read_protocol(protocol), language, 1)
        write_study(made, folder / protocol, files(made))
    return folder


def place(page):
    return page.text_content("#place")


def data_of(page):
    return json.loads(page.text_content("#data"))


def score(item, criterion, rater):
    """What a test rater says, of what the page shows alone."""
    return criterion["values"][(len(item["responses"][0]) + len(criterion["name"]) + rater) % len(criterion["values"])]


def rate(browser, folder, rater, width):
    """Rate everything with keys, save, and give back the file's name and what was entered."""
    entered = {}
    with visit(browser, folder / f"rate.r{rater}.html", width, mobile=width == PHONE) as found:
        page, data = found.page, data_of(found.page)
        page.keyboard.press("9")  # on no scale here: nothing happens
        for item in data["items"]:
            assert item["responses"][0] in page.inner_text("#responses")
            for criterion in data["criteria"]:
                value = score(item, criterion, rater)
                entered[item["item"], criterion["name"]] = value
                page.keyboard.press(str(value))
        assert page.is_visible("#finished") and page.text_content("#count") == f"{len(data['items'])} of 7 rated"
        with page.expect_download() as download:
            page.keyboard.press("s")
        download.value.save_as(folder / download.value.suggested_filename)
        assert found.complaints == [] and found.asked[0].startswith("file:")
        assert all(url.startswith(("data:", "blob:")) for url in found.asked[1:])
    return entered


def test_three_raters_by_keyboard_and_the_numbers_they_entered(browser, tmp_path, capsys):
    made = study("persona", raters=3, contexts=3)
    folder = written(tmp_path / "study", made)
    entered = {}
    for rater, width in ((1, DESKTOP), (2, PHONE), (3, DESKTOP)):
        entered |= rate(browser, folder, rater, width)
    assert main(["agreement", str(folder), "--bootstrap", "0", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    of = {task.item: task.of for tasks in made.raters.values() for task in tasks}
    for system in made.systems:
        for criterion in made.protocol.criteria:
            own = [
                value
                for (item, name), value in entered.items()
                if name == criterion.name and system in made.by_id[of[item]].systems[0]
            ]
            mean = found["means"][system][criterion.wording["en"].title]
            assert mean["ratings"] == len(own) == 9 and mean["value"] == pytest.approx(sum(own) / 9)
    assert [rater["rated"] for rater in found["raters"]] == [7, 7, 7]
    assert all(rater["seconds"] > 0 for rater in found["raters"])


def test_work_is_kept_moved_and_taken_up_again(browser, tmp_path):
    folder = written(tmp_path / "study", study("persona", raters=2))
    with visit(browser, folder / "rate.r1.html", DESKTOP) as found:
        page = found.page
        # the profile appears with the question that it is for, and goes with it
        assert not page.is_enabled(".criterion >> nth=2 >> button >> nth=0")
        assert "cats" not in page.inner_text("main")
        page.keyboard.press("2")
        page.keyboard.press("1")
        assert "cats" in page.inner_text(".criterion.active")
        page.keyboard.press("ArrowUp")
        assert "cats" not in page.inner_text("main")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("0")
        assert place(page) == "Item 2 of 10"
        page.keyboard.press("l")  # for later
        assert place(page) == "Item 3 of 10" and page.text_content("#later-count") == "1"
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowLeft")
        assert page.locator("[aria-pressed=true] b").all_text_contents() == ["2", "1", "0"]
        page.reload()  # kept in the browser
        assert page.text_content("#count") == "1 of 10 rated" and page.text_content("#later-count") == "1"
        page.click("#open-list summary")
        page.click("#later-list button")
        assert place(page) == "Item 2 of 10"
        # a screen reader hears which question, which numbers, which is chosen, and how far one is
        shown = page.locator("body").aria_snapshot()
        assert (
            'group "Coherence"' in shown and 'button "0 not related to the context"' in shown and "progressbar" in shown
        )
        with page.expect_download() as download:
            page.click("#save")
        download.value.save_as(tmp_path / "saved.json")
    with visit(browser, folder / "rate.r1.html", PHONE, mobile=True) as found:  # another device
        page = found.page
        assert page.text_content("#count") == "0 of 10 rated"
        page.set_input_files("#load", tmp_path / "saved.json")
        page.wait_for_function("document.querySelector('#count').textContent.startsWith('1 of')")
        with page.expect_download() as download:
            page.click("#save")
        again = json.loads(download.value.path().read_text("utf-8"))
    first = json.loads((tmp_path / "saved.json").read_text("utf-8"))
    assert again["ratings"][0]["scores"] == first["ratings"][0]["scores"]
    assert len(again["browsers"]) == 2 and {*first["browsers"]} < {*again["browsers"]}
    with visit(browser, folder / "rate.r2.html", DESKTOP) as found:  # another rater
        found.page.set_input_files("#load", tmp_path / "saved.json")
        found.page.wait_for_function("document.querySelector('#status').classList.contains('warn')")
        assert found.page.text_content("#count") == "0 of 10 rated"


@pytest.mark.parametrize(
    ("protocol", "width", "dark"),
    [
        ("persona", PHONE, False),
        ("persona", DESKTOP, True),
        ("preference", PHONE, True),
        ("preference", DESKTOP, False),
    ],
)
def test_any_text_is_shown_as_text_and_fits(browser, hostile, protocol, width, dark):
    with visit(browser, hostile / protocol / "rate.r1.html", width, dark=dark, mobile=width == PHONE) as found:
        page, items = found.page, data_of(found.page)["items"]
        page.keyboard.press("1")
        assert unreadable(page) == []
        page.keyboard.press("ArrowLeft")
        for item in items:
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert page.evaluate(STICKING_OUT) == []
            texts = page.locator("#responses [dir], #responses .empty").all_text_contents()
            assert texts == [
                text or {"persona": "(empty response)", "preference": "(空の応答)"}[protocol]
                for text in item["responses"]
            ]
            small = "[...document.querySelectorAll('button')].some(each => each.offsetHeight && each.offsetHeight < 44)"
            assert not page.evaluate(small)  # a thumb's width
            page.keyboard.press("ArrowRight")
        assert "run" not in page.title() and found.complaints == [] and len(found.asked) == 1
