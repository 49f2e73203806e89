"""Chinese text as characters: what a corpus segmented, and what it did not, becomes the same."""

import re

# ideographs with their extensions and compatibility forms, the full-width marks, and what stands for letters among them
CHARACTER = re.compile(
    "[\u2e80-\u2fdf\u3001-\u303f\u3105-\u312f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff01-\uffef\U00020000-\U0003134f]"
)
HAN = re.compile("[\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
SPACE = re.compile(" +")


def spaced(text: str) -> str:
    """我喜欢 Python，我 喜欢 Python， -> 我 喜 欢 Python ，: a space beside each character."""
    return text if text.isascii() else SPACE.sub(" ", CHARACTER.sub(r" \g<0> ", text)).strip()
