"""The registry of metrics: complete, and as docs/measures.md has it."""

from dataclasses import fields
from pathlib import Path

import numpy as np

from fairseq_latent.evaluation.analysis.latent_statistics import LatentStatistics
from fairseq_latent.evaluation.metrics import repetition, response_metrics
from fairseq_latent.evaluation.metrics.field.embeddings import WordRows
from fairseq_latent.evaluation.metrics.field.fluency import Perplexity
from fairseq_latent.evaluation.metrics.field.mauve import Mauve
from fairseq_latent.evaluation.metrics.field.measures import FieldMeasures
from fairseq_latent.evaluation.metrics.registry import HIGHER, IN_DETAIL, LOWER, METRICS, NEITHER, SCORES, STATISTICS
from fairseq_latent.evaluation.metrics.relevance import Relevance
from fairseq_latent.evaluation.metrics.system_scores import Responses
from fairseq_latent.text.word_vectors import WordVectors


class OneHot:
    tokens_signature = "one-hot"

    def of_tokens(self, texts):
        return [np.eye(9)[[ord(token) - ord("a") for token in text.split()]] for text in texts]


PAGE = Path(__file__).parents[3] / "docs/measures.md"
NO_METRICS = {"sentences", "tokens", "words", "dialogues", "signature", "other_word_ppl"}
ENDS = ("_low", "_high")


def test_every_statistic_and_every_score_has_an_entry():
    named = {field.name for field in fields(LatentStatistics) if not field.name.endswith(ENDS)}
    assert named - NO_METRICS == STATISTICS.keys()
    made = [kind("words") for kind in (response_metrics.Bleu, response_metrics.F1, response_metrics.Length)]
    made += [
        response_metrics.Distinct(n, "words", by, of) for n in (1, 2) for by in ("ngrams", "words") for of in (0, 50)
    ]
    made += [response_metrics.InterDistinct(n, 2, "words") for n in (1, 2)]
    made += [repetition.Duplicates("words"), repetition.GzipRatio("words"), Relevance("encoder", "strangers")]
    texts = [("a b", "b")] * 2
    field = FieldMeasures(9, 1, WordRows(WordVectors({}, np.zeros((0, 2)), ""), "v"), OneHot())
    measured = field.measure(Responses(["a b"] * 4, ["a b"] * 4, 2, "words", texts, texts))
    made += [each.metric for each in measured] + [Perplexity("lm")]
    made += [Mauve(np.zeros((2, 2)), np.zeros(2, dtype=bool), "encoder", 1)]
    assert {each.name for each in made} | {"P.Distance", "C-score", "DialogRPT"} == SCORES.keys()


def test_entries_are_whole():
    for name, metric in METRICS.items():
        assert metric.better in (HIGHER, LOWER, NEITHER), name
        assert metric.meaning.endswith(".") and metric.unit and metric.source, name
        assert metric.column().header == metric.header and metric.column("x").decimals == metric.decimals
    assert len({metric.header for metric in METRICS.values()}) == len(METRICS)


def test_every_entry_has_a_formula_and_says_what_it_cannot_tell():
    assert IN_DETAIL.keys() == METRICS.keys()
    for name, detail in IN_DETAIL.items():
        assert detail.formula and detail.cannot_tell and not detail.cannot_tell.endswith("."), name


def test_the_page_says_what_the_registry_says():
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| ")][2:]

    def cell(text):
        return text.replace("|", "\\|")

    expected = [
        f"| {metric.header} | {cell(IN_DETAIL[name].formula)} | {metric.unit} "
        f"| {metric.better.removesuffix(' is better').removesuffix(' end is good')} | {cell(metric.meaning)} "
        f"| {IN_DETAIL[name].cannot_tell} | {metric.source} |"
        for name, metric in METRICS.items()
    ]
    assert rows == expected
