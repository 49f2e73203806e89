"""The GRU sentence VAE: against plain torch, with and without pads, and its latent's way into decoding."""

import pytest
import torch
from fairseq.sequence_generator import SequenceGenerator

from fairseq_latent.errors import InputError
from fairseq_latent.gaussian import seeded_noise
from fairseq_latent.modules.recurrent import DecodedSentence
from fairseq_latent.text.vocabulary import digest

from ..helpers.tiny import build_criterion, build_model, gradients, sentence_batch, sentences, widened

NO_DROPOUT = {"dropout_in": 0.0, "dropout_out": 0.0}
SHAPES = (
    {},
    {"bidirectional": True},
    {"encoder_layers": 2, "decoder_layers": 3, "bidirectional": True},
    {"encoder_pooling": "mean", "bidirectional": True},
    {"encoder_pooling": "max", "encoder_layers": 2},
)


def model_of(text_task, **changes):
    torch.manual_seed(1)
    return build_model(text_task, "gru_vae_tiny", **changes)


def by_sentence(model, sample, row: int):
    """One sentence through plain torch, a word at a time: (mean, logvar), a function z -> logits (T, V)."""
    encoder, decoder = model.encoder, model.decoder
    length = int(sample["target"][row].ne(1).sum())
    tokens = sample["net_input"]["src_tokens"][row]
    tokens = tokens[tokens.ne(1)].unsqueeze(0)
    states, last = encoder.gru(encoder.embed_tokens(tokens))
    directions = 2 if encoder.gru.bidirectional else 1
    pooled = {
        "last": torch.cat(list(last[-directions:]), dim=-1),
        "mean": states.sum(1) / length,
        "max": states.amax(1),
    }
    mean, logvar = encoder.posterior_net(pooled[encoder.pooling]).chunk(2, -1)

    def logits(z):
        layers, size = decoder.gru.num_layers, decoder.gru.hidden_size
        hidden = decoder.first_state(z).view(layers, 1, size)
        rows = []
        for token in sample["net_input"]["prev_output_tokens"][row][:length]:
            state, hidden = decoder.gru(torch.cat([decoder.embed_tokens(token), z]).view(1, 1, -1), hidden)
            rows.append(decoder.output_projection(state.view(-1)))
        return torch.stack(rows)

    return (mean[0], logvar[0]), logits


