"""Self-play: what rewards are made of, training and its resume, the earlier stages that it needs."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fairseq import checkpoint_utils

from fairseq_latent.data.speakers import Speaker
from fairseq_latent.self_play.judges import mean_log_probabilities
from fairseq_latent.self_play.rollouts import Greedy, Sampled, drawn_pair, scene_of

from ..helpers import programs
from ..helpers import speakers as corpus
from ..helpers.cases import cases, near

ARCH = ("--arch", "p2bot_transmitter_tiny", "--dropout", "0.1", "--attention-dropout", "0", "--max-reply-tokens", "12")
F1 = ("--best-checkpoint-metric", "f1", "--maximize-best-checkpoint-metric")


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """A data folder, and checkpoints of both earlier stages: a transmitter and a receiver that have learnt something."""
    root = tmp_path_factory.mktemp("stages")
    (root / "text").mkdir()
    corpus.write(root / "text", {"train": 40, "valid": 2, "test": 4})
    corpus.binarise(root / "text", root / "data")
    quiet = ("--disable-validation", "--lr", "0.01")
    loss = ("--criterion", "double_heads", "--lm-weight", "0.6", "--choice-weight", "0.4", "--label-smoothing", "0.05")
    flags = (*ARCH, *loss, *quiet, "--max-update", "50", "--batch-size", "16", "--save-dir", root / "transmitter")
    fit(root / "data", "persona_dialogue", *flags)
    kind = ("--arch", "p2bot_receiver_tiny", "--criterion", "receiver_margin", "--valid-persona-sets", "4")
    small = ("--encoder-layers", "1", "--encoder-dropout", "0", "--max-update", "60")
    fit(root / "data", "persona_receiver", *kind, *small, *quiet, "--save-dir", root / "receiver")
    return SimpleNamespace(
        data=root / "data",
        text=root / "text",
        transmitter=root / "transmitter/checkpoint_last.pt",
        receiver=root / "receiver/checkpoint_last.pt",
    )


def fit(data, task, *flags):
    kind = ("--user-dir", programs.PLUGIN, "--task", task)
    return programs.run("fairseq-train", data, *kind, *programs.TINY_TRAINING, *flags)


def self_play(stages, folder, *flags, **other):
    """A short training; `other`: stages in place of those."""
    given = {"transmitter": stages.transmitter, "receiver": stages.receiver, **other}
    named = [word for name, path in given.items() if path for word in (f"--{name}", path)]
    start = ("--finetune-from-model", stages.transmitter, "--criterion", "self_play", "--self-play-turns", "2")
    return fit(stages.data, "self_play", *ARCH, *start, *named, "--lm-reward", "0", *F1, "--save-dir", folder, *flags)


# --- rewards ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given, expected", cases("p2bot_lm_score"))
def test_the_score_of_a_language_model(given, expected):
    """There the utterance's first word is what is given; self-play puts the token before it that begins a text."""
    table = torch.tensor(given["transition_logits"]).log_softmax(-1)

    def nats(texts, spans):
        assert spans == [[(1, len(text))] for text in texts]
        return torch.stack([-F.embedding(torch.tensor(text[:-1]), table).gather(1, torch.tensor(text[1:]).view(-1, 1)).sum()
                            for text in texts])  # fmt: skip

    near(mean_log_probabilities(nats, given["utterances"]), expected["scores"])


# --- rollouts --------------------------------------------------------------------------------------------------------

PEOPLE = [Speaker(((n, n + 1), (n + 2,)), ((n,), (n + 1,), (n + 2,))) for n in range(10, 50, 10)]


def test_a_scene_is_drawn_from_seed_and_update():
    pair = drawn_pair(PEOPLE, 1, 7)
    assert pair == drawn_pair(PEOPLE, 1, 7)
    assert len({drawn_pair(PEOPLE, 1, update) for update in range(40)}) > 8
    scene = scene_of(pair, 6, 1, 7)
    assert scene == scene_of(pair, 6, 1, 7) and scene.opening == pair[1].utterances[0]
    for agent, person in enumerate(pair):
        assert len({tuple(each) for each in scene.personas[agent]}) > 1, "persona sentences are shuffled per rollout"
        assert all(sorted(each) == sorted(person.persona) for each in scene.personas[agent])


def test_samples_are_of_the_best_words_and_do_not_depend_on_other_rollouts(random):
    lprobs = torch.randn(4, 30).log_softmax(-1)
    nothing = torch.zeros(4, 0).long()
    drawn = torch.stack([Sampled([3], 0.7, 5, 1, update)(lprobs, nothing, 0) for update in range(200)])
    allowed = lprobs.clone()
    allowed[:, 3] = -torch.inf
    best = allowed.topk(5).indices
    assert all(set(drawn[:, row].tolist()) <= set(best[row].tolist()) for row in range(4))
    expected = (allowed.gather(1, best) / 0.7).softmax(-1)
    found = torch.stack([(drawn == best[:, place]).float().mean(0) for place in range(5)], 1)
    assert (found - expected).abs().max() < 0.15
    alone = Sampled([3], 0.7, 5, 1, 0)(lprobs[:1], nothing[:1], 0)
    assert alone[0] == drawn[0, 0]


