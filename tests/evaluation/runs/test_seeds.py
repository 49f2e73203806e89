"""Which trainings are seeds of one system."""

from pathlib import Path

import pytest

from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.runs.run_folder import RunFolder, run_folders
from fairseq_latent.evaluation.runs.seeds import systems_of
from fairseq_latent.evaluation.runs.training_config import TrainingSettings


def settings(seed, **flags):
    return TrainingSettings("t_cvae", "elbo", {"seed": str(seed), "lr": "1", **flags}, 5, 1.0, 9, task="dialogue")


def found(known, **more):
    """Name -> folders of each system."""
    runs = {RunFolder(name, Path(name)): each for name, each in known.items()}
    return {system.name: [run.name for run in system.runs] for system in systems_of(runs, **more)}


def test_what_differs_in_the_seed_alone_is_one_system():
    known = {"a-seed10": settings(10), "b": settings(1, lr="2"), "a-seed2": settings(2), "a-seed1": settings(1)}
    assert found(known) == {"a": ["a-seed1", "a-seed2", "a-seed10"], "b": ["b"]}
    assert found(known, apart=True) == {name: [name] for name in known}


def test_folders_that_bear_the_seed_are_no_difference():
    one, two = (settings(seed, transmitter=f"runs/p-seed{seed}/x.pt") for seed in (1, 2))
    assert found({"m1": one, "m2": two}) == {"m": ["m1", "m2"]}
    other = settings(2, transmitter="runs/p-seed3/x.pt")
    assert found({"m1": one, "m2": other}) == {"m1": ["m1"], "m2": ["m2"]}
    longer = settings(2, transmitter="runs/p-seed20/x.pt")
    assert len(found({"m1": one, "m2": longer})) == 2


def test_the_same_seed_twice_is_another_system():
    assert found({"a": settings(1), "b": settings(1), "c": settings(2)}) == {"a / c": ["a", "c"], "b": ["b"]}
    assert found({"a": settings(1), "b": None, "c": None}) == {"a": ["a"], "b": ["b"], "c": ["c"]}


def test_a_shared_name_that_another_system_has_is_not_taken():
    known = {"m": settings(1, lr="2"), "m seed 1": settings(1), "m seed 2": settings(2)}
    assert found(known) == {"m": ["m"], "m seed 1 / m seed 2": ["m seed 1", "m seed 2"]}


def test_what_was_said_to_be_seeds_is_one_system(tmp_path):
    for name in ("x", "y", "K=5"):
        (tmp_path / name).mkdir()
    runs = run_folders([f"K=5={tmp_path}/y,{tmp_path}/x", f"b={tmp_path}/K=5"])
    assert [(run.name, run.system) for run in runs[:2]] == [
        (f"K=5 ({tmp_path}/y)", "K=5"),
        (f"K=5 ({tmp_path}/x)", "K=5"),
    ]
    one, other = systems_of(dict(zip(runs, (settings(2), settings(1, lr="3"), None), strict=True)))
    assert (one.name, one.seeds, one.differ) == ("K=5", ("1", "2"), ("--lr",))
    assert [run.folder.name for run in one.runs] == ["x", "y"]
    assert (other.name, other.seeds, other.differ) == ("b", ("?",), ())
    with pytest.raises(InputError, match="a run stands twice"):
        run_folders([f"a={tmp_path}/x,{tmp_path}/x"])


def test_a_folder_with_a_comma_is_one(tmp_path):
    (tmp_path / "a,b").mkdir()
    (run,) = run_folders([f"n={tmp_path}/a,b"])
    assert run.folder == tmp_path / "a,b"
