"""TransferTransfo beside the authors' code: examples, both losses, candidates as branches of one prompt."""

import importlib.util
import math

import numpy as np
import pytest
import torch
from fairseq.data import Dictionary, LanguagePairDataset, ListDataset

from fairseq_latent.data.candidates import CandidateDataset, Offers, read_candidates
from fairseq_latent.data.prompt_dataset import PromptDataset
from fairseq_latent.data.seeded_dataset import SeededDataset
from fairseq_latent.decoding.search import SeededSampling
from fairseq_latent.errors import InputError
from fairseq_latent.gaussian import DiagonalGaussian, LatentOutput
from fairseq_latent.models.transfertransfo import speakers
from fairseq_latent.symbols import EOT
from fairseq_latent.tasks.persona_dialogue import PersonaDialogueConfig, PersonaDialogueTask

from ..helpers.cases import cases
from ..helpers.tiny import build_criterion, build_model

if importlib.util.find_spec("transformers") is None:
    pytest.skip("transformers is not installed", allow_module_level=True)

STILL = {"dropout": 0.0, "attention_dropout": 0.0, "choice_dropout": 0.0}


def task_of(words, **options) -> PersonaDialogueTask:
    dictionary = Dictionary()
    for word in (*words, EOT):
        dictionary.add_symbol(word)
    config = PersonaDialogueConfig(
        data="nowhere", seed=1, update_freq=[1], best_checkpoint_metric="loss", train_subset="train", **options
    )
    return PersonaDialogueTask(config, dictionary, dictionary)


def rows(task, lines) -> list[torch.Tensor]:
    return [task.target_dictionary.encode_line(line, add_if_not_exist=False).long() for line in lines]


def pairs_of(task, contexts, replies) -> SeededDataset:
    words = task.target_dictionary
    sides = rows(task, contexts), rows(task, replies)
    sizes = [np.array([len(row) for row in side]) for side in sides]
    pairs = LanguagePairDataset(
        ListDataset(sides[0], sizes[0]),
        sizes[0],
        words,
        ListDataset(sides[1], sizes[1]),
        sizes[1],
        words,
        shuffle=False,
    )
    return SeededDataset(pairs, task.cfg.seed)


def prompts_of(task, contexts, replies, personas, max_history=2, **options) -> PromptDataset:
    words = task.target_dictionary
    layout = speakers(words, 2 * max_history + 1, options.pop("longest", 100))
    given = (rows(task, personas), layout, words.index(EOT), words.eos(), words.pad())
    return PromptDataset(pairs_of(task, contexts, replies), *given, **options)


def offers_of(task, candidates, replies, count, **options) -> Offers:
    def encode(text):
        return task.target_dictionary.encode_line(text, add_if_not_exist=False).numpy()

    replies = rows(task, replies)
    read = None if candidates is None else read_candidates("candidates", candidates, encode, replies, 100)[0]
    return Offers(read, replies, options.pop("dialogues", None), count, options.pop("drawn", 20), **options)


# --- examples --------------------------------------------------------------------------------------------------------


def examples_of(data) -> tuple[list[str], ...]:
    """Contexts, replies, personas and candidates of dialogues in the authors' form."""
    lines = [
        (f" {EOT} ".join(turn["history"]), turn["candidates"][-1], f" {EOT} ".join(each["personality"]),
         "\t".join(turn["candidates"]))
        for each in data
        for turn in each["utterances"]
    ]  # fmt: skip
    return tuple(map(list, zip(*lines, strict=True)))


