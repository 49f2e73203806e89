"""A headless Chromium for tests, driven over a pipe with the DevTools protocol: nothing but the standard library."""

import base64
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-extensions", "--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
    *("--force-color-profile=srgb", "--remote-debugging-pipe"),
)
SECONDS = 40  # a cold start on a busy machine; then everything is over at once


def installed() -> str | None:
    """The browser's path."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One browser with one page: `open` loads a file, `evaluate` asks the page, `events` is all that it reported."""

    def __init__(self, program: str):
        self.events: list[tuple[str, dict]] = []
        self._numbers, self._buffer = itertools.count(1), b""
        self._deadline = time.monotonic() + SECONDS
        self._profile = tempfile.mkdtemp(prefix="browser-")
        commands, self._write = os.pipe()
        self._read, answers = os.pipe()
        # Chromium reads its commands from descriptor 3 and answers on 4
        script = f'exec "$0" "$@" 3<&{commands} 4>&{answers}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, program, *FLAGS, f"--user-data-dir={self._profile}", "about:blank"],
            pass_fds=(commands, answers), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        os.close(commands)
        os.close(answers)
        try:
            self._session = ""
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Network", "Log"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """End the browser with all its processes, whatever state it is in."""
        for descriptor in (self._read, self._write):
            with suppress(OSError):
                os.close(descriptor)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=10)
        shutil.rmtree(self._profile, ignore_errors=True)

    def call(self, method: str, **parameters) -> dict:
        """One command and its result; events that come before it are kept."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def open(self, page: Path, width: int, height: int = 800, dark: bool = False, mobile: bool = False) -> None:
        """Load a page in a window of this size, and wait until it is there."""
        self._deadline = time.monotonic() + SECONDS
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", media="", features=scheme)
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        self.events.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        while not any(name == "Page.loadEventFired" for name, _ in self.events):
            self._message()

    def evaluate(self, expression: str):
        """What JavaScript says of the page; the DevTools' own, which no policy of the page forbids."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def named(self, *methods: str) -> list[dict]:
        """The parameters of all events of these names."""
        return [parameters for name, parameters in self.events if name in methods]

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """The page as a picture, down to its end."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def _message(self) -> dict:
        """The next message; events are kept."""
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0, self._deadline - time.monotonic()))
            if not ready:
                raise TimeoutError(f"the browser said nothing for {SECONDS} s")
            part = os.read(self._read, 1 << 16)
            if not part:
                raise ConnectionError("the browser ended")
            self._buffer += part
        raw, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(raw)
        if "method" in message:
            self.events.append((message["method"], message["params"]))
        return message
