"""docs/data.md: its example is valid, and its commands exist."""

import re
from pathlib import Path

from preprocess.check import check
from preprocess.corpora.__main__ import CORPORA

ROOT = Path(__file__).parents[2]
ELSEWHERE = {"ptb": "scripts/prepare/ptb.sh", "tweets": "docs/scale.md"}  # of no conversations, of all sizes
TEXT = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")


def test_the_example_is_valid(tmp_path):
    (example,) = re.findall(r"^```json\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "my.jsonl").write_text(example, encoding="utf-8")
    summary = check(str(tmp_path / "my.jsonl"))
    assert (summary.conversations, summary.with_personas, summary.words.total()) == (2, 1, 4)


def test_every_reader_has_a_row_and_a_command():
    rows = set(re.findall(r"^\| `(\w+)` \|", TEXT, flags=re.MULTILINE)) & CORPORA.keys()
    commands = set(re.findall(r"^python -m preprocess\.corpora (\w+)", TEXT, flags=re.MULTILINE))
    assert rows == commands == CORPORA.keys() - ELSEWHERE.keys()
    for name, page in ELSEWHERE.items():
        assert f"preprocess.corpora {name}" in (ROOT / page).read_text(encoding="utf-8"), name
