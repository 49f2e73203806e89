"""Line-based files: the same lines that fairseq will see, or a complaint with file and line."""

import gzip
from collections import Counter

import pytest

from fairseq_latent.errors import InputError
from preprocess.lines import check_parallel, read_lines, sample_lines


def test_lines_end_at_line_feeds_only(tmp_path):
    path = tmp_path / "text"
    path.write_bytes("\ufeffa\u2028b\r\n\n c\x85\n日本".encode())
    assert list(read_lines(path)) == ["a\u2028b", "", " c\x85", "日本"]
    packed = tmp_path / "text.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert list(read_lines(packed)) == list(read_lines(path))


@pytest.mark.parametrize(("line", "words"), [(b"\xe9t\xe9", "invalid UTF-8 at byte 0"), (b"a\rb", "a carriage return")])
def test_bad_line_is_named(tmp_path, line, words):
    (tmp_path / "text").write_bytes(b"good\n" + line + b"\n")
    with pytest.raises(InputError) as caught:
        list(read_lines(tmp_path / "text"))
    assert str(caught.value).startswith(f"{tmp_path / 'text'}:2: {words}")
    assert "remedy" in str(caught.value)


def test_parallel_files_have_the_same_number_of_lines(tmp_path):
    source, target, empty = (tmp_path / name for name in ("train.src", "train.tgt", "empty"))
    source.write_text("x\n" * 10)
    target.write_text("x\n" * 9)
    empty.write_text("")
    assert check_parallel([source, source]) == 10
    with pytest.raises(InputError, match=r"train.src has 10 lines, .*train.tgt 9: they must be parallel; remedy"):
        check_parallel([source, target])
    with pytest.raises(InputError, match="empty is empty; remedy"):
        check_parallel([source, empty])


def test_sample_is_all_lines_where_they_are_few():
    assert sample_lines(["b", "", "a", " "], 5, seed=1) == ["b", "a"]


def test_sample_is_even_and_follows_the_seed():
    lines = [str(number) for number in range(10)]
    assert sample_lines(lines, 3, seed=1) == sample_lines(lines, 3, seed=1)
    seen = Counter(line for seed in range(2000) for line in sample_lines(lines, 3, seed))
    # each line is drawn with p = 3/10: 600 of 2000 times, standard deviation sqrt(2000 * .3 * .7) = 20.5
    assert set(seen) == set(lines)
    assert all(abs(count - 600) < 5 * 20.5 for count in seen.values())
