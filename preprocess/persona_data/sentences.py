"""A turn -> its sentences, in English and Japanese, by the marks that end one."""

import re
from collections.abc import Iterator

# what ends a sentence, with the quotes and brackets that it closes; Japanese goes on without a space. No search begins
# inside a run of marks: of a megabyte of them it would take hours
END = re.compile(
    r"(?<![.!?\u2026])[.!?\u2026]++[\"'\u201d\u2019)\]]*+\s++"
    r"|(?<![\u3002\uff01\uff1f])[\u3002\uff01\uff1f]++[!?\u300d\u300f\uff09)]*+\s*+|[\r\n]++"
)
LONGEST_ABBREVIATION = 3
# a full stop after these ends no sentence; a single capital is an initial, but for "I"
ABBREVIATED = re.compile(r"(?<![^\s(])(?:[Mm]rs?|[Mm]s|[Dd]r|[Ss]t|vs|e\.g|i\.e|[A-HJ-Z])$")


def sentences(text: str) -> Iterator[str]:
    """Without the white space around them; none of them is empty."""
    start = 0
    for end in END.finditer(text):
        before = max(start, end.start() - LONGEST_ABBREVIATION)
        if end[0].rstrip() == "." and ABBREVIATED.search(text, before, end.start()):
            continue
        if sentence := text[start : end.end()].strip():
            yield sentence
        start = end.end()
    if sentence := text[start:].strip():
        yield sentence
