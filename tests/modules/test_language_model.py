"""Any language model as the persona model's body, against `transformers`: with pads, caches, latents and frozen blocks."""

import importlib.util
import json
from argparse import Namespace

import pytest
import torch
from fairseq.data import Dictionary

from fairseq_latent.errors import InputError
from fairseq_latent.modules.language_models import pretrained
from fairseq_latent.modules.language_models.body import LanguageModelBody, blocks_of
from fairseq_latent.modules.latents.encoders import BlocksReader
from fairseq_latent.modules.latents.persona import Tokens, fader_line
from fairseq_latent.symbols import EOT
from fairseq_latent.tasks.persona_dialogue import PersonaDialogueConfig, PersonaDialogueTask

from ..helpers import programs
from ..helpers.tiny import batch, build_model, widened

if importlib.util.find_spec("transformers") is None:
    pytest.skip("transformers is not installed", allow_module_level=True)

WORDS, POSITIONS = 40, 64
COMMON = {"vocab_size": WORDS, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 4, "bos_token_id": 1,
          "eos_token_id": 2, "max_position_embeddings": POSITIONS}  # fmt: skip
FAMILIES = {
    "gpt2": {"vocab_size": WORDS, "n_positions": POSITIONS, "n_embd": 16, "n_layer": 4, "n_head": 4, "bos_token_id": 1,
             "eos_token_id": 2},
    "llama": COMMON | {"intermediate_size": 24, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "qwen2": COMMON | {"intermediate_size": 24, "num_key_value_heads": 2},
    "opt": COMMON | {"ffn_dim": 24, "word_embed_proj_dim": 16},
    "gpt_neox": COMMON | {"intermediate_size": 24},
}  # fmt: skip
every_family = pytest.mark.parametrize("kind", list(FAMILIES))


def save(folder, kind, **options):
    """A random model of the family, whose weights matter; returns it as transformers reads it."""
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**FAMILIES[kind] | options))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return AutoModelForCausalLM.from_pretrained(folder).eval()


@pytest.fixture
def task():
    """Words are ids of a language model of 40."""
    made = Dictionary()
    for word in (*map(str, range(WORDS)), EOT):
        made.add_symbol(word)
    config = PersonaDialogueConfig(
        data="nowhere", seed=1, update_freq=[1], best_checkpoint_metric="au", train_subset="train"
    )
    return PersonaDialogueTask(config, made, made)


STILL = {"dropout": 0.0, "attention_dropout": 0.0, "latent_encoder_dropout": 0.0, "positions": POSITIONS - 2}


def model_of(task, folder, **changes):
    torch.manual_seed(1)
    return build_model(task, "persona_cvae_gpt2_tiny", **STILL | {"gpt2_path": str(folder)} | changes).eval()


def decoded(model, sample):
    inputs = sample["net_input"]
    out = model.encoder(inputs["src_tokens"], None, inputs["noise_seed"])
    return model.decoder(inputs["prev_output_tokens"], out)[0][sample["target"].ne(1)]


@every_family
def test_without_latents_it_is_the_language_model(task, tmp_path, kind):
    theirs = save(tmp_path, kind)
    model = model_of(task, tmp_path, no_latents=True)
    model.encoder.embedding.marks.weight.data.zero_()
    with torch.no_grad():
        model.encoder.embed_tokens.weight[:4] = torch.randn(4, 16)
        out = model.encoder(torch.tensor([[5, 9, 2]]), None, torch.tensor([1]))
        ours = model.decoder(torch.tensor([[2, 7]]), out)[0]
        vectors = model.encoder.embed_tokens(torch.tensor([[0, 5, 9, 2, 7]]))
        expected = theirs(inputs_embeds=vectors).logits[:, 3:]
    torch.testing.assert_close(ours[..., 4 : 4 + WORDS], expected, rtol=1e-4, atol=1e-5)


