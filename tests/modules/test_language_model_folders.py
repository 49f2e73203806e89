"""Folders for `--lm-path`: what they hold has to be what our decoder computes with."""

import importlib.util

import pytest
import torch

from fairseq_latent.errors import InputError
from fairseq_latent.modules.language_models import pretrained

if importlib.util.find_spec("transformers") is None:
    pytest.skip("transformers is not installed", allow_module_level=True)


def read(folder):
    return pretrained.of_folder(str(folder), positions=32, dropout=0.1, attention_dropout=0.1)


def logits(found, tokens):
    """By our body and tables."""
    from fairseq_latent.modules.language_models.packed_attention import packed_states

    places = torch.arange(tokens.size(1)).expand_as(tokens)
    with torch.no_grad():
        states = packed_states(found.body, found.words[tokens], places, torch.ones_like(tokens, dtype=torch.bool))
    return states @ (found.words if found.output is None else found.output).T


def saved(folder, kind: str = "GPT2LMHeadModel", **options):
    """A random GPT-2 of 40 words, as transformers saves it."""
    import transformers

    torch.manual_seed(3)
    config = transformers.GPT2Config(
        vocab_size=40, n_positions=32, n_embd=16, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0, **options
    )
    getattr(transformers, kind)(config).save_pretrained(folder)
    return folder


def add_weights(folder, **weights) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    save_file(
        {**load_file(path), **{name: torch.randn(size) for name, size in weights.items()}}, path, {"format": "pt"}
    )


@pytest.mark.parametrize("kind", ["GPT2LMHeadModel", "GPT2Model", "GPT2DoubleHeadsModel"])
def test_blocks_and_words_are_those_of_the_folder(tmp_path, kind):
    from transformers import GPT2LMHeadModel

    found = read(saved(tmp_path, kind))
    model = GPT2LMHeadModel.from_pretrained(tmp_path).eval()
    assert torch.equal(found.words, model.transformer.wte.weight) and found.output is None
    tokens = torch.tensor([[3, 1, 39]])
    torch.testing.assert_close(logits(found, tokens), model(tokens).logits)


def test_an_output_table_of_its_own_is_read(tmp_path):
    """Whether the configuration says so, or the weights alone."""
    from transformers import GPT2LMHeadModel

    saved(tmp_path / "said", tie_word_embeddings=False)
    add_weights(saved(tmp_path / "unsaid"), **{"lm_head.weight": (40, 16)})
    tokens = torch.tensor([[3, 1, 39]])
    for folder in (tmp_path / "said", tmp_path / "unsaid"):
        found = read(folder)
        assert not torch.equal(found.output, found.words)
        torch.testing.assert_close(logits(found, tokens), GPT2LMHeadModel.from_pretrained(folder).eval()(tokens).logits)


def test_an_output_table_that_is_equal_all_the_same(tmp_path):
    """Saved apart, as some programs do."""
    from transformers import GPT2LMHeadModel

    saved(tmp_path, tie_word_embeddings=False)
    model = GPT2LMHeadModel.from_pretrained(tmp_path)
    model.lm_head.weight.data = model.transformer.wte.weight.data.clone()
    model.save_pretrained(tmp_path)
    assert read(tmp_path).output is None


@pytest.mark.parametrize("name", ["lm_head.bias", "transformer.h.0.attn.adapter.weight", "transformer.h.2.ln_1.weight"])
def test_weights_that_nobody_would_look_at_are_refused(tmp_path, name):
    add_weights(saved(tmp_path), **{name: (16,)})
    with pytest.raises(InputError, match=f"has weights that nobody looks at, e.g. {name}; remedy"):
        read(tmp_path)


def test_heads_beside_the_next_word_stay_behind(tmp_path):
    """And the masks that old versions of transformers saved."""
    masks = {"transformer.h.0.attn.bias": (1, 1, 32, 32), "transformer.h.0.attn.masked_bias": ()}
    add_weights(saved(tmp_path), **masks, **{"score.weight": (2, 16), "v_head.summary.weight": (1, 16)})
    read(tmp_path)


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    from transformers import GPT2LMHeadModel

    model = GPT2LMHeadModel.from_pretrained(saved(tmp_path))
    model.transformer.h[1].ln_2.weight.data[3] = float("nan")
    model.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="weights that are no finite numbers; remedy"):
        read(tmp_path)


def test_any_other_difference_is_refused(tmp_path, monkeypatch):
    """Whatever a later transformers or a setting of the folder may do."""
    packed = pretrained.packed_states
    monkeypatch.setattr(pretrained, "packed_states", lambda *arguments: packed(*arguments) + 0.1)
    with pytest.raises(InputError, match="its logits are not its states times its output table"):
        read(saved(tmp_path))
