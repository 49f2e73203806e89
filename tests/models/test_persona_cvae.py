"""The persona CVAE on GPT-2: against transformers' own GPT-2, with and without pads, and what each latent may see."""

import importlib.util
import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from fairseq.data import Dictionary, data_utils
from fairseq.dataclass.configs import GenerationConfig
from fairseq.sequence_generator import SequenceGenerator

from fairseq_latent.data.persona_dataset import POSTERIOR_INPUTS
from fairseq_latent.errors import InputError
from fairseq_latent.modules.language_models.body import injection_points
from fairseq_latent.modules.latents.persona import FADER, OTHER, ZP
from fairseq_latent.symbols import EOT
from fairseq_latent.tasks.dialogue import DialogueConfig, DialogueTask
from fairseq_latent.tasks.persona_dialogue import PersonaDialogueConfig, PersonaDialogueTask

from ..conftest import WORDS
from ..helpers.tiny import batch, build_criterion, build_model, gradients, widened

if importlib.util.find_spec("transformers") is None:
    pytest.skip("transformers is not installed", allow_module_level=True)

GPT2S_BLOCKS = {"latent_encoder_init": "gpt2", "latent_encoder_activation": "gelu", "latent_encoder_ffn_dim": 64}
SIMILARITY = (0.0, 0.25, 0.5, 1.0, 0.75)


@pytest.fixture(scope="module")
def words():
    made = Dictionary()
    for word in (*WORDS, EOT):
        made.add_symbol(word)
    return made


@pytest.fixture
def task(words):
    config = PersonaDialogueConfig(
        data="nowhere", seed=1, update_freq=[1], best_checkpoint_metric="au", train_subset="train"
    )
    return PersonaDialogueTask(config, words, words)


def model_of(task, **changes):
    torch.manual_seed(1)
    still = {"dropout": 0.0, "attention_dropout": 0.0, "latent_encoder_dropout": 0.0}
    return build_model(task, "persona_cvae_gpt2_tiny", **still | changes)


def profiles(task, lengths=(3, 5, 1, 4, 2), seed=5):
    generator = torch.Generator().manual_seed(seed)
    words = task.target_dictionary
    rows = [torch.randint(words.nspecial, len(words), (n,), generator=generator) for n in lengths]
    rows = [torch.cat([row, torch.tensor([words.eos()])]) for row in rows]
    return data_utils.collate_tokens(rows, words.pad())


def persona_batch(task):
    sample = batch(task)
    sample["net_input"] |= {"partner_tokens": profiles(task), "similarity": torch.tensor(SIMILARITY)}
    return sample


def spread(model):
    """Weights that matter: those of the heads are near zero at first."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def run(model, sample, seed=3, **changes):
    torch.manual_seed(seed)
    return model(**(sample["net_input"] | changes), target=sample["target"])


# --- GPT-2 -----------------------------------------------------------------------------------------------------------


def oracle(model):
    """transformers' GPT2LMHeadModel with the same weights."""
    from transformers import GPT2LMHeadModel

    table = model.encoder.embed_tokens.weight
    config = model.decoder.body.model.config.__class__(
        **model.decoder.body.model.config.to_dict() | {"vocab_size": len(table)}
    )
    theirs = GPT2LMHeadModel(config).eval()
    theirs.transformer.load_state_dict(model.decoder.body.model.state_dict() | {"wte.weight": table})
    return theirs


def sequences(sample, row, bos=0, eos=2, pad=1):
    """Context without its end, and response, of one example: <s> C, and </s> R without its end."""
    context = sample["net_input"]["src_tokens"][row]
    context = context[context.ne(pad) & context.ne(eos)]
    target = sample["target"][row]
    target = target[target.ne(pad)]
    return torch.cat([torch.tensor([bos]), context]), torch.cat([torch.tensor([eos]), target[:-1]])


