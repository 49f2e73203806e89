"""Damaged data folders: one line that names the file, whatever the damage, before anything is trained."""

import random
import re
import shutil

import numpy as np
import pytest
import torch
from fairseq.data import indexed_dataset
from fairseq.data.concat_dataset import ConcatDataset

from fairseq_latent.data.binarised import check_files, parts
from fairseq_latent.errors import InputError
from fairseq_latent.tasks.dialogue import DialogueConfig, DialogueTask
from fairseq_latent.tasks.persona_dialogue import PersonaDialogueConfig, PersonaDialogueTask
from fairseq_latent.tasks.text_vae import TextVAEConfig, TextVAETask

WORDS = 300  # two bytes an id


@pytest.fixture(params=["mmap", "cached"])
def prefix(request, tmp_path):
    """Seven lines of ids from 0 to 299 as fairseq-preprocess writes them."""
    path, numbers = str(tmp_path / "train"), np.random.default_rng(1)
    builder = indexed_dataset.make_builder(f"{path}.bin", request.param, vocab_size=WORDS)
    for length in (3, 1, 0, 12, 5, 2, 7):
        builder.add_item(torch.from_numpy(numbers.integers(0, WORDS, length)))
    builder.add_item(torch.tensor([0, WORDS - 1]))
    builder.finalize(f"{path}.idx")
    return tmp_path / "train"


def test_whole_files_are_taken(prefix):
    check_files(prefix, WORDS)
    check_files(prefix.with_name("nowhere"), WORDS)  # for the caller to miss


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["idx", "bin"])
def test_files_that_are_cut(prefix, kind, share):
    path = prefix.with_suffix(f".{kind}")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match=rf"train\.{kind}.*remedy: fairseq-preprocess again"):
        check_files(prefix, WORDS)


def test_files_that_go_on(prefix):
    for kind in ("idx", "bin"):
        path = prefix.with_suffix(f".{kind}")
        whole = path.read_bytes()
        path.write_bytes(whole + b"\0\0")
        with pytest.raises(InputError, match="remedy: fairseq-preprocess again"):
            check_files(prefix, WORDS)
        path.write_bytes(whole)


def test_no_changed_byte_of_an_index_is_taken(prefix):
    """But of the name of the number's kind, where another of the same width has the same meaning."""
    path = prefix.with_suffix(".idx")
    whole, chance = path.read_bytes(), random.Random(1)
    taken = []
    for place in range(len(whole)):
        altered = bytearray(whole)
        altered[place] = (altered[place] + chance.randrange(1, 256)) % 256
        path.write_bytes(altered)
        try:
            check_files(prefix, WORDS)
            taken.append(place)
        except InputError as error:
            assert "\n" not in str(error)
    kind_of_numbers = {16, 17}
    version_of_legacy = set(range(8, 16))
    dimensions_of_legacy = set(range(48, 48 + 8 * 9))  # all lines have one
    allowed = version_of_legacy | kind_of_numbers | dimensions_of_legacy
    assert not set(taken) - (allowed if whole.startswith(b"TNTIDX") else kind_of_numbers)


@pytest.mark.parametrize("kind, other", [("idx", "bin"), ("bin", "idx")])
def test_one_file_without_the_other(prefix, kind, other):
    prefix.with_suffix(f".{kind}").unlink()
    with pytest.raises(InputError, match=rf"train\.{kind}: no such file, beside train\.{other}"):
        check_files(prefix, WORDS)


def test_ids_outside_the_dictionary(prefix):
    with pytest.raises(InputError, match=f"token {WORDS - 1} is not in the dictionary, which has {WORDS - 1}; remedy"):
        check_files(prefix, WORDS - 1)


def test_negative_ids(tmp_path):
    builder = indexed_dataset.MMapIndexedDatasetBuilder(str(tmp_path / "train.bin"), np.int32)
    builder.add_item(torch.tensor([4, -1]))
    builder.finalize(str(tmp_path / "train.idx"))
    with pytest.raises(InputError, match="token -1 is not in the dictionary"):
        check_files(tmp_path / "train", 10)


def test_numbers_that_are_no_ids(tmp_path):
    builder = indexed_dataset.MMapIndexedDatasetBuilder(str(tmp_path / "train.bin"), np.float64)
    builder.add_item(torch.tensor([4.0]))
    builder.finalize(str(tmp_path / "train.idx"))
    with pytest.raises(InputError, match=r"train\.idx: altered"):
        check_files(tmp_path / "train", 10)


