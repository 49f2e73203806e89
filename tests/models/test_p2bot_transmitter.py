"""P²BOT's transmitter beside the authors' values: its input, its losses, candidates, decoding."""

import importlib.util

import pytest
import torch
from fairseq.data import Dictionary

from fairseq_latent.data.first_tokens import FirstTokens
from fairseq_latent.losses import next_utterance_nll, token_divergence
from fairseq_latent.models.p2bot_transmitter import SPECIALS, wrapped_partner
from fairseq_latent.modules.prompts.cache import PromptCache
from fairseq_latent.self_play.rollouts import Greedy, context

from ..helpers.cases import cases, near
from ..helpers.tiny import build_model
from .test_transfertransfo import prompts_of, task_of

if importlib.util.find_spec("transformers") is None:
    pytest.skip("transformers is not installed", allow_module_level=True)

NAMES = ("<pstart>", "<pend>", "<t1start>", "<t1end>", "<start>")
STILL = {"dropout": 0.0, "attention_dropout": 0.0, "choice_dropout": 0.0}


def names_of(words: Dictionary) -> dict[int, str]:
    named = dict(enumerate(words.symbols)) | {words.eos(): "<end>"}
    return named | {len(words) + place: name for place, name in enumerate(NAMES)}


def dictionary_of(*texts: str) -> Dictionary:
    words = Dictionary()
    for text in texts:
        for word in text.split():
            words.add_symbol(word)
    return words


def ids(words: Dictionary, text: str) -> list[int]:
    return [words.index(word) for word in text.split()]


# --- input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given, expected", cases("p2bot_transmitter_input"))
def test_its_sequence(given, expected):
    texts = [text for turn in given["turns"] for text in (turn["user"], turn["reply"])]
    words = dictionary_of(*given["persona"], *texts)
    layout = wrapped_partner(words, given["max_context_tokens"])
    prompt, types = layout.prompt(
        [ids(words, text) for text in given["persona"]], [ids(words, text) for text in texts[:-1]]
    )
    reply = torch.tensor([*ids(words, texts[-1]), words.eos()])
    reply = FirstTokens([reply], [len(reply)], given["max_reply_tokens"])[0].tolist()
    named = names_of(words)
    assert types == []
    assert [named[token] for token in [*prompt, *layout.reply, *reply]] == expected["sequence"]
    assert [named[token] for token in reply] == expected["reply_with_end"] == expected["lm_targets"]
    assert len(prompt) == expected["first_scored_logit_position"]
    assert len(prompt) + len(reply) == expected["classification_position"]


@pytest.mark.parametrize("given, expected", cases("p2bot_selfplay_contexts"))
def test_what_agents_read(given, expected):
    said = [text for pair in zip(given["agent0_says"], given["agent1_says"], strict=True) for text in pair]
    opening = given["first_message_of_agent1"]
    words = dictionary_of(opening, *said, *given["agent0_persona"], *given["agent1_persona"])
    layout, named = wrapped_partner(words, 200), names_of(words)
    for agent in (0, 1):
        persona = [ids(words, text) for text in given[f"agent{agent}_persona"]]
        for turn, theirs in enumerate(expected[f"agent{agent}"]):
            before = [ids(words, text) for text in said[: 2 * turn + agent]]
            read = context(layout, persona, ids(words, opening), before, agent)
            assert [named[token] for token in [*read, *layout.reply]] == theirs["context"]


def test_sixty_sentences_leave_room_for_the_newest_utterance():
    words = dictionary_of("a b c")
    layout = wrapped_partner(words, 64)
    prompt, _ = layout.prompt([[4, 5, 6]] * 60, [[4], [5, 6], [6, 6, 6]])
    newest = [len(words) + 2, 6, 6, 6, len(words) + 3]
    assert len(prompt) <= 64 and prompt[-5:] == newest and prompt.count(5) > 10


def test_an_order_that_is_drawn_is_that_of_the_epoch_in_workers_too(task):
    """fairseq keeps the workers of an iterator that it uses again, and their copy of the data set."""
    given = (["a <eot> b"], ["c"], ["a <eot> b <eot> c"])
    assert not prompts_of(task, *given, order="shuffle").can_reuse_epoch_itr_across_epochs
    assert prompts_of(task, *given).can_reuse_epoch_itr_across_epochs


# --- losses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given, expected", cases("p2bot_transmitter_loss"))
def test_losses(given, expected):
    target, pad = torch.tensor(given["targets"]), given["pad"]
    mask = target.ne(pad)
    logits = torch.tensor(given["lm_logits"])[mask]
    smoothed, nll = token_divergence(logits, target[mask], pad, given["label_smoothing"])
    assert len(nll) == expected["target_tokens"]
    near(smoothed.mean(), expected["lm_loss"])
    near(nll.mean(), expected["nll_per_token"])
    near(nll.mean().exp(), expected["perplexity"], 1e-4)
    odds = [torch.tensor(given[f"{name}_logits"]).diff(dim=-1).squeeze(-1) for name in ("negative", "positive")]
    near(odds[1].sigmoid(), expected["positive_probabilities"])
    nup = next_utterance_nll(torch.stack(odds, 1)).mean()
    near(nup, expected["nup_loss"])
    near(0.6 * smoothed.mean() + 0.4 * nup, expected["loss"])


