"""Task `dialogue`: its data, its seeds, and decoding that depends on neither batch nor order."""

import shutil

import pytest
import torch
from fairseq import checkpoint_utils
from omegaconf import OmegaConf, open_dict

from fairseq_latent.errors import InputError
from fairseq_latent.tasks.dialogue import DialogueConfig, DialogueTask

from ..helpers import programs
from ..helpers.tiny import batch, build_model

SHORT = ("--max-len-a", "0", "--max-len-b", "8")


@pytest.fixture(scope="module")
def trained(data_bin, tmp_path_factory):
    """A checkpoint whose latent matters: two epochs of best of five, a KL that costs little."""
    folder = tmp_path_factory.mktemp("trained")
    flags = ("--max-update", "40", "--kl-weight", "0.01", "--lr", "0.02", "--no-epoch-checkpoints")
    programs.fit(data_bin, folder, *flags, criterion="speculative_elbo")
    return folder / "checkpoint_best.pt"


@pytest.fixture(scope="module")
def by_beam(data_bin, trained):
    return programs.decode(data_bin, trained, "--beam", "3", "--lenpen", "1.2", *SHORT, "--batch-size", "8")


def config(data_bin, **changes):
    resolved = {"seed": 1, "update_freq": [1], "dataset_impl": None, "train_subset": "train"}
    return DialogueConfig(data=str(data_bin), **{**resolved, **changes})


def test_every_context_of_the_test_set_gets_a_response(by_beam):
    """21 contexts: 8 does not divide 21, and the last batch must not be lost."""
    assert sorted(map(int, by_beam.hypotheses())) == list(range(21))


@pytest.mark.parametrize("flags", [("--batch-size", "1"), ("--max-tokens", "40"), ("--batch-size", "21")])
def test_responses_do_not_depend_on_the_batch(data_bin, trained, by_beam, flags):
    again = programs.decode(data_bin, trained, "--beam", "3", "--lenpen", "1.2", *SHORT, *flags)
    assert again.hypotheses() == by_beam.hypotheses()


