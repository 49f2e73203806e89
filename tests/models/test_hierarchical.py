"""HRED, VHRED and the CVAE of Zhao et al. (2017): beside the references' numbers, beside plain loops, and without pads."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from fairseq.data import Dictionary
from fairseq.models import MODEL_DATACLASS_REGISTRY
from torch import nn

from fairseq_latent.errors import InputError
from fairseq_latent.gaussian import DiagonalGaussian, LatentOutput, seeded_noise
from fairseq_latent.losses import bow_nll, sequence_nll
from fairseq_latent.modules.hierarchical.turns import Ragged, TurnReader
from fairseq_latent.schedules import KLSchedule
from fairseq_latent.symbols import BOS, EOS, PAD, UNK
from fairseq_latent.tasks.dialogue import DialogueConfig, DialogueTask

from ..helpers.tiny import build_criterion, build_model, gradients, widened
from .hierarchical_cases import ARCHS, LATENT, SHAPES, batch, model_of, task_of, texts

ORACLES = Path(__file__).parents[1] / "oracles"
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def oracle(name: str) -> dict:
    return json.loads((ORACLES / f"{name}.json").read_text())


def cases(name: str) -> list:
    return [pytest.param(case, id=case["name"]) for case in oracle(name)["cases"]]


@pytest.fixture
def task():
    return task_of()


# --- the references' numbers -----------------------------------------------------------------------------------------


def of_oracle(sizes: dict, symbols: dict) -> tuple[DialogueTask, list[int]]:
    """A task of as many words, and our id of each of theirs; <eot> is a word of ours alone."""
    words = Dictionary()
    ours = {BOS: words.bos(), PAD: words.pad(), EOS: words.eos(), UNK: words.unk()}
    of_theirs = {theirs: ours[symbol] for symbol, theirs in symbols.items()}
    for number in range(sizes["vocabulary"]):
        if number not in of_theirs:
            of_theirs[number] = words.add_symbol(f"word{number}")
    words.add_symbol("<eot>")
    config = DialogueConfig(data="nowhere", seed=1, update_freq=[1], best_checkpoint_metric="au")
    return DialogueTask(config, words, words), [of_theirs[number] for number in range(sizes["vocabulary"])]


def fill(gru: nn.GRU, *directions: dict) -> None:
    for direction, weights in zip(("", "_reverse"), directions, strict=False):
        for name, values in weights.items():
            getattr(gru, f"{name}_l0{direction}").data.copy_(torch.tensor(values, dtype=torch.float64))


@pytest.mark.parametrize("case", cases("hred"))
def test_hred_has_the_states_logits_and_losses_of_the_reference(case):
    given, expected = case["inputs"], case["expected"]
    task, ours = of_oracle(given["sizes"], given["symbols"])
    words = task.target_dictionary
    sizes = {f"{part}_dim": given["sizes"][f"{part}_hidden"] for part in ("utterance", "context", "decoder")}
    model = build_model(task, "hred", embed_dim=given["sizes"]["embedding"], **sizes).double().eval()
    weights = given["weights"]
    model.encoder.embed_tokens.weight.data[ours] = torch.tensor(weights["embedding"], dtype=torch.float64)
    fill(model.encoder.utterance_gru, weights["utterance_gru"]["forward"], weights["utterance_gru"]["backward"])
    fill(model.encoder.context_gru, weights["context_gru"])
    fill(model.decoder.gru, weights["decoder_gru"])
    output = model.decoder.output_projection
    output.bias.data.fill_(-1e9)  # <eot>, which the reference does not have
    for linear, given_weights, rows in (
        (model.decoder.first_state, weights["context_to_decoder"], slice(None)),
        (output, weights["output"], ours),
    ):
        linear.weight.data[rows] = torch.tensor(given_weights["weight"], dtype=torch.float64)
        linear.bias.data[rows] = torch.tensor(given_weights["bias"], dtype=torch.float64)

    def padded(rows, left):
        longest = max(map(len, rows))
        pads = [[words.pad()] * (longest - len(row)) for row in rows]
        return torch.tensor([pad + row if left else row + pad for pad, row in zip(pads, rows, strict=True)])

    source = []
    for turns in given["contexts"]:
        tokens = []
        for turn in turns:
            tokens += [*(ours[token] for token in turn[:-1]), words.index("<eot>")]
        source.append([*tokens[:-1], words.eos()])
    target = padded([[ours[token] for token in row] for row in given["targets"]], left=False)
    source, previous = padded(source, left=True), target.roll(1, dims=1)
    previous[:, 0] = words.eos()
    context = model.encoder.contexts(source)
    torch.testing.assert_close(context, torch.tensor(expected["context_states"]).double(), rtol=0, atol=1e-6)
    logits, extra = model(source, None, previous, target=target)
    theirs = torch.cat([torch.tensor(rows) for rows in expected["logits"]]).double()
    torch.testing.assert_close(logits[:, ours], theirs, rtol=0, atol=1e-6)
    nll = sequence_nll(logits, target, words.pad())[1]
    torch.testing.assert_close(nll, torch.tensor(expected["nll_sums"]).double(), rtol=0, atol=1e-6)
    perplexity = (nll.sum() / len(logits)).exp().item()
    assert perplexity == pytest.approx(expected["perplexity"], abs=1e-6)


@pytest.mark.parametrize("case", cases("cvae_kl"))
def test_the_cvaes_divergence_is_the_references(case):
    given = {name: torch.tensor(values) for name, values in case["inputs"].items()}
    recognition = DiagonalGaussian(given["recognition_mean"], given["recognition_logvar"])
    kl = recognition.kl(DiagonalGaussian(given["prior_mean"], given["prior_logvar"]))
    torch.testing.assert_close(kl, torch.tensor(case["expected"]["kl_per_example"]), rtol=0, atol=1e-6)
    assert kl.mean().item() == pytest.approx(case["expected"]["kl_mean"], abs=1e-6)


@pytest.mark.parametrize("case", cases("cvae_kl_weights"))
def test_the_cvaes_kl_weights_are_the_references(case):
    """Its batches are counted from 1: --kl-first-update 1."""
    given = case["inputs"]
    schedule = KLSchedule.named("linear", 1.0, given["full_kl_step"], 0, first=1)
    weights = [schedule(batch - 1) for batch in given["batch_numbers"]]
    assert weights == pytest.approx(case["expected"]["weights"], abs=1e-9)


class Decoded(nn.Module):
    """A model that decodes to given logits."""

    latent_dim, posterior_inputs = 2, ()

    def __init__(self, logits, latent, num_updates):
        super().__init__()
        self.logits, self.latent, self.num_updates = logits, latent, num_updates

    def forward(self, target, **inputs):
        return self.logits, {"latent": self.latent}

    def add_bow_head(self, hidden_dim):
        pass


@pytest.mark.parametrize("case", cases("cvae_loss"))
def test_the_cvaes_loss_is_the_references(case):
    """Of the flags that its recipe has, in training and in validation."""
    given, expected = case["inputs"], case["expected"]
    sizes = {"vocabulary": len(given["bow_logits"][0])}
    task, ours = of_oracle(sizes, given["symbols"])
    words = task.target_dictionary
    target = torch.tensor([[ours[token] for token in row[1:]] for row in given["output_tokens"]])
    mask = target.ne(words.pad())

    def with_eot(logits):  # a word that the reference does not have
        return torch.cat([logits[..., [ours.index(word) for word in range(sizes["vocabulary"])]],
                          torch.full_like(logits[..., :1], -1e9)], dim=-1)  # fmt: skip

    logits = with_eot(torch.tensor(given["decoder_logits"]))[mask]
    prior, posterior = (
        DiagonalGaussian(torch.tensor(given[f"{name}_mean"]), torch.tensor(given[f"{name}_logvar"]))
        for name in ("prior", "recognition")
    )
    latent = LatentOutput(posterior.mean, prior, posterior, with_eot(torch.tensor(given["bow_logits"])))
    model = Decoded(logits, latent, given["batch_number"] - 1)
    task._model = model
    flags = {"kl_schedule": "linear", "kl_warmup": given["full_kl_step"], "kl_first_update": 1}
    criterion = build_criterion(task, "elbo", **flags, bow_weight=1.0, bow_target="tokens", bow_hidden_dim=400)
    sample = {"net_input": {"src_tokens": target}, "target": target, "ntokens": int(mask.sum())}
    loss, count, log = criterion.train()(model, sample)
    per_example = sequence_nll(logits, target, words.pad())[1]
    torch.testing.assert_close(per_example, torch.tensor(expected["reconstruction_per_example"]), rtol=0, atol=1e-5)
    bow = bow_nll(latent.bow_logits, target, words.pad(), words.eos(), "tokens")
    torch.testing.assert_close(bow, torch.tensor(expected["bow_per_example"]), rtol=0, atol=1e-5)
    found = {
        "reconstruction": log["nll"], "bow": log["bow"], "kl": log["kl"], "kl_weight": log["kl_weight"], "loss": loss,
        "elbo_loss": loss - log["bow"],
    }  # fmt: skip
    assert log["ntokens"] == expected["label_tokens"]
    for name, value in found.items():
        assert float(value) / count == pytest.approx(expected[name], abs=1e-5), name
    assert (float(log["nll"]) / log["ntokens"]) == pytest.approx(
        torch.tensor(expected["posterior_perplexity"]).log().item(), abs=1e-5
    )
    _, _, log = criterion.eval()(model, sample)
    assert float(log["nll"] + log["kl"]) / count == pytest.approx(expected["validation_elbo_loss"], abs=1e-5)


# --- beside plain loops ----------------------------------------------------------------------------------------------


def last_state(gru: nn.GRU, vectors: torch.Tensor, pooling: str = "last") -> torch.Tensor:
    """(T, E) -> the last state of each direction, or the mean or maximum of all, by hand: one step at a time."""
    ends = []
    for suffix in ("", "_reverse") if gru.bidirectional else ("",):
        cell = nn.GRUCell(gru.input_size, gru.hidden_size).double()
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            getattr(cell, name).data.copy_(getattr(gru, f"{name}_l0{suffix}"))
        states = [None]
        for vector in vectors.flip(0) if suffix else vectors:
            states.append(cell(vector.unsqueeze(0), states[-1]))
        states = torch.cat(states[1:])
        ends.append({"last": states[-1], "mean": states.sum(0) / len(states), "max": states.amax(0)}[pooling])
    return torch.cat(ends)


def by_hand(model, turns: list[list[int]], response: list[int]):
    """(prior, posterior, a function z -> logits (T, V)) of one example, a word at a time."""
    encoder, decoder = model.encoder, model.decoder
    begin = [0] if model.begins else []

    def encoded(words):
        vectors = encoder.embed_tokens(torch.tensor([*begin, *words, 2]))
        return last_state(encoder.utterance_gru, vectors, encoder.pooling)

    vectors = [encoded(turn) for turn in turns]
    if model.floor:
        own = [(len(turns) - 1 - number) % 2 for number in range(len(turns))]
        vectors = [torch.cat([v, F.one_hot(torch.tensor(o), 2).double()]) for v, o in zip(vectors, own, strict=True)]
    context = last_state(encoder.context_gru, torch.stack(vectors))
    gaussians = [DiagonalGaussian(torch.zeros(0).double(), torch.zeros(0).double())] * 2
    if encoder.latent is not None:
        gaussians = []
        nets = (
            (encoder.latent.prior_net, context),
            (
                encoder.latent.recognition_net,
                torch.cat([context, encoded(response)]),
            ),
        )
        for net, read in nets:
            mean, spread = net(read).chunk(2)
            spread = spread.exp().add(1).log().log() if encoder.latent.softplus else spread
            gaussians.append(DiagonalGaussian(mean, spread.clamp(-8, 8)))

    def logits(z):
        state = decoder.first_state(torch.cat([context, z]))
        state = (state.tanh() if model.tanh else state).view(1, 1, -1)
        rows = []
        for token in (0, *response):
            out, state = decoder.gru(decoder.embed_tokens(torch.tensor([[token]])), state)
            rows.append(decoder.output_projection(out[0, 0]))
        return torch.stack(rows)

    return *gaussians, logits


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
@pytest.mark.parametrize("widen", [False, True])
@pytest.mark.parametrize("arch", ARCHS)
def test_a_batch_is_its_dialogues_one_by_one(task, arch, widen, pooling):
    """Of one turn and of forty, with empty turns and an empty response; more pads change nothing at all."""
    model, sample = model_of(task, arch, context_utterances=0, encoder_pooling=pooling), batch(task)
    with torch.no_grad():
        logits, extra = model(**sample["net_input"], target=sample["target"])
        if widen:
            wide = widened(task, sample)
            other, of_wide = model(**wide["net_input"], target=wide["target"])
            assert torch.equal(other, logits) and torch.equal(of_wide["latent"].z, extra["latent"].z)
            return
        latent, start, said = extra["latent"], 0, texts(task)
        for row, index in enumerate(sample["id"].tolist()):
            prior, posterior, decode = by_hand(model, *said[index])
            for found, expected in ((latent.prior, prior), (latent.posterior, posterior)):
                torch.testing.assert_close(found.mean[row], expected.mean, **CLOSE)
                torch.testing.assert_close(found.logvar[row], expected.logvar, **CLOSE)
            expected = decode(latent.z[row])
            torch.testing.assert_close(logits[start : start + len(expected)], expected, **CLOSE)
            start += len(expected)
        assert start == len(logits) == sample["ntokens"]


@pytest.mark.parametrize("arch", ARCHS)
def test_a_batch_of_one_is_a_row_of_a_batch(task, arch):
    model, together = model_of(task, arch), batch(task)
    logits, extra = model(**together["net_input"], target=together["target"])
    starts = [0, *together["target"].ne(1).sum(1).cumsum(0).tolist()]
    for row in range(len(SHAPES)):
        alone = batch(task)["net_input"]  # a row, as the data set collates it alone
        single = {
            "src_tokens": alone["src_tokens"][row : row + 1, -int(alone["src_lengths"][row]) :],
            "src_lengths": alone["src_lengths"][row : row + 1],
            "noise_seed": alone["noise_seed"][row : row + 1],
        }
        target = together["target"][row : row + 1, : starts[row + 1] - starts[row]]
        previous = alone["prev_output_tokens"][row : row + 1, : target.size(1)]
        of_one, latent = model(**single, prev_output_tokens=previous, target=target)
        torch.testing.assert_close(of_one, logits[starts[row] : starts[row + 1]], **CLOSE)
        torch.testing.assert_close(latent["latent"].z[0], extra["latent"].z[row], **CLOSE)


# --- turns -----------------------------------------------------------------------------------------------------------

PADDED = [[1, 1, 5, 6, 4, 7, 2], [8, 4, 4, 9, 9, 9, 2], [1, 1, 1, 1, 1, 1, 2]]  # <eot> is 4


@pytest.mark.parametrize("flags, expected, counts, own", [
    ({}, [[5, 6, 2], [7, 2], [8, 2], [2], [9, 9, 9, 2], [2]], [2, 3, 1], [1, 0, 0, 1, 0, 0]),
    ({"begin": 0}, [[0, 5, 6, 2], [0, 7, 2], [0, 8, 2], [0, 2], [0, 9, 9, 9, 2], [0, 2]], [2, 3, 1], [1, 0, 0, 1, 0, 0]),
    ({"most_turns": 2}, [[5, 6, 2], [7, 2], [2], [9, 9, 9, 2], [2]], [2, 2, 1], [1, 0, 1, 0, 0]),
    ({"most_tokens": 3}, [[5, 6, 2], [7, 2], [8, 2], [2], [9, 9, 2], [2]], [2, 3, 1], [1, 0, 0, 1, 0, 0]),
    ({"most_tokens": 3, "begin": 0, "most_turns": 1}, [[0, 7, 2], [0, 9, 2], [0, 2]], [1, 1, 1], [0, 0, 0]),
    ({"end_of_turn": -1}, [[5, 6, 4, 7, 2], [8, 4, 4, 9, 9, 9, 2], [2]], [1, 1, 1], [0, 0, 0]),
])  # fmt: skip
def test_contexts_are_split_into_turns(flags, expected, counts, own):
    reader = TurnReader(**{"pad": 1, "end": 2, "end_of_turn": 4, **flags})
    turns = reader.contexts(torch.tensor(PADDED))
    assert [part.tolist() for part in turns.words.split(turns.lengths.tolist())] == expected
    assert turns.counts.tolist() == counts and turns.own.int().tolist() == own


def test_responses_are_one_turn_each():
    turns = TurnReader(pad=1, end=2, end_of_turn=4, most_turns=3).responses(torch.tensor([[5, 4, 2, 1], [2, 1, 1, 1]]))
    assert (turns.words.tolist(), turns.lengths.tolist(), turns.counts.tolist()) == ([5, 4, 2, 2], [3, 1], [1, 1])


def test_ragged_sequences_are_read_together_and_put_back():
    """Three of 2, 3 and 1 elements: first all first ones, the longest sequence's before the others'."""
    ragged = Ragged(torch.tensor([2, 3, 1]))
    assert ragged.places.tolist() == [2, 0, 5, 3, 1, 4] and ragged.batch_sizes.tolist() == [3, 2, 1]
    values = torch.arange(6.0).unsqueeze(1)
    assert torch.equal(ragged.end_to_end(values[ragged.places]), values)


@pytest.mark.parametrize("arch", ARCHS)
def test_no_network_steps_on_a_pad_and_turns_are_encoded_once(task, arch):
    """The elements that each GRU reads are those that there are."""
    model, sample = model_of(task, arch), batch(task)
    read = {}
    for name in ("encoder.utterance_gru", "encoder.context_gru", "decoder.gru"):
        gru = model.get_submodule(name)
        gru.register_forward_hook(
            lambda _, given, __, name=name: read.setdefault(name, []).append(given[0].data.size(0))
        )
    model.train()(**sample["net_input"], target=sample["target"], **({} if arch == "hred_tiny" else {"num_latents": 3}))
    turns = [words for shape, _ in SHAPES for words in shape[-9 if model.begins else 0 :]]
    responses = [words for _, words in SHAPES]
    begin = 2 if model.begins else 1  # </s>, and <s>
    words = sum(turns) + begin * len(turns)
    if model.encoder.latent is not None:
        words += sum(responses) + begin * len(responses)
    tokens = sum(responses) + len(responses)
    assert read["encoder.utterance_gru"] == [words] and read["encoder.context_gru"] == [len(turns)]
    assert read["decoder.gru"] == ([tokens] if arch == "hred_tiny" else [3 * tokens, tokens])  # ranked, then trained


@pytest.mark.parametrize("arch", ARCHS)
def test_only_the_newest_turns_and_the_first_words_of_a_turn_are_read(task, arch):
    """Two turns, of two words each: what stands before them, and how they go on, changes nothing."""
    model = model_of(task, arch, context_utterances=2, utterance_tokens=4 if arch == "rnn_cvae_tiny" else 3)
    end, eot = task.target_dictionary.eos(), task.target_dictionary.nspecial
    read, other = [5, 6, eot, 7, 8, end], [5, 6, 9, eot, 7, 8, 9, 9, end]
    rows = [[1, 1, 1, 1, 1, *read], [9, 5, eot, 7, eot, *read], [7, eot, *other]]
    rows = [[1] * (11 - len(row)) + row for row in rows]
    expected, *found = model.encoder.contexts(torch.tensor(rows))
    for each in found:
        torch.testing.assert_close(each, expected, **CLOSE)


# --- latents ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("arch", LATENT)
def test_latents_are_scored_as_they_are_decoded(task, arch, dropout):
    """nll(z) is the cross-entropy of logits(z), output bias included, with the same units dropped; by plain loops."""
    model, sample = model_of(task, arch, dropout=dropout).float().train(), batch(task)
    model.decoder.output_projection.bias.data.normal_()
    inputs = sample["net_input"]
    _, _, decoded = model.distributions(inputs["src_tokens"], inputs["prev_output_tokens"], sample["target"])
    z = torch.randn(3, 5, 8)
    nll, logits = decoded.nll(z), decoded.logits(z)
    assert logits.shape == (3, sample["ntokens"], len(task.target_dictionary)) and not nll.requires_grad
    for k in range(3):
        start = 0
        for row, target in enumerate(sample["target"]):
            words = target[target.ne(1)]
            expected = F.cross_entropy(logits[k, start : start + len(words)], words, reduction="sum")
            torch.testing.assert_close(nll[k, row], expected, rtol=1e-4, atol=1e-4)
            start += len(words)
    torch.testing.assert_close(decoded.nll(z[1]), nll[1])


@pytest.mark.parametrize("arch", LATENT)
def test_the_best_of_k_is_the_loop_over_k(task, arch):
    model, sample = model_of(task, arch).float(), batch(task)
    inputs = sample["net_input"]
    logits, extra = model(**inputs, target=sample["target"], num_latents=6)
    latent = extra["latent"]
    noise = seeded_noise(inputs["noise_seed"], 7, 8)[:, :6]
    said = texts(task)
    model.double()
    for row, index in enumerate(sample["id"].tolist()):
        _, posterior, decode = by_hand(model, said[index][0][-model.encoder.reader.most_turns :], said[index][1])
        words = torch.tensor([*said[index][1], 2])
        costs = [F.cross_entropy(decode(posterior.rsample(each)), words, reduction="sum").item() for each in noise[row]]
        assert latent.chosen[row] == min(range(6), key=costs.__getitem__)
        torch.testing.assert_close(
            latent.z[row].double(), posterior.rsample(noise[row, latent.chosen[row]]), rtol=1e-4, atol=1e-5
        )
    assert len(set(latent.chosen.tolist())) > 1


def test_the_bag_of_words_reads_context_and_latent(task):
    """-sum of log softmax(W2 tanh(W1 [c; z] + b1) + b2) at every token of the response, </s> too: a loop."""
    model, sample = model_of(task, "rnn_cvae_tiny").float(), batch(task)
    task._model = model
    criterion = build_criterion(task, "elbo", bow_weight=1.0, bow_target="tokens", bow_hidden_dim=5).eval()
    assert [part.in_features for part in model.bow_head if hasattr(part, "in_features")] == [16 + 8, 5]
    assert not model.bow_head[0].bias.any()
    _, _, log = criterion(model, sample)
    _, extra = model(**sample["net_input"], target=sample["target"])
    contexts, expected = model.encoder.contexts(sample["net_input"]["src_tokens"]), 0.0
    for context, z, target in zip(contexts, extra["latent"].z, sample["target"], strict=True):
        log_probs = model.bow_head(torch.cat([context, z])).log_softmax(-1)
        expected -= sum(log_probs[token].item() for token in target.tolist() if token != 1)
    assert float(log["bow"]) == pytest.approx(expected, rel=1e-5)
    built = model_of(task, "rnn_cvae_tiny").float()
    built.load_state_dict(model.state_dict(), strict=True)  # a checkpoint brings the head
    assert torch.equal(built.bow_head[2].weight, model.bow_head[2].weight)


@pytest.mark.parametrize("arch", LATENT)
def test_the_recognition_network_alone_is_trained_aggressively(task, arch):
    """No other parameter is of the posterior alone, and these are of nothing else."""
    model, sample = model_of(task, arch).float(), batch(task)
    inference = {id(parameter) for parameter in model.inference_parameters()}
    names = {name for name, parameter in model.named_parameters() if id(parameter) in inference}
    assert names and all(name.startswith("encoder.latent.recognition_net") for name in names)
    logits, _ = model(**sample["net_input"])
    logits.sum().backward()
    assert {name for name, gradient in gradients(model).items() if not gradient.any()} >= names
    with pytest.raises(InputError, match="no latent.*remedy: without --aggressive"):
        list(model_of(task, "hred_tiny").inference_parameters())


@pytest.mark.parametrize("flags", [{"k": 5}, {"bow_weight": 1.0}, {"podi_weight": 1.0}])
def test_hred_has_no_latent_to_ask_things_of(task, flags):
    task._model = model_of(task, "hred_tiny")
    with pytest.raises(InputError, match="is about the latent, and this model has none; remedy: --criterion elbo"):
        build_criterion(task, "elbo", **flags)


# --- decoding --------------------------------------------------------------------------------------------------------


def encoded(model, sample, **drawing):
    net_input = {name: value for name, value in sample["net_input"].items() if name != "prev_output_tokens"}
    return model.encoder(**net_input, **drawing)


@pytest.mark.parametrize("arch", ARCHS)
def test_incremental_decoding_equals_full_decoding(task, arch):
    """Also after beams were put in another order."""
    model, sample = model_of(task, arch), batch(task, (((2, 3), 6), ((1,), 6), ((0, 4, 1), 6)))
    out, previous = encoded(model, sample), sample["net_input"]["prev_output_tokens"]
    order, state = torch.tensor([2, 0, 0]), {}
    with torch.no_grad():
        for step in range(1, previous.size(1) + 1):
            if step == 4:
                previous, out = previous[order], model.encoder.reorder_encoder_out(out, order)
                model.decoder.reorder_incremental_state_scripting(state, order)
            full, _ = model.decoder(previous[:, :step], encoder_out=out)
            logits, _ = model.decoder(previous[:, :step], encoder_out=out, incremental_state=state)
            assert logits.size(1) == 1
            torch.testing.assert_close(logits[:, 0], full[:, -1], **CLOSE)


@pytest.mark.parametrize("arch", ARCHS)
def test_without_a_response_the_prior_is_used(task, arch):
    """Each context is read once, however many latents it gets; the decoder is that of training."""
    model, sample = model_of(task, arch), batch(task)
    counted = []
    model.encoder.context_gru.register_forward_hook(lambda _, given, __: counted.append(len(given[0].sorted_indices)))
    repeated = {
        name: value.repeat_interleave(3, dim=0)
        for name, value in sample["net_input"].items()
        if name != "prev_output_tokens"
    }
    three = model.encoder(**repeated, num_latents=3)
    assert counted == [5]
    one = encoded(model, sample)
    torch.testing.assert_close(three["context"][0][::3], one["context"][0])
    torch.testing.assert_close(three["latent"][0][::3], one["latent"][0])
    inputs = sample["net_input"]
    prior, _, decoded = model.distributions(inputs["src_tokens"], inputs["prev_output_tokens"], sample["target"])
    noise = seeded_noise(inputs["noise_seed"], 1, model.latent_dim)[:, 0]
    torch.testing.assert_close(one["latent"][0], prior.rsample(noise))
    torch.testing.assert_close(encoded(model, sample, latent_mean=True)["latent"][0], prior.mean)
    logits, _ = model.decoder(inputs["prev_output_tokens"], encoder_out=one)
    torch.testing.assert_close(logits[sample["target"].ne(1)], decoded.logits(one["latent"][0]), **CLOSE)


# --- how they start --------------------------------------------------------------------------------------------------


def test_sizes_and_start_of_the_cvae(task):
    """Uniform in ±0.08 has a standard deviation of 0.0462; Xavier's is (2 / (inputs + outputs)) ** 0.5."""
    model = build_model(task, "rnn_cvae")
    encoder, decoder = model.encoder, model.decoder
    sizes = [(gru.input_size, gru.hidden_size) for gru in (encoder.utterance_gru, encoder.context_gru, decoder.gru)]
    assert sizes == [(200, 300), (602, 600), (200, 400)] and model.latent_dim == 200
    assert (encoder.reader.most_turns, encoder.reader.most_tokens) == (9, 40)
    for gru in (encoder.utterance_gru, encoder.context_gru, decoder.gru):
        for name, parameter in gru.named_parameters():
            if name.startswith("weight"):
                assert (
                    float(parameter.detach().std()) == pytest.approx(0.0462, rel=0.02) and parameter.abs().max() <= 0.08
                )
            else:
                reset, update, new = parameter.chunk(3)
                gates = float(name.startswith("bias_ih"))
                assert reset.eq(gates).all() and update.eq(gates).all() and not new.any()
    recognition, prior = encoder.latent.recognition_net, encoder.latent.prior_net
    for linear, inputs, outputs in (
        (recognition, 1200, 400), (prior[0], 600, 400), (prior[2], 400, 400), (decoder.first_state, 800, 400),
    ):  # fmt: skip
        assert (linear.in_features, linear.out_features) == (inputs, outputs) and not linear.bias.any()
        assert float(linear.weight.detach().std()) == pytest.approx((2 / (inputs + outputs)) ** 0.5, rel=0.02)
    assert not encoder.embed_tokens.weight[1].any() and decoder.embed_tokens is encoder.embed_tokens