def test_without_latents_it_is_gpt2(task):
    model, sample = spread(model_of(task, no_latents=True)).eval(), batch(task)
    model.encoder.embedding.marks.weight.data.zero_()  # the role of the partner is this project's
    theirs = oracle(model)
    logits, extra = run(model, sample)
    expected = []
    for row in range(5):
        context, response = sequences(sample, row)
        expected.append(theirs(torch.cat([context, response]).unsqueeze(0)).logits[0, len(context) :])
    torch.testing.assert_close(logits, torch.cat(expected), rtol=1e-4, atol=1e-5)
    assert extra["latent"].z.shape == (5, 0) and extra["latent"].posterior.kl(extra["latent"].prior).eq(0).all()


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_latents_are_two_vectors_before_the_context_mixed_in_again(task, words, weight):
    """Weight 0 is plain GPT-2 with two prefix vectors; else the blocks are called one by one, and mixed by hand."""
    model, sample = spread(model_of(task, inject_weight=weight, inject_after="1,3")).eval(), persona_batch(task)
    gpt2, embedding = model.decoder.body.model, model.encoder.embedding
    logits, extra = run(model, sample)
    start = 0
    for row, similarity in enumerate(SIMILARITY):
        context, response = sequences(sample, row)
        tokens = torch.cat([context, response])
        role = torch.zeros(len(tokens), 1)
        turns_after = 0
        for place in range(len(context) - 1, 0, -1):  # the last utterance is the partner's, then every second one
            turns_after += int(tokens[place] == words.index(EOT))
            role[place] = float(turns_after % 2 == 0 and tokens[place] != words.index(EOT))
        vectors = embedding.embed_tokens(tokens) + role * embedding.marks.weight[OTHER] + gpt2.wpe.weight[: len(tokens)]
        latents = torch.stack([extra["latent"].z[row], similarity * model.encoder.latents.direction])
        states = torch.cat([latents, vectors]).unsqueeze(0)
        count = states.size(1)
        mask = torch.full((count, count), -torch.inf).triu(1)[None, None]
        for number, block in enumerate(gpt2.h, 1):
            states = block(states, attention_mask=mask)
            states = states[0] if isinstance(states, tuple) else states
            if number in (1, 3):
                states = torch.cat([(1 - weight) * states[:, :2] + weight * latents, states[:, 2:]], 1)
        expected = gpt2.ln_f(states)[0, 2 + len(context) :] @ embedding.embed_tokens.weight.T
        torch.testing.assert_close(logits[start : start + len(expected)], expected, rtol=1e-3, atol=1e-4)
        start += len(expected)
    assert start == len(logits)


def test_pads_change_nothing(task):
    model, sample = spread(model_of(task)).eval(), persona_batch(task)
    wide = widened(task, sample)
    profile = sample["net_input"]["partner_tokens"]
    wide["net_input"]["partner_tokens"] = torch.cat([profile, torch.full((5, 3), 1)], 1)
    (logits, extra), (again, other) = run(model, sample), run(model, wide)
    torch.testing.assert_close(again, logits, rtol=1e-4, atol=1e-5)
    for name in ("prior", "posterior"):
        torch.testing.assert_close(
            getattr(other["latent"], name).mean, getattr(extra["latent"], name).mean, rtol=1e-4, atol=1e-5
        )
    divergence = extra["latent"].divergences["fader_kl"]
    torch.testing.assert_close(other["latent"].divergences["fader_kl"], divergence, rtol=1e-4, atol=1e-5)


