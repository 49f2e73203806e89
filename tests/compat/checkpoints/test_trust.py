"""A checkpoint may bring weights and plain settings, and no more: whatever it names, nothing of it runs."""

from argparse import Namespace

import pytest
import torch
from fairseq import checkpoint_utils
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.models.fconv import FConvModel
from fairseq.models.transformer import TransformerModel

from fairseq_latent.compat.checkpoints import allowed_models, plain_values, trust
from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.runs.training_config import training_settings
from tests.helpers import programs

CALL = "__import__('os').mkdir({mark!r})"
TINY_TRANSFORMER = [f"--{side}-{part}" for side in ("encoder", "decoder") for part in ("embed-dim", "ffn-embed-dim")]


@pytest.fixture(scope="module")
def good(data_bin, tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    programs.fit(data_bin, folder, "--max-update", "1")
    return folder / "checkpoint_last.pt"


@pytest.fixture
def mark(tmp_path):
    """What a checkpoint makes whose texts are run as Python."""
    yield tmp_path / "executed"
    assert not (tmp_path / "executed").exists()


@pytest.fixture
def changed(good, tmp_path):
    """A checkpoint whose settings, or whole content, were changed by a function."""

    def change(function):
        state = torch.load(good, weights_only=True)
        path = tmp_path / "changed.pt"
        torch.save(function(state) or state, path)
        return path

    return change


def model(**settings):
    return lambda state: state["cfg"].update(model=settings)


def stock_models(mark):
    """Of fairseq's own architectures those that evaluate texts of their settings."""
    call = CALL.format(mark=str(mark))
    fconv = {
        "encoder_layers": f"[(8, 3)] if not {call} else 1",
        "decoder_layers": "[(8, 3)]",
        "decoder_attention": call,
    }
    return {
        "fconv": model(_name="fconv", arch="fconv", **fconv),
        "wav2vec2": model(_name="wav2vec2", conv_feature_layers=call),
        "lightconv": model(_name="lightconv", adaptive_softmax_cutoff=call, decoder_layers=6),
        "nested": model(fconv=fconv),
        "old style": lambda state: state.update(args=Namespace(arch="fconv", task="dialogue", **fconv)),
        "in a Namespace": lambda state: state["cfg"].update(model=Namespace(_name="fconv", **fconv)),
        "task": lambda state: state["cfg"].update(
            task={"_name": "dialogue", "task": "audio_pretraining", "data": call}
        ),
        "criterion": lambda state: state["cfg"].update(criterion={"_name": "ctc", "wer_args": call}),
    }


ROADS = {
    "fairseq-generate": lambda data, path: programs.decode(data, path),
    "fairseq-validate": lambda data, path: programs.run(
        "fairseq-validate", data, *programs.PLUG_IN, "--path", path, "--cpu", "--batch-size", "8"
    ),
    "fairseq-interactive": lambda data, path: programs.run(
        "fairseq-interactive", data, *programs.PLUG_IN, "--path", path, "--cpu", stdin="tea\n"
    ),
}
ROADS_AND_KINDS = [("fairseq-generate", kind) for kind in ("fconv", "wav2vec2", "nested", "old style")]


@pytest.mark.parametrize(
    "road, kind", [*ROADS_AND_KINDS, ("fairseq-validate", "fconv"), ("fairseq-interactive", "fconv")]
)
def test_fairseqs_commands_build_no_stock_model_that_a_checkpoint_names(data_bin, changed, mark, refused, road, kind):
    line = refused(ROADS[road], data_bin, changed(stock_models(mark)[kind]))
    assert "changed.pt: refused, its architecture" in line and "FAIRSEQ_LATENT_STOCK=" in line


@pytest.mark.parametrize("kind", ["lightconv", "in a Namespace", "task", "criterion"])
def test_nor_a_task_or_criterion(changed, mark, kind):
    path = str(changed(stock_models(mark)[kind]))
    with allowed_models.asked_for(stock=False), pytest.raises(InputError, match="changed.pt: refused, its "):
        checkpoint_utils.load_model_ensemble_and_task([path])


@pytest.mark.parametrize("name", ["latents", "chat", "sweep", "interpolate", "convert", "plot"])
def test_our_commands_build_none_either(data_bin, changed, mark, tmp_path, name):
    path = changed(stock_models(mark)["fconv"])
    path.with_name("checkpoint_best.pt").symlink_to(path)  # as of a run's folder
    flags = {
        "convert": (path, tmp_path / "out", "--data", data_bin),
        "plot": ("latents", f"x={tmp_path}", "--data", data_bin, "--out", tmp_path / "x.png", "--example", "0"),
        "sweep": (data_bin, "--path", path, "--vectors", "none.txt"),
        "interpolate": (data_bin, "--path", path, "--example", "0", "1"),
    }.get(name, (data_bin, "--path", path))
    with allowed_models.asked_for(stock=True):  # whatever the program around it wants
        done = programs.tool(name, *flags)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "refused, its architecture" in done.stderr
    assert not (tmp_path / "out").exists()


def test_nor_does_a_report_read_its_settings(changed, mark):
    with pytest.raises(InputError, match="refused, its architecture"):
        training_settings(changed(stock_models(mark)["old style"]))


def test_the_settings_of_our_models_are_cut_to_their_flags(data_bin, good, changed, mark):
    """What the parts of fairseq inside our models would evaluate never reaches them."""
    call = CALL.format(mark=str(mark))
    further = {"adaptive_softmax_cutoff": call, "xformers_att_config": call, "quant_noise": {"_target_": "os.system"}}
    path = changed(lambda state: state["cfg"]["model"].update(further))
    with allowed_models.asked_for(stock=False):
        checkpoint_utils.load_model_ensemble_and_task([str(path)])
    kept = checkpoint_utils.load_checkpoint_to_cpu(str(path))["cfg"]["model"]
    assert kept == checkpoint_utils.load_checkpoint_to_cpu(str(good))["cfg"]["model"]


@pytest.mark.parametrize("group, name, value, said", [
    ("model", "embed_dim", "12 monkeys", "its --embed-dim is '12 monkeys'"),
    ("model", "embed_dim", [1], "its --embed-dim is [1]"),
    ("model", "activation", "os.system", "its --activation is 'os.system'"),
    ("model", "dropout", torch.ones(3), "its dropout is a Tensor"),
    ("task", "data", "${oc.env:HOME}", "its data is '${oc.env:HOME}'"),
    ("checkpoint", "save_dir", "x/${oc.env:HOME}", "its save_dir is"),
    ("criterion", "kl_weight", {"a": 1}, "its --kl-weight is {'a': 1}"),
])  # fmt: skip
def test_values_of_the_wrong_kind(changed, group, name, value, said):
    path = changed(lambda state: state["cfg"][group].update({name: value}))
    with allowed_models.asked_for(stock=False), pytest.raises(InputError) as error:
        checkpoint_utils.load_checkpoint_to_cpu(str(path))
    assert said in str(error.value) and str(path) in str(error.value)


def endless(state):
    """Settings that hold themselves twice."""
    state["cfg"]["more"] = [state["cfg"]]
    state["cfg"]["more"].append(state["cfg"]["more"])


def without(name):
    return lambda state: {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize("change, said", [
    (lambda state: [1, 2], "no checkpoint of fairseq, but a list"),
    (without("model"), "it has no model"),
    (without("cfg"), "not the settings of their model"),
    (without("extra_state"), "it has no extra_state"),
    (lambda state: state.update(optimizer_history=[]), "it has no optimizer_history"),
    (lambda state: state.update(model={"encoder": "text"}), "its model has 'encoder', a str"),
    (lambda state: state.update(cfg=[1]), "its cfg is a list"),
    (lambda state: state["cfg"].update(generation=5), "its generation is a int"),
    (lambda state: state.update(args={"arch": "t_cvae"}), "its args is a dict"),
    (lambda state: state["cfg"].update(task=None), "its task None is not known"),
    (model(_name="another_model"), "its architecture 'another_model' is not known; remedy: the --user-dir"),
    (model(), "its architecture None is not known"),
    (lambda state: state.update(args=Namespace(arch="t_cvae_tiny", tokenizer="../../x")), "its tokenizer '../../x'"),
    (endless, "its settings are nested or too many"),
])  # fmt: skip
def test_what_is_no_checkpoint_is_said(changed, change, said):
    with allowed_models.asked_for(stock=False), pytest.raises(InputError) as error:
        checkpoint_utils.load_checkpoint_to_cpu(str(changed(change)))
    assert said in str(error.value)


@pytest.mark.parametrize("settings", [
    lambda cfg: cfg.update(generation={}),
    lambda cfg: cfg.update(generation="x"),
    lambda cfg: cfg["model"].update(w2v_args=5),
])  # fmt: skip
def test_settings_that_fairseq_would_stumble_over(changed, settings):
    path = str(changed(lambda state: settings(state["cfg"])))
    with allowed_models.asked_for(stock=False):
        if "w2v_args" in str(torch.load(path, weights_only=True)["cfg"]["model"]):
            checkpoint_utils.load_checkpoint_to_cpu(path)  # no flag of ours
        else:
            with pytest.raises(InputError, match="changed.pt: "):
                checkpoint_utils.load_checkpoint_to_cpu(path)


@pytest.mark.parametrize("change, said", [
    (lambda state: state["optimizer_history"][-1].update(num_updates="x"), "its number of updates or"),
    (lambda state: state["extra_state"].update(train_iterator={"epoch": "x"}), "its place in the data is no number"),
    (lambda state: state["extra_state"].update(train_iterator=[]), "its place in the data is no number"),
    (lambda state: state["extra_state"].update(task_state=[1]), "the state of its task is a list"),
    (lambda state: state["extra_state"].update(metrics={"default": [(0, "x", "OrderedDict", {})]}), "its metrics are none"),
    (lambda state: state["extra_state"].update(metrics={"default": [(0, "x", "safe_round", {})]}), "its metrics are none"),
    (lambda state: state["extra_state"].update(metrics=[5]), "its metrics are none"),
    (lambda state: state["extra_state"].update(best="x"), "its best is no number"),
    (lambda state: state["extra_state"].update(previous_training_time="x"), "its previous_training_time is no number"),
    (lambda state: state["extra_state"].update(early_stop=[1]), "the state of its early stopping is a list"),
    (lambda state: state["extra_state"].update(early_stop={"num_runs": "x"}), "its num_runs is no number"),
    (lambda state: state.update(last_optimizer_state="x"), "the state of its optimiser is a str"),
])  # fmt: skip
def test_a_training_goes_on_from_counters_alone(good, changed, change, said):
    """fairseq calls the meters of a checkpoint by name."""
    load = allowed_models.weights_alone(checkpoint_utils.load_checkpoint_to_cpu)
    assert load(str(good))["extra_state"]["train_iterator"]["epoch"] == 1
    with pytest.raises(InputError, match=f"changed.pt: damaged: .*{said}"):
        load(str(changed(change)))


# --- what goes on working ----------------------------------------------------------------------------------------------


def train_stock(data, folder, *flags, arch="transformer", layers=("--encoder-layers", "1", "--decoder-layers", "1")):
    sizes = [word for flag in TINY_TRANSFORMER for word in (flag, "8")] if arch == "transformer" else []
    kind = ("--task", "translation", "--arch", arch, "--criterion", "label_smoothed_cross_entropy", *sizes, *layers)
    plugin = ("--user-dir", programs.PLUGIN)
    return programs.run("fairseq-train", data, *plugin, *kind, *programs.TINY_TRAINING, "--save-dir", folder, *flags)


@pytest.fixture(scope="module")
def stock(data_bin, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stock")
    train_stock(data_bin, folder, "--max-update", "1")
    return folder / "checkpoint_last.pt"


def test_a_stock_model_trains_on_and_decodes_where_its_task_is_named(data_bin, stock, tmp_path):
    log = train_stock(data_bin, tmp_path, "--restore-file", stock, "--max-update", "2")
    assert [numbers["num_updates"] for numbers in log.numbers("train_inner")] == [2]
    plugin = ("--user-dir", programs.PLUGIN, "--path", stock, "--cpu")
    assert len(programs.run("fairseq-generate", data_bin, *plugin).hypotheses()) == 21  # translation is the default
    programs.run("fairseq-validate", data_bin, *plugin, "--task", "translation", "--batch-size", "8")


def test_a_stock_model_in_a_program(data_bin, stock):
    allowed_models._asked_on_command_line[:] = [False]  # what came before does not matter
    hub = TransformerModel.from_pretrained(str(stock.parent), stock.name, str(data_bin))
    assert isinstance(hub.models[0], TransformerModel)
    (again,), _ = checkpoint_utils.load_model_ensemble([str(stock)], task=hub.task)
    assert isinstance(again, TransformerModel)
    with pytest.raises(InputError, match="refused, its architecture 'transformer'"):
        checkpoint_utils.load_model_ensemble_and_task([str(stock)])


def test_or_it_is_named_in_the_environment(data_bin, stock, refused, monkeypatch):
    with allowed_models.asked_for(stock=False):
        line = refused(checkpoint_utils.load_model_ensemble_and_task, [str(stock)])
        names = line.partition("FAIRSEQ_LATENT_STOCK=")[2].partition(" ")[0]
        assert names == "transformer,translation,label_smoothed_cross_entropy"
        monkeypatch.setenv(trust.STOCK, names)
        (again,), _, _ = checkpoint_utils.load_model_ensemble_and_task([str(stock)])
    assert isinstance(again, TransformerModel)


def test_a_stock_model_whose_settings_are_expressions_works(data_bin, tmp_path, mark):
    """And the same expressions from a checkpoint run nothing, where fairseq's own task was asked for."""
    layers = (
        "--encoder-layers",
        "[(8, 3)] * 2",
        "--decoder-layers",
        "[(8, 3)] + [(8, 3)]",
        "--decoder-attention",
        "True",
    )
    dims = (
        "--encoder-embed-dim",
        "8",
        "--decoder-embed-dim",
        "8",
        "--decoder-out-embed-dim",
        "8",
        "--adam-betas",
        "(0.9, 0.98)",
    )
    train_stock(data_bin, tmp_path, *dims, "--max-update", "1", arch="fconv", layers=layers)
    path = tmp_path / "checkpoint_last.pt"
    generate = ("fairseq-generate", data_bin, "--user-dir", programs.PLUGIN, "--path", path, "--cpu")
    assert len(programs.run(*generate).hypotheses()) == 21
    hub = FConvModel.from_pretrained(str(tmp_path), path.name, str(data_bin))
    assert len(hub.models[0].encoder.convolutions) == 2
    state = torch.load(path, weights_only=True)
    state["cfg"]["model"].encoder_layers = CALL.format(mark=str(mark))
    torch.save(state, path)
    with pytest.raises(InputError, match="is no plain value"):
        programs.run(*generate)


@pytest.mark.parametrize("expression, value", [
    ("(0.9, 0.98)", (0.9, 0.98)),
    ("[(512, 10, 5)] + [(512, 3, 2)] * 4", [(512, 10, 5)] + [(512, 3, 2)] * 4),
    ("[1e-30, -1, None, True, not True, 'a', {'b': 3}]", [1e-30, -1, None, True, False, "a", {"b": 3}]),
    (" 3 * 2 - 1 / 4 ", 5.75),
])  # fmt: skip
def test_plain_values(expression, value):
    assert plain_values.plain_value(expression) == value


@pytest.mark.parametrize("expression", [
    "os.system('x')", "x", "x.y", "1 / 0", "", "garbage", "{**{}}", "1 +", "a\0b", "'x' * 999999", "'a' % 1",
    "[x for x in [1]]", "lambda: 1", "f'{1}'", "(a := 1)", "[1][0]", "2 ** 99999999",
    "[0] * 1000000000000", "9" * 5000 + " * " + "9" * 4000, "[" * 5000, "-" * 9000 + "1",
    "1 if 1 else 2",
])  # fmt: skip
def test_what_is_no_plain_value(expression):
    with pytest.raises(InputError, match="is no plain value; remedy"):
        plain_values.plain_value(expression)


# --- the command line --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["${oc.env:HOME}", "x/${common.seed}", "a${", "ends\\", "it\\'s", "???"])
def test_a_path_that_would_be_replaced_is_refused(data_bin, tmp_path, refused, name):
    assert f"--save-dir {name}: " in refused(programs.fit, data_bin, name)
    assert f"DATA {name}: " in refused(programs.decode, name, tmp_path / "x.pt")


def test_our_commands_refuse_it_too(good):
    done = programs.tool("latents", "${oc.env:HOME}", "--path", good)
    assert done.returncode == 2 and "DATA ${oc.env:HOME}: " in done.stderr


@pytest.mark.parametrize(
    "name", ["it's", "a b", "$HOME", "a{b}", "a,b", "a=b", 'a"b', "[a]", "null", "~x", "a\\b", "茶"]
)
def test_other_names_stay_as_they_are(data_bin, name):
    from fairseq import options

    kind = ("--arch", "t_cvae_tiny", "--criterion", "elbo", "--optimizer", "adam", "--save-dir", name)
    args = options.parse_args_and_arch(options.get_training_parser(), [str(data_bin), *programs.PLUG_IN, *kind])
    assert convert_namespace_to_omegaconf(args).checkpoint.save_dir == name
