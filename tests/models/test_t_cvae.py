"""T-CVAE and SpaceFusion: what is shared, what pads change (nothing), and how a latent reaches decoding."""

import math

import pytest
import torch
from fairseq.sequence_generator import SequenceGenerator

from fairseq_latent.errors import InputError
from fairseq_latent.gaussian import seeded_noise
from fairseq_latent.modules.latents.head import FixedVarianceHead

from ..helpers.tiny import (
    LENGTHS,
    NO_DROPOUT,
    batch,
    build_criterion,
    build_model,
    dataset,
    fairseq_encoding,
    fairseq_latent,
    widened,
)

ARCHS = ("t_cvae_tiny", "t_spacefusion_tiny")
WIDTHS = {  # H, feed-forward, layers, heads, Z
    "t_cvae": (512, 2048, 6, 8, 512),
    "t_cvae_small": (128, 512, 2, 4, 64),
    "t_cvae_tiny": (16, 32, 2, 2, 8),
    "t_spacefusion": (512, 2048, 6, 8, 512),
    "t_spacefusion_small": (128, 512, 2, 4, 64),
    "t_spacefusion_tiny": (16, 32, 2, 2, 8),
}


def run(model, sample, **options):
    return model(**sample["net_input"], target=sample["target"], **options)


# --- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", WIDTHS)
def test_architectures_have_their_papers_sizes(task, arch):
    with torch.device("meta"):
        model = build_model(task, arch)
    width, ffn, layers, heads, latent_dim = WIDTHS[arch]
    assert len(model.encoder.layers) == len(model.decoder.layers) == layers
    layer = model.encoder.layers[0]
    assert (layer.fc1.in_features, layer.fc1.out_features, layer.self_attn.num_heads) == (width, ffn, heads)
    assert model.latent_dim == latent_dim
    assert model.decoder.fusion.linear.weight.shape == (width, width + latent_dim)


def test_encoder_and_decoder_share_layers_but_norms(task):
    model = build_model(task)
    for ours, theirs in zip(model.encoder.layers, model.decoder.layers, strict=True):
        for attention in (theirs.self_attn, theirs.encoder_attn):
            for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
                assert getattr(attention, projection) is getattr(ours.self_attn, projection)
        assert theirs.fc1 is ours.fc1 and theirs.fc2 is ours.fc2
        assert theirs.self_attn_layer_norm is not ours.self_attn_layer_norm
        assert theirs.final_layer_norm is not ours.final_layer_norm


def test_shared_parameters_are_counted_once(task):
    """H = 16, F = 32, 2 layers: an attention has 4 (H H + H), a feed-forward 2 H F + F + H, a LayerNorm 2 H."""
    attention, ffn, norm, words = 4 * (16 * 16 + 16), 2 * 16 * 32 + 32 + 16, 2 * 16, len(task.target_dictionary)
    encoder, decoder_norms = 2 * (attention + ffn + 2 * norm), 2 * 3 * norm
    query = 16 + 4 * 16 * 16
    heads = (16 * 8 + 8) + 8 * (2 * 8) + 16 * (2 * 8)  # prior 16 -> 8 with bias, tanh -> 2 Z; posterior 16 -> 2 Z
    fusion, embeddings = (16 + 8) * 16, words * 16
    shared = build_model(task)
    expected = encoder + decoder_norms + query + heads + fusion + embeddings
    assert sum(p.numel() for p in shared.parameters()) == expected
    apart = build_model(task, no_share_layers=True)
    assert sum(p.numel() for p in apart.parameters()) == expected + 2 * (2 * attention + ffn)
    assert apart.decoder.layers[0].fc1 is not apart.encoder.layers[0].fc1


def test_one_step_moves_both_sides_of_a_shared_layer(task):
    model = build_model(task)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    loss, _, _ = build_criterion(task)(model, batch(task))
    loss.backward()
    optimiser.step()
    for ours, theirs in zip(model.encoder.layers, model.decoder.layers, strict=True):
        assert torch.equal(ours.self_attn.q_proj.weight, theirs.encoder_attn.q_proj.weight)


