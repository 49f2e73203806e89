"""A decoder between a checkpoint of fairseq and a folder in the form of `transformers`.

What is handed over is the language model: blocks, positions, words. Latents, their encoders and the role of the partner
have no place in that form and stay behind; a model without latents (`--no-latents`) is handed over whole, but for the role.
Our sequences are `<s> turn <eot> turn </s> response </s>`: a folder has them in its generation settings, and in words.
"""

import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError

ARCHS = ("persona_cvae_gpt2", "dialogpt", "transfertransfo")
TOKENIZERS = ("encoder.json", "vocab.bpe", "vocab.json", "merges.txt", "tokenizer.json", "spiece.model", "spm.model")
REMEDY = "remedy: a checkpoint of persona_cvae_gpt2 or dialogpt"
NOTE = "README.md"
SEQUENCES = """# A language model handed over by `fairseq-latent convert`

It reads `{begin}turn {between} turn ... turn </s>` and goes on with `response </s>`. No tokenizer adds these symbols:
`{symbols}` says in which rows they stand. Fed otherwise, the model says something else.

```python
import json
import torch
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained(folder)
row = json.load(open(folder + "/{symbols}", encoding="utf-8"))
turns = [[...], [...]]  # the ids of each turn's tokens, the oldest turn first
read = [{first}*turns[0], *(token for turn in turns[1:] for token in (row["{between}"], *turn)), row["</s>"]]
print(model.generate(torch.tensor([read]), max_new_tokens=40, do_sample=False)[0, len(read) :])
```

`generation_config.json` has `{start}` as the start, `</s>` as the end, and the symbols that are never said. What training
added to the words of the partner, their role, has no place in this form, nor have latents.
"""


