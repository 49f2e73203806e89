"""`fairseq-latent plot perception`: categories, purity, and the picture with its numbers."""

import importlib.util
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fairseq_latent.cli import main
from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.analysis.perception import different
from fairseq_latent.evaluation.metrics.profile_categories import by_inference, by_words, read_categories
from fairseq_latent.evaluation.metrics.purity import _incidence, neighbours, purity
from tests.helpers import programs

needs_gpt2 = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="transformers is not installed"
)
TWO = {"tea": frozenset({"tea", "cup"}), "犬": frozenset({"犬", "dog"})}


# --- categories -------------------------------------------------------------------------------------------------------


def test_sentences_count_before_words_and_the_first_wins_a_tie():
    assert by_words(["a cup of tea", "tea", "my dog"], TWO) == "tea"
    assert by_words(["tea tea tea", "my dog", "a dog"], TWO) == "犬"  # two sentences against one
    assert by_words(["tea and a cup", "my dog"], TWO) == "tea"  # one against one; two words against one
    assert by_words(["tea", "my dog"], TWO) == "tea"
    assert by_words(["hello", "teapots"], TWO) is None
    assert by_words([], TWO) is None


def test_words_of_scripts_without_spaces_stand_anywhere():
    assert by_words(["私は犬が好きです"], TWO) == "犬"


def test_our_own_categories():
    own = read_categories()
    assert list(own) == ["family", "occupation", "food", "sports", "music and entertainment", "animals and pets"]
    assert sum(map(len, own.values())) == len(frozenset().union(*own.values())) > 500  # no word in two of them
    assert by_words(["i've two dogs .", "i work as a vet"], own) == "occupation"
    assert by_words(["i've two dogs .", "my cat is old"], own) == "animals and pets"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[1]", "no categories; remedy"),
        ('{"a": 1}', "no categories"),
        ('{"a": "tea", "b": ["dog"]}', "no categories"),
        ("x", "no categories"),
        ('{"a": []}', "1 categories"),
    ],
)
def test_categories_that_are_none(tmp_path, content, complaint):
    (tmp_path / "categories.json").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=complaint):
        read_categories(tmp_path / "categories.json")


