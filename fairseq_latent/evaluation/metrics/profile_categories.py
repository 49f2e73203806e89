"""What a profile is about: one of a few categories, by their words, or by a zero-shot classifier.

Cho et al. (2022) colour their Figure 5 by the latter; the six categories are nowhere but in the picture. Ours are ours.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fairseq_latent.errors import InputError, missing_extra
from fairseq_latent.text.json_values import OTHER_FORM, read_json
from fairseq_latent.text.similarity import words

DEFAULT = Path(__file__).with_name("profile_categories.json")
HYPOTHESIS = "This text is about {}."

Categories = Mapping[str, frozenset[str]]


def read_categories(path: str | Path = DEFAULT) -> Categories:
    """{name: words} from a JSON file {"name": ["word", ...], ...}; single words, lower case or not."""
    try:
        found = read_json(path)
        if any(isinstance(listed, str) for listed in found.values()):
            raise TypeError("a word is no list of words")
        made = {name: frozenset(word.lower() for word in listed) for name, listed in found.items()}
    except OTHER_FORM:
        raise InputError(f'{path}: no categories; remedy: JSON like {{"food": ["pizza", "cook"], ...}}') from None
    if len(made) < 2:
        raise InputError(f"{path}: {len(made)} categories; remedy: two or more")
    return made


def by_words(sentences: Sequence[str], categories: Categories) -> str | None:
    """The category that most sentences have a word of, then the one with most words, then the first; None without any.

    A word of a script without spaces may stand anywhere in a sentence.
    """
    best, most = None, (0, 0)
    for name, listed in categories.items():
        everywhere = [word for word in listed if not word.isascii()]
        counts = [
            sum(word in listed for word in words(sentence)) + sum(word in sentence for word in everywhere)
            for sentence in sentences
        ]
        if (score := (sum(map(bool, counts)), sum(counts))) > most:
            best, most = name, score
    return best


def by_inference(texts: Sequence[str], names: Sequence[str], folder: str, cpu: bool = True) -> list[str]:
    """The category whose hypothesis a model of natural language inference finds most entailed by each text.

    folder: the model in transformers' form, e.g. of bart-large-mnli; nothing is downloaded.
    """
    where = Path(folder)
    if not (where / "config.json").is_file():
        raise InputError(
            f"{folder}: no config.json there; remedy: --nli with a model's folder in the form of transformers"
        )
    try:
        import torch
        import transformers
    except ImportError:
        raise missing_extra("transformers", "gpt2") from None
    transformers.logging.set_verbosity_error()
    try:
        model, report = transformers.AutoModelForSequenceClassification.from_pretrained(
            where, output_loading_info=True, local_files_only=True
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(where, local_files_only=True)
    except Exception as error:  # safetensors, json, sizes that do not fit: each library has its own
        line = " ".join(str(error).split())[:200]
        raise InputError(f"{folder}: {line}; remedy: copy the folder again") from error
    if missing := sorted(report["missing_keys"]):  # they would be random numbers
        raise InputError(
            f"{folder} lacks weights, e.g. {missing[0]}; remedy: a model of natural language inference, e.g. bart-large-mnli"
        )
    if not any(str(label).lower().startswith("entail") for label in model.config.label2id):
        raise InputError(
            f"{folder} has no label for entailment; remedy: a model of natural language inference, e.g. bart-large-mnli"
        )
    device = "cuda" if torch.cuda.is_available() and not cpu else "cpu"
    classify = transformers.pipeline("zero-shot-classification", model=model, tokenizer=tokenizer, device=device)
    found = classify(list(texts), list(names), hypothesis_template=HYPOTHESIS, batch_size=8)
    return [each["labels"][0] for each in found]
