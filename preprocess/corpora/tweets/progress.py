"""How far a long step is: a bar on a terminal, a line every half minute in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

EVERY = 30  # seconds


@contextmanager
def progress(what: str, total: int, unit: str) -> Iterator[Callable[..., None]]:
    """Called with what got done of `total`, and a remark on it."""
    done, said, began = 0, time.monotonic(), time.monotonic()
    with tqdm(total=total, desc=what, unit=unit, unit_scale=unit == "B", disable=None) as bar:

        def report(count: int, remark: str = "") -> None:
            nonlocal done, said
            bar.update(count)
            bar.set_postfix_str(remark)
            done += count
            now = time.monotonic()
            if bar.disable and now - said >= EVERY:
                said = now
                left = (now - began) / max(done, 1) * (total - done)
                print(
                    f"{what}: {done / max(total, 1):.0%}{', ' * bool(remark)}{remark}, {left / 60:.0f} min left",
                    file=sys.stderr,
                )

        yield report
