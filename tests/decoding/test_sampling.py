"""Sampled words are the example's own: no batch, no shard and no global generator changes them."""

import math
from argparse import Namespace

import pytest
import torch
from fairseq.data import Dictionary
from fairseq.search import BeamSearch
from fairseq.tasks import FairseqTask

from fairseq_latent.decoding.search import SeededSampling, TopKTopPSampling, restrict
from fairseq_latent.decoding.seeded_words import gumbel, splitmix

from ..helpers import programs
from ..helpers.tiny import batch, build_model, sentence_batch

KINDS = ({}, {"sampling_topk": 4}, {"sampling_topp": 0.8}, {"sampling_topk": 4, "sampling_topp": 0.8})


@pytest.fixture(scope="module")
def words():
    dictionary = Dictionary()
    for index in range(16):
        dictionary.add_symbol(f"w{index}")
    return dictionary


def test_numbers_are_splitmix64s():
    """The first outputs for the state 1234567, of its reference implementation."""
    outputs = (6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431)
    found = splitmix(torch.tensor([1234567]), torch.arange(4)).tolist()
    assert [number % 2**64 for number in found] == list(outputs)


def test_streams_that_follow_each_other_are_unrelated(words):
    """Of seeds 0, 1, 2, ...: each step, latent and hypothesis has numbers of a uniform distribution, of its own."""
    search = SeededSampling(words)
    search.begin(torch.arange(2000).repeat_interleave(2), 2, 2)
    numbers = torch.stack([splitmix(search.streams, torch.tensor(step)) for step in range(3)]).view(3, 2000, 4)
    columns = numbers.permute(0, 2, 1).reshape(12, 2000).double() / 2**63  # step, latent, hypothesis
    assert columns.abs().max() <= 1 and columns.mean(1).abs().max() < 4 * math.sqrt(1 / 3 / 2000)
    assert (torch.corrcoef(columns) - torch.eye(12)).abs().max() < 4 / math.sqrt(2000)


def test_more_latents_and_hypotheses_add_streams(words):
    search = SeededSampling(words)
    search.begin(torch.tensor([5, 5, 5, 9, 9, 9]), 3, 2)
    several = search.streams
    search.begin(torch.tensor([9]), 1, 1)
    assert several[3, 0] == search.streams[0, 0]
    assert several.unique().numel() == several.numel()


def test_gumbel_noise():
    """Mean and variance of the standard Gumbel distribution, finite at both ends of the integers."""
    noise = gumbel(splitmix(torch.tensor([3]), torch.arange(200_000))).double()
    assert noise.mean().item() == pytest.approx(0.57722, abs=4 * math.sqrt(math.pi**2 / 6 / 200_000))
    assert noise.var().item() == pytest.approx(math.pi**2 / 6, rel=0.03)
    assert gumbel(torch.tensor([0, -1, 2**63 - 1, -(2**63)])).isfinite().all()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_words_come_as_often_as_fairseqs(words, kind, random):
    """Chi-square of 20,000 words against the probabilities that fairseq's search keeps."""
    lprobs = torch.randn(1, 1, len(words)).mul(1.5).log_softmax(-1)
    search, theirs = SeededSampling(words, **kind), TopKTopPSampling(words, **kind)
    if "sampling_topp" in kind:
        probs, kept = theirs._sample_topp(lprobs.clone())
    else:
        probs, kept = lprobs.exp().topk(kind.get("sampling_topk", len(words)))
    expected = torch.zeros(len(words)).scatter(0, kept.flatten(), (probs / probs.sum()).flatten())
    count = 20_000
    search.begin(torch.arange(count), 1, 1)
    scores, chosen, beams = search.step(
        2, lprobs.expand(count, -1, -1), torch.zeros(count, 1, 3), None, torch.arange(count)
    )
    found = torch.bincount(chosen.flatten(), minlength=len(words)).float()
    possible = expected > 0
    assert found[~possible].sum() == 0
    chi = ((found - count * expected).square() / (count * expected))[possible].sum().item()
    freedom = int(possible.sum()) - 1
    assert chi < freedom + 4 * math.sqrt(2 * freedom)
    of_word = torch.zeros(len(words)).scatter(0, kept.flatten(), probs.flatten())
    torch.testing.assert_close(scores.flatten(), of_word[chosen.flatten()].log())
    assert beams.eq(0).all()


