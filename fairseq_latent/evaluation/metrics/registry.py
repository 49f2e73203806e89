"""Every metric that a table shows: its decimals, unit, meaning, direction and source. All tables take their columns here."""

from dataclasses import dataclass
from typing import NamedTuple

from ..tables import Column

HIGHER, LOWER, NEITHER = "higher is better", "lower is better", "neither end is good"
SATO, CHO = "Sato et al., 2021", "Cho et al., 2022"


@dataclass(frozen=True)
class Metric:
    """header: of its column. unit: of its number. better: which way. source: who defined it, or how it is computed here."""

    header: str
    decimals: int
    unit: str
    better: str
    meaning: str
    source: str

    def column(self, header: str | None = None) -> Column:
        """Its column, under another header if one is given."""
        return Column(header or self.header, self.decimals)

    def described(self, split: str, meaning: str | None = None) -> str:
        """What a page says of it; `meaning` in place of its own."""
        better = "" if self.better == NEITHER else f" {self.better[0].upper()}{self.better[1:]}."
        return f"{split}; {self.unit}: {meaning or self.meaning}{better}"


FALLS = "It falls with the amount of text: compare on the same test set only."
_DIST = (
    f"distinct n-grams per n-gram of all responses, n = {{}}; no goal by itself, since random words score best. {FALLS}"
)
_DISTINCT = f"distinct n-grams per word of all responses, n = {{}}. {FALLS}"
_ON_50 = "{} on 50 dialogues, always the same ones."
_INTER = "dist-{} among the responses to one context, averaged over contexts."
_LI, _PARLAI, _OURS = "Li et al., 2016", "ParlAI", "this project"

