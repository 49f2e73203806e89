"""A self-written persona corpus of dialogues with ids: what somebody says shows which profile is his."""

import random
from pathlib import Path

from .personas import FACTS, SMALL_TALK, TOPICS

SAID = ("yesterday i thought of my {}", "i cannot be without my {}", "my {} made me laugh")


def write(folder: Path, sizes: dict[str, int]) -> None:
    """{split}.src|tgt|own|partner|fader|own_fader|ids of so many dialogues, of four turns each."""
    for seed, (split, count) in enumerate(sizes.items()):
        fields: dict[str, list[str]] = {
            name: [] for name in ("src", "tgt", "own", "partner", "fader", "own_fader", "ids")
        }
        draw = random.Random(seed)
        for dialogue in range(count):
            _dialogue(f"{split}-{dialogue}", draw, fields)
        for name, lines in fields.items():
            (folder / f"{split}.{name}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _dialogue(identity: str, draw: random.Random, fields: dict[str, list[str]]) -> None:
    topics = draw.sample(list(TOPICS), 2)
    things = [draw.sample(TOPICS[topic], 3) for topic in topics]
    profiles = [[draw.choice(FACTS).format(thing) for thing in mine] for mine in things]
    turns = [draw.choice(SMALL_TALK), draw.choice(SMALL_TALK)]
    turns += [draw.choice(SAID).format(draw.choice(things[turn % 2])) for turn in range(2, 6)]
    for turn in range(1, len(turns)):
        mine, other = profiles[turn % 2], profiles[1 - turn % 2]
        row = {"src": " <eot> ".join(turns[:turn]), "tgt": turns[turn], "own": " <eot> ".join(mine)}
        row |= {"partner": " <eot> ".join(other), "fader": "0.5", "own_fader": "0.5", "ids": f"{identity}:{turn}"}
        for name, lines in fields.items():
            lines.append(row[name])


def binarise(text: Path, target: Path) -> None:
    """As scripts/prepare.sh does, with one dictionary."""
    from . import programs

    splits = [f"--{name}pref={text / name}" for name in ("train", "valid", "test")]
    pair = ("--source-lang", "src", "--target-lang", "tgt")
    # words of profiles are words of the dictionary, too
    words = target / "words.txt"
    lines = [line for name in ("src", "tgt", "own") for line in (text / f"train.{name}").read_text().splitlines()]
    words.parent.mkdir(exist_ok=True, parents=True)
    known = sorted({word for line in lines for word in line.split()})
    words.write_text("".join(f"{word} 1\n" for word in known))
    programs.run("fairseq-preprocess", *pair, *splits, "--srcdict", words, "--joined-dictionary", "--destdir", target)
    for field in ("own", "partner"):
        only = ("--only-source", "--source-lang", field, "--srcdict", words)
        programs.run("fairseq-preprocess", *only, *splits, "--destdir", target)
    for split in ("train", "valid", "test"):
        for field in ("ids", "fader", "own_fader"):
            (target / f"{split}.{field}").write_text((text / f"{split}.{field}").read_text())


def bert_folder(folder: Path, text: Path) -> Path:
    """A tiny BERT with random weights and a tokenizer of the corpus' words, in the form of `transformers`."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    lines = [line for name in ("src", "own") for line in (text / f"train.{name}").read_text().splitlines()]
    known = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted({word for line in lines for word in line.split()})]
    folder.mkdir()
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in known))
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(known), max_position_embeddings=32, **sizes)).save_pretrained(folder)
    return folder


def bert_of_words(here, words: str):
    """A folder of a tiny BERT that knows these words, and that BERT and its tokenizer as `transformers` reads them."""
    import transformers

    (here / "train.src").write_text(f"{words}\n")
    (here / "train.own").write_text("")
    folder = bert_folder(here / "bert", here)
    model = transformers.BertModel.from_pretrained(folder).eval()
    return folder, model, transformers.AutoTokenizer.from_pretrained(folder)