def test_a_word_at_the_edge_changes_only_where_it_is_sampled(words):
    """A batch's rounding swaps likely words, and lets the last of k or p in or out: most texts are to stay as they are."""
    lprobs = torch.arange(20).mul(-0.05).log_softmax(-1).view(1, 1, -1).repeat(400, 1, 1)
    other = lprobs.clone()
    other[..., [3, 4]] += torch.tensor([-2e-2, 4e-2])  # a swap of the fourth and fifth
    for kind in ({"sampling_topk": 4}, {"sampling_topp": 0.25}, {"sampling_topk": 12}):
        search = SeededSampling(words, **kind)
        search.begin(torch.arange(400), 1, 1)
        first, second = (
            search.step(0, each, None, None, torch.arange(400))[1].flatten().tolist() for each in (lprobs, other)
        )
        assert all({one, two} & {3, 4} for one, two in zip(first, second, strict=True) if one != two)


@pytest.mark.parametrize("kind", [{}, {"sampling_topk": 4}], ids=str)
def test_the_smallest_p_leaves_the_best_word(words, kind, random):
    lprobs = torch.randn(5, 1, len(words)).log_softmax(-1)
    search = SeededSampling(words, **kind, sampling_topp=1e-300)
    search.begin(torch.arange(5), 1, 1)
    assert search.step(0, lprobs, None, None, torch.arange(5))[1].equal(lprobs.argmax(-1))


def test_where_no_word_is_possible_the_score_says_so(words):
    search = SeededSampling(words, 4, 0.8)
    search.begin(torch.arange(2), 1, 1)
    scores, _, _ = search.step(0, torch.full((2, 1, len(words)), -math.inf), None, None, torch.arange(2))
    assert scores.eq(-math.inf).all()


def test_words_that_are_forbidden_are_never_chosen(words):
    search = SeededSampling(words, 4, 0.9)
    restrict(search, [6, 7])
    search.begin(torch.arange(300), 1, 1)
    lprobs = torch.zeros(300, 1, len(words)).index_fill(2, torch.tensor([6, 7, 8, 9]), 5.0).log_softmax(-1)
    assert set(search.step(0, lprobs, None, None, torch.arange(300))[1].flatten().tolist()) <= {4, 5, 8, 9, 0, 1, 2, 3}


# --- decoding --------------------------------------------------------------------------------------------------------


def said(found):
    return [[beam["tokens"].tolist() for beam in beams] for beams in found]


@pytest.mark.parametrize("latents", [1, 2])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_alone_and_in_a_batch(task, kind, latents, random):
    """Three hypotheses, each of its own words; torch's generator has no part in them."""
    task.cfg.latent_samples = latents
    model, sample = build_model(task).eval(), batch(task)
    args = Namespace(beam=3, nbest=3, sampling=True, max_len_a=0, max_len_b=6, **kind)
    generator = task.build_generator([model], args)
    together = said(task.inference_step(generator, [model], sample))
    assert all(len(beams) == 3 * latents for beams in together)
    for row, expected in enumerate(together):
        net_input = {name: value[row : row + 1] for name, value in sample["net_input"].items()}
        torch.manual_seed(row)
        alone = task.inference_step(generator, [model], {"id": sample["id"][row : row + 1], "net_input": net_input})
        assert said(alone) == [expected]
    texts = {tuple(beam) for beams in together for beam in beams}
    assert len(texts) > 2 * latents * len(together)
    net_input = sample["net_input"] | {"noise_seed": sample["net_input"]["noise_seed"] + 1}
    assert said(task.inference_step(generator, [model], {**sample, "net_input": net_input})) != together