@pytest.mark.parametrize("arch", ["hred", "vhred"])
def test_sizes_and_start_of_hred(task, arch):
    model = build_model(task, arch, utterance_dim=50, context_dim=60, decoder_dim=70)
    for gru, size in ((model.encoder.utterance_gru, 50), (model.encoder.context_gru, 60), (model.decoder.gru, 70)):
        for name, parameter in gru.named_parameters():
            if name.startswith("weight_hh"):  # (3H, H) with orthogonal columns
                torch.testing.assert_close(parameter.T @ parameter, torch.eye(size), rtol=0, atol=1e-5)
            elif name.startswith("bias_hh"):
                assert parameter[size : 2 * size].eq(2).all() and not parameter.eq(2)[:size].any()
    assert model.decoder.embed_tokens is model.encoder.embed_tokens
    assert model.decoder.output_projection.weight is not model.encoder.embed_tokens.weight
    config = MODEL_DATACLASS_REGISTRY[arch]()
    assert (config.embed_dim, config.utterance_dim, config.context_dim, config.decoder_dim) == (500, 1000, 1000, 1000)
    assert (config.dropout, config.context_utterances, config.utterance_tokens) == (0.2, 0, 30)


@pytest.mark.parametrize("arch", ARCHS)
def test_dropout_acts(task, arch):
    model, sample = model_of(task, arch, dropout=0.5).train(), batch(task)
    logits = [model(**sample["net_input"], target=sample["target"])[0] for _ in range(2)]
    assert not torch.equal(*logits)
    contexts = [model.encoder.contexts(sample["net_input"]["src_tokens"]) for _ in range(2)]
    assert not torch.equal(*contexts)


