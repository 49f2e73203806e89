"""The report in a real browser: nothing is loaded, nothing runs, nothing sticks out of a phone."""

import shutil

import pytest

from fairseq_latent.cli import main
from tests.helpers.browser import STICKING_OUT, installed, launched, unreadable, visit, whole_picture
from tests.helpers.report_runs import write_measured

HOSTILE = (
    "<script>document.title='run'</script>",
    "<img src=https://example.org/x.png onerror=\"document.title='run'\">",
    "</span></details></main><style>@import 'https://example.org/x.css';body{display:none}</style>",
    "a" * 300 + " \x1b[31m \u202egnp.exe",
)
PHONE, DESKTOP = 360, 1280


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report of seven runs, more than one panel can show, whose names and responses are hostile; none was trained."""
    folder = tmp_path_factory.mktemp("hostile")
    runs = []
    for number in range(7):
        run = write_measured(folder / f"run{number}", HOSTILE, kl=0.3 * number, au=number)
        runs.append(f"{number} {HOSTILE[number % len(HOSTILE)]}={run}")
    out = folder / "page"
    title = "a long title without end " * 5 + HOSTILE[0]
    flags = ("--bootstrap", "100", "--title", title, "--data", folder, "--out", out)
    assert main(["report", *runs, *map(str, flags)]) == 0
    return out / "report.html"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_the_page_is_quiet_and_fits(browser, page, width, dark, tmp_path):
    with visit(browser, page, width, dark=dark, mobile=width == PHONE) as found:
        shown = found.page
        assert shown.evaluate("document.querySelectorAll('details').forEach(each => each.open = true); 1")
        assert shown.evaluate("document.documentElement.scrollWidth") == width
        assert shown.evaluate(STICKING_OUT) == []
        assert unreadable(shown) == []
        whole_picture(shown, tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000
    # nothing was asked for but the page and what it holds, and the browser had nothing to complain about
    assert found.asked[0] == page.resolve().as_uri()
    assert all(url.startswith("data:") for url in found.asked[1:])
    assert found.complaints == []


def test_pictures_are_there_and_tables_scroll_in_their_own_box(browser, page):
    with visit(browser, page, PHONE, mobile=True) as found:
        ask = found.page.evaluate
        assert ask("[...document.images].every(each => each.naturalWidth > 500 && each.alt)")
        assert ask("document.images.length") == 2  # without checkpoints there is no picture of latents
        assert ask("[...document.querySelectorAll('.scroll')].some(box => box.scrollWidth > box.clientWidth)")
        sizes = ask(
            "[...document.querySelectorAll('p, li, td, th')].map(e => parseFloat(getComputedStyle(e).fontSize))"
        )
    assert min(sizes) >= 13


def test_hostile_words_are_shown_and_do_nothing(browser, page):
    with visit(browser, page, DESKTOP) as found:
        assert found.page.title().endswith(HOSTILE[0])  # the title itself, as words
        assert found.page.evaluate("document.scripts.length") == 0
        assert found.page.evaluate("document.styleSheets.length") == 1
        answers = found.page.evaluate(
            "[...document.querySelectorAll('.systems li')].map(each => each.textContent.trim())"
        )
    for words in HOSTILE[:3]:
        assert words in answers
    assert "a" * 300 + r" \u001b[31m \u202egnp.exe" in answers


def test_the_policy_stops_what_escaping_would_let_through(browser, page, tmp_path):
    """A page whose escaping failed, with the report's policy: its script does not run, its picture is not asked for."""
    text = page.read_text(encoding="utf-8")
    broken = tmp_path / "broken.html"
    broken.write_text(text.replace("<main>", f"<main>{HOSTILE[0]}{HOSTILE[1]}"), encoding="utf-8")
    with visit(browser, broken, DESKTOP) as found:
        assert found.page.title() != "run"
    refused = " ".join(found.complaints)
    assert "inline script" in refused
    assert "Loading the image 'https://example.org/x.png' violates" in refused


def test_all_is_printed(browser, page):
    """What is folded on the screen is there on paper."""
    hidden = "[...document.querySelectorAll('details')].filter(each => !each.lastElementChild.checkVisibility()).length"
    with visit(browser, page, DESKTOP) as found:
        assert found.page.evaluate(hidden) > 5
        found.page.emulate_media(media="print")
        assert found.page.evaluate(hidden) == 0


def test_no_browser_is_no_failure(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert installed() is None
    with pytest.raises(pytest.skip.Exception), launched():
        pass
