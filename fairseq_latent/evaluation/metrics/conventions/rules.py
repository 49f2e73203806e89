"""The conventions: which words, casing, order, smoothing, denominator and scale each has, and where this is to be read."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fairseq_latent.errors import InputError
from fairseq_latent.text.overlap import normalised, unigram_f1
from fairseq_latent.text.word_tokenizers import Tokenizer

from ..field.diversity import Entropy
from ..response_metrics import Bleu, Distinct, Length, measure
from .nltk_bleu import sentence_bleu

Texts = Sequence[str]
Many = Sequence[Sequence[str]]  # of each context its references
CONTRACTIONS = ("'s", "'m", "'re", "n't", "'ll", "'ve", "'d", "'em")
TWEET_WORDS = re.compile(r"__url__|\d+(?:[.,:]\d+)*|[a-z]+(?:'[a-z]+)*|\.{2,}|\S")


@dataclass(frozen=True)
class Number:
    """A metric under a convention: what it is called there, its value, decimals of the paper's table, its signature."""

    name: str
    value: float
    decimals: int
    signature: str


@dataclass(frozen=True)
class Convention:
    """source: where it is defined. measure: responses, references (None: without) and the words of --lang -> numbers."""

    source: str
    measure: Callable[[Texts, Many | None, Tokenizer], list[Number]]


