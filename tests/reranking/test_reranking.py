"""`--rerank`: every score against a loop over the models, the order of what is printed, and what is refused."""

import math
from argparse import Namespace

import numpy as np
import pytest
import torch

import fairseq_latent
from fairseq_latent.cli import main
from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.runs.response_files import read_generations
from fairseq_latent.reranking import WITH_MODEL
from fairseq_latent.reranking.candidates import ranked
from fairseq_latent.reranking.rerankers import sentence_bleu

from ..helpers import programs
from ..helpers.corpus import ANSWERS, QUESTIONS, SUBJECTS

MANY = ("--beam", "1", "--sampling", "--latent-samples", "4", "--max-len-b", "8", "--gen-subset", "test")
REVERSE = ("--source-lang", "tgt", "--target-lang", "src")
WORDS = " ".join((*QUESTIONS, *SUBJECTS, *ANSWERS)).replace("{}", "") + " hello there ?"


@pytest.fixture(scope="module")
def models(data_bin, tmp_path_factory):
    """Checkpoints of a model and of a reverse one."""
    home = tmp_path_factory.mktemp("models")
    quick = ("--disable-validation", "--no-epoch-checkpoints")
    programs.fit(data_bin, home / "forward", *quick)
    programs.fit(data_bin, home / "reverse", *quick, *REVERSE)
    return {name: home / name / "checkpoint_last.pt" for name in ("forward", "reverse")}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    pytest.importorskip("transformers")
    from ..helpers.speakers import bert_of_words

    return bert_of_words(tmp_path_factory.mktemp("encoder"), WORDS)[0]


