"""JSON of anybody's files: whatever is wrong with it is a ValueError, however deep it is nested."""

import json


def loads(text: str | bytes) -> object:
    """The value that `text` holds; ValueError for what is no JSON, no UTF-8, or nested deeper than Python goes."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
