"""One small input does not take all memory: what a file, an id or a flag asks for is compared with what there is."""

import gzip
import io
import zipfile

import numpy as np
import pytest
import torch

from fairseq_latent import memory
from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.analysis.latent_samples import sample_pairs
from fairseq_latent.evaluation.metrics.bootstrap import Bootstrap
from fairseq_latent.evaluation.runs.response_files import read_generations
from fairseq_latent.text.word_vectors import load_vectors
from preprocess import conversation, lines, parallel
from preprocess.corpora import archives

from .helpers import programs

MB = 1 << 20


@pytest.fixture
def two_megabytes(monkeypatch):
    """A machine of which a file may take 2 MB."""
    monkeypatch.setattr(memory, "free_memory", lambda: 2 * MB * memory.COPIES)


@pytest.fixture
def bomb(tmp_path):
    """Formats of a few kB that unpack to 64 MB on one line."""
    content = b"[" * (64 * MB)
    with zipfile.ZipFile(tmp_path / "corpus.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("dev.json", content)
    with gzip.open(tmp_path / "corpus.json.gz", "wb", 1) as file:
        file.write(content)
    return tmp_path


@pytest.mark.parametrize("name", ["corpus.zip", "corpus.json.gz"])
@pytest.mark.parametrize("read", [archives.Member.text, archives.Member.json, lambda member: list(member.lines())])
def test_an_archive_that_unpacks_to_more_than_memory(bomb, two_megabytes, name, read):
    with pytest.raises(InputError, match=f"{name}.*2 MB or more, which memory cannot hold; remedy"):
        for member in archives.members(bomb / name, "*.json", "*.json.gz"):
            read(member)


def test_a_packed_line_that_is_longer_than_memory(bomb, two_megabytes):
    path = bomb / "corpus.json.gz"
    for read in (
        lambda: list(lines.read_lines(path)),
        lambda: list(conversation.read_conversations(path)),
        lambda: list(parallel._blocks(path, 1000)),
    ):
        with pytest.raises(InputError, match=r"corpus.json.gz:1: a line of 2 MB or more, which memory cannot hold"):
            read()
    path.rename(bomb / "vectors.txt.gz")
    with pytest.raises(InputError, match=r"vectors.txt.gz: a line of 2 MB or more"):
        load_vectors(bomb / "vectors.txt.gz")


def test_what_fits_is_read(two_megabytes):
    content = b"a\n" * (3 * MB) + b"end"
    assert b"".join(memory.bounded_lines(io.BytesIO(content))) == content
    assert memory.read_bounded(io.BytesIO(content[:MB])) == content[:MB]


def test_without_free_memory_short_files_are_read_to_their_end(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 0)
    assert list(memory.bounded_lines(io.BytesIO(b"a\nb"))) == [b"a\n", b"b"]


def test_memory_is_that_of_the_machine_or_the_cluster(tmp_path, monkeypatch):
    assert 0 < memory.free_memory() <= memory.available_memory()
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    unlimited = memory.available_memory()
    (tmp_path / "memory.max").write_text("3000\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert unlimited > memory.available_memory() == 3000 and memory.free_memory() == 2000


@pytest.mark.parametrize("depth", [900, 950, 980, 990, 995, 1000, 1100, 100_000])
@pytest.mark.parametrize(
    "record", ['{"id": %s}', '{"id": "c", "turns": %s}', "%s", '{"id": "c", "turns": [], "lang": %s}']
)
def test_json_nested_deep(tmp_path, depth, record):
    path = tmp_path / "conversations.jsonl"
    path.write_text(record % ("[" * depth + "]" * depth) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="conversations.jsonl:1: "):
        list(conversation.read_conversations(path))


def test_an_archives_json_nested_deep(tmp_path):
    (tmp_path / "deep.json").write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(InputError, match="deep.json:1: no JSON"):
        next(archives.members(tmp_path / "deep.json", "*.json")).json()


# --- ids of hypotheses -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [99_999_999_999, 999_999_999_999_999_999])
def test_an_id_as_large_as_it_likes(tmp_path, number):
    path = tmp_path / "generated.txt"
    path.write_text(f"H-0\t-1\tx\nH-{number}\t-1\ty\n", encoding="utf-8")
    with pytest.raises(InputError, match=rf"{number - 1} of {number + 1} ids are missing \(first: 1\)"):
        read_generations(path)


@pytest.mark.parametrize("digits", [19, 5000])
def test_an_id_of_many_digits(tmp_path, digits):
    path = tmp_path / "generated.txt"
    path.write_text(f"H-0\t-1\tx\nH-{'9' * digits}\t-1\ty\n", encoding="utf-8")
    with pytest.raises(InputError, match=f"line 2: an id of {digits} digits; remedy"):
        read_generations(path)


def test_a_count_of_many_digits_is_none(tmp_path):
    path = tmp_path / "generated.txt"
    path.write_text(f"H-0\t-1\tx\nTranslated {'9' * 5000} sentences\n", encoding="utf-8")
    assert len(read_generations(path)) == 1


# --- flags -------------------------------------------------------------------------------------------------------------


def test_a_need_is_said_in_one_line():
    memory.require_memory(10, "--k 2", "less", free=10)
    with pytest.raises(InputError, match="--k 2: needs about 3 GB of memory, 12 kB are free; remedy: less"):
        memory.require_memory(3e9, "--k 2", "less", free=12_000)
    assert memory.shown(5e15) == "5,000 TB"


def test_more_hypotheses_than_memory_holds(data_bin, tmp_path, refused, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 8 << 30)
    programs.fit(data_bin, tmp_path, "--max-update", "1")
    checkpoint = tmp_path / "checkpoint_last.pt"
    line = refused(programs.decode, data_bin, checkpoint, "--latent-samples", "1000000")
    assert "1,000,000 latents (--latent-samples, --replies) and --beam 5, for 16 contexts at once: needs about " in line
    done = programs.tool("chat", data_bin, "--path", checkpoint, "--replies", "100000000", "--cpu", stdin="tea\n")
    assert done.returncode == 2 and "100,000,000 latents (--latent-samples, --replies) and --beam 1" in done.stderr
    assert done.stdout == "" and done.stderr.count("\n") == 1
    for flags in (("--importance-samples", "10000000000"), ("--prior-samples", "10000000000")):
        done = programs.tool("latents", data_bin, "--path", checkpoint, "--cpu", *flags)
        assert done.returncode == 2 and f"{' '.join(flags)}: needs about" in done.stderr


def test_more_steps_than_memory_holds():
    done = programs.tool("interpolate", "data", "--path", "x.pt", "--example", "0", "1", "--steps", "10000000000")
    assert done.returncode == 2 and "--steps 10000000000 --beam 5: needs about 150 TB" in done.stderr


def test_more_resamples_than_memory_holds(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 8 << 30)
    with pytest.raises(InputError, match="--bootstrap 1000000000000: needs about 16 TB of memory, .*; remedy: 1000"):
        Bootstrap(10**12).sums([np.ones((3, 2))])
    assert Bootstrap(40).sums([np.ones((3, 2))])[0].shape == (40, 2)
    with pytest.raises(InputError, match="--bootstrap 2147483648: needs about .*; remedy: 1000"):
        Bootstrap(2**31).all_weights(6)  # what `agreement` reads
    assert Bootstrap(40).all_weights(6).sum(1).tolist() == [6.0] * 40 and Bootstrap(0).all_weights(6).shape == (0, 6)


def test_more_candidates_than_there_are_replies_and_than_memory_holds(monkeypatch):
    import fairseq  # noqa: F401  first: it registers the plugin

    from fairseq_latent.data.candidates import Offers

    replies = [torch.tensor([number, 2]) for number in (4, 5, 6, 6)]
    few = Offers(None, replies, list("abcd"), 0, 3, seed=1).of_epoch(1)
    assert np.array_equal(Offers(None, replies, list("abcd"), 0, 2**31, seed=1).of_epoch(1), few)
    monkeypatch.setattr(memory, "free_memory", lambda: 100)
    with pytest.raises(InputError, match="3 candidates of 4 pairs: needs about .*; remedy: fewer candidates"):
        Offers(None, replies, list("abcd"), 0, 20)


def test_more_samples_for_a_picture_than_memory_holds(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 8 << 30)
    with pytest.raises(InputError, match="--prior 1000000000 --posterior 50: needs about"):
        sample_pairs({}, "data", "test", [0], num_prior=10**9)
