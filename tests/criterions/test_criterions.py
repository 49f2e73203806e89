"""Criterions: every loss trains, the terms say what they mean, and what is logged adds up."""

import logging
import math

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.criterions import CRITERION_REGISTRY
from fairseq.logging import metrics

from fairseq_latent.errors import InputError
from fairseq_latent.gaussian import DiagonalGaussian, LatentOutput
from fairseq_latent.losses import bow_nll, free_bits, fusion_distance, podi, same_rows
from fairseq_latent.modules.latents.fusion import DecodedResponse

from ..helpers import programs
from ..helpers.tiny import LENGTHS, NO_DROPOUT, batch, build_criterion, build_model, fairseq_encoding, gradients

FAMILY = ("elbo", "bow_elbo", "mc_elbo", "speculative_elbo", "podi_elbo")
EVERY = (*FAMILY, "spacefusion")
ARCHS = ("t_cvae_tiny", "t_spacefusion_tiny", "rnn_cvae_tiny")
EXTRA_TERMS = {
    "bow_elbo": {"bow"},
    "podi_elbo": {"podi", "podi_kl", "podi_kl_means"},
    "spacefusion": {"ce_prior", "ce_posterior", "ce_interpolation", "fusion"},
}
MIX = (
    *("--k", "3", "--kl-schedule", "cyclical", "--kl-cycle", "4", "--kl-weight", "0.5", "--free-bits", "0.1"),
    *("--bow-weight", "0.7", "--bow-target", "tokens", "--bow-hidden-dim", "5", "--label-smoothing", "0.1"),
    *("--podi-weight", "2", "--podi-form", "auto", "--selection-dtype", "bfloat16"),
    *("--selection-words", "8", "--autocast", "bfloat16"),
    *("--loss-scale", "released"),
)


# --- training --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("criterion", EVERY)
def test_every_criterion_trains_every_model(data_bin, tmp_path, criterion, arch):
    printed = programs.fit(data_bin, tmp_path, "--max-update", "3", arch=arch, criterion=criterion)
    trained, validated = printed.numbers("train_inner"), printed.numbers("valid")[-1]
    assert len(trained) == 3
    always = {"loss", "nll", "rec_ppl", "elbo_ppl", "kl", "kl_weight"} | EXTRA_TERMS.get(criterion, set())
    for numbers in (*trained, validated):
        assert always <= numbers.keys()
        assert all(math.isfinite(numbers[name]) for name in always)
    assert {"au", "mi"} <= validated.keys()
    assert (tmp_path / "checkpoint_best.pt").exists()


@pytest.mark.parametrize("arch", ARCHS)
@pytest.mark.parametrize("criterion", FAMILY)
def test_methods_mix_freely(data_bin, tmp_path, criterion, arch):
    printed = programs.fit(data_bin, tmp_path, *MIX, "--no-save", arch=arch, criterion=criterion)
    trained = printed.numbers("train_inner")
    assert [numbers["kl_weight"] for numbers in trained] == [0, 0.25, 0.5, 0.5, 0]
    assert {"bow", "podi", "smoothed_nll", "nll", "kl"} <= trained[-1].keys()
    assert all(math.isfinite(numbers["loss"]) for numbers in trained)


@pytest.mark.parametrize("criterion", EVERY)
def test_a_step_of_the_small_model_lowers_its_loss(task, criterion):
    torch.manual_seed(1)
    model = build_model(task, "t_cvae_small", **NO_DROPOUT)
    loss_of = build_criterion(task, criterion, label_smoothing=0.1)
    sample = batch(task)
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for _ in range(3):
        torch.manual_seed(7)
        loss, _, _ = loss_of(model, sample)
        optimiser.zero_grad(), loss.backward(), optimiser.step()
        losses.append(loss.item())
    assert losses[2] < losses[0]


def one_loss(task, name, **changes):
    torch.manual_seed(5)
    model = build_model(task)  # dropout on: the same random numbers must be used in the same order
    criterion = build_criterion(task, name, **changes)
    torch.manual_seed(6)
    loss, _, _ = criterion(model, batch(task))
    loss.backward()
    return loss, gradients(model)