def to_folder(checkpoint: str, data: str, folder: Path) -> tuple[dict[str, int], str]:
    """Write the decoder of a checkpoint to a new folder; the rows of symbols that are no tokens of the language model.

    The second result says how its sequences begin.
    """
    import torch

    from ..evaluation.analysis.checkpoint import load
    from ..modules.language_models.body import LanguageModelBody
    from ..modules.language_models.pretrained import SYMBOLS, configuration, transformers
    from ..modules.language_models.turns import TurnsDecoder
    from ..symbols import EOT

    library = transformers()
    trained = load(checkpoint, data, None, cpu=True)
    body = getattr(trained.model.decoder, "body", None)
    if not isinstance(body, LanguageModelBody):
        raise InputError(f"{checkpoint}: its decoder is no language model; {REMEDY}")
    if getattr(trained.model, "prompt_layout", None) is not None:
        raise InputError(f"{checkpoint}: its special tokens and token types have no place in a folder; {REMEDY}")
    of_turns = isinstance(trained.model.decoder, TurnsDecoder)
    words, embedding = trained.task.target_dictionary, trained.model.encoder.embedding
    order, symbols = rows_of(words.symbols)
    rows = {place: row for row, place in enumerate(order)}
    ends = {
        "bos_token_id": symbols[words.eos_word if of_turns else words.bos_word],
        "eos_token_id": symbols[words.eos_word],
        "pad_token_id": symbols[words.pad_word],
    }
    tied = {"vocab_size": len(order), "tie_word_embeddings": embedding.embed_tokens.output is None}
    fields = json.loads(configuration(body.model)) | ends | tied
    whole = library.AutoModelForCausalLM.from_config(library.CONFIG_MAPPING[fields["model_type"]].from_dict(fields))
    never = sorted(rows[place] for place in {*trained.task.never_said(), words.pad()})
    whole.generation_config = library.GenerationConfig(**ends, suppress_tokens=never, min_new_tokens=1)
    whole.base_model.load_state_dict(body.model.state_dict(), strict=False)  # all but words, which follow
    places = torch.tensor(order)
    read = places.clone()
    if EOT in symbols:  # --turn-end eos reads it as </s>, and so does DialoGPT
        read[symbols[EOT]] = words.eos() if of_turns else embedding.read_as
    with torch.no_grad():
        whole.get_output_embeddings().weight.copy_(embedding.embed_tokens.whole_output()[places])
        whole.get_input_embeddings().weight.copy_(embedding.embed_tokens.whole()[read])
    whole.save_pretrained(folder)
    for name in TOKENIZERS:
        if (Path(data) / name).is_file():
            shutil.copy(Path(data) / name, folder / name)
    form = {"begin": "", "first": "", "between": words.eos_word, "start": words.eos_word}
    if not of_turns:
        form = {
            "begin": f"{words.bos_word} ",
            "first": f'row["{words.bos_word}"], ',
            "between": EOT,
            "start": words.bos_word,
        }
    (folder / NOTE).write_text(SEQUENCES.format(symbols=SYMBOLS, **form), encoding="utf-8")
    (folder / SYMBOLS).write_text(json.dumps(symbols, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return symbols, "are turns with </s> after each" if of_turns else "begin with <s>"


def rows_of(symbols: list[str]) -> tuple[list[int], dict[str, int]]:
    """Symbols of a dictionary in its order -> its ids in the order of GPT-2's, then the others with their new rows.

    A dictionary whose words are no ids of GPT-2, 0, 1, 2, ..., keeps its order.
    """
    places = {
        int(symbol): place for place, symbol in enumerate(symbols) if symbol.isdecimal() and symbol == str(int(symbol))
    }
    if sorted(places) != list(range(len(places))):
        places = {}
    order = [places[token] for token in range(len(places))]
    others = sorted(set(range(len(symbols))) - set(order))
    return order + others, {symbols[place]: len(order) + row for row, place in enumerate(others)}


def to_checkpoint(folder: Path, data: str, path: Path, arch: str = "persona_cvae_gpt2") -> None:
    """Write a checkpoint of a language model without latents, for `fairseq-generate` and chat, or to be trained further."""
    import torch

    import fairseq_latent

    from ..modules.language_models.pretrained import has_end

    fairseq_latent.register()
    arguments = [
        data, "--task", "persona_dialogue", "--arch", arch, "--lm-path", str(folder),
        "--criterion", "elbo",
    ]  # fmt: skip
    if arch == "persona_cvae_gpt2":
        arguments.append("--no-latents")
    if has_end(str(folder)):  # what begins and ends its texts begins contexts, ends turns and responses
        arguments += ["--symbols-from", "end"]
    cfg, task = configured(arguments)
    torch.manual_seed(1)  # of the symbols that are no start or end, which it lacks
    model = task.build_model(cfg.model)
    for roles in ("marks", "specials"):  # what it never saw, untrained, would be noise
        if (table := getattr(model.encoder.embedding, roles, None)) is not None:
            table.weight.data.zero_()
    cfg.model.gpt2_path = None  # the weights are in the checkpoint
    write_checkpoint(cfg, task, model, path)


def configured(arguments: Sequence[object]) -> tuple[Any, Any]:
    """The configuration that these words of fairseq-train give, and its task."""
    from fairseq import options, tasks
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    for talkative in ("fairseq", "hydra"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    words = [*map(str, arguments), "--optimizer", "adam", "--cpu", "--batch-size", "8"]
    cfg = convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), words))
    return cfg, tasks.setup_task(cfg.task)


def write_checkpoint(cfg: Any, task: Any, model: Any, path: Path) -> None:
    """What a training of this model would have written before its first update."""
    from fairseq import checkpoint_utils
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(cfg, resolve=True, enum_to_str=True)
    history = {"criterion_name": "", "optimizer_name": "", "lr_scheduler_state": {}, "num_updates": 0}
    state = {
        "args": None, "cfg": plain, "model": model.state_dict(), "task_state": task.state_dict(),
        "optimizer_history": [history], "extra_state": {"train_iterator": {"epoch": 1}},
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint_utils.torch_persistent_save(state, str(path))
