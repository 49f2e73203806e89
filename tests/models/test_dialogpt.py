"""DialoGPT's form of a dialogue beside that of the authors' code, and `--arch dialogpt` through the real programs."""

import copy
import importlib.util
import math

import pytest
import torch
from fairseq.data import Dictionary

from fairseq_latent.errors import InputError
from fairseq_latent.symbols import EOT
from fairseq_latent.tasks.dialogue import DialogueConfig, DialogueTask

from ..helpers import programs
from ..helpers.cases import cases
from ..helpers.tiny import batch, build_criterion, build_model, widened

if importlib.util.find_spec("transformers") is None:
    pytest.skip("transformers is not installed", allow_module_level=True)

STILL = {"dropout": 0.0, "attention_dropout": 0.0}
BEAM = ("--beam", "2", "--max-len-a", "0", "--max-len-b", "8")
TASK = ("--task", "persona_dialogue")


def task_of(words) -> DialogueTask:
    dictionary = Dictionary()
    for word in words:
        dictionary.add_symbol(word)
    config = DialogueConfig(data="nowhere", seed=1, update_freq=[1], best_checkpoint_metric="loss")
    return DialogueTask(config, dictionary, dictionary)


def sample_of(task, *dialogues: list[str]) -> dict:
    """Turns of each dialogue, the last one the response, as `--task dialogue` batches them."""
    from fairseq.data import LanguagePairDataset, ListDataset

    words = task.target_dictionary
    sides = [
        [words.encode_line(line, add_if_not_exist=False, append_eos=True).long() for line in lines]
        for lines in ([f" {EOT} ".join(turns[:-1]) for turns in dialogues], [turns[-1] for turns in dialogues])
    ]
    sizes = [[len(row) for row in side] for side in sides]
    pairs = LanguagePairDataset(
        ListDataset(sides[0], sizes[0]), sizes[0], words, ListDataset(sides[1], sizes[1]), sizes[1]
    )
    return pairs.collater([pairs[index] for index in range(len(pairs))])


def as_in_transformers(body):
    """A GPT-2 with the library's own attention."""
    from transformers import GPT2Model

    config = copy.deepcopy(body.config)
    config._attn_implementation = "eager"
    theirs = GPT2Model(config)
    theirs.set_input_embeddings(torch.nn.Identity())
    theirs.load_state_dict(body.state_dict())
    return theirs.eval()


@pytest.mark.parametrize("inputs, expected", cases("dialogpt_input"))
def test_inputs_and_labels_are_the_authors(inputs, expected):
    words = dict.fromkeys(word for turn in inputs["turns"] for word in turn.split())
    task = task_of([*words, EOT])
    model = build_model(task, "dialogpt_tiny", **STILL)
    dictionary, sample = task.target_dictionary, sample_of(task, inputs["turns"])
    net_input = sample["net_input"]
    _, _, decoded = model.distributions(net_input["src_tokens"], net_input["prev_output_tokens"], sample["target"])

    def named(ids):
        return ["<eos>" if each == dictionary.eos() else dictionary[each] for each in ids.tolist()]

    prompt = model.decoder.turns(net_input["src_tokens"])[decoded.prompt.mask]
    read = named(torch.cat([prompt, net_input["prev_output_tokens"][0]]))
    assert read == expected["training_inputs"] == expected["evaluation_inputs"][:-1]
    of_turns = iter(named(decoded.labels))
    labels = [next(of_turns) if scored else None for scored in decoded.scored[decoded.prompt.mask].tolist()]
    response = named(sample["target"][0])
    assert labels + response == expected["training_next_token_labels"]
    assert [None] * len(labels) + response == expected["evaluation_next_token_labels"][:-1]


