"""Exported models where no fairseq is, against fairseq-generate and the interface on the checkpoints that they come from."""

import json
import math
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

import fairseq_latent
from fairseq_latent import portable
from fairseq_latent.errors import InputError
from fairseq_latent.portable import networks

from ..helpers import programs, quickstart
from ..helpers.hostile import DEAR
from . import bare

ARCHS = ("t_cvae", "t_spacefusion", "gru_vae", "hred", "vhred", "rnn_cvae")
FEWER = ("t_cvae", "gru_vae", "rnn_cvae")
LONGEST = 12
SEARCHES = {  # flags of fairseq-generate, and keywords of `reply`
    "beam": (("--beam", "5", "--lenpen", "1.2"), {"n": 1, "beam": 5, "lenpen": 1.2}),
    "greedy": (("--beam", "1"), {"n": 1, "beam": 1}),
    "mean": (("--beam", "2", "--latent", "mean"), {"n": 1, "beam": 2, "latent_mean": True}),
    "latents": (("--beam", "2", "--latent-samples", "3"), {"n": 3, "beam": 2}),
    "sampled": (
        ("--beam", "1", "--sampling", "--sampling-topk", "4", "--sampling-topp", "0.8", "--latent-samples", "2"),
        {"n": 2, "beam": 0},
    ),
}
REPLY = """
from fairseq_latent import portable
found = {}
for arch, (folder, contexts, responses) in GIVEN["models"].items():
    model = portable.load(folder, cpu=True)
    ids = list(range(len(contexts)))
    found[arch] = {
        name: [[(reply.text, reply.score) for reply in replies] for replies in model.reply(contexts, ids=ids, **options)]
        for name, options in GIVEN["searches"].items() if model.has_latent or name != "latents"
    }
    scores = model.score(contexts, responses, prior_samples=2, importance_samples=3)
    found[arch]["scores"] = {name: value.tolist() for name, value in vars(scores).items()}
assert "torch._dynamo" not in sys.modules  # which takes seconds
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def trained(data_bin, sentences_bin, text, tmp_path_factory):
    """Architecture -> (run folder, data folder, contexts and responses of its test set); six tiny models."""
    found = {}
    for arch in ARCHS:
        folder = tmp_path_factory.mktemp(arch)
        data, kind = (sentences_bin, "text_vae") if arch == "gru_vae" else (data_bin, "dialogue")
        criterion = "spacefusion" if arch == "t_spacefusion" else "elbo"
        flags = ("--task", kind, "--max-update", "8", "--lr", "0.02")  # enough to say different things
        programs.fit(data, folder, *flags, arch=f"{arch}_tiny", criterion=criterion)
        sides = [(text / f"test.{side}").read_text("utf-8").splitlines() for side in ("src", "tgt")]
        found[arch] = folder, data, *(sides if kind == "dialogue" else [sides[1]] * 2)
    return found


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """Architecture -> the folder that `fairseq-latent export` made."""
    out, folders = tmp_path_factory.mktemp("exported"), {}
    for arch, (run, *_) in trained.items():
        done = programs.tool("export", run, out / arch)
        assert done.returncode == 0, done.stderr
        folders[arch] = out / arch
    return folders


@pytest.fixture(scope="module")
def replies(trained, exported):
    """What all of them say and score without fairseq, in one process."""
    models = {arch: (str(folder), *trained[arch][2:]) for arch, folder in exported.items()}
    searches = {name: options | {"max_length": LONGEST} for name, (_, options) in SEARCHES.items()}
    return bare.run(REPLY, {"models": models, "searches": searches})


def test_fairseq_is_missing_there():
    found = bare.run(
        """