@pytest.fixture(scope="module")
def nli(tmp_path_factory):
    """A random BART that reads words, of the size of a toy, as a classifier of inference."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp("nli")
    words = ["<s>", "<pad>", "</s>", "<unk>", "this", "text", "is", "about", "tea", "dog", "my", "cup"]
    made = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>",
        model_max_length=64,
    ).save_pretrained(folder)  # fmt: skip
    torch.manual_seed(3)
    config = transformers.BartConfig(
        vocab_size=len(words), d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=8, decoder_ffn_dim=8, max_position_embeddings=64, num_labels=3,
        id2label={0: "contradiction", 1: "neutral", 2: "entailment"}, init_std=0.5,
        label2id={"contradiction": 0, "neutral": 1, "entailment": 2},
    )  # fmt: skip
    transformers.BartForSequenceClassification(config).save_pretrained(folder)
    return folder


@needs_gpt2
def test_inference_takes_the_most_entailed_hypothesis(nli):
    import transformers

    texts, names = ["my tea", "my dog", "cup cup cup", "dog dog tea"], ["tea", "dog", "cup"]
    model = transformers.AutoModelForSequenceClassification.from_pretrained(nli).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(nli)
    expected = []
    for text in texts:
        pairs = [tokenizer(text, f"This text is about {name}.", return_tensors="pt") for name in names]
        with torch.no_grad():
            logits = [model(input_ids=pair["input_ids"]).logits[0, 2].item() for pair in pairs]
        expected.append(names[int(np.argmax(logits))])
    assert by_inference(texts, names, str(nli)) == expected
    assert len(set(expected)) > 1  # or any constant would pass


@needs_gpt2
def test_models_that_infer_nothing(nli, tmp_path):
    with pytest.raises(InputError, match="no config.json there; remedy"):
        by_inference(["x"], ["a", "b"], str(tmp_path))
    broken = shutil.copytree(nli, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match="remedy: copy the folder again"):
        by_inference(["x"], ["a", "b"], str(broken))
    other = shutil.copytree(nli, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    config |= {"id2label": {"0": "a", "1": "b", "2": "c"}, "label2id": {"a": 0, "b": 1, "c": 2}}
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="no label for entailment"):
        by_inference(["x"], ["a", "b"], str(other))
    from transformers import BartModel

    headless = shutil.copytree(nli, tmp_path / "headless")
    BartModel.from_pretrained(nli).save_pretrained(headless)
    shutil.copy(nli / "config.json", headless)
    with pytest.raises(InputError, match="lacks weights, e.g. classification_head.*; remedy"):
        by_inference(["x"], ["a", "b"], str(headless))


# --- purity -----------------------------------------------------------------------------------------------------------


def test_separate_clusters_are_pure():
    random = np.random.default_rng(0)
    vectors = np.concatenate([random.normal(place, 0.1, (10, 3)) for place in (0, 9)])
    found = purity(vectors, ["a"] * 10 + ["b"] * 10)
    assert found.value == 1
    # of the 19 others 9 have a point's own label: 9 / 19 = .474
    assert found.shuffled == pytest.approx(9 / 19, abs=0.02)
    assert found.low < found.shuffled < found.high < 1
    assert found.p == 1 / 1001
    assert str(found).startswith("5-NN purity 1.000; labels shuffled 0.4")


def test_purity_by_hand():
    """On a line at 0, 1, 2, 3, 4, 5 each point's five neighbours are the five others: 4 of 5 for a, 0 for b."""
    assert purity(np.arange(6.0)[:, None], ["a"] * 5 + ["b"]).value == pytest.approx((5 * 4 / 5) / 6)


def test_points_with_a_common_part_are_no_neighbours():
    """At 0 to 9, a for even numbers."""
    vectors, labels = np.arange(10.0)[:, None], list("ab") * 5
    assert purity(vectors, labels).value > 0.3
    assert purity(vectors, labels, parts=[[label] for label in labels]).value == 0
    assert purity(vectors, labels, parts=[["x"]] * 10).value == 0  # nobody has a neighbour
    # the first five share a part: the neighbours of 0 to 4 are 5 to 9, those of 5 to 9 any
    parts = [["x"] if place < 5 else [f"{place}"] for place in range(10)]
    near, there = neighbours(vectors, _incidence(parts))
    assert all(set(near[place]) == {5, 6, 7, 8, 9} for place in range(5))
    assert near[9].tolist() == [8, 7, 6, 5, 4] and there.all()


def test_labels_at_random_are_as_pure_as_shuffled_ones():
    random = np.random.default_rng(1)
    found = purity(random.normal(size=(300, 4)), random.choice(["a", "b", "c"], 300).tolist())
    assert found.value == pytest.approx(found.shuffled, abs=0.05)
    assert found.p > 0.01


def test_a_value_alone():
    random = np.random.default_rng(1)
    vectors, labels = random.normal(size=(30, 4)), random.choice(["a", "b", "c"], 30).tolist()
    found = purity(vectors, labels, shuffles=0)
    assert found.value == purity(vectors, labels).value and np.isnan([found.shuffled, found.p]).all()


def test_too_few():
    for labels in (["a"] * 5, ["a"] * 9):
        with pytest.raises(InputError, match=f"{len(labels)} profiles in 1 categories; remedy"):
            purity(np.zeros((len(labels), 2)), labels)


def test_different_profiles():
    """The same sentences in another order are the same profile; a blank one is none."""
    lines = ["a b <eot> c", "d", "c <eot> a b", "", "d"]
    rows = [torch.tensor([place]) for place in range(5)]
    found = different(rows, lambda row: lines[int(row)], SimpleNamespace(decode=str))
    assert [(profile.example, profile.sentences) for profile in found] == [(0, ("a b", "c")), (1, ("d",))]


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def data(persona_bin):
    return persona_bin


