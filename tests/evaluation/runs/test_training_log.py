"""Logs of fairseq-train: curves over updates, restarts, lines that are none."""

import json

import pytest

from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.runs.training_log import read_training_log


def train(update, **values):
    return json.dumps({"epoch": 1, **{name: str(value) for name, value in values.items()}, "num_updates": str(update)})


def valid(update, **values):
    values = {f"valid_{name}": str(value) for name, value in {**values, "num_updates": update}.items()}
    return json.dumps({"epoch": 1, **values})


@pytest.fixture
def read(tmp_path):
    """Lines -> TrainingLog."""

    def written(*lines):
        path = tmp_path / "train.log"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return read_training_log(path)

    return written


def test_curves_of_training_and_validation(read):
    log = read(
        "{'_name': None, 'common': {'seed': 1}}",
        "task: DialogueTask",
        train(20, kl=3.5, loss=90, wall=11),
        train(40, kl=2.5, loss=80, wall=25),
        'begin validation on "valid" subset',
        valid(40, kl=2.0, au=3),
        "done training in 25.3 seconds",
    )
    assert log.series("train", "kl") == ([20, 40], [3.5, 2.5])
    assert log.series("valid", "kl") == ([40], [2.0])
    assert log.series("valid", "au") == ([40], [3.0])
    assert log.series("valid", "loss") == ([], [])
    assert (log.updates, log.seconds) == (40, 25)


def test_an_epochs_summary_is_no_point_of_the_curve(read):
    log = read(train(20, kl=3), json.dumps({"epoch": 1, "train_kl": "9", "train_num_updates": "20"}))
    assert log.series("train", "kl") == ([20], [3.0])


def test_the_last_of_repeated_updates_counts(read):
    log = read(train(20, kl=1), train(40, kl=2), train(20, kl=3), train(40, kl=4))
    assert log.series("train", "kl") == ([20, 40], [3.0, 4.0])


def test_a_restart_forgets_what_the_stopped_run_did_after_its_checkpoint(read):
    log = read(
        *(train(20, kl=1), train(40, kl=2), valid(40, kl=2), train(60, kl=6), valid(60, kl=6), train(80, kl=8)),
        *(train(50, kl=5), train(70, kl=7)),
    )
    assert log.series("train", "kl") == ([20, 40, 50, 70], [1, 2, 5, 7])
    assert log.series("valid", "kl") == ([40], [2])
    assert log.updates == 70


def test_time_goes_on_after_a_restart(read):
    """fairseq counts from 0 again: 25 s to the checkpoint, what came after it is forgotten, then 30 s."""
    log = read(*(train(20, wall=11), train(40, wall=25), train(60, wall=40)), *(train(50, wall=0), train(70, wall=30)))
    assert log.seconds == 55


def test_a_second_validation_of_the_same_update_replaces_the_first(read):
    log = read(train(40, kl=2), valid(40, kl=1), valid(40, kl=1.5))
    assert log.series("valid", "kl") == ([40], [1.5])
    assert log.series("train", "kl") == ([40], [2])


def test_lines_that_cannot_be_read_are_passed_over(read):
    log = read(train(20, kl="inf", loss="nan", lr="1e-3"), '{"epoch": 1, "num_upd', "{}", "\u2028", train(40, kl=1))
    assert log.series("train", "kl") == ([40], [1.0])
    assert log.series("train", "lr") == ([20], [0.001])
    assert log.seconds is None


@pytest.mark.parametrize("lines", [[], ["nothing here"], ['{"epoch": 1}', "[1]"]])
def test_a_log_without_updates_is_an_error(read, lines):
    with pytest.raises(InputError, match="train.log: no logged update; remedy: fairseq-train --log-format json"):
        read(*lines)


@pytest.mark.parametrize("update", [10**30, str(10**30), "5" * 5000, -1, 1.5, None, "x"])
def test_a_number_that_counts_no_updates_is_named(read, update):
    line = json.dumps({"epoch": 1, "kl": "3", "num_updates": update})
    with pytest.raises(InputError, match="train.log:1: num_updates is no number of updates; remedy: "):
        read(line, train(20, kl=3))
