"""What decoding cannot do, as one line: flags of fairseq that it would fail at or ignore, and models that have diverged."""

from argparse import Namespace

import pytest
import torch
from fairseq import options
from fairseq.dataclass.configs import GenerationConfig
from fairseq.tasks import FairseqTask

from fairseq_latent.decoding.generation_flags import check_flags
from fairseq_latent.errors import InputError

from ..helpers import programs
from ..helpers.tiny import batch, build_model, sentence_batch

REFUSED = (
    (("--beam", "0"), "--beam 0 is out of range; remedy: 1 or more"),
    (("--nbest", "0"), "--nbest 0 is out of range; remedy: 1 or more"),
    (("--max-len-b", "0"), "--max-len-b 0 is below --min-len 1; remedy: 1 or more"),
    (("--max-len-b", "5", "--min-len", "9"), "--max-len-b 5 is below --min-len 9; remedy: 9 or more"),
    (("--max-len-b", "-1"), "--max-len-b -1 is out of range"),
    (("--temperature", "0"), "--temperature 0.0 is out of range"),
    (("--temperature", "nan"), "--temperature nan is out of range"),
    (("--lenpen", "nan"), "--lenpen nan is out of range"),
    (("--lenpen", "1e9"), "--lenpen 1000000000.0 is out of range; remedy: from -100 to 100"),
    (("--unkpen", "nan"), "--unkpen nan is out of range"),
    (("--no-repeat-ngram-size", "-2"), "--no-repeat-ngram-size -2 is out of range"),
    (("--print-step",), "--print-step: for models that refine a whole text in steps"),
    (("--retain-iter-history",), "--retain-iter-history: for models that refine"),
    (("--replace-unk",), "--replace-unk copies words of a raw text"),
    (("--sampling",), "--sampling --beam 5 --nbest 1: the likeliest of several samples are no samples"),
    (("--sampling", "--beam", "3", "--nbest", "2"), "remedy: --beam 2 --nbest 2"),
    (("--sampling-topk", "4"), "--sampling-topk 4 without --sampling"),
    (("--sampling-topp", "0.5"), "--sampling-topp 0.5 without --sampling"),
    (("--sampling", "--beam", "1", "--sampling-topp", "1.5"), "--sampling-topp 1.5 is out of range"),
    (("--nbest", "3", "--beam", "2"), "--nbest 3: a search with --beam 2 has no more than 2; remedy: --beam 3"),
    (("--diverse-beam-groups", "2", "--beam", "3"), "--diverse-beam-groups 2 of --beam 3"),
    (("--sampling", "--beam", "1", "--constraints"), "--sampling and --constraints are searches of their own"),
)


def parsed(*flags, task="dialogue"):
    parser = options.get_generation_parser()
    return options.parse_args_and_arch(parser, ["nowhere", "--task", task, "--path", "no.pt", *flags])