def test_output_is_tied_unless_told(task):
    tied = build_model(task)
    assert tied.decoder.output_projection.weight is tied.encoder.embed_tokens.weight
    assert tied.encoder.embed_tokens is tied.decoder.embed_tokens
    own = build_model(task, no_share_output=True)
    assert own.decoder.output_projection.weight is not own.encoder.embed_tokens.weight


def test_the_prior_has_a_tanh_layer_that_the_posterior_lacks(task):
    head = build_model(task).encoder.latent
    assert [type(part) for part in head.prior_net] == [torch.nn.Linear, torch.nn.Tanh, torch.nn.Linear]
    assert isinstance(head.posterior_net, torch.nn.Linear)
    assert head.prior_net[0].bias is not None  # as in the authors' code
    assert all(part.bias is None for part in (head.prior_net[2], head.posterior_net))
    assert isinstance(build_model(task, prior_hidden_dim=0).encoder.latent.prior_net, torch.nn.Linear)


def test_spacefusion_has_one_fixed_sigma(task):
    model = build_model(task, "t_spacefusion_tiny", sigma=0.25).eval()
    _, extra = run(model, batch(task))
    latent = extra["latent"]
    assert isinstance(model.encoder.latent, FixedVarianceHead)
    for gaussian in (latent.prior, latent.posterior):
        torch.testing.assert_close(gaussian.stddev, torch.full_like(gaussian.stddev, 0.25))


@pytest.mark.parametrize("activation", ["leaky_relu", "relu", "gelu", "tanh"])
def test_activations_reach_layers_and_fusion(task, activation):
    model = build_model(task, activation=activation, fusion_activation=activation, **NO_DROPOUT)
    function = {"leaky_relu": torch.nn.functional.leaky_relu, "tanh": torch.tanh}.get(
        activation, getattr(torch.nn.functional, activation)
    )
    assert all(layer.activation_fn is function for layer in [*model.encoder.layers, *model.decoder.layers])
    assert model.decoder.fusion.activation is function


def test_evaluation_computes_what_training_computes(task):
    """No fused layer of torch's may step in with an activation of its own."""
    model, sample = build_model(task, **NO_DROPOUT), batch(task)
    with torch.no_grad():
        evaluated, trained = (
            model.train(mode).distributions(
                *(sample["net_input"][name] for name in ("src_tokens", "prev_output_tokens")), sample["target"]
            )
            for mode in (False, True)
        )
    assert torch.equal(evaluated[1].mean, trained[1].mean)
    assert torch.equal(evaluated[2].states, trained[2].states)


# --- what the posterior reads ----------------------------------------------------------------------------------------


def posterior_mean(model, sample):
    return run(model.eval(), sample)[1]["latent"].posterior.mean


def changed_target(sample, column):
    """The batch with another word at `column` of the first response, as decoder input too."""
    target = sample["target"].clone()
    target[0, column] = 4 + (target[0, column] - 3) % 7
    previous = sample["net_input"]["prev_output_tokens"].clone()
    if column + 1 < previous.size(1):
        previous[0, column + 1] = target[0, column]
    return {**sample, "target": target, "net_input": {**sample["net_input"], "prev_output_tokens": previous}}


@pytest.mark.parametrize("encoding", ["separate", "joint"])
def test_posterior_input_flag(task, encoding):
    """decoder_input lacks the last token (here cut to be a word), target has it."""
    sample = batch(task, ((3, 4), (3, 4)))
    cut = {**sample, "target": sample["target"][:, :-1]}
    cut["net_input"] = {
        **sample["net_input"],
        "prev_output_tokens": sample["net_input"]["prev_output_tokens"][:, :-1],
    }
    for flag, reads_last in (("decoder_input", False), ("target", True)):
        model = build_model(task, posterior_input=flag, posterior_encoding=encoding)
        one, other = posterior_mean(model, cut), posterior_mean(model, changed_target(cut, 3))
        assert bool((one[0] - other[0]).abs().max() > 0) is reads_last
        other = posterior_mean(model, changed_target(cut, 1))
        assert (one[0] - other[0]).abs().max() > 0
        assert torch.equal(one[1], other[1])