@pytest.mark.parametrize("name", ["speculative_elbo", "mc_elbo"])
def test_one_latent_is_the_plain_elbo_exactly(task, name):
    plain, ours = one_loss(task, "elbo"), one_loss(task, name, k=1)
    assert torch.equal(plain[0], ours[0])
    assert plain[1].keys() == ours[1].keys()
    assert all(torch.equal(plain[1][parameter], ours[1][parameter]) for parameter in plain[1])


@pytest.mark.parametrize("criterion", ["speculative_elbo", "mc_elbo"])
def test_one_latent_is_the_plain_elbo_from_the_command_line(data_bin, tmp_path, criterion):
    programs.fit(data_bin, tmp_path / "elbo")
    programs.fit(data_bin, tmp_path / criterion, "--k", "1", criterion=criterion)
    programs.assert_same_parameters(tmp_path / "elbo/checkpoint_last.pt", tmp_path / criterion / "checkpoint_last.pt")


def test_names_only_pick_defaults(task):
    assert build_criterion(task, "elbo").k == build_criterion(task, "bow_elbo").k == 1
    speculative, monte_carlo = build_criterion(task, "speculative_elbo"), build_criterion(task, "mc_elbo")
    assert (speculative.k, speculative.sample_reduction) == (5, "best")
    assert (monte_carlo.k, monte_carlo.sample_reduction) == (5, "mean")
    assert build_criterion(task, "bow_elbo").bow_weight == build_criterion(task, "podi_elbo").podi_weight == 1


# --- terms -----------------------------------------------------------------------------------------------------------


def test_the_loss_is_the_weighted_sum_of_its_terms(task):
    model = build_model(task)
    criterion = build_criterion(
        task, "elbo", kl_weight=0.5, free_bits=0.1, bow_weight=0.7, podi_weight=2.0, label_smoothing=0.1
    )
    sample = batch(task)
    model.set_num_updates(0)
    torch.manual_seed(1)
    loss, sentences, log = criterion(model, sample, reduce=False)
    torch.manual_seed(1)
    logits, extra = model(**sample["net_input"], target=sample["target"])
    latent, target = extra["latent"], sample["target"]
    rows = torch.zeros(*target.shape, logits.size(-1))
    rows[target.ne(1)] = logits.detach()
    cross_entropy = [
        torch.nn.functional.cross_entropy(
            rows.transpose(1, 2), target, ignore_index=1, reduction="none", label_smoothing=smoothing
        ).sum(1)
        for smoothing in (0.1, 0.0)
    ]
    kl_per_dim = latent.posterior.kl_per_dim(latent.prior)
    bow = bow_nll(latent.bow_logits, target, 1, 2)
    apart = podi(latent.posterior, 0.15, "per_dim", same_rows(sample["net_input"]["src_tokens"], target))
    expected = cross_entropy[0] + 0.5 * free_bits(kl_per_dim, 0.1) + 0.7 * bow + 2 * apart
    torch.testing.assert_close(loss, expected)
    assert sentences == log["sample_size"] == log["nsentences"] == len(LENGTHS)
    logged = {name: float(log[name]) for name in ("loss", "smoothed_nll", "nll", "kl", "bow", "podi", "kl_weight")}
    assert logged == pytest.approx(
        {
            "loss": expected.sum().item(),
            "smoothed_nll": cross_entropy[0].sum().item(),
            "nll": cross_entropy[1].sum().item(),
            "kl": kl_per_dim.sum().item(),  # the true divergence, without free bits
            "bow": bow.sum().item(),
            "podi": apart.sum().item(),
            "kl_weight": 0.5 * len(LENGTHS),
        },
        rel=1e-4,
    )


