"""HRED, VHRED and the CVAE of Zhao et al. (2017) through the real programs, on data with profiles, which they never see."""

import shutil

import pytest

from fairseq_latent.models.hierarchical_model import HierarchicalModel

from ..helpers import programs
from .hierarchical_cases import ARCHS, LATENT

TASK = ("--task", "persona_dialogue")
SAMPLED = (
    *TASK, "--sampling", "--sampling-topk", "4", "--sampling-topp", "0.8", "--beam", "1", "--max-len-a", "0",
    "--max-len-b", "8", "--seed", "3",
)  # fmt: skip
FLAGS = {
    "hred_tiny": (),
    "vhred_tiny": ("--k", "3", "--kl-schedule", "cyclical", "--kl-cycle", "4", "--podi-weight", "1"),
    "rnn_cvae_tiny": (
        *("--bow-weight", "1", "--bow-target", "tokens", "--bow-hidden-dim", "5", "--label-smoothing", "0.1"),
        *("--kl-schedule", "linear", "--kl-warmup", "3", "--kl-first-update", "1", "--k", "2"),
    ),
}
ALLOWED = {"src_tokens", "src_lengths", "prev_output_tokens", "noise_seed", "target", "num_latents", "reduce"}


def fit(data, folder, arch, *flags):
    words = (*TASK, "--batch-size", "10", "--max-update", "0", "--lr", "0.01", *FLAGS[arch], *flags)
    return programs.fit(data, folder, *words, arch=arch)


@pytest.fixture(scope="module", params=ARCHS)
def run(request, persona_bin, tmp_path_factory):
    """(arch, a folder with a checkpoint after two epochs, what training logged, keywords that its model was ever given)."""
    folder, given = tmp_path_factory.mktemp(request.param), set()
    forward = HierarchicalModel.forward

    def spied(self, *words, **inputs):
        given.update(inputs)
        return forward(self, *words, **inputs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HierarchicalModel, "forward", spied)
        printed = fit(persona_bin, folder, request.param, "--max-epoch", "2", "--prior-ppl")
    return request.param, folder, printed, given


@pytest.fixture(scope="module")
def bare(persona_bin, tmp_path_factory):
    """The same data without a file of profiles."""
    folder = tmp_path_factory.mktemp("bare")
    for path in persona_bin.iterdir():
        if "partner" not in path.name and not path.name.endswith(".fader"):
            shutil.copy(path, folder)
    return folder


def test_a_model_is_given_contexts_and_responses_alone(run, bare, tmp_path):
    """Training without the profiles' files is the same training."""
    arch, folder, printed, given = run
    assert "src_tokens" in given and given <= ALLOWED
    first, last = printed.numbers("train")
    assert last["num_updates"] == 10 and last["nll"] < first["nll"]
    assert {"prior_ppl", "rec_ppl", "kl", "au"} <= printed.numbers("valid")[-1].keys()
    fit(bare, tmp_path, arch, "--max-epoch", "1")
    fit(bare, tmp_path, arch, "--max-epoch", "2")  # goes on
    programs.assert_same_parameters(tmp_path / "checkpoint_last.pt", folder / "checkpoint_last.pt")


def test_validated_decoded_and_asked_by_the_stock_commands(run, persona_bin, bare):
    arch, folder, printed, _ = run
    last = folder / "checkpoint_last.pt"
    afterwards = programs.run(
        "fairseq-validate", persona_bin, *programs.PLUG_IN, *TASK, "--path", last, "--cpu", "--batch-size", "10",
        "--num-workers", "0", "--log-format", "json", "--required-batch-size-multiple", "8",
    ).numbers("valid")[-1]  # fmt: skip
    for name in ("nll", "kl", "prior_ppl"):
        assert afterwards[name] == pytest.approx(printed.numbers("valid")[-1][name], rel=1e-4), name
    expected = programs.decode(persona_bin, last, *SAMPLED, "--latent-samples", "2", "--batch-size", "5").hypotheses()
    assert len(expected) == 13 and all(len(said) == 2 for said in expected.values())
    for flags in (("--batch-size", "1"), ("--batch-size", "13")):
        assert programs.decode(bare, last, *SAMPLED, "--latent-samples", "2", *flags).hypotheses() == expected
    beams = programs.decode(
        persona_bin, last, *TASK, "--beam", "3", "--max-len-a", "0", "--max-len-b", "8"
    ).hypotheses()
    assert len(beams) == 13
    asked = programs.run(
        "fairseq-interactive", persona_bin, *programs.PLUG_IN, *TASK, "--path", last, "--cpu", "--beam", "2",
        "--max-len-a", "0", "--max-len-b", "8", stdin="hello there\n\nhello there <eot> <eot> how are you today <eot> \n",
    )  # fmt: skip
    assert len(asked.hypotheses()) >= 2


def test_measured_by_our_commands(run, persona_bin, tmp_path):
    arch, folder, *_ = run
    done = programs.tool("latents", persona_bin, "--path", folder / "checkpoint_last.pt", "--split", "test", "--cpu")
    assert done.returncode == 0 and "prior PPL/word" in done.stdout, done.stderr
    plotted = programs.tool(
        "plot", "latents", f"run={folder}", "--data", persona_bin, "--example", "0", "--out", tmp_path / "latents.png",
        "--cpu",
    )  # fmt: skip
    assert (plotted.returncode == 0) is (arch in LATENT), plotted.stderr
    assert arch in LATENT or "this model has no latent to show; remedy: leave run out" in plotted.stderr


@pytest.mark.parametrize("arch", LATENT)
def test_spacefusion_and_aggressive_training(persona_bin, tmp_path, arch):
    few = (*TASK, "--max-update", "2")
    fused = programs.fit(persona_bin, tmp_path / "fused", *few, arch=arch, criterion="spacefusion")
    assert fused.numbers("train_inner")[-1]["fusion"]
    steps = ("--aggressive", "--aggressive-steps", "4", "--aggressive-window", "2", "--aggressive-updates", "1")
    aggressive = programs.fit(persona_bin, tmp_path / "aggressive", *few, *steps, arch=arch)
    assert [numbers.get("inner_steps", 0) > 0 for numbers in aggressive.numbers("train_inner")] == [True, False]


def test_contexts_of_one_turn_are_warned_of(text, data_bin, persona_bin, binarise, tmp_path, caplog):
    """Where the dictionary has <eot>, and no context does; a batch of one; a KL weight that never rises."""
    for path in text.iterdir():
        lines = path.read_text(encoding="utf-8").replace("hello there <eot> ", "")
        (tmp_path / path.name).write_text(lines, encoding="utf-8")
    one_turn = binarise(tmp_path, "--srcdict", data_bin / "dict.src.txt")
    flags = ("--batch-size", "1", "--max-update", "2", "--kl-schedule", "linear", "--kl-warmup", "10")
    programs.fit(one_turn, tmp_path / "run", *flags, arch="rnn_cvae_tiny")
    assert "no context of train has <eot>" in caplog.text and "remedy: CONTEXT_TURNS" in caplog.text
    assert "the KL weight rises for 10 updates" in caplog.text and "remedy: --kl-warmup 1" in caplog.text
    caplog.clear()
    programs.fit(one_turn, tmp_path / "other", *flags)
    programs.fit(persona_bin, tmp_path / "turns", *TASK, *flags, arch="hred_tiny")
    assert "which stands between turns" not in caplog.text
