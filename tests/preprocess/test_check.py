"""preprocess.check: the summary counted by hand, all bad lines named, exit codes."""

import random
import statistics
import subprocess
import sys
from collections import Counter

import pytest

from fairseq_latent.errors import InputError
from preprocess.check import check, median
from preprocess.conversation import Conversation, Turn, write_conversations


def command(*arguments):
    return subprocess.run([sys.executable, "-m", "preprocess.check", *arguments], capture_output=True, text=True)


def test_summary_by_hand(tmp_path):
    first = Conversation("1", (Turn("A", "one two"), Turn("B", "one"), Turn("A", "")), {"A": ["I am."]})
    second = Conversation("2", (Turn("A", "one two three four five"),))
    write_conversations(tmp_path / "c", [first, second])
    done = command(str(tmp_path / "c"))
    assert done.returncode == 0
    assert done.stderr == ""
    rows = dict(line.split("  ", 1) for line in done.stdout.splitlines())
    assert rows["conversations"].strip() == "2"
    assert rows["turns"].strip() == "4"
    assert rows["speakers/conversation"].strip() == "min 1   median 1.5   max 2"
    assert rows["turns/conversation"].strip() == "min 1   median 2   max 3"
    assert rows["words/turn"].strip().startswith("min 0   median 1.5   max 5")  # 0 1 2 5
    assert rows["with personas"].strip() == "50.0 %"


def test_median_is_the_standard_one():
    generator = random.Random(1)
    for _ in range(200):
        values = generator.choices(range(9), k=generator.randint(1, 12))
        assert median(Counter(values)) == statistics.median(values)


def test_all_bad_lines_are_counted_and_the_first_20_shown(tmp_path):
    write_conversations(tmp_path / "c", [Conversation("1", (Turn("A", "x"),))])
    with (tmp_path / "c").open("a") as file:
        file.write("bad\n" * 25)
    done = command(str(tmp_path / "c"))
    assert done.returncode == 2
    assert done.stdout == ""
    *shown, last = done.stderr.splitlines()
    assert [line.split(":")[1] for line in shown] == [str(number) for number in range(3, 23)]
    assert "25 bad lines, the first 20 are shown above" in last


def test_file_without_conversations_is_an_error(tmp_path):
    (tmp_path / "c").write_text("")
    with pytest.raises(InputError, match="no conversations; remedy"):
        check(str(tmp_path / "c"))
