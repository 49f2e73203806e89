"""The Python interface on every architecture that decodes, against the programs that do the same from the command line."""

import math

import numpy as np
import pytest

import fairseq_latent
from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.analysis.checkpoint import distributions
from fairseq_latent.evaluation.analysis.latents import statistics
from fairseq_latent.selection import DecodedTarget

from .helpers import programs, speakers

DIALOGUE = ("t_cvae_tiny", "t_spacefusion_tiny", "hred_tiny", "vhred_tiny", "rnn_cvae_tiny")
OF_PERSONAS = ("persona_cvae_gpt2_tiny", "dialogpt_tiny", "transfertransfo_tiny", "p2bot_transmitter_tiny")
WITHOUT_LATENT = ("hred_tiny", "dialogpt_tiny", "transfertransfo_tiny", "p2bot_transmitter_tiny")
CONTEXTS = [["do you like tea ?", "i do not ."], "hello", ["what did you see ?"]]


@pytest.fixture(scope="module")
def of_speakers(tmp_path_factory):
    """Text and data folder of a corpus with both profiles."""
    text, data = tmp_path_factory.mktemp("text"), tmp_path_factory.mktemp("data")
    speakers.write(text, {"train": 12, "valid": 3, "test": 3})
    speakers.binarise(text, data)
    return text, data


@pytest.fixture(scope="module")
def models(data_bin, sentences_bin, of_speakers, tmp_path_factory):
    """Architecture -> its model after two updates, each trained when it is asked for."""
    made = {}

    def model(arch):
        if arch not in made:
            folder = tmp_path_factory.mktemp(arch)
            task, data, criterion = "dialogue", data_bin, "elbo"
            if arch in OF_PERSONAS:
                task, data = "persona_dialogue", of_speakers[1]
                criterion = "double_heads" if arch.startswith(("transfertransfo", "p2bot")) else "elbo"
            elif arch.startswith("gru_vae"):
                task, data = "text_vae", sentences_bin
            programs.fit(data, folder, "--task", task, "--max-update", "2", arch=arch, criterion=criterion)
            made[arch] = folder, data
        folder, data = made[arch]
        return fairseq_latent.load(folder, cpu=True), folder, data

    return model


def persona_of(arch, count):
    if arch.startswith(("transfertransfo", "p2bot")):
        return {"personas": [["i like my dog", "i really love my cat"]] * count}
    return {"profiles": [["i like my dog"]] * count, "similarity": [0.5] * count} if arch.startswith("persona") else {}


def same(found, expected):
    """The same texts, and faders but for rounding."""
    pairs = [(one, other) for each in zip(found, expected, strict=True) for one, other in zip(*each, strict=True)]
    return all(one.text == other.text and one.fader == pytest.approx(other.fader, abs=1e-5) for one, other in pairs)