@pytest.mark.parametrize("arch, encoding, reads_context", [
    ("t_cvae_tiny", "separate", True),
    ("t_cvae_tiny", "joint", True),
    ("t_spacefusion_tiny", "separate", False),
])  # fmt: skip
def test_what_the_posterior_reads_of_the_context(task, arch, encoding, reads_context):
    model, sample = build_model(task, arch, posterior_encoding=encoding), batch(task)
    other = {**sample, "net_input": {**sample["net_input"], "src_tokens": sample["net_input"]["src_tokens"].clone()}}
    tokens = other["net_input"]["src_tokens"]
    tokens[0, -2] = 4 + (tokens[0, -2] - 3) % 7
    assert bool((posterior_mean(model, sample)[0] - posterior_mean(model, other)[0]).abs().max() > 0) is reads_context


def test_separate_encoding_joins_states_in_time(task):
    """Attention over [context states; response states] of two encoder runs."""
    model, sample = build_model(task).eval(), batch(task)
    parts = [fairseq_encoding(model, sample["net_input"][name]) for name in ("src_tokens", "prev_output_tokens")]
    torch.testing.assert_close(posterior_mean(model, sample), fairseq_latent(model, *parts).mean)


def test_spacefusion_refuses_a_joint_encoding(task):
    with pytest.raises(InputError, match="remedy: drop --posterior-encoding joint"):
        build_model(task, "t_spacefusion_tiny", posterior_encoding="joint")
    with pytest.raises(InputError, match="--sigma 0.0 is out of range; remedy: more than 0"):
        build_model(task, "t_spacefusion_tiny", sigma=0.0)


# --- pads ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arch, flags", [
    ("t_cvae_tiny", {}),
    ("t_cvae_tiny", {"posterior_encoding": "joint", "posterior_input": "target"}),
    ("t_cvae_tiny", {"lexical_model": True}),
    ("t_spacefusion_tiny", {}),
])  # fmt: skip
def test_padding_never_changes_a_loss(task, arch, flags):
    model = build_model(task, arch, **flags)
    name = "spacefusion" if "fusion" in arch else "elbo"
    extra = {} if name == "spacefusion" else {"bow_weight": 1.0, "podi_weight": 1.0, "free_bits": 0.1}
    criterion = build_criterion(task, name, label_smoothing=0.1, **extra)
    model.eval(), criterion.eval()
    sample = batch(task)
    with torch.no_grad():
        loss, _, _ = criterion(model, sample, reduce=False)
        padded, _, _ = criterion(model, widened(task, sample), reduce=False)
    torch.testing.assert_close(loss, padded, rtol=1e-5, atol=1e-5)


def test_a_batch_equals_its_examples_one_by_one(task):
    model, criterion = build_model(task).eval(), build_criterion(task).eval()
    data = dataset(task)
    with torch.no_grad():
        sample = data.collater([data[index] for index in range(len(LENGTHS))])
        together, _, _ = criterion(model, sample, reduce=False)
        for row, index in enumerate(sample["id"].tolist()):
            alone, _, _ = criterion(model, data.collater([data[index]]), reduce=False)
            torch.testing.assert_close(alone[0], together[row], rtol=1e-5, atol=1e-5)


# --- decoding --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ARCHS)
def test_without_a_target_the_prior_is_used(task, arch):
    model, sample = build_model(task, arch).eval(), batch(task)
    net_input = sample["net_input"]
    seen = []
    model.encoder.latent.prior_net.register_forward_hook(lambda *_: seen.append("prior"))
    model.encoder.latent.posterior_net.register_forward_hook(lambda *_: seen.append("posterior"))
    logits, _ = model(**net_input)
    assert seen == ["prior"] and logits.shape == (*net_input["prev_output_tokens"].shape, len(task.target_dictionary))
    prior = run(model, sample)[1]["latent"].prior
    expected = prior.rsample(seeded_noise(net_input["noise_seed"], 1, model.latent_dim)[:, 0])
    torch.testing.assert_close(model.encoder(**without_previous(net_input))["latent"][0], expected)


def without_previous(net_input, **more):
    return {name: value for name, value in net_input.items() if name != "prev_output_tokens"} | more


