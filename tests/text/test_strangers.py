"""Whose context stands for a stranger's."""

import random

from fairseq_latent.text.strangers import other_contexts


def test_a_strangers_context_is_of_another_dialogue_and_of_like_length():
    draw = random.Random(3)
    contexts = [[(number, draw.randrange(10**6))] for number in range(200)]
    lengths = [draw.randrange(5, 60) for _ in contexts]
    dialogues = [str(row // 5) for row in range(200)]
    rows = other_contexts(contexts, range(200), dialogues, lengths, 1)
    assert all(dialogues[row] != dialogues[other] for row, other in enumerate(rows))
    # the 16 nearest of 200 lengths from 5 to 59, but the four of the own dialogue: some three words apart
    assert sum(abs(lengths[row] - lengths[other]) for row, other in enumerate(rows)) / 200 < 5
    assert rows == other_contexts(contexts, range(200), dialogues, lengths, 1)
    assert rows != other_contexts(contexts, range(200), dialogues, lengths, 2)


def test_an_equal_context_of_another_dialogue_tells_nothing():
    contexts, dialogues, lengths = [["hi"], ["hi"], ["tea ?"]], ["a", "b", "c"], [1, 1, 2]
    rows = other_contexts(contexts, None, dialogues, lengths, 1)
    assert rows[:2] == [2, 2] and rows[2] in (0, 1)
    # nor does an equal response
    assert other_contexts(contexts, ["yes", "no", "no"], dialogues, lengths, 1) == [2, None, 0]


def test_without_dialogues_no_turn_is_shared_and_no_response_is_in_it():
    contexts = [["hi"], ["hi", "tea ?"], ["hi", "tea ?", "no"], ["sea", "sand"], ["no"]]
    responses = ["tea ?", "no", "bye", "x", "y"]
    rows = other_contexts(contexts, responses, None, [1, 2, 3, 2, 1], 1)
    assert rows[1] == 3  # 4 is its response, the others share a turn
    assert rows[0] in (3, 4) and rows[2] == 3 and rows[3] in (0, 1, 2, 4) and rows[4] in (0, 1, 3)


def test_there_may_be_no_stranger():
    assert other_contexts([["a"]], ["b"], None, [1], 1) == [None]
    assert other_contexts([["a"], ["b"]], None, ["x", "x"], [1, 1], 1) == [None, None]
    assert other_contexts([["a"], [""]], None, ["x", "y"], [1, 0], 1) == [None, 0]  # silence is no stranger's