@every_family
@pytest.mark.parametrize("at", ["start", "after_bos"])
def test_pads_batches_and_caches_change_nothing(task, tmp_path, kind, at):
    save(tmp_path, kind)
    how = {"latents_at": at, "inject_scale": "state" if at == "after_bos" else "raw", "latent_encoder_init": "lm"}
    model, sample = model_of(task, tmp_path, **how), batch(task)
    with torch.no_grad():
        expected = decoded(model, sample)
        torch.testing.assert_close(decoded(model, widened(task, sample)), expected)
        inputs = sample["net_input"]
        right = inputs["src_tokens"].clone()
        for row, tokens in enumerate(inputs["src_tokens"]):
            real = tokens[tokens.ne(1)]
            right[row] = torch.cat([real, torch.ones(len(tokens) - len(real), dtype=torch.long)])
        torch.testing.assert_close(decoded(model, sample | {"net_input": inputs | {"src_tokens": right}}), expected)
        single = [
            decoded(
                model,
                {"net_input": {name: value[row : row + 1] for name, value in inputs.items()},
                 "target": sample["target"][row : row + 1]},
            )
            for row in range(len(sample["target"]))
        ]  # fmt: skip
        torch.testing.assert_close(torch.cat(single), expected, rtol=1e-4, atol=1e-5)
        out, state = model.encoder(inputs["src_tokens"], None, inputs["noise_seed"]), {}
        previous = inputs["prev_output_tokens"].masked_fill(inputs["prev_output_tokens"].eq(1), 5)
        steps = [model.decoder(previous[:, : n + 1], out, state)[0] for n in range(previous.size(1))]
        torch.testing.assert_close(torch.cat(steps, 1), model.decoder(previous, out)[0], rtol=1e-4, atol=1e-5)


@every_family
def test_a_checkpoint_needs_no_folder(task, tmp_path, kind):
    save(tmp_path, kind)
    model, sample = model_of(task, tmp_path), batch(task)
    options = {name: value for name, value in model.found_options.items() if name != "positions"}
    assert json.loads(options["lm_config"])["model_type"] == kind and str(tmp_path) not in options["lm_config"]
    again = model_of(task, tmp_path, gpt2_path=None, **options)
    again.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(decoded(again, sample), decoded(model, sample))


@pytest.mark.parametrize(("kind", "most"), [("gpt2", POSITIONS), ("opt", POSITIONS), ("llama", POSITIONS - 2)])
def test_no_more_positions_than_it_has(task, tmp_path, kind, most):
    save(tmp_path, kind)
    assert model_of(task, tmp_path, positions=1000).found_options["positions"] == most
    assert model_of(task, tmp_path, positions=20).max_positions() == (20 - 5 - 1, 5)


# --- latents ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize(("at", "scale"), [("start", "raw"), ("after_bos", "state")])
def test_latents_stand_and_are_mixed_in_where_it_says(tmp_path, kind, at, scale):
    """Against the library's own model, with a hook that knows the columns."""
    theirs = save(tmp_path, kind)
    body = LanguageModelBody(pretrained.of_folder(str(tmp_path), 32, 0, 0).body.eval(), 2, [2, 3], 0.5, at, scale)
    latents, vectors = torch.randn(1, 2, 16), torch.randn(1, 4, 16)
    first = 1 if at == "after_bos" else 0

    def mix(block, inputs, output):
        states = (output[0] if isinstance(output, tuple) else output).clone()
        for slot in (0, 1):
            state, latent = states[0, first + slot], latents[0, slot]
            longer = state.norm() / latent.norm() if scale == "state" else 1.0
            states[0, first + slot] = 0.5 * state + 0.5 * longer * latent
        return (states, *output[1:]) if isinstance(output, tuple) else states

    base = theirs.base_model
    for block in (1, 2):
        blocks_of(base)[block].register_forward_hook(mix)
    order = [vectors[:, :first], latents, vectors[:, first:]]
    if kind == "gpt2":  # no position at the latents, and words as if they were not there
        order[1] = latents - base.wpe.weight[0]
        places = [*range(first), 0, 0, *range(first, 4)]
    else:
        places = list(range(6))
    with torch.no_grad():
        expected = base(inputs_embeds=torch.cat(order, 1), position_ids=torch.tensor([places])).last_hidden_state
        found = body(latents, vectors, torch.arange(4).unsqueeze(0), torch.ones(1, 6, dtype=torch.bool))
    kept = [column for column in range(6) if not first <= column < first + 2]
    torch.testing.assert_close(found, expected[:, kept], rtol=1e-4, atol=1e-5)