def test_a_sentence_vae_too(text_task, random):
    model, sample = build_model(text_task, "gru_vae_tiny").eval(), sentence_batch(text_task)
    generator = text_task.build_generator([model], Namespace(beam=1, sampling=True, max_len_a=0, max_len_b=6))
    together = said(text_task.inference_step(generator, [model], sample))
    net_input = {name: value[2:3] for name, value in sample["net_input"].items()}
    assert said(text_task.inference_step(generator, [model], {**sample, "net_input": net_input})) == together[2:3]


def test_beams_are_fairseqs_own(task, random):
    """To the digit: words, and scores."""
    model, sample = build_model(task).eval(), batch(task)
    generator = task.build_generator([model], Namespace(beam=5, max_len_a=0, max_len_b=6))
    assert type(generator.search) is BeamSearch
    ours = task.inference_step(generator, [model], sample)
    given = {**sample, "net_input": sample["net_input"] | task.sampling_inputs()}
    theirs = FairseqTask.inference_step.__wrapped__(task, generator, [model], given)
    assert said(ours) == said(theirs)
    assert [[beam["score"] for beam in beams] for beams in ours] == [
        [beam["score"] for beam in beams] for beams in theirs
    ]


def test_a_constraint_is_told_the_sentence_for_each_latent(task, random):
    task.cfg.latent_samples = 2
    model, sample = build_model(task).eval(), batch(task)
    sample["id"] += 70

    def allowed(sentence, tokens):
        return [4 + sentence % 7] if len(tokens) == 1 else [2, 4, 5]

    args = Namespace(beam=2, nbest=1, max_len_a=0, max_len_b=4)
    generator = task.build_generator([model], args, prefix_allowed_tokens_fn=allowed)
    first = [[beam[0] for beam in beams] for beams in said(task.inference_step(generator, [model], sample))]
    assert first == [[4 + sentence % 7] * 2 for sentence in sample["id"].tolist()]


SAMPLING = ("--sampling", "--sampling-topk", "4", "--sampling-topp", "0.8", "--beam", "1", "--max-len-b", "9")


def test_fairseq_generate_says_the_same_whatever_the_batch(persona_bin, persona_run):
    checkpoint, _ = persona_run
    command = (persona_bin, checkpoint, "--task", "persona_dialogue", *SAMPLING, "--latent-samples", "3")
    alone, together = (programs.decode(*command, "--batch-size", size).hypotheses() for size in (1, 64))
    assert alone == together and len({text for texts in alone.values() for text in texts}) > 30
    assert alone != programs.decode(*command, "--batch-size", 64, "--seed", 2).hypotheses()


def test_fairseq_interactive_says_the_same_whatever_the_batch(persona_bin, persona_run):
    """Seeds come from the words; a context that is asked again gets the same answer."""
    checkpoint, _ = persona_run
    task = ("--user-dir", programs.PLUGIN, "--task", "persona_dialogue", "--path", checkpoint, "--cpu")
    lines = "i love tea\nhello\ni have a dog and a cat\nhello\n"

    def answers(size):
        flags = ("--buffer-size", 4, "--batch-size", size)
        return programs.run("fairseq-interactive", persona_bin, *task, *SAMPLING, *flags, stdin=lines).hypotheses()

    alone = answers(1)
    assert alone == answers(4) and alone["1"] == alone["3"] != alone["0"]


def test_chat_asked_again_says_the_same(persona_bin, persona_run):
    checkpoint, _ = persona_run
    command = ("chat", persona_bin, "--path", checkpoint, "--cpu", "--max-length", "9")
    hello, again, other = (
        programs.tool(*command, *seed, stdin="hello\n/new\nhello\n").stdout.splitlines()
        for seed in ((), (), ("--seed", 2))
    )
    assert hello == again != other
    replies = [line for line in hello if line[0].isdigit()]
    assert len(replies) == 6 and replies[:3] == replies[3:] and len(set(replies)) == 3