def test_spacefusion_decodes_three_latents(task):
    model = build_model(task, "t_spacefusion_tiny", **NO_DROPOUT)
    criterion = build_criterion(task, "spacefusion", interpolation_weight=0.5, fusion_weight=7.0, label_smoothing=0.1)
    model.eval(), criterion.eval()
    sample = batch(task)
    loss, _, log = criterion(model, sample, reduce=False)
    _, extra = model(**sample["net_input"], target=sample["target"], interpolate=True)
    latent = extra["latent"]
    z = {"prior": latent.prior_z, "posterior": latent.z, "interpolation": (latent.prior_z + latent.z) / 2}
    context = fairseq_encoding(model, sample["net_input"]["src_tokens"])
    states, _ = model.decoder.extract_features(sample["net_input"]["prev_output_tokens"], context)
    mean_length = sample["target"].ne(1).sum() / len(LENGTHS)
    expected = 7.0 * fusion_distance(latent.prior_z, latent.z, 0.3)
    for name, weight in (("prior", 1), ("posterior", 1), ("interpolation", 0.5)):
        logits = model.decoder.output_layer(model.decoder.fusion(states, z[name].unsqueeze(1)))
        cross_entropy = torch.nn.functional.cross_entropy(
            logits.transpose(1, 2), sample["target"], ignore_index=1, reduction="none", label_smoothing=0.1
        ).sum(1)
        assert float(log[f"ce_{name}"]) == pytest.approx((cross_entropy / mean_length).sum().item(), rel=1e-4)
        expected = expected + weight * cross_entropy / mean_length
    torch.testing.assert_close(loss, expected)
    assert log["kl_weight"] == 0  # its loss has no KL


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_released_scale_changes_the_loss_and_nothing_else_in_the_log(task, training, smoothing):
    """Mean NLL of a response's tokens + weight * mean KL of the latent's dimensions + bag of words and L_Po-di as ever."""
    model, sample = build_model(task, **NO_DROPOUT).train(training), batch(task)
    flags = {"kl_weight": 0.5, "bow_weight": 0.7, "podi_weight": 2.0, "label_smoothing": smoothing}
    found = {}
    for scale in ("elbo", "released"):
        criterion = build_criterion(task, "elbo", loss_scale=scale, **flags).train(training)
        torch.manual_seed(1)
        found[scale] = criterion(model, sample, reduce=False)
    torch.manual_seed(1)
    logits, extra = model(**sample["net_input"], target=sample["target"])
    latent, target = extra["latent"], sample["target"]
    nll = criterion.nll(logits, target)[0] / torch.tensor(
        [row.tolist().index(2) + 1 for row in target]
    )  # words and end
    kl = latent.posterior.kl_per_dim(latent.prior).mean(-1) * (0.5 if training else 1.0)
    bow = bow_nll(latent.bow_logits, target, 1, 2)
    apart = podi(latent.posterior, 0.15, "per_dim", same_rows(sample["net_input"]["src_tokens"], target))
    loss, sentences, log = found["released"]
    torch.testing.assert_close(loss, nll + kl + 0.7 * bow + 2 * apart)
    assert sentences == len(LENGTHS)
    assert log["loss"] != found["elbo"][2]["loss"]
    for name in log.keys() - {"loss"}:
        assert torch.equal(torch.as_tensor(log[name]), torch.as_tensor(found["elbo"][2][name])), name
    shown, plain = (reduced([found[scale][2]]) for scale in ("released", "elbo"))
    assert shown.keys() == plain.keys()
    assert {name: value for name, value in shown.items() if name != "loss"} == {
        name: value for name, value in plain.items() if name != "loss"
    }


def test_the_scale_is_a_choice(task):
    assert build_criterion(task, "elbo").loss_scale == "elbo"


@pytest.mark.parametrize("form", ["literal", "auto", "per_dim"])
def test_what_l_podi_reached_is_logged_and_costs_nothing(task, form):
    """Means that all coincide: a pairwise KL without the part of the means shows that variances alone were moved."""
    model, sample = build_model(task, **NO_DROPOUT), batch(task)
    latent_dim = model.latent_dim
    with torch.no_grad():
        model.encoder.latent.posterior_net.weight[:latent_dim] = 0
        model.encoder.latent.posterior_net.weight[latent_dim:] *= 3
    criterion = build_criterion(task, "podi_elbo", podi_form=form)
    for training in (True, False):
        model.train(training), criterion.train(training)
        loss, _, log = criterion(model, sample)
        assert log["podi_kl"] > 0.01
        assert log["podi_kl_means"] == 0
        weight = {name: float(log[name]) for name in ("nll", "kl", "podi")}
        assert loss.item() == pytest.approx(sum(weight.values()), rel=1e-5)
    assert not {"podi_kl", "podi_kl_means"} & build_criterion(task, "elbo")(model, sample)[2].keys()