@every_family
def test_the_first_blocks_read_both_ways(tmp_path, kind):
    """The library's own blocks under a mask that hides nothing but pads."""
    theirs = save(tmp_path, kind).base_model
    reader = BlocksReader(pretrained.of_folder(str(tmp_path), 32, 0, 0).body, 2, 0.0).eval()
    slots, vectors = torch.randn(1, 1, 16), torch.randn(1, 4, 16)
    mask = torch.tensor([[True, True, False, True]])
    tokens = Tokens(vectors, torch.tensor([[0, 1, 0, 2]]), mask)
    table = getattr(theirs, "wpe", None) or getattr(getattr(theirs, "decoder", None), "embed_positions", None)
    offset = getattr(table, "offset", 0)
    real = vectors[:, mask[0]]
    before = slots if table is None else slots - table.weight[offset]
    places = torch.tensor([[0, 1, 2, 3] if table is None else [0, 0, 1, 2]])
    states = []
    blocks_of(theirs)[1].register_forward_hook(lambda block, inputs, output: states.append(output))
    with torch.no_grad():
        found = reader(slots, tokens, None)
        theirs(
            inputs_embeds=torch.cat([before, real], 1), position_ids=places,
            attention_mask=torch.zeros(1, 1, 4, 4),
        )  # fmt: skip
    expected = states[0][0] if isinstance(states[0], tuple) else states[0]
    torch.testing.assert_close(found, expected[:, :1], rtol=1e-4, atol=1e-5)


def test_prior_and_recognition_share_nothing_but_positions(task, tmp_path):
    for kind in ("gpt2", "llama"):
        save(tmp_path / kind, kind)
        model = model_of(task, tmp_path / kind, latent_encoder_init="lm")
        own = {id(parameter) for parameter in model.inference_parameters()}
        named = {name for name, parameter in model.named_parameters() if id(parameter) in own}
        assert named and all("recognition" in name for name in named), named


def test_only_the_top_blocks_learn(task, tmp_path):
    save(tmp_path, "llama")
    model = model_of(task, tmp_path, train_blocks=2, freeze_embeddings=True, inject_after="1,3").train()
    body = model.decoder.body
    seen = []
    blocks_of(body.model)[1].register_forward_hook(lambda block, inputs, output: seen.append(output.requires_grad))
    sample = batch(task)
    profiles = sample["target"]
    inputs = sample["net_input"] | {"partner_tokens": profiles, "similarity": torch.rand(len(profiles))}
    logits, extra = model(**inputs, target=sample["target"])
    latent = extra["latent"]
    (logits.float().log_softmax(-1)[..., 5].sum() + latent.posterior.kl(latent.prior).sum()).backward()
    assert set(seen) == {False}  # nothing to go back to
    for number, block in enumerate(blocks_of(body.model)):
        assert {parameter.requires_grad for parameter in block.parameters()} == {number >= 2}
        assert all((parameter.grad is None) == (number < 2) for parameter in block.parameters())
    assert model.encoder.latents.recognition_head.out.weight.grad.abs().sum() > 0
    assert model.encoder.embed_tokens.trained.grad.abs().sum() > 0
    everything = model_of(task, tmp_path, freeze_embeddings=True, inject_after="1,3")
    everything.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(decoded(everything, sample), decoded(model.eval(), sample))


