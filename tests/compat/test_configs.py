"""docs/configs.md: YAML for fairseq-hydra-train, log files, TensorBoard, and what Weights & Biases needs."""

import importlib.util
import json
import re
import subprocess
from pathlib import Path

import pytest
from fairseq import options
from fairseq.dataclass import utils
from hydra.errors import ConfigCompositionException
from hydra.experimental import compose, initialize
from omegaconf import OmegaConf

from ..helpers import programs

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "docs/configs"
TINY = {  # in place of the files' sizes, and the same as flags of fairseq-train
    "speculative_k5": {"embed_dim": 16, "ffn_dim": 32, "heads": 2, "latent_dim": 8, "prior_hidden_dim": 8},
    "gru_vae": {"embed_dim": 8, "hidden_dim": 16, "latent_dim": 8},
}
FLAGS = {
    "speculative_k5": (
        *("--arch", "t_cvae_tiny", "--criterion", "speculative_elbo", "--k", "5", "--kl-schedule", "linear"),
        *("--kl-warmup", "1000", "--label-smoothing", "0.1", "--adam-betas", "(0.9, 0.98)"),
        *("--lr-scheduler", "inverse_sqrt", "--warmup-updates", "400", "--lr", "1e-3", "--clip-norm", "25"),
    ),
    "gru_vae": (
        *("--task", "text_vae", "--arch", "gru_vae_tiny", "--criterion", "podi_elbo", "--podi-target", "0.15"),
        *("--lr", "1e-3", "--clip-norm", "5"),
    ),
}
BUDGET = {"speculative_k5": "dataset.max_tokens=200", "gru_vae": "dataset.batch_size=8"}


def hydra_train(name: str, folder: Path, *words: str) -> subprocess.CompletedProcess:
    """`fairseq-hydra-train` on a file of the page, three updates of a tiny model."""
    sizes = [f"model.{flag}={value}" for flag, value in TINY[name].items()]
    return programs.command(
        "fairseq-hydra-train", "--config-dir", CONFIGS, "--config-name", name,
        f"common.user_dir={programs.PLUGIN}", f"checkpoint.save_dir={folder}", f"hydra.run.dir={folder}/hydra",
        "optimization.max_update=3", "common.log_interval=1", "dataset.num_workers=0", BUDGET[name], *sizes, *words,
    )  # fmt: skip


def test_the_page_shows_every_file():
    page = (ROOT / "docs/configs.md").read_text("utf-8")
    assert (
        set(re.findall(r"\(configs/(\w+)\.yaml\)", page)) == {path.stem for path in CONFIGS.glob("*.yaml")} == set(TINY)
    )


@pytest.mark.parametrize("name", TINY)
def test_a_file_trains_what_the_flags_train(name, data_bin, sentences_bin, tmp_path):
    """To the last bit, and both logs hold the same numbers."""
    data = data_bin if name == "speculative_k5" else sentences_bin
    logs = f"common.log_file={tmp_path}/train.log", f"common.tensorboard_logdir={tmp_path}/tensorboard"
    done = hydra_train(name, tmp_path / "yaml", f"task.data={data}", *logs)
    assert done.returncode == 0, done.stderr[-3000:]
    budget = ("--max-tokens", "200", "--batch-size-valid", "8") if name == "speculative_k5" else ("--batch-size", "8")
    flags = [word for word in programs.TINY_TRAINING if word not in ("--batch-size", "8")]
    kind = ("--user-dir", programs.PLUGIN, "--task", "dialogue", "--max-update", "3")
    words = (data, *flags, *kind, *FLAGS[name], *budget, "--max-update", "3", "--save-dir", tmp_path / "flags")
    programs.run("fairseq-train", *words)
    programs.assert_same_parameters(tmp_path / "yaml/checkpoint_last.pt", tmp_path / "flags/checkpoint_last.pt")
    log = (tmp_path / "train.log").read_text("utf-8").splitlines()
    lines = [json.loads(line[line.index('{"') :]) for line in log if '{"' in line]
    losses = {int(line["num_updates"]): float(line["loss"]) for line in lines if "loss" in line}
    assert sorted(losses) == [1, 2, 3]
    assert scalars(tmp_path / "tensorboard/train_inner", "loss") == pytest.approx(losses, abs=1e-2)
    assert "kl" in names(tmp_path / "tensorboard/valid")