def test_the_kl_weight_follows_the_models_update(task):
    model = build_model(task)
    criterion = build_criterion(task, "elbo", kl_schedule="linear", kl_warmup=4)
    for update, weight in ((0, 0.0), (1, 0.25), (4, 1.0), (9, 1.0)):
        model.set_num_updates(update)
        _, sentences, log = criterion(model, batch(task))
        assert log["kl_weight"] / sentences == weight


# --- validation ------------------------------------------------------------------------------------------------------


def test_validation_is_one_sample_and_weight_one(task):
    model = build_model(task, **NO_DROPOUT)
    criterion = build_criterion(task, "speculative_elbo", k=7, kl_weight=0.2, kl_schedule="linear", kl_warmup=100)
    model.eval(), criterion.eval()
    asked = words_of(model)
    loss, sentences, log = criterion(model, batch(task))
    assert asked[0].get("num_latents", 1) == 1
    assert log["kl_weight"] == sentences
    assert loss.item() == pytest.approx(float(log["nll"] + log["kl"]), rel=1e-5)


def words_of(model) -> list[dict]:
    """The keywords of each call of the model's forward from now on."""
    calls = []
    model.register_forward_pre_hook(lambda module, args, kwargs: calls.append(kwargs), with_kwargs=True)
    return calls


def test_a_model_hears_of_several_latents_only_where_there_are_several(task):
    """So that a new model need not know words that it has no use for."""
    model, sample = build_model(task), batch(task)
    asked = words_of(model)
    plain = {*sample["net_input"], "target"}
    for flags, words in (
        ({"k": 1, "selection_dtype": "bfloat16"}, set()),
        ({"k": 3}, {"num_latents", "reduce"}),
        ({"k": 3, "selection_dtype": "bfloat16"}, {"num_latents", "reduce", "selection_dtype"}),
    ):
        build_criterion(task, "elbo", **flags)(model, sample)
        assert asked.pop().keys() - plain == words


def test_free_bits_are_for_training_alone(task):
    model, sample = build_model(task, **NO_DROPOUT), batch(task)
    plain, free = (build_criterion(task, "elbo", free_bits=bits) for bits in (0.0, 5.0))
    for training in (True, False):
        for module in (model, plain, free):
            module.train(training)
        values = []
        for criterion in (plain, free):
            torch.manual_seed(1)
            values.append(criterion(model, sample)[0].item())
        assert (values[1] > values[0]) if training else (values[1] == values[0])


def test_validation_is_the_same_every_time(task):
    model, sample = build_model(task).eval(), batch(task)
    for name in EVERY:
        criterion = build_criterion(task, name).eval()
        assert torch.equal(criterion(model, sample)[0], criterion(model, sample)[0])


@pytest.mark.parametrize("form", ["literal", "auto", "per_dim"])
def test_validation_of_podi_is_the_same_every_time(task, form):
    model, sample = build_model(task).eval(), batch(task)
    criterion = build_criterion(task, "podi_elbo", podi_form=form, podi_target=2.0).eval()
    assert len({criterion(model, sample)[0].item() for _ in range(8)}) == 1


def reduced(logs, criterion="elbo"):
    with metrics.aggregate(new_root=True) as values:
        CRITERION_REGISTRY[criterion].reduce_metrics(logs)
    return values.get_smoothed_values()


