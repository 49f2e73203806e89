"""`fairseq-latent convert`: the decoder there and back, with the words in GPT-2's order."""

import importlib.util
import json
import shutil
from argparse import Namespace

import pytest
import torch

from fairseq_latent.commands.convert import main
from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.analysis.checkpoint import load
from fairseq_latent.modules.language_models.pretrained import SYMBOLS
from fairseq_latent.modules.language_models.word_table import rows_for
from fairseq_latent.weights.conversion import rows_of

from ..helpers import programs

if importlib.util.find_spec("transformers") is None:
    pytest.skip("transformers is not installed", allow_module_level=True)

TOKENS = 40


@pytest.fixture(scope="module")
def gpt2_bin(tmp_path_factory):
    """Pairs of tokens that are ids of GPT-2, binarised with the dictionary that preprocess.gpt2_bpe writes."""
    text, target = tmp_path_factory.mktemp("text"), tmp_path_factory.mktemp("data-bin")
    for split in ("train", "valid", "test"):
        for side in ("src", "tgt"):
            lines = [" ".join(str((row * 7 + place) % TOKENS) for place in range(4)) for row in range(16)]
            (text / f"{split}.{side}").write_text("".join(f"{line}\n" for line in lines))
    rows = [*map(str, range(TOKENS)), "<eot>", "<eou>"]
    (text / "dict.txt").write_text("".join(f"{row} 1\n" for row in rows))
    splits = [f"--{name}pref={text / name}" for name in ("train", "valid", "test")]
    sides = ("--source-lang", "src", "--target-lang", "tgt", "--joined-dictionary", "--srcdict", text / "dict.txt")
    programs.run("fairseq-preprocess", *sides, *splits, "--destdir", target)
    return target


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A GPT-2 as transformers saves it."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(2)
    path = tmp_path_factory.mktemp("gpt2")
    config = GPT2Config(
        vocab_size=TOKENS, n_positions=32, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
    )
    GPT2LMHeadModel(config).save_pretrained(path)
    return path


def convert(*arguments):
    return programs.tool("convert", *arguments)


