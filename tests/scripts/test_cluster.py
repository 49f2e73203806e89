"""The SLURM batch scripts: their dry runs, a job of two nodes under a SLURM of ours that is requeued, and refusals."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest
import torch

from ..helpers import programs
from .stand_ins import stub
from .test_recipes_and_evaluate import PATH, ROOT

CLUSTER = ROOT / "scripts/cluster"
TINY = {
    "ARCH": "t_cvae_tiny", "MAX_TOKENS": "120", "UPDATE_FREQ": "2", "MAX_UPDATE": "24", "WARMUP": "4", "LR": "3e-3",
    "SAVE_EVERY": "7", "LOG_INTERVAL": "1",
}  # fmt: skip


def environment(**variables) -> dict[str, str]:
    """Ours, outside SLURM, with these variables; no GPU is asked for."""
    kept = {name: value for name, value in programs.quiet().items() if not name.startswith("SLURM_")}
    return kept | {"PATH": PATH, "FAIRSEQ_LATENT_NO_VENV": "1", "FAIRSEQ_LATENT_DEVICE": "cpu"} | variables


def script(name: str, *words: object, **variables: str) -> subprocess.CompletedProcess:
    command = ["bash", str(CLUSTER / f"{name}.sh"), *map(str, words)]
    return subprocess.run(command, env=environment(**variables), capture_output=True, text=True)


def dry_run(name: str, *words: object, **variables: str) -> list[list[str]]:
    """The words of each command that a dry run prints; there is no SLURM on PATH."""
    done = script(name, "--dry-run", *words, **{"FAIRSEQ_LATENT_DEVICE": "gpu", "DATA": "data-bin/my"} | variables)
    assert done.returncode == 0, done.stderr
    return [shlex.split(line) for line in done.stdout.splitlines()]


def training_flags(words: list[str]):
    """What fairseq's own parser makes of a printed command, on a machine with a GPU."""
    import torch
    from fairseq import options

    (begin,) = [index for index, word in enumerate(words) if os.path.basename(word) == "fairseq-train"]
    with mock.patch.object(torch.cuda, "is_available", return_value=True):
        return options.parse_args_and_arch(options.get_training_parser(), words[begin + 1 :])


# --- dry runs --------------------------------------------------------------------------------------------------------


def test_one_node_shares_out_an_updates_batches():
    (words,) = dry_run("single_node", "speculative_k5", "--fp16", PROCESSES_PER_NODE="4")
    assert words[words.index("torchrun") :][:4] == ["torchrun", "--standalone", "--nproc-per-node", "4"]
    args = training_flags(words)
    assert (args.k, args.fp16, args.cpu, args.distributed_world_size) == (5, True, False, 4)
    assert args.update_freq == [2] and 2 * 4 == 8  # the recipe's --update-freq
    assert args.save_interval_updates == 500


def test_a_dry_run_takes_its_numbers_from_the_scripts_header():
    (words,) = dry_run("single_node", "t_cvae")
    assert training_flags(words).distributed_world_size == 4
    (words,) = dry_run("several_nodes", "t_cvae")
    assert training_flags(words).distributed_world_size == 2 * 4


def test_several_nodes_meet_at_the_first():
    (words,) = dry_run("several_nodes", "bow", PROCESSES_PER_NODE="2", RENDEZVOUS_SECONDS="30")
    line = " ".join(words)
    assert "srun --nodes=2 --ntasks=2 --ntasks-per-node=1 " in line
    assert " torchrun --nnodes 2 --nproc-per-node 2 --rdzv-id 0.0 --rdzv-backend c10d --rdzv-endpoint " in line
    assert " --rdzv-conf read_timeout=11,join_timeout=30 " in line
    assert training_flags(words).update_freq == [2]