def test_perplexities_by_hand():
    """rec exp((12 + 8) / (5 + 5)), bound exp((12 + 8 + 4 + 6) / 10): corpus level, not a mean of perplexities."""
    logs = [
        {"nsentences": 2, "sample_size": 2, "ntokens": 5, "nll": 12.0, "kl": 4.0, "loss": 16.0, "kl_weight": 2.0},
        {"nsentences": 3, "sample_size": 3, "ntokens": 5, "nll": 8.0, "kl": 6.0, "loss": 14.0, "kl_weight": 3.0},
    ]
    values = reduced(logs)
    assert values["rec_ppl"] == pytest.approx(math.exp(2), abs=1e-3)
    assert values["elbo_ppl"] == pytest.approx(math.exp(3), abs=1e-3)
    assert (values["loss"], values["kl"], values["kl_weight"]) == (6, 2, 1)  # 30 / 5, 10 / 5, 5 / 5


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("criterion", EVERY)
def test_logged_values_add_up_over_workers(task, criterion, training):
    """One dictionary of sums gives what the workers' own dictionaries give."""
    model, loss_of = build_model(task), build_criterion(task, criterion)
    model.train(training), loss_of.train(training)
    logs = [loss_of(model, batch(task, lengths, seed))[2] for seed, lengths in enumerate([LENGTHS, LENGTHS[:2]])]
    summed = {name: sum(log[name] for log in logs) for name in logs[0]}
    separate, together = reduced(logs, criterion), reduced([summed], criterion)
    assert separate.keys() == together.keys()
    assert {name: float(value) for name, value in separate.items()} == pytest.approx(
        {name: float(value) for name, value in together.items()}, rel=1e-4, abs=1e-4
    )
    assert loss_of.logging_outputs_can_be_summed() is training
    if training:
        assert all(torch.as_tensor(value).numel() == 1 for value in logs[0].values())


def test_active_units_of_a_split_do_not_depend_on_its_batches(task):
    model, criterion = build_model(task).eval(), build_criterion(task).eval()
    with torch.no_grad():
        model.encoder.latent.posterior_net.weight.mul_(10)
    whole = criterion(model, batch(task))[2]
    parts = []
    for index in range(len(LENGTHS)):
        sample = batch(task)
        keep = sample["id"].eq(index)
        net_input = {name: value[keep] for name, value in sample["net_input"].items()}
        target = sample["target"][keep]
        parts.append({"net_input": net_input, "target": target, "ntokens": int(target.ne(1).sum())})
    one_by_one = [criterion(model, part)[2] for part in parts]
    assert reduced([whole])["au"] == reduced(one_by_one)["au"] > 0
    for name in ("nll", "kl", "rec_ppl", "elbo_ppl"):
        assert float(reduced([whole])[name]) == pytest.approx(float(reduced(one_by_one)[name]), rel=1e-3)


def test_a_collapsed_posterior_has_no_active_units(task):
    model, criterion = build_model(task).eval(), build_criterion(task).eval()
    with torch.no_grad():
        model.encoder.latent.posterior_net.weight.zero_()
        model.encoder.latent.prior_net[2].weight.zero_()
    values = reduced([criterion(model, batch(task))[2]])
    assert values["au"] == 0
    assert float(values["kl"]) == 0
    assert float(values["mi"]) == pytest.approx(0, abs=1e-6)


def test_an_empty_split_still_has_every_metric():
    """--best-checkpoint-metric must not end in a KeyError."""
    values = reduced([])
    assert values == reduced([{}])
    assert {"loss", "nll", "kl", "rec_ppl", "elbo_ppl", "au", "mi"} <= values.keys()


def test_collapse_is_warned_about_once(task, caplog):
    with caplog.at_level(logging.WARNING):
        for au in (3, 0, 0):
            task.post_validate(None, {"au": au}, None)
    (record,) = [record for record in caplog.records if "collapsed" in record.message]
    assert all(flag in record.message for flag in ("--k 5", "--kl-schedule cyclical", "--free-bits", "--bow-weight"))


def test_training_warns_of_a_collapse(data_bin, tmp_path, caplog, monkeypatch):
    def nothing(inputs, outputs):  # prior and posterior are N(0, I), whatever they read
        linear = torch.nn.Linear(inputs, outputs, bias=False)
        torch.nn.init.zeros_(linear.weight)
        return linear

    monkeypatch.setattr("fairseq_latent.modules.latents.head.bias_free", nothing)
    with caplog.at_level(logging.WARNING):
        printed = programs.fit(data_bin, tmp_path, "--lr", "1e-9", "--max-epoch", "2", "--max-update", "0", "--no-save")
    assert [values["au"] for values in printed.numbers("valid")] == [0, 0]
    assert len([record for record in caplog.records if "collapsed" in record.message]) == 1


