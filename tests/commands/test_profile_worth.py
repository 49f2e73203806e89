"""`fairseq-latent profile-worth`: profiles as text, passages that share tokens, nats against transformers, a known truth."""

import importlib.util
import json
import math
import random

import numpy as np
import pytest
import torch

from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.analysis import profile_worth
from fairseq_latent.evaluation.analysis.profile_text import Example, Writer, batches, joined, read_examples, some_of
from fairseq_latent.evaluation.analysis.profile_worth import (
    CONDITIONS,
    NONE,
    OF_PARTNER,
    OWN,
    STRANGERS,
    measure,
    setting,
    training_batches,
)

from ..helpers import programs

needs_lm = pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="transformers is not installed")
FOODS = ("tea", "rice", "fish", "cake")


def written(folder, split: str, dialogues: int, seed: int):
    """Both speak of what they themselves eat; nobody sees the other's profile."""
    draw = random.Random(seed)
    lines = {field: [] for field in ("src", "tgt", "partner", "own", "ids")}
    for number in range(dialogues):
        foods = draw.choice(FOODS), draw.choice(FOODS)
        turns = ["hello", "what do you eat ?"]
        for turn in (2, 3):
            own, partner = foods[turn % 2], foods[1 - turn % 2]
            row = {
                "src": " <eot> ".join(turns),
                "tgt": own,
                "own": f"{own} <eot> {own}",
                "partner": f"{partner} <eot> {partner}",
            }
            for field, text in (row | {"ids": f"{split}-{number}:{turn}"}).items():
                lines[field].append(text)
            turns.append("and you ?")
    folder.mkdir(exist_ok=True)
    for field, texts in lines.items():
        (folder / f"{split}.{field}").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A folder as `scripts/prepare.sh` leaves it."""
    folder = tmp_path_factory.mktemp("prepared") / "data.text"
    written(folder, "train", 60, 1)
    written(folder, "test", 12, 2)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small Llama with random weights, and a tokenizer of bytes and a few merges."""
    pytest.importorskip("transformers")
    from tokenizers import ByteLevelBPETokenizer
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("lm")
    tokenizer = ByteLevelBPETokenizer()
    spoken = " ".join(f" {food} hello what do you eat ? and you ?" for food in FOODS)
    tokenizer.train_from_iterator([spoken], vocab_size=300, min_frequency=1, show_progress=False)
    tokenizer.save_model(str(folder))
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=310, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=64, max_position_embeddings=64, bos_token_id=301, eos_token_id=302, tie_word_embeddings=True,
    )  # fmt: skip
    made = LlamaForCausalLM(config)
    made.model.embed_tokens.weight.data.normal_(std=0.3)
    made.save_pretrained(folder)
    return folder


def tool(text, model, *flags):
    return programs.tool("profile-worth", text, "--lm-path", model, "--cpu", *flags)


def letters(positions: int = 99, **texts) -> Writer:
    """A tokenizer of characters."""
    return Writer(lambda given: [list(map(ord, text)) for text in given], 1, ord("\n"), positions)


EXAMPLE = Example("d", ("hi", "ho", "you ?"), "me .", ("i cook.",), ("i ski.", "i am tall."))


def as_text(tokens) -> str:
    return "".join(map(chr, tokens))


def test_a_profile_stands_as_what_its_speaker_said_before():
    writer = letters()
    writer.learn([EXAMPLE])
    passage = writer.write(writer.profile("B", EXAMPLE.own), EXAMPLE.context, EXAMPLE.response, 7)
    assert as_text(passage.tokens) == "\x01B: i ski. i am tall.\nA: hi\nB: ho\nA: you ?\nB: me .\n"
    ((key, start, stop),) = passage.responses
    assert key == 7 and as_text(passage.tokens[start:stop]) == " me .\n"
    assert EXAMPLE.words == 3 and writer.response_tokens([EXAMPLE]) == stop - start
    assert writer.profile("A", ()) == []


def test_the_newest_turns_are_kept_and_the_same_for_all_profiles():
    writer = letters(positions=1 + 10 + len("A: you ?\n") + len("B: ho\n") + len("B: me .\n"))
    writer.learn([EXAMPLE])
    assert writer.fitting(EXAMPLE, 10) == ("ho", "you ?")
    assert writer.fitting(EXAMPLE, 11) == ("you ?",)
    assert writer.fitting(EXAMPLE, 17) is None


def test_passages_that_begin_others_become_part_of_them():
    writer = letters()
    longer = Example("d", (*EXAMPLE.context, EXAMPLE.response, "why ?"), "so .", EXAMPLE.partner, EXAMPLE.own)
    other = Example("d", ("hm",), "so .", EXAMPLE.partner, EXAMPLE.own)
    writer.learn([EXAMPLE, longer, other])
    single = [
        writer.write([5], each.context, each.response, key) for key, each in enumerate((EXAMPLE, longer, other, longer))
    ]
    found = joined(single)
    assert sorted(len(each.responses) for each in found) == [1, 3]
    for passage in found:
        for key, start, stop in passage.responses:
            assert passage.tokens[:stop] == single[key].tokens and (start, stop) == single[key].responses[0][1:]
    cut = list(batches(single, 60))
    assert sum(map(len, cut)) == 4 and all(
        sum(len(each.tokens) for each in batch) <= 60 or len(batch) == 1 for batch in cut
    )