import importlib.util
print(json.dumps([name for name in GIVEN["names"] if importlib.util.find_spec(name)]))
""",
        {"names": ["torch", "fairseq", "hydra", "omegaconf", "sacrebleu", "scipy", "transformers", "fairseq_latent"]},
    )
    assert found == ["torch", "fairseq_latent"]


def generated(printed) -> dict[int, list[tuple[str, float]]]:
    """Example -> its hypotheses in the order in which fairseq-generate prints them, with scores in nats."""
    found: dict[int, list[tuple[str, float]]] = {}
    for line in printed.text.splitlines():
        if line.startswith("H-"):
            name, score, words = line.split("\t")
            found.setdefault(int(name.removeprefix("H-")), []).append((words, float(score) * math.log(2)))
    return found


@pytest.mark.parametrize(
    ("arch", "search"),
    [(arch, search) for arch in ARCHS for search in (SEARCHES if arch in FEWER else ("beam", "sampled"))],
)
def test_texts_and_scores_are_those_of_fairseq_generate(trained, replies, arch, search):
    run, data, contexts, _ = trained[arch]
    flags, options = SEARCHES[search]
    task = ("--task", "text_vae" if arch == "gru_vae" else "dialogue")
    printed = programs.decode(
        data, run / "checkpoint_best.pt", *task, *flags, "--max-len-a", "0", "--max-len-b", LONGEST
    )
    expected, found = generated(printed), replies[arch][search]
    assert sorted(expected) == list(range(len(contexts)))
    for row, ours in enumerate(found):
        assert len(ours) == options["n"]
        assert [words for words, _ in ours] == [words.strip() for words, _ in expected[row][: options["n"]]]
        np.testing.assert_allclose([score for _, score in ours], [score for _, score in expected[row]], atol=1e-5)


def test_these_models_say_different_things(replies):
    """Or the test above would be easy."""
    for arch in FEWER:
        assert len({words for row in replies[arch]["sampled"] for words, _ in row}) > 10


@pytest.mark.parametrize("arch", ARCHS)
def test_scores_are_those_of_the_interface(trained, replies, arch):
    run, data, contexts, responses = trained[arch]
    expected = fairseq_latent.load(run, data, cpu=True).score(
        contexts, responses, prior_samples=2, importance_samples=3
    )
    for name, values in vars(expected).items():
        np.testing.assert_allclose(replies[arch]["scores"][name], values, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("arch", FEWER)
def test_latents_replies_and_samples_fit_together(trained, exported, arch):
    run, data, contexts, responses = trained[arch]
    model, whole = portable.load(exported[arch], cpu=True), fairseq_latent.load(run, data, cpu=True)
    ours, theirs = (each.latents(contexts[:5], responses[:5]) for each in (model, whole))
    for name, values in vars(theirs).items():
        np.testing.assert_allclose(getattr(ours, name), values, atol=1e-5, err_msg=name)
    assert model.latents(contexts[:2]).prior_mean.shape == (2, 8)
    said = model.reply(contexts, 2, beam=3, max_length=LONGEST)
    z = model.sample(contexts, 2)
    assert z.shape == (len(contexts), 2, 8)
    assert model.decode(contexts, z, beam=3, max_length=LONGEST) == said
    assert model.reply(contexts[3:5], 2, beam=3, max_length=LONGEST)[1][0].text == said[4][0].text
    texts = [[reply.text for reply in replies] for replies in said]
    assert texts == [[reply.text for reply in each] for each in whole.reply(contexts, 2, beam=3, max_length=LONGEST)]
    other = model.reply(contexts, 1, seed=7, max_length=LONGEST)
    assert other == model.reply(contexts, 1, seed=7, max_length=LONGEST) != model.reply(contexts, 1, max_length=LONGEST)


def test_a_step_is_the_whole_text_so_far(exported, trained):
    """The cache of the Transformer without fairseq, against all tokens at once; contexts of unlike lengths."""
    model = portable.load(exported["t_cvae"], cpu=True)
    contexts = trained["t_cvae"][2][:4]
    (tokens, seeds, _), *_ = model._batches(contexts, None, None)
    network, words = model.network, model.words
    said = torch.randint(words.unk() + 1, len(words), (4, 6), generator=torch.Generator().manual_seed(3))
    said[:, 0] = words.eos()
    with torch.no_grad():
        encoded = network.encoder(tokens, None, seeds)
        whole, _ = network.decoder(said, encoded)
        state: dict = {}
        steps = [network.decoder(said[:, : place + 1], encoded, state)[0] for place in range(6)]
    torch.testing.assert_close(torch.cat(steps, dim=1), whole, rtol=1e-5, atol=1e-5)


def test_a_sentence_vae_samples_sentences(exported, trained):
    model = portable.load(exported["gru_vae"], cpu=True)
    sentences = trained["gru_vae"][2][:4]
    z = model.sample(sentences, 3, from_prior=True)
    assert abs(z).max() > 0.5 and not np.allclose(z, model.sample(sentences, 3))
    assert len(model.reply(sentences, 2, from_prior=True, max_length=4)) == 4
    with pytest.raises(InputError, match="from_prior"):
        portable.load(exported["t_cvae"], cpu=True).reply(["yes"], from_prior=True)


def test_the_folder_and_its_card(exported, trained):
    folder = exported["t_cvae"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "words.json",
    ]
    config = json.loads((folder / "config.json").read_text())
    assert (config["model_type"], config["architecture"], config["flags"]["layers"]) == ("fairseq_latent", "t_cvae", 2)
    card = (folder / "README.md").read_text("utf-8")
    assert "120 |" in card and "--lr 0.02" in card and "`t_cvae_tiny`" in card, card


@pytest.mark.slow
def test_the_quickstarts_model_answers_with_the_same_words(smoke, tmp_path):
    """Where torch, numpy, safetensors and sentencepiece are all there is; and its card has the scores of its run."""
    run, data = smoke / "runs" / quickstart.NAME / "speculative_k5", smoke / "data-bin" / quickstart.NAME
    done = programs.tool("export", run, tmp_path / "model", "--data", data, "--license", "mit")
    assert done.returncode == 0, done.stderr
    sides = [Path(f"{data}.text/test.{side}").read_text("utf-8").splitlines()[:8] for side in ("src", "tgt")]
    searches = {"sampled": {"n": 3, "beam": 0, "max_length": 8}, "beam": {"n": 2, "beam": 3, "max_length": 8}}
    found = bare.run(REPLY, {"models": {"it": (str(tmp_path / "model"), *sides)}, "searches": searches})["it"]
    whole = fairseq_latent.load(run, data, cpu=True)
    model = portable.load(tmp_path / "model", cpu=True)
    for name, options in searches.items():
        ours, theirs = model.reply(sides[0], **options), whole.reply(sides[0], **options)
        assert [[reply.text for reply in each] for each in ours] == [[reply.text for reply in each] for each in theirs]
        same = model.reply(sides[0], ids=range(len(sides[0])), **options)  # in this process
        assert [[text for text, _ in each] for each in found[name]] == [[reply.text for reply in each] for each in same]
    scores = whole.score(*sides, importance_samples=3)
    np.testing.assert_allclose(found["scores"]["nll"], scores.nll, rtol=1e-5)
    head = yaml.safe_load((tmp_path / "model/README.md").read_text("utf-8").split("---\n")[1])
    metrics = {each["name"]: each["value"] for each in head["model-index"][0]["results"][0]["metrics"]}
    assert (
        head["license"] == "mit"
        and head["language"] == ["en"]
        and metrics["BLEU"] >= 0
        and 0 < metrics["dist-1"] <= 100
    )
    card = (tmp_path / "model/README.md").read_text("utf-8")
    assert "tok:moses-en" in card and "| KLD |" in card and "--criterion speculative_elbo" in card


# --- what cannot be exported -----------------------------------------------------------------------------------------


def refused(*words) -> str:
    done = programs.tool(*words)
    assert done.returncode == 2, done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and "remedy" in line
    return line


def test_data_that_is_gone_is_named(trained, tmp_path):
    run, data, *_ = trained["t_cvae"]
    state = torch.load(run / "checkpoint_best.pt", weights_only=False)
    state["cfg"]["task"]["data"] = str(tmp_path / "gone")
    torch.save(state, tmp_path / "moved.pt")
    line = refused("export", tmp_path / "moved.pt", tmp_path / "out")
    assert "gone" in line and "--data" in line and not (tmp_path / "out").exists()
    assert programs.tool("export", tmp_path / "moved.pt", tmp_path / "out", "--data", data).returncode == 0
    assert "no such folder" in refused("export", run, tmp_path / "other", "--data", tmp_path / "nowhere")
    assert "no such checkpoint" in refused("export", tmp_path, tmp_path / "other")


def test_nothing_is_overwritten_or_left_half_written(trained, exported, tmp_path, monkeypatch):
    run, *_ = trained["t_cvae"]
    assert "is there already" in refused("export", run, exported["t_cvae"])
    whole = networks.NETWORKS["t_cvae"]
    monkeypatch.setitem(
        networks.NETWORKS, "t_cvae", lambda flags, *rest: whole({**flags, "fusion_activation": "tanh"}, *rest)
    )
    assert "something else" in refused("export", run, tmp_path / "other/new")  # an option that the form would not know
    monkeypatch.undo()
    monkeypatch.setattr(
        "fairseq_latent.weights.model_card.write_card", lambda *_: shutil.copy(tmp_path / "none", tmp_path)
    )
    assert "No such file" in refused("export", run, tmp_path / "other/new")
    assert not list((tmp_path / "other").iterdir())


# --- what cannot be read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "change", "said"), [
    ("config.json", None, "no such file"),
    ("config.json", lambda raw: raw[:40], "no configuration"),
    ("config.json", lambda raw: b"[]", "no configuration"),
    ("config.json", lambda raw: raw.replace(b'"form": 1', b'"form": 2'), "this version reads 1"),
    ("config.json", lambda raw: raw.replace(b'"t_cvae"', b'"t_other"'), "not known"),
    ("config.json", lambda raw: raw.replace(b'"heads": 2', b'"heads": "x"'), "no network"),
    ("config.json", lambda raw: raw.replace(b'"heads": 2', b'"heads": 3'), "no network"),
    ("config.json", lambda raw: raw.replace(b'"ffn_dim": 32', b'"ffn_dim": 48'), "asks for"),
    ("config.json", lambda raw: raw.replace(b'"layers": 2', b'"layers": 3'), "lacks weights"),
    ("config.json", lambda raw: raw.replace(b'"layers": 2', b'"layers": 1'), "belong to no part"),
    ("config.json", lambda raw: raw.replace(b'"layers": 2', b'"lairs": 2'), "no network"),
    ("words.json", None, "no such file"),
    ("words.json", lambda raw: b'{"a": 1}', "list of tokens"),
    ("words.json", lambda raw: b'["<s>", "<pad>", "</s>", "<unk>", 5]', "no list of tokens"),
    ("words.json", lambda raw: raw.replace(b'"tea",', b""), "asks for"),
    ("model.safetensors", None, "no such file"),
    ("model.safetensors", lambda raw: raw[:-8], "damaged"),
    ("model.safetensors", lambda raw: b"\x80\x04", "damaged"),
    ("model.safetensors", lambda raw: raw[:-4] + b"\x00\x00\xc0\x7f", "no numbers"),
])  # fmt: skip
def test_a_damaged_folder_is_refused_in_one_line(exported, tmp_path, name, change, said):
    folder = tmp_path / "copy"
    shutil.copytree(exported["t_cvae"], folder)
    raw = (folder / name).read_bytes()
    (folder / name).unlink()
    if change is not None:
        assert change(raw) != raw
        (folder / name).write_bytes(change(raw))
    with pytest.raises(InputError, match=said) as error:
        portable.load(folder, cpu=True)
    assert name in str(error.value) or "model.safetensors" in str(error.value)
    assert "remedy" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["config.json", "words.json", "model.safetensors"])
@DEAR
@given(st.data())
def test_damaged_bytes_end_in_a_model_or_in_one_line(exported, name, data):
    """Whatever stands in the file, and however large a number in it is."""
    raw = (exported["t_cvae"] / name).read_bytes()
    start = data.draw(st.integers(0, len(raw) - 1))
    inside = data.draw(st.sampled_from([b"", b"0", b"99999999", b"-", b'"', b"{", b"\xff", b"null", b"1e400"]))
    cut = data.draw(st.integers(0, 8))
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(exported["t_cvae"], f"{folder}/copy")
        (Path(folder) / "copy" / name).write_bytes(raw[:start] + inside + raw[start + cut :])
        try:
            portable.load(f"{folder}/copy", cpu=True)
        except InputError as error:
            assert "remedy" in str(error) and "\n" not in str(error)


def test_what_cannot_be_asked_is_refused(exported):
    model = portable.load(exported["hred"], cpu=True)
    for call, said in (
        (lambda: model.reply("one text"), "a list of contexts"),
        (lambda: model.reply(["a"], n=3, beam=2), "beam 2"),
        (lambda: model.reply(["a"], n=0), "n 0"),
        (lambda: model.reply(["a"], beam=-1), "beam -1"),
        (lambda: model.reply(["a"], max_length=0), "remedy"),
        (lambda: model.reply(["a"], ids=[1, 2]), "2 ids"),
        (lambda: model.latents(["a"]), "no latent"),
        (lambda: model.score(["a"], []), "0 responses"),
        (lambda: model.score(["a"], ["b " * 2000]), "tokens"),
        (lambda: model.decode(["a"], np.zeros((1, 1, 3))), "shape"),
        (lambda: portable.load("nowhere"), "no such folder"),
    ):
        with pytest.raises(InputError, match=said):
            call()
