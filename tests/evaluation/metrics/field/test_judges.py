"""C-score and DialogRPT: by hand with a judge of known answers, and by models of `transformers` with random weights."""

import math

import numpy as np
import pytest

from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.metrics.field.judges import HumanFeedback, PersonaConsistency, own_profiles
from fairseq_latent.evaluation.metrics.system_scores import Responses
from tests.helpers.scored import REFERENCES, fails, rows, write_files

LABELS = ("CONTRADICTION", "neutral", "entailment")


class Judge:
    """Knows the answer to each text."""

    name, end = "judge", "|"

    def __init__(self, answers, labels=LABELS):
        self.answers, self.labels, self.asked = answers, labels, []

    def __call__(self, texts):
        self.asked += texts
        return np.array([self.answers(text) for text in texts])


def responses(texts, samples=1):
    return Responses(texts, texts, samples, "w")


def test_the_c_score_is_counted():
    """Of a first profile one sentence entailed and one contradicted: 0; of a second 1 + 0; without any sentence 0."""
    answers = {("i have a dog", "i own a pet"): 2, ("i have a dog", "i hate dogs"): 0}
    judge = Judge(lambda pair: np.eye(3)[answers.get(pair, 1)])
    profiles = [["i own a pet", "i hate dogs"], ["i own a pet", "x"], []]
    (found,) = PersonaConsistency(judge, profiles).measure(responses(["i have a dog"] * 3))
    assert found.score().value == pytest.approx(1 / 3) and found.statistics == [(0.0, 1), (1.0, 1), (0.0, 1)]
    assert found.score().signature == "c-score|nli:judge|premise:response"
    assert len(judge.asked) == 3  # equal pairs are judged once
    (several,) = PersonaConsistency(judge, profiles).measure(responses(["i have a dog", "no"] * 3, 2))
    assert several.statistics == [(0.0, 1), (0.0, 1), (1.0, 1), (0.0, 1), (0.0, 1), (0.0, 1)]


def test_a_judge_without_both_labels_is_none():
    for labels in (("LABEL_0", "LABEL_1"), ("entailment", "not_entailment"), ()):
        with pytest.raises(InputError, match="its config.json|config.json names entailment and contradiction"):
            PersonaConsistency(Judge(None, labels), [])


def test_feedback_is_the_sigmoid_of_one_logit_or_the_second_of_two():
    judge = Judge(lambda text: [float(len(text))], ["LABEL_0"])
    (found,) = HumanFeedback(judge, ["hi <eot> you", "so"]).measure(responses(["a", "bc"]))
    assert sorted(judge.asked) == ["hi|you|a", "so|bc"]
    expected = [1 / (1 + math.exp(-8)), 1 / (1 + math.exp(-5))]
    assert [value for value, _ in found.statistics] == pytest.approx(expected)
    two = Judge(lambda text: [1.0, 3.0], ["bad", "good"])
    (found,) = HumanFeedback(two, ["hi"]).measure(responses(["a"]))
    assert found.score().value == pytest.approx(math.exp(3) / (math.exp(1) + math.exp(3)))
    assert "label:good" in found.score().signature
    with pytest.raises(InputError, match="has 3 labels; remedy"):
        HumanFeedback(Judge(None), ["hi"])


WORDS = "i like green tea . no , not at all it is late now context 0 1 2 too hate"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A BERT that judges pairs, and a GPT-2 that ranks, with random weights."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    import torch

    home = tmp_path_factory.mktemp("judges")
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys(WORDS.split())]
    (home / "nli").mkdir()
    (home / "nli/vocab.txt").write_text("".join(f"{word}\n" for word in known))
    transformers.BertTokenizerFast(vocab=str(home / "nli/vocab.txt")).save_pretrained(home / "nli")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    labels = {"id2label": dict(enumerate(LABELS)), "label2id": {label: place for place, label in enumerate(LABELS)}}
    config = transformers.BertConfig(
        vocab_size=len(known), max_position_embeddings=32, num_labels=3, initializer_range=1.0, **labels, **sizes
    )
    transformers.BertForSequenceClassification(config).save_pretrained(home / "nli")
    words = {"<|endoftext|>": 0} | {word: place for place, word in enumerate(dict.fromkeys(WORDS.split()), 1)}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<|endoftext|>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|endoftext|>", unk_token="<|endoftext|>"
    ).save_pretrained(home / "rpt")
    config = transformers.GPT2Config(
        vocab_size=len(words), n_positions=32, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0, num_labels=1,
        initializer_range=1.0,
    )  # fmt: skip
    transformers.GPT2ForSequenceClassification(config).save_pretrained(home / "rpt")
    return home


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    (tmp_path / "own").write_text("i like tea . <eot> i hate green tea\nit is late\n\n")
    return tmp_path


