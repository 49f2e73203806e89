"""An exported persona model: a language model's folder for transformers, and beside it the latents, without fairseq."""

import importlib.util
import json
import math
import shutil

import pytest

import fairseq_latent
from fairseq_latent import portable
from fairseq_latent.errors import InputError

from ..helpers import programs
from . import bare

if importlib.util.find_spec("transformers") is None:
    pytest.skip("transformers is not installed", allow_module_level=True)

CONTEXTS = ["hello there <eot> how are you ?", "do you like my dog ?", "i see"]
SEARCHES = {
    "beam": {"n": 2, "beam": 3, "max_length": 6},
    "sampled": {"n": 3, "beam": 0, "max_length": 8},
    "faded": {"n": 1, "beam": 2, "max_length": 6, "fader": 0.75},
}
REPLY = """
from fairseq_latent import portable
model = portable.load(GIVEN["folder"], cpu=True)
print(json.dumps({
    name: [[(reply.text, reply.fader) for reply in replies] for replies in model.reply(GIVEN["contexts"], **options)]
    for name, options in GIVEN["searches"].items()
}))
"""


@pytest.fixture(scope="module")
def folder(persona_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "model"
    done = programs.tool("export", persona_run[0], folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_replies_and_faders_are_those_of_the_checkpoint(persona_run, folder):
    found = bare.run(REPLY, {"folder": str(folder), "contexts": CONTEXTS, "searches": SEARCHES}, with_transformers=True)
    model = fairseq_latent.load(persona_run[0], cpu=True)
    for name, options in SEARCHES.items():
        expected = model.reply(CONTEXTS, **options)
        assert [[text for text, _ in each] for each in found[name]] == [
            [reply.text for reply in each] for each in expected
        ]
        for ours, theirs in zip(found[name], expected, strict=True):
            assert [fader for _, fader in ours] == pytest.approx([reply.fader for reply in theirs], abs=1e-5)
    assert len({text for each in found["sampled"] for text, _ in each}) > 3
    assert all(math.isclose(fader, 0.75, abs_tol=1e-6) for each in found["faded"] for _, fader in each)


def test_latents_are_decoded_as_they_were_sampled(folder):
    model = portable.load(folder, cpu=True)
    z = model.sample(CONTEXTS, 2)
    assert model.decode(CONTEXTS, z, beam=3, max_length=6) == model.reply(CONTEXTS, 2, beam=3, max_length=6)
    assert model.latents(CONTEXTS).prior_mean.shape == (3, z.shape[-1]) and model.has_fader
    for call, said in (
        (lambda: model.score(CONTEXTS, ["a"] * 3), "reads profiles"),
        (lambda: model.reply(CONTEXTS, fader=2), "from 0 to 1"),
    ):
        with pytest.raises(InputError, match=said):
            call()


def test_transformers_reads_the_folder_and_the_card_says_how(folder):
    from transformers import AutoModelForCausalLM

    assert AutoModelForCausalLM.from_pretrained(folder).config.model_type == "gpt2"
    card = (folder / "README.md").read_text("utf-8")
    assert card.startswith("---\nlibrary_name: fairseq-latent\n") and "AutoModelForCausalLM" in card
    assert json.loads((folder / "latents.json").read_text())["architecture"] == "persona_cvae_gpt2"


@pytest.mark.parametrize(("name", "said"), [
    ("latents.safetensors", "no such file"), ("model.safetensors", "copy the folder again"), ("words.json", "no such file"),
])  # fmt: skip
def test_a_folder_that_lacks_a_part_is_refused(folder, tmp_path, name, said):
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / name).unlink()
    with pytest.raises(InputError, match=said):
        portable.load(tmp_path / "copy", cpu=True)


def test_other_models_without_a_portable_form_are_refused(persona_bin, tmp_path):
    programs.fit(persona_bin, tmp_path / "run", "--task", "persona_dialogue", "--max-update", "1", arch="dialogpt_tiny")
    done = programs.tool("export", tmp_path / "run", tmp_path / "out")
    assert done.returncode == 2 and "dialogpt has no form without fairseq" in done.stderr and "remedy" in done.stderr
    assert not (tmp_path / "out").exists()