@pytest.mark.parametrize("inputs, expected", cases("transfertransfo_examples"))
def test_examples_are_the_authors(inputs, expected):
    texts = [
        line.replace("\t", " ") for split in inputs["data"].values() for side in examples_of(split) for line in side
    ]
    task = task_of(dict.fromkeys(word for text in texts for word in text.split() if word != EOT))
    words = task.target_dictionary
    named = {len(words): "<speaker1>", len(words) + 1: "<speaker2>", words.bos(): "<bos>", words.eos(): "<eos>"}

    def names(ids):
        return [named.get(each) or words[each] for each in ids.tolist() if each != words.pad()]

    for split, dialogues in inputs["data"].items():
        contexts, replies, personas, candidates = examples_of(dialogues)
        # the authors rotate validation's personas too, each of which then counts several times
        training = split == "train"
        copies, count = inputs["personality_permutations"], inputs["num_candidates"] if training else 0
        prompts = prompts_of(
            task,
            contexts,
            replies,
            personas,
            inputs["max_history"],
            copies=copies,
            order="rotate" if copies > 1 else "given",
        )
        data = CandidateDataset(prompts, offers_of(task, candidates, replies, count, how="last"))
        assert len(data) == len(expected[split])
        for index, theirs in enumerate(expected[split]):
            batch = data.collater([data[index]])
            inputs_of = batch["net_input"]
            prompt, opening = names(inputs_of["prompt"][0]), ["<speaker1>"]
            ours = [prompt + opening + names(text) for text in (*inputs_of["distractors"][0], batch["target"][0])]
            assert ours == [text.replace(" <pad>", "").split() for text in theirs["candidates"]]
            assert [len(text) - 1 for text in ours] == theirs["mc_token_positions"]
            assert len(ours) - 1 == theirs["gold_candidate"]
            assert [[]] * (len(ours) - 1) + [names(batch["target"][0])] == theirs["label_tokens"]


CONTEXTS, REPLIES = ["a b", "c <eot> b", "a", "b"], ["a c", "b", "c c a", "a"]
PERSONAS = ["a <eot> b", "", "c c <eot> a a <eot> b", "a"]
CANDIDATES = ["b\tc\ta c\tb b", "", "a\tc c a\tc c a\tb\tb", "a"]


def test_what_a_batch_really_has_is_what_max_tokens_counts():
    task = task_of("abc")
    data = CandidateDataset(
        prompts_of(task, CONTEXTS, REPLIES, PERSONAS, copies=2, order="rotate"),
        offers_of(task, CANDIDATES, REPLIES, 3, dialogues=list("wxyz")),
    )
    assert len(data) == 8 and not data.can_reuse_epoch_itr_across_epochs
    for epoch in (1, 2):
        data.set_epoch(epoch)
        for index in range(len(data)):
            batch = data.collater([data[index]])["net_input"]
            real = batch["distractors"].ne(1)
            read = batch["prompt"].ne(1).sum() + batch["prev_output_tokens"].numel() + 1
            assert data.num_tokens(index) == read + real.sum() + real[..., 0].sum()
            assert real[..., 0].sum() == 2
        sizes = data.sizes
        for batch in data.batch_by_size(data.ordered_indices(), max_tokens=60, required_batch_size_multiple=1):
            assert len(batch) * max(sizes[index] for index in batch) <= 60
        assert sorted(index for batch in data.batch_by_size(np.arange(8), max_tokens=60) for index in batch) == [
            *range(8)
        ]


def test_distractors_are_drawn_from_seed_and_epoch_and_are_never_the_right_reply():
    task = task_of("abc")
    many = ["\t".join(["a", "b", "c", "a a", "b b", "a c"])] * 4

    def drawn(epoch, seed=1):
        return offers_of(task, many, REPLIES, 3, seed=seed).of_epoch(epoch)

    assert (drawn(1) == drawn(1)).all() and (drawn(1) != drawn(2)).any() and (drawn(1) != drawn(1, seed=2)).any()
    offers = offers_of(task, many, REPLIES, 3)
    seen = {tuple(row) for epoch in range(100) for row in offers.of_epoch(epoch)[:1].tolist()}
    assert len(seen) == 10  # two of five
    for epoch in range(10):
        for row, reply in zip(offers.of_epoch(epoch), rows(task, REPLIES), strict=True):
            texts = [offers.texts[place].tolist() for place in row]
            assert reply.tolist() not in texts and len({str(text) for text in texts}) == 2


@pytest.mark.parametrize("candidates", [None, ["", "b\tc", "", ""]], ids=["no file", "three lines without"])
def test_where_there_are_none_replies_of_other_dialogues_are_drawn(candidates):
    task = task_of("abc")
    dialogues = ["d1", "d1", "d2", "d3"]
    offers = offers_of(task, candidates, REPLIES, 3, dialogues=dialogues)
    replies = [reply.tolist() for reply in rows(task, REPLIES)]
    for epoch in range(20):
        for row, places in enumerate(offers.of_epoch(epoch)):
            if candidates and candidates[row]:
                continue
            texts = [offers.texts[place].tolist() for place in places if place >= 0]
            others = [
                replies[each]
                for each in range(4)
                if dialogues[each] != dialogues[row] and replies[each] != replies[row]
            ]
            assert len(texts) == 2 and all(text in others for text in texts)
            assert replies[row] not in texts and texts[0] != texts[1]


