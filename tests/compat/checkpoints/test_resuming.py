"""What a checkpoint must hold so that a training goes on as if it had not stopped: each patch beside what fairseq does."""

import logging
import shutil
from types import SimpleNamespace

import pytest
import torch
from fairseq.dataclass.configs import EMAConfig, FairseqConfig
from fairseq.models.ema import EMA
from fairseq.models.ema.ema import EMA as EMAClass
from fairseq.optim.fp16_optimizer import FP16Optimizer, _FP16OptimizerMixin
from fairseq.trainer import Trainer
from fairseq_cli import train
from omegaconf import OmegaConf

from fairseq_latent.compat.checkpoints import resuming
from fairseq_latent.errors import InputError
from tests.helpers import programs

STOCK = ("--task", "translation", "--arch", "transformer_tiny", "--criterion", "label_smoothed_cross_entropy")
EPOCHS = ("--max-update", "0", "--no-epoch-checkpoints", "--batch-size", "60")  # three updates each


def last(folder) -> dict:
    return torch.load(folder / "checkpoint_last.pt", weights_only=True)


# --- float32 weights behind rounded ones -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [(), STOCK], ids=["t_cvae", "a stock transformer"])
def test_a_bfloat16_training_goes_on_exactly(data_bin, tmp_path, kind, monkeypatch):
    flags = (*kind, "--bf16", "--max-update", "8", "--no-epoch-checkpoints", "--disable-validation")
    programs.fit(data_bin, tmp_path / "whole", *flags, "--save-interval-updates", "4")
    whole = last(tmp_path / "whole")["model"]
    for same in (True, False):
        folder = tmp_path / str(same)
        folder.mkdir()
        shutil.copy(tmp_path / "whole/checkpoint_1_4.pt", folder / "checkpoint_last.pt")
        if not same:
            load = _FP16OptimizerMixin.load_state_dict
            monkeypatch.setattr(_FP16OptimizerMixin, "load_state_dict", load.__wrapped__)
        assert len(programs.fit(data_bin, folder, *flags).numbers("train_inner")) == 4
        resumed = last(folder)["model"]
        assert all(torch.equal(value, resumed[name]) for name, value in whole.items()) is same


def half_precision(dtype=torch.float16, flat=True, scaler=True):
    """An optimiser of two parameters as fairseq builds it for --fp16: their float32 copies in one vector, per device."""
    parameters = [torch.nn.Parameter(torch.randn(shape).to(dtype)) for shape in ((2, 3), (4,))]
    whole = [torch.nn.Parameter(parameter.detach().float()) for parameter in parameters]
    if flat:
        whole = {0: torch.nn.Parameter(torch.cat([weight.detach().view(-1) for weight in whole]))}
    cfg = OmegaConf.structured(FairseqConfig)
    cfg.common.bf16 = not scaler
    cfg.optimizer = {"_name": "sgd"}
    inner = SimpleNamespace(state_dict=lambda: {"state": {}}, load_state_dict=lambda state, overrides: None)
    return FP16Optimizer(cfg, parameters, inner, whole)


@pytest.mark.parametrize("flat", [True, False])
def test_float32_weights_and_the_loss_scale_are_kept_with_fp16(random, flat):
    optimizer, other = half_precision(flat=flat), half_precision(flat=flat)
    with torch.no_grad():
        for weight in resuming.master_weights(optimizer):
            weight.add_(1e-6)  # less than float16 shows
    optimizer.scaler._iter, optimizer.scaler.loss_scale = 7, 64.0
    for parameter, weight in zip(optimizer.fp16_params, resuming.master_weights(optimizer), strict=True):
        parameter.data.copy_(weight)
    state = optimizer.state_dict()
    for parameter, copied in zip(optimizer.fp16_params, other.fp16_params, strict=True):
        copied.data.copy_(parameter.data)  # the model is loaded first
    other.load_state_dict(state)
    kept, restored = resuming.master_weights(optimizer), resuming.master_weights(other)
    assert [weight.shape for weight in restored] == [(2, 3), (4,)]
    assert all(torch.equal(one, two) for one, two in zip(kept, restored, strict=True))
    assert not any(torch.equal(weight, half.float()) for weight, half in zip(restored, other.fp16_params, strict=True))
    assert (other.scaler._iter, other.scaler.loss_scale) == (7, 64.0)
    other.fp32_params[0].data.fill_(3)  # what was loaded is a copy
    assert not any((weight == 3).any() for weight in resuming.master_weights(optimizer))


@pytest.mark.parametrize("change, said", [
    (lambda state: state.pop(resuming.MASTER_WEIGHTS), "holds no float32 weights"),  # of an older checkpoint
    (lambda state: state[resuming.MASTER_WEIGHTS][0].add_(1), "are not its optimiser's"),  # of an average
])  # fmt: skip
def test_weights_that_count_are_the_models(random, caplog, change, said):
    optimizer = half_precision(torch.bfloat16, flat=False, scaler=False)
    before = [weight.detach().clone() for weight in optimizer.fp32_params]
    state = optimizer.state_dict()
    state[resuming.MASTER_WEIGHTS] = [weight.clone() for weight in state[resuming.MASTER_WEIGHTS]]
    change(state)
    with caplog.at_level(logging.WARNING):
        optimizer.load_state_dict(state)
    assert said in caplog.text
    assert all(torch.equal(one, two) for one, two in zip(before, optimizer.fp32_params, strict=True))


# --- patience --------------------------------------------------------------------------------------------------------