# --- the model -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("widen", [False, True])
def test_a_batch_is_its_sentences_one_by_one(text_task, shape, widen):
    """Posterior, NLL and KL against plain torch; more pads change nothing."""
    model, sample = model_of(text_task, **shape).eval(), sentence_batch(text_task)
    padded = widened(text_task, sample) if widen else sample
    with torch.no_grad():
        logits, extra = model(**padded["net_input"], target=padded["target"])
        latent, start = extra["latent"], 0
        for row in range(len(sample["target"])):
            (mean, logvar), decode = by_sentence(model, sample, row)
            torch.testing.assert_close(latent.posterior.mean[row], mean, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(latent.posterior.logvar[row], logvar, rtol=1e-4, atol=1e-5)
            expected = decode(latent.z[row])
            torch.testing.assert_close(logits[start : start + len(expected)], expected, rtol=1e-4, atol=1e-5)
            start += len(expected)
        assert start == len(logits) == sample["ntokens"]
    assert torch.equal(latent.prior.mean, torch.zeros(5, 8)) and torch.equal(latent.prior.stddev, torch.ones(5, 8))


def test_sizes_are_those_of_the_flags(text_task):
    model = build_model(text_task, "gru_vae")
    assert model.encoder.gru.hidden_size == model.decoder.gru.hidden_size == 512
    assert model.encoder.embed_tokens.embedding_dim == model.decoder.embed_tokens.embedding_dim == 256
    assert model.latent_dim == 32 and model.decoder.gru.input_size == 256 + 32
    assert build_model(text_task, "gru_vae_small").decoder.gru.hidden_size == 256


def test_pads_are_never_projected_to_the_vocabulary(text_task):
    model, sample = model_of(text_task), sentence_batch(text_task)
    rows = []
    model.decoder.output_projection.register_forward_hook(lambda module, args, out: rows.append(out.size(0)))
    model(**sample["net_input"], target=sample["target"])
    assert rows == [sample["ntokens"]] and sample["target"].numel() > sample["ntokens"]


def test_word_dropout_reads_unknown_words_in_training_alone(text_task):
    model, sample = model_of(text_task, word_dropout=0.7, **NO_DROPOUT), sentence_batch(text_task, (40,) * 20)
    read = []
    model.decoder.embed_tokens.register_forward_hook(lambda module, args, out: read.append(args[0]))
    previous = sample["net_input"]["prev_output_tokens"]
    model(**sample["net_input"], target=sample["target"])
    unknown = read[0].eq(text_task.dictionary.unk())
    assert not unknown[:, 0].any() and 0.65 < unknown[:, 1:].float().mean() < 0.75  # 800 draws, sigma 0.016
    assert torch.equal(read[0][~unknown], previous[~unknown])
    model.eval()(**sample["net_input"], target=sample["target"])
    assert torch.equal(read[1], previous)


# --- best of K -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_latents_are_scored_as_they_are_decoded(text_task, dropout):
    """nll(z) is the cross-entropy of logits(z), with the same words and units dropped."""
    model, sample = model_of(text_task, dropout_in=dropout, dropout_out=dropout, word_dropout=dropout), None
    sample = sentence_batch(text_task)
    decoded = DecodedSentence(model.decoder, sample["net_input"]["prev_output_tokens"], sample["target"])
    z = torch.randn(3, 5, 8)
    nll = decoded.nll(z)
    logits = decoded.logits(z)
    assert logits.shape == (3, sample["ntokens"], len(text_task.dictionary)) and not nll.requires_grad
    token = torch.nn.functional.cross_entropy(logits.transpose(1, 2), decoded.words.expand(3, -1), reduction="none")
    sentence = sample["target"].ne(1).nonzero()[:, 0]
    expected = torch.zeros(3, 5).index_add(1, sentence, token)
    torch.testing.assert_close(nll, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(decoded.nll(z[1]), nll[1])
    torch.testing.assert_close(decoded.logits(z[1]), logits[1])


def test_scoring_holds_few_latents_at_once(text_task, monkeypatch):
    from fairseq_latent.modules import recurrent

    model, sample = model_of(text_task).eval(), sentence_batch(text_task)
    decoded = DecodedSentence(model.decoder, sample["net_input"]["prev_output_tokens"], sample["target"])
    z, rows = torch.randn(7, 5, 8), []
    together = decoded.nll(z)
    run = model.decoder.run
    monkeypatch.setattr(
        model.decoder, "run", lambda embedded, *rest: rows.append(len(embedded)) or run(embedded, *rest)
    )
    monkeypatch.setattr(recurrent, "ROWS", 10)
    torch.testing.assert_close(decoded.nll(z), together, rtol=1e-5, atol=1e-5)
    assert rows == [10, 10, 10, 5]


def test_the_best_of_k_is_the_loop_over_k(text_task):
    model, sample = model_of(text_task).eval(), sentence_batch(text_task)
    net_input = sample["net_input"]
    logits, extra = model(**net_input, target=sample["target"], num_latents=6)
    noise = seeded_noise(net_input["noise_seed"], 7, 8)[:, :6].unbind(1)
    _, posterior, decoded = model.distributions(
        net_input["src_tokens"], net_input["prev_output_tokens"], sample["target"]
    )
    nll = torch.stack([decoded.nll(posterior.rsample(each)) for each in noise])
    assert torch.equal(extra["latent"].chosen, nll.argmin(0))
    assert len(set(extra["latent"].chosen.tolist())) > 1
    best = torch.stack([posterior.rsample(noise[k])[row] for row, k in enumerate(nll.argmin(0).tolist())])
    torch.testing.assert_close(extra["latent"].z, best)
    torch.testing.assert_close(logits, decoded.logits(best))


def test_bfloat16_autocast_leaves_the_gaussian_alone(text_task):
    model, sample = model_of(text_task, **NO_DROPOUT), sentence_batch(text_task)
    plain = build_criterion(text_task, "elbo")
    low = build_criterion(text_task, "elbo", autocast="bfloat16")
    losses = {}
    for name, criterion in (("float32", plain), ("bfloat16", low)):
        torch.manual_seed(2)
        model.zero_grad()
        loss, _, log = criterion(model, sample)
        loss.backward()
        losses[name] = loss.item()
        assert loss.dtype == torch.float32 and all(g.isfinite().all() for g in gradients(model).values())
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)
    assert losses["bfloat16"] != losses["float32"]


# --- decoding --------------------------------------------------------------------------------------------------------


def drawn(model, sample, **keywords):
    net_input = {name: value for name, value in sample["net_input"].items() if name != "prev_output_tokens"}
    return model.encoder(**net_input, **keywords)["latent"][0]


def test_where_the_latent_comes_from(text_task):
    model, sample = model_of(text_task).eval(), sentence_batch(text_task)
    noise = seeded_noise(sample["net_input"]["noise_seed"], 1, 8)[:, 0]
    posterior = model.encoder.posterior(sample["net_input"]["src_tokens"])
    assert torch.equal(drawn(model, sample), noise)  # N(0, I), whatever the sentence
    assert not drawn(model, sample, latent_mean=True).any()
    torch.testing.assert_close(drawn(model, sample, reconstruct=True), posterior.rsample(noise))
    torch.testing.assert_close(drawn(model, sample, reconstruct=True, latent_mean=True), posterior.mean)
    given = torch.randn(5, 8)
    assert drawn(model, sample, latent=given) is given


def test_several_latents_read_a_sentence_once(text_task):
    model, sample = model_of(text_task).eval(), sentence_batch(text_task)
    read = []
    model.encoder.embed_tokens.register_forward_hook(lambda module, args, out: read.append(len(args[0])))
    repeated = {
        name: value.repeat_interleave(3, dim=0)
        for name, value in sample["net_input"].items()
        if name != "prev_output_tokens"
    }
    z = model.encoder(**repeated, num_latents=3, reconstruct=True)["latent"][0]
    assert read == [5] and len({tuple(row.tolist()) for row in z}) == 15
    torch.testing.assert_close(z[::3], drawn(model, sample, reconstruct=True))


def test_without_seeds_nothing_is_drawn(text_task):
    model, sample = model_of(text_task).eval(), sentence_batch(text_task)
    with pytest.raises(InputError, match="no noise seeds to sample latents; remedy: --task text_vae"):
        model.encoder(sample["net_input"]["src_tokens"])


@pytest.mark.parametrize("shape", SHAPES)
def test_incremental_decoding_equals_full_decoding(text_task, shape):
    """Also after beams were put in another order."""
    model, sample = model_of(text_task, **shape).eval(), sentence_batch(text_task, (6, 6, 6))
    out = {"latent": [drawn(model, sample, reconstruct=True)]}
    previous = sample["net_input"]["prev_output_tokens"]
    order, state = torch.tensor([2, 0, 0]), {}
    with torch.no_grad():
        for step in range(1, previous.size(1) + 1):
            if step == 4:
                previous, out = previous[order], model.encoder.reorder_encoder_out(out, order)
                model.decoder.reorder_incremental_state_scripting(state, order)
            full, _ = model.decoder(previous[:, :step], encoder_out=out)
            logits, _ = model.decoder(previous[:, :step], encoder_out=out, incremental_state=state)
            assert logits.size(1) == 1
            torch.testing.assert_close(logits[:, 0], full[:, -1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("beam", [1, 3])
def test_beams_equal_a_search_without_a_cache(text_task, beam):
    """Greedy search by hand; a wider beam never finds less."""
    model, sample = model_of(text_task).eval(), sentence_batch(text_task)
    generator = SequenceGenerator(
        [model], text_task.dictionary, beam_size=beam, max_len_a=0, max_len_b=7, normalize_scores=False
    )
    found = generator.generate([model], sample)
    z = drawn(model, sample)
    for row in range(5):
        tokens, score = [2], 0.0
        while len(tokens) <= 8:
            logits, _ = model.decoder(torch.tensor([tokens]), encoder_out={"latent": [z[row : row + 1]]})
            scores = logits[0, -1].log_softmax(-1)
            scores[[1, *([] if len(tokens) > 1 else [2])]] = -float("inf")  # no pad, and an end only after a word
            best = 2 if len(tokens) == 8 else int(scores.argmax())
            score += float(scores[best])
            tokens.append(best)
            if best == 2:
                break
        if beam == 1:
            assert found[row][0]["tokens"].tolist() == tokens[1:]
        assert float(found[row][0]["score"]) >= score - 1e-4


# --- refusals --------------------------------------------------------------------------------------------------------


def test_a_sentence_vae_needs_its_task(task, text_task):
    with pytest.raises(InputError, match="gru_vae reads one sentence.*remedy: --task text_vae"):
        build_model(task, "gru_vae_tiny")
    for arch in ("t_cvae_tiny", "t_spacefusion_tiny"):
        with pytest.raises(InputError, match="as its own context.*remedy: --arch gru_vae"):
            build_model(text_task, arch)


@pytest.mark.parametrize(
    "flags", [{"dropout_in": 1.0}, {"word_dropout": -0.1}, {"latent_dim": 0}, {"decoder_layers": 0}]
)
def test_sizes_that_no_model_can_have_are_refused(text_task, flags):
    with pytest.raises(InputError, match=f"--{next(iter(flags)).replace('_', '-')} .*; remedy: "):
        build_model(text_task, "gru_vae_tiny", **flags)


def test_training_needs_a_target(text_task):
    model, sample = model_of(text_task), sentence_batch(text_task)
    with pytest.raises(InputError, match="remedy: --criterion elbo"):
        model(**sample["net_input"])


def test_a_checkpoint_comes_with_its_words_and_its_head(text_task):
    trained, built = model_of(text_task), model_of(text_task)
    trained.add_bow_head(5)
    built.load_state_dict(trained.state_dict(), strict=True)
    assert torch.equal(built.bow_head[0].weight, trained.bow_head[0].weight)
    state = text_task.state_dict()
    text_task.load_state_dict(state)
    text_task.load_state_dict({})  # older than this state
    with pytest.raises(InputError, match="another dictionary"):
        text_task.load_state_dict({**state, "dictionary_digest": state["dictionary_digest"] + 1})


def test_an_older_checkpoint_has_its_words_among_its_weights(text_task):
    """The buffer `dictionary_digest`, 63 bits."""
    model = model_of(text_task)
    of_words = torch.tensor(digest(text_task.dictionary))
    model.load_state_dict({**model.state_dict(), "dictionary_digest": of_words}, strict=True)
    with pytest.raises(InputError, match="another dictionary"):
        model.load_state_dict({**model.state_dict(), "dictionary_digest": of_words + 1}, strict=True)


def test_seeds_belong_to_sentences(text_task):
    """Validation does not depend on the batch."""
    model, data = model_of(text_task).eval(), sentences(text_task)
    together = data.collater([data[index] for index in range(5)])
    _, extra = model(**together["net_input"], target=together["target"])
    for row, index in enumerate(together["id"].tolist()):
        alone = data.collater([data[index]])
        _, of_one = model(**alone["net_input"], target=alone["target"])
        torch.testing.assert_close(of_one["latent"].z[0], extra["latent"].z[row], rtol=1e-4, atol=1e-5)
