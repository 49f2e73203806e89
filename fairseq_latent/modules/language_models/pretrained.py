"""Language models of `transformers` from a folder, from a configuration in a checkpoint, or fresh: bodies without words."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fairseq_latent.errors import InputError, missing_extra
from fairseq_latent.text.json_values import loads

from .packed_attention import packed_states, use_packed_attention

SYMBOLS = (
    "fairseq_symbols.json"  # beside the weights: rows of the word table that are no ids of the model, {symbol: row}
)
DROPOUTS = ("resid_pdrop", "embd_pdrop", "hidden_dropout", "dropout", "residual_dropout", "embed_pdrop")
ATTENTION_DROPOUTS = ("attn_pdrop", "attention_dropout")
UNSAVED = ("_name_or_path", "transformers_version", "architectures", "dtype", "torch_dtype", "auto_map")
# heads of other models, on which no next word depends
BESIDE = ("multiple_choice_head.", "score.", "classifier.", "qa_outputs.", "v_head.")
MASKS = (".attn.bias", ".attn.masked_bias")  # which old versions of transformers saved
CHECKED_TOKENS = 10
TOLERANCE = 1e-3  # of the largest logit
COPY_AGAIN = "remedy: copy the folder again"
REMEDY = "remedy: a decoder-only language model, e.g. GPT-2, DialoGPT, Llama, SmolLM2, Qwen, OPT, GPT-NeoX"

T = TypeVar("T")


@dataclass(frozen=True)
class LanguageModel:
    """A body without its words, and of a folder its tables (V, D): `output` is None where it is tied to `words`."""

    body: nn.Module
    words: Tensor
    output: Tensor | None
    end: int | None  # the row of the token that ends a text
    begin: int | None  # that of the token that begins one

    @property
    def config(self):
        """That of `transformers`."""
        return self.body.config


def transformers():
    """The library, imported where it is used."""
    try:
        import transformers
    except ImportError:
        raise missing_extra("transformers", "lm") from None
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()  # `of_folder` looks at what it would warn of
    return transformers


def fresh_gpt2(
    embed_dim: int, layers: int, heads: int, ffn_dim: int, positions: int, dropout: float, attention_dropout: float
) -> nn.Module:
    """GPT-2's blocks and position table with random weights, N(0, 0.02)."""
    library = transformers()
    config = library.GPT2Config(
        vocab_size=1, n_positions=positions, n_embd=embed_dim, n_layer=layers, n_head=heads, n_inner=ffn_dim,
        resid_pdrop=dropout,
        embd_pdrop=dropout, attn_pdrop=attention_dropout, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return _without_words(library.GPT2Model(config))


def of_configuration(text: str, dropout: float, attention_dropout: float) -> nn.Module:
    """A body with random weights, of a configuration as `configuration` wrote it into a checkpoint."""
    library = transformers()
    config = read_configuration(
        "--lm-config", text, lambda fields: library.CONFIG_MAPPING[fields["model_type"]].from_dict(fields)
    )
    _set_dropouts(config, dropout, attention_dropout)
    config.vocab_size, config.pad_token_id = 1, None  # its words are ours
    return _without_words(library.AutoModel.from_config(config, trust_remote_code=False))


def read_configuration(flag: str, text: str, build: Callable[[Any], T]) -> T:
    """What `build` makes of the JSON that `configuration` wrote into a checkpoint."""
    try:
        return build(json.loads(text))
    except Exception as error:  # what is no JSON, no mapping, no known type, no value of its field
        raise InputError(f"{flag}: {_short(error)}; remedy: leave it to the checkpoint") from None


def configuration(model: nn.Module) -> str:
    """A body's configuration as JSON, for a checkpoint that is loaded without the folder."""
    fields = model.config.to_dict()
    kept = {name: value for name, value in fields.items() if name not in UNSAVED and not name.startswith("_")}
    return json.dumps(kept, sort_keys=True)


def of_folder(folder: str, positions: int, dropout: float, attention_dropout: float) -> LanguageModel:
    """Read a decoder-only model in `transformers`' form; InputError for others, and for what would be computed otherwise."""

    def prepare(config: Any) -> None:
        _refuse_other_kinds(config, folder, positions)
        _set_dropouts(config, dropout, attention_dropout)

    remedy = "remedy: a language model's folder in the form of transformers"
    model, unexpected = read_folder(folder, "AutoModelForCausalLM", prepare, remedy, trust_remote_code=False)
    unknown = [name for name in unexpected if not (name.startswith(BESIDE) or name.endswith(MASKS))]
    if unknown:
        raise InputError(
            f"{folder} has weights that nobody looks at, e.g. {min(unknown)}; remedy: a plain {model.config.model_type}"
        )
    return _taken_apart(model.eval(), folder)


def read_folder(
    folder: str | Path, kind: str, prepare: Callable[[Any], None], remedy: str, **options: Any
) -> tuple[Any, list[str]]:
    """A model of a class of `transformers`, and the names of weights it does not have; InputError for damaged folders.

    `prepare` looks at its configuration, or changes it, before it is built.
    """
    library = transformers()
    if not (Path(folder) / "config.json").is_file():
        raise InputError(f"{folder}: no config.json there; {remedy}")
    try:
        config = library.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        prepare(config)
        model, report = getattr(library, kind).from_pretrained(
            folder, config=config, dtype=torch.float32, output_loading_info=True, local_files_only=True, **options
        )
    except InputError:
        raise
    except Exception as error:  # safetensors, pickle, json, sizes that do not fit: each library has its own
        raise InputError(f"{folder}: {_short(error)}; {COPY_AGAIN}") from error
    if missing := sorted(report["missing_keys"]):
        raise InputError(f"{folder} lacks weights, e.g. {missing[0]}; {COPY_AGAIN}")
    return model, report["unexpected_keys"]


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _refuse_other_kinds(config, folder: str, positions: int) -> None:
    """What is no decoder-only language model, or one that this body would compute otherwise."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    if getattr(config, "is_encoder_decoder", False) or type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise InputError(f"{folder} has a model of type {config.model_type}, which is no language model; {REMEDY}")
    if getattr(config, "quantization_config", None):
        raise InputError(f"{folder}: its weights are quantised, which are not trained; remedy: those in full precision")
    width = getattr(config, "word_embed_proj_dim", config.hidden_size)
    if width != config.hidden_size:
        raise InputError(f"{folder}: words of {width} dimensions in a body of {config.hidden_size}; {REMEDY}")
    window = getattr(config, "sliding_window", None)
    slides = "sliding_attention" in (getattr(config, "layer_types", None) or ["sliding_attention"])
    if window and slides and getattr(config, "use_sliding_window", True) and window < positions:
        raise InputError(f"{folder}: its blocks look back {window} tokens only; remedy: --positions {window}")


def _set_dropouts(config, dropout: float, attention_dropout: float) -> None:
    for names, value in ((DROPOUTS, dropout), (ATTENTION_DROPOUTS, attention_dropout)):
        for name in names:
            if hasattr(config, name):
                setattr(config, name, value)


@torch.no_grad()
def _taken_apart(model: nn.Module, folder: str) -> LanguageModel:
    """Body and tables, if together they are the model: its own logits of ten tokens are the test."""
    words, head = model.get_input_embeddings().weight, model.get_output_embeddings()
    count = min(CHECKED_TOKENS, getattr(model.config, "max_position_embeddings", CHECKED_TOKENS))
    ids = torch.linspace(0, len(words) - 1, count).long().unsqueeze(0)
    expected = model(input_ids=ids, use_cache=False).logits[0]
    if not expected.isfinite().all():
        raise InputError(f"{folder} has weights that are no finite numbers; {COPY_AGAIN}")
    half = count // 2
    if not _near(model(input_ids=ids[:, :half], use_cache=False).logits[0], expected[:half]):
        raise InputError(f"{folder}: a token sees those after it, as in BERT; {REMEDY}")
    body = _without_words(model.base_model)
    use_packed_attention(body)
    places = torch.arange(count).unsqueeze(0)
    states = packed_states(body, words[ids[0]].unsqueeze(0), places, torch.ones_like(ids, dtype=torch.bool))
    output = head.weight
    found = F.linear(states[0], output)
    if not _near(found, expected):
        off = (found - expected).abs().max().item()
        raise InputError(
            f"{folder}: its logits are not its states times its output table (off by up to {off:.2g}): scaled, shifted or "
            f"capped ones are not supported; {REMEDY}"
        )
    tied = output is words or torch.equal(output, words)
    ends = _row(body.config.eos_token_id, words), _row(body.config.bos_token_id, words)
    return LanguageModel(body, words.detach(), None if tied else output.detach(), *ends)


def _near(found: Tensor, expected: Tensor) -> bool:
    return found.shape == expected.shape and bool((found - expected).abs().max() <= TOLERANCE * expected.abs().max())


def _row(token: Any, words: Tensor) -> int | None:
    """Of several ends of a text the first."""
    token = token[0] if isinstance(token, (list, tuple)) and token else token
    return token if isinstance(token, int) and 0 <= token < len(words) else None


def _without_words(model: nn.Module) -> nn.Module:
    model.set_input_embeddings(nn.Identity())
    return model


def has_end(folder: str) -> bool:
    """Whether its configuration names a token that ends texts; InputError where it cannot be read."""
    try:
        config = transformers().AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # json and hub errors of their own
        raise InputError(f"{folder}: {_short(error)}; {COPY_AGAIN}") from None
    return bool(config.eos_token_id) or config.eos_token_id == 0


def rows_of_symbols(folder: str | Path) -> Mapping[str, int]:
    """Symbol -> row, of a folder that `fairseq-latent convert` made; of others none."""
    path = Path(folder) / SYMBOLS
    if not path.is_file():
        return {}
    try:
        return {str(symbol): int(row) for symbol, row in loads(path.read_text(encoding="utf-8")).items()}
    except (AttributeError, TypeError, ValueError):
        raise InputError(f"{path}: these are not the rows of symbols; remedy: fairseq-latent convert, again") from None