SCORES = {  # of responses as text, in the order of tables
    "BLEU": Metric("BLEU", 2, "0 to 100", HIGHER, "word sequences shared with the references. Many responses are good in a "
                   "conversation, so values around 1 are usual.", "Papineni et al., 2002; sacrebleu"),
    "dist-1": Metric("dist-1", 2, "percent", NEITHER, _DIST.format(1), _LI),
    "dist-2": Metric("dist-2", 2, "percent", NEITHER, _DIST.format(2), _LI),
    "Distinct-1": Metric("Distinct-1", 3, "share", NEITHER, _DISTINCT.format(1), CHO),
    "Distinct-2": Metric("Distinct-2", 3, "share", NEITHER, _DISTINCT.format(2), CHO),
    "dist-1@50": Metric("dist-1@50", 2, "percent", NEITHER, _ON_50.format("dist-1"), _OURS),
    "dist-2@50": Metric("dist-2@50", 2, "percent", NEITHER, _ON_50.format("dist-2"), _OURS),
    "Distinct-1@50": Metric("Distinct-1@50", 3, "share", NEITHER, _ON_50.format("Distinct-1"), _OURS),
    "Distinct-2@50": Metric("Distinct-2@50", 3, "share", NEITHER, _ON_50.format("Distinct-2"), _OURS),
    "inter-dist-1": Metric("inter-dist-1", 2, "percent", NEITHER, _INTER.format(1), "Gu et al., 2019"),
    "inter-dist-2": Metric("inter-dist-2", 2, "percent", NEITHER, _INTER.format(2), "Gu et al., 2019"),
    "F1": Metric("F1", 2, "percent", HIGHER, "words shared with the reference, precision and recall averaged harmonically.",
                 _PARLAI),
    "relevance": Metric("relevance", 3, "difference of cosines", HIGHER, "cosine of a response with its own context, less "
                        "that with a stranger's context of like length. 0: it answers anything; compare with the "
                        "references'. Another encoder, other values.", _OURS),
    "duplicates": Metric("dup.", 1, "percent", LOWER, "responses that repeat another one of the same system. It rises "
                         "with the amount of text: compare with the references'.", _OURS),
    "gzip ratio": Metric("gzip", 2, "bytes per byte", NEITHER, "bytes of all responses over bytes of their gzip: the "
                         "higher, the more they repeat. Compare with the references', on the same test set only.",
                         "Shaib et al., 2024"),
    "P.Distance": Metric("P.Distance", 3, "cosine", HIGHER, "how near the keywords of the partner's profile are to those of "
                         "the response, by word vectors; a proximity, whatever its name. Other vectors, other values.", CHO),
    "length": Metric("length", 1, "words per response", NEITHER, "compare with the references'.", _OURS),
    **{f"BLEU-{n}": Metric(f"BLEU-{n}", 2, "0 to 100", HIGHER, f"BLEU of n-grams up to {n}.",
                           "Papineni et al., 2002; sacrebleu") for n in (1, 2)},
    **{f"BLEU {side}": Metric(f"BLEU {side}", 2, "0 to 100", HIGHER, f"of N responses and the references of a context: the "
                              f"BLEU of each {one} and the nearest {other}, mean.", "Zhao et al., 2017")
       for side, one, other in (("precision", "response", "reference"), ("recall", "reference", "response"))},
    "embedding average": Metric("emb. average", 3, "cosine", HIGHER, "of the mean word vectors of response and reference.",
                                "Liu et al., 2016"),
    "embedding greedy": Metric("emb. greedy", 3, "cosine", HIGHER, "each word's nearest in the other text, mean of both "
                               "directions.", "Rus and Lintean, 2012"),
    "embedding extrema": Metric("emb. extrema", 3, "cosine", HIGHER, "of the extreme values of the words' vectors in each "
                                "dimension.", "Forgues et al., 2014"),
    "encoder F1": Metric("encoder F1", 2, "percent", HIGHER, "each token's nearest in the other text by vectors in context, "
                         "both directions averaged harmonically: BERTScore's F1 by the encoder that was given, neither "
                         "weighted nor rescaled.", "Zhang et al., 2020"),
    **{f"entropy-{n}": Metric(f"entropy-{n}", 3, "nats", NEITHER, f"entropy of the distribution of {n}-grams of all "
                              "responses; compare with the references', on the same test set only.", "Zhang et al., 2018")
       for n in (1, 2, 4)},
    "LM PPL": Metric("LM PPL", 1, "perplexity per token of that model", NEITHER, "of the responses under a language model "
                     "that was trained elsewhere; compare with the references'. Very common texts have the lowest.",
                     "Zhao et al., 2018"),
    "EAD": Metric("EAD", 3, "share", NEITHER, "distinct words over their expected number in a text of this length: as "
                  "dist-1, without its fall with length.", "Liu et al., 2022"),
    "self-BLEU": Metric("self-BLEU", 2, "0 to 100", LOWER, "BLEU of a response against all others of a random sample; "
                        "compare with the references'.", "Zhu et al., 2018"),
    "MAUVE": Metric("MAUVE", 3, "0 to 1", HIGHER, "how near the distribution of responses is to that of people's, by an "
                    "encoder; the references' is what people have with as many texts. Other encoders and other numbers of "
                    "texts have other values.", "Pillutla et al., 2021"),
    "C-score": Metric("C-score", 3, "sentences", HIGHER, "sentences of the speaker's own profile that a response entails, "
                      "less those that it contradicts, by a model of natural language inference. Another model, other "
                      "values.", "Madotto et al., 2019"),
    "DialogRPT": Metric("DialogRPT", 3, "probability", HIGHER, "how probably people prefer a response to its context, by a "
                        "model that was trained on their feedback. Compare with the references'; another model, other "
                        "values.", "Gao et al., 2020"),
}  # fmt: skip
PERPLEXITY, PER_WORD = "perplexity per token", "perplexity per word"
_PRIOR = "with all latents inferred from the context alone, as in use; the mean of several passes."
_REC = "with a latent of the posterior, which has seen the response: reconstruction, not prediction."
_ELBO = "the same with the KL added: an upper bound of the model's perplexity."
_WORDS = " Over words and one end per response, so that models of other subwords compare."
STATISTICS = {  # of latents and likelihoods, by their names in LatentStatistics
    "kl": Metric("KLD", 2, "nats per response", NEITHER, "how far the posterior, which has seen the response, lies from the "
                 "prior, which has not. 0 means collapse: the latent is not used. Decoding uses the prior, and far "
                 "from the posterior the decoder is on ground that it does not know.", SATO),
    "fader_kl": Metric("fader KL", 3, "nats per response", LOWER, "how far the fader that the context suggests lies from "
                       "the similarity of profile and response.", CHO),
    "au": Metric("AU", 0, "dimensions", NEITHER, "active units: latent dimensions whose posterior mean changes "
                 "with the response (variance above 0.01). 0 means collapse.", "Burda et al., 2016"),
    "mi": Metric("MI", 2, "nats", NEITHER, "how much the latent tells about which pair of context and response it belongs "
                 "to, estimated. It may exceed KLD, which counts only what the context does not tell. 0 means nothing; the "
                 "toss of a coin is 0.69.", "Hoffman and Johnson, 2016"),
    "marginal_kl": Metric("marginal KL", 2, "nats", LOWER, "KL of all posteriors together from the prior, KLD - MI, of "
                          "sentence VAEs. 0: samples of the prior are what the decoder was trained on.",
                          "Hoffman and Johnson, 2016"),
    "prior_ppl": Metric("prior PPL", 2, PERPLEXITY, LOWER, _PRIOR, CHO),
    "rec_ppl": Metric("rec PPL", 2, PERPLEXITY, LOWER, _REC, SATO),
    "elbo_ppl": Metric("elbo PPL", 2, PERPLEXITY, LOWER, _ELBO, "Bowman et al., 2016"),
    "iw_ppl": Metric("iw PPL", 2, PERPLEXITY, LOWER, "from several latents per response, weighted by their importance: a "
                     "tighter bound than elbo PPL, nearer to the model's perplexity.", "Burda et al., 2016"),
    "other_ppl": Metric("other PPL", 2, PERPLEXITY, NEITHER, "with the posterior of a stranger's profile.", _OURS),
    "prior_word_ppl": Metric("prior PPL/word", 2, PER_WORD, LOWER, _PRIOR + _WORDS, _OURS),
    "rec_word_ppl": Metric("rec PPL/word", 2, PER_WORD, LOWER, _REC + _WORDS, _OURS),
    "elbo_word_ppl": Metric("elbo PPL/word", 2, PER_WORD, LOWER, _ELBO + _WORDS, _OURS),
    "worth": Metric("worth", 3, "nats per response", HIGHER, "what the right profile saves over a stranger's, with half of "
                    "the 95 % interval over dialogues. 0 means nothing.", _OURS),
    "worth_over_prior": Metric("over prior", 3, "nats per response", HIGHER, "what the posterior of the right profile saves "
                               "over the prior, which reads the context.", _OURS),
    "context_worth": Metric("context worth", 3, "nats per response", HIGHER, "what its own context saves the reference over "
                            "the context of another dialogue, of like length, with latents of the prior and half of the "
                            "95 % interval over dialogues. 0 means that the model does not listen.", _OURS),
    "latent_worth": Metric("latent worth", 3, "nats per response", HIGHER, "what a latent of the response's posterior saves "
                           "over one of another response's, in the same context. 0 means that the latent tells nothing.",
                           _OURS),
}  # fmt: skip
OTHERS = {
    "to_other_profiles": Metric("to others", 3, "cosine", NEITHER, "P.Distance of the same responses and other people's "
                                "profiles: what any words are worth.", _OURS),
    "over_other_profiles": Metric("over others", 3, "cosine", HIGHER, "P.Distance to the right profile less that to other "
                                  "people's: 0 means that responses are no nearer to their partner than to anybody.", _OURS),
    "purity": Metric("5-NN purity", 3, "share", HIGHER, "profiles among the five nearest latents that are about the same.",
                     _OURS),
    "untrained": Metric("random weights", 3, "share", NEITHER, "5-NN purity of recognition networks with random weights.",
                        _OURS),
    "shuffled": Metric("labels shuffled", 3, "share", NEITHER, "5-NN purity against shuffled labels: chance.", _OURS),
    "hits@1": Metric("Hits@1", 2, "percent", HIGHER, "contexts whose right reply is ranked first among the candidates.",
                     "Dinan et al., 2019"),
    "hits@5": Metric("Hits@5", 2, "percent", HIGHER, "contexts whose right reply is among the first five.",
                     "Dinan et al., 2019"),
    "mrr": Metric("MRR", 4, "0 to 1", HIGHER, "mean reciprocal rank of the right reply.", "Voorhees, 1999"),
}  # fmt: skip
METRICS: dict[str, Metric] = SCORES | STATISTICS | OTHERS