@pytest.mark.parametrize("arch", ARCHS)
def test_bfloat16_autocast_leaves_the_gaussian_alone(task, arch):
    torch.manual_seed(1)
    model, sample = build_model(task, arch, dropout=0.0), batch(task)
    losses = []
    for autocast in ("none", "bfloat16"):
        torch.manual_seed(2)
        model.zero_grad()
        loss, _, _ = build_criterion(task, "elbo", autocast=autocast)(model, sample)
        loss.backward()
        losses.append(loss.item())
        assert loss.dtype == torch.float32 and all(g.isfinite().all() for g in gradients(model).values())
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


# --- refusals and warnings -------------------------------------------------------------------------------------------


def test_sentences_have_no_turns(text_task):
    with pytest.raises(InputError, match="hred answers the turns of a context; remedy: --task dialogue"):
        build_model(text_task, "hred_tiny")


@pytest.mark.parametrize("flags", [
    {"dropout": 1.0}, {"context_dim": 0}, {"context_utterances": -1}, {"utterance_tokens": 2}, {"latent_dim": 0},
])  # fmt: skip
def test_sizes_that_no_model_can_have_are_refused(task, flags):
    with pytest.raises(InputError, match=f"--{next(iter(flags)).replace('_', '-')} .*; remedy: "):
        build_model(task, "rnn_cvae_tiny", **flags)


@pytest.mark.parametrize("arch", ARCHS)
def test_a_dictionary_without_eot_is_warned_of_and_contexts_are_one_turn(arch, caplog):
    task = task_of(end_of_turn="and")
    model, sample = model_of(task, arch), batch(task)
    assert (
        "the dictionary has no <eot>" in caplog.text
        and f"{arch.removesuffix('_tiny')} reads every context as one turn" in caplog.text
    )
    assert model.encoder.reader.contexts(sample["net_input"]["src_tokens"]).counts.tolist() == [1] * 5
    model(**sample["net_input"], target=sample["target"])