def test_responses_do_not_depend_on_the_order(text, trained, by_beam, binarise, data_bin, tmp_path):
    """A shorter test set with the same ids: the responses to its contexts stay."""
    for path in data_bin.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    head = tmp_path / "head"
    head.mkdir()
    for split in ("train", "valid", "test"):
        for side in ("src", "tgt"):
            lines = (text / f"{split}.{side}").read_text(encoding="utf-8").splitlines()[:5]
            (head / f"{split}.{side}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    dictionary = data_bin / "dict.src.txt"
    short = binarise(head, "--srcdict", dictionary)
    again = programs.decode(short, trained, "--beam", "3", "--lenpen", "1.2", *SHORT)
    assert again.hypotheses() == {name: by_beam.hypotheses()[name] for name in map(str, range(5))}


def test_the_seed_changes_the_latents(data_bin, trained, by_beam):
    one = programs.decode(data_bin, trained, "--beam", "3", "--lenpen", "1.2", *SHORT, "--seed", "2")
    again = programs.decode(data_bin, trained, "--beam", "3", "--lenpen", "1.2", *SHORT, "--seed", "2")
    assert one.hypotheses() == again.hypotheses()
    assert one.hypotheses() != by_beam.hypotheses()


def test_several_latents_a_context(data_bin, trained, by_beam):
    """N responses in the order of their latents; the first is the one that N = 1 gives."""
    several = programs.decode(
        data_bin, trained, "--beam", "3", "--lenpen", "1.2", *SHORT, "--latent-samples", "4"
    ).hypotheses()
    assert {len(responses) for responses in several.values()} == {4}
    assert {name: responses[:1] for name, responses in several.items()} == by_beam.hypotheses()
    assert max(len(set(responses)) for responses in several.values()) > 1


def test_several_latents_with_several_hypotheses_each(data_bin, trained):
    flags = ("--beam", "3", "--nbest", "2", *SHORT)
    two = programs.decode(data_bin, trained, *flags).hypotheses()
    several = programs.decode(data_bin, trained, *flags, "--latent-samples", "3").hypotheses()
    assert {len(responses) for responses in several.values()} == {6}
    assert {name: responses[:2] for name, responses in several.items()} == two


def test_the_mean_of_the_prior_needs_no_seed(data_bin, trained):
    runs = [
        programs.decode(data_bin, trained, "--latent", "mean", "--beam", "2", *SHORT, "--seed", seed).hypotheses()
        for seed in (1, 2)
    ]
    assert runs[0] == runs[1]


def test_the_mean_gives_equal_responses_however_many(data_bin, trained):
    flags = ("--latent", "mean", "--beam", "2", *SHORT, "--latent-samples", "2")
    for responses in programs.decode(data_bin, trained, *flags).hypotheses().values():
        assert responses[0] == responses[1]


@pytest.mark.parametrize("flags", [
    ("--sampling", "--sampling-topk", "4", "--sampling-topp", "0.8", "--beam", "1"),
    ("--diverse-beam-groups", "2", "--beam", "4"),
    ("--prefix-size", "1", "--beam", "2"),
    ("--prefix-size", "1", "--beam", "2", "--latent-samples", "2"),
    ("--score-reference",),
    ("--score-reference", "--latent-samples", "3"),
    ("--score-reference", "--latent", "mean"),
])  # fmt: skip
def test_fairseqs_ways_of_decoding(data_bin, trained, flags):
    printed = programs.decode(data_bin, trained, *flags, *SHORT)
    assert len(printed.hypotheses()) == 21


def test_an_ensemble_decodes(data_bin, trained, tmp_path):
    programs.fit(data_bin, tmp_path, "--max-update", "2")
    both = f"{trained}:{tmp_path / 'checkpoint_last.pt'}"
    assert len(programs.decode(data_bin, both, "--beam", "2", *SHORT).hypotheses()) == 21


def test_checkpoints_from_before_an_option_was_there(data_bin, trained, tmp_path):
    state = checkpoint_utils.load_checkpoint_to_cpu(str(trained))
    for option in ("activation", "prior_hidden_dim", "no_share_layers"):
        with open_dict(state["cfg"]):
            state["cfg"]["model"].pop(option, None)
    plain = OmegaConf.to_container(state["cfg"], resolve=True, enum_to_str=True)
    torch.save(state | {"cfg": plain}, tmp_path / "old.pt")
    assert programs.decode(data_bin, tmp_path / "old.pt", "--beam", "2", *SHORT).hypotheses() == (
        programs.decode(data_bin, trained, "--beam", "2", *SHORT).hypotheses()
    )


def test_truncated_contexts_lose_their_oldest_turns(data_bin, trained):
    """What is decoded is what the newest turn alone says, typed and of the test set."""
    flags = ("--path", trained, "--beam", "2", "--cpu", "--max-len-a", "0", "--max-len-b", "6")
    cut = ("--truncate-source", "--max-source-positions", "4")

    def typed(line, *more):
        words = ("fairseq-interactive", data_bin, *programs.PLUG_IN, *flags, *more)
        printed = programs.run(*words, stdin=f"{line}\n")
        return printed.hypotheses(), [line for line in printed.text.splitlines() if line.startswith("S-")]

    assert typed("hello there <eot> what about tea", *cut) == typed("what about tea")
    assert typed("hello there <eot> what about tea")[1] == ["S-0\thello there <eot> what about tea"]
    printed = programs.decode(data_bin, trained, *flags[2:], *cut)
    contexts = [line.split("\t")[1] for line in printed.text.splitlines() if line.startswith("S-")]
    assert len(contexts) == 21 and not any("<eot>" in context for context in contexts)
    assert max(len(context.split()) for context in contexts) == 3  # and </s>


def test_interactive_chats_and_repeats_itself(data_bin, trained):
    talk = "do you like tea\nhello there <eot> what about chess\nwhat of an unknownword\n"
    flags = ("--path", trained, "--cpu", "--beam", "2", *SHORT)

    def chat(lines, *more):
        printed = programs.run("fairseq-interactive", data_bin, *programs.PLUG_IN, *flags, *more, stdin=lines)
        return printed.hypotheses()

    one = chat(talk)
    assert len(one) == 3
    assert one == chat(talk) == chat(talk, "--buffer-size", "3", "--batch-size", "3")
    assert chat(talk.splitlines(keepends=True)[1])["0"] == one["1"]  # whatever was said before
    several = chat(talk, "--latent-samples", "3")
    assert {len(responses) for responses in several.values()} == {3}
    assert {name: responses[:1] for name, responses in several.items()} == one


def test_latents_of_training_come_from_the_seed_alone(data_bin, tmp_path):
    runs = {"a": 1, "b": 1, "c": 2}
    for name, seed in runs.items():
        flags = ("--seed", seed, "--max-update", "3")
        programs.fit(data_bin, tmp_path / name, *flags, criterion="speculative_elbo")
    programs.assert_same_parameters(tmp_path / "a/checkpoint_last.pt", tmp_path / "b/checkpoint_last.pt")
    with pytest.raises(AssertionError):
        programs.assert_same_parameters(tmp_path / "a/checkpoint_last.pt", tmp_path / "c/checkpoint_last.pt")


# --- data ------------------------------------------------------------------------------------------------------------


def test_sides_that_are_not_parallel_are_named(data_bin, tmp_path):
    for path in data_bin.iterdir():
        shutil.copy(path, tmp_path)
    for extension in ("bin", "idx"):
        shutil.copy(data_bin / f"train.src-tgt.tgt.{extension}", tmp_path / f"valid.src-tgt.tgt.{extension}")
    task = DialogueTask.setup_task(config(tmp_path))
    with pytest.raises(InputError, match="line k of valid.tgt must answer line k of valid.src"):
        task.load_dataset("valid")


def test_an_empty_split_is_named(text, tmp_path, binarise):
    shutil.copytree(text, tmp_path / "text")
    for side in ("src", "tgt"):
        (tmp_path / "text" / f"valid.{side}").write_text("", encoding="utf-8")
    task = DialogueTask.setup_task(config(binarise(tmp_path / "text")))
    with pytest.raises(InputError, match="split valid is empty; remedy"):
        task.load_dataset("valid")


@pytest.mark.parametrize("implementation", ["mmap", "cached"])
def test_a_pad_among_the_words_of_a_response_is_refused(text, tmp_path, binarise, implementation):
    """It would part the response from what the decoder reads; in a context it stands for nothing, and nothing is lost."""
    shutil.copytree(text, tmp_path / "text")
    for split, side in (("valid", "tgt"), ("test", "src")):
        path = tmp_path / "text" / f"{split}.{side}"
        path.write_text(path.read_text(encoding="utf-8").replace("tea", "tea <pad> tea"), encoding="utf-8")
    task = DialogueTask.setup_task(config(binarise(tmp_path / "text", "--dataset-impl", implementation)))
    task.load_dataset("train")
    task.load_dataset("test")
    with pytest.raises(InputError, match="split valid: a response has the word <pad>.*remedy"):
        task.load_dataset("valid")


def test_fewer_than_one_latent_is_refused(dictionary):
    with pytest.raises(InputError, match="--latent-samples 0"):
        DialogueTask(DialogueConfig(data="nowhere", latent_samples=0), dictionary, dictionary)


def test_empty_lines_train_and_decode(text, tmp_path, binarise):
    shutil.copytree(text, tmp_path / "text")
    for split in ("train", "valid", "test"):
        for side in ("src", "tgt"):
            path = tmp_path / "text" / f"{split}.{side}"
            lines = path.read_text(encoding="utf-8").splitlines()
            lines[0] = lines[3] = ""
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    data = binarise(tmp_path / "text")
    programs.fit(data, tmp_path / "run", "--bow-weight", "1", "--podi-weight", "1", criterion="speculative_elbo")
    printed = programs.decode(data, tmp_path / "run/checkpoint_best.pt", "--beam", "2", *SHORT)
    assert len(printed.hypotheses()) == 21


def test_updates_an_epoch_are_counted(data_bin):
    for update_freq, updates in ((1, 15), (2, 8), (4, 4), (100, 1)):
        task = DialogueTask.setup_task(config(data_bin, update_freq=[update_freq]))
        task.load_dataset("train")
        task.get_batch_iterator(task.dataset("train"), max_sentences=8, max_positions=(1024, 1024))
        assert task.updates_per_epoch == updates


def test_the_generator_can_be_built_twice(task):
    """From one namespace, as a chat program may do: the number of hypotheses must not multiply."""
    from argparse import Namespace

    task.cfg.latent_samples = 3
    model, args = build_model(task), Namespace(beam=2, nbest=1)
    for _ in range(2):
        generator = task.build_generator([model], args)
        assert args.nbest == 3
    hypotheses = task.inference_step(generator, [model.eval()], batch(task))
    assert {len(found) for found in hypotheses} == {3}


def test_evaluation_by_bleu_during_training(data_bin, tmp_path):
    flags = (
        "--eval-bleu",
        "--eval-bleu-args",
        '{"beam": 2, "max_len_a": 0, "max_len_b": 6}',
        "--eval-bleu-print-samples",
    )
    printed = programs.fit(data_bin, tmp_path, *flags, "--max-update", "2", "--best-checkpoint-metric", "bleu",
                           "--maximize-best-checkpoint-metric")  # fmt: skip
    assert "bleu" in printed.numbers("valid")[-1]


def test_the_noise_seed_is_an_integer_tensor_on_the_batchs_device(task):
    seeds = batch(task)["net_input"]["noise_seed"]
    assert seeds.dtype == torch.int64 and seeds.shape == (5,)


def test_shards_have_no_epoch_for_a_cycle(data_bin, tmp_path):
    """Shards differ in length, and a resumed run starts on another one."""
    flags = ("--kl-schedule", "cyclical", "--kl-cycle", "epoch")
    with pytest.raises(InputError, match="--kl-cycle UPDATES"):
        programs.fit(f"{data_bin}:{data_bin}", tmp_path, *flags)


def test_a_checkpoint_needs_no_file_of_word_vectors(data_bin, tmp_path):
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("1 16\ntea " + " ".join(["0.5"] * 16) + "\n", encoding="utf-8")
    programs.fit(data_bin, tmp_path / "run", "--max-update", "2", "--encoder-embed-path", vectors)
    vectors.unlink()
    checkpoint = tmp_path / "run/checkpoint_last.pt"
    decoding = ("--path", checkpoint, "--cpu", "--beam", "1", "--max-len-b", "3")
    assert programs.run("fairseq-generate", data_bin, *programs.PLUG_IN, *decoding).hypotheses()