@pytest.mark.parametrize("arch", (*DIALOGUE, *OF_PERSONAS, "gru_vae_tiny"))
def test_every_architecture_replies_scores_and_shows_its_latents(models, arch):
    model, _, _ = models(arch)
    replies = model.reply(CONTEXTS, n=2, max_length=5)
    assert [len(each) for each in replies] == [2, 2, 2]
    assert all(isinstance(reply.text, str) for each in replies for reply in each)
    assert all((reply.fader is None) == (arch != "persona_cvae_gpt2_tiny") for each in replies for reply in each)
    assert same(model.reply(CONTEXTS[::-1], n=2, max_length=5), replies[::-1])
    assert same(model.reply(CONTEXTS[1:2], n=2, max_length=5), replies[1:2])
    found = model.score(CONTEXTS, ["no", "i do", "a cat"], prior_samples=2, importance_samples=3, **persona_of(arch, 3))
    for values in (found.nll, found.kl, found.prior_nll, found.importance_weighted):
        assert values.shape == (3,) and np.isfinite(values).all() and (values >= -1e-6).all()
    if arch in WITHOUT_LATENT:
        np.testing.assert_allclose(found.nll, found.prior_nll, rtol=1e-4)
        assert (found.kl == 0).all()
        with pytest.raises(InputError, match="no latent"):
            model.latents(CONTEXTS)
        return
    alone = model.latents(CONTEXTS)
    both = model.latents(CONTEXTS, ["no", "i do", "a cat"], **persona_of(arch, 3))
    np.testing.assert_allclose(alone.prior_mean, both.prior_mean, atol=1e-5)
    assert (
        both.posterior_mean.shape
        == both.posterior_logvar.shape
        == both.prior_mean.shape
        == (3, both.prior_mean.shape[1])
    )
    kl = 0.5 * (
        both.prior_logvar
        - both.posterior_logvar
        + (np.exp(both.posterior_logvar) + (both.posterior_mean - both.prior_mean) ** 2) / np.exp(both.prior_logvar)
        - 1
    ).sum(1)
    if arch != "persona_cvae_gpt2_tiny":  # which has a second latent
        np.testing.assert_allclose(found.kl, kl, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("arch", (*DIALOGUE, *OF_PERSONAS, "gru_vae_tiny"))
def test_every_decoded_target_keeps_the_contract(models, arch):
    model, _, _ = models(arch)
    (batch,) = model._pairs(["hello", "do you like tea ?"], ["i do", "no"], **persona_of(arch, 2))
    prior, posterior, decoded = distributions(model.trained.model, batch)
    assert isinstance(decoded, DecodedTarget)
    target = batch["target"]
    assert decoded.words.tolist() == target[target.ne(model.trained.task.target_dictionary.pad())].tolist()
    z = posterior.rsample()
    logits = decoded.logits(z)
    own = -logits.log_softmax(-1).gather(-1, decoded.words.unsqueeze(-1)).squeeze(-1)
    lengths = target.ne(model.trained.task.target_dictionary.pad()).sum(1).tolist()
    summed = [part.sum().item() for part in own.split(lengths)]
    assert decoded.nll(z).tolist() == pytest.approx(summed, rel=1e-3)
    assert not decoded.nll(z).requires_grad


def test_replies_are_those_of_fairseq_interactive(models):
    model, folder, data = models("t_cvae_tiny")
    lines = ["do you like tea", "hello", "i do not"]
    flags = ("--beam", "2", "--max-len-a", "0", "--max-len-b", "6", "--latent-samples", "2", "--seed", "1", "--cpu")
    where = ("--path", folder / "checkpoint_best.pt", "--num-workers", "0")
    printed = programs.run(
        "fairseq-interactive", data, *programs.PLUG_IN, *where, *flags, stdin="\n".join(lines) + "\n"
    )
    found = model.reply(lines, n=2, seed=1, beam=2, max_length=6)
    assert [[reply.text for reply in each] for each in found] == list(printed.hypotheses().values())


@pytest.mark.parametrize("arch", ["t_cvae_tiny", "gru_vae_tiny"])
def test_scores_are_those_of_the_command(models, text, arch):
    model, folder, data = models(arch)
    split = statistics(
        str(folder / "checkpoint_best.pt"), str(data), "valid", cpu=True, importance_samples=4, prior_samples=2
    )
    lines = {side: (text / f"valid.{side}").read_text().splitlines() for side in ("src", "tgt")}
    contexts = lines["src"] if arch == "t_cvae_tiny" else lines["tgt"]
    found = model.score(contexts, lines["tgt"], prior_samples=2, importance_samples=4)
    assert found.tokens.sum() == split.tokens
    assert found.kl.mean() == pytest.approx(split.kl, rel=1e-4)
    assert math.exp(found.nll.sum() / split.tokens) == pytest.approx(split.rec_ppl, rel=1e-4)
    assert math.exp(found.importance_weighted.sum() / split.tokens) == pytest.approx(split.iw_ppl, rel=1e-4)


def test_without_a_latent_beam_search_gives_the_best_ones(models):
    model, _, _ = models("hred_tiny")
    (replies,) = model.reply(["hello"], n=2, beam=3, max_length=5)
    assert len({reply.text for reply in replies}) == 2
    with pytest.raises(InputError, match="remedy: beam 3"):
        model.reply(["hello"], n=3, beam=2)


def test_the_fader_and_the_seed_decide(models):
    model, _, _ = models("persona_cvae_gpt2_tiny")
    ((reply,),) = model.reply(["hello there"], n=1, fader=0.25)
    assert reply.fader == pytest.approx(0.25, abs=1e-3)
    one, other = (model.reply(["hello there"], n=3, seed=seed) for seed in (1, 2))
    assert one != other and one == model.reply(["hello there"], n=3, seed=1) == model.reply(["hello there"], n=3)


def test_an_own_persona_is_read(models):
    model, _, _ = models("transfertransfo_tiny")
    sentences = ["i really love my dog", "my cat means a lot to me"]
    given = {"personas": [sentences]}, {"personas": [["i love my pizza"]]}
    one, other = (model.score(["hello there"], ["i am well"], **each).nll for each in given)
    assert one != other
    assert model.reply(["hello there"], persona=sentences) == model.reply(["hello there"], persona="\n".join(sentences))


def test_what_it_cannot_do_is_said(models, tmp_path):
    model, folder, data = models("t_cvae_tiny")
    for call, said in (
        (lambda: model.reply("hello"), "remedy: a list of contexts"),
        (lambda: model.reply(["hello"], fader=0.5), "has no fader"),
        (lambda: model.reply(["hello"], persona="i like tea"), "reads no persona"),
        (lambda: model.reply(["hello"], n=0), "n 0; remedy: 1 or more"),
        (lambda: model.score(["hello"], []), "1 contexts and 0 responses"),
        (lambda: model.score(["hello"], ["tea"], profiles=[["x"]]), "does not read profiles"),
        (lambda: model.score(["hello"], ["tea " * 2000]), "pair 0 has .* tokens, the model takes"),
        (lambda: fairseq_latent.load(tmp_path), "no such checkpoint"),
        (lambda: fairseq_latent.load(folder, tmp_path / "none"), "no such folder"),
    ):
        with pytest.raises(InputError, match=said):
            call()
    persona, _, _ = models("persona_cvae_gpt2_tiny")
    with pytest.raises(InputError, match="reads profiles and similarity, too"):
        persona.score(["hello there"], ["i am well"])
    with pytest.raises(InputError, match="1 profiles of 2 contexts"):
        persona.score(["hello there"] * 2, ["i am well"] * 2, profiles=[["x"]], similarity=[1, 1])
