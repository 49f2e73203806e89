"""The report in a real browser: nothing is loaded, nothing runs, nothing sticks out of a phone."""

import shutil

import pytest

from fairseq_latent.cli import main
from tests.helpers.browser import NAMES, Browser, installed
from tests.helpers.report_runs import write_measured

HOSTILE = (
    "<script>document.title='run'</script>",
    "<img src=https://example.org/x.png onerror=\"document.title='run'\">",
    "</span></details></main><style>@import 'https://example.org/x.css';body{display:none}</style>",
    "a" * 300 + " \x1b[31m \u202egnp.exe",
)
PHONE, DESKTOP = 360, 1280
# every element that reaches beyond the window, but for what scrolls in a box of its own
STICKING_OUT = """[...document.body.querySelectorAll('*')]
    .filter(each => !each.closest('.scroll table') && each.getBoundingClientRect().right > innerWidth + 0.5)
    .map(each => each.outerHTML.slice(0, 80))"""
# WCAG's contrast of every text with what lies behind it
CONTRASTS = """(() => {
    const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
        .map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const rgb = colour => colour.match(/[\\d.]+/g).map(Number);
    const behind = each => {
        for (; each; each = each.parentElement) {
            const colour = rgb(getComputedStyle(each).backgroundColor);
            if (colour.length < 4 || colour[3] > 0) return colour;
        }
        return [255, 255, 255];
    };
    return [...document.body.querySelectorAll('*')]
        .filter(each => [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
        .map(each => {
            const [a, b] = [light(rgb(getComputedStyle(each).color)), light(behind(each))].sort((x, y) => x - y);
            return [(b + 0.05) / (a + 0.05), each.tagName + ': ' + each.textContent.slice(0, 40)];
        });
})()"""


@pytest.fixture(scope="module")
def browser():
    """One for all tests here; it may be missing, and then so are they."""
    program = installed()
    if program is None:
        pytest.skip(f"no browser ({', '.join(NAMES)}): apt install chromium")
    with Browser(program) as opened:
        yield opened


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
    browser.open(page, width, dark=dark, mobile=width == PHONE)
    assert browser.evaluate("document.querySelectorAll('details').forEach(each => each.open = true); 1")
    assert browser.evaluate("document.documentElement.scrollWidth") == width
    assert browser.evaluate(STICKING_OUT) == []
    assert [text for ratio, text in browser.evaluate(CONTRASTS) if ratio < 4.5] == []
    browser.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000
    # nothing was asked for but the page and what it holds, and the browser had nothing to complain about
    asked = [event["request"]["url"] for event in browser.named("Network.requestWillBeSent")]
    assert asked[0] == page.resolve().as_uri()
    assert all(url.startswith("data:") for url in asked[1:])
    complaints = browser.named("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
    assert complaints + browser.named("Page.javascriptDialogOpening") == []


def test_pictures_are_there_and_tables_scroll_in_their_own_box(browser, page):
    browser.open(page, PHONE, mobile=True)
    assert browser.evaluate("[...document.images].every(each => each.naturalWidth > 500 && each.alt)")
    assert browser.evaluate("document.images.length") == 2  # without checkpoints there is no picture of latents
    assert browser.evaluate("[...document.querySelectorAll('.scroll')].some(box => box.scrollWidth > box.clientWidth)")
    sizes = browser.evaluate(
        "[...document.querySelectorAll('p, li, td, th')].map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(sizes) >= 13


def test_hostile_words_are_shown_and_do_nothing(browser, page):
    browser.open(page, DESKTOP)
    assert browser.evaluate("document.title").endswith(HOSTILE[0])  # the title itself, as words
    assert browser.evaluate("document.scripts.length") == 0
    assert browser.evaluate("document.styleSheets.length") == 1
    answers = browser.evaluate("[...document.querySelectorAll('.systems li')].map(each => each.textContent.trim())")
    for words in HOSTILE[:3]:
        assert words in answers
    assert "a" * 300 + r" \u001b[31m \u202egnp.exe" in answers


def test_the_policy_stops_what_escaping_would_let_through(browser, page, tmp_path):
    """A page whose escaping failed, with the report's policy: its script does not run, its picture is not asked for."""
    text = page.read_text(encoding="utf-8")
    broken = tmp_path / "broken.html"
    broken.write_text(text.replace("<main>", f"<main>{HOSTILE[0]}{HOSTILE[1]}"), encoding="utf-8")
    browser.open(broken, DESKTOP)
    assert browser.evaluate("document.title") != "run"
    refused = " ".join(event["entry"]["text"] for event in browser.named("Log.entryAdded"))
    assert "inline script" in refused
    assert "Loading the image 'https://example.org/x.png' violates" in refused


def test_all_is_printed(browser, page):
    """What is folded on the screen is there on paper."""
    browser.open(page, DESKTOP)
    hidden = "[...document.querySelectorAll('details')].filter(each => !each.lastElementChild.checkVisibility()).length"
    assert browser.evaluate(hidden) > 5
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.evaluate(hidden) == 0


def test_no_browser_is_no_failure(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert installed() is None
