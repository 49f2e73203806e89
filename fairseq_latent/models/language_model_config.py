"""Flags of the models whose body is a language model, and how these flags become words and a body."""

import logging
from dataclasses import dataclass, field
from typing import Optional

from fairseq.dataclass import ChoiceEnum, FairseqDataclass
from torch import nn

from ..errors import InputError
from ..modules.language_models.body import LanguageModelBody, position_table
from ..modules.language_models.pretrained import (
    LanguageModel,
    configuration,
    fresh_gpt2,
    of_configuration,
    of_folder,
    rows_of_symbols,
)
from ..modules.language_models.word_table import WordTable, rows_for
from ..ranges import DEPTH, POSITIONS, SHARE_BELOW_ONE, SIZE, SIZE_OR_NONE
from ..symbols import EOT, RESERVED, USER_SYMBOLS

logger = logging.getLogger(__name__)

SYMBOLS = (*RESERVED, *USER_SYMBOLS)
NUM_LATENTS = 2  # Zp and the fader
FOUND = ("embed_dim", "layers", "heads", "positions", "lm_config", "untied_output")  # what a folder says


@dataclass
class LanguageModelConfig(FairseqDataclass):
    embed_dim: int = field(
        default=1024, metadata={"help": "width of GPT-2, and of both latents (D); of --lm-path its own", "range": SIZE}
    )
    layers: int = field(default=24, metadata={"help": "GPT-2's blocks; of --lm-path its own", "range": DEPTH})
    heads: int = field(default=16, metadata={"help": "GPT-2's attention heads; of --lm-path its own", "range": SIZE})
    ffn_dim: int = field(
        default=0,
        metadata={
            "help": "width of GPT-2's feed-forward layers; 0: four times --embed-dim; of --lm-path its own",
            "range": SIZE_OR_NONE,
        },
    )
    positions: int = field(
        default=1024,
        metadata={
            "help": "the longest context and response together, in tokens; lowered to what --lm-path has",
            "range": POSITIONS,
        },
    )
    dropout: float = field(
        default=0.1, metadata={"help": "dropout on GPT-2's embeddings and sublayers", "range": SHARE_BELOW_ONE}
    )
    attention_dropout: float = field(
        default=0.1,
        metadata={
            "help": "dropout on its attention weights; on a CPU, training is faster without",
            "range": SHARE_BELOW_ONE,
        },
    )
    gpt2_path: Optional[str] = field(
        default=None,
        metadata={
            "help": "folder of a decoder-only language model in transformers' form (GPT-2, DialoGPT, Llama, SmolLM2, Qwen, "
            "OPT, GPT-NeoX); without it a GPT-2 with random weights",
            "argparse_alias": "--lm-path",
        },
    )
    lm_config: Optional[str] = field(
        default=None,
        metadata={
            "help": "set by --lm-path: its configuration as JSON, by which a checkpoint is loaded without the folder"
        },
    )
    untied_output: bool = field(
        default=False, metadata={"help": "set by --lm-path: the output table is not the input table"}
    )
    train_blocks: int = field(
        default=0,
        metadata={
            "help": "train the top N blocks of the language model alone, with --freeze-embeddings; 0: all. What is below "
            "keeps no gradients, and latents learn through --inject-after at and above these blocks",
            "range": SIZE_OR_NONE,
        },
    )
    symbols_from: ChoiceEnum(["mean", "end"]) = field(  # type: ignore[valid-type]
        default="mean",
        metadata={
            "help": "symbols that --gpt2-path lacks start near the mean of its rows (the authors' code); or <eot> and </s> "
            "as its own end of text, which ends turns and responses in DialoGPT, and <s> as its own start of text"
        },
    )
    freeze_embeddings: bool = field(
        default=False,
        metadata={
            "help": "train neither words nor positions of --lm-path, but special tokens (<eot>, </s>), which it lacks"
        },
    )


def build_language_model(cfg: LanguageModelConfig, dictionary) -> tuple[WordTable, nn.Module]:
    """Words and body: fresh, of a checkpoint's configuration, or of a folder, whose sizes then are the model's."""
    words, model = _read(cfg, dictionary)
    if cfg.train_blocks > cfg.layers:
        raise InputError(
            f"--train-blocks {cfg.train_blocks}: the language model has {cfg.layers}; remedy: at most these"
        )
    if cfg.train_blocks and not cfg.freeze_embeddings:
        raise InputError(
            f"--train-blocks {cfg.train_blocks}: nothing below them learns, words neither; remedy: --freeze-embeddings"
        )
    return words, model