@pytest.mark.parametrize("metric, maximise", [("elbo_ppl", False), ("kl", False), ("au", True), ("mi", True)])
def test_the_best_checkpoint_can_be_picked_by_any_metric(data_bin, tmp_path, metric, maximise):
    flags = ("--best-checkpoint-metric", metric, *(["--maximize-best-checkpoint-metric"] if maximise else []))
    printed = programs.fit(data_bin, tmp_path, *flags, "--max-update", "2")
    best = checkpoint_utils.load_checkpoint_to_cpu(str(tmp_path / "checkpoint_best.pt"))["extra_state"]["best"]
    assert best == pytest.approx(printed.numbers("valid")[-1][metric])


# --- one cycle an epoch ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("update_freq, cycle", [(1, 15), (4, 4)])
def test_a_cycle_of_one_epoch_is_computed_from_the_data(data_bin, tmp_path, update_freq, cycle):
    """120 pairs in batches of 8 are 15; four of them an update, the last update having three, are 4 updates."""
    flags = ("--kl-schedule", "cyclical", "--kl-cycle", "epoch", "--update-freq", update_freq)
    run = ("--max-update", cycle + 2, "--disable-validation", "--no-save")
    weights = [
        numbers["kl_weight"] for numbers in programs.fit(data_bin, tmp_path, *flags, *run).numbers("train_inner")
    ]
    rising = cycle // 2
    expected = [round(min(1.0, step / rising), 4) for step in range(cycle)]
    assert weights == pytest.approx([*expected, 0, expected[1]], abs=1e-4)


def test_a_cycle_of_one_epoch_needs_a_task_that_counts(task):
    criterion = build_criterion(task, "elbo", kl_schedule="cyclical", kl_cycle="epoch")
    with pytest.raises(InputError, match=r"one data folder.*several \(a:b:c\).*remedy: --kl-cycle UPDATES"):
        criterion(build_model(task), batch(task))


# --- bad values ------------------------------------------------------------------------------------------------------

BAD = [
    ({"k": 0}, "--k 0 .*remedy: from 1 to 10000"),
    ({"k": -3}, "--k -3"),
    ({"kl_weight": -1.0}, "--kl-weight -1.0 .*remedy: 0 or more"),
    ({"kl_weight": math.nan}, "--kl-weight nan .*remedy"),
    ({"kl_weight": math.inf}, "--kl-weight inf .*remedy"),
    ({"free_bits": -0.1}, "--free-bits -0.1 .*remedy: 0 or more"),
    ({"bow_weight": -1.0}, "--bow-weight -1.0 .*remedy: 0 or more"),
    ({"bow_hidden_dim": -1}, "--bow-hidden-dim -1 .*remedy: from 0"),
    ({"podi_weight": -1.0}, "--podi-weight -1.0 .*remedy: 0 or more"),
    ({"podi_weight": 1.0, "podi_target": 0.0}, "--podi-target 0.0 .*remedy: more than 0"),
    ({"podi_weight": 1.0, "podi_target": math.nan}, "--podi-target nan .*remedy: more than 0"),
    ({"kl_schedule": "cyclical"}, "--kl-schedule cyclical without a cycle; remedy: --kl-cycle"),
    ({"kl_schedule": "linear"}, "--kl-schedule linear without a warm-up; remedy: --kl-warmup"),
    ({"kl_schedule": "cyclical", "kl_cycle": "often"}, "--kl-cycle often is neither a number of updates nor `epoch`"),
    ({"kl_schedule": "cyclical", "kl_cycle": "²"}, "--kl-cycle ² is neither"),
    ({"kl_schedule": "cyclical", "kl_cycle": "9" * 5000}, "is neither"),
    ({"kl_schedule": "cyclical", "kl_cycle": "10", "kl_warmup": 20}, "remedy: half of it"),
    ({"kl_schedule": "cyclical", "kl_cycle": "epoch", "kl_warmup": -1}, "--kl-warmup -1"),
    ({"kl_warmup": 10}, "--kl-schedule constant.*remedy: --kl-schedule linear"),
    ({"kl_cycle": "10"}, "--kl-schedule constant.*remedy: --kl-schedule linear or cyclical"),
    ({"kl_cycle": "epoch"}, "--kl-schedule constant.*remedy: --kl-schedule cyclical"),
    ({"kl_schedule": "linear", "kl_warmup": 5, "kl_cycle": "10"}, "--kl-cycle.*remedy: --kl-schedule cyclical"),
    ({"label_smoothing": 1.0}, "--label-smoothing 1.0 .*remedy: from 0 to 1, without 1"),
    ({"label_smoothing": -0.1}, "--label-smoothing -0.1"),
]