def test_the_mean_latent_is_the_priors_mean(task):
    model, sample = build_model(task).eval(), batch(task)
    out = model.encoder(**without_previous(sample["net_input"]), latent_mean=True)
    torch.testing.assert_close(out["latent"][0], run(model, sample)[1]["latent"].prior.mean)


@pytest.mark.parametrize("lexical_model", [False, True])
@pytest.mark.parametrize("arch", ARCHS)
def test_incremental_decoding_equals_full_decoding(task, arch, lexical_model):
    model, sample = build_model(task, arch, lexical_model=lexical_model).eval(), batch(task, ((3, 5), (5, 5), (2, 5)))
    previous = sample["net_input"]["prev_output_tokens"]
    with torch.no_grad():
        out = model.encoder(**without_previous(sample["net_input"]))
        full, _ = model.decoder(previous, encoder_out=out)
        state: dict = {}
        for step in range(1, previous.size(1) + 1):
            logits, _ = model.decoder(previous[:, :step], encoder_out=out, incremental_state=state)
            torch.testing.assert_close(logits[:, -1], full[:, step - 1], rtol=1e-4, atol=1e-5)


def test_reordering_carries_the_latent(task):
    model, sample = build_model(task).eval(), batch(task)
    out = model.encoder(**without_previous(sample["net_input"]))
    order = torch.tensor([4, 0, 0, 2])
    reordered = model.encoder.reorder_encoder_out(out, order)
    assert torch.equal(reordered["latent"][0], out["latent"][0][order])
    assert torch.equal(reordered["encoder_out"][0], out["encoder_out"][0][:, order])
    assert torch.equal(reordered["src_tokens"][0], out["src_tokens"][0][order])  # the lexical model's


def test_all_beams_of_a_context_share_one_latent(task, monkeypatch):
    model, sample = build_model(task).eval(), batch(task)
    seen = []
    fusion = model.decoder.fusion
    of_latent = fusion.of_latent
    monkeypatch.setattr(fusion, "of_latent", lambda z: seen.append(z.clone()) or of_latent(z))
    SequenceGenerator([model], task.target_dictionary, beam_size=3, max_len_a=0, max_len_b=6).generate([model], sample)
    z = model.encoder(**without_previous(sample["net_input"]))["latent"][0]
    assert len(seen) > 2
    first = seen[0].flatten(0, -2)
    assert torch.equal(first, z.repeat_interleave(3, dim=0))
    for step in seen:  # sentences end and leave; those that stay keep their latent
        assert all(any(torch.equal(row, known) for known in z) for row in step.flatten(0, -2))


def test_several_latents_encode_a_context_once(task):
    model, sample = build_model(task).eval(), batch(task, ((3, 2), (5, 2)))
    rows = []
    model.encoder.embed_tokens.register_forward_hook(lambda module, args, out: rows.append(args[0].numel()))
    net_input = {
        name: value.repeat_interleave(4, dim=0) for name, value in without_previous(sample["net_input"]).items()
    }
    several = model.encoder(**net_input, num_latents=4)
    assert rows == [int(sample["net_input"]["src_tokens"].ne(1).sum())]
    assert several["encoder_out"][0].size(1) == several["latent"][0].size(0) == 8
    one = model.encoder(**without_previous(sample["net_input"]))
    assert torch.equal(several["latent"][0][::4], one["latent"][0])  # the first of N is the only one of one
    assert len({tuple(row.tolist()) for row in several["latent"][0]}) == 8


# --- embeddings and checkpoints --------------------------------------------------------------------------------------


def write_vectors(path, vectors):
    lines = [f"{word} " + " ".join(map(str, row)) for word, row in vectors.items()]
    width = len(next(iter(vectors.values()))) if vectors else 0
    path.write_text("\n".join([f"{len(vectors)} {width}", *lines]) + "\n", encoding="utf-8")
    return str(path)


def test_word_vectors_initialise_the_embeddings(task, tmp_path):
    path = write_vectors(tmp_path / "cbow.txt", {"tea": [0.5] * 16, "unseen": [9.0] * 16})
    words = task.target_dictionary
    table = build_model(task, encoder_embed_path=path).encoder.embed_tokens.weight
    assert table[words.index("tea")].tolist() == [0.5] * 16
    assert table[words.pad()].abs().max() == 0
    others = [index for index in range(len(words)) if index not in (words.index("tea"), words.pad())]
    assert table[others].std().item() == pytest.approx(1 / math.sqrt(16), rel=0.3)