def test_the_parts_of_a_split(tmp_path):
    for name in ("train1", "train2", "train4"):
        (tmp_path / f"{name}.src-tgt.src.idx").touch()
    assert parts(tmp_path, "train", ".src-tgt.src", combine=True) == ["train", "train1", "train2"]
    assert parts(tmp_path, "train", ".src-tgt.src", combine=False) == ["train"]


# --- the tasks -------------------------------------------------------------------------------------------------------

COMMON = {"seed": 1, "update_freq": [1], "best_checkpoint_metric": "loss", "train_subset": "train"}


@pytest.fixture
def task(data_bin, persona_bin, sentences_bin, tmp_path):
    """Name of a task, a change of a copy of its data folder -> the task, on that copy."""
    kinds = {
        "dialogue": (data_bin, DialogueConfig, DialogueTask),
        "persona_dialogue": (persona_bin, PersonaDialogueConfig, PersonaDialogueTask),
        "text_vae": (sentences_bin, TextVAEConfig, TextVAETask),
    }

    def make(name, change):
        data, config, kind = kinds[name]
        folder = shutil.copytree(data, tmp_path / "bin", dirs_exist_ok=True)
        change(folder)
        return kind.setup_task(config(data=str(folder), dataset_impl=None, **COMMON))

    return make


def halved(name):
    """A file without its second half."""
    return lambda folder: (folder / name).write_bytes(
        (folder / name).read_bytes()[: (folder / name).stat().st_size // 2]
    )


@pytest.mark.parametrize("name, file", [
    ("dialogue", "train.src-tgt.src.bin"),
    ("dialogue", "train.src-tgt.tgt.idx"),
    ("persona_dialogue", "train.partner-None.partner.bin"),
    ("persona_dialogue", "train.partner-None.partner.idx"),
    ("text_vae", "train.bin"),
    ("text_vae", "train.idx"),
])  # fmt: skip
def test_every_file_of_every_task_is_looked_at(task, name, file):
    with pytest.raises(InputError, match=re.escape(file)):
        task(name, halved(file)).load_dataset("train")


@pytest.mark.parametrize("name, dictionary", [("dialogue", "dict.src.txt"), ("text_vae", "dict.txt")])
@pytest.mark.parametrize("content, said", [
    (b"caf\xe9 1\n", "not UTF-8"),
    (b"tea\n", "no fairseq dictionary .*expected"),
    (b"tea 1\ntea 2\n", "no fairseq dictionary .*Duplicate word"),
])  # fmt: skip
def test_what_is_no_dictionary(task, name, dictionary, content, said):
    with pytest.raises(InputError, match=f"{dictionary}: {said}"):
        task(name, lambda folder: (folder / dictionary).write_bytes(content))


def test_a_dictionary_that_lost_its_end(task):
    def shorten(folder):
        for side in ("src", "tgt"):
            lines = (folder / f"dict.{side}.txt").read_text(encoding="utf-8").splitlines(keepends=True)
            (folder / f"dict.{side}.txt").write_text("".join(lines[:-3]), encoding="utf-8")

    with pytest.raises(InputError, match="is not in the dictionary"):
        task("dialogue", shorten).load_dataset("train")


def test_contexts_without_responses(task):
    def drop(folder):
        for kind in ("idx", "bin"):
            (folder / f"train.src-tgt.tgt.{kind}").unlink()

    with pytest.raises(InputError, match="split train has contexts without responses; remedy"):
        task("dialogue", drop).load_dataset("train")


# --- several parts of a split ----------------------------------------------------------------------------------------


def second_part(folder):
    """The validation set once more, as a second part of the training set."""
    for path in list(folder.glob("valid.*")):
        shutil.copy(path, folder / f"train1{path.name.removeprefix('valid')}")


@pytest.mark.parametrize("times", [-1, 1, 3])
def test_profiles_of_all_parts_stand_beside_their_pairs(task, times):
    """40 pairs in train and 11 in train1; --upsample-primary takes the first of them more often."""
    made = task("persona_dialogue", second_part)
    made.cfg.upsample_primary = times
    made.load_dataset("train", combine=True)
    both = made.datasets["train"]
    count = 40 * max(1, times)
    assert len(both) == count + 11 and isinstance(both.profiles, ConcatDataset)
    made.load_dataset("valid")
    alone = made.datasets["valid"]
    for row in range(11):
        assert torch.equal(both.profiles[count + row], alone.profiles[row])
        assert both.similarity[count + row] == alone.similarity[row]
        assert torch.equal(both[count + row]["target"], alone[row]["target"])
    assert made.cfg.upsample_primary == times


def test_pairs_of_all_parts(task):
    made = task("dialogue", second_part)
    made.load_dataset("train", combine=True)
    made.load_dataset("valid")
    assert len(made.datasets["train"]) == 120 + len(made.datasets["valid"])