def test_an_array_is_recipes_times_seeds():
    variables = {"RECIPES": "t_cvae mc", "SEEDS": "3 5", "RUNS": "runs/x", "PROCESSES_PER_NODE": "1"}
    rows = [training_flags(words) for words in dry_run("array", "--fp16", **variables)]
    assert [(args.save_dir, args.seed, args.k) for args in rows] == [
        ("runs/x/t_cvae-seed3", 3, 1), ("runs/x/t_cvae-seed5", 5, 1), ("runs/x/mc-seed3", 3, 5), ("runs/x/mc-seed5", 5, 5),
    ]  # fmt: skip
    assert all(args.fp16 and args.update_freq == [8] for args in rows)
    (words,) = dry_run("array", SLURM_ARRAY_TASK_ID="2", **variables)
    assert training_flags(words).save_dir == "runs/x/mc-seed3"


def test_a_printed_command_runs_where_it_is_pasted(data_bin, tmp_path):
    variables = TINY | {"MAX_UPDATE": "2", "DATA": str(data_bin), "RUN": str(tmp_path / "a b/run")}
    done = script("array", "--dry-run", RECIPES="t_cvae", SEEDS="1", RUNS=str(tmp_path / "a b"), **variables)
    pasted = subprocess.run(["bash", "-c", done.stdout], env=environment(), capture_output=True, text=True)
    assert pasted.returncode == 0, pasted.stderr
    assert (tmp_path / "a b/t_cvae-seed1/checkpoint_last.pt").is_file()