@pytest.fixture(scope="module")
def language_model(tmp_path_factory):
    """A tiny GPT-2 with random weights, and a byte-level tokenizer of its own."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    folder = tmp_path_factory.mktemp("lm")
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator([WORDS], trainer)
    made.save(str(folder / "tokenizer.json"))
    torch.manual_seed(3)
    config = transformers.GPT2Config(
        vocab_size=made.get_vocab_size(), n_positions=64, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def decoded(data, models, tmp_path, *flags):
    """Context id -> (source, reference, [(score, text)]) in the printed order."""
    printed = programs.decode(data, models["forward"], *MANY, *flags)
    path = tmp_path / "generated.txt"
    path.write_text(printed.text, encoding="utf-8")
    found = read_generations(path)
    return [(each.source, each.reference, list(zip(each.scores, each.hypotheses, strict=True))) for each in found]


def checked(data, models, tmp_path, kind, path, expected):
    """The candidates of a plain run, the best first, with the scores that `expected` (context, reply, reference) gives."""
    plain = decoded(data, models, tmp_path)
    flags = ("--rerank", kind, *(("--rerank-model", path) if path else ()))
    found = decoded(data, models, tmp_path, *flags)
    assert len(found) == 21
    for (source, reference, before), (_, _, after) in zip(plain, found, strict=True):
        assert sorted(text for _, text in after) == sorted(text for _, text in before)
        scores = [score for score, _ in after]
        assert scores == sorted(scores, reverse=True)
        for score, text in after:
            assert score == pytest.approx(expected(source, text, reference), rel=1e-3, abs=1e-4)
    again = decoded(data, models, tmp_path, *flags, "--batch-size", "3")
    for (*_, one), (*_, other) in zip(found, again, strict=True):
        assert [text for _, text in one] == [text for _, text in other]
        assert [score for score, _ in one] == pytest.approx([score for score, _ in other], abs=2e-5)
    assert any(len({score for score, _ in after}) > 1 for _, _, after in found)


def test_mmi_is_the_reverse_models_mean_log_probability(data_bin, models, tmp_path):
    reverse = fairseq_latent.load(models["reverse"], data_bin, cpu=True).trained
    words, model = reverse.task.target_dictionary, reverse.model

    def expected(context, reply, reference):
        source, target = (words.encode_line(text, add_if_not_exist=False).long() for text in (reply, context))
        previous = torch.cat([target[-1:], target[:-1]])[None]
        with torch.no_grad():
            encoded = model.encoder(source[None], torch.tensor([len(source)]), latent_mean=True)
            lprobs = model.decoder(previous, encoder_out=encoded)[0].log_softmax(-1)
        return lprobs[0].gather(-1, target[:, None]).mean().item()

    checked(data_bin, models, tmp_path, "mmi", models["reverse"], expected)


def test_relevance_is_a_cosine(data_bin, models, tmp_path, encoder):
    from fairseq_latent.modules.sentence_encoder import TextEncoder

    encode = TextEncoder(encoder, torch.device("cpu"))

    def expected(context, reply, reference):
        one, other = encode([context.replace(" <eot> ", " "), reply])
        return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))

    checked(data_bin, models, tmp_path, "relevance", encoder, expected)


def test_lm_is_the_language_models_mean_log_probability(data_bin, models, tmp_path, language_model):
    import transformers

    model = transformers.GPT2LMHeadModel.from_pretrained(language_model).eval()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(language_model / "tokenizer.json"))
    (line_break,) = tokenizer("\n", add_special_tokens=False)["input_ids"]

    def expected(context, reply, reference):
        ids = torch.tensor([[0, *tokenizer(reply, add_special_tokens=False)["input_ids"], line_break]])
        with torch.no_grad():
            lprobs = model(ids).logits[0, :-1].log_softmax(-1)
        return lprobs.gather(-1, ids[0, 1:, None]).mean().item()

    checked(data_bin, models, tmp_path, "lm", language_model, expected)


def test_the_oracle_is_sacrebleus_sentence_bleu(data_bin, models, tmp_path):
    from sacrebleu import sentence_bleu as theirs

    def expected(context, reply, reference):
        return theirs(reply, [reference]).score  # which leaves out orders that it is too short for

    checked(data_bin, models, tmp_path, "oracle", None, expected)


def test_words_that_are_not_apart_are_compared_by_characters():
    assert sentence_bleu("お茶が好き", "お茶が嫌い") > 30
    assert sentence_bleu("i like tea now", "i like tea now") == pytest.approx(100)


def test_equal_scores_keep_their_order_and_the_printed_number_is_the_score():
    hypotheses = [[{"score": 9, "tokens": place} for place in range(3)]]
    (found,) = ranked(hypotheses, [[1.0, 2.0, 2.0]])
    assert [(each["tokens"], each["candidate"], each["score"] / math.log(2)) for each in found] == [
        (1, 1, pytest.approx(2.0)),
        (2, 2, pytest.approx(2.0)),
        (0, 0, pytest.approx(1.0)),
    ]


def test_score_measures_the_best_one(data_bin, models, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, flags in (("plain", ()), ("oracle", ("--rerank", "oracle"))):
        (tmp_path / name).write_text(programs.decode(data_bin, models["forward"], *MANY, *flags).text)
    capsys.readouterr()
    assert main(["score", "p=plain", "o=oracle", "--bootstrap", "0", "--field", "--json"]) == 0
    import json

    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["o"]["responses_given"] == 4 and rows["o"]["responses_measured"] == 1
    assert rows["o"]["scores"]["BLEU-1"]["value"] > rows["p"]["scores"]["BLEU-1"]["value"]


def test_an_interactive_run_is_reranked(data_bin, models):
    flags = (
        "--beam",
        "1",
        "--sampling",
        "--latent-samples",
        "3",
        "--rerank",
        "mmi",
        "--rerank-model",
        models["reverse"],
    )
    where = ("--path", models["forward"], "--cpu", "--num-workers", "0")
    lines = "do you like tea\nwhat about chess\n"
    printed = programs.run("fairseq-interactive", data_bin, *programs.PLUG_IN, *where, *flags, stdin=lines)
    scores: dict[str, list[float]] = {}
    for line in printed.text.splitlines():
        if line.startswith("H-"):
            scores.setdefault(line.split("\t")[0], []).append(float(line.split("\t")[1]))
    assert len(scores) == 2 and all(of == sorted(of, reverse=True) and len(of) == 3 for of in scores.values())
    with pytest.raises(InputError, match="oracle compares with references"):
        programs.run(
            "fairseq-interactive", data_bin, *programs.PLUG_IN, *where, *flags[:5], "--rerank", "oracle", stdin=lines
        )


def test_from_python_and_in_chat(data_bin, models):
    model = fairseq_latent.load(models["forward"], data_bin, cpu=True)
    contexts, asked = ["do you like tea", "hello there"], {"rerank": "mmi", "rerank_model": models["reverse"]}
    found = model.reply(contexts, n=2, candidates=5, max_length=6, **asked)
    plain = model.reply(contexts, n=5, max_length=6)
    every = model.reply(contexts, n=5, candidates=5, max_length=6, **asked)
    for best, five, all_five in zip(found, every, plain, strict=True):
        assert best == five[:2] and [each.score for each in five] == sorted((each.score for each in five), reverse=True)
        assert sorted(each.text for each in five) == sorted(each.text for each in all_five)
        assert all(each.score is None for each in all_five)
    assert model.reply(contexts, n=5, max_length=6) == plain  # and no longer
    for options, said in (
        ({"rerank": "oracle"}, "there are no references to rank by"),
        ({"candidates": 3}, "candidates are for rerank"),
        ({**asked, "candidates": 1}, "candidates 1; remedy: 2 or more"),
        ({"rerank": "lm"}, "without --rerank-model"),
    ):
        with pytest.raises(InputError, match=said):
            model.reply(contexts, n=2, **options)
    words = ("--path", models["forward"], "--cpu", "--replies", "2", "--candidates", "5", "--max-length", "6")
    done = programs.tool(
        "chat", data_bin, *words, "--rerank", "mmi", "--rerank-model", models["reverse"], stdin=f"{contexts[0]}\n"
    )
    assert done.returncode == 0, done.stderr
    shown = [line for line in done.stdout.splitlines() if line[:2] in ("1.", "2.")]
    assert shown == [
        f"{number}. {reply.text or '(an empty reply)'}  ({reply.score:.3f})" for number, reply in enumerate(found[0], 1)
    ]


def test_a_faders_reply_keeps_its_fader(persona_bin, persona_run, encoder):
    model = fairseq_latent.load(persona_run[0], persona_bin, cpu=True)
    asked = {"rerank": "relevance", "rerank_model": encoder, "candidates": 4}
    (found,) = model.reply(["hello there"], n=4, max_length=6, **asked)
    (plain,) = model.reply(["hello there"], n=4, max_length=6)
    assert sorted((each.text, round(each.fader, 4)) for each in found) == sorted(
        (each.text, round(each.fader, 4)) for each in plain
    )


def test_what_cannot_be_ranked_by_is_refused(data_bin, models, tmp_path, encoder, binarise, text, refused):
    def fails(*flags):
        return refused(programs.decode, data_bin, models["forward"], *MANY, *flags)

    one = ("--latent-samples", "1", "--rerank")
    assert "--rerank oracle: one response to each context; remedy: --latent-samples 20" in fails(*one, "oracle")
    for kind in WITH_MODEL:
        assert f"--rerank {kind} without --rerank-model" in fails("--rerank", kind)
    assert "--rerank oracle has no model" in fails("--rerank", "oracle", "--rerank-model", encoder)
    assert "no such checkpoint" in fails("--rerank", "mmi", "--rerank-model", tmp_path / "none.pt")
    same = fails("--rerank", "mmi", "--rerank-model", models["forward"])
    assert (
        "writes tgt from src: it is no reverse model; remedy: a model of this package, trained on the same DATA" in same
    )
    assert "--source-lang tgt --target-lang src" in same
    (tmp_path / "other").mkdir()
    for name in ("train", "valid", "test"):
        for side in ("src", "tgt"):
            lines = (text / f"{name}.{side}").read_text().replace("tea", "beer").replace("chess", "golf")
            (tmp_path / "other" / f"{name}.{side}").write_text(lines)
    other = binarise(tmp_path / "other")
    quick = ("--disable-validation", "--no-epoch-checkpoints")
    programs.fit(other, tmp_path / "run", *quick, *REVERSE)
    said = fails("--rerank", "mmi", "--rerank-model", tmp_path / "run/checkpoint_last.pt")
    assert "checkpoint_last.pt: this checkpoint was trained with another dictionary" in said
    bare = tmp_path / "bert"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((encoder / name).read_bytes())
    assert "bert: no tokenizer there" in fails("--rerank", "relevance", "--rerank-model", bare)
    assert "no config.json there" in fails("--rerank", "lm", "--rerank-model", tmp_path)


def test_a_training_has_nothing_to_rerank(data_bin, tmp_path):
    programs.fit(data_bin, tmp_path, "--rerank", "oracle", "--max-update", "1", "--disable-validation")
    assert (tmp_path / "checkpoint_last.pt").is_file()


def test_the_reranker_is_made_once(task, monkeypatch):
    from fairseq_latent.tasks import dialogue

    made = []
    monkeypatch.setattr(dialogue, "reranker_of", lambda *given: made.append(given) or Namespace())
    task.cfg.rerank = "oracle"
    device = torch.device("cpu")
    assert task._made_reranker(device) is task._made_reranker(device) and len(made) == 1
