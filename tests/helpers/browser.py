"""A headless Chromium for tests: this machine's own, driven by Playwright, which then downloads none."""

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--force-color-profile=srgb"),
)
MILLISECONDS = 40_000  # a cold start on a busy machine; then everything is over at once


def installed() -> str | None:
    """The browser's path."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def launched() -> Iterator:
    """Playwright's Browser, for as long as it is needed; the test is skipped where there is none."""
    library = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    program = installed()
    if program is None:
        pytest.skip(f"no browser ({', '.join(NAMES)}): apt install chromium")
    with library.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS), timeout=MILLISECONDS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """A page (Playwright's), and all that it asked for, said and complained about."""

    page: object
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@contextmanager
def visit(browser, file: Path, width: int, height: int = 800, dark: bool = False, mobile: bool = False, **options):
    """Load a file in a window of this size, in a context of its own: nothing that it stores outlives it."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", is_mobile=mobile,
        has_touch=mobile, **options,
    )  # fmt: skip
    context.set_default_timeout(MILLISECONDS)
    try:
        found = Visit(context.new_page())
        found.page.on("request", lambda request: found.asked.append(request.url))
        found.page.on("console", lambda message: found.complaints.append(message.text))
        found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
        found.page.on("dialog", lambda dialog: (found.complaints.append(dialog.message), dialog.dismiss()))
        found.page.goto(file.resolve().as_uri())
        yield found
    finally:
        context.close()


def whole_picture(page, path: Path) -> None:
    """The page down to its end as PNG; Playwright's own `full_page` never ends on a phone's page of 65,000 pixels."""
    asked = page.context.new_cdp_session(page).send("Page.captureScreenshot", {"captureBeyondViewport": True})
    path.write_bytes(base64.b64decode(asked["data"]))


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


def unreadable(page) -> list[str]:
    """Texts whose contrast is below WCAG's 4.5."""
    return [text for ratio, text in page.evaluate(CONTRASTS) if ratio < 4.5]