def test_logits_are_those_of_the_model_alone(folders):
    """In any batch, with pads or without, and of a text that is too long its end."""
    import torch
    import transformers

    from fairseq_latent.modules.sequence_classifier import SequenceClassifier

    long = " ".join(["tea"] * 40 + ["late", "now"])
    for name, texts in (("nli", [("i like tea", "no"), ("no", "it is late now")]), ("rpt", ["i like tea", "no", long])):
        found = SequenceClassifier(str(folders / name), torch.device("cpu"))
        model = transformers.AutoModelForSequenceClassification.from_pretrained(folders / name).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(folders / name)
        expected = []
        for text in texts:
            ids = tokenizer(*([text] if isinstance(text, str) else text), return_tensors="pt")
            ids = {key: value[:, -32:] for key, value in ids.items()}
            model.config.pad_token_id = None if name == "rpt" else model.config.pad_token_id
            with torch.no_grad():
                expected.append(model(**ids).logits[0].tolist())
        np.testing.assert_allclose(found(texts), expected, atol=1e-5)
        assert found.labels == (list(LABELS) if name == "nli" else ["LABEL_0"])
    assert found([]).shape == (0, 1)
    assert np.isfinite(found([""])).all()


def test_score_asks_both(folders, files, capsys):
    flags = ("o=ours.gen", "--lang", "none", "--bootstrap", "0", "--cpu")
    asked = ("--nli", str(folders / "nli"), "--own", "own", "--rpt", str(folders / "rpt"))
    found = rows(capsys, *flags, *asked)
    from fairseq_latent.modules.sequence_classifier import SequenceClassifier

    judge = SequenceClassifier(str(folders / "nli"), __import__("torch").device("cpu"))
    pairs = [(REFERENCES[0], "i like tea ."), (REFERENCES[0], "i hate green tea"), (REFERENCES[1], "it is late")]
    expected = sum({0: -1, 1: 0, 2: 1}[place] for place in judge(pairs).argmax(1)) / 3
    assert found["Reference"]["scores"]["C-score"]["value"] == pytest.approx(expected)
    assert found["o"]["scores"]["C-score"]["signature"] == "c-score|nli:nli|premise:response"
    ranker = SequenceClassifier(str(folders / "rpt"), __import__("torch").device("cpu"))
    logits = ranker([f"context {place}<|endoftext|>{text}" for place, text in enumerate(REFERENCES)])
    assert found["Reference"]["scores"]["DialogRPT"]["value"] == pytest.approx(np.mean(1 / (1 + np.exp(-logits))))


def test_what_is_no_judge_is_refused(folders, files, capsys):
    flags = ("o=ours.gen", "--lang", "none", "--bootstrap", "0", "--cpu")
    assert "--nli and --own belong together" in fails(capsys, *flags, "--nli", str(folders / "nli"))
    assert "no config.json there" in fails(capsys, *flags, "--nli", str(files), "--own", "own")
    assert "names entailment and contradiction" in fails(capsys, *flags, "--nli", str(folders / "rpt"), "--own", "own")
    assert "has 3 labels" in fails(capsys, *flags, "--rpt", str(folders / "nli"))
    plain = ("o=ours.txt", "--reference", "references.txt", *flags[1:])
    assert "--rpt: there are no contexts" in fails(capsys, *plain, "--rpt", str(folders / "rpt"))
    (files / "short").write_text("i like tea\n")
    assert "1 profiles of 3 contexts" in fails(capsys, *flags, "--nli", str(folders / "nli"), "--own", "short")
    (files / "bare").mkdir()
    for name in ("config.json", "model.safetensors"):
        (files / "bare" / name).write_bytes((folders / "rpt" / name).read_bytes())
    assert "bare: no tokenizer there" in fails(capsys, *flags, "--rpt", str(files / "bare"))


def test_profiles_are_sentences(tmp_path):
    (tmp_path / "own").write_text("a b <eot> c<eot>\n\n")
    assert own_profiles(tmp_path / "own", 2) == [["a b", "c"], []]
    (tmp_path / "blank").write_text("\n\n")
    with pytest.raises(InputError, match="no profile has a sentence"):
        own_profiles(tmp_path / "blank", 2)
