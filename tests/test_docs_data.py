"""docs/data.md: its example is valid, and its commands exist."""

import re
from pathlib import Path

from preprocess.check import check

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")


def test_the_example_is_valid(tmp_path):
    (example,) = re.findall(r"^```json\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "my.jsonl").write_text(example, encoding="utf-8")
    summary = check(str(tmp_path / "my.jsonl"))
    assert (summary.conversations, summary.with_personas, summary.words.total()) == (2, 1, 4)


def test_every_reader_has_its_command():
    rows = set(re.findall(r"^\| `preprocess\.(\w+)`", TEXT, flags=re.MULTILINE))
    commands = set(re.findall(r"^python -m preprocess\.(\w+)", TEXT, flags=re.MULTILINE)) - {
        "check",
        "self_descriptions",
    }
    assert rows == commands
    assert all((ROOT / "preprocess" / f"{name}.py").is_file() for name in rows)