def test_what_no_reply_has_is_never_said():
    lprobs = torch.zeros(1, 5)
    lprobs[0, 2] = 5.0
    assert Greedy([2, 0, 1])(lprobs, torch.zeros(1, 0).long(), 0).item() == 3


def test_references_are_printed_whole(stages):
    """--max-reply-tokens cuts what is trained; what a response is compared with stays as it is."""
    text = (stages.text / "test.tgt").read_text().splitlines()
    flags = (
        "--task",
        "persona_dialogue",
        "--beam",
        "1",
        "--max-len-b",
        "3",
        "--model-overrides",
        "{'max_reply_tokens': 4}",
    )
    printed = programs.decode(stages.data, stages.transmitter, *flags).text
    found = {line.split("\t")[0]: line.split("\t")[1] for line in printed.splitlines() if line.startswith("T-")}
    assert max(len(line.split()) for line in text) > 4
    assert [found[f"T-{number}"] for number in range(len(text))] == text


# --- training --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unbroken(stages, tmp_path_factory):
    """Five updates, some of them supervised, with a validation."""
    folder = tmp_path_factory.mktemp("self-play")
    return folder, self_play(stages, folder, "--max-update", "5", "--supervised-share", "0.4", "--seed", "2")


def test_what_is_logged(unbroken):
    logged = unbroken[1].numbers("train_inner")
    played = [numbers for numbers in logged if numbers.get("reward") is not None]
    assert 0 < len(played) < len(logged), "episodes, and supervised updates"
    for numbers in played:
        parts = {name: numbers[f"reward_{name}"] for name in ("persona", "coherence", "repetition")}
        total = 0.5 * parts["persona"] + 0.1 * parts["coherence"] - 0.1 * parts["repetition"]
        assert numbers["reward"] == pytest.approx(total, abs=1e-3) == pytest.approx(numbers["baseline"], abs=1e-3)
        assert numbers["bsz"] == 12 and numbers["length"] > 0 and "persona_score" in numbers
    assert {"f1", "rec_ppl"} <= unbroken[1].numbers("valid")[-1].keys()


def test_a_resumed_training_is_the_unbroken_one(stages, unbroken, tmp_path):
    flags = ("--supervised-share", "0.4", "--seed", "2")
    self_play(stages, tmp_path, "--max-update", "2", *flags, "--disable-validation")
    printed = self_play(stages, tmp_path, "--max-update", "5", *flags)
    same = ("loss", "reward", "gnorm")
    rest = [[numbers.get(name) for name in same] for numbers in unbroken[1].numbers("train_inner")[2:]]
    assert [[numbers.get(name) for name in same] for numbers in printed.numbers("train_inner")] == rest
    programs.assert_same_parameters(tmp_path / "checkpoint_last.pt", unbroken[0] / "checkpoint_last.pt")


def test_frozen_models_are_not_in_the_checkpoint(stages, unbroken):
    path = unbroken[0] / "checkpoint_last.pt"
    assert programs.parameters(path).keys() == programs.parameters(stages.transmitter).keys()
    state = checkpoint_utils.load_checkpoint_to_cpu(str(path))
    assert state["extra_state"]["task_state"]["frozen"].keys() == {"transmitter", "receiver"}
    trained = sum(entry["exp_avg"].numel() for entry in state["last_optimizer_state"]["state"].values())
    aside = ("decoder.embedding", "choice_head")  # the encoder's, and a head that self-play does not train
    once = {name: value for name, value in state["model"].items() if not name.startswith(aside)}
    assert trained == sum(value.numel() for value in once.values())


def test_another_receiver_is_noticed(stages, unbroken, tmp_path, refused):
    folder = shutil.copytree(unbroken[0], tmp_path / "run")
    other = tmp_path / "other.pt"
    state = torch.load(stages.receiver, weights_only=False)
    next(iter(state["model"].values())).add_(0.1)
    torch.save(state, other)
    line = refused(self_play, stages, folder, "--max-update", "7", receiver=other)
    assert "--receiver" in line and "not what this training began with" in line


def test_the_persona_reward_rises(stages, tmp_path):
    """The receiver has learnt that what somebody says names things of his profile; so the agent comes to name his."""
    only = ("--coherence-reward", "0", "--repetition-reward", "0", "--supervised-share", "0", "--disable-validation")
    flags = ("--max-update", "30", "--lr", "0.003", "--log-interval", "1")
    printed = self_play(stages, tmp_path, *only, *flags)
    scores = [numbers["persona_score"] for numbers in printed.numbers("train_inner")]
    assert np.mean(scores[-8:]) > np.mean(scores[:8]) + 0.05, scores


