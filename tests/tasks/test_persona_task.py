"""Task `persona_dialogue` through the real programs: profiles in training, none in decoding, and data that is wrong."""

import importlib.util
import shutil
from argparse import Namespace

import pytest
import torch

from fairseq_latent.errors import InputError
from fairseq_latent.tasks.persona_dialogue import PersonaDialogueConfig, PersonaDialogueTask

from ..helpers import personas, programs

if importlib.util.find_spec("transformers") is None:
    pytest.skip("transformers is not installed", allow_module_level=True)

TASK = ("--task", "persona_dialogue")
SAMPLED = (
    *TASK,
    "--sampling",
    "--sampling-topk",
    "4",
    "--sampling-topp",
    "0.8",
    "--beam",
    "1",
    "--max-len-a",
    "0",
    "--max-len-b",
    "8",
)


@pytest.fixture(scope="module")
def persona_bin(tmp_path_factory):
    """The persona corpus, binarised."""
    text, target = tmp_path_factory.mktemp("text"), tmp_path_factory.mktemp("persona-bin")
    personas.write(text, {"train": 60, "valid": 13, "test": 13})
    personas.binarise(text, target)
    return target


def fit(data, folder, *flags):
    return programs.fit(data, folder, *TASK, *flags, arch="persona_cvae_gpt2_tiny", criterion="podi_elbo")