def test_some_examples_are_the_same_for_a_seed():
    examples = [Example(str(row // 4), ("hi",), str(row), (), ()) for row in range(40)]
    some = some_of(examples, None, 9, 1)
    assert len(some) == 9 and some == some_of(examples, None, 9, 1) != some_of(examples, None, 9, 2)
    assert [int(each.response) for each in some] == sorted(int(each.response) for each in some)
    whole = some_of(examples, 3, None, 1)
    assert len(whole) == 12 and len({each.dialogue for each in whole}) == 3
    assert some_of(examples, 99, 99, 1) == some_of(examples, None, None, 1) == examples
    assert len(some_of(examples, 3, 5, 1)) == 5 and set(some_of(examples, 3, 5, 1)) <= set(whole)


def test_training_gives_each_speaker_one_profile_or_none(text):
    writer = letters(positions=200)
    examples = read_examples(text, "train")
    drawn = list(training_batches(examples, writer, 30, 8, 1))
    assert len(drawn) == 30 and all(sum(len(each.responses) for each in batch) == 8 for batch in drawn)
    begins = [as_text(passage.tokens[1:]).split("\n")[0] for batch in drawn for passage in batch]
    kinds = [0 if begin == "A: hello" or begin == "B: hello" else 1 + (begin[0] == "B") for begin in begins]
    assert all(60 < kinds.count(kind) < 100 for kind in range(3))  # of 240
    with pytest.raises(InputError, match="train: no response fits into 9 tokens; remedy: more --positions"):
        list(training_batches(examples, letters(positions=9), 1, 8, 1))


@needs_lm
def test_nats_are_those_of_transformers(model):
    from transformers import AutoModelForCausalLM

    from fairseq_latent.modules.language_models import pretrained
    from fairseq_latent.modules.language_models.text_likelihood import TextLikelihood

    draw = np.random.default_rng(1)
    texts = [draw.integers(0, 300, size).tolist() for size in (9, 4, 12)]
    spans = [[(2, 5), (5, 9)], [(1, 4)], [(11, 12)]]
    scored = TextLikelihood(pretrained.of_folder(str(model), 64, 0.0, 0.0), torch.device("cpu"))
    theirs = AutoModelForCausalLM.from_pretrained(model).eval()
    with torch.no_grad():
        found = scored.nats(texts, spans)
        expected = []
        for row, of_text in zip(texts, spans, strict=True):
            lprobs = theirs(torch.tensor([row])).logits[0].log_softmax(-1)
            expected += [-sum(lprobs[at - 1, row[at]].item() for at in range(*span)) for span in of_text]
    assert found.tolist() == pytest.approx(expected, rel=1e-4)
    assert scored.positions == 64 and scored.layers == 2


@needs_lm
def test_fine_tuning_changes_the_top_blocks_alone(model):
    from fairseq_latent.modules.language_models import pretrained
    from fairseq_latent.modules.language_models.text_likelihood import TextLikelihood

    scored = TextLikelihood(pretrained.of_folder(str(model), 64, 0.0, 0.0), torch.device("cpu"))
    before = {name: weight.clone() for name, weight in scored.body.state_dict().items()}
    batch = [[5, 6, 7, 8]], [[(1, 4)]]
    scored.fine_tune([batch] * 4, 4, 1, 0.01)
    changed = {name for name, weight in scored.body.state_dict().items() if not torch.equal(weight, before[name])}
    assert changed and all(name.startswith("layers.1.") for name in changed)
    with pytest.raises(InputError, match="--train-blocks 3: the language model has 2"):
        scored.fine_tune([batch], 1, 3, 0.01)


def test_it_finds_whose_profile_tells_something(text):
    """Responses are a word of the speaker's own profile; a model that looks for it pays .1 nats, or else 2."""
    examples, writer = read_examples(text, "test"), letters()
    found = setting(examples, examples, writer, 1, "here")

    def scorer(texts, spans):
        costs = []
        for tokens, of_text in zip(map(as_text, texts), spans, strict=True):
            costs += [0.1 if f"B:{tokens[start : stop - 1]}{tokens[start : stop - 1]}" in tokens else 2.0
                      for start, stop in of_text]  # fmt: skip
        return np.array(costs)

    rows = {row.profile: row for row in measure("known", found, writer, scorer, 1, lambda tokens: None)}
    assert list(rows) == list(CONDITIONS)
    assert rows[OWN].over_stranger.value == pytest.approx(1.9) == rows[OWN].over_none.value
    assert rows[OWN].over_stranger.interval == pytest.approx((1.9, 1.9))
    same = np.mean([example.own == example.partner for example in examples])
    assert rows[OF_PARTNER].over_stranger.value == pytest.approx(0) and 0 < same < 1
    assert rows[OWN].word_ppl == pytest.approx(math.exp(0.1 / 2)) and rows[NONE].nats == pytest.approx(2)
    assert rows[NONE].over_none is None and rows[STRANGERS[OWN]].over_stranger is None


@needs_lm
def test_it_measures_again_after_fine_tuning(text, model):
    flags = ("--fine-tune", "20", "--batch-size", "16", "--lr", "0.01", "--train-blocks", "2", "--format", "json")
    shown = tool(text, model, *flags)
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)
    rows = {(row["model"], row["profile"]): row for row in found["rows"]}
    assert [profile for _, profile in rows] == [*CONDITIONS, *CONDITIONS]
    assert rows["20 updates", NONE]["word_ppl"] < rows["zero-shot", NONE]["word_ppl"] / 4
    assert rows["20 updates", OWN]["over_stranger_low"] < rows["20 updates", OWN]["over_stranger"]
    assert "|responses:24|dialogues:12|lm:" in found["signature"] and "|updates:20x16|" in found["signature"]


@needs_lm
def test_neither_batches_nor_joining_change_it(text, model, monkeypatch):
    flags = ("--max-examples", "9", "--format", "json")
    together = json.loads(tool(text, model, *flags).stdout)
    monkeypatch.setattr(profile_worth, "MAX_TOKENS", 1)
    monkeypatch.setattr(profile_worth, "joined", list)
    apart = json.loads(tool(text.with_suffix(""), model, *flags).stdout)  # the data folder, beside its text
    assert apart["signature"] == together["signature"]
    for mine, theirs in zip(apart["rows"], together["rows"], strict=True):
        assert mine == {name: value if value is None or isinstance(value, str) else pytest.approx(value, rel=1e-4, abs=1e-5)
                        for name, value in theirs.items()}  # fmt: skip


@needs_lm
def test_the_table(text, model, tmp_path):
    file = tmp_path / "table.md"
    assert tool(text, model, "--max-examples", "9", "--format", "markdown", "--out", file).returncode == 0
    lines = file.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 2 + len(CONDITIONS) + 2 and lines[2].startswith("| zero-shot | none ")
    assert lines[3].count("±") == 2 and lines[2].count("±") == 0
    assert lines[-1].startswith("profile-worth|split:test|responses:9|")


def refused(shown, message):
    assert shown.returncode == 2 and message in shown.stderr and shown.stderr.count("\n") == 1, shown.stderr


@needs_lm
def test_what_cannot_be_measured_is_refused(text, model, tmp_path):
    refused(tool(text, tmp_path), "no config.json there; remedy: a language model's folder")
    refused(tool(text, model, "--split", "valid"), "valid.src: no such file; remedy: PERSONAS=yes")
    refused(tool(text, model, "--fine-tune", "1", "--train-blocks", "9"), "--train-blocks 9: ")
    refused(tool(text, model, "--positions", "8"), "fewer than 2 dialogues")
    copy = tmp_path / "copy"
    written(copy, "test", 1, 3)
    refused(tool(copy, model), "there are no strangers")
    (copy / "test.tgt").write_text("tea\n")
    refused(tool(copy, model), "test.tgt: 1 lines of 2 examples")
    (copy / "test.own").unlink()
    refused(tool(copy, model), "test.own: no such file; remedy: PERSONAS=yes bash scripts/prepare/")


def test_score_has_the_models_perplexity_of_responses(model, tmp_path):
    """Against `transformers`, a text at a time."""
    from transformers import LlamaForCausalLM

    from fairseq_latent.text.gpt2_tokenizer import load_gpt2

    lines = ["hello", "what do you eat ?", "hello", "you " * 90]
    (tmp_path / "a").write_text("".join(f"{line}\n" for line in lines))
    flags = ("--lang", "none", "--bootstrap", "40", "--lm-path", model, "--cpu", "--json")
    found = json.loads(programs.tool("score", f"a={tmp_path / 'a'}", *flags).stdout)["rows"][0]["scores"]["LM PPL"]
    judge, tokens = LlamaForCausalLM.from_pretrained(model).eval(), load_gpt2(str(model))
    (end,) = tokens.ids(["\n"])[0]
    nats = count = 0
    for line in lines:
        ids = torch.tensor([[301, *tokens.ids([line])[0][:62], end]])  # 64 positions
        with torch.no_grad():
            nats += judge(ids, labels=ids).loss.item() * (ids.size(1) - 1)
        count += ids.size(1) - 1
    assert found["value"] == pytest.approx(math.exp(nats / count), rel=1e-4)
    assert found["extra"]["tokens"] == count and found["interval"] is not None
    assert found["signature"].startswith(f"lm-ppl|lm:{model.name}|")
