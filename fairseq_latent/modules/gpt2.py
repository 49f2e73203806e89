"""GPT-2's blocks over given vectors, with latents in front of them that stay in sight (Cho et al., 2022, Fig. 4)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import InputError, missing_extra

PLAIN = {  # what no checkpoint of ours notes
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "scale_attn_by_inverse_layer_idx": False,
    "scale_attn_weights": True,
}
NEW_ROW_SPREAD = 1e-5  # of the covariance of the rows that are there
# heads of other models, on which no next word depends
BESIDE = ("multiple_choice_head.", "score.", "classifier.", "qa_outputs.", "v_head.")
MASKS = (".attn.bias", ".attn.masked_bias")  # which old versions of transformers saved
LOGITS_TOLERANCE = 1e-4  # of the largest logit
SAMPLED = 10  # tokens whose logits are compared
SYMBOLS = "fairseq_symbols.json"  # beside the weights: rows of the word table that are no ids of GPT-2, {symbol: row}


class GPT2Body(nn.Module):
    """`transformers`' GPT2Model without a word table: vectors in, states out.

    After the blocks `points` (from 1) the states at the latents are mixed with the vectors that entered there:
    state <- (1 - weight) * state + weight * latent.
    """

    def __init__(self, gpt2: nn.Module, points: Sequence[int] = (), weight: float = 0.5):
        super().__init__()
        self.gpt2, self.weight = gpt2, weight
        self._latents: Tensor | None = None  # (B, L, D), while they pass
        for point in points:
            self.gpt2.h[point - 1].register_forward_hook(self._mix)

    @property
    def positions(self) -> nn.Embedding:
        """The position table (P, D)."""
        return self.gpt2.wpe

    def new_cache(self):
        """Keys and values of what was read, none yet."""
        return transformers().DynamicCache(config=self.gpt2.config)

    def forward(self, latents: Tensor, vectors: Tensor, positions: Tensor, mask: Tensor, cache=None) -> Tensor:
        """Latents (B, L, D), then vectors (B, S, D) at positions (B, S) -> states of the vectors (B, S, D).

        mask (B, L + S): false where nothing may look, pads. With a cache, the mask also covers what was read before, and
        the latents, L = 0 but the first time, are not read again: the cache holds them as they were mixed.
        """
        count = latents.size(1)
        # the body adds a position to everything; at the latents it has to be the zero vector
        inputs = torch.cat([latents - self.positions.weight[0], vectors], dim=1)
        positions = torch.cat([positions.new_zeros(positions.size(0), count), positions], dim=1)
        self._latents = latents if count else None
        try:
            states = self.gpt2(
                inputs_embeds=inputs, position_ids=positions, attention_mask=mask.long(), past_key_values=cache,
                use_cache=cache is not None,
            ).last_hidden_state  # fmt: skip
        finally:
            self._latents = None
        return states[:, count:]

    def _mix(self, block: nn.Module, inputs: tuple, output):
        if self._latents is None or not self.weight:
            return None
        states = output[0] if isinstance(output, tuple) else output
        count = self._latents.size(1)
        mixed = (1 - self.weight) * states[:, :count] + self.weight * self._latents.to(states.dtype)
        states = torch.cat([mixed, states[:, count:]], dim=1)
        return (states, *output[1:]) if isinstance(output, tuple) else states


def transformers():
    """The library, imported where it is used."""
    try:
        import transformers
    except ImportError:
        raise missing_extra("transformers", "gpt2") from None
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()  # `pretrained_gpt2` looks at what it would warn of
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
    gpt2 = library.GPT2Model(config)
    gpt2.wte = None
    return gpt2


def pretrained_gpt2(
    folder: str, embed_dim: int, layers: int, heads: int, dropout: float, attention_dropout: float
) -> tuple[nn.Module, Tensor]:
    """The blocks of a checkpoint in `transformers`' form, and its word table (V, D); InputError where it does not fit."""
    library = transformers()
    where = Path(folder)
    if not (where / "config.json").is_file():
        raise InputError(f"{folder}: no config.json there; remedy: a GPT-2 folder in the form of transformers")
    try:
        config = library.GPT2Config.from_pretrained(where)
        wanted = {"n_embd": embed_dim, "n_layer": layers, "n_head": heads} | PLAIN
        other = {name: getattr(config, name) for name, value in wanted.items() if getattr(config, name) != value}
        if config.model_type != "gpt2" or other:
            found = ", ".join(f"{name} {value} in place of {wanted[name]}" for name, value in other.items())
            raise InputError(
                f"{folder} has {found or f'a model of type {config.model_type}'}; remedy: the --arch of its size, or "
                "--embed-dim, --layers and --heads as there"
            )
        dropouts = {"resid_pdrop": dropout, "embd_pdrop": dropout, "attn_pdrop": attention_dropout}
        model, report = library.GPT2LMHeadModel.from_pretrained(
            where, dtype=torch.float32, output_loading_info=True, local_files_only=True, **dropouts
        )
    except InputError:
        raise
    except Exception as error:  # safetensors, pickle, json, sizes that do not fit: each library has its own
        line = " ".join(str(error).split())[:200]
        raise InputError(f"{folder}: {line}; remedy: copy the folder again") from error
    if missing := sorted(report["missing_keys"]):
        raise InputError(f"{folder} lacks weights, e.g. {missing[0]}; remedy: copy the folder again")
    unknown = [name for name in report["unexpected_keys"] if not (name.startswith(BESIDE) or name.endswith(MASKS))]
    if unknown:
        raise InputError(f"{folder} has weights that GPT-2 lacks, e.g. {min(unknown)}; remedy: a plain GPT-2")
    _compare_logits(folder, model)
    gpt2 = model.transformer
    table = gpt2.wte.weight.detach()
    gpt2.wte = None
    return gpt2, table