@pytest.fixture(scope="module")
def trained(persona_bin, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    fit(persona_bin, folder, "--max-epoch", "2", "--max-update", "0", "--lr", "0.01")
    return folder / "checkpoint_last.pt"


def test_training_reads_profiles_and_a_resumed_run_is_the_same(persona_bin, trained, tmp_path):
    flags = ("--max-update", "0", "--lr", "0.01")
    first = fit(persona_bin, tmp_path, *flags, "--max-epoch", "1")
    assert {"fader_kl", "podi", "podi_kl", "kl"} <= first.numbers("train_inner")[0].keys()
    fit(persona_bin, tmp_path, *flags, "--max-epoch", "2")
    programs.assert_same_parameters(tmp_path / "checkpoint_last.pt", trained)


@pytest.mark.parametrize(
    "flags", [("--no-latents", "--criterion", "elbo"), ("--k", "3", "--kl-schedule", "cyclical", "--kl-cycle", "epoch")]
)
def test_without_latents_and_with_the_family_options(persona_bin, tmp_path, flags):
    numbers = fit(persona_bin, tmp_path, *flags).numbers("valid")[-1]
    assert numbers["kl"] >= 0 and ("fader_kl" in numbers) is ("--no-latents" not in flags)


def test_models_that_need_no_profiles_get_none(persona_bin, tmp_path):
    """L_Po-di then pairs what their posteriors read: all contexts and responses here differ."""
    printed = programs.fit(persona_bin, tmp_path, *TASK, arch="t_cvae_tiny", criterion="podi_elbo")
    assert printed.numbers("train_inner") and (tmp_path / "checkpoint_best.pt").is_file()
    by_beam = (*TASK, "--beam", "2", "--max-len-a", "0", "--max-len-b", "8")
    assert len(programs.decode(persona_bin, tmp_path / "checkpoint_best.pt", *by_beam).hypotheses()) == 13


def test_frozen_words_are_not_moved_by_weight_decay(persona_bin, tmp_path):
    flags = ("--freeze-embeddings", "--weight-decay", "0.1", "--save-interval-updates", "1")
    fit(persona_bin, tmp_path, *flags)
    first, last = (
        programs.parameters(tmp_path / name)["encoder.embedding.embed_tokens.weight"]
        for name in ("checkpoint_1_1.pt", "checkpoint_last.pt")
    )
    moved = (first - last).abs().sum(1).nonzero().flatten().tolist()
    assert moved[:4] == [0, 1, 2, 3] and len(moved) <= 8


def test_data_without_profiles_trains_what_needs_none(data_bin, tmp_path, caplog):
    assert fit(data_bin, tmp_path, "--no-latents", "--criterion", "elbo").numbers("train_inner")
    assert "collapsed" not in caplog.text  # what is not there cannot
    with pytest.raises(InputError, match="no profiles of the partner"):
        fit(data_bin, tmp_path / "other")


@pytest.mark.parametrize("flags", [("--batch-size", "1"), ("--batch-size", "13")])
def test_responses_do_not_depend_on_the_batch(persona_bin, trained, flags):
    by_beam = (*TASK, "--beam", "3", "--max-len-a", "0", "--max-len-b", "8")
    expected = programs.decode(persona_bin, trained, *by_beam, "--batch-size", "5").hypotheses()
    assert programs.decode(persona_bin, trained, *by_beam, *flags).hypotheses() == expected
    assert len(expected) == 13


def test_decoding_without_profiles_is_decoding_with_them(persona_bin, trained, tmp_path):
    """The files of the profiles are taken away: the same responses."""
    for path in persona_bin.iterdir():
        if "partner" not in path.name and not path.name.endswith(".fader"):
            shutil.copy(path, tmp_path)
    expected = programs.decode(persona_bin, trained, *SAMPLED, "--latent-samples", "3").hypotheses()
    assert programs.decode(tmp_path, trained, *SAMPLED, "--latent-samples", "3").hypotheses() == expected
    assert all(len(beams) == 3 for beams in expected.values())


def test_the_own_profile_in_place_of_the_others(persona_bin, tmp_path, refused):
    """A corpus whose own profiles are another one's partner profiles trains the same model, which decodes without them."""
    data, bare = tmp_path / "data", tmp_path / "bare"
    for folder in (data, bare):
        folder.mkdir()
    for path in persona_bin.iterdir():
        own = path.name.replace("partner-None.partner", "own-None.own").replace(".fader", ".own_fader")
        shutil.copy(path, data / own)
        if own == path.name:
            shutil.copy(path, bare)
    of_own = ("--profile-of", "own")
    assert "own-None.own.idx is not there; remedy: PERSONAS=yes" in refused(fit, persona_bin, tmp_path / "no", *of_own)
    fit(persona_bin, tmp_path / "partner", "--max-update", "2", "--lr", "0.05")
    fit(data, tmp_path / "own", "--max-update", "2", "--lr", "0.05", *of_own)
    last = tmp_path / "own/checkpoint_last.pt"
    programs.assert_same_parameters(tmp_path / "partner/checkpoint_last.pt", last)
    assert (
        programs.decode(bare, last, *SAMPLED).hypotheses()
        == programs.decode(data, last, *SAMPLED, *of_own).hypotheses()
    )


def test_a_checkpoint_from_before_other_language_models(persona_bin, trained, tmp_path):
    """It calls its body `gpt2`, and has none of the younger options."""
    state = torch.load(trained, weights_only=False)
    younger = ("lm_config", "untied_output", "train_blocks", "latents_at", "inject_scale")
    old = tmp_path / "checkpoint.pt"
    model = {name.replace(".body.model.", ".body.gpt2."): value for name, value in state["model"].items()}
    assert model.keys() != state["model"].keys()
    options = (
        {**vars(state["cfg"]["model"])} if isinstance(state["cfg"]["model"], Namespace) else {**state["cfg"]["model"]}
    )
    kept = {name: value for name, value in options.items() if name not in younger}
    settings = Namespace(**kept) if isinstance(state["cfg"]["model"], Namespace) else kept
    torch.save(state | {"model": model, "cfg": state["cfg"] | {"model": settings}}, old)
    assert (
        programs.decode(persona_bin, old, *SAMPLED).hypotheses()
        == programs.decode(persona_bin, trained, *SAMPLED).hypotheses()
    )


def test_no_symbol_is_ever_said_and_the_fader_is_set_by_hand(persona_bin, trained):
    printed = [programs.decode(persona_bin, trained, *SAMPLED, "--fader", value).text for value in ("0", "1")]
    assert not any("<eot>" in line for text in printed for line in text.splitlines() if line.startswith("H-"))
    assert printed[0] != printed[1]


def test_talking_to_it(persona_bin, trained):
    flags = (persona_bin, *programs.PLUG_IN, *TASK, "--path", trained, "--cpu", "--beam", "2", "--max-len-b", "8")
    printed = programs.run(
        "fairseq-interactive", *flags, stdin="hello there\nhello there <eot> fine thank you <eot> it rains again\n"
    )
    assert len(printed.hypotheses()) == 2


def test_chatting_with_it(persona_bin, trained):
    """Three replies per turn with their faders; a fixed fader is that of all replies."""
    command = ("fairseq-latent", "chat", persona_bin, "--path", trained, "--cpu", "--max-length", "8")
    done = programs.command(*command, stdin="hello there\n2\nit rains again\n/quit\nnever read\n")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line[:2] for line in lines] == ["1.", "2.", "3.", "(2", "1.", "2.", "3."]
    assert all("(fader " in line for line in lines if line[1] == ".")
    by_hand = programs.tool(*command[1:], "--fader", "0.25", "--replies", "2", stdin="hello there\n")
    assert by_hand.stdout.count("(fader 0.25)") == 2