def test_a_language_model_judges(stages, tmp_path):
    folder = language_model(tmp_path / "lm")
    flags = ("--reward-lm", folder, "--lm-reward", "0.5", "--max-update", "1", "--supervised-share", "0")
    printed = self_play(stages, tmp_path / "run", *flags, "--disable-validation")
    assert printed.numbers("train_inner")[0]["reward_lm"] < -1


def language_model(folder):
    """A random GPT-2 of 257 tokens: bytes, and the end of a text."""
    import transformers
    from tokenizers.pre_tokenizers import ByteLevel

    folder.mkdir()
    letters = sorted(ByteLevel.alphabet())
    places = {letter: place for place, letter in enumerate([*letters, "<|endoftext|>"])}
    (folder / "encoder.json").write_text(json.dumps(places))
    (folder / "vocab.bpe").write_text("#version: 0.2\n")
    torch.manual_seed(3)
    sizes = {"n_positions": 128, "n_embd": 16, "n_layer": 1, "n_head": 2, "bos_token_id": 256, "eos_token_id": 256}
    transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=257, **sizes)).save_pretrained(folder)
    return folder


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags, other, named", [
    (("--rollouts", "1"), {}, "baseline"),
    ((), {"transmitter": None}, "--transmitter"),
    ((), {"receiver": None}, "--receiver"),
    ((), {"receiver": "nowhere.pt"}, "nowhere.pt"),
    (("--lm-reward", "0.5"), {}, "--reward-lm"),
    (("--persona-reward", "0", "--coherence-reward", "0", "--repetition-reward", "0"), {}, "all weights"),
], ids=["one-rollout", "no-transmitter", "no-receiver", "no-such-file", "no-language-model", "no-reward"])  # fmt: skip
def test_what_is_missing(stages, tmp_path, refused, flags, other, named):
    assert named in refused(self_play, stages, tmp_path, *flags, **other)
    assert not list(tmp_path.glob("*.pt"))


def test_stages_in_the_wrong_place(stages, tmp_path, refused):
    line = refused(self_play, stages, tmp_path, receiver=stages.transmitter)
    assert "--receiver" in line and "P2BotTransmitterModel" in line


def test_a_receiver_of_other_words(stages, tmp_path, refused):
    data = shutil.copytree(stages.data, tmp_path / "data")
    for path in data.glob("dict.*"):
        lines = path.read_text().splitlines()
        path.write_text("\n".join([*lines[:-2], lines[-1], lines[-2]]) + "\n")
    other = SimpleNamespace(**{**vars(stages), "data": data})
    line = refused(self_play, other, tmp_path / "run", "--coherence-reward", "0", transmitter=None)
    assert "another dictionary" in line


# --- decoding --------------------------------------------------------------------------------------------------------


def test_partners_and_candidates_never_reach_generation(stages, unbroken, tmp_path):
    """The partners' profiles are others, and candidates come; replies stay."""
    path = unbroken[0] / "checkpoint_last.pt"

    def replies(data):
        flags = ("--user-dir", programs.PLUGIN, "--task", "self_play", "--path", path, "--p2bot-search", "--beam", "2")
        printed = programs.run("fairseq-generate", data, *flags, "--max-len-b", "11", "--cpu", "--num-workers", "0")
        return printed.hypotheses()

    before = replies(stages.data)
    assert len(before) == 20
    data = shutil.copytree(stages.data, tmp_path / "data")
    for kind in ("idx", "bin"):
        name = "test.partner-None.partner"
        shutil.copy(data / f"test.own-None.own.{kind}", data / f"{name}.{kind}")
    (data / "test.candidates").write_text("\n".join(["i like tea\tno"] * 20) + "\n")
    assert replies(data) == before


# --- the command -----------------------------------------------------------------------------------------------------


def test_two_agents_talk(stages, unbroken, tmp_path):
    """As text and as JSON; a seed gives the same dialogues again."""
    path = unbroken[0] / "checkpoint_last.pt"
    words = ("self-play", stages.data, "--path", path, "--receiver", stages.receiver, "--cpu")
    words = (*words, "--transmitter", stages.transmitter, "--dialogues", "2", "--turns", "2")
    done = programs.tool(*words, "--format", "json", "--out", tmp_path / "found.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found["dialogues"]) == 2 and "weights:coherence=0.1" in found["signature"]
    for dialogue in found["dialogues"]:
        assert [turn["speaker"] for turn in dialogue["turns"]] == ["A", "B"] * 2
        for turn in dialogue["turns"]:
            total = 0.1 * turn["coherence"] + 0.5 * turn["persona"] - 0.1 * turn["repetition"]
            assert turn["reward"] == pytest.approx(total, abs=1e-3)
    done = programs.tool(*words)
    assert done.returncode == 0, done.stderr
    for dialogue in found["dialogues"]:
        for turn in dialogue["turns"]:
            assert f"{turn['speaker']}: {turn['text']}\n" in done.stdout


def test_what_does_not_play(stages):
    words = ("self-play", stages.data, "--path", stages.receiver, "--receiver", stages.receiver, "--cpu")
    done = programs.tool(*words)
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith("error: ")