def events(folder: Path):
    """The numbers that tensorboardX wrote: (update, name, value)."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.glob("events.*")):
        raw = path.read_bytes()
        while raw:  # records: 8 bytes of length, a checksum of 4, the record, a checksum of 4
            length = int.from_bytes(raw[:8], "little")
            event = Event.FromString(raw[12 : 12 + length])
            raw = raw[16 + length :]
            yield from ((event.step, value.tag, value.simple_value) for value in event.summary.value)


def scalars(folder: Path, name: str) -> dict[int, float]:
    return {step: value for step, tag, value in events(folder) if tag == name}


def names(folder: Path) -> set[str]:
    return {tag for _, tag, _ in events(folder)}


def test_weights_and_biases_is_refused_where_it_is_missing(data_bin, tmp_path, refused):
    if importlib.util.find_spec("wandb") is not None:
        pytest.skip("wandb is installed")
    line = refused(programs.fit, data_bin, tmp_path / "run", "--wandb-project", "my")
    assert "--wandb-project my: wandb is not installed; remedy: pip install wandb, or without it" in line
    assert not list((tmp_path / "run").glob("*.pt"))


def test_its_numbers_are_those_of_the_log(data_bin, tmp_path, monkeypatch):
    """A stand-in for the package, which none of our environments has: what fairseq hands over to it."""
    from unittest import mock

    from fairseq.logging import progress_bar

    handed = mock.Mock()
    monkeypatch.setattr(progress_bar, "wandb", handed)
    printed = programs.fit(data_bin, tmp_path / "run", "--wandb-project", "my")
    assert handed.init.call_args.kwargs["project"] == "my" and handed.init.call_args.kwargs["name"] == "run"
    numbers = {
        call.kwargs["step"]: call.args[0] for call in handed.log.call_args_list if "train_inner/kl" in call.args[0]
    }
    logged = [float(each["kl"]) for each in printed.numbers("train_inner")]
    assert [float(numbers[step]["train_inner/kl"]) for step in sorted(numbers)] == pytest.approx(logged, abs=1e-3)


# --- how the suite makes configurations ------------------------------------------------------------------------------

LINES = {
    "trains": "data --lr 0.1,0.01 --task dialogue --arch t_cvae --criterion speculative_elbo --k 5 --optimizer adam",
    "sentences": "data --task text_vae --arch gru_vae_tiny --criterion podi_elbo --lr 1e-3 --lr-scheduler inverse_sqrt",
    "personas": "a:b --task persona_dialogue --arch persona_cvae_gpt2_tiny --criterion podi_elbo --optimizer sgd",
    "stock": "data --task translation --arch lstm --criterion cross_entropy --max-update 7",  # without a dataclass
    "decodes": "data --task dialogue --path a:b --beam 3 --model-overrides {'dropout':0.5}",
}


def configurations(name: str, number: int) -> list:
    """Of a command line, so many times."""
    words = LINES[name].split()
    task = words[words.index("--task") + 1]
    if name == "decodes":
        args = options.parse_args_and_arch(options.get_generation_parser(default_task=task), words)
    else:
        args = options.parse_args_and_arch(options.get_training_parser(default_task=task), words)
    return [utils.convert_namespace_to_omegaconf(args) for _ in range(number)]


@pytest.mark.parametrize("name", LINES)
def test_a_configuration_is_hydras(name, monkeypatch):
    fast = configurations(name, 2)
    monkeypatch.setattr(utils, "initialize", initialize)
    monkeypatch.setattr(utils, "compose", compose)
    (slow,) = configurations(name, 1)
    assert fast == [slow, slow]
    assert [OmegaConf.is_struct(cfg) for cfg in fast] == [True, True]


def test_a_wrong_value_is_refused_as_by_hydra():
    words = ["data", "--task", "dialogue", "--arch", "t_cvae_tiny", "--criterion", "elbo"]
    args = options.parse_args_and_arch(options.get_training_parser(default_task="dialogue"), words)
    args.ddp_backend = "nonsense"
    with pytest.raises(
        ConfigCompositionException, match="Error merging override distributed_training.ddp_backend='nonsense'"
    ):
        utils.convert_namespace_to_omegaconf(args)
