"""--pretrain-autoencoder: a KL weight of 0, a decoder that starts again, and a KL schedule that begins there."""

from dataclasses import replace

import pytest
import torch
from fairseq.criterions import CRITERION_DATACLASS_REGISTRY

from fairseq_latent.errors import InputError
from fairseq_latent.tasks.autoencoder_pretraining import AutoencoderPretraining

from ..helpers import programs
from ..helpers.tiny import build_model
from ..models.hierarchical_cases import task_of

TASK = ("--task", "text_vae")
SCHEDULE = ("--pretrain-autoencoder", "4", "--kl-schedule", "linear", "--kl-warmup", "4", "--free-bits", "0.2")


def fit(data, folder, *flags, arch="gru_vae_tiny"):
    return programs.fit(data, folder, *TASK, *flags, arch=arch)


@pytest.mark.parametrize("batches", ["1", "2"])
def test_the_schedule_begins_where_the_pretraining_ends(sentences_bin, tmp_path, batches):
    trained = fit(sentences_bin, tmp_path, *SCHEDULE, "--update-freq", batches, "--max-update", "10", "--no-save")
    weights = [numbers["kl_weight"] for numbers in trained.numbers("train_inner")]
    assert weights == [0, 0, 0, 0, 0, 0.25, 0.5, 0.75, 1, 1]


def test_a_set_point_is_held_from_there_on(sentences_bin, tmp_path):
    flags = ("--pretrain-autoencoder", "4", "--kl-set-point", "0.01", "--max-update", "8", "--no-save")
    weights = [numbers["kl_weight"] for numbers in fit(sentences_bin, tmp_path, *flags).numbers("train_inner")]
    assert not any(weights[:5]) and all(weights[5:])  # the controller has seen nothing of the pretraining


def test_the_decoder_starts_again_and_the_encoder_goes_on(sentences_bin, tmp_path, monkeypatch):
    """Seen from within: what moved at the beginning of the fifth update, and that it happened once."""
    seen, begin = [], AutoencoderPretraining.begin_update

    def watched(self, update_num, optimizer):
        model = self.model_of_test
        before = {name: value.detach().clone() for name, value in model.named_parameters()}
        known = len(optimizer.optimizer.state)
        begin(self, update_num, optimizer)
        changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
        if changed:
            first = {id(parameter): value for parameter, value in self.first}
            values = dict(model.named_parameters())
            assert all(torch.equal(values[name], first[id(values[name])]) for name in changed)
            seen.append((update_num, changed, known - len(optimizer.optimizer.state)))

    build = AutoencoderPretraining.__init__

    def built(self, updates, model):
        build(self, updates, model)
        self.model_of_test = model

    monkeypatch.setattr(AutoencoderPretraining, "__init__", built)
    monkeypatch.setattr(AutoencoderPretraining, "begin_update", watched)
    fit(sentences_bin, tmp_path, *SCHEDULE, "--update-freq", "2", "--max-update", "8", "--no-save")
    ((update, changed, forgotten),) = seen
    assert update == 4 and changed and all(name.startswith("decoder.") for name in changed)
    assert forgotten == len(changed)  # Adam's moments, too


@pytest.mark.parametrize("stop", ["3", "4", "5"])
def test_a_resumed_run_is_the_uninterrupted_run(sentences_bin, tmp_path, stop):
    """Stopped while pretraining, at its very end, and after."""
    fit(sentences_bin, tmp_path / "whole", *SCHEDULE, "--max-update", "9")
    fit(sentences_bin, tmp_path / "parts", *SCHEDULE, "--max-update", stop)
    fit(sentences_bin, tmp_path / "parts", *SCHEDULE, "--max-update", "9")
    programs.assert_same_parameters(tmp_path / "whole/checkpoint_last.pt", tmp_path / "parts/checkpoint_last.pt")


def test_what_encoder_and_decoder_share_stays(task):
    model = build_model(task)
    pretraining = AutoencoderPretraining(1, model)
    names = {id(value): name for name, value in model.named_parameters()}
    reset = {names[id(parameter)] for parameter, _ in pretraining.first}
    assert reset and all(name.startswith("decoder.") for name in reset)
    assert any("fusion" in name for name in reset)
    assert not any("self_attn.q_proj" in name or "embed_tokens" in name for name in reset)


@pytest.mark.parametrize("wrong", [{"fp16": True}, {"bf16": True}])
def test_precisions_with_other_weights_are_refused(text_task, wrong):
    task = type(text_task)(replace(text_task.cfg, pretrain_autoencoder=5, **wrong), text_task.dictionary)
    build_model(task, "gru_vae_tiny")
    with pytest.raises(InputError, match="^--pretrain-autoencoder .*; remedy: --autocast bfloat16"):
        task.build_criterion(CRITERION_DATACLASS_REGISTRY["elbo"](_name="elbo"))


def test_a_model_without_a_latent_is_refused():
    task = task_of()
    task.cfg = replace(task.cfg, pretrain_autoencoder=5, fp16=False, bf16=False)
    build_model(task, "hred_tiny")
    with pytest.raises(InputError, match="needs a latent, this model has none; remedy: leave it out"):
        task.build_criterion(CRITERION_DATACLASS_REGISTRY["elbo"](_name="elbo"))