@pytest.mark.parametrize("flags, remedy", BAD, ids=lambda value: None if isinstance(value, str) else str(value))
def test_wrong_values_are_refused_before_training(task, flags, remedy):
    with pytest.raises(InputError, match=remedy) as error:
        build_criterion(task, "elbo", **flags)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["interpolation_weight", "fusion_weight", "fusion_clip"])
@pytest.mark.parametrize("value", [-1.0, math.nan])
def test_wrong_values_of_spacefusion_are_refused(task, name, value):
    with pytest.raises(InputError, match=f"--{name.replace('_', '-')} .*remedy"):
        build_criterion(task, "spacefusion", **{name: value})


@pytest.mark.parametrize("flag, value", [
    ("--kl-schedule", "sigmoid"), ("--bow-target", "bag"), ("--podi-form", "x"), ("--sample-reduction", "worst"),
    ("--selection-dtype", "float16"), ("--k", "many"), ("--loss-scale", "mean"),
])  # fmt: skip
def test_wrong_choices_fail_at_parse_time(data_bin, tmp_path, capsys, flag, value):
    with pytest.raises(SystemExit) as stop:
        programs.fit(data_bin, tmp_path, flag, value)
    assert stop.value.code == 2
    assert f"argument {flag}" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_model_without_a_bag_of_words_head_is_named(task):
    criterion = build_criterion(task, "bow_elbo")
    with pytest.raises(InputError, match="remedy: --task dialogue"):
        criterion(build_model(task), batch(task))


def test_degenerate_batches(task):
    """One example; responses of the end token alone."""
    model = build_model(task)
    for name in EVERY:
        criterion = build_criterion(task, name, **({"podi_weight": 1.0, "bow_weight": 1.0} if "elbo" in name else {}))
        for lengths in (((3, 4),), ((1, 0),), ((2, 0), (1, 0))):
            for training in (True, False):
                model.train(training), criterion.train(training)
                loss, _, log = criterion(model, batch(task, lengths))
                assert loss.isfinite()
                loss.backward()
                assert all(value.isfinite().all() for value in gradients(model).values())
                assert all(math.isfinite(float(value)) for value in reduced([log], name).values())


def test_the_mutual_information_uses_the_decoded_latent(task):
    """log q(z|x) - log mean_j q(z|x_j) of two posteriors by hand."""
    posterior = DiagonalGaussian(torch.tensor([[0.0], [2.0]]), torch.zeros(2, 1))
    latent = LatentOutput(torch.tensor([[0.5], [2.0]]), posterior, posterior)

    def density(z, mean):
        return math.exp(-((z - mean) ** 2) / 2)

    from fairseq_latent.criterions.latent_criterion import _validation_log

    expected = sum(
        math.log(density(z, own)) - math.log((density(z, 0.0) + density(z, 2.0)) / 2)
        for z, own in ((0.5, 0.0), (2.0, 2.0))
    )
    assert _validation_log(latent)["mi"].item() == pytest.approx(expected)


# --- precision and extent of the scoring; autocast -------------------------------------------------------------------