def test_too_few_candidates_and_a_file_of_another_length():
    task = task_of("abc")
    offers = offers_of(task, ["b\ta c", "a", "a", "b"], REPLIES, 4)
    assert (offers.of_epoch(1) >= 0).sum(1).tolist() == [1, 1, 1, 1]
    with pytest.raises(InputError, match="3 lines of candidates of 4 pairs"):
        offers_of(task, ["a", "b", "c"], REPLIES, 2)


# --- losses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inputs, expected", cases("transfertransfo_loss"))
def test_both_losses_are_the_authors(inputs, expected):
    """Also as several batches of one update, whose denominators are those of all."""
    from fairseq.logging import metrics

    logits, labels = torch.tensor(inputs["lm_logits"]), torch.tensor(inputs["lm_labels"])
    choice, gold = torch.tensor(inputs["mc_logits"]), inputs["mc_labels"][0]
    task = task_of([str(number) for number in range(logits.size(-1))], candidates=choice.size(1))
    criterion = build_criterion(task, "double_heads", lm_weight=inputs["lm_coef"], choice_weight=inputs["mc_coef"])
    of_right = labels[:, gold, 1:]
    length = int(of_right.ge(0).sum(1).max())
    assert gold == choice.size(1) - 1 and len(set(inputs["mc_labels"])) == 1

    class Model:
        num_updates = 0

        def __call__(self, row, distractors, target):
            (row,) = row.tolist()
            packed = logits[row, gold, :-1][of_right[row].ge(0)]
            nothing = DiagonalGaussian(torch.zeros(1, 0), torch.zeros(1, 0))
            return packed, {"latent": LatentOutput(nothing.mean, nothing, nothing, choice=choice[row : row + 1])}

    criterion.padding_idx = -1  # the words are 0, 1, ...
    samples = []
    for row in range(len(choice)):
        real = of_right[row][of_right[row].ge(0)]
        target = torch.cat([real, torch.full((length - len(real),), -1)])
        wrong = torch.zeros(1, choice.size(1) - 1, 1, dtype=torch.long)
        net_input = {"row": torch.tensor([row]), "distractors": wrong}
        samples.append({"target": target.unsqueeze(0), "ntokens": len(real), "net_input": net_input})
    criterion.train()
    criterion.begin_update(samples, lambda numbers: numbers)
    found = [criterion(Model(), sample) for sample in samples]
    total = sum(float(loss) for loss, _, _ in found) / sum(sentences for _, sentences, _ in found)
    accumulated = total / inputs["gradient_accumulation_steps"]
    assert accumulated == pytest.approx(expected["loss"], abs=1e-6)
    with metrics.aggregate(new_root=True) as logged:
        criterion.reduce_metrics([log for _, _, log in found])
        assert sum(float(log["nll"]) for _, _, log in found) == pytest.approx(expected["lm_nll_sum"], abs=1e-5)
        values = logged.get_smoothed_values()
    assert values["choice"] == pytest.approx(expected["mc_loss"], abs=1e-4)
    assert values["loss"] == pytest.approx(total, abs=1e-4)
    assert values["rec_ppl"] == pytest.approx(math.exp(expected["lm_loss"]), abs=1e-3)


# --- the model -------------------------------------------------------------------------------------------------------


@pytest.fixture
def task():
    return task_of(["a", "b", "c", "d"], candidates=3)


@pytest.fixture
def model(task, random):
    """With both heads, and special tokens that matter."""
    made = build_model(task, "transfertransfo_tiny", **STILL)
    build_criterion(task, "double_heads")
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made.eval()


def batch_of(task, rows=range(4), candidates=CANDIDATES, **options) -> dict:
    data = CandidateDataset(
        prompts_of(task, CONTEXTS, REPLIES, PERSONAS, **options),
        offers_of(task, candidates, REPLIES, 0, drawn=3, dialogues=list("wxyz")),
    )
    return data.collater([data[row] for row in rows])


def whole(model, prompt, types, candidate):
    """Logits and score of one candidate, its text computed by itself by the library: no branches, no pads."""
    from .test_dialogpt import as_in_transformers

    own, body = len(model.encoder.dictionary), as_in_transformers(model.decoder.body.model)
    tokens = torch.cat([prompt, torch.tensor([own]), candidate])
    types = torch.cat([types, torch.full((1 + len(candidate),), own)])
    states = body(inputs_embeds=model.encoder.embedding.vectors(tokens[None], types[None])).last_hidden_state[0]
    logits = model.decoder.project(states[len(prompt) : -1])
    return logits, model.choice_head(states[-1])


