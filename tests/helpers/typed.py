"""What people type, in pieces: texts for tests that hold whatever a text is."""

import random

PLAIN = [*"abe .:'$xéß…、日の", "hello", "hhhh"]
BLANK = [" ", "  ", "\u3000", "\t", "\n", "\xa0", "\x00", "\x85", "\u2028", "\u200b"]
MARKS = [
    *"@#{＠＃<&",
    "@x",
    "＠x",
    "#tag",
    "&amp;",
    "&lt;",
    "eot>",
    "http://a.b/c",
    "www.x.y",
    "WwW.q",
    "\U0001f600",
    "\\1",
]


def texts(count: int, seed: int) -> list[str]:
    """Random ones, up to nine pieces long."""
    draw = random.Random(seed)
    return ["".join(draw.choices(PLAIN + BLANK + MARKS, k=draw.randint(0, 9))) for _ in range(count)]