@pytest.mark.parametrize(
    ("flags", "line"), REFUSED, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_flags_are_refused_before_anything_is_loaded(flags, line, refused):
    assert line in refused(parsed, *flags)
    assert parsed(*flags, task="translation").task == "translation"  # fairseq's own to say


def test_settings_that_decoding_can_do():
    for flags in ((), ("--sampling", "--beam", "3", "--nbest", "3", "--sampling-topp", "1"), ("--match-source-len",),
                  ("--max-len-a", "1.5", "--max-len-b", "0"), ("--diversity-rate", "0.5")):  # fmt: skip
        parsed(*flags)
    check_flags(GenerationConfig())
    check_flags(Namespace())  # fairseq has a default for each


def test_a_generator_checks_them_too(task):
    """For chat, the hub and other programs: without a command line."""
    with pytest.raises(InputError, match="--temperature 0"):
        task.build_generator([build_model(task)], GenerationConfig(temperature=0.0))
    task.cfg.latent_samples = 3
    args = GenerationConfig(beam=2, nbest=2, sampling=True)
    for _ in range(2):  # of each latent two: nbest is then that of all
        task.build_generator([build_model(task)], args)
    assert args.nbest == 6


def test_alignment_is_for_models_with_attention_to_the_context(task, text_task, refused):
    args = Namespace(beam=2, nbest=1, max_len_a=0, max_len_b=4, print_alignment="hard")
    model = build_model(task).eval()
    for layer in model.decoder.layers:
        layer.need_attn = True  # as fairseq-generate asks for
    found = task.inference_step(task.build_generator([model], args), [model], batch(task))
    assert all(len(beam["alignment"]) for beams in found for beam in beams)
    line = refused(text_task.build_generator, [build_model(text_task, "gru_vae_tiny")], args)
    assert "--print-alignment: this model has no attention to the context" in line


def test_a_latent_model_is_no_language_model(task, refused):
    model = build_model(task)
    line = refused(
        task.build_generator, [model], Namespace(), extra_gen_cls_kwargs={"lm_model": model, "lm_weight": 1.0}
    )
    assert "--lm-path" in line


# --- models that have diverged ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_parameters_that_are_no_numbers(task, refused, value):
    model = build_model(task)
    model.decoder.layers[0].fc1.bias.data[3] = value
    line = refused(task.build_generator, [model], Namespace(beam=2))
    assert "layers.0.fc1.bias has values that are no numbers, its training has diverged" in line


@pytest.mark.parametrize("args", [{"beam": 2}, {"beam": 1, "sampling": True, "sampling_topk": 3}], ids=str)
def test_numbers_that_overflow(text_task, refused, args):
    """Finite parameters, probabilities that are none."""
    model, sample = build_model(text_task, "gru_vae_tiny").eval(), sentence_batch(text_task)
    generator = text_task.build_generator([model], Namespace(**args, max_len_a=0, max_len_b=8))
    for parameter in model.parameters():
        parameter.data.fill_(3e38)
    with pytest.raises(AssertionError, match="8 < 8"):
        given = {**sample, "net_input": sample["net_input"] | text_task.sampling_inputs()}
        generator.search.begin(sample["net_input"]["noise_seed"], 1, 1) if "sampling" in args else None
        FairseqTask.inference_step.__wrapped__(
            text_task, generator, [model], {**given, "id": torch.arange(len(sample["id"]))}
        )
    line = refused(text_task.inference_step, generator, [model], sample)
    assert "the model's probabilities are no numbers, its training has diverged; remedy: an earlier checkpoint" in line


def test_a_search_that_its_flags_leave_nothing(task, refused):
    """Seven words and <unk>, each once: no response of eleven."""
    model = build_model(task).eval()
    args = Namespace(beam=2, max_len_a=0, max_len_b=20, min_len=11, no_repeat_ngram_size=1)
    line = refused(task.inference_step, task.build_generator([model], args), [model], batch(task))
    assert "no response can end within 20 tokens; remedy: a smaller --min-len, or a larger --no-repeat" in line
    model.decoder.max_target_positions = 5
    args = Namespace(beam=2, max_len_a=1, max_len_b=0, min_len=9)
    line = refused(task.inference_step, task.build_generator([model], args), [model], batch(task))
    assert "--min-len 9 is more than" in line


@pytest.fixture(scope="module")
def diverged(persona_run, tmp_path_factory):
    """The persona model with one parameter that is NaN."""
    checkpoint = torch.load(persona_run[0], weights_only=False)
    checkpoint["model"]["encoder.latents.prior_head.out.bias"][0] = float("nan")
    path = tmp_path_factory.mktemp("diverged") / "checkpoint.pt"
    torch.save(checkpoint, path)
    return path


@pytest.mark.parametrize("command", ["latents", "chat"])
def test_commands_say_that_a_model_has_diverged(persona_bin, diverged, command):
    done = programs.tool(command, persona_bin, "--path", diverged, "--cpu", stdin="hello\n")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert (
        f"error: {diverged}: encoder.latents.prior_head.out.bias is not finite, this training diverged" in done.stderr
    )


def test_statistics_that_overflow(persona_bin, persona_run, tmp_path):
    checkpoint = torch.load(persona_run[0], weights_only=False)
    checkpoint["model"]["encoder.latents.prior_head.out.bias"].fill_(3e38)
    torch.save(checkpoint, tmp_path / "checkpoint.pt")
    done = programs.tool("latents", persona_bin, "--path", tmp_path / "checkpoint.pt", "--cpu")
    assert done.returncode == 2 and "is no number, its training has diverged" in done.stderr


@pytest.mark.parametrize("command", ["latents", "chat"])
def test_a_seed_is_a_number_from_nought(command, persona_bin, persona_run):
    done = programs.tool(command, persona_bin, "--path", persona_run[0], "--cpu", "--seed", "-1")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "--seed -1 is out of range; remedy: from 0 to 2147483647" in done.stderr


# --- constraints -----------------------------------------------------------------------------------------------------


def interactive(data, checkpoint, line, *flags):
    command = (
        "--user-dir",
        programs.PLUGIN,
        "--task",
        "persona_dialogue",
        "--path",
        checkpoint,
        "--cpu",
        "--max-len-b",
        "12",
    )
    return programs.run("fairseq-interactive", data, *command, "--constraints", *flags, stdin=f"{line}\n").hypotheses()


def test_constraints_of_a_persona_model(persona_bin, persona_run, refused):
    checkpoint, _ = persona_run
    (found,) = interactive(persona_bin, checkpoint, "i love tea\tdog")["0"]
    assert "dog" in found.split()
    for words, what in (("zebra", "a word that the dictionary lacks"), ("<eot>", "<eot>")):
        line = refused(interactive, persona_bin, checkpoint, f"i love tea\t{words}")
        assert f"--constraints: {what}, which no response has; remedy: words of the data's dict.tgt.txt" in line
    line = refused(interactive, persona_bin, checkpoint, f"hello\t{'dog ' * 20}")
    assert "no response of 12 tokens has all of its --constraints; remedy: a larger --max-len-b" in line


def test_fairseq_generate_has_no_constraints(task, refused):
    models = [build_model(task)]
    generator = task.build_generator(models, Namespace(beam=2, constraints="ordered"))
    assert "fairseq-interactive" in refused(task.inference_step, generator, models, batch(task))


def test_decoding_in_bfloat16(data_bin, tmp_path):
    """Scores move a little, as rounded products make them, and stay ordered."""
    programs.fit(data_bin, tmp_path, "--max-update", "3")
    found = []
    for flags in ((), ("--decoding-autocast", "bfloat16")):
        printed = programs.decode(data_bin, tmp_path / "checkpoint_last.pt", "--beam", "3", "--nbest", "3", *flags)
        scores = [float(line.split("\t")[1]) for line in printed.text.splitlines() if line.startswith("H-")]
        found.append(torch.tensor(scores).view(-1, 3))
    exact, rounded = found
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0.02)
    assert (rounded.diff(dim=1) <= 0).all()