def words_and_body(cfg: LanguageModelConfig, dictionary) -> tuple[WordTable, LanguageModelBody]:
    """The same as a body without slots for latents, its positions frozen with the words."""
    words, model = build_language_model(cfg, dictionary)
    body = LanguageModelBody(model, train_blocks=cfg.train_blocks)
    if cfg.freeze_embeddings and body.positions is not None:
        body.positions.requires_grad_(False)
    return words, body


def _read(cfg: LanguageModelConfig, dictionary) -> tuple[WordTable, nn.Module]:
    dropouts = cfg.dropout, cfg.attention_dropout
    if not cfg.gpt2_path:
        if cfg.lm_config:
            model = of_configuration(cfg.lm_config, *dropouts)
        else:
            _check_sizes(cfg)
            sizes = cfg.embed_dim, cfg.layers, cfg.heads, cfg.ffn_dim or 4 * cfg.embed_dim, cfg.positions
            model = fresh_gpt2(*sizes, *dropouts)
        return _words(cfg, dictionary), model
    read = of_folder(cfg.gpt2_path, cfg.positions, *dropouts)
    _take_sizes(cfg, read)
    embed_tokens = _words(cfg, dictionary)
    _fill(cfg, dictionary, embed_tokens, read)
    return embed_tokens, read.body


def _words(cfg: LanguageModelConfig, dictionary) -> WordTable:
    trained = (
        [dictionary.index(symbol) for symbol in SYMBOLS if symbol in dictionary] if cfg.freeze_embeddings else None
    )
    return WordTable(len(dictionary), cfg.embed_dim, trained, cfg.untied_output)


def _take_sizes(cfg: LanguageModelConfig, read: LanguageModel) -> None:
    """The folder's, in place of the flags'."""
    config = read.config
    cfg.embed_dim, cfg.layers, cfg.heads = config.hidden_size, config.num_hidden_layers, config.num_attention_heads
    cfg.lm_config, cfg.untied_output = configuration(read.body), read.output is not None
    table = position_table(read.body)
    if table is None:  # latents take positions of their own
        most = getattr(config, "max_position_embeddings", cfg.positions + NUM_LATENTS) - NUM_LATENTS
    else:
        most = table.num_embeddings - getattr(table, "offset", 0)
    if cfg.positions > most:
        logger.info(f"{cfg.gpt2_path} was trained with positions for {most} tokens: --positions is lowered to that")
        cfg.positions = most


def _fill(cfg: LanguageModelConfig, dictionary, embed_tokens: WordTable, read: LanguageModel) -> None:
    """Its rows become ours; InputError if they are of other words than the data."""
    rows = rows_of_symbols(cfg.gpt2_path)
    copies = {}
    if str(cfg.symbols_from) == "end":
        if read.end is None:
            raise InputError(
                f"{cfg.gpt2_path}/config.json: eos_token_id is no token of it; remedy: --symbols-from mean"
            )
        copies = dict.fromkeys((EOT, dictionary.eos_word), read.end)
        copies[dictionary.bos_word] = read.end if read.begin is None else read.begin
    table, lacking = rows_for(dictionary.symbols, read.words, rows, copies)
    output = None if read.output is None else rows_for(dictionary.symbols, read.output, rows, copies)[0]
    remedy = (
        f"remedy: prepare the data with {'SUBWORDS= the data that it was trained on' if rows else 'GPT2=that folder'}"
    )
    if len(lacking) > len(dictionary) / 2:
        raise InputError(f"{cfg.gpt2_path} does not have the data's words; {remedy}")
    if len(read.words) > len(rows) and (beyond := [symbol for symbol in lacking if symbol.isdecimal()]):  # rows of ids
        raise InputError(f"{cfg.gpt2_path} has no token {beyond[0]}, which the data has; {remedy}")
    embed_tokens.fill(table, output)


def _check_sizes(cfg: LanguageModelConfig) -> None:
    """Of a fresh GPT-2."""
    if cfg.embed_dim % cfg.heads:
        raise InputError(f"--heads {cfg.heads} does not divide --embed-dim {cfg.embed_dim}; remedy: one that does")
