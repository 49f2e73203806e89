"""Several fairseq-generate share a split out, and what they print is, one after the other, what one prints."""

import numpy as np
import pytest
from fairseq import options
from fairseq.tasks import FairseqTask

from fairseq_latent.compat.shards import halved, sharing
from fairseq_latent.evaluation.runs.response_files import read_generations

from ..helpers import programs
from ..helpers.tiny import dataset

PARSERS = {
    "fairseq-generate": options.get_generation_parser,
    "fairseq-interactive": options.get_interactive_generation_parser,
    "fairseq-validate": options.get_validation_parser,
}


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """What a test parses is not asked of the next."""
    monkeypatch.setattr(sharing, "shards", 1)


def parsed(*flags, program="fairseq-generate", task="dialogue"):
    return options.parse_args_and_arch(PARSERS[program](), ["nowhere", "--task", task, "--path", "no.pt", *flags])


@pytest.fixture(scope="module")
def checkpoint(data_bin, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    programs.fit(data_bin, folder, "--max-update", "2")
    return folder / "checkpoint_last.pt"


@pytest.mark.parametrize("batches", [("--batch-size", "4"), ("--max-tokens", "4000")])
def test_joined_they_are_the_whole(data_bin, checkpoint, tmp_path, batches):
    """Also where there is one batch for both."""
    command = (data_bin, checkpoint, "--beam", "2", "--max-len-b", "7", *batches)
    whole = programs.decode(*command).text
    shares = [programs.decode(*command, "--num-shards", "2", "--shard-id", shard).text for shard in (0, 1)]
    for name, text in (("whole", whole), ("joined", "".join(shares))):
        (tmp_path / name).write_text(text, encoding="utf-8")
    found = [read_generations(tmp_path / name) for name in ("whole", "joined")]
    assert [each.hypotheses for each in found[0]] == [each.hypotheses for each in found[1]]
    assert [each.reference for each in found[0]] == [each.reference for each in found[1]]
    counts = [text.count("\nH-") for text in shares]
    assert sum(counts) == len(found[0]) and min(counts) > 0
    if "--batch-size" in batches:  # the same batches: to the digit
        assert [each.scores for each in found[0]] == [each.scores for each in found[1]]


def test_a_stock_model_is_shared_out_too():
    flags = parsed("--num-shards", "3", "--shard-id", "1", task="translation")
    assert (flags.distributed_world_size, flags.distributed_rank) == (3, 1)
    flags = parsed("--results-path", "out", task="translation")
    assert (flags.distributed_world_size, flags.results_path, sharing.shards) == (1, "out", 1)


def test_no_shard_overwrites_what_another_wrote():
    paths = {
        parsed("--num-shards", "3", "--shard-id", shard, "--results-path", "out").results_path
        for shard in ("0", "1", "2")
    }
    assert paths == {f"out/shard-{shard}-of-3" for shard in range(3)}


def test_each_shard_has_work(task):
    data = dataset(task)

    def ids(shards, shard):
        task.dataset_to_epoch_iter.clear()
        flags = {"max_sentences": 9, "num_shards": shards, "shard_id": shard}
        iterator = FairseqTask.get_batch_iterator(task, data, **flags).next_epoch_itr(shuffle=False)
        return [number for sample in iterator if sample for number in sample["id"].tolist()]

    assert [len(ids(4, shard)) for shard in range(4)] == [5, 0, 0, 0]  # as training has it: one batch, and empty ones
    parsed("--num-shards", "4")
    shares = [ids(4, shard) for shard in range(4)]
    assert min(map(len, shares)) == 1 and sorted(sum(shares, [])) == list(range(5))


def test_the_largest_batches_are_halved_in_order():
    batches = [list(batch) for batch in halved([np.arange(5), np.arange(5, 7)], 4)]
    assert batches == [[0, 1], [2], [3, 4], [5, 6]]
    assert len(halved(batches, 2)) == 4


@pytest.mark.parametrize(("flags", "program", "line"), [
    (("--num-shards", "2", "--shard-id", "2"), "fairseq-generate", "remedy: --shard-id from 0 to 1"),
    (("--shard-id", "1"), "fairseq-generate", "--num-shards 1 --shard-id 1; remedy"),
    (("--num-shards", "0"), "fairseq-generate", "--num-shards 0 is out of range"),
    (("--num-shards", "2", "--distributed-world-size", "2"), "fairseq-generate", "beside --distributed-world-size 2"),
    (("--num-shards", "2"), "fairseq-interactive", "only fairseq-generate shares a split out"),
    (("--num-shards", "2"), "fairseq-validate", "only fairseq-generate shares a split out"),
])  # fmt: skip
def test_shares_that_there_are_not(refused, flags, program, line):
    assert line in refused(parsed, *flags, program=program)
    if "--num-shards 0" not in line:
        parsed(*flags, program=program, task="translation")  # fairseq's own to say


def test_more_shards_than_sentences(refused):
    assert "--num-shards 3: there are 2 sentences" in refused(halved, [np.arange(2)], 3)
    assert "--num-shards 3: there are 0 sentences" in refused(halved, [], 3)
