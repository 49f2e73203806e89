"""Reading responses: order by id, latents kept apart, pieces joined, and a clear line for each broken file."""

import random

import pytest

from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.runs.response_files import Generation, named_paths, read_generations, read_lines

LAST = "Generate test with beam=5: BLEU4 = 3.10, 20.0/5.0/2.0/1.0 (BP=1.000, ratio=1.000, syslen=9, reflen=9)\n"


def block(number, source, reference, *responses):
    """The lines fairseq-generate prints for one sentence."""
    lines = [f"S-{number}\t{source}\n", f"T-{number}\t{reference}\n"]
    for rank, response in enumerate(responses):
        score = -0.5 - rank
        lines += [f"H-{number}\t{score}\t{response}\n", f"D-{number}\t{score}\t{response}\n"]
        lines += [f"P-{number}\t-0.1000 -0.9000\n"]
    return lines


BLOCKS = [
    block(2, "how are you", "fine .", "good ."),
    block(0, "hi", "hello there", "hi !"),
    block(1, "where ?", "at home", "here"),
]


@pytest.fixture
def written(tmp_path):
    def write(lines, name="generate.txt"):
        path = tmp_path / name
        content = "".join(lines)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    return write


def flat(blocks):
    return [line for lines in blocks for line in lines]


def complaint(path, **keywords):
    """The error's message: one line that names the file and a remedy."""
    with pytest.raises(InputError) as caught:
        read_generations(path, **keywords)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert "remedy: " in message
    return message


