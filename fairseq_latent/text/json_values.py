"""JSON of anybody's files: whatever is wrong with it is one of OTHER_FORM, however deep it is nested."""

import json
import math
from pathlib import Path
from typing import Any

LARGEST = 2**63  # of whole numbers: arrays hold no larger ones
# what comes of a file of another form, or one that is damaged
OTHER_FORM = (AttributeError, KeyError, OverflowError, TypeError, ValueError)


def loads(text: str | bytes) -> Any:
    """The value that `text` holds; ValueError for what is no JSON, no UTF-8, or nested deeper than Python goes."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json(path: str | Path) -> Any:
    """The file's value; one of OTHER_FORM where it is no JSON in UTF-8."""
    return loads(Path(path).read_text(encoding="utf-8"))


def number(value: Any) -> int | float:
    """A finite number as it is; TypeError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{value!r}: not a number")
    if isinstance(value, int) and abs(value) >= LARGEST:
        raise OverflowError(f"{value!r:.80}: too large")
    return value


def whole(value: Any) -> int:
    """A whole number as it is; TypeError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{value!r}: not a whole number")
    if abs(value) >= LARGEST:
        raise OverflowError(f"{value!r:.80}: too large")
    return value


def text(value: Any) -> str:
    """A text as it is; one of OTHER_FORM where it is none, or one that UTF-8 has no form of."""
    value.encode("utf-8")
    return value
