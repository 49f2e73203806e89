"""P²BOT's receiver: speakers out of examples, profiles of others, the encoder, and its training."""

import json
import shutil

import numpy as np
import pytest
import torch
from fairseq import checkpoint_utils

from fairseq_latent.data.persona_sets import PersonaSetDataset
from fairseq_latent.data.speakers import Speaker, speakers
from fairseq_latent.modules.sentence_encoder import SentenceEncoder, fresh_bert

from ..helpers import programs
from ..helpers import speakers as corpus

PLUG_IN = ("--user-dir", programs.PLUGIN, "--task", "persona_receiver")
KIND = ("--arch", "p2bot_receiver_tiny", "--criterion", "receiver_margin", "--valid-persona-sets", "4")
BEST = ("--best-checkpoint-metric", "hits1", "--maximize-best-checkpoint-metric", "--batch-size", "4")
EOT, END = 9, 2


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Text and data folder of 12, 6 and 6 dialogues."""
    text, data = tmp_path_factory.mktemp("speakers"), tmp_path_factory.mktemp("speakers-bin")
    corpus.write(text, {"train": 12, "valid": 6, "test": 6})
    corpus.binarise(text, data)
    return text, data


def train(data, folder, *flags):
    return programs.run(
        "fairseq-train", data, *PLUG_IN, *KIND, *programs.TINY_TRAINING, *BEST, "--save-dir", folder, *flags
    )


# --- data ------------------------------------------------------------------------------------------------------------


def tokens(*ids):
    return torch.tensor([*ids, END])


def test_all_that_both_say():
    """Turns that are no responses stand in the contexts of later ones; an empty turn keeps its place."""
    rows = [
        (tokens(10, EOT, EOT, 13), tokens(14, 15), tokens(20, EOT, 21)),
        (tokens(13, EOT, 14, 15), tokens(16), tokens(30)),
    ]
    assert speakers(["c:3", "c:4"], rows, EOT, END) == [
        Speaker(((14, 15),), ((20,), (21,))),
        Speaker(((10,), (13,), (16,)), ((30,),)),
    ]


def test_who_has_no_profile_is_left_out():
    assert speakers(["c:1"], [(tokens(10), tokens(11), tokens())], EOT, END) == []


def people(count=6, sentences=3):
    return [Speaker(((5, 6), (7,)), tuple((10 * n + s,) for s in range(sentences))) for n in range(1, count + 1)]


def test_others_profiles_are_drawn_anew_each_epoch():
    dataset = PersonaSetDataset(people(), 3, 1, seed=1, resampled=True, where="here")
    first = [dataset[0]["personas"] for _ in range(2)]
    assert first[0] == first[1]
    gold, *others = first[0]
    assert gold == dataset.speakers[0].persona
    assert all(len(other) == len(gold) and not set(other) & set(gold) for other in others)
    dataset.set_epoch(2)
    assert dataset[0]["personas"] != first[0]
    measured = PersonaSetDataset(people(), 3, 1, seed=1, resampled=False, where="here")
    before = measured[0]["personas"]
    measured.set_epoch(2)
    assert measured[0]["personas"] == before


def test_a_batch():
    dataset = PersonaSetDataset([*people(2), Speaker(((5,),), ((99,), (98, 97)))], 2, 1, 1, True, "here")
    batch = dataset.collater([dataset[1], dataset[2]])
    assert batch["net_input"]["utterances"].tolist() == [[[5, 6], [7, 1]], [[5, 1], [1, 1]]]
    assert batch["net_input"]["personas"].shape == (2, 2, 3, 2)
    assert batch["net_input"]["personas"][1, 0].tolist() == [[99, 1], [98, 97], [1, 1]]
    assert dataset.collater([]) == {}


def test_nothing_left_for_others(refused):
    line = refused(PersonaSetDataset, people(1), 2, 1, 1, True, "here")
    assert "here" in line


# --- the encoder -----------------------------------------------------------------------------------------------------


@pytest.fixture
def encoder(random):
    return SentenceEncoder(fresh_bert(12, 16, 2, 2, 32, 20, 0.1), pad=1).eval()


def test_an_encoding_does_not_depend_on_the_batch(encoder):
    together = torch.tensor([[[0, 5, 1, 1], [0, 6, 7, 8]], [[1, 1, 1, 1], [0, 9, 4, 1]]])
    found = encoder(together, 0)
    assert found.shape == (2, 2, 16)
    assert found[1, 0].eq(0).all()
    for row, column, length in ((0, 0, 2), (0, 1, 4), (1, 1, 3)):
        alone = encoder(together[row, column, :length].unsqueeze(0), 0)[0]
        torch.testing.assert_close(found[row, column], alone)
    assert not torch.allclose(encoder(together, 1)[0, 0], found[0, 0]), "segments tell utterances from sentences"


# --- training --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory):
    """Six updates of a fresh receiver, over two epochs."""
    folder = tmp_path_factory.mktemp("receiver")
    return folder, train(prepared[1], folder, "--max-update", "8")


def test_only_training_sharpens_the_attention(prepared, tmp_path):
    printed = train(
        prepared[1], tmp_path, "--attention-step", "8", "--max-update", "3", "--validate-interval-updates", "1"
    )
    weights = [numbers["attention_weight"] for numbers in printed.numbers("train_inner")]
    assert weights == pytest.approx([0.1, 0.2, 0.2])  # 4, 8 and 12 examples
    validated = [numbers["attention_weight"] for numbers in printed.numbers("valid")]
    assert validated[:3] == pytest.approx([0.1, 0.2, 0.2])


def test_a_resumed_training_is_the_unbroken_one(prepared, trained, tmp_path):
    train(prepared[1], tmp_path, "--max-update", "3")
    train(prepared[1], tmp_path, "--max-update", "8")
    programs.assert_same_parameters(tmp_path / "checkpoint_last.pt", trained[0] / "checkpoint_last.pt")


def test_workers_draw_what_one_process_draws(prepared, trained, tmp_path):
    train(prepared[1], tmp_path, "--max-update", "8", "--num-workers", "1")
    programs.assert_same_parameters(tmp_path / "checkpoint_last.pt", trained[0] / "checkpoint_last.pt")


def test_it_learns_who_speaks(prepared, tmp_path):
    """Chance is 1 in 2; what somebody says names things of his profile."""
    flags = (
        "--max-update",
        "80",
        "--lr",
        "0.01",
        "--encoder-dropout",
        "0",
        "--encoder-layers",
        "1",
        "--log-interval",
        "10",
    )
    printed = train(prepared[1], tmp_path, *flags, "--disable-validation")
    hits = [numbers["hits1"] for numbers in printed.numbers("train_inner")]
    assert np.mean(hits[-2:]) > 85, hits


def test_a_learning_rate_that_falls(prepared, tmp_path):
    flags = ("--lr-scheduler", "reduce_lr_on_plateau", "--lr-shrink", "0.1", "--lr-patience", "0", "--max-update", "40")
    printed = train(prepared[1], tmp_path, *flags, "--lr", "0.01")
    rates = [numbers["lr"] for numbers in printed.numbers("train_inner")]
    assert rates[0] == 0.01 and rates[-1] <= 0.001


# --- an encoder from a folder ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bert(prepared, tmp_path_factory):
    return corpus.bert_folder(tmp_path_factory.mktemp("bert") / "tiny", prepared[0])


def test_the_checkpoint_needs_no_folder(prepared, bert, tmp_path):
    folder = shutil.copytree(bert, tmp_path / "bert")
    printed = train(prepared[1], tmp_path / "run", "--encoder-path", folder)
    shutil.rmtree(folder)
    path = tmp_path / "run/checkpoint_last.pt"
    models, _, task = checkpoint_utils.load_model_ensemble_and_task([str(path)], {"data": str(prepared[1])})
    assert models[0].encoder.dimensions == 16
    words = task.encoded([tuple(task.dictionary.index(word) for word in ("i", "thought", "of"))])
    assert words[0][0] == task.tokenizer.start and len(words[0]) == 4
    assert "hits1" in printed.numbers("valid")[-1]
    flags = ("--path", path, "--cpu", "--batch-size", "4", "--num-workers", "0", "--log-format", "json")
    again = programs.run("fairseq-validate", prepared[1], *PLUG_IN, *flags)
    assert again.numbers("valid")[-1]["hits1"] == pytest.approx(printed.numbers("valid")[-1]["hits1"], abs=0.01)


def test_words_and_segments_stay_as_they_are(prepared, bert, tmp_path):
    train(prepared[1], tmp_path, "--encoder-path", bert)
    found = programs.parameters(tmp_path / "checkpoint_last.pt")
    from transformers import BertModel

    before = BertModel.from_pretrained(bert).state_dict()
    same = {
        name: torch.equal(found[f"encoder.model.{name}"], value)
        for name, value in before.items()
        if f"encoder.model.{name}" in found
    }
    for table in ("word_embeddings", "token_type_embeddings"):
        assert same[f"embeddings.{table}.weight"]
    assert not same["embeddings.position_embeddings.weight"]


@pytest.mark.parametrize("damage, named", [
    (lambda folder: (folder / "config.json").unlink(), "config.json"),
    (lambda folder: (folder / "config.json").write_text(
        json.dumps({**json.loads((folder / "config.json").read_text()), "model_type": "gpt2"})), "gpt2"),
    (lambda folder: [path.unlink() for path in folder.glob("*token*")] + [(folder / "vocab.txt").unlink()], "tokenizer"),
    (lambda folder: (folder / "tokenizer.json").write_text("{}"), "tokenizer"),
], ids=["no-model", "no-bert", "no-tokenizer", "damaged-tokenizer"])  # fmt: skip
def test_folders_that_are_refused(prepared, bert, tmp_path, refused, damage, named):
    folder = shutil.copytree(bert, tmp_path / "bert")
    damage(folder)
    assert named in refused(train, prepared[1], tmp_path / "run", "--encoder-path", folder)
    assert not list(tmp_path.glob("run/*.pt"))


def test_the_tokenizer_of_other_weights(prepared, bert, tmp_path, refused):
    folder = shutil.copytree(bert, tmp_path / "bert")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary.update({f"more{place}": place for place in range(len(vocabulary), len(vocabulary) + 5)})
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert "tokenizer" in refused(train, prepared[1], tmp_path / "run", "--encoder-path", folder)


# --- data that is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage, named", [
    (lambda data: (data / "train.ids").unlink(), "train.ids"),
    (lambda data: (data / "train.ids").write_text("c:1\n"), "differ in length"),
    (lambda data: (data / "train.ids").write_text((data / "train.ids").read_text().replace(":3", ":x")), "line 3"),
    (lambda data: [path.unlink() for path in data.glob("train.own*")], "own"),
], ids=["no-ids", "few-ids", "no-turn", "no-profiles"])  # fmt: skip
def test_data_that_is_refused(prepared, tmp_path, refused, damage, named):
    data = shutil.copytree(prepared[1], tmp_path / "data")
    damage(data)
    assert named in refused(train, data, tmp_path / "run")


def test_it_needs_its_task(data_bin, tmp_path, refused):
    line = refused(programs.fit, data_bin, tmp_path, arch="p2bot_receiver_tiny", criterion="receiver_margin")
    assert "persona_receiver" in line