def test_a_batch_is_its_examples_one_by_one(task):
    model, sample = spread(model_of(task)).eval(), persona_batch(task)
    prior, posterior, decoded = model.distributions(
        *(sample["net_input"][name] for name in ("src_tokens", "prev_output_tokens")), sample["target"],
        *(sample["net_input"][name] for name in POSTERIOR_INPUTS),
    )  # fmt: skip
    nll = decoded.nll(posterior.mean)
    for row in range(5):
        one = [sample["net_input"][name][row : row + 1] for name in ("src_tokens", "prev_output_tokens")]
        given = [sample["net_input"][name][row : row + 1] for name in POSTERIOR_INPUTS]
        alone = model.distributions(*one, sample["target"][row : row + 1], *given)
        torch.testing.assert_close(alone[0].mean[0], prior.mean[row], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(alone[2].nll(alone[1].mean)[0], nll[row], rtol=1e-4, atol=1e-5)


def test_the_nll_that_ranks_latents_is_that_of_the_logits(task):
    model, sample = spread(model_of(task)), persona_batch(task)
    model.eval()
    criterion = build_criterion(task, "podi_elbo")
    logits, extra = run(model, sample)
    _, nll = criterion.nll(logits, sample["target"])
    net_input = sample["net_input"]
    decoded = model.distributions(
        net_input["src_tokens"],
        net_input["prev_output_tokens"],
        sample["target"],
        *(net_input[n] for n in POSTERIOR_INPUTS),
    )[2]
    z = extra["latent"].z
    ranked = decoded.nll(torch.stack([z, z.flip(-1), z]))
    torch.testing.assert_close(ranked[0], nll, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(ranked[1], ranked[0]) and torch.equal(ranked[2], ranked[0])


# --- latents ---------------------------------------------------------------------------------------------------------


def test_what_each_latent_sees(task):
    """Zp's posterior the profile alone, its prior the context alone, the fader's prior context and Zp."""
    model, sample = spread(model_of(task)).eval(), persona_batch(task)

    def found(**changes):
        latent = run(model, sample, **changes)[1]["latent"]
        return latent.prior.mean, latent.posterior.mean

    prior, posterior = found()
    other = found(partner_tokens=profiles(task, seed=9))
    assert torch.equal(other[0], prior) and not torch.allclose(other[1], posterior)
    other = found(src_tokens=sample["net_input"]["src_tokens"].flip(0))
    assert torch.equal(other[1], posterior) and not torch.allclose(other[0], prior)
    other = found(prev_output_tokens=sample["net_input"]["prev_output_tokens"].flip(0))
    assert torch.equal(other[0], prior) and torch.equal(other[1], posterior)
    embedding = model.encoder.embedding
    context = embedding.context(sample["net_input"]["src_tokens"], with_end=True)
    faders = [model.encoder.latents.fader(z, context, embedding) for z in (prior, prior.flip(-1))]
    assert not torch.allclose(*faders)


def test_both_priors_are_one_network_and_the_posterior_another(task):
    model, sample = model_of(task), persona_batch(task)
    latents = model.encoder.latents
    latents.fader(
        torch.randn(5, 16),
        model.encoder.embedding.context(sample["net_input"]["src_tokens"], True),
        model.encoder.embedding,
    ).sum().backward()
    touched = {name for name, value in gradients(model).items() if value.abs().sum()}
    assert any("prior_reader" in name for name in touched) and not any("recognition" in name for name in touched)
    assert not any("prior_head" in name for name in touched)
    shared = {id(p) for p in latents.prior_reader.parameters()} & {
        id(p) for p in latents.recognition_reader.parameters()
    }
    assert not shared


def test_roles_and_positions(task, words):
    """u1 <eot> u2 <eot> u3: the partner said u1 and u3; symbols have no role, latents no position."""
    model = model_of(task)
    embedding, eot = model.encoder.embedding, words.index(EOT)
    row = torch.tensor([[1, 1, 5, 6, eot, 7, eot, 8, 9, 2]])
    read = embedding.context(row, with_end=True)
    role = (read.vectors - embedding.embed_tokens(torch.nn.functional.pad(row, (1, 0), value=0)))[0]
    mine = [bool(torch.allclose(each, embedding.marks.weight[OTHER], atol=1e-6)) for each in role]
    assert mine == [False, False, False, True, True, False, False, False, True, True, False]
    assert role[[0, 1, 2, 5, 6, 7, 10]].abs().max() < 1e-6
    assert read.positions[0].tolist()[3:] == [1, 2, 3, 4, 5, 6, 7, 8] and read.positions[0, 0] == 0
    assert embedding.context(row, with_end=False).mask[0].tolist() == [True, False, False, *[True] * 7, False]
    inputs = []
    hook = model.decoder.body.model.h[0].register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    latents = torch.randn(1, 2, 16)
    read = embedding.context(row, with_end=False)
    model.decoder.states(latents, read, torch.tensor([[2, 5]]))
    hook.remove()
    torch.testing.assert_close(inputs[0][:, :2], latents, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_fader_can_be_learnt_where_no_norm_forbids_it(task, norm):
    """The slot's state goes to s * 1 for s of 0 and 1 and between; behind a LayerNorm of its own it cannot."""
    model, sample = model_of(task, latent_encoder_norm=norm, fader_mode="vector"), persona_batch(task)
    latents, embedding = model.encoder.latents, model.encoder.embedding
    context = embedding.context(sample["net_input"]["src_tokens"], with_end=True)
    context = type(context)(context.vectors.detach(), context.positions, context.mask)
    similarity = torch.tensor(SIMILARITY)
    optimiser = torch.optim.Adam(latents.prior_reader.parameters(), 3e-3)
    for _ in range(250):
        loss = latents.fader_kl(latents.fader(torch.zeros(5, 16), context, embedding), similarity).mean()
        optimiser.zero_grad()
        loss.backward(inputs=list(latents.prior_reader.parameters()))
        optimiser.step()
    assert (loss < 5e-5) if norm == "pre" else (loss > 1e-3)


def test_the_fader_kl_by_hand(task):
    model, sample = spread(model_of(task)).eval(), persona_batch(task)
    latent = run(model, sample)[1]["latent"]
    embedding = model.encoder.embedding
    context = embedding.context(sample["net_input"]["src_tokens"], with_end=True)
    state = model.encoder.latents.fader(latent.z, context, embedding)
    signs = (1, -1) * 8
    expected = [
        0.5 * sum((float(x) - s * sign) ** 2 for x, sign in zip(row, signs, strict=True)) / 16
        for row, s in zip(state, SIMILARITY, strict=True)
    ]
    torch.testing.assert_close(latent.divergences["fader_kl"], torch.tensor(expected), rtol=1e-4, atol=1e-5)
    scalar = spread(model_of(task, fader_mode="scalar")).eval()
    value = run(scalar, sample)[1]["latent"].divergences["fader_kl"]
    assert value.shape == (5,) and (value <= 0.5).all()


# --- losses ----------------------------------------------------------------------------------------------------------


def test_the_loss_is_its_terms(task):
    model, sample = spread(model_of(task)).eval(), persona_batch(task)
    criterion = build_criterion(task, "podi_elbo", podi_weight=2.0, fader_weight=3.0).eval()
    loss, size, log = criterion(model, sample)
    total = log["nll"] + log["kl"] + 3 * log["fader_kl"] + 2 * log["podi"]
    torch.testing.assert_close(loss, total)
    assert size == 5 and log["podi"] > 0 and log["fader_kl"] > 0


def test_equal_profiles_are_no_pair(task):
    model, sample = spread(model_of(task)).eval(), persona_batch(task)
    profile = sample["net_input"]["partner_tokens"]
    sample["net_input"]["partner_tokens"] = profile[:1].expand(5, -1).clone()
    log = build_criterion(task, "podi_elbo", podi_target=100.0).eval()(model, sample)[2]
    assert log["podi"] == 0 and log["podi_kl"] == 0


@pytest.mark.parametrize(
    "flags", [{"k": 3}, {"k": 3, "sample_reduction": "mean"}, {"bow_weight": 1.0}, {"loss_scale": "released"}]
)
def test_every_option_of_the_family_works_here(task, flags):
    model, sample = model_of(task, dropout=0.1, latent_encoder_dropout=0.1), persona_batch(task)
    criterion = build_criterion(task, "podi_elbo", **flags).train()
    model.train()
    loss, _, log = criterion(model, sample)
    loss.backward()
    assert torch.isfinite(loss) and all(torch.isfinite(value).all() for value in gradients(model).values())
    assert model.training and model.decoder.training


@pytest.mark.parametrize(
    ("criterion", "flags"), [("podi_elbo", {}), ("speculative_elbo", {"k": 5}), ("bow_elbo", {"bow_weight": 1.0})]
)
def test_losses_of_a_latent_want_one(task, criterion, flags):
    model = model_of(task, no_latents=True)
    with pytest.raises(InputError, match="is about the latent, and this model has none; remedy"):
        build_criterion(task, criterion, **flags).equip(model)


def test_both_scales_of_the_loss_without_latents(task):
    model, sample = model_of(task, no_latents=True), batch(task)
    logs = [build_criterion(task, "elbo", loss_scale=scale)(model, sample)[2] for scale in ("elbo", "released")]
    assert torch.isfinite(logs[1]["loss"]) and logs[1]["loss"] < logs[0]["loss"]


def test_best_of_k_is_no_worse_than_any(task):
    model, sample = spread(model_of(task)), persona_batch(task)
    with torch.no_grad():
        best = run(model, sample, num_latents=6)[1]["latent"]
        torch.manual_seed(3)
        noise = torch.randn(6, 5, 16)
        net_input = sample["net_input"]
        _, posterior, decoded = model.distributions(
            net_input["src_tokens"],
            net_input["prev_output_tokens"],
            sample["target"],
            *(net_input[n] for n in POSTERIOR_INPUTS),
        )
        every = decoded.nll(posterior.rsample(noise))
        torch.testing.assert_close(decoded.nll(best.z), every.min(0).values)


# --- decoding --------------------------------------------------------------------------------------------------------


def test_step_by_step_is_all_at_once(task):
    model, sample = spread(model_of(task)).eval(), persona_batch(task)
    net_input = sample["net_input"]
    out = model.encoder(net_input["src_tokens"], None, net_input["noise_seed"])
    previous = net_input["prev_output_tokens"]
    previous = previous.masked_fill(previous.eq(task.target_dictionary.pad()), 5)  # nothing follows a pad
    with torch.no_grad():
        whole, _ = model.decoder(previous, out)
        state = {}
        steps = [model.decoder(previous[:, : n + 1], out, state)[0] for n in range(previous.size(1))]
        torch.testing.assert_close(torch.cat(steps, 1), whole, rtol=1e-4, atol=1e-5)
        order = torch.tensor([3, 3, 0])
        model.decoder.reorder_incremental_state(state, order)
        chosen = model.encoder.reorder_encoder_out(out, order)
        longer = torch.cat([previous, previous[:, -1:]], 1)[order]
        step = model.decoder(longer, chosen, state)[0]
        torch.testing.assert_close(step, model.decoder(longer, chosen)[0][:, -1:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("beam", [1, 3])
def test_a_batch_is_decoded_as_its_contexts_are(task, beam):
    model, sample = spread(model_of(task)).eval(), persona_batch(task)
    generator = SequenceGenerator([model], task.target_dictionary, beam_size=beam, max_len_b=6)

    def decoded(part):
        return [[each["tokens"].tolist() for each in beams] for beams in task.inference_step(generator, [model], part)]

    together = decoded(sample)
    for row in range(5):
        net_input = {name: value[row : row + 1] for name, value in sample["net_input"].items()}
        assert decoded({**sample, "id": sample["id"][row : row + 1], "net_input": net_input}) == [together[row]]


def test_profiles_never_reach_a_model_that_decodes(task):
    """The encoder has no argument for them, the task takes them out, and what is decoded does not depend on them."""
    model, sample = spread(model_of(task)).eval(), persona_batch(task)
    seen = []
    encode = model.encoder.forward
    model.encoder.forward = lambda *args, **kwargs: seen.append(kwargs) or encode(*args, **kwargs)
    generator = SequenceGenerator([model], task.target_dictionary, beam_size=2, max_len_b=6)
    first = task.inference_step(generator, [model], sample)
    sample["net_input"]["partner_tokens"] = profiles(task, seed=11)
    again = task.inference_step(generator, [model], sample)
    assert [beam[0]["tokens"].tolist() for beam in first] == [beam[0]["tokens"].tolist() for beam in again]
    assert seen and not any(set(kwargs) & set(POSTERIOR_INPUTS) for kwargs in seen)
    with pytest.raises(TypeError):
        encode(sample["net_input"]["src_tokens"], partner_tokens=profiles(task))


def test_several_latents_a_context_and_the_fader_by_hand(task):
    model, sample = spread(model_of(task)).eval(), persona_batch(task)
    tokens, seeds = sample["net_input"]["src_tokens"], sample["net_input"]["noise_seed"]
    one = model.encoder(tokens, None, seeds)
    three = model.encoder(tokens.repeat_interleave(3, 0), None, seeds.repeat_interleave(3, 0), num_latents=3)
    torch.testing.assert_close(three["latent"][0][::3], one["latent"][0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(three["fader"][0][::3], one["fader"][0], rtol=1e-4, atol=1e-5)
    by_hand = model.encoder(tokens, None, seeds, fader=0.7)["fader"][0]
    assert torch.equal(by_hand, 0.7 * torch.tensor([1.0, -1.0] * 8).expand(5, 16))
    assert torch.allclose(model.encoder.latents.number(by_hand), torch.tensor(0.7))


@pytest.mark.parametrize(("direction", "seen"), [("ones", False), ("signs", True)])
def test_gpt2_sees_a_fader_only_where_its_dimensions_differ(task, direction, seen):
    """LayerNorm takes the mean over dimensions away: of s * (1, 1, ...), the paper's, no block ever learns s."""
    model, sample = spread(model_of(task, fader_direction=direction)).eval(), persona_batch(task)
    net_input = sample["net_input"]

    def logits(fader):
        out = model.encoder(net_input["src_tokens"], None, net_input["noise_seed"], fader=fader)
        return model.decoder(net_input["prev_output_tokens"], out)[0]

    assert torch.allclose(logits(0.1), logits(1.0), rtol=1e-3, atol=1e-3) is not seen


# --- construction ----------------------------------------------------------------------------------------------------


def test_injection_points():
    assert injection_points("auto", 24) == [5, 11, 17, 23]
    assert injection_points("auto", 12) == [2, 5, 8, 11]
    assert injection_points("every-4", 24) == [4, 8, 12, 16, 20]
    assert injection_points("3,1", 4) == [1, 3] and injection_points("none", 4) == []
    for text in ("0", "5", "a", "every-0", "every-4", "1,,2", ""):
        with pytest.raises(InputError, match="--inject-after .* remedy"):
            injection_points(text, 4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 3}, "does not divide"), ({"latent_encoder_heads": 5}, "does not divide"),
        ({"layers": 0}, "--layers 0 .*remedy: from 1"), ({"inject_after": "every-" + "9" * 5000}, "no model has so many"),
        ({"inject_weight": 1.5}, "from 0 to 1"), ({"positions": 2}, "--positions 2 "),
        ({"gpt2_path": "nowhere"}, "no config.json"),
        ({"latent_encoder_init": "gpt2"}, "--latent-encoder-heads 2 --latent-encoder-activation gelu"),
        (GPT2S_BLOCKS | {"latent_encoder_ffn_dim": 32}, "remedy: --latent-encoder-ffn-dim"),
        (GPT2S_BLOCKS | {"latent_encoder_heads": 4}, "--latent-encoder-heads 2"),
        (GPT2S_BLOCKS | {"latent_encoder_norm": "post"}, "--latent-encoder-norm pre"),
        (GPT2S_BLOCKS | {"latent_encoder_layers": 5}, "--latent-encoder-layers of at most 4"),
    ],
)  # fmt: skip
def test_what_no_model_can_be(task, changes, message):
    with pytest.raises(InputError, match=message):
        model_of(task, **changes)


def test_data_without_profiles(task):
    model, sample = model_of(task), batch(task)
    with pytest.raises(InputError, match="no profiles of the partner.*remedy"):
        run(model, sample)


def test_a_context_longer_than_the_positions(task):
    model = model_of(task)
    with pytest.raises(InputError, match="remedy: a shorter context"):
        model.encoder(torch.full((1, 300), 5), None, torch.tensor([1]))


@pytest.fixture
def gpt2_folder(tmp_path):
    """A GPT-2 of 4 layers of 16, with 60 words, as transformers saves it."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(4)
    config = GPT2Config(vocab_size=60, n_positions=64, n_embd=16, n_layer=4, n_head=2, bos_token_id=3, eos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def gpt2_task():
    """Words are the ids of GPT-2's."""
    made = Dictionary()
    for word in (*map(str, range(60)), EOT):
        made.add_symbol(word)
    config = PersonaDialogueConfig(
        data="nowhere", seed=1, update_freq=[1], best_checkpoint_metric="au", train_subset="train"
    )
    return PersonaDialogueTask(config, made, made)


def test_weights_of_a_folder(gpt2_folder, gpt2_task):
    from transformers import GPT2LMHeadModel

    theirs = GPT2LMHeadModel.from_pretrained(gpt2_folder).eval()
    model = model_of(gpt2_task, gpt2_path=str(gpt2_folder), no_latents=True, freeze_embeddings=True, positions=7).eval()
    table = model.encoder.embed_tokens.weight
    assert torch.equal(table[4:64], theirs.transformer.wte.weight)
    mean = theirs.transformer.wte.weight.mean(0)
    assert (table[:4] - mean).abs().max() < 0.01 and table[64:].sub(mean).abs().max() < 0.01  # new rows: near the mean
    model.encoder.embedding.marks.weight.data.zero_()
    tokens = torch.tensor([[5, 9, 2]])
    out = model.encoder(tokens, None, torch.tensor([1]))
    ours = model.decoder(torch.tensor([[2, 7]]), out)[0]
    vectors = table[torch.tensor([[0, 5, 9, 2, 7]])]
    expected = theirs.transformer(inputs_embeds=vectors).last_hidden_state[:, 3:] @ table.T
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    assert model.decoder.body.positions.num_embeddings == 64


def test_symbols_that_end_something_start_as_the_end_of_a_text(gpt2_folder, gpt2_task):
    from transformers import GPT2Config

    model = model_of(gpt2_task, gpt2_path=str(gpt2_folder), no_latents=True, symbols_from="end")
    words, table = gpt2_task.target_dictionary, model.encoder.embed_tokens.weight
    end = table[words.index("0")]
    assert torch.equal(table[words.eos()], end) and torch.equal(table[words.index(EOT)], end)
    start = table[words.index("3")]  # of a text
    assert torch.equal(table[words.bos()], start) and not torch.equal(start, end)
    config = GPT2Config.from_pretrained(gpt2_folder)
    config.bos_token_id = None
    config.save_pretrained(gpt2_folder)
    model = model_of(gpt2_task, gpt2_path=str(gpt2_folder), no_latents=True, symbols_from="end")
    assert torch.equal(model.encoder.embed_tokens.weight[words.bos()], end)
    config.eos_token_id = 60
    config.save_pretrained(gpt2_folder)
    with pytest.raises(InputError, match="eos_token_id is no token of it; remedy"):
        model_of(gpt2_task, gpt2_path=str(gpt2_folder), no_latents=True, symbols_from="end")


def test_frozen_tables_but_for_the_symbols_that_gpt2_lacks(gpt2_folder, gpt2_task):
    """Their rows are alike at first: frozen, the end of a response could not be told from <unk> or <eot>."""
    model = model_of(gpt2_task, gpt2_path=str(gpt2_folder), freeze_embeddings=True, no_latents=True)
    table, positions = model.encoder.embed_tokens, model.decoder.body.positions.weight
    before, symbols = table.whole().clone(), [0, 1, 2, 3, gpt2_task.target_dictionary.index(EOT)]
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert not {id(table.weight), id(positions)} & set(map(id, trained))  # no gradient and no state of an optimiser
    optimiser = torch.optim.Adam(trained, 0.1)
    sample = {
        "src_tokens": torch.tensor([[5, 9, 2]]),
        "src_lengths": torch.tensor([3]),
        "prev_output_tokens": torch.tensor([[2, 7]]),
    }
    logits, _ = model(**sample, target=torch.tensor([[7, 2]]))
    logits.float().log_softmax(-1)[..., 2].sum().backward()
    optimiser.step()
    assert positions.grad is None
    after = table.whole()
    assert (after - before).abs().sum(1).nonzero().flatten().tolist() == symbols
    again = model_of(gpt2_task, gpt2_path=str(gpt2_folder), freeze_embeddings=True, no_latents=True)
    state = model.state_dict()
    again.load_state_dict(state)
    assert torch.equal(state["encoder.embedding.embed_tokens.weight"], after)
    assert not [name for name in state if name.endswith("trained")]
    assert torch.equal(again.encoder.embed_tokens.whole(), after)
    assert torch.equal(again.encoder.embed_tokens(torch.arange(len(after))), after)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_folder_in_half_precision(gpt2_folder, gpt2_task, dtype):
    from transformers import GPT2LMHeadModel

    theirs = GPT2LMHeadModel.from_pretrained(gpt2_folder).to(dtype)
    theirs.save_pretrained(gpt2_folder)
    model = model_of(gpt2_task, gpt2_path=str(gpt2_folder))
    assert torch.equal(model.encoder.embed_tokens.weight[4:64], theirs.transformer.wte.weight.float())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_readers_start_as_gpt2s_blocks(gpt2_folder, gpt2_task):
    model = model_of(gpt2_task, gpt2_path=str(gpt2_folder), **GPT2S_BLOCKS).eval()
    layer, block = model.encoder.latents.prior_reader.layers.layers[1], model.decoder.body.model.h[1]
    states = torch.randn(2, 3, 16)
    theirs = block(states, attention_mask=torch.zeros(1, 1, 3, 3))
    theirs = theirs[0] if isinstance(theirs, tuple) else theirs
    torch.testing.assert_close(layer(states), theirs, rtol=1e-2, atol=1e-2)  # GELU, by tanh there


@pytest.mark.parametrize("damage", ["weights", "config"])
def test_folders_that_are_damaged(gpt2_folder, gpt2_task, damage):
    if damage == "weights":
        weights = gpt2_folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-500])
    else:
        (gpt2_folder / "config.json").write_text("{")
    with pytest.raises(InputError, match="remedy: copy the folder again"):
        model_of(gpt2_task, gpt2_path=str(gpt2_folder))


def test_sizes_are_the_folders(gpt2_folder, gpt2_task):
    model = model_of(gpt2_task, gpt2_path=str(gpt2_folder), embed_dim=32, layers=2, heads=4)
    assert model.latent_dim == 16 and model.decoder.body.model.config.n_layer == 4
    assert model.max_positions() == (64 - 16 - 1, 16)  # of a table of 64 positions


def test_words_that_are_not_gpt2s(gpt2_folder, task):
    with pytest.raises(InputError, match="does not have the data's words; remedy"):
        model_of(task, gpt2_path=str(gpt2_folder))


def test_one_token_too_many(gpt2_folder, gpt2_task):
    """As of a tokenizer with more types: most ids have a row, but not their own."""
    gpt2_task.target_dictionary.add_symbol("60")
    with pytest.raises(InputError, match="has no token 60, which the data has; remedy: .* GPT2="):
        model_of(gpt2_task, gpt2_path=str(gpt2_folder))


def test_tokens_of_another_tokenizer(gpt2_folder, gpt2_task, tmp_path_factory, caplog):
    """The ids have rows, but the data's files say that they are other words."""
    gpt2_task.cfg.data = str(tmp_path_factory.mktemp("data"))
    types = [chr(ord("A") + row) for row in range(60)]

    def tokenizer(folder, types):
        (Path(folder) / "encoder.json").write_text(json.dumps({word: row for row, word in enumerate(types)}))
        (Path(folder) / "vocab.bpe").write_text("#version: 0.2\n")

    tokenizer(gpt2_task.cfg.data, types[:-1])  # the folder may have tokens that were added
    model_of(gpt2_task, gpt2_path=str(gpt2_folder))
    assert "no tokenizer there" in caplog.text
    caplog.clear()
    tokenizer(gpt2_folder, types)
    model_of(gpt2_task, gpt2_path=str(gpt2_folder))
    assert not caplog.text
    tokenizer(gpt2_task.cfg.data, [types[1], types[0], *types[2:]])
    with pytest.raises(InputError, match="its tokenizer is not that of .*; remedy: .* GPT2="):
        model_of(gpt2_task, gpt2_path=str(gpt2_folder))


def test_other_tasks_and_losses_of_other_models(task, words):
    plain = DialogueTask(
        DialogueConfig(data="nowhere", seed=1, update_freq=[1], best_checkpoint_metric="au"), words, words
    )
    with pytest.raises(InputError, match="remedy: --task persona_dialogue"):
        model_of(plain)
    model = model_of(task)
    with pytest.raises(InputError, match="two latents of one space.*remedy"):
        build_criterion(task, "spacefusion").equip(model)


def test_gaussians_are_computed_in_full_precision(task):
    """Under autocast, too: L_Po-di compares means that differ by little."""
    head = spread(model_of(task)).encoder.latents.recognition_head
    state = torch.randn(5, 16)
    with torch.autocast("cpu", torch.bfloat16):
        found = head(state)
    assert torch.equal(found.mean, head(state).mean) and torch.equal(found.logvar, head(state).logvar)


def test_marks_are_rows_of_their_own(task):
    assert sorted((ZP, FADER, OTHER)) == [0, 1, 2]
    assert model_of(task).encoder.embedding.marks.weight.shape == (3, 16)


def test_options_of_the_task(words):
    for changes, message in (
        ({"fader": 1.5}, "--fader"), ({"repetition_penalty": 0.5}, "--repetition-penalty"),
        ({"max_partner_tokens": 1}, "--max-partner"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            PersonaDialogueTask(PersonaDialogueConfig(data="nowhere", seed=1, **changes), words, words)


def test_a_fader_with_noise(task):
    """Of a share of its value, from each example's own seed, in another stream than Zp."""
    model, sample = spread(model_of(task)).eval(), batch(task)["net_input"]
    tokens, seeds = sample["src_tokens"], torch.arange(5) + 1000

    def drawn(rows, **changes):
        return model.encoder(tokens[rows], None, seeds[rows], fader=0.5, **changes)

    plain, noisy, alone = drawn(slice(5)), drawn(slice(5), fader_noise=0.25), drawn(slice(2, 3), fader_noise=0.25)
    assert torch.equal(plain["latent"][0], noisy["latent"][0])
    shares = noisy["fader"][0] / plain["fader"][0] - 1  # (5, 16)
    assert shares.abs().max() > 0.25 and abs(shares.std() - 0.25) < 0.1 and len(shares.unique()) == shares.numel()
    torch.testing.assert_close(alone["fader"][0], noisy["fader"][0][2:3])
    with pytest.raises(InputError, match="--fader-noise 0.25 without --fader; remedy"):
        PersonaDialogueTask(PersonaDialogueConfig(data="nowhere", seed=1, fader_noise=0.25), task.source_dictionary)


def test_turns_may_end_as_responses_do(task, words):
    """`--turn-end eos`: the vector of </s> stands between turns, whose roles stay as they are."""
    own, released = (model_of(task, turn_end=end).encoder.embedding for end in ("eot", "eos"))
    tokens = torch.tensor([[5, words.index(EOT), 6, 2]])
    one, other = own.context(tokens, with_end=True), released.context(tokens, with_end=True)
    assert torch.equal(other.vectors[0, 2], released.embed_tokens.weight[words.eos()])
    assert torch.equal(one.vectors[0, 2], own.embed_tokens.weight[words.index(EOT)])
    kept = [0, 1, 3, 4]
    assert torch.equal(one.vectors[:, kept], other.vectors[:, kept]) and torch.equal(one.mask, other.mask)


def test_a_generator_says_no_symbol_and_no_unknown_word(task, words):
    search = task.build_generator([model_of(task)], GenerationConfig(beam=2)).search
    lprobs = torch.zeros(1, 2, len(words))
    search.step(0, lprobs, torch.zeros(1, 2, 1))
    said = lprobs[0, 0].isfinite().nonzero().flatten().tolist()
    assert not {words.bos(), words.unk(), words.index(EOT)} & set(said) and words.eos() in said


def test_a_fader_by_hand_wants_latents(task):
    task.cfg.fader = 0.5
    with pytest.raises(InputError, match="--fader 0.5: this model has no fader; remedy"):
        task.build_generator([model_of(task, no_latents=True)], GenerationConfig(beam=2))


def test_a_penalty_leaves_the_nucleus_alone(words):
    """The first word was said: without a sum of 1, nothing would be cut."""
    from fairseq.search import Sampling

    from fairseq_latent.decoding.search import restrict

    search = Sampling(words, sampling_topp=0.8)
    restrict(search, [], 4.0)
    lprobs = torch.full((1, 1, len(words)), 0.2 / (len(words) - 2)).log()
    lprobs[..., 5], lprobs[..., 6] = math.log(0.5), math.log(0.3)
    torch.manual_seed(1)
    drawn = {
        int(search.step(1, lprobs.clone(), torch.zeros(1, 1, 1), torch.tensor([[2, 5]]), None)[1]) for _ in range(200)
    }
    assert len(drawn) < len(words) - 2  # the unlikeliest are cut


def test_symbols_are_never_said_and_words_said_again_less(task, words):
    from fairseq_latent.decoding.search import restrict

    seen = []
    search = SimpleNamespace(step=lambda number, lprobs, *rest: seen.append(lprobs))
    restrict(search, [words.index(EOT)], 2.0)
    lprobs = torch.full((1, 2, len(words)), -1.0)
    search.step(2, lprobs, None, torch.tensor([[[2, 5, 6], [2, 7, 7]]]))
    expected = torch.full((1, 2, len(words)), -1.0)
    expected[0, 0, [5, 6]] = expected[0, 1, 7] = -2.0
    expected[..., words.index(EOT)] = -torch.inf
    assert torch.equal(seen[0], expected)