@pytest.fixture
def fresh_patience():
    """fairseq keeps it in attributes of a function, for as long as the process lives."""
    vars(train.should_stop_early).clear()
    yield
    vars(train.should_stop_early).clear()


def test_patience_is_not_renewed_by_a_stop(data_bin, tmp_path, fresh_patience):
    """--lr 0 never gets better: after the first validation two more are waited for, three epochs in all."""
    flags = (*EPOCHS, "--lr", "0", "--patience", "2")
    programs.fit(data_bin, tmp_path, *flags, "--max-epoch", "2")
    assert last(tmp_path)["extra_state"]["early_stop"]["num_runs"] == 1
    vars(train.should_stop_early).clear()  # another process
    assert len(programs.fit(data_bin, tmp_path, *flags, "--max-epoch", "9").numbers("valid")) == 1
    vars(train.should_stop_early).clear()
    assert not programs.fit(data_bin, tmp_path, *flags, "--max-epoch", "9").log  # it has ended


def test_a_plateau_is_seen_by_a_training_that_stops_at_epochs(data_bin, tmp_path):
    """Nothing is better by nine tenths: every second epoch after the first halves the learning rate."""
    flags = (*EPOCHS, "--lr-scheduler", "reduce_lr_on_plateau", "--lr-shrink", "0.5")
    flags += ("--lr-patience", "1", "--lr-threshold", "0.9")

    def rates(folder, epochs):
        printed = programs.fit(data_bin, folder, *flags, "--max-epoch", epochs)
        return [numbers["lr"] for numbers in printed.numbers("train_inner")]

    whole = rates(tmp_path / "whole", 4)
    assert whole == [0.003] * 9 + [0.0015] * 3
    assert [rate for epochs in (2, 3, 4) for rate in rates(tmp_path / "parts", epochs)] == whole
    programs.assert_same_parameters(*(tmp_path / name / "checkpoint_last.pt" for name in ("whole", "parts")))


# --- beside stock models ---------------------------------------------------------------------------------------------


def test_a_stock_training_and_its_checkpoint_are_fairseqs(data_bin, tmp_path, monkeypatch):
    programs.fit(data_bin, tmp_path / "patched", *STOCK, "--max-update", "3")
    monkeypatch.setattr(Trainer, "state_dict", Trainer.state_dict.__wrapped__)
    monkeypatch.setattr(Trainer, "load_checkpoint", Trainer.load_checkpoint.__wrapped__.__wrapped__)
    programs.fit(data_bin, tmp_path / "fairseq", *STOCK, "--max-update", "3")
    one, other = last(tmp_path / "patched"), last(tmp_path / "fairseq")
    assert one.keys() == other.keys() and one["extra_state"].keys() == other["extra_state"].keys()
    assert one["last_optimizer_state"].keys() == other["last_optimizer_state"].keys()
    programs.assert_same_parameters(*(tmp_path / name / "checkpoint_last.pt" for name in ("patched", "fairseq")))


def test_the_moving_average_of_untied_weights_is_fairseqs(random):
    averages = []
    for step in (EMAClass._step_internal, EMAClass._step_internal.__wrapped__):
        model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LayerNorm(2))
        torch.nn.init.constant_(model[0].weight, 3.0)
        moving = EMA(model, EMAConfig(store_ema=True, ema_decay=0.9))
        torch.nn.init.constant_(model[0].weight, 4.0)
        torch.nn.init.constant_(model[0].bias, 0.5)
        moving.model.load_state_dict({**moving.model.state_dict(), "0.bias": torch.zeros(2)})
        step(moving, model)
        averages.append(moving.model.state_dict())
    assert all(torch.equal(averages[0][name], value) for name, value in averages[1].items())
    torch.testing.assert_close(averages[0]["0.weight"], torch.full((2, 2), 3.1))


# --- the words of a training, and what is no number ------------------------------------------------------------------


def changed(folder, change, tmp_path):
    state = last(folder)
    change(state)
    (tmp_path / "changed").mkdir()
    torch.save(state, tmp_path / "changed/checkpoint_last.pt")
    return tmp_path / "changed"


@pytest.fixture(scope="module")
def trained(data_bin, tmp_path_factory):
    folder = tmp_path_factory.mktemp("resuming") / "run"
    programs.fit(data_bin, folder, "--max-update", "1")
    return folder


@pytest.mark.parametrize("flags", [(), ("--reset-optimizer",)], ids=["go on", "begin anew"])
def test_a_training_does_not_go_on_with_other_words(data_bin, trained, tmp_path, refused, flags):
    def other_words(state):
        for of in (state, state["extra_state"]):
            of["task_state"]["dictionary_digest"] += 1

    folder = changed(trained, other_words, tmp_path)
    assert "trained with another dictionary" in refused(programs.fit, data_bin, folder, "--max-update", "2", *flags)
    assert "trained with another dictionary" in refused(programs.decode, data_bin, folder / "checkpoint_last.pt")


def test_what_diverged_is_neither_trained_on_nor_decoded(data_bin, trained, tmp_path, refused):
    weight = "encoder.embed_tokens.weight"
    folder = changed(trained, lambda state: state["model"][weight].view(-1)[3].fill_(torch.nan), tmp_path)
    line = f"error: {folder}/checkpoint_last.pt: {weight} is not finite, this training diverged; remedy: "
    assert refused(programs.fit, data_bin, folder, "--max-update", "2").startswith(line)
    assert refused(programs.decode, data_bin, folder / "checkpoint_last.pt").startswith(line)
    with pytest.raises(InputError, match="is not finite"):
        programs.fit(data_bin, tmp_path / "new", "--finetune-from-model", folder / "checkpoint_last.pt")