@torch.no_grad()
def _compare_logits(folder: str, model: nn.Module) -> None:
    """For a few tokens our decoder, of blocks and word table, has to find what `transformers` finds by the whole folder."""
    gpt2, table = model.transformer, model.transformer.wte.weight
    count = min(SAMPLED, gpt2.config.n_positions)
    tokens = torch.linspace(0, len(table) - 1, count).long().unsqueeze(0)
    theirs = model(tokens).logits
    if not theirs.isfinite().all():
        raise InputError(f"{folder} has weights that are no finite numbers; remedy: copy the folder again")
    places, mask = torch.arange(count).unsqueeze(0), torch.ones(1, count, dtype=torch.bool)
    ours = GPT2Body(gpt2)(table.new_zeros(1, 0, table.size(1)), gpt2.wte(tokens), places, mask) @ table.T
    difference, scale = float((ours - theirs).abs().max()), float(theirs.abs().max())
    if difference <= LOGITS_TOLERANCE * max(1.0, scale):
        return
    if not torch.equal(model.lm_head.weight, table):
        raise InputError(
            f"{folder}: its output table is not its word table, for which there is no place here (logits would differ by "
            f"{difference:.3g}); remedy: a GPT-2 whose tables are tied"
        )
    raise InputError(f"{folder}: our logits are not those of transformers, they differ by {difference:.3g}")


def end_of_text(gpt2: nn.Module, folder: str) -> int:
    """The row of the token that ends a text in a checkpoint."""
    row = gpt2.config.eos_token_id
    if not _is_row(row, gpt2):
        raise InputError(f"{folder}/config.json: eos_token_id {row} is no token of it; remedy: --symbols-from mean")
    return row


def start_of_text(gpt2: nn.Module, folder: str) -> int:
    """The row of the token that begins a text in a checkpoint, that of its end where it has none."""
    row = gpt2.config.bos_token_id
    return row if _is_row(row, gpt2) else end_of_text(gpt2, folder)


def _is_row(row, gpt2: nn.Module) -> bool:
    return isinstance(row, int) and 0 <= row < gpt2.config.vocab_size


def rows_of_symbols(folder: str | Path) -> dict[str, int]:
    """Symbol -> row, of a folder that `fairseq-latent convert` made; of others none."""
    path = Path(folder) / SYMBOLS
    if not path.is_file():
        return {}
    try:
        rows = {str(symbol): int(row) for symbol, row in json.loads(path.read_text(encoding="utf-8")).items()}
    except (AttributeError, TypeError, ValueError):
        raise InputError(f"{path}: these are not the rows of symbols; remedy: fairseq-latent convert, again") from None
    return rows


def train_rows(embed_tokens: nn.Embedding, rows: Sequence[int]) -> None:
    """Leave all rows but these without a gradient. Weight decay, which needs none, would still move them."""
    trained = torch.zeros(embed_tokens.num_embeddings, 1)
    trained[list(rows)] = 1
    embed_tokens.weight.register_hook(lambda gradient: gradient * trained.to(gradient))


@torch.no_grad()
def fill_rows(
    embed_tokens: nn.Embedding,
    symbols: Sequence[str],
    table: Tensor,
    rows: Mapping[str, int] | None = None,
    copies: Mapping[str, int] | None = None,
) -> list[str]:
    """Copy the rows of a word table (V, D) to the symbols that it has; returns those that it lacks.

    `rows` says where symbols stand; the others are GPT-2's ids ("15496"), where there are rows that `rows` does not name.
    Symbols that it lacks start as the row that `copies` names, or are drawn from N(mean row, 1e-5 * covariance of the
    rows), as the released code of Cho et al. (2022) does.
    """
    rows, copies = rows or {}, copies or {}
    ids = range(len(table) - len(rows))
    places = [rows.get(symbol, int(symbol) if symbol.isdecimal() and int(symbol) in ids else -1) for symbol in symbols]
    known = [place for place, row in enumerate(places) if 0 <= row < len(table)]
    new = sorted(set(range(len(places))) - set(known))
    mean = table.mean(0)
    spread = (NEW_ROW_SPREAD / max(1, len(table) - 1)) ** 0.5
    embed_tokens.weight[known] = table[[places[place] for place in known]]
    embed_tokens.weight[new] = mean + spread * torch.randn(len(new), len(table)) @ (table - mean)
    for place in new:
        if symbols[place] in copies:
            embed_tokens.weight[place] = table[copies[symbols[place]]]
    return [symbols[place] for place in new]