def task_of(data):
    config = PersonaDialogueConfig(
        data=str(data), seed=1, update_freq=[1], dataset_impl=None, train_subset="train", required_seq_len_multiple=1
    )
    return PersonaDialogueTask.setup_task(config)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "valid.fader").unlink(), "valid.fader: no such file; remedy"),
        (lambda folder: (folder / "valid.fader").write_text("0.5\n"), "1 numbers of 13 pairs; remedy"),
        (lambda folder: (folder / "valid.fader").write_text("2\n" * 13), "similarities are from 0 to 1; remedy"),
        (lambda folder: (folder / "valid.fader").write_text("nan\n" * 13), "similarities are from 0 to 1; remedy"),
        (lambda folder: (folder / "valid.fader").write_text("x\n" * 13), "valid.fader: .*remedy"),
        (
            lambda folder: [
                shutil.copy(folder / f"train.partner-None.partner.{end}", folder / f"valid.partner-None.partner.{end}")
                for end in ("bin", "idx")
            ],
            "60 profiles of 13 pairs; remedy",
        ),
    ],
)  # fmt: skip
def test_profiles_and_similarities_that_do_not_fit(persona_bin, tmp_path, damage, message):
    data = shutil.copytree(persona_bin, tmp_path / "data")
    damage(data)
    with pytest.raises(InputError, match=message):
        task_of(data).load_dataset("valid")


def test_a_batch_has_its_own_profiles(persona_bin):
    """fairseq sorts a batch by length: each row keeps its profile and its similarity, cut where it is too long."""
    task = task_of(persona_bin)
    task.load_dataset("valid")
    data = task.dataset("valid")
    batch = data.collater([data[index] for index in (4, 0, 7)])
    pad = task.target_dictionary.pad()
    for row, index in enumerate(batch["id"].tolist()):
        profile = batch["net_input"]["partner_tokens"][row]
        assert torch.equal(profile[profile.ne(pad)], data.profiles[index].long())
        assert batch["net_input"]["similarity"][row] == float(data.similarity[index])
    data.longest = 5
    short = data.collater([data[4]])["net_input"]["partner_tokens"][0]
    assert len(short) == 5 and short[-1] == task.target_dictionary.eos()
    assert data.collater([]) == {}


def test_gpt2s_tokens_are_read_and_written_as_text(tmp_path):
    """With the tokenizer in the data folder: no flag, and no download, which fairseq's own `--bpe gpt2` would need."""
    tokenizers = pytest.importorskip("tokenizers")
    from fairseq_latent.evaluation.runs.response_files import read_generations
    from preprocess import gpt2_bpe

    text, target = tmp_path / "text", tmp_path / "bin"
    text.mkdir()
    personas.write(text, {"train": 20, "valid": 4, "test": 4})
    learnt = tokenizers.ByteLevelBPETokenizer()
    learnt.train_from_iterator((text / "train.src").read_text().splitlines(), vocab_size=300, show_progress=False)
    (tmp_path / "gpt2").mkdir()
    learnt.save_model(str(tmp_path / "gpt2"))
    gpt2_bpe.main([str(text), "--gpt2", str(tmp_path / "gpt2"), "--out", str(text / "bpe")])
    splits = [f"--{name}pref={text / 'bpe' / name}" for name in ("train", "test")]
    programs.run(
        "fairseq-preprocess", "--source-lang", "src", "--target-lang", "tgt", "--joined-dictionary", "--srcdict",
        text / "bpe/dict.txt", *splits, "--destdir", target,
    )  # fmt: skip
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(text / "bpe" / name, target / name)
    flags = (*TASK, "--no-latents", "--disable-validation", "--positions", "512")
    programs.fit(target, tmp_path / "run", *flags, arch="persona_cvae_gpt2_tiny", criterion="elbo")
    checkpoint = tmp_path / "run/checkpoint_last.pt"
    for bpe in ((), ("--bpe", "gpt2")):
        (tmp_path / "out.txt").write_text(programs.decode(target, checkpoint, *SAMPLED, *bpe).text)
        found = read_generations(tmp_path / "out.txt")
        assert [each.reference for each in found] == (text / "test.tgt").read_text().splitlines()
        assert [each.source for each in found] == (text / "test.src").read_text().splitlines()
    flags = (*TASK, "--path", checkpoint, "--beam", "1", "--max-len-b", "3", "--cpu")
    printed = programs.run("fairseq-interactive", target, *programs.PLUG_IN, *flags, stdin="hello you\n").text
    (line,) = [line for line in printed.splitlines() if line.startswith("S-0")]
    assert line.split("\t")[1].split() == next(gpt2_bpe.load_gpt2(target).encode(["hello you"]))


def test_a_report_counts_the_pairs(trained, persona_bin):
    """They lie within seeds and profiles."""
    from fairseq_latent.evaluation.analysis.checkpoint import corpus_sizes

    sizes = corpus_sizes(trained, persona_bin)
    assert {split: pairs for split, (pairs, _) in sizes.items()} == {"train": 60, "valid": 13, "test": 13}
    assert all(tokens > pairs for pairs, tokens in sizes.values())
