"""A Llama-shaped language model in GGUF, llama.cpp's file format, as a folder of `transformers`.

Quantised weights are dequantised: each keeps the value that it has in the file. llama.cpp stores the rows of query and key
projections in the order of its own rotary embedding; `transformers` rotates halves, so their order is undone.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, missing_extra

NAMES = {  # of a block's tensors
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
CONTROL = 3  # token type of llama.cpp: a special token without text
DIGITS_APART = {"smollm": True, "gpt-2": False, "default": False}  # how texts are split before byte pair encoding


def unpack(path: Path, folder: Path) -> None:
    """Write config.json, model.safetensors and the tokenizer to an existing folder; InputError if it is no such model."""
    try:
        import gguf
        from safetensors.numpy import save_file
    except ImportError as error:
        raise missing_extra(error.name or "gguf", "lm") from None
    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    config = config_of(fields, path)
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    state = {}
    for tensor in reader.tensors:
        kind, name = _name(tensor.name, path)
        weights = np.asarray(gguf.dequantize(tensor.data, tensor.tensor_type), np.float32)
        state[name] = _rows_in_halves(weights, heads[kind]) if kind in heads else weights
    config["tie_word_embeddings"] = "lm_head.weight" not in state
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    _write(folder / "config.json", config)
    ends = {name: config[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    _write(folder / "generation_config.json", ends)
    _write_tokenizer(fields, folder, path)


def config_of(fields: dict[str, Any], path: Path) -> dict[str, Any]:
    """LlamaConfig's fields from those of the file."""
    if fields.get("general.architecture") != "llama":
        raise InputError(f"{path}: a model of architecture {fields.get('general.architecture')}; remedy: a Llama")
    value = {name.removeprefix("llama."): field for name, field in fields.items() if name.startswith("llama.")}
    if other := sorted(name for name in value if name.startswith(("rope.scaling", "expert"))):
        raise InputError(f"{path}: {other[0]} is not supported; remedy: a plain Llama")
    heads = value["attention.head_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
        "hidden_size": value["embedding_length"],
        "intermediate_size": value["feed_forward_length"],
        "num_hidden_layers": value["block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": value.get("attention.head_count_kv", heads),
        "head_dim": value.get("rope.dimension_count", value["embedding_length"] // heads),
        "max_position_embeddings": value["context_length"],
        "rms_norm_eps": float(f"{value['attention.layer_norm_rms_epsilon']:.6g}"),  # float32 in the file
        "rope_theta": value.get("rope.freq_base", 10000.0),
        "hidden_act": "silu",
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "pad_token_id": fields.get("tokenizer.ggml.padding_token_id"),
        "dtype": "float32",
    }


def _name(name: str, path: Path) -> tuple[str, str]:
    """A tensor's name in the file -> its kind there, and its name in `transformers`."""
    parts = name.removesuffix(".weight").split(".")
    if name.endswith(".weight") and len(parts) == 1 and parts[0] in OUTSIDE:
        return parts[0], f"{OUTSIDE[parts[0]]}.weight"
    if name.endswith(".weight") and len(parts) == 3 and parts[0] == "blk" and parts[2] in NAMES:
        return parts[2], f"model.layers.{int(parts[1])}.{NAMES[parts[2]]}.weight"
    raise InputError(f"{path}: a Llama has no tensor {name}; remedy: a plain Llama")


def _rows_in_halves(weights: np.ndarray, heads: int) -> np.ndarray:
    """(H * d, D) with pairs of rotated dimensions side by side -> the same with first and second of each pair in halves."""
    return weights.reshape(heads, -1, 2, weights.shape[1]).swapaxes(1, 2).reshape(weights.shape)


def _write_tokenizer(fields: dict[str, Any], folder: Path, path: Path) -> None:
    """tokenizer.json: byte-level byte pair encoding."""
    import tokenizers
    from tokenizers import decoders, models, pre_tokenizers

    how = fields.get("tokenizer.ggml.pre", "default")
    if fields["tokenizer.ggml.model"] != "gpt2" or how not in DIGITS_APART:
        raise InputError(
            f"{path}: a tokenizer of the kind {fields['tokenizer.ggml.model']}, {how} is not supported; remedy: one "
            "of byte pairs"
        )
    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = tokenizers.Tokenizer(models.BPE({token: row for row, token in enumerate(tokens)}, merges))
    by_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False)
    apart = [pre_tokenizers.Digits(individual_digits=True)] if DIGITS_APART[how] else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*apart, by_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    special = [
        token for token, kind in zip(tokens, fields["tokenizer.ggml.token_type"], strict=True) if kind == CONTROL
    ]
    tokenizer.add_special_tokens([tokenizers.AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {
        f"{name}_token": tokens[fields[f"tokenizer.ggml.{field}_token_id"]]
        for name, field in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding"))
        if f"tokenizer.ggml.{field}_token_id" in fields
    }
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **named}
    _write(folder / "tokenizer_config.json", settings)


def _write(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