def test_what_was_converted_decodes_as_it_did(gpt2_bin, folder, tmp_path):
    """No symbol but <s>, and no role, stands between GPT-2 and its words; and it is the same each time."""
    from transformers import GPT2LMHeadModel

    for name in ("one.pt", "two.pt"):
        assert convert(folder, tmp_path / name, "--data", gpt2_bin).returncode == 0
    one, two = (programs.parameters(tmp_path / name) for name in ("one.pt", "two.pt"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    trained = load(str(tmp_path / "one.pt"), str(gpt2_bin), None, cpu=True)
    table = trained.model.encoder.embed_tokens.weight
    words = trained.task.target_dictionary
    tokens = torch.tensor([[words.index("3"), words.index("1"), words.eos()]])  # the partner's
    before = torch.tensor([[words.eos(), words.index("39")]])
    ours, _ = trained.model(tokens, torch.tensor([3]), before, noise_seed=torch.tensor([1]))
    theirs = GPT2LMHeadModel.from_pretrained(folder).eval()
    vectors = table[torch.tensor([[words.bos(), *tokens[0].tolist(), words.index("39")]])]
    expected = theirs.transformer(inputs_embeds=vectors).last_hidden_state[:, 3:] @ table.T
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


def test_there_and_back(gpt2_bin, folder, tmp_path):
    from transformers import GPT2LMHeadModel

    done = convert(folder, tmp_path / "run/gpt2.pt", "--data", gpt2_bin)
    assert done.returncode == 0, done.stderr
    flags = ("--task", "persona_dialogue", "--beam", "1", "--max-len-a", "0", "--max-len-b", "4")
    assert len(programs.decode(gpt2_bin, tmp_path / "run/gpt2.pt", *flags).hypotheses()) == 16
    done = convert(tmp_path / "run/gpt2.pt", tmp_path / "back", "--data", gpt2_bin)
    assert done.returncode == 0, done.stderr
    first, again = (GPT2LMHeadModel.from_pretrained(path).eval() for path in (folder, tmp_path / "back"))
    tokens = torch.tensor([[3, 1, 39, 7]])
    with torch.no_grad():
        torch.testing.assert_close(again(tokens).logits[..., :TOKENS], first(tokens).logits)
    symbols = json.loads((tmp_path / "back" / SYMBOLS).read_text())
    assert list(symbols) == ["<s>", "<pad>", "</s>", "<unk>", "<eot>", "<eou>"] and min(symbols.values()) == TOKENS
    assert again.config.eos_token_id == symbols["</s>"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "run"]


def test_responses_are_the_same_with_the_start_in_front(gpt2_bin, tmp_path):
    """16 of 16, of a GPT-2 beside the checkpoint made of it, and of that beside the folder made of it."""
    from transformers import GPT2Config, GPT2LMHeadModel

    data = with_tokenizer(gpt2_bin, tmp_path / "data")
    torch.manual_seed(5)
    sizes = {"vocab_size": TOKENS, "n_positions": 32, "n_embd": 16, "n_layer": 2, "n_head": 2}
    config = GPT2Config(
        **sizes, bos_token_id=TOKENS - 1, eos_token_id=0, initializer_range=0.5
    )  # more to say than one word
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    assert convert(tmp_path / "gpt2", tmp_path / "gpt2.pt", "--data", data).returncode == 0
    done = convert(tmp_path / "gpt2.pt", tmp_path / "back", "--data", data)
    assert done.returncode == 0 and "its sequences begin with <s>, see README.md there" in done.stdout, done.stderr
    flags = ("--task", "persona_dialogue", "--beam", "1", "--max-len-a", "0", "--max-len-b", "6")
    ours = programs.decode(data, tmp_path / "gpt2.pt", *flags).hypotheses()
    assert len(ours) == 16 and len({text for (text,) in ours.values()}) > 4
    rows = json.loads((tmp_path / "back" / SYMBOLS).read_text())
    for folder, start, end, options in (
        ("gpt2", TOKENS - 1, 0, {"min_new_tokens": 1}),  # its own start and end, whose rows <s> and </s> have
        ("back", rows["<s>"], rows["</s>"], {}),  # the rest is in its generation settings
    ):
        model = GPT2LMHeadModel.from_pretrained(tmp_path / folder).eval()
        for before in ([start], []):
            found = 0
            for name, (text,) in ours.items():
                read = torch.tensor([[*before, *context(int(name)), end]])
                said = model.generate(read, max_new_tokens=6, do_sample=False, **options)[0, read.size(1) :].tolist()
                found += text.split() == [str(token) for token in said if token != end]
            assert found == 16 if before else found < 3, (folder, before, found)
    settings = json.loads((tmp_path / "back/generation_config.json").read_text())
    assert (settings["bos_token_id"], settings["eos_token_id"]) == (rows["<s>"], rows["</s>"])
    assert settings["suppress_tokens"] == [0, *(rows[name] for name in ("<s>", "<pad>", "<unk>", "<eot>", "<eou>"))]
    assert "`<s> turn <eot> turn" in (tmp_path / "back/README.md").read_text()


def context(row: int) -> list[int]:
    return [(row * 7 + place) % TOKENS for place in range(4)]


def with_tokenizer(data, folder):
    """A copy of the data whose token 0 ends a text, by GPT-2's tokenizer."""
    shutil.copytree(data, folder)
    vocabulary = {"<|endoftext|>": 0} | {chr(ord("A") + row): row for row in range(1, TOKENS)}
    (folder / "encoder.json").write_text(json.dumps(vocabulary))
    (folder / "vocab.bpe").write_text("#version: 0.2\n")
    return folder


def test_a_turns_end_is_handed_over_as_it_is_read(gpt2_bin, folder, tmp_path):
    """--turn-end eos reads <eot> as </s>."""
    from transformers import GPT2LMHeadModel

    small = ("--task", "persona_dialogue", "--no-latents", "--embed-dim", "16", "--layers", "2", "--heads", "2")
    kind = {"arch": "persona_cvae_gpt2_tiny", "criterion": "elbo"}
    programs.fit(gpt2_bin, tmp_path, *small, "--gpt2-path", folder, "--turn-end", "eos", "--max-update", "1", **kind)
    assert convert(tmp_path / "checkpoint_last.pt", tmp_path / "back", "--data", gpt2_bin).returncode == 0
    rows = json.loads((tmp_path / "back" / SYMBOLS).read_text())
    table = GPT2LMHeadModel.from_pretrained(tmp_path / "back").transformer.wte.weight
    assert torch.equal(table[rows["<eot>"]], table[rows["</s>"]])


def test_feed_forward_layers_of_another_width(gpt2_bin, tmp_path):
    """As rinna's Japanese GPT-2s have them: what was trained from such a folder is decoded and handed over without it."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=TOKENS, n_positions=32, n_embd=16, n_layer=2, n_head=2, n_inner=24, eos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "wide")
    small = ("--task", "persona_dialogue", "--embed-dim", "16", "--layers", "2", "--heads", "2")
    kind = {"arch": "persona_cvae_gpt2_tiny", "criterion": "elbo"}
    programs.fit(gpt2_bin, tmp_path / "run", *small, "--no-latents", "--gpt2-path", tmp_path / "wide", **kind)
    (tmp_path / "wide").rename(tmp_path / "gone")
    trained = tmp_path / "run/checkpoint_last.pt"
    assert len(programs.decode(gpt2_bin, trained, *small[:2], "--max-len-b", "4").hypotheses()) == 16
    for source, out in ((trained, "back"), (tmp_path / "gone", "run.pt"), (tmp_path / "run.pt", "again")):
        assert convert(source, tmp_path / out, "--data", gpt2_bin).returncode == 0
    first, again = (GPT2LMHeadModel.from_pretrained(tmp_path / name).eval() for name in ("gone", "again"))
    assert again.config.n_inner == 24
    tokens = torch.tensor([[3, 1, 39, 7]])
    with torch.no_grad():
        torch.testing.assert_close(again(tokens).logits[..., :TOKENS], first(tokens).logits)


def test_what_ended_texts_ends_responses(gpt2_bin, tmp_path):
    """A GPT-2 that has nothing to say, token 0: its responses end as soon as they may, and never have that token."""
    from transformers import GPT2Config, GPT2LMHeadModel

    data = with_tokenizer(gpt2_bin, tmp_path / "data")
    gpt2 = GPT2LMHeadModel(
        GPT2Config(vocab_size=TOKENS, n_positions=32, n_embd=16, n_layer=2, n_head=2, eos_token_id=0)
    )
    with torch.no_grad():
        gpt2.transformer.ln_f.weight.zero_()
        gpt2.transformer.ln_f.bias.fill_(1.0)
        gpt2.transformer.wte.weight[0].fill_(1.0)
    gpt2.save_pretrained(tmp_path / "gpt2")
    assert convert(tmp_path / "gpt2", tmp_path / "gpt2.pt", "--data", data).returncode == 0
    flags = ("--task", "persona_dialogue", "--beam", "1", "--max-len-a", "0", "--max-len-b", "4")
    found = programs.decode(data, tmp_path / "gpt2.pt", *flags).hypotheses().values()
    assert len(found) == 16 and all(
        len(text.split()) == 1 and text != "0" for (text,) in found
    )  # fairseq's least length is one token


def test_a_trained_model_starts_another(gpt2_bin, folder, tmp_path):
    """What is handed over is a folder for --gpt2-path."""
    small = ("--task", "persona_dialogue", "--no-latents", "--embed-dim", "16", "--layers", "2", "--heads", "2")
    kind = {"arch": "persona_cvae_gpt2_tiny", "criterion": "elbo"}
    programs.fit(gpt2_bin, tmp_path / "one", *small, "--gpt2-path", folder, **kind)
    assert convert(tmp_path / "one/checkpoint_last.pt", tmp_path / "handed", "--data", gpt2_bin).returncode == 0
    programs.fit(gpt2_bin, tmp_path / "two", *small, "--gpt2-path", tmp_path / "handed", "--lr", "0", **kind)
    one, two = (programs.parameters(tmp_path / run / "checkpoint_last.pt") for run in ("one", "two"))
    for name in one:
        if ".model." in name:
            torch.testing.assert_close(two[name], one[name])
    torch.testing.assert_close(*(each["encoder.embedding.embed_tokens.weight"][4 : 4 + TOKENS] for each in (one, two)))


def test_a_model_of_words_of_its_own_starts_another_with_all_its_rows(data_bin, tmp_path, refused):
    small = ("--task", "persona_dialogue", "--no-latents")
    kind = {"arch": "persona_cvae_gpt2_tiny", "criterion": "elbo"}
    programs.fit(data_bin, tmp_path / "one", *small, **kind)
    assert convert(tmp_path / "one/checkpoint_last.pt", tmp_path / "handed", "--data", data_bin).returncode == 0
    programs.fit(data_bin, tmp_path / "two", *small, "--gpt2-path", tmp_path / "handed", "--lr", "0", **kind)
    one, two = (programs.parameters(tmp_path / run / "checkpoint_last.pt") for run in ("one", "two"))
    for name in (name for name in one if ".model." in name or name.endswith("embed_tokens.weight")):
        torch.testing.assert_close(two[name], one[name], msg=name)
    (tmp_path / "handed" / SYMBOLS).write_text("[" * 20_000)
    assert "these are not the rows of symbols; remedy" in refused(
        programs.fit, data_bin, tmp_path / "three", *small, "--gpt2-path", tmp_path / "handed", **kind
    )


def test_ids_of_gpt2_are_not_among_the_rows_of_symbols():
    """Of five rows two are symbols': 0, 1 and 2 are ids, 3 and 4 none."""
    table = torch.arange(10.0).view(5, 2)
    rows, lacking = rows_for(["</s>", "2", "3", "0", "tea"], table, {"</s>": 4, "tea": 3})
    assert lacking == ["3"]
    assert rows[[0, 1, 3, 4]].tolist() == table[[4, 2, 0, 3]].tolist()


@pytest.mark.parametrize(
    ("symbols", "order"),
    [
        (["<s>", "2", "0", "<eot>", "1"], [2, 4, 1, 0, 3]),
        (["<s>", "tea", "7"], [0, 1, 2]),  # a word that is a number makes no GPT-2
        (["<s>", "007", "0"], [2, 0, 1]),
    ],
)
def test_the_order_of_rows(symbols, order):
    assert rows_of(symbols)[0] == order
    assert [symbols[order[row]] for row in rows_of(symbols)[1].values()] == list(rows_of(symbols)[1])


def test_what_cannot_be_converted(gpt2_bin, data_bin, folder, tmp_path):
    (tmp_path / "there").mkdir()
    programs.fit(data_bin, tmp_path / "t_cvae")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/config.json").write_text("{")
    for source, out, data, message in (
        (folder, "there", gpt2_bin, "is there already; remedy"),
        (folder, "new", gpt2_bin, "no name of a checkpoint; remedy"),
        (tmp_path / "t_cvae/checkpoint_last.pt", "new", data_bin, "its decoder is no language model; remedy"),
        (tmp_path / "nothing.pt", "new", gpt2_bin, "no such checkpoint; remedy"),
        (tmp_path / "broken", "new.pt", gpt2_bin, "remedy: copy the folder again"),
        (folder, "new.pt", data_bin, "does not have the data's words; remedy.*GPT2="),
    ):
        with pytest.raises(InputError, match=message):
            main(Namespace(source=source, out=tmp_path / out, data=str(data), arch="persona_cvae_gpt2"))
    assert not (tmp_path / "new").exists() and not (tmp_path / "new.pt").exists()


def test_dialogpt_is_handed_over_and_others_are_made(gpt2_bin, tmp_path):
    """A GPT-2 that ends turns and texts alike says the same in both forms; TransferTransfo's tokens have no place there."""
    from transformers import GPT2Config, GPT2LMHeadModel

    data = with_tokenizer(gpt2_bin, tmp_path / "data")
    torch.manual_seed(5)
    sizes = {"vocab_size": TOKENS, "n_positions": 32, "n_embd": 16, "n_layer": 2, "n_head": 2}
    GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0, initializer_range=0.5)).save_pretrained(
        tmp_path / "gpt2"
    )
    for arch in ("dialogpt", "transfertransfo"):
        done = convert(tmp_path / "gpt2", tmp_path / f"{arch}.pt", "--data", data, "--arch", arch)
        assert done.returncode == 0, done.stderr
    done = convert(tmp_path / "dialogpt.pt", tmp_path / "back", "--data", data)
    assert done.returncode == 0 and "turns with </s> after each" in done.stdout, done.stderr
    assert "`turn </s> turn" in (tmp_path / "back/README.md").read_text()
    flags = ("--task", "persona_dialogue", "--beam", "1", "--max-len-a", "0", "--max-len-b", "6")
    ours = programs.decode(data, tmp_path / "dialogpt.pt", *flags).hypotheses()
    rows = json.loads((tmp_path / "back" / SYMBOLS).read_text())
    model = GPT2LMHeadModel.from_pretrained(tmp_path / "back").eval()
    for name, (text,) in ours.items():
        read = torch.tensor([[*context(int(name)), rows["</s>"]]])
        said = model.generate(read, max_new_tokens=6, do_sample=False)[0, read.size(1) :].tolist()
        assert text.split() == [str(token) for token in said if token != rows["</s>"]]
    done = convert(tmp_path / "transfertransfo.pt", tmp_path / "other", "--data", data)
    assert done.returncode == 2 and "token types have no place" in done.stderr
    flags = ("--path", tmp_path / "transfertransfo.pt", "--cpu", "--replies", "1", "--persona", "3 4 5")
    done = programs.tool("chat", data, *flags, stdin="1 2 3\n")
    assert done.returncode == 0 and "never been trained" in done.stderr and "1. " in done.stdout, done.stderr