def test_no_word_of_a_file_without_a_first_line_is_left_out(task, tmp_path):
    """GloVe's files begin with a word."""
    (tmp_path / "glove.txt").write_text(f"tea{' 0.5' * 16}\n", encoding="utf-8")
    table = build_model(task, encoder_embed_path=str(tmp_path / "glove.txt")).encoder.embed_tokens.weight
    assert table[task.target_dictionary.index("tea")].tolist() == [0.5] * 16


@pytest.mark.parametrize("vectors, wrong", [
    ({"tea": [0.5] * 4}, "vectors have 4 numbers, --embed-dim is 16"),
    ({"tea": [0.5] * 16, "sea": [0.5] * 15}, "line 3: a word and 15 numbers, not 16"),
    ({}, "the first line is no likely `count width`"),
    ({"nobody": [0.5] * 16}, "no vector of any token of the dictionary; remedy: vectors of its subword tokens"),
])  # fmt: skip
def test_word_vectors_that_do_not_fit_are_refused(task, tmp_path, vectors, wrong):
    with pytest.raises(InputError, match=wrong):
        build_model(task, encoder_embed_path=write_vectors(tmp_path / "cbow.txt", vectors))


@pytest.mark.parametrize(
    "content", ["tea 1.0 2.0\n", "1 16\ntea one two\n", "1 16\ntea 1.0 2.0\n", "", "\x00\x01", f"tea nan{' 1' * 15}\n"]
)
def test_files_that_hold_no_word_vectors_are_refused(task, tmp_path, content):
    path = tmp_path / "cbow.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="--encoder-embed-path") as error:
        build_model(task, encoder_embed_path=str(path))
    assert "\n" not in str(error.value)


def test_missing_word_vectors_are_refused(task, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        build_model(task, encoder_embed_path=str(tmp_path / "nowhere"))


def test_sides_with_different_dictionaries_are_refused(task, dictionary):
    other = type(dictionary)()
    other.add_symbol("elsewhere")
    task.src_dict = other
    with pytest.raises(InputError, match="remedy: fairseq-preprocess --joined-dictionary"):
        build_model(task)


def outputs(model, sample):
    with torch.no_grad():
        return run(model.eval(), sample)


@pytest.mark.parametrize("arch", ARCHS)
def test_state_dict_reloads(task, arch):
    one, other, sample = build_model(task, arch), build_model(task, arch), batch(task)
    assert not torch.equal(outputs(one, sample)[0], outputs(other, sample)[0])
    other.load_state_dict(one.state_dict(), strict=True)
    assert torch.equal(outputs(one, sample)[0], outputs(other, sample)[0])


@pytest.mark.parametrize("hidden_dim", [0, 5])
def test_a_bag_of_words_head_comes_with_its_checkpoint(task, hidden_dim):
    """Generation builds the model without a criterion."""
    trained, built, sample = build_model(task), build_model(task), batch(task)
    trained.add_bow_head(hidden_dim)
    built.load_state_dict(trained.state_dict(), strict=True)
    torch.testing.assert_close(outputs(built, sample)[1]["latent"].bow_logits,
                               outputs(trained, sample)[1]["latent"].bow_logits)  # fmt: skip


def test_a_checkpoint_without_the_head_leaves_a_new_one_as_it_is(task):
    """Training goes on with a new loss."""
    old, new = build_model(task), build_model(task)
    new.add_bow_head(0)
    before = new.bow_head[0].weight.clone()
    new.load_state_dict(old.state_dict(), strict=True)
    assert torch.equal(new.bow_head[0].weight, before)
    torch.testing.assert_close(new.encoder.embed_tokens.weight, old.encoder.embed_tokens.weight)


def test_the_head_is_added_once(task):
    model = build_model(task)
    model.add_bow_head(0)
    head = model.bow_head
    model.add_bow_head(0)
    assert model.bow_head is head