@pytest.fixture
def checkpoint(persona_run):
    return persona_run[0]


def plot(data, checkpoint, out, *flags):
    return main(
        ["plot", "perception", str(data), "--path", str(checkpoint), "--out", str(out), "--cpu", *map(str, flags)]
    )


@needs_gpt2
def test_a_model_is_drawn(data, checkpoint, tmp_path, capsys):
    pytest.importorskip("openTSNE")
    out = tmp_path / "perception.png"
    assert plot(data, checkpoint, out, "--points", tmp_path / "points.json") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("5-NN purity 0.")
    numbers = json.loads((tmp_path / "perception.json").read_text(encoding="utf-8"))
    assert sum(numbers["categories"].values()) == numbers["purity"]["points"] <= numbers["profiles"] <= 40
    assert f"{numbers['purity']['value']:.3f}" in printed[0]
    untrained, draws = numbers["untrained"]["value"], numbers["untrained"]["draws"]
    assert len(set(draws)) > 1 and untrained == pytest.approx(sum(draws) / 5) and len(draws) == 5
    assert printed[1] == (
        f"of 5 recognition networks with random weights: {untrained:.3f} ({min(draws):.3f} to {max(draws):.3f})"
    )
    assert printed[2].startswith(f"{numbers['purity']['points']} of {numbers['profiles']} different profiles: family ")
    rows = json.loads((tmp_path / "points.json").read_text(encoding="utf-8"))
    assert len(rows) == numbers["profiles"]
    own = read_categories()
    assert all(row["category"] == by_words(row["profile"], own) for row in rows)
    first = out.read_bytes()
    assert plot(data, checkpoint, out, "--points", tmp_path / "points.tsv") == 0
    assert out.read_bytes() == first  # same command, same picture
    assert len((tmp_path / "points.tsv").read_text(encoding="utf-8").splitlines()) == len(rows) + 1


@needs_gpt2
def test_a_model_may_choose_the_categories(data, checkpoint, nli, tmp_path, capsys):
    pytest.importorskip("openTSNE")
    (tmp_path / "two.json").write_text('{"tea": [], "dog": [], "cup": []}', encoding="utf-8")
    assert plot(data, checkpoint, tmp_path / "x.svg", "--nli", nli, "--categories", tmp_path / "two.json") == 0
    assert f"|categories:nli:{nli.name}|" in capsys.readouterr().out


@needs_gpt2
def test_what_cannot_be_drawn(data, checkpoint, tmp_path, data_bin, capsys):
    pytest.importorskip("openTSNE")

    def fails(*arguments):
        assert plot(*arguments) == 2
        out, err = capsys.readouterr()
        assert out == "" and "remedy: " in err
        return err.splitlines()[-1]

    out = tmp_path / "x.png"
    without = shutil.copytree(data, tmp_path / "without")
    for path in without.glob("train.partner*"):
        path.unlink()
    assert f"{without}: train has no profiles of the partner" in fails(without, checkpoint, out)
    flags = ("--task", "persona_dialogue", "--no-latents")
    programs.fit(data, tmp_path / "gpt2", *flags, arch="persona_cvae_gpt2_tiny", criterion="elbo")
    assert "has neither perception nor fader" in fails(data, tmp_path / "gpt2/checkpoint_last.pt", out)
    (tmp_path / "none.json").write_text('{"a": ["x"], "b": ["y"]}', encoding="utf-8")
    assert "0 profiles in 0 categories" in fails(data, checkpoint, out, "--categories", tmp_path / "none.json")
    assert "x.json: the picture's numbers go there" in fails(data, checkpoint, out, "--points", tmp_path / "x.json")
    assert "x.gif: not the name of a picture" in fails(data, checkpoint, tmp_path / "x.gif")
    assert not out.exists() and not (tmp_path / "x.json").exists()