# --- a job -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def slurm(tmp_path):
    """A SLURM of this machine: sbatch runs a copy of the script, srun its tasks, scontrol notes a requeue."""
    folder = tmp_path / "slurm"
    stub(
        folder / "scontrol",
        f"""case "$1 $2" in
        "show hostnames") echo localhost; echo other ;;
        "requeue 77") echo again >> {tmp_path}/requeued ;;
        *) exit 1 ;;
    esac""",
    )
    stub(
        folder / "srun",
        """while [[ $1 == --* ]]; do
        [[ $1 != --ntasks=* ]] || tasks=${1#*=}
        shift
    done
    for ((task = 1; task < tasks; task++)); do "$@" & done
    "$@" || exit; wait""",
    )
    stub(
        folder / "sbatch",
        f"""mkdir -p {tmp_path}/spool; cp "$1" {tmp_path}/spool/slurm_script; shift
    exec bash {tmp_path}/spool/slurm_script "$@" """,
    )

    path = os.pathsep.join(
        [str(folder), str(Path(sys.executable).parent), os.environ["PATH"]]
    )  # parents that can be killed

    def submit(name, *words, **variables):
        settings = {
            "PATH": path, "SLURM_JOB_ID": "77", "SLURM_SUBMIT_DIR": str(ROOT),
            "SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "localhost,other", "PROCESSES_PER_NODE": "1",
        }  # fmt: skip
        return subprocess.Popen(
            ["sbatch", CLUSTER / f"{name}.sh", *words], env=environment(**settings | TINY | variables),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    submit.requeued = tmp_path / "requeued"
    return submit


def wait_for(condition, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_a_job_of_two_nodes_is_requeued_and_goes_on(slurm, data_bin, tmp_path):
    """Two nodes of one process each; the same parameters as one unbroken process with --update-freq 2."""
    folder, steady = tmp_path / "run", ("--adam-eps", "0.001")  # see test_distributed.py
    job = {"DATA": str(data_bin), "RUN": str(folder)}
    first = slurm("several_nodes", "speculative_k5", *steady, **job)
    wait_for(lambda: (folder / "checkpoint_last.pt").is_file() or first.poll() is not None)
    assert first.poll() is None, first.communicate()[0]
    first.send_signal(signal.SIGUSR1)  # two minutes before the end
    printed, _ = first.communicate(timeout=60)
    assert first.returncode == 0, printed
    assert "job 77 goes back into the queue" in printed and slurm.requeued.read_text() == "again\n"
    assert not (folder / "done").exists()

    second = slurm("several_nodes", "speculative_k5", *steady, SLURM_RESTART_COUNT="1", **job)
    printed, _ = second.communicate(timeout=90)
    assert second.returncode == 0, printed
    assert (folder / "done").is_file()
    assert "Loaded checkpoint" in (folder / "train.out").read_text()

    (words,) = dry_run("several_nodes", "speculative_k5", *steady, **TINY | job | {"PROCESSES_PER_NODE": "1"})
    words = words[[os.path.basename(word) for word in words].index("fairseq-train") + 1 :]
    unbroken = ("--distributed-world-size", "1", "--update-freq", "2", "--save-dir", tmp_path / "unbroken", "--cpu")
    programs.run("fairseq-train", *words, *unbroken, "--log-file", tmp_path / "unbroken.log", "--num-workers", "0")
    one, other = (programs.parameters(path / "checkpoint_last.pt") for path in (folder, tmp_path / "unbroken"))
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_a_failed_training_fails_the_job_and_is_not_requeued(slurm, data_bin, tmp_path):
    job = slurm("single_node", "t_cvae", "--k", "0", DATA=str(data_bin), RUN=str(tmp_path / "run"))
    printed, _ = job.communicate(timeout=60)
    assert job.returncode == 2
    assert "--k 0 is out of range; remedy: " in printed
    assert not slurm.requeued.exists()


# --- refusals --------------------------------------------------------------------------------------------------------

JOB = {"SLURM_JOB_ID": "7", "SLURM_GPUS_ON_NODE": "2"}


@pytest.mark.parametrize("words, variables, said", [
    (("single_node", "t_cvae"), {}, "not in a SLURM job (SLURM_JOB_ID is not set); remedy: sbatch single_node.sh"),
    (("array",), {"SLURM_ARRAY_TASK_ID": "0"}, "not in a SLURM job"),
    (("single_node",), JOB, "recipe (none) is unknown; remedy: one of bow cyclical "),
    (("several_nodes", "t_vae"), JOB, "recipe t_vae is unknown; remedy: one of bow cyclical "),
    (("array",), JOB | {"DATA": "{data}", "RECIPES": "t_cvae ../x"}, "recipe ../x is unknown"),
    (("single_node", "t_cvae"), JOB, "DATA is not set; remedy: "),
    (("single_node", "t_cvae"), JOB | {"DATA": "nowhere"}, "DATA=nowhere: no data set; remedy: "),
    (("single_node", "t_cvae"), {"SLURM_JOB_ID": "7", "DATA": "{data}"}, "the job has no GPUs (SLURM_GPUS_ON_NODE); remedy"),
    (("single_node", "t_cvae"), JOB | {"DATA": "{data}", "PROCESSES_PER_NODE": "some"}, "the job has no GPUs"),
    (("single_node", "t_cvae"), JOB | {"DATA": "{data}", "PROCESSES_PER_NODE": "3"}, "--update-freq 8 cannot be shared"),
    (("several_nodes", "t_cvae"), JOB | {"DATA": "{data}"}, "the job has no nodes (SLURM_JOB_NODELIST is not set); remedy"),
    (("array",), JOB | {"DATA": "{data}"}, "task (none) of 6 recipes x seeds; remedy: sbatch --array=0-5 array.sh"),
    (("array",), JOB | {"DATA": "{data}", "SLURM_ARRAY_TASK_ID": "6"}, "task 6 of 6 recipes x seeds"),
])  # fmt: skip
def test_what_is_missing_is_said_in_one_line(data_bin, words, variables, said):
    variables = {name: value.format(data=data_bin) for name, value in variables.items()}
    done = script(*words, **variables)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {said}") and done.stderr.count("\n") == 1
    assert not done.stdout


def test_a_script_submitted_from_elsewhere_says_so(slurm, tmp_path):
    job = slurm("single_node", "t_cvae", SLURM_SUBMIT_DIR=str(tmp_path))
    printed, _ = job.communicate(timeout=20)
    assert job.returncode == 2
    assert printed == f"error: {tmp_path}/scripts/cluster: no scripts; remedy: sbatch from the repository's root\n"