def convention_names(text: str) -> list[str]:
    """NAME,NAME,... or InputError."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or (unknown := [name for name in names if name not in CONVENTIONS]):
        wrong = unknown[0] if names else text
        raise InputError(f"--conventions {wrong}: no such convention; remedy: some of {','.join(CONVENTIONS)}")
    return list(dict.fromkeys(names))


def clean(text: str) -> str:
    """The clean-up of DSTC7's evaluation, which DialoGPT took over: lower case, __url__, ASCII words, split contractions.

    There nltk's TweetTokenizer tells words apart; here a rule does, which keeps no emoticon in one piece.
    """
    words = []
    for word in text.lower().split():
        place = word.find("http")
        words.append(word if place < 0 else f"{word[:place]} __url__")
    line = re.sub(r"\[([^\]]*)\] \( *__url__ *\)", r"\1", " ".join(words)).replace("__url__", "URL")
    line = re.sub(r"[^A-Za-z0-9():,.!?\"']", " ", line).replace("URL", "__url__")
    line = f" {' '.join(TWEET_WORDS.findall(line))} "
    line = line.replace(" won't ", " will n't ").replace(" can't ", " can n't ")
    for ending in CONTRACTIONS:
        line = line.replace(f"{ending} ", f" {ending} ")
    return " ".join(line.split())


def _sato(texts: Texts, references: Many | None, words: Tokenizer) -> list[Number]:
    lines = words(texts)
    found = []
    if references is not None:
        bleu = measure(Bleu(words.signature), lines, [words(each) for each in references])
        found.append(Number("BLEU", bleu.value, 2, bleu.signature))
    return found + [_distinct(n, lines, words.signature, "ngrams", f"dist-{n}", 2) for n in (1, 2)]


def _cho(texts: Texts, references: Many | None, words: Tokenizer) -> list[Number]:
    lines = words(texts)
    return [_distinct(n, lines, words.signature, "words", f"Distinct-{n}", 3) for n in (1, 2)]


def _parlai(texts: Texts, references: Many | None, words: Tokenizer) -> list[Number]:
    found, how = [], "case:lower|articles:dropped|tok:parlai|scale:1"
    if references is not None:
        pairs = list(zip(texts, references, strict=True))
        f1 = [max(unigram_f1(text, each) for each in of) for text, of in pairs]
        bleu = [
            sentence_bleu(normalised(text), [normalised(each) for each in of], [0.25] * 4, 1, 1e-12)
            for text, of in pairs
        ]
        found = [
            Number("f1", _mean(f1), 4, f"f1|level:sentence|{how}"),
            Number("bleu-4", _mean(bleu), 4, f"bleu|order:4|level:sentence|smooth:nltk-1,1e-12|{how}"),
        ]
    lines = [" ".join(normalised(text)) for text in texts]
    return found + [_distinct(n, lines, how, "ngrams", f"interdistinct-{n}", 4, 0.01) for n in (1, 2)]


def _dialogpt(texts: Texts, references: Many | None, words: Tokenizer) -> list[Number]:
    return _dstc(texts, references, (2, 4), percent=True)


def _dstc7(texts: Texts, references: Many | None, words: Tokenizer) -> list[Number]:
    return _dstc(texts, references, (1, 2, 3, 4), percent=False)


def _dstc(texts: Texts, references: Many | None, orders: Sequence[int], percent: bool) -> list[Number]:
    from sacrebleu.metrics import BLEU

    lines, how = [clean(text) for text in texts], f"case:lower|tok:dstc7-clean|scale:{100 if percent else 1}"
    found = []
    if references is not None:
        most = max(map(len, references))
        columns = [[clean(of[place]) if place < len(of) else None for of in references] for place in range(most)]
        for order in orders:
            scorer = BLEU(tokenize="13a", smooth_method="exp", max_ngram_order=order, force=True)
            score = scorer.corpus_score(lines, columns).score  # type: ignore[arg-type]  # None: fewer references
            value = score / (1 if percent else 100)
            signature = f"bleu|order:{order}|level:corpus|nrefs:{most}|smooth:mteval|{how}+13a"
            found.append(Number(f"BLEU-{order}", value, 2 if percent else 4, signature))
    entropy, length = Entropy(4, how).score(lines), measure(Length(how), lines)
    diversity = [
        _distinct(n, lines, how, "ngrams", f"dist-{n}", 2 if percent else 4, 1 if percent else 0.01) for n in (1, 2)
    ]
    return [
        *found,
        Number("entropy-4", entropy.value, 3, entropy.signature),
        *diversity,
        Number("length", length.value, 2, length.signature),
    ]


def _plato(texts: Texts, references: Many | None, words: Tokenizer) -> list[Number]:
    lines, how = [text.split() for text in texts], "case:as-it-is|tok:none|scale:1"
    found = []
    if references is not None:
        pairs = [(line, [of[0].split()]) for line, of in zip(lines, references, strict=True)]
        for name, weights in (("bleu-1", (1.0, 0, 0, 0)), ("bleu-2", (0.5, 0.5, 0, 0))):
            value = _mean([sentence_bleu(line, of, weights, 7, 0.1) for line, of in pairs])
            found.append(Number(name, value, 3, f"bleu|order:{name[-1]}|level:sentence|nrefs:1|smooth:nltk-7|{how}"))
    return found + [_distinct(n, list(map(" ".join, lines)), how, "ngrams", f"distinct-{n}", 3, 0.01) for n in (1, 2)]


def _distinct(n: int, lines: Texts, words: str, by: str, name: str, decimals: int, scale: float = 1.0) -> Number:
    score = measure(Distinct(n, words, by), lines)
    return Number(name, scale * score.value, decimals, score.signature)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


CONVENTIONS = {
    "sato2021": Convention("Sato et al., 2021: multi-bleu.perl on Moses or MeCab words; their code", _sato),
    "cho2022": Convention("Cho et al., 2022, https://arxiv.org/abs/2204.07372: distinct n-grams per word", _cho),
    "parlai": Convention("ParlAI, parlai/core/metrics.py: F1Metric, BleuMetric, InterDistinctMetric", _parlai),
    "dialogpt": Convention(
        "Zhang et al., 2020, https://arxiv.org/abs/1911.00536: dstc/ of their repository", _dialogpt
    ),
    "plato": Convention("Bao et al., 2020, https://arxiv.org/abs/1910.07931: plato/metrics/metrics.py", _plato),
    "dstc7": Convention("Galley et al., 2019, sentence generation track of DSTC7: nlp_metrics, mteval-v14c.pl", _dstc7),
}