def test_the_smoothed_loss_has_the_gradient_of_smoothed_cross_entropy(random):
    logits, target, pad, epsilon = torch.randn(3, 7, requires_grad=True), torch.tensor([2, 3, 6]), 1, 0.1
    token_divergence(logits, target, pad, epsilon)[0].sum().backward()
    found, logits.grad = logits.grad, None
    aim = torch.full((3, 7), epsilon / 5).index_fill(1, torch.tensor([pad]), 0.0)
    aim.scatter_(1, target.unsqueeze(1), 1 - epsilon)
    (-aim * logits.log_softmax(-1)).sum().backward()
    torch.testing.assert_close(found, logits.grad)


def test_next_utterance_with_some_or_no_others():
    scores = torch.tensor([[1.0, -2.0, 0.5], [-torch.inf, -2.0, 0.5], [-torch.inf, -torch.inf, 0.5]])
    found = next_utterance_nll(scores)
    right = -torch.tensor(0.5).sigmoid().log()
    wrong = -(-torch.tensor([1.0, -2.0])).sigmoid().log()
    near(found, [(right + wrong.mean()) / 2, (right + wrong[1]) / 2, 0.0])


# --- the model -------------------------------------------------------------------------------------------------------


@pytest.fixture
def task():
    return task_of(["a", "b", "c", "d", "e", "f", "g"])


@pytest.fixture
def model(task, random):
    made = build_model(task, "p2bot_transmitter_tiny", **STILL)
    made.add_choice_head()
    torch.nn.init.normal_(made.choice_head.score.weight)  # of 0.02 all scores are nearly equal
    return made.eval()


def test_candidates_are_scored_each_by_itself(task, model):
    """Permuting candidates permutes scores and changes nothing else; a batch gives what each gives alone."""
    words = task.target_dictionary
    pad = words.pad()
    prompts = [[len(words), 5, 6, len(words) + 1, len(words) + 2, 7, len(words) + 3], [len(words), 8, len(words) + 1]]
    prompt = torch.tensor([prompts[0], prompts[1] + [pad] * 4])
    candidates = torch.tensor([[[5, 6, 2], [7, 2, pad], [8, 9, 2]], [[9, 2, pad], [5, 5, 2], [6, 2, pad]]])
    scores = model.score_replies({"prompt": prompt}, candidates)
    order = [2, 0, 1]
    swapped = model.score_replies({"prompt": prompt}, candidates[:, order])
    for name in ("nll", "choice"):
        near(swapped[name], scores[name][:, order], 1e-5)
        for row, read in enumerate(prompts):
            for place in range(3):
                reply = candidates[row, place][candidates[row, place].ne(pad)].view(1, 1, -1)
                alone = model.score_replies({"prompt": torch.tensor([read])}, reply)
                near(alone[name][0, 0], scores[name][row, place], 1e-5)


def test_what_is_read_once_gives_what_is_read_anew(task, model):
    """Growing prompts of unlike lengths: the cache against the whole prompt, in greedy replies."""
    words = task.target_dictionary
    layout, choose = model.prompt_layout, Greedy([words.pad(), words.unk(), words.bos()])
    persona, histories = [[5, 6], [7]], [[[8]], [[9, 5, 6]]]
    cache = PromptCache(model.decoder)
    for _ in range(3):
        prompts = [layout.prompt(persona, history)[0] for history in histories]
        replies, ended = cache.reply(prompts, choose, 6, words.eos())
        assert [row[: len(prompt)] for row, prompt in zip(cache.prompts, prompts, strict=True)] == prompts
        for prompt, reply, done in zip(prompts, replies, ended.tolist(), strict=True):
            assert PromptCache(model.decoder).reply([prompt], choose, 6, words.eos())[0] == [reply]
            target = torch.tensor([[*reply, *([words.eos()] if done else [])]])
            previous = torch.tensor([[words.eos(), *target[0, :-1].tolist()]])
            given = torch.tensor([prompt])
            logits, _ = model(given, torch.tensor([len(prompt)]), previous, target, prompt=given)
            allowed = choose.allowed(logits.log_softmax(-1), torch.zeros(len(logits), 0).long(), 0)
            assert allowed[:3].argmax(-1).tolist() == target[0, :3].tolist()  # no bigram is forbidden yet
        for history, reply in zip(histories, replies, strict=True):
            history += [reply, [5] * (len(reply) % 3 + 1)]


def test_a_prompt_that_lost_its_oldest_turn_is_read_anew(task, model):
    words = task.target_dictionary
    choose, cache = Greedy([words.pad(), words.unk(), words.bos()]), PromptCache(model.decoder)
    first, other = [len(words), 5, len(words) + 1, 6, 7, 8], [len(words), 5, len(words) + 1, 8, 9]
    cache.reply([first], choose, 4, words.eos())
    again = cache.reply([other], choose, 4, words.eos())[0]
    assert again == PromptCache(model.decoder).reply([other], choose, 4, words.eos())[0]


def test_special_tokens_have_rows_of_their_own(task, model):
    assert model.encoder.embedding.specials.num_embeddings == SPECIALS
    assert model.max_positions()[1] == 32
    assert model.prompt_layout.longest == 128 - 32 - 1


def test_no_room_for_a_context(task, refused):
    assert "--max-reply-tokens" in refused(build_model, task, "p2bot_transmitter_tiny", positions=32)
