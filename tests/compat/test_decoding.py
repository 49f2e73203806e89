"""The work-arounds for decoding, beside a stock model: repeated n-grams, top-k with top-p, the sentences of a search."""

import math
from argparse import Namespace

import pytest
import torch
from fairseq.models.transformer import TransformerModel, base_architecture
from fairseq.ngram_repeat_block import NGramRepeatBlock
from fairseq.search import Sampling
from fairseq.tasks import FairseqTask
from fairseq.tasks.translation import TranslationConfig, TranslationTask

from fairseq_latent.decoding.search import TopKTopPSampling

from ..helpers.tiny import batch

START, PAD = 2, 1


def banned(tokens, size, step, width=9):
    """Each row's banned tokens, its buffer padded as a generator's is."""
    buffer = torch.full((len(tokens), width), PAD)
    buffer[:, : step + 1] = torch.tensor(tokens)
    lprobs = NGramRepeatBlock(size)(buffer, torch.zeros(len(tokens), 11), len(tokens), 1, step)
    return [set(row.nonzero().flatten().tolist()) for row in lprobs.eq(-math.inf)]


def oracle(row, size):
    """Loops over what was said, the start symbol a beginning only."""
    said = row if size > 1 else row[1:]
    latest = said[len(said) - (size - 1) :]
    return {said[end] for end in range(size - 1, len(said)) if said[end - (size - 1) : end] == latest}


def test_an_ngram_is_compared_with_what_was_said_last():
    """</s> a b a, in a longer buffer: a b must not come again."""
    assert banned([[START, 5, 6, 5]], 2, 3) == [{6}]
    assert banned([[START, 5, 6, 5]], 3, 3) == [set()]
    assert banned([[START, 5, 6, 7, 5, 6]], 3, 5) == [{7}]


def test_single_words_do_not_repeat_but_a_response_can_end():
    assert banned([[START, 5, 6, 5]], 1, 3) == [{5, 6}]
    assert banned([[START]], 1, 0) == [set()]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_every_step_against_loops(size, random):
    for step in range(8):
        rows = [[START, *torch.randint(4, 7, (step,)).tolist()] for _ in range(6)]
        assert banned(rows, size, step) == [oracle(row, size) for row in rows]


def test_it_is_what_torchscript_compiles():
    scripted = torch.jit.script(NGramRepeatBlock(2))
    tokens = torch.tensor([[START, 5, 6, 5, PAD, PAD]])
    assert scripted(tokens, torch.zeros(1, 9), 1, 1, 3).eq(-math.inf).nonzero().tolist() == [[0, 6]]


@pytest.fixture(scope="module")
def translation(dictionary):
    """fairseq's own task and a tiny Transformer of its own, beside the plugin."""
    torch.manual_seed(0)
    task = TranslationTask(TranslationConfig(), dictionary, dictionary)
    args = Namespace(encoder_layers=1, decoder_layers=1, encoder_embed_dim=16, encoder_ffn_embed_dim=16,
                     encoder_attention_heads=2, decoder_attention_heads=2, share_all_embeddings=False)  # fmt: skip
    base_architecture(args)
    return task, TransformerModel.build_model(args, task).eval()


def stock_sample(task):
    """A batch as fairseq's own data sets make it."""
    sample = batch(Namespace(target_dictionary=task.target_dictionary, cfg=Namespace(seed=1)))
    del sample["net_input"]["noise_seed"]
    return sample


def grams(tokens, size):
    return [tuple(tokens[start : start + size]) for start in range(len(tokens) - size + 1)]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_hypothesis_of_a_stock_model_repeats_an_ngram(translation, size):
    task, model = translation
    args = Namespace(beam=3, no_repeat_ngram_size=size, max_len_a=0, max_len_b=12, min_len=6)
    repeated = {}
    for ngram in (0, size):
        args.no_repeat_ngram_size = ngram
        found = task.inference_step(task.build_generator([model], args), [model], stock_sample(task))
        said = [grams(beam["tokens"].tolist(), size) for beams in found for beam in beams]
        repeated[ngram] = sum(len(set(each)) < len(each) for each in said)
    assert repeated[0] > 0 and repeated[size] == 0


def prefixes(task, model, sample, **args):
    """Which sentences a constraint is asked about, and how the first word of each response comes out."""
    asked = set()

    def allowed(sentence, tokens):
        asked.add(sentence)
        return [4 + sentence % 7] if len(tokens) == 1 else list(range(2, 11))

    generator = task.build_generator(
        [model], Namespace(beam=2, max_len_a=0, max_len_b=5, **args), prefix_allowed_tokens_fn=allowed
    )
    found = task.inference_step(generator, [model], sample)
    return asked, [[beam["tokens"][0].item() for beam in beams] for beams in found]


def test_a_constraint_on_prefixes_is_told_the_sentence(translation):
    """Sentences are sorted by length within a batch: their places there are not their ids."""
    task, model = translation
    sample = stock_sample(task)
    sample["id"] += 70
    ids = sample["id"].tolist()
    asked, first = prefixes(task, model, sample)
    assert ids != sorted(ids) and asked == set(ids)
    assert first == [[4 + sentence % 7] * 2 for sentence in ids]


def test_diverse_beams_of_a_stock_model(translation):
    task, model = translation
    sample = stock_sample(task)
    sample["id"] += 70
    generator = task.build_generator([model], Namespace(beam=4, diverse_beam_groups=2, max_len_a=0, max_len_b=5))
    with pytest.raises(IndexError):
        FairseqTask.inference_step.__wrapped__(task, generator, [model], sample)  # unpatched
    assert len(task.inference_step(generator, [model], sample)) == len(sample["id"])


def test_top_k_counts_beside_top_p(translation):
    task, model = translation
    args = Namespace(beam=1, sampling=True, sampling_topk=2, sampling_topp=0.99)
    lprobs = torch.zeros(1, 1, len(task.target_dictionary)).log_softmax(-1)
    unpatched = FairseqTask.build_generator.__wrapped__(task, [model], args).search
    assert type(unpatched) is Sampling
    assert unpatched._sample_topp(lprobs.clone())[0].gt(0).sum() > 2
    patched = task.build_generator([model], args).search
    assert type(patched) is TopKTopPSampling
    assert patched._sample_topp(lprobs.clone())[0].gt(0).sum() == 2


@pytest.mark.parametrize("args", [
    {"beam": 2}, {"beam": 1, "sampling": True}, {"beam": 1, "sampling": True, "sampling_topp": 0.8},
    {"beam": 1, "sampling": True, "sampling_topk": 4}, {"beam": 2, "diverse_beam_groups": 2},
])  # fmt: skip
def test_a_stock_models_other_searches_stay_fairseqs(translation, args):
    task, model = translation
    args = Namespace(**args, max_len_a=0, max_len_b=5)
    generators = [
        build(task, [model], args) for build in (FairseqTask.build_generator.__wrapped__, type(task).build_generator)
    ]
    assert type(generators[0].search) is type(generators[1].search)

    def said(generator):
        torch.manual_seed(3)
        found = task.inference_step(generator, [model], stock_sample(task))
        return [beam["tokens"].tolist() for beams in found for beam in beams]

    assert said(generators[0]) == said(generators[1])