class Detail(NamedTuple):
    """How a metric is computed, and what no value of it says."""

    formula: str
    cannot_tell: str


_BLIND = "whether a response answers its context"
_ONE_OF_MANY = "whether another response than the reference is good, too"
_FALLING = f"{_BLIND}; texts of unlike length do not compare"
_FIFTY = "what the other dialogues hold"
_ENCODER = "whether a response is true, consistent or polite; what the encoder does not see"
_TEACHER = "what the model says if it decodes by itself"
_BOUND = f"{_TEACHER}; models with other subwords do not compare"
_PER_WORD = f"{_TEACHER}; other ways of writing words do not compare"
_RANKED = "whether the model would say it"
_CHANCE = "anything by itself: a control"
_NATS, _TOKENS, _WORD_COUNT = "exp(Σ nats / Σ {})", "target tokens, ends included", "words, and one end per response"
IN_DETAIL = {
    "BLEU": Detail("BP · exp(¼ Σ_{n≤4} ln p_n), p_n clipped matches of the corpus, no smoothing", _ONE_OF_MANY),
    "dist-1": Detail("100 · distinct / all words", _FALLING),
    "dist-2": Detail("100 · distinct / all bigrams", _FALLING),
    "Distinct-1": Detail("distinct words / words", _FALLING),
    "Distinct-2": Detail("distinct bigrams / words", _FALLING),
    "dist-1@50": Detail("dist-1 of 50 dialogues", _FIFTY),
    "dist-2@50": Detail("dist-2 of 50 dialogues", _FIFTY),
    "Distinct-1@50": Detail("Distinct-1 of 50 dialogues", _FIFTY),
    "Distinct-2@50": Detail("Distinct-2 of 50 dialogues", _FIFTY),
    "inter-dist-1": Detail("mean over contexts of 100 · distinct / all words of N responses", _BLIND),
    "inter-dist-2": Detail("mean over contexts of 100 · distinct / all bigrams of N responses", _BLIND),
    "F1": Detail("mean of 100 · 2PR / (P + R) over words, the best reference", _ONE_OF_MANY),
    "relevance": Detail("mean of cos(r, c) − cos(r, c′), c′ a stranger's context", _ENCODER),
    "duplicates": Detail("100 · responses whose words another one has, too / responses", "whether repeating was right"),
    "gzip ratio": Detail("bytes / bytes of gzip -9", _FALLING),
    "P.Distance": Detail("mean over profile keywords of the largest cosine with a keyword of the response", _ENCODER),
    "length": Detail("words / responses", "anything else"),
    "BLEU-1": Detail("BP · p_1", f"{_ONE_OF_MANY}; order of words"),
    "BLEU-2": Detail("BP · √(p_1 p_2)", _ONE_OF_MANY),
    "BLEU precision": Detail("mean over responses of max over references of sentence BLEU", _ONE_OF_MANY),
    "BLEU recall": Detail("mean over references of max over responses of sentence BLEU",
                          "whether the other responses are bad"),
    "embedding average": Detail("cos(mean of r's vectors, mean of the reference's)", f"{_ONE_OF_MANY}; order of words"),
    "embedding greedy": Detail("½ (mean_i max_j cos + mean_j max_i cos)", f"{_ONE_OF_MANY}; order of words"),
    "embedding extrema": Detail("cos of the values farthest from 0 in each dimension", f"{_ONE_OF_MANY}; order of words"),
    "encoder F1": Detail("100 · 2PR / (P + R), P = mean_i max_j cos, R = mean_j max_i cos", _ONE_OF_MANY),
    **{f"entropy-{n}": Detail("−Σ f ln f over the n-grams' relative frequencies f", _FALLING) for n in (1, 2, 4)},
    "LM PPL": Detail("exp(Σ nats / Σ tokens, ends included)", f"{_BLIND}; dull texts and repetitions are cheap"),
    "EAD": Detail("D / (V (1 − ((V − 1) / V)^C)), D distinct of C words, V words of all that is compared", _BLIND),
    "self-BLEU": Detail("mean of sentence BLEU against all other responses of a sample of 200", _BLIND),
    "MAUVE": Detail("area under {(exp(−5 KL(Q ‖ R)), exp(−5 KL(P ‖ R)))}, R = λP + (1 − λ)Q, P and Q histograms of clusters",
                    _BLIND),
    "C-score": Detail("mean of Σ_j (1 if r entails p_j, −1 if it contradicts it, else 0), p_j of the profile",
                      f"{_BLIND}; what the judge does not know"),
    "DialogRPT": Detail("mean of σ(logit(c, r))", "whether a response is true or consistent; what the judge does not know"),
    "kl": Detail("mean of KL(q(z|c, r) ‖ p(z|c))", "whether the decoder reads the latent"),
    "fader_kl": Detail("mean of the KL of the fader", "whether the decoder obeys the fader"),
    "au": Detail("dimensions whose posterior mean has a variance > 0.01", "what the dimensions are about"),
    "mi": Detail("mean of ln q(z|c, r) − ln (1/N) Σ q(z|c_i, r_i)", "more than ln N nats; whether the decoder reads it"),
    "marginal_kl": Detail("KL − MI", "more than MI does: it is too large where MI nears ln N nats"),
    "prior_ppl": Detail(_NATS.format(_TOKENS) + ", z ~ p(z|c)", _BOUND),
    "rec_ppl": Detail(_NATS.format(_TOKENS) + ", z ~ q(z|c, r)", f"prediction: z has seen the response; {_BOUND}"),
    "elbo_ppl": Detail("exp(Σ (nats + KL) / Σ target tokens)", f"how far the bound is from the truth; {_BOUND}"),
    "iw_ppl": Detail("exp(−Σ ln (1/K) Σ_k p(r|c, z_k) p(z_k|c) / q(z_k|c, r) / Σ target tokens)", _BOUND),
    "other_ppl": Detail(_NATS.format(_TOKENS) + ", z ~ q(z|a stranger's profile)", _BOUND),
    "prior_word_ppl": Detail(_NATS.format(_WORD_COUNT) + ", z ~ p(z|c)", _PER_WORD),
    "rec_word_ppl": Detail(_NATS.format(_WORD_COUNT) + ", z ~ q(z|c, r)",
                           f"prediction: z has seen the response; {_PER_WORD}"),
    "elbo_word_ppl": Detail("exp(Σ (nats + KL) / Σ words and ends)", f"how far the bound is from the truth; {_PER_WORD}"),
    "worth": Detail("mean of nats with z of a stranger's profile − of the right one", _TEACHER),
    "worth_over_prior": Detail("mean of nats with z of the prior − of the right profile", _TEACHER),
    "context_worth": Detail("mean of nats given c′ − given c, z ~ p(z|c′) and p(z|c), the same noise", _TEACHER),
    "latent_worth": Detail("mean of nats with z ~ q(z|c, r′) − with z ~ q(z|c, r), the same noise",
                           "whether decoding, which has no r, gets such a z"),
    "to_other_profiles": Detail("P.Distance with the profile of the pair half a test set away", _CHANCE),
    "over_other_profiles": Detail("P.Distance − to others", "whether what is near comes of the context or of the profile"),
    "purity": Detail("same label among the five nearest / 5", "whether responses show it"),
    "untrained": Detail("5-NN purity of untrained networks", _CHANCE),
    "shuffled": Detail("5-NN purity after shuffling the labels", _CHANCE),
    "hits@1": Detail("100 · contexts with rank 1 / contexts", _RANKED),
    "hits@5": Detail("100 · contexts with rank ≤ 5 / contexts", _RANKED),
    "mrr": Detail("mean of 1 / rank", _RANKED),
}  # fmt: skip