def test_the_loss_of_all_turns_is_that_of_one_text(random):
    """Against one pass over the whole dialogue, which `transformers` reads; validation has the response alone."""
    task = task_of(["a", "b", "c", "d", EOT])
    model = build_model(task, "dialogpt_tiny", **STILL)
    dialogues = [["a b c", "d", "b b", "c a"], ["d d", "a"], ["c", "", "a b", "d"]]
    sample = sample_of(task, *dialogues)
    words, body = task.target_dictionary, as_in_transformers(model.decoder.body.model)
    expected = {"turns_nll": 0.0, "nll": 0.0}
    for turns in dialogues:
        ids = [words.encode_line(turn, add_if_not_exist=False, append_eos=True).tolist() for turn in turns]
        text = torch.tensor([sum(ids, [])])
        states = body(inputs_embeds=model.encoder.embed_tokens(text)).last_hidden_state[0]
        cost = -model.decoder.project(states).log_softmax(-1)[:-1].gather(1, text[0, 1:, None])[:, 0].detach()
        first, last = len(ids[0]), len(ids[-1])
        expected["turns_nll"] += float(cost[first - 1 : len(cost) - last].sum()) if len(turns) > 2 else 0.0
        expected["nll"] += float(cost[-last:].sum())
    criterion = build_criterion(task)
    model.train(), criterion.train()
    loss, _, log = criterion(model, sample)
    assert {name: float(log[name]) for name in expected} == pytest.approx(expected, rel=1e-5)
    assert float(loss) == pytest.approx(sum(expected.values()), rel=1e-5)
    model.eval(), criterion.eval()
    _, _, log = criterion(model, sample)
    assert float(log["loss"]) == pytest.approx(expected["nll"], rel=1e-5) and "turns_nll" not in log
    model = build_model(task, "dialogpt_tiny", **STILL, loss_on="response").train()
    criterion.train()
    assert "turns_nll" not in criterion(model, sample)[2]