def test_both_norms_see_a_fader_that_turns():
    """LayerNorm takes away what all dimensions have in common, RMSNorm how long a vector is."""
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    def seen(kind, norm):
        start, direction = fader_line(kind, 16)
        low, high = (norm(1e3 * (start + s * direction)) for s in (0.1, 0.9))  # as long as states are
        return float((low - high).norm())

    norms = torch.nn.LayerNorm(16, elementwise_affine=False), LlamaRMSNorm(16)
    assert all(seen("blend", norm) > 1 for norm in norms)
    assert seen("ones", norms[0]) < 1e-3 and seen("ones", norms[1]) < 1e-3
    assert seen("signs", norms[1]) < 1e-3


def test_a_fader_of_either_line_is_its_number(task, tmp_path):
    save(tmp_path, "llama")
    for direction in ("signs", "ones", "blend"):
        latents = model_of(task, tmp_path, fader_direction=direction).encoder.latents
        numbers = torch.tensor([0.0, 0.25, 1.0])
        torch.testing.assert_close(latents.number(latents.of_number(numbers)), numbers)
        assert latents.fader_kl(latents.of_number(numbers), numbers).tolist() == [0, 0, 0]


# --- what is no body ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("bert", {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}, "as in BERT; remedy"),
        ("gemma", {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "head_dim": 8,
                   "num_key_value_heads": 2}, "its logits are not its states times its output table"),
        ("gemma2", {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "head_dim": 8,
                    "num_key_value_heads": 2}, "with softcap is not supported; remedy"),
        ("mistral", {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2,
                     "sliding_window": 8}, "look back 8 tokens only; remedy: --positions 8"),
        ("opt", {"hidden_size": 16, "word_embed_proj_dim": 8, "num_hidden_layers": 2, "num_attention_heads": 2},
         "words of 8 dimensions in a body of 16"),
    ],
)  # fmt: skip
def test_what_would_be_computed_otherwise_is_refused(tmp_path, kind, options, said):
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    sizes = {"vocab_size": WORDS, "intermediate_size": 24} if kind != "opt" else {"vocab_size": WORDS, "ffn_dim": 24}
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**sizes, **options))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(tmp_path)
    with pytest.raises(InputError, match=said):
        pretrained.of_folder(str(tmp_path), 32, 0.0, 0.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "t5"}, "a model of type t5, which is no language model; remedy"),
        ({"model_type": "nobodys"}, "remedy: copy the folder again"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "its weights are quantised"),
        ({"auto_map": {"AutoConfig": "evil.Config"}, "model_type": "nobodys"}, "remedy: copy the folder again"),
    ],
)
def test_configurations_that_are_refused(tmp_path, change, said):
    save(tmp_path, "llama")
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    config = json.loads((tmp_path / "config.json").read_text()) | change
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=said):
        pretrained.of_folder(str(tmp_path), 32, 0.0, 0.0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train_blocks": 5, "freeze_embeddings": True}, "the language model has 4; remedy"),
        ({"train_blocks": 2}, "remedy: --freeze-embeddings"),
        ({"train_blocks": 1, "freeze_embeddings": True, "inject_after": "1,2"}, "remedy: --inject-after 3"),
        ({"train_blocks": 1, "freeze_embeddings": True, "inject_weight": 0.0}, "remedy: --inject-after 3"),
        ({"latent_encoder_init": "gpt2"}, "remedy: --latent-encoder-init lm"),
        (
            {"latent_encoder_init": "lm", "latent_encoder_layers": 5},
            "--latent-encoder-layers 5: the language model has 4",
        ),
    ],
)
def test_options_that_do_not_fit(task, tmp_path, changes, said):
    save(tmp_path, "llama")
    with pytest.raises(InputError, match=said):
        model_of(task, tmp_path, **changes)


@pytest.mark.parametrize("text", ["{", "[]", '{"model_type": "t6"}', '{"model_type": "llama", "hidden_size": "x"}'])
def test_a_checkpoint_with_another_configuration(task, tmp_path, text):
    with pytest.raises(InputError, match="--lm-config: .*remedy"):
        model_of(task, tmp_path, gpt2_path=None, lm_config=text)