def test_order_is_restored_and_logs_are_skipped(written):
    log = "2026-01-02 03:04:05 | INFO | fairseq_cli.generate | H-7 is no record\n"
    path = written([log, *flat(BLOCKS), log, LAST])
    assert read_generations(path) == [
        Generation(0, "hi", "hello there", ("hi !",), (-0.5,)),
        Generation(1, "where ?", "at home", ("here",), (-0.5,)),
        Generation(2, "how are you", "fine .", ("good .",), (-0.5,)),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_any_order_of_lines_gives_the_same_records(written, seed):
    lines = [*flat(BLOCKS), LAST]
    expected = read_generations(written(lines))
    random.Random(seed).shuffle(lines)
    assert read_generations(written(lines, "shuffled.txt")) == expected


def test_ids_sort_as_numbers(written):
    path = written(flat(block(number, "a", "b", f"r{number}") for number in (10, 9, 2, 1, 0, 3, 4, 5, 6, 7, 8)))
    assert [generation.hypotheses[0] for generation in read_generations(path)] == [f"r{n}" for n in range(11)]


def test_latent_samples_stay_in_latent_order(written):
    path = written([*block(1, "s", "t", "c", "d", "c"), *block(0, "s", "t", "a", "b", "a")])
    assert [generation.hypotheses for generation in read_generations(path)] == [("a", "b", "a"), ("c", "d", "c")]
    assert read_generations(path)[0].scores == (-0.5, -1.5, -2.5)


def test_detokenised_text_wins_over_pieces(written):
    path = written(["S-0\thi\n", "T-0\thello\n", "H-0\t-1.0\t▁he llo\n", "D-0\t-1.0\thello\n"])
    assert read_generations(path)[0].hypotheses == ("hello",)


def test_pieces_are_joined_as_fairseq_joins_them(written):
    path = written(block(0, "▁how ▁are ▁you ?", "▁good ▁mor ning", "▁fi ne ▁ , ▁than ks"))
    assert read_generations(path) == [Generation(0, "how are you?", "good morning", ("fine , thanks",), (-0.5,))]


def test_a_drawing_character_in_plain_words_is_left_alone(written):
    path = written([*block(0, "so ▁▂▃ loud", "yes", "no way"), *block(1, "hi", "hello", "hi there")])
    assert read_generations(path)[0].source == "so ▁▂▃ loud"
    text = written(["▁ ▂\n", "▁ ▃\n"], "plain.txt")
    assert read_generations(text)[0].hypotheses == ("▁ ▂",)


def test_empty_responses_and_sources_are_records(written):
    path = written(block(0, "", "", ""))
    assert read_generations(path) == [Generation(0, "", "", ("",), (-0.5,))]


def test_without_references(written):
    path = written([line for line in flat(BLOCKS) if not line.startswith("T-")])
    assert [generation.reference for generation in read_generations(path)] == [None] * 3


def test_reference_file_replaces_references(written):
    references = written(["zero\n", "one\n", "two\n"], "references.txt")
    generations = read_generations(written(flat(BLOCKS)), [references])
    assert [generation.reference for generation in generations] == ["zero", "one", "two"]


def test_further_references(written):
    first, second = written(["zero\n", "\n", "two\n"], "first.txt"), written(["0\n", "1\n", " \n"], "second.txt")
    generations = read_generations(written(flat(BLOCKS)), [first, second])
    found = [(generation.reference, generation.further_references) for generation in generations]
    assert found == [("zero", ("0",)), ("", ("1",)), ("two", ())]


def test_plain_text_keeps_empty_and_odd_lines(written):
    # U+2028 and U+0085 are line breaks for str.splitlines, not for a line-parallel file.
    path = written(["\ufefffirst\r\n", "\n", "a\u2028b\u0085c\td\n", "last"], "plain.txt")
    assert [generation.hypotheses[0] for generation in read_generations(path)] == [
        "first",
        "",
        "a\u2028b\u0085c\td",
        "last",
    ]


def test_no_hypotheses(written):
    logs = ["2026-01-02 03:04:05 | INFO | fairseq.tasks | dictionary: 16000 types\n"] * 3
    assert "no hypothesis line" in complaint(written(logs))
    assert "no hypothesis line" in complaint(written(["S-0\thi\n", "T-0\thello\n"]))


def test_missing_ids(written):
    message = complaint(written([*flat([BLOCKS[0], BLOCKS[1]]), LAST]))
    assert "1 of 3 ids are missing (first: 1)" in message


def test_incomplete_file_says_that_the_last_line_is_missing(written):
    message = complaint(written([*flat(BLOCKS), "S-3\tbye\n", "T-3\tbye bye\n"]))
    assert "no hypothesis for id 3" in message
    assert "'Generate … with beam=…', is missing" in message


def test_incomplete_last_block(written):
    message = complaint(written([*flat(BLOCKS), *block(3, "bye", "bye bye", "later")[:3]]))
    assert "id 3 has 1 H- lines, but 0 D- lines" in message


def test_fewer_ids_than_fairseq_reports(written):
    translated = "2026-01-02 03:04:05 | INFO | fairseq_cli.generate | Translated 1,003 sentences (9 tokens) in 0.1s\n"
    assert "answered 1003 sentences, but the file has 3 ids" in complaint(written([*flat(BLOCKS), translated, LAST]))


def test_different_numbers_of_hypotheses(written):
    message = complaint(written([*block(0, "s", "t", "a", "b"), *block(1, "s", "t", "c")]))
    assert "id 1 has 1 hypotheses, id 0 has 2" in message


def test_two_runs_in_one_file(written):
    message = complaint(written([*flat(BLOCKS), *flat(BLOCKS)]))
    assert "line 16: S-2 stands here a second time" in message  # three blocks of five lines come before


def test_some_references_only(written):
    assert "only some ids have a T- line" in complaint(written([*BLOCKS[1], *(BLOCKS[2][:1] + BLOCKS[2][2:])]))


def test_a_line_without_score(written):
    assert "line 2: a D- line has no score" in complaint(written(["S-0\thi\n", "D-0\thello\n"]))


def test_gpt2_ids_are_refused(written):
    assert "where DATA has GPT-2's tokenizer" in complaint(written(block(0, "15496 11", "40 716", "15496 0")))


def test_invalid_utf8_names_the_line(tmp_path):
    path = tmp_path / "latin.txt"
    path.write_bytes(b"good\n" + "caf\u00e9\n".encode("latin-1"))
    assert "line 2: invalid UTF-8 at byte 4" in complaint(path)


def test_empty_file(written):
    assert "empty" in complaint(written([]))
    with pytest.raises(InputError, match="empty"):
        read_lines(written([]))


def test_line_counts_differ(written):
    references = written(["one\n", "two\n"], "references.txt")
    message = complaint(written(["a\n", "b\n", "c\n"], "plain.txt"), references=[references])
    assert f"3 responses, but {references} has 2 lines" in message


def test_a_name_with_an_equals_sign_and_a_folder_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert named_paths(["K=5=runs/k5", "a=b"]) == [("K=5", "runs/k5"), ("a", "b")]
