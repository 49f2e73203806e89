"""Prompts of persona and history beside those of the authors' code, and what is left out of long ones."""

import pytest
import torch
from fairseq.data import Dictionary

from fairseq_latent.data.own_persona import PromptLayout, rotated, shuffled, texts_between
from fairseq_latent.errors import InputError
from fairseq_latent.modules.language_models.word_table import WordTable
from fairseq_latent.modules.prompts.embedding import PromptEmbedding

from ..helpers.cases import cases


class Names:
    """Ids of words and special tokens by name, in the order of their first use."""

    def __init__(self):
        self.ids: dict[str, int] = {}

    def __call__(self, text: str) -> list[int]:
        return [self.ids.setdefault(word, len(self.ids)) for word in text.split()]

    def words(self, ids) -> list[str]:
        names = list(self.ids)
        return [names[each] for each in ids]


def speakers(names: Names, **limits) -> PromptLayout:
    """TransferTransfo's."""
    bos, own, partner = names("<bos> <speaker1> <speaker2>")
    around = {"persona": ((bos,), ()), "own": ((own,), ()), "partner": ((partner,), ())}
    return PromptLayout(**around, reply=(own,), types=(own, partner), **limits)


def wrapped(names: Names, **limits) -> PromptLayout:
    """P²BOT's."""
    begin, end, user, said, start = names("<pstart> <pend> <t1start> <t1end> <start>")
    return PromptLayout(persona=((begin,), (end,)), partner=((user,), (said,)), reply=(start,), **limits)


@pytest.mark.parametrize("inputs, expected", cases("transfertransfo_input"))
def test_speakers_and_types_are_counted_back_from_the_reply(inputs, expected):
    names = Names()
    layout = speakers(names)
    tokens, types = layout.prompt(
        [names(text) for text in inputs["persona"]], [names(text) for text in inputs["history"]]
    )
    reply = [*layout.reply, *names(inputs["reply"]), *(names("<eos>") if inputs["with_eos"] else [])]
    whole = names.words([*tokens, *reply])
    assert whole == expected["tokens"] and len(whole) - 1 == expected["mc_token_position"]
    assert names.words([*types, *[layout.types[0]] * len(reply)]) == expected["token_types"]
    if inputs["lm_labels"]:
        before = len(tokens) + len(layout.reply)
        assert [-100] * before + whole[before:] == expected["lm_labels"]


@pytest.mark.parametrize("inputs, expected", cases("p2bot_transmitter_input"))
def test_turns_of_the_user_are_wrapped(inputs, expected):
    names = Names()
    layout = wrapped(names, longest=inputs["max_context_tokens"])
    *past, last = inputs["turns"]
    history = [names(text) for turn in past for text in (turn["user"], turn["reply"])] + [names(last["user"])]
    tokens, types = layout.prompt([names(text) for text in inputs["persona"]], history)
    reply = names(last["reply"])[: inputs["max_reply_tokens"] - 1] + names("<end>")
    assert names.words([*tokens, *layout.reply, *reply]) == expected["sequence"] and not types
    assert len(tokens) == expected["first_scored_logit_position"]


PERSONA, HISTORY = ["p1 p2", "p3", "p4 p5"], ["a b c", "d e", "f", "g h"]


@pytest.mark.parametrize("longest, left", [
    (18, "<bos> p1 p2 p3 p4 p5 <speaker1> a b c <speaker2> d e <speaker1> f <speaker2> g h"),
    (17, "<bos> p1 p2 p3 p4 p5 <speaker2> d e <speaker1> f <speaker2> g h"),
    (10, "<bos> p1 p2 p3 p4 p5 <speaker2> g h"),
    (8, "<bos> p1 p2 p3 <speaker2> g h"),
    (4, "<bos> <speaker2> g h"),
    (3, "<bos> <speaker2> h"),
])  # fmt: skip
def test_old_utterances_go_first_and_then_sentences_of_the_persona(longest, left):
    names = Names()
    layout = speakers(names, longest=longest)
    tokens, types = layout.prompt(list(map(names, PERSONA)), list(map(names, HISTORY)))
    assert " ".join(names.words(tokens)) == left and len(types) == len(tokens) <= longest


def test_the_newest_utterances():
    names = Names()
    tokens, _ = speakers(names, max_utterances=3).prompt([], list(map(names, HISTORY)))
    assert names.words(tokens) == ["<bos>", "<speaker2>", "d", "e", "<speaker1>", "f", "<speaker2>", "g", "h"]


def test_nothing_to_read():
    names = Names()
    layout = speakers(names)
    assert names.words(layout.prompt([], [])[0]) == ["<bos>"]
    (nothing,) = names("<nofact>")
    layout = PromptLayout(persona=((7,), (8,)), no_persona=(nothing,))
    assert layout.prompt([], [])[0] == [7, nothing, 8]


def test_a_persona_of_sixty_sentences():
    names = Names()
    layout = speakers(names, longest=100)
    tokens, _ = layout.prompt([names(f"s{number} of it") for number in range(60)], [names("hello there")])
    assert len(tokens) == 100 and names.words(tokens[-3:]) == ["<speaker2>", "hello", "there"]


def test_lines_of_texts():
    assert texts_between(torch.tensor([5, 6, 4, 7, 2]), 4, 2) == [[5, 6], [7]]
    assert texts_between([4, 7, 2], 4, 2) == [[], [7]]
    assert texts_between([2], 4, 2) == [] == texts_between([], 4, 2)


def test_orders_of_a_persona():
    persona = [[1], [2], [3]]
    assert [rotated(persona, times) for times in range(4)] == [persona, [[3], [1], [2]], [[2], [3], [1]], persona]
    assert shuffled(persona, 1, 5, 7) == shuffled(persona, 1, 5, 7) and rotated([], 2) == [] == shuffled([], 1)
    assert len({str(shuffled(persona, 1, epoch)) for epoch in range(30)}) == 6


# --- vectors ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def embedding():
    words = Dictionary()
    for word in "abc":
        words.add_symbol(word)
    torch.manual_seed(1)
    return PromptEmbedding(WordTable(len(words), 8), 2, 6, words)


def test_special_tokens_have_rows_of_their_own_and_types_are_added(embedding):
    count = embedding.words
    read = embedding.prompt(torch.tensor([[count, 5, 1], [count + 1, 4, 6]]), torch.tensor([[count, count + 1, 1]] * 2))
    words, special = embedding.embed_tokens.weight, embedding.specials.weight
    torch.testing.assert_close(read.vectors[0, 0], 2 * special[0])
    torch.testing.assert_close(read.vectors[1, 1], words[4] + special[1])
    assert read.mask.tolist() == [[True, True, False], [True] * 3] and read.positions[1].tolist() == [0, 1, 2]
    reply = embedding.reply(torch.tensor([[count, 5], [count, 1]]), read.mask.sum(1), count + 1)
    assert reply.positions.tolist() == [[2, 3], [3, 4]] and reply.mask.tolist() == [[True, True], [True, False]]
    torch.testing.assert_close(reply.vectors[0, 1], words[5] + special[1])


def test_more_tokens_than_positions(embedding):
    with pytest.raises(InputError, match="7 tokens before the reply"):
        embedding.prompt(torch.full((1, 7), 5))