def test_candidates_in_branches_are_candidates_by_themselves(task, model):
    sample = batch_of(task)
    inputs = sample["net_input"]
    with torch.no_grad():
        logits, extra = model(**inputs, target=sample["target"])
        scores = model.score_replies(inputs, inputs["distractors"])
        by_themselves, choices = [], torch.full_like(extra["latent"].choice, -torch.inf)
        for row in range(4):
            real = inputs["prompt"][row].ne(1)
            prompt, types = inputs["prompt"][row][real], inputs["prompt_types"][row][real]
            texts = [text[text.ne(1)] for text in (*inputs["distractors"][row], sample["target"][row])]
            for place, text in enumerate(texts):
                if not len(text):
                    continue
                of_text, choices[row, place] = whole(model, prompt, types, text)
                nll = -of_text.log_softmax(-1).gather(1, text[:, None]).sum()
                if place < len(texts) - 1:
                    torch.testing.assert_close(scores["nll"][row, place], nll, rtol=1e-4, atol=1e-4)
                    torch.testing.assert_close(scores["choice"][row, place], choices[row, place], rtol=1e-4, atol=1e-4)
                else:
                    by_themselves.append(of_text)
    torch.testing.assert_close(logits, torch.cat(by_themselves), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(extra["latent"].choice, choices, rtol=1e-4, atol=1e-4)


def test_pads_batches_and_caches_change_nothing(task, model):
    sample = batch_of(task)
    with torch.no_grad():
        logits, extra = model(**sample["net_input"], target=sample["target"])
        order = sample["id"].tolist()
        singles = [batch_of(task, [row]) for row in order]
        found = [model(**each["net_input"], target=each["target"]) for each in singles]
        torch.testing.assert_close(torch.cat([each for each, _ in found]), logits, rtol=1e-4, atol=1e-5)
        for row, (_, alone) in enumerate(found):
            choice = alone["latent"].choice[0]
            padded = extra["latent"].choice[row]
            torch.testing.assert_close(
                torch.cat([padded[: len(choice) - 1], padded[-1:]]), choice, rtol=1e-4, atol=1e-5
            )
        inputs = {name: value for name, value in sample["net_input"].items() if name != "distractors"}
        wider = inputs | {
            name: torch.nn.functional.pad(inputs[name], (0, 3), value=1) for name in ("prompt", "prompt_types")
        }
        expected = model(**inputs)[0]
        torch.testing.assert_close(model(**inputs | wider)[0], expected)
        real = sample["target"].ne(1)
        torch.testing.assert_close(expected[real], logits, rtol=1e-4, atol=1e-5)
        previous = inputs.pop("prev_output_tokens").masked_fill(~real, 5)
        out, state = model.encoder(**inputs), {}
        steps = [model.decoder(previous[:, : n + 1], out, state)[0] for n in range(previous.size(1))]
        torch.testing.assert_close(torch.cat(steps, 1), model.decoder(previous, out)[0], rtol=1e-4, atol=1e-5)


def test_the_order_of_candidates_changes_their_order_alone(task, model):
    sample = batch_of(task)
    inputs, order = sample["net_input"], torch.tensor([2, 0, 1])
    assert inputs["distractors"].size(1) == 3
    permuted = inputs | {"distractors": inputs["distractors"][:, order]}
    with torch.no_grad():
        (logits, one), (same, other) = (model(**each, target=sample["target"]) for each in (inputs, permuted))
    torch.testing.assert_close(same, logits, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        other["latent"].choice, one["latent"].choice[:, [*order.tolist(), 3]], rtol=1e-5, atol=1e-6
    )


def test_gradients_are_those_of_candidates_by_themselves(task, model):
    """Shared prompts give the gradients of separate texts."""
    sample = batch_of(task, [2])
    inputs, target = sample["net_input"], sample["target"]

    def gradients(logits, choice):
        model.zero_grad()
        loss = torch.nn.functional.cross_entropy(logits, target[target.ne(1)])
        (loss + choice.logsumexp(-1) - choice[-1]).backward()
        return {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}

    logits, extra = model(**inputs, target=target)
    ours = gradients(logits, extra["latent"].choice[0])
    from . import test_dialogpt

    def same_weights(body):
        body.config._attn_implementation = "eager"
        return body

    original, test_dialogpt.as_in_transformers = test_dialogpt.as_in_transformers, same_weights
    try:
        texts = [text[text.ne(1)] for text in (*inputs["distractors"][0], target[0])]
        found = [whole(model, inputs["prompt"][0], inputs["prompt_types"][0], text) for text in texts if len(text)]
        theirs = gradients(found[-1][0], torch.stack([choice for _, choice in found]))
    finally:
        test_dialogpt.as_in_transformers = original
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-3, atol=1e-5, msg=name)