# --- the stock commands --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lm_bin(tmp_path_factory):
    """Sixteen pairs of numbers as words, with a dictionary of all ids."""
    text, target = tmp_path_factory.mktemp("text"), tmp_path_factory.mktemp("data")
    rows = [f"{n % 7 + 3} {n % 5 + 10} <eot> {n % 3 + 20}" for n in range(16)]
    for split in ("train", "valid", "test"):
        (text / f"{split}.src").write_text("\n".join(rows) + "\n")
        (text / f"{split}.tgt").write_text("\n".join(f"{n % 9 + 3} {n % 4 + 30}" for n in range(16)) + "\n")
    (text / "dict.txt").write_text("".join(f"{word} 1\n" for word in (*range(WORDS), EOT)))
    sides = ("--source-lang", "src", "--target-lang", "tgt", "--joined-dictionary", "--srcdict", text / "dict.txt")
    splits = [f"--{split}pref={text / split}" for split in ("train", "valid", "test")]
    programs.run("fairseq-preprocess", *sides, *splits, "--destdir", target)
    return target


def test_it_trains_goes_on_decodes_and_is_handed_over(lm_bin, tmp_path):
    theirs = save(tmp_path / "lm", "llama")
    task = ("--task", "persona_dialogue")
    flags = (*task, "--lm-path", tmp_path / "lm", "--positions", "32", "--no-latents", "--symbols-from", "end")
    frozen = ("--freeze-embeddings", "--train-blocks", "2", "--adam-betas", "(0.9, 0.999)")
    kind = {"arch": "persona_cvae_gpt2", "criterion": "elbo"}
    programs.fit(lm_bin, tmp_path / "whole", *flags, *frozen, "--max-update", "4", **kind)
    programs.fit(lm_bin, tmp_path / "parts", *flags, *frozen, "--max-update", "2", **kind)
    programs.fit(lm_bin, tmp_path / "parts", *flags, *frozen, "--max-update", "4", **kind)
    last = tmp_path / "whole/checkpoint_last.pt"
    programs.assert_same_parameters(last, tmp_path / "parts/checkpoint_last.pt")
    (tmp_path / "lm").rename(tmp_path / "gone")
    by_beam = (*task, "--beam", "2", "--max-len-a", "0", "--max-len-b", "6")
    hypotheses = programs.decode(lm_bin, last, *by_beam).hypotheses()
    assert len(hypotheses) == 16
    assert programs.decode(lm_bin, last, *by_beam, "--batch-size", "1").hypotheses() == hypotheses
    done = programs.tool("convert", last, tmp_path / "handed", "--data", lm_bin)
    assert done.returncode == 0, done.stderr
    from transformers import AutoModelForCausalLM

    handed = AutoModelForCausalLM.from_pretrained(tmp_path / "handed").eval()
    below = f"model.layers.{1}.mlp.up_proj.weight"
    assert torch.equal(handed.state_dict()[below], theirs.state_dict()[below])
    above = "model.layers.3.mlp.up_proj.weight"
    assert not torch.equal(handed.state_dict()[above], theirs.state_dict()[above])
    done = programs.tool("convert", tmp_path / "gone", tmp_path / "lm.pt", "--data", lm_bin)
    assert done.returncode == 0, done.stderr
    assert len(programs.decode(lm_bin, tmp_path / "lm.pt", *by_beam).hypotheses()) == 16
    chat = ("chat", lm_bin, "--path", last, "--cpu", "--replies", "2", "--max-length", "4")
    assert "1. " in programs.tool(*chat, stdin="3 10\n").stdout


def test_flags_have_two_names():
    from fairseq import options

    parser = options.get_training_parser()
    options.parse_args_and_arch(parser, ["data", "--task", "persona_dialogue", "--arch", "persona_cvae_gpt2_tiny"])
    found = {option: action.dest for action in parser._actions for option in action.option_strings}
    assert found["--lm-path"] == found["--gpt2-path"] == "gpt2_path"
    assert found["--latent-encoder-init"] == found["--latent-encoder-init"] == "latent_encoder_init"
    assert isinstance(parser.parse_known_args(["data", "--lm-path", "x"])[0], Namespace)