@pytest.mark.parametrize("flags", [{}, {"selection_dtype": "bfloat16"}, {"selection_words": 6}])
def test_the_choice_costs_nothing_in_the_loss_itself(task, flags):
    """However the K samples are ranked, the loss is the winner's exact one: float32, over all words."""
    model, sample = build_model(task, **NO_DROPOUT), batch(task)
    criterion = build_criterion(task, "speculative_elbo", k=5, **flags)
    model.train(), criterion.train()
    torch.manual_seed(3)
    _, _, log = criterion(model, sample)
    torch.manual_seed(3)
    logits, extra = criterion.decode(model, sample)
    prior, posterior, decoded = model.distributions(
        sample["net_input"]["src_tokens"], sample["net_input"]["prev_output_tokens"], sample["target"]
    )
    torch.testing.assert_close(log["nll"], decoded.nll(extra["latent"].z).sum())


def test_how_much_of_the_vocabulary_ranks_reaches_the_model(task, monkeypatch):
    model, seen = build_model(task), []
    monkeypatch.setattr(
        DecodedResponse, "nll", lambda self, z, dtype, words: seen.append((dtype, words)) or z.square().sum(-1)
    )
    for flags in ({}, {"selection_dtype": "bfloat16", "selection_words": 6}):
        build_criterion(task, "elbo", k=2, **flags)(model, batch(task))
    assert seen == [(torch.float32, 0), (torch.bfloat16, 6)]


@pytest.mark.parametrize("words", [-1, 1])
def test_too_few_words_to_rank_by_are_refused(task, words):
    with pytest.raises(InputError, match=f"--selection-words {words} is .*; remedy"):
        build_criterion(task, selection_words=words)


@pytest.mark.parametrize("arch, name", [("t_cvae_tiny", "podi_elbo"), ("t_spacefusion_tiny", "spacefusion")])
def test_autocast_trains_in_bfloat16_and_validates_in_float32(task, arch, name):
    model, sample = build_model(task, arch, **NO_DROPOUT), batch(task)
    losses = {}
    for autocast in ("none", "bfloat16"):
        criterion = build_criterion(task, name, autocast=autocast, label_smoothing=0.1)
        for training in (True, False):
            model.train(training), criterion.train(training), model.zero_grad()
            torch.manual_seed(1)
            loss, _, _ = criterion(model, sample)
            loss.backward()
            assert loss.dtype == torch.float32
            assert all(p.grad is None or p.grad.dtype == torch.float32 for p in model.parameters())
            losses[autocast, training] = loss.item()
    assert losses["none", False] == losses["bfloat16", False]
    assert losses["none", True] != losses["bfloat16", True]
    assert losses["none", True] == pytest.approx(losses["bfloat16", True], rel=0.02)


def test_an_autocast_that_is_not_ours_stays(task):
    """That of fairseq-train --amp."""
    model, sample = build_model(task, **NO_DROPOUT), batch(task)
    criterion = build_criterion(task)
    with torch.autocast("cpu", torch.bfloat16):
        logits = []
        model.decoder.output_projection.register_forward_hook(lambda *args: logits.append(args[-1].dtype))
        criterion(model, sample)
    assert logits == [torch.bfloat16]


def test_the_log_has_the_divergence_whatever_a_term_called_kl_is(task, monkeypatch):
    """docs/add_a_loss.md: the one name that is special."""
    model, criterion, sample = (
        build_model(task, **NO_DROPOUT),
        build_criterion(task, "elbo", kl_weight=0.25),
        batch(task),
    )
    terms = type(criterion).terms

    def doubled(self, *given):
        for name, value, weight in terms(self, *given):
            yield name, 2 * value if name == "kl" else value, weight

    torch.manual_seed(1)
    loss, sentences, log = criterion(model, sample)
    monkeypatch.setattr(type(criterion), "terms", doubled)
    torch.manual_seed(1)
    more, _, with_doubled = criterion(model, sample)
    assert with_doubled["kl"] == pytest.approx(float(log["kl"]))
    assert with_doubled["kl_weight"] == log["kl_weight"] == 0.25 * sentences
    assert float(more - loss) == pytest.approx(0.25 * float(log["kl"]), rel=1e-4)