@pytest.mark.parametrize("arch, options", [("dialogpt_tiny", {}), ("persona_cvae_gpt2_tiny", {"no_latents": True})])
def test_models_without_a_second_head_are_refused(task, arch, options):
    build_model(task, arch, **options)
    with pytest.raises(InputError, match="no head that chooses"):
        build_criterion(task, "double_heads")


def test_one_candidate_is_a_language_model_alone():
    task = task_of(["a", "b", "c", "d"], candidates=1)
    model = build_model(task, "transfertransfo_tiny", **STILL).train()
    criterion = build_criterion(task, "double_heads").train()
    assert model.choice_head is None and not criterion.reads_candidates
    data = prompts_of(task, CONTEXTS, REPLIES, PERSONAS)
    sample = data.collater([data[row] for row in range(4)])
    loss, sentences, log = criterion(model, sample)
    assert "choice" not in log and float(loss) / sentences == pytest.approx(
        float(log["nll"]) / sample["ntokens"], rel=1e-5
    )


def test_other_tasks_have_no_persona(random):
    from fairseq_latent.tasks.dialogue import DialogueConfig, DialogueTask

    words = Dictionary()
    config = DialogueConfig(data="nowhere", seed=1, update_freq=[1], best_checkpoint_metric="loss")
    with pytest.raises(InputError, match="--task persona_dialogue"):
        build_model(DialogueTask(config, words, words), "transfertransfo_tiny")


def test_counts_of_an_update_are_those_of_all_workers(task, monkeypatch):
    """Two workers with half of the batches each: both divide by what both have."""
    from argparse import Namespace

    from fairseq_latent.compat import updates

    model = build_model(task, "transfertransfo_tiny", **STILL).train()
    criterion = build_criterion(task, "double_heads").train()
    halves = [[batch_of(task, [0, 1])], [batch_of(task, [2, 3])]]
    counted = [[sum(each) for each in zip(*map(criterion._counts, half), strict=True)] for half in halves]
    trainer = Namespace(data_parallel_world_size=2, device="cpu", data_parallel_process_group=None, criterion=criterion)
    losses = []
    for half, other in zip(halves, counted[::-1], strict=True):
        add = lambda total, group, other=other: total.add_(torch.tensor(other, dtype=total.dtype))  # noqa: E731
        monkeypatch.setattr(updates.distributed_utils, "all_reduce", add)
        updates.count_before(lambda self, samples: losses.append(criterion(model, samples[0])[0]))(trainer, half)
    criterion.begin_update([half[0] for half in halves], lambda numbers: numbers)
    expected = [criterion(model, half[0])[0] for half in halves]
    torch.testing.assert_close(torch.stack(losses), torch.stack(expected))


# --- decoding --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inputs, expected", cases("transfertransfo_filter"))
def test_top_k_and_top_p_keep_what_the_authors_keep(inputs, expected):
    """Words of equal probability at the k-th place all stay there; here the first k, so that k is k."""
    words = Dictionary()
    logits = torch.tensor(inputs["logits"]) / inputs["temperature"]
    search = SeededSampling(words, inputs["top_k"] or -1, inputs["top_p"] or -1.0)
    lprobs, kept = search._kept(logits.log_softmax(-1)[None, None])
    lprobs, kept = lprobs[0, 0], kept if kept.dim() == 1 else kept[0, 0]
    probabilities = torch.zeros(len(logits)).scatter(0, kept, lprobs.softmax(-1))
    values = torch.tensor(expected["probabilities"])
    if len({inputs["logits"][word] for word in expected["kept"]}) == 1 < inputs["top_k"] < len(expected["kept"]):
        stay = probabilities.nonzero().flatten()
        assert len(stay) == inputs["top_k"] and set(stay.tolist()) <= set(expected["kept"])
        return
    assert probabilities.nonzero().flatten().tolist() == expected["kept"]
    torch.testing.assert_close(probabilities, values, rtol=1e-5, atol=1e-6)
