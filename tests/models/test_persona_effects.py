"""What a small persona CVAE learns of a corpus whose truth is known: its profiles' topics, and when to take them up.

One training of a minute, for all tests. Chance is one topic in six.
"""

import importlib.util

import pytest
import torch

from fairseq_latent.cli import main
from fairseq_latent.evaluation.analysis.checkpoint import load
from fairseq_latent.evaluation.analysis.sweep import read_sweep

from ..helpers import personas, programs

if importlib.util.find_spec("transformers") is None:
    pytest.skip("transformers is not installed", allow_module_level=True)

pytestmark = pytest.mark.slow
SMALL = (
    *("--embed-dim", "32", "--layers", "2", "--latent-encoder-layers", "1", "--latent-encoder-ffn-dim", "64"),
    *("--dropout", "0", "--attention-dropout", "0", "--latent-encoder-dropout", "0"),
)
# the KL of Zp weighs little: the corpus is small, and the decoder could do with the context alone
# without clipping, what is learnt when depends on how sums are rounded
TRAINING = ("--lr", "0.002", "--clip-norm", "5", "--batch-size", "32", "--max-update", "1100", "--max-epoch", "100")
TRAINING += ("--kl-weight", "0.1")
QUIETLY = ("--log-interval", "500", "--no-epoch-checkpoints", "--disable-validation")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """(data folder, examples of test)"""
    text, data = tmp_path_factory.mktemp("text"), tmp_path_factory.mktemp("data")
    splits = personas.write(text, {"train": 1500, "valid": 20, "test": 300})
    personas.binarise(text, data)
    return data, splits["test"]


@pytest.fixture(scope="module")
def checkpoint(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    flags = ("--task", "persona_dialogue", *SMALL, *TRAINING, *QUIETLY)
    programs.fit(corpus[0], folder, *flags, arch="persona_cvae_gpt2_tiny", criterion="podi_elbo")
    return folder / "checkpoint_last.pt"


@pytest.fixture(scope="module")
def inferred(corpus, checkpoint):
    """(means of q(Zp|P), means of p(Zp|C), the example of each row)"""
    trained = load(checkpoint, corpus[0], "test", cpu=True)
    batch = trained.examples(list(range(len(corpus[1]))))
    encoder, inputs = trained.model.encoder, batch["net_input"]
    with torch.no_grad():
        posterior = encoder.latents.posterior(encoder.embedding.profile(inputs["partner_tokens"]), encoder.embedding)
        prior = encoder.prior(encoder.embedding.context(inputs["src_tokens"], with_end=True))
    return posterior.mean, prior.mean, [corpus[1][index] for index in batch["id"].tolist()]


def purity(queries, keys, topics_of_queries, topics):
    """Of the five nearest keys of each query, the share with its topic; itself is none of them."""
    distances = torch.cdist(queries, keys)
    if queries is keys:
        distances.fill_diagonal_(torch.inf)
    nearest = distances.topk(5, largest=False).indices.tolist()
    found = [topics[key] == topic for row, topic in zip(nearest, topics_of_queries, strict=True) for key in row]
    return sum(found) / len(found)


def test_profiles_lie_together_by_topic(inferred):
    means, _, rows = inferred
    topics = [row.topic for row in rows]
    assert purity(means, means, topics, topics) > 0.6
    shuffled = topics[1:] + topics[:1]
    assert purity(means, means, shuffled, topics) < 0.3


def test_the_prior_finds_the_persona_from_the_context_alone(inferred):
    """Where the partner let something slip."""
    means, priors, rows = inferred
    told = [index for index, row in enumerate(rows) if set(row.context.split()) & set(personas.TOPICS[row.topic])]
    assert len(told) > 150
    topics = [row.topic for row in rows]
    assert purity(priors[told], means, [topics[index] for index in told], topics) > 0.6


def test_the_fader_says_how_much_of_the_persona_is_taken_up(corpus, checkpoint):
    data, rows = corpus
    sampled = ("--sampling", "--sampling-topk", "4", "--sampling-topp", "0.8", "--beam", "1", "--max-len-a", "0")

    def share(fader):
        flags = (*sampled, "--max-len-b", "12", "--batch-size", "100", "--fader", fader)
        said = programs.decode(data, checkpoint, "--task", "persona_dialogue", *flags).hypotheses()
        return sum(
            bool(set(text.split()) & set(personas.TOPICS[rows[int(n)].topic])) for n, (text,) in said.items()
        ) / len(rows)

    assert share("0") < 0.1
    assert share("1") > 0.5


def test_p_distance_rises_with_the_fader(corpus, checkpoint, tmp_path):
    """`fairseq-latent sweep` with word vectors that are near within a topic, and only there."""
    words = [(topic, word) for topic, found in enumerate(personas.TOPICS.values()) for word in found]
    size = len(personas.TOPICS) + len(words)
    lines = [f"{len(words)} {size}"]
    for place, (topic, word) in enumerate(words):
        vector = [0.0] * size
        vector[topic] = vector[len(personas.TOPICS) + place] = 1.0
        lines.append(" ".join([word, *map(str, vector)]))
    (tmp_path / "own.vec").write_text("\n".join(lines) + "\n")
    flags = [
        "--vectors",
        tmp_path / "own.vec",
        "--steps",
        "4",
        "--seeds",
        "1",
        "--max-length",
        "12",
        "--format",
        "json",
    ]
    out = tmp_path / "sweep.json"
    assert main(["sweep", str(corpus[0]), "--path", str(checkpoint), "--cpu", "--out", str(out), *map(str, flags)]) == 0
    found = read_sweep(out)
    assert found.mean(0, "p_distance") < 0.1 < 0.3 < found.mean(1, "p_distance")
    assert found.correlation("p_distance")[0] > 0.5  # training has faders of 0 and 1 alone: a step, then no more
    assert found.mean(1, "p_distance") > found.mean(1, "to_others") + 0.2