def test_pads_batches_and_caches_change_nothing(task, random):
    model = build_model(task, "dialogpt_tiny", **STILL).eval()
    sample = batch(task)

    def logits(sample):
        inputs = sample["net_input"]
        out = model.encoder(inputs["src_tokens"])
        return model.decoder(inputs["prev_output_tokens"], out)[0][sample["target"].ne(1)]

    with torch.no_grad():
        expected = logits(sample)
        torch.testing.assert_close(logits(widened(task, sample)), expected)
        net_input = sample["net_input"]
        single = [
            logits({"net_input": {name: each[row : row + 1] for name, each in net_input.items()},
                    "target": sample["target"][row : row + 1]})
            for row in range(len(sample["target"]))
        ]  # fmt: skip
        torch.testing.assert_close(torch.cat(single), expected, rtol=1e-4, atol=1e-5)
        out, state = model.encoder(net_input["src_tokens"]), {}
        previous = net_input["prev_output_tokens"].masked_fill(net_input["prev_output_tokens"].eq(1), 5)
        steps = [model.decoder(previous[:, : n + 1], out, state)[0] for n in range(previous.size(1))]
        torch.testing.assert_close(torch.cat(steps, 1), model.decoder(previous, out)[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("turns", [["a", "b"], ["a"] * 41, ["", "b"], ["a", "", "b"]], ids=["1", "40", "no", "empty"])
def test_contexts_of_any_number_of_turns(turns):
    task = task_of(["a", "b", EOT])
    model, sample = build_model(task, "dialogpt_tiny", **STILL).train(), sample_of(task, turns)
    loss, _, log = build_criterion(task)(model, sample)
    assert math.isfinite(float(loss)) and float(log["nll"]) > 0


def test_a_dictionary_without_the_end_of_a_turn():
    task = task_of(["a", "b"])
    model, sample = build_model(task, "dialogpt_tiny", **STILL).train(), sample_of(task, ["a b a", "b"])
    assert float(build_criterion(task)(model, sample)[2]["turns_nll"]) == 0


def test_two_dictionaries_are_refused():
    task = task_of(["a"])
    task.src_dict = Dictionary()
    with pytest.raises(InputError, match="--joined-dictionary"):
        build_model(task, "dialogpt_tiny")


@pytest.mark.parametrize("inputs, expected", cases("dialogpt_perplexity"))
def test_perplexity_is_that_of_the_corpus(inputs, expected):
    from fairseq.logging import metrics

    criterion = build_criterion(task_of(["a"]))
    with metrics.aggregate(new_root=True) as found:
        for of_batch in inputs["batches"]:
            nll, tokens = (sum(each) for each in zip(*of_batch, strict=True))
            zero = dict.fromkeys(("kl", "kl_weight", "mi"), torch.tensor(0.0))
            log = {"nll": torch.tensor(nll), "loss": torch.tensor(nll), "ntokens": tokens, "nsentences": len(of_batch)}
            criterion.reduce_metrics([log | zero])
        assert found.get_smoothed_values()["rec_ppl"] == pytest.approx(expected["corpus_perplexity"], abs=1e-3)


@pytest.mark.parametrize("inputs, expected", cases("dialogpt_weights"))
def test_a_number_at_the_beginning_is_text(inputs, expected):
    words = inputs["text"].split()
    task = task_of([*words, EOT])
    sample = sample_of(task, [inputs["text"], inputs["text"]])
    model = build_model(task, "dialogpt_tiny", **STILL).eval()
    decoded = model.distributions(*(sample["net_input"][name] for name in ("src_tokens", "prev_output_tokens")),
                                  sample["target"])[2]  # fmt: skip
    assert task.target_dictionary.string(decoded.words) == expected["text"]
    assert int(decoded.prompt.mask.sum()) == len(words)


@pytest.mark.parametrize("inputs, expected", cases("dialogpt_noam"))
def test_the_learning_rate_is_inverse_sqrt(inputs, expected):
    """base * 1e4 * d^-0.5 * min(n^-0.5, n * w^-1.5) is fairseq's with --lr base * 1e4 * (d * w)^-0.5, --warmup-init-lr 0."""
    from argparse import Namespace

    from fairseq.optim import build_optimizer
    from fairseq.optim.lr_scheduler.inverse_square_root_schedule import InverseSquareRootSchedule

    warmup = inputs["warmup_steps"]
    peak = inputs["base_lr"] * 1e4 * (inputs["n_embd"] * warmup) ** -0.5
    sgd = Namespace(optimizer="sgd", lr=[peak], momentum=0, weight_decay=0)
    optimizer = build_optimizer(sgd, [torch.nn.Parameter(torch.ones(1))])
    schedule = InverseSquareRootSchedule(Namespace(lr=[peak], warmup_updates=warmup, warmup_init_lr=0.0), optimizer)
    rates = [schedule.step_update(step + 1) for step in inputs["steps"]]
    assert rates == pytest.approx(expected["lr"], abs=1e-10)


# --- the real programs -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(persona_bin, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dialogpt")
    flags = (*TASK, "--max-epoch", "2", "--max-update", "0")
    log = programs.fit(persona_bin, folder, *flags, arch="dialogpt_tiny")
    return folder / "checkpoint_last.pt", log


def test_a_resumed_run_is_the_same(persona_bin, trained, tmp_path):
    checkpoint, log = trained
    assert {"nll", "turns_nll"} <= log.numbers("train_inner")[0].keys()
    for epochs in ("1", "2"):
        flags = (*TASK, "--max-update", "0", "--max-epoch", epochs)
        programs.fit(persona_bin, tmp_path, *flags, arch="dialogpt_tiny")
    programs.assert_same_parameters(tmp_path / "checkpoint_last.pt", checkpoint)


def test_responses_have_no_special_tokens_and_do_not_depend_on_the_batch(persona_bin, trained):
    found = [
        programs.decode(persona_bin, trained[0], *TASK, *BEAM, "--batch-size", size).hypotheses()
        for size in ("1", "13")
    ]
    assert found[0] == found[1] and len(found[0]) == 13
    assert not any("<" in text for texts in found[0].values() for text in texts)


def test_it_sees_neither_profiles_nor_candidates(persona_bin, trained, monkeypatch):
    from fairseq_latent.models.dialogpt import DialoGPTModel

    seen, forward = set(), DialoGPTModel.forward

    def noted(self, **inputs):
        seen.update(inputs)
        return forward(self, **inputs)

    monkeypatch.setattr(DialoGPTModel, "forward", noted)
    programs.run("fairseq-validate", persona_bin, *programs.PLUG_IN, *TASK, "--path", trained[0], "--cpu",
                 "--batch-size", "8", "--num-workers", "0")  # fmt: skip
    assert seen == {"src_tokens", "src_lengths", "prev_output_tokens", "noise_seed", "target"}


def test_without_personas(data_bin, tmp_path):
    programs.fit(data_bin, tmp_path, "--max-update", "2", arch="dialogpt_tiny")
    found = programs.decode(data_bin, tmp_path / "checkpoint_last.pt", *BEAM).hypotheses()
    assert found and not any("<" in text for texts in found.values() for text in texts)
