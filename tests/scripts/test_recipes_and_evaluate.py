"""The bash scripts: the quickstart from end to end, the recipes' hyper-parameters, resumption and refusals."""

import gzip
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..helpers import warm
from ..helpers.corpus import pairs
from .stand_ins import stub

ROOT = Path(__file__).parents[2]
EVERY = [path for path in sorted((ROOT / "scripts/recipes").glob("*.sh")) if not path.name.startswith("base_")]
OURS = ROOT / "scripts/recipes/persona_ours.sh"
HIERARCHICAL = {  # recipe -> its flags
    "persona_hred": "--criterion elbo --clip-norm 1 --lr 1e-4 --batch-size 80 --max-update 27400 "
    "--best-checkpoint-metric rec_ppl",
    "persona_vhred": "--criterion elbo --kl-schedule linear --kl-warmup 25000 --clip-norm 1 --lr 1e-4 --batch-size 80 "
    "--max-update 27400 --best-checkpoint-metric elbo_ppl",
    "persona_rnn_cvae": "--criterion elbo --kl-schedule linear --kl-warmup 10000 --kl-first-update 1 --bow-weight 1 "
    "--bow-target tokens --bow-hidden-dim 400 --clip-norm 5 --lr 1e-3 --batch-size 30 --max-update 146000 "
    "--best-checkpoint-metric elbo_ppl",
}
LANGUAGE_MODELS = {
    "persona_dialogpt": "--criterion elbo --loss-on all-turns --adam-eps 1e-6 --weight-decay 0.01 --clip-norm 1 "
    "--lr 4.94e-5 --lr-scheduler inverse_sqrt --warmup-init-lr 0 --warmup-updates 4000 --batch-size 32 --max-update 11400",
    "persona_transfertransfo": "--max-history 2 --criterion double_heads --lm-weight 2 --choice-weight 1 --candidates 4 "
    "--persona-permutations 2 --adam-eps 1e-6 --clip-norm 1 --lr 6.25e-5 --lr-scheduler polynomial_decay "
    "--total-num-update 2280 --batch-size 16 --update-freq 4 --max-update 2280",
}
P2BOT = {
    "p2bot_1_transmitter": "--task persona_dialogue --arch p2bot_transmitter_small --criterion double_heads --lm-weight 0.6 "
    "--choice-weight 0.4 --label-smoothing 0.05 --candidates 2 --weight-decay 0.01 --clip-norm 1 --lr 6.25e-5 "
    "--lr-scheduler polynomial_decay --warmup-updates 78 --batch-size 10 --max-update 39247 "
    "--best-checkpoint-metric rec_ppl",
    "p2bot_2_receiver": "--task persona_receiver --arch p2bot_receiver --criterion receiver_margin --margin 0.5 "
    "--sparsity-weight 0.01 --persona-sets 2 --valid-persona-sets 32 --lr 6.25e-6 --lr-scheduler reduce_lr_on_plateau "
    "--lr-patience 5 --lr-shrink 0.1 --batch-size 2 --max-epoch 50 --best-checkpoint-metric hits1",
    "p2bot_3_self_play": "--task self_play --arch p2bot_transmitter_small --criterion self_play --rollouts 6 "
    "--self-play-turns 3 --coherence-reward 0.1 --persona-reward 0.5 --repetition-reward -0.1 --lm-reward 0.5 "
    "--weight-decay 0.01 --clip-norm 1 --lr 1e-6 --lr-scheduler fixed --batch-size 6 --max-update 2000 "
    "--best-checkpoint-metric f1",
}
OF_PROFILES = [recipe for recipe in EVERY if recipe.stem.startswith(("persona_", "p2bot_"))]
OF_OTHERS = HIERARCHICAL | LANGUAGE_MODELS | P2BOT
PERSONA = [recipe for recipe in OF_PROFILES if recipe.stem not in OF_OTHERS and recipe != OURS]
RECIPES = [recipe for recipe in EVERY if recipe not in OF_PROFILES]
PATH = warm.use()
LOSSES = {  # what makes a row of the tables
    "t_cvae": "--criterion elbo",
    "cyclical": "--criterion elbo --kl-schedule cyclical --kl-cycle epoch",
    "spacefusion": "--criterion spacefusion",
    "bow": "--criterion bow_elbo",
    "mc": "--criterion mc_elbo --k 5",
    "linear": "--criterion elbo --kl-schedule linear --kl-warmup 10000",
    "speculative_k5_podi": "--criterion speculative_elbo --k 5 --podi-weight 1",
    **{f"speculative_k{k}": f"--criterion speculative_elbo --k {k}" for k in (2, 5, 10, 20, 40)},
}


def bash(*command, **variables) -> subprocess.CompletedProcess:
    """Run a script with this Python's environment."""
    environment = os.environ | {"PATH": PATH, "FAIRSEQ_LATENT_NO_VENV": "1"} | variables
    return subprocess.run(["bash", *map(str, command)], env=environment, capture_output=True, text=True)


@pytest.fixture
def recorded(tmp_path):
    """A fairseq-train that writes its arguments down and leaves a checkpoint, in place of the real one."""
    program = tmp_path / "bin" / "fairseq-train"
    record = f'printf "%s\\n" "$@" >> {tmp_path}/arguments'
    stub(program, f"""{record}; [[ $* != *"--k -1"* ]] || exit 2; touch {tmp_path}/run/checkpoint_last.pt""")

    def run(recipe, *flags, **variables):
        path = f"{program.parent}{os.pathsep}{PATH}"
        return bash(recipe, *flags, **{"PATH": path, "RUN": str(tmp_path / "run"), "DATA": "data-bin/x"} | variables)

    run.arguments = tmp_path / "arguments"
    return run


@pytest.fixture
def conversations(tmp_path):
    """A user's file: forty short conversations."""
    path = tmp_path / "my.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number, (context, response) in enumerate(pairs(40)):
            turns = [{"speaker": "a", "text": context.replace(" <eot> ", " ")}, {"speaker": "b", "text": response}]
            file.write(json.dumps({"id": f"c{number}", "turns": turns}) + "\n")
    return path


@pytest.fixture
def evaluated(tmp_path):
    """evaluate.sh on two trained runs (one's path has a `=`), fairseq's programs replaced by recording ones."""
    stub(tmp_path / "bin/fairseq-generate", f'echo "$@" >> {tmp_path}/decoded; echo "H-0\t-1\tyes"')
    stub(tmp_path / "bin/fairseq-latent", f'echo "$@" >> {tmp_path}/measured')
    data = tmp_path / "data"
    for file in (
        data / "dict.src.txt",
        data / "test1.src-tgt.src.idx",
        *(tmp_path / f"{run}/x" for run in ("a", "lr=1")),
    ):
        file.parent.mkdir(exist_ok=True)
        file.touch()
    for run in ("a", "lr=1"):
        (tmp_path / run / "checkpoint_best.pt").touch()
    (tmp_path / "lr=1/checkpoint_best.pt.command").write_text("fairseq-train data --task persona_dialogue --lr 1 ")

    def evaluate(*more, **variables):
        for log in ("decoded", "measured"):
            (tmp_path / log).unlink(missing_ok=True)
        systems = (f"K=5={tmp_path}/a", f"B={tmp_path}/lr=1", *more)
        path = f"{tmp_path}/bin{os.pathsep}{PATH}"
        result = bash(ROOT / "scripts/evaluate.sh", data, tmp_path / "report", *systems, PATH=path, **variables)
        assert result.returncode == 0, result.stderr
        decoded = tmp_path / "decoded"
        return decoded.read_text().splitlines() if decoded.exists() else []

    return evaluate


def test_gpt2s_tokens_are_no_pieces_to_join(evaluated, tmp_path):
    """Joined, all numbers of a response would be one."""
    assert all("--post-process sentencepiece" in line for line in evaluated())
    (tmp_path / "data/encoder.json").touch()
    lines = evaluated()
    assert lines and not any("--post-process" in line for line in lines)


def test_there_is_a_recipe_for_each_row():
    assert {recipe.stem for recipe in RECIPES} == set(LOSSES)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_recipe_has_the_papers_hyper_parameters_and_fairseq_accepts_them(recipe, recorded):
    from fairseq import options

    assert recorded(recipe).returncode == 0
    arguments = recorded.arguments.read_text().splitlines()
    line = " ".join(arguments)
    for flags in (
        LOSSES[recipe.stem],
        "--label-smoothing 0.1",
        "--max-update 250000",
        "--warmup-updates 4000",
        "--lr 1e-3",
    ):
        assert flags in line
    for flags in ("--clip-norm 25", "--adam-betas (0.9, 0.98)", "--weight-decay 1e-4", "--seed 0"):
        assert flags in line
    assert 3360 * 8 == 26880  # tokens an update: --max-tokens x --update-freq
    assert "--max-tokens 3360 --update-freq 8" in line
    args = options.parse_args_and_arch(options.get_training_parser(), arguments)
    assert args.arch == ("t_spacefusion" if recipe.stem == "spacefusion" else "t_cvae")


def value_of(recorded, flag):
    words = recorded.arguments.read_text().splitlines()
    recorded.arguments.unlink()
    return words[words.index(flag) + 1]


LINEAR, FULL = (ROOT / f"scripts/recipes/{name}.sh" for name in ("linear", "persona_full"))


@pytest.mark.parametrize(
    ("recipe", "flags", "variables", "warmup"),
    [
        (LINEAR, (), {"MAX_UPDATE": "1000"}, 100),
        (LINEAR, ("--max-update", "1000"), {}, 100),
        (LINEAR, ("--max-update=300",), {"MAX_UPDATE": "1000"}, 30),
        (LINEAR, (), {"MAX_UPDATE": "5"}, 1),
        (LINEAR, (), {"MAX_UPDATE": "100000"}, 4000),  # at most the paper's
        (LINEAR, (), {"MAX_UPDATE": "1000", "WARMUP": "7"}, 7),
        (LINEAR, (), {"MAX_UPDATE": "300000"}, 4000),
        (FULL, (), {"MAX_UPDATE": "11400"}, 3000),  # the paper's budget: its warm-up, more than a tenth
        (FULL, (), {"MAX_UPDATE": "1000"}, 100),
    ],
)
def test_a_smaller_budget_has_a_shorter_warm_up(recorded, recipe, flags, variables, warmup):
    done = recorded(recipe, *flags, **variables)
    assert done.returncode == 0, done.stderr
    assert value_of(recorded, "--warmup-updates") == str(warmup)


def test_the_kl_weight_rises_within_the_budget(recorded, tmp_path):
    for number, (budget, warmup) in enumerate(((1000, 500), (30000, 10000))):
        done = recorded(LINEAR, MAX_UPDATE=str(budget), RUN=str(tmp_path / f"run/{number}"))
        assert done.returncode == 0, done.stderr
        assert value_of(recorded, "--kl-warmup") == str(warmup)
    recorded(LINEAR, MAX_UPDATE="1000", KL_WARMUP="9", RUN=str(tmp_path / "run/2"))
    assert value_of(recorded, "--kl-warmup") == "9"


def test_a_run_that_goes_on_keeps_its_warm_up(recorded):
    """With a larger budget, too: it is the same training."""
    assert recorded(LINEAR, MAX_UPDATE="1000").returncode == 0
    assert value_of(recorded, "--warmup-updates") == "100"
    assert recorded(LINEAR, MAX_UPDATE="2000").returncode == 0
    assert value_of(recorded, "--warmup-updates") == "100"
    assert "other flags" in recorded(LINEAR, MAX_UPDATE="2000", WARMUP="50").stderr


def test_a_learning_rate_that_falls_to_nothing(recorded):
    from fairseq import options

    done = recorded(LINEAR, LR_SCHEDULER="polynomial_decay", MAX_UPDATE="1000", WARMUP="100")
    assert done.returncode == 0, done.stderr
    arguments = recorded.arguments.read_text().splitlines()
    args = options.parse_args_and_arch(options.get_training_parser(), arguments)
    assert (args.lr_scheduler, float(args.total_num_update), args.warmup_updates) == ("polynomial_decay", 1000, 100)
    assert args.stop_min_lr < 0  # of its first update the rate is 0, at which fairseq would stop
    refused = recorded(LINEAR, LR_SCHEDULER="cosine")
    assert refused.returncode == 2
    assert "LR_SCHEDULER=cosine is unknown; remedy: inverse_sqrt or polynomial_decay" in refused.stderr


PERSONA_LOSSES = {
    "persona_full": "--criterion podi_elbo --podi-weight 1 --podi-target 0.15 --podi-form per_dim",
    "persona_no_podi": "--criterion elbo",
    "persona_no_latents": "--criterion elbo",
}


def test_there_is_a_persona_recipe_for_each_row():
    assert {recipe.stem for recipe in PERSONA} == set(PERSONA_LOSSES)


@pytest.mark.parametrize("recipe", PERSONA, ids=lambda recipe: recipe.stem)
def test_a_persona_recipe_has_the_papers_hyper_parameters_and_fairseq_accepts_them(recipe, recorded):
    from fairseq import options

    assert recorded(recipe, GPT2_PATH="gpt2-medium").returncode == 0
    arguments = recorded.arguments.read_text().splitlines()
    line = " ".join(arguments)
    for flags in (PERSONA_LOSSES[recipe.stem], "--lr 2.6e-5", "--warmup-updates 3000", "--adam-betas (0.9, 0.999)"):
        assert flags in line
    for flags in (
        "--gpt2-path gpt2-medium",
        "--freeze-embeddings",
        "--batch-size 32 --update-freq 1",
        "--clip-norm 25",
    ):
        assert flags in line
    assert ("--symbols-from end" in line) is (recipe.stem == "persona_no_latents")
    args = options.parse_args_and_arch(options.get_training_parser(), arguments)
    assert (args.arch, args.task) == ("persona_cvae_gpt2", "persona_dialogue")
    assert getattr(args, "no_latents", False) is (recipe.stem == "persona_no_latents")


@pytest.mark.parametrize("name", HIERARCHICAL)
def test_a_hierarchical_recipe_has_its_references_hyper_parameters_and_fairseq_accepts_them(name, recorded):
    from fairseq import options

    assert recorded(ROOT / f"scripts/recipes/{name}.sh").returncode == 0
    arguments = recorded.arguments.read_text().splitlines()
    line = " ".join(arguments)
    for flag in re.split(" (?=--)", HIERARCHICAL[name]):
        assert flag in line
    args = options.parse_args_and_arch(options.get_training_parser(), arguments)
    assert (args.arch, args.task) == (name.removeprefix("persona_"), "persona_dialogue")
    assert args.lr_scheduler == "fixed"


@pytest.mark.parametrize("whose", ["partner", "own", "none"])
def test_our_persona_recipe_is_accepted_by_fairseq(whose, recorded):
    from fairseq import options

    assert recorded(OURS, LM_PATH="smollm2", TRAIN_BLOCKS="15", PROFILE_OF=whose, MAX_UPDATE="60").returncode == 0
    arguments = recorded.arguments.read_text().splitlines()
    args = options.parse_args_and_arch(options.get_training_parser(), arguments)
    assert (args.arch, args.task, args.gpt2_path) == ("persona_cvae_gpt2", "persona_dialogue", "smollm2")
    assert args.freeze_embeddings and args.train_blocks == 15 and args.warmup_updates == 6
    if whose == "none":
        assert args.no_latents
    else:
        assert (args.profile_of, args.latents_at, args.inject_scale) == (whose, "after_bos", "state")
        assert (args.kl_schedule, args.kl_warmup) == ("linear", 30)
    assert "PROFILE_OF=x is unknown; remedy" in recorded(OURS, PROFILE_OF="x").stderr


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_a_language_models_recipe_has_its_references_hyper_parameters_and_fairseq_accepts_them(name, recorded):
    from fairseq import options

    assert recorded(ROOT / f"scripts/recipes/{name}.sh", GPT2_PATH="gpt2-medium").returncode == 0
    arguments = recorded.arguments.read_text().splitlines()
    line = " ".join(arguments)
    for flag in (
        *re.split(" (?=--)", LANGUAGE_MODELS[name]),
        "--gpt2-path gpt2-medium",
        "--best-checkpoint-metric rec_ppl",
    ):
        assert flag in line
    args = options.parse_args_and_arch(options.get_training_parser(), arguments)
    assert (args.arch, args.task) == (name.removeprefix("persona_"), "persona_dialogue")
    assert "--freeze-embeddings" not in arguments


@pytest.mark.parametrize("name", P2BOT)
def test_a_stage_of_p2bot_has_its_references_hyper_parameters_and_fairseq_accepts_them(name, recorded, tmp_path):
    from fairseq import options

    stages = {stage: tmp_path / stage for stage in ("TRANSMITTER", "RECEIVER")}
    for folder in stages.values():
        folder.mkdir()
        for file in ("done", "checkpoint_best.pt"):
            (folder / file).touch()
    given = {stage: str(folder) for stage, folder in stages.items()}
    done = recorded(ROOT / f"scripts/recipes/{name}.sh", REWARD_LM="gpt2", **given)
    assert done.returncode == 0, done.stderr
    arguments = recorded.arguments.read_text().splitlines()
    line = " ".join(arguments)
    for flag in re.split(" (?=--)", P2BOT[name]):
        assert flag in line
    options.parse_args_and_arch(options.get_training_parser(), arguments)


def test_self_play_refuses_a_stage_that_has_not_ended(recorded, tmp_path):
    for stage in ("one", "two"):
        (tmp_path / stage).mkdir()
        (tmp_path / stage / "checkpoint_best.pt").touch()
    (tmp_path / "one/done").touch()
    given = {"TRANSMITTER": str(tmp_path / "one"), "RECEIVER": str(tmp_path / "two")}
    refused = recorded(ROOT / "scripts/recipes/p2bot_3_self_play.sh", **given)
    assert refused.returncode == 2
    assert "p2bot_2_receiver.sh" in refused.stderr and "two is not trained to its end" in refused.stderr


def test_a_finished_run_is_not_repeated_and_other_flags_are_refused(recorded):
    recipe = ROOT / "scripts/recipes/t_cvae.sh"
    assert recorded(recipe).returncode == 0
    once = recorded.arguments.read_text()
    assert recorded(recipe).returncode == 0
    assert recorded.arguments.read_text() == once
    refused = recorded(recipe, LR="7")
    assert refused.returncode == 2
    assert "was trained with other flags" in refused.stderr


def test_flags_that_fairseq_refused_do_not_bind_the_run(recorded):
    recipe = ROOT / "scripts/recipes/speculative_k5.sh"
    failed = recorded(recipe, "--k", "-1")
    assert failed.returncode == 2 and "training" in failed.stderr
    assert recorded(recipe).returncode == 0


def test_a_larger_budget_extends_a_finished_run_and_a_smaller_one_is_refused(recorded, tmp_path):
    recipe = ROOT / "scripts/recipes/t_cvae.sh"

    def trainings():
        return recorded.arguments.read_text().count("--save-dir")

    assert recorded(recipe, MAX_UPDATE="10").returncode == 0
    assert recorded(recipe, "--save-interval-updates=5", "--log-interval", "1", MAX_UPDATE="10").returncode == 0
    assert trainings() == 1
    assert recorded(recipe, MAX_UPDATE="20").returncode == 0
    assert trainings() == 2
    assert (tmp_path / "run/done").read_text() == "20 0\n"
    refused = recorded(recipe, MAX_UPDATE="10")
    assert refused.returncode == 2 and "larger budget" in refused.stderr
    assert trainings() == 2


def test_a_run_notices_that_its_data_were_made_again(recorded, tmp_path):
    recipe = ROOT / "scripts/recipes/t_cvae.sh"
    data = tmp_path / "data"
    data.mkdir()
    (data / "dict.src.txt").write_text("a 1\n")
    assert recorded(recipe, DATA=str(data)).returncode == 0
    (data / "dict.src.txt").write_text("b 1\n")
    refused = recorded(recipe, DATA=str(data))
    assert refused.returncode == 2 and "other flags or data" in refused.stderr
    (data / "dict.src.txt").write_text("a 1\n")
    assert recorded(recipe, DATA=str(data)).returncode == 0
    (data / "train.fader").write_text("0.5\n")  # similarities by other word vectors
    refused = recorded(recipe, DATA=str(data))
    assert refused.returncode == 2 and "other flags or data" in refused.stderr


def test_prepare_refuses_other_options_and_another_input(conversations, tmp_path):
    options = {"VOCABULARY": "60", "VALID": "0.2", "TEST": "0.2", "SAMPLES": "3"}

    def prepare(**variables):
        return bash(ROOT / "scripts/prepare.sh", conversations, tmp_path / "bin", **options | variables)

    stub(tmp_path / "stubs/fairseq-preprocess", "exit 1")
    stopped = prepare(PATH=f"{tmp_path}/stubs{os.pathsep}{PATH}")
    assert stopped.returncode == 2, stopped.stderr
    refused = prepare(MAX_WORDS="5")  # the text is kept, but it is not this one
    assert refused.returncode == 2 and "not MAX_WORDS=5; remedy: " in refused.stderr
    assert refused.stderr.count("\n") == 1
    (tmp_path / "bin").mkdir()  # empty
    assert prepare().returncode == 0
    assert (tmp_path / "bin/dict.src.txt").is_file()
    assert (tmp_path / "bin/test.ids").read_bytes() == (tmp_path / "bin.text/test.ids").read_bytes()  # dialogues
    assert "is prepared" in prepare().stderr
    assert "not VOCABULARY=80; remedy: " in prepare(VOCABULARY="80").stderr
    conversations.write_text(conversations.read_text().replace("winter", "summer"))
    refused = prepare()
    assert refused.returncode == 2 and "not INPUT=" in refused.stderr


def test_prepare_goes_on_with_other_options_where_the_first_were_a_mistake(conversations, tmp_path):
    """What was made before the step that failed is kept, as long as the options it was made with are."""
    options = {"VALID": "0.2", "TEST": "0.2", "SAMPLES": "3", "VOCABULARY": "60"}

    def prepare(**variables):
        done = bash(ROOT / "scripts/prepare.sh", conversations, tmp_path / "bin", **options | variables)
        ran = [
            line.split()[3].removeprefix("preprocess.") for line in done.stderr.splitlines() if line[:9] == "+ python "
        ]
        return done, ran

    failed, ran = prepare(TEST="50")
    assert failed.returncode == 2 and ran == ["clean", "split"]
    refused, ran = prepare(MAX_WORDS="5")
    assert refused.returncode == 2 and "not MAX_WORDS=5; remedy: " in refused.stderr and ran == []
    failed, ran = prepare(VOCABULARY="8")
    assert "--vocab-size 8 is too small" in failed.stderr and ran == ["split", "subwords"]
    refused, ran = prepare(SEED="2")
    assert refused.returncode == 2 and "not SEED=2; remedy: " in refused.stderr and ran == []
    (tmp_path / "bin.text/.clean.jsonl.01234567.part").write_text("of a process that was killed")
    done, ran = prepare()
    assert done.returncode == 0 and ran == ["subwords"]
    assert not list(tmp_path.rglob("*.part"))
    options["SAMPLES"] = "4"
    assert "not SAMPLES=4; remedy: " in prepare()[0].stderr


def test_prepare_takes_the_pieces_of_another_data_set(conversations, tmp_path):
    options = {"VALID": "0.2", "TEST": "0.2", "SAMPLES": "3"}
    assert (
        bash(ROOT / "scripts/prepare.sh", conversations, tmp_path / "one", **options, VOCABULARY="60").returncode == 0
    )
    shutil.rmtree(tmp_path / "one.text")
    conversations.write_text(conversations.read_text().replace("winter", "summer"))
    taken = options | {"SUBWORDS": str(tmp_path / "one")}
    done = bash(ROOT / "scripts/prepare.sh", conversations, tmp_path / "two", **taken, VOCABULARY="70")
    assert done.returncode == 0, done.stderr
    for name in ("dict.src.txt", "spm.model"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    refused = bash(ROOT / "scripts/prepare.sh", conversations, tmp_path / "two", **options, VOCABULARY="60")
    assert refused.returncode == 2 and "with other options or input" in refused.stderr
    (tmp_path / "one/spm.model").unlink()
    refused = bash(ROOT / "scripts/prepare.sh", conversations, tmp_path / "three", **taken)
    assert refused.returncode == 2 and "has no spm.model and dict.src.txt; remedy" in refused.stderr


def test_prepare_without_valid_or_test(conversations, tmp_path):
    for side, other in (("valid", "test"), ("test", "valid")):
        folder = tmp_path / side
        sizes = {side.upper(): "0", other.upper(): "0.2", "VOCABULARY": "60"}
        assert bash(ROOT / "scripts/prepare.sh", conversations, folder, **sizes).returncode == 0
        assert not list(folder.glob(f"{side}*")) and (folder / f"{other}.src-tgt.src.idx").is_file()


def test_prepare_leaves_a_folder_that_it_did_not_make(conversations, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/dict.src.txt").write_text("mine 1\n")
    refused = bash(ROOT / "scripts/prepare.sh", conversations, tmp_path / "bin")
    assert refused.returncode == 2 and "does not say how it was prepared" in refused.stderr
    (tmp_path / "file").touch()
    refused = bash(ROOT / "scripts/prepare.sh", conversations, tmp_path / "file")
    assert refused.returncode == 2 and "file is a file; remedy: " in refused.stderr
    assert not list(tmp_path.glob("*.text"))


def test_evaluate_makes_again_what_another_command_or_older_input_made(evaluated, tmp_path):
    (tmp_path / "a").joinpath("generate.test.txt.99.part").write_text("of a killed run")
    decoded = evaluated()
    assert len(decoded) == 4
    for line in decoded:  # each in the task of its training, where that is noted
        task = "persona_dialogue" if f"--path {tmp_path}/lr=1/" in line else "dialogue"
        assert re.findall(r"--task (\S+)", line)[-1] == task  # the last one counts
    assert not list(tmp_path.rglob("*.part*"))
    assert (tmp_path / "a/generate.test.txt.command").read_text().startswith("fairseq-generate ")
    assert evaluated() == []
    again = evaluated(BEAM="7")  # a training on data with personas is decoded by sampling
    assert len(again) == 2 and all(f"--path {tmp_path}/a/" in line for line in again)
    assert evaluated(BEAM="7", TASK="text_vae") == []  # autoencoders of sentences answer nothing
    assert all(" --task translation " in line for line in evaluated(BEAM="7", TASK="translation"))
    assert len(evaluated(BEAM="7")) == 4
    assert len(evaluated(BEAM="7", LATENT_SAMPLES="9")) == 2
    checkpoint = tmp_path / "a/checkpoint_best.pt"
    checkpoint.touch()
    again = evaluated(BEAM="7", LATENT_SAMPLES="9")
    assert len(again) == 2 and all(str(checkpoint) in line for line in again)
    (tmp_path / "data/dict.src.txt").touch()
    assert len(evaluated(BEAM="7", LATENT_SAMPLES="9")) == 4


def test_evaluate_leaves_out_what_is_not_trained_yet_and_decodes_a_run_once(evaluated, tmp_path):
    (tmp_path / "lr=1/checkpoint_best.pt").unlink()
    decoded = evaluated()
    assert len(decoded) == 2 and all(f"--path {tmp_path}/a/checkpoint_best.pt" in line for line in decoded)
    measured = (tmp_path / "measured").read_text().splitlines()
    assert any(line.startswith(f"score K=5={tmp_path}/a/generate.test.txt --lang") for line in measured)
    assert any(
        line.startswith("report ") and f"B={tmp_path}/lr=1" in line for line in measured
    )  # names what is missing


def test_evaluate_scores_seeds_together_and_systems_from_elsewhere(evaluated, tmp_path):
    (tmp_path / "theirs.jsonl").write_text('{"responses": ["yes"]}\n')
    (tmp_path / "s2").mkdir()
    (tmp_path / "s2/checkpoint_best.pt").touch()
    decoded = evaluated(f"C={tmp_path}/a,{tmp_path}/s2", f"theirs={tmp_path}/theirs.jsonl")
    assert len(decoded) == 6  # the test set and samples, of each folder once
    (line,) = [line for line in (tmp_path / "measured").read_text().splitlines() if line.startswith("score ")]
    name = "generate.test.txt"
    assert f" C={tmp_path}/a/{name},{tmp_path}/s2/{name} theirs={tmp_path}/theirs.jsonl --lang" in line
    assert " --equal-length" in line


def test_evaluate_reads_a_system_as_the_python_commands_do_and_has_its_own_language(evaluated, tmp_path):
    decoded = " ".join(evaluated(LANGUAGE="de_DE:en", SCORE_LANGUAGE="none"))
    assert f"{tmp_path}/a/checkpoint_best.pt" in decoded and f"{tmp_path}/lr=1/checkpoint_best.pt" in decoded
    assert "--lang none" in (tmp_path / "measured").read_text()


def test_evaluate_scores_against_the_text_that_prepare_left(evaluated, tmp_path):
    """Only where it is that of the data: both folders say how they were prepared."""

    def references(**variables):
        evaluated(**variables)
        lines = (tmp_path / "measured").read_text().splitlines()
        found = [line.partition(" --reference ")[2] for line in lines if line.startswith(("score ", "report "))]
        found = [files.removesuffix(" --hypothesis mean") for files in found]
        assert len(found) == 2 and len(set(found)) == 1
        return found[0]

    text = tmp_path / "data.text"
    text.mkdir()
    (text / "test.tgt").write_text("one\n")
    assert references() == ""
    for folder in (tmp_path / "data", text):
        (folder / "prepare.options").write_text("SEED=1\n")
    assert references() == f"{text}/test.tgt"
    (text / "prepare.options").write_text("SEED=2\n")
    assert references() == ""
    mine = text.rename(tmp_path / "my text") / "test.tgt"
    assert references(REFERENCE=str(mine)) == str(mine)
    mine.unlink()
    systems = (f"K=5={tmp_path}/a", f"B={tmp_path}/lr=1")
    refused = bash(ROOT / "scripts/evaluate.sh", tmp_path / "data", tmp_path / "report", *systems, REFERENCE=str(mine))
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error: REFERENCE={mine}: no such file; remedy: ")


def test_first_lines_are_those_of_the_test_split(tmp_path, data_bin):
    from fairseq.data import data_utils

    made = subprocess.run([sys.executable, "-m", "fairseq_latent.data.first_lines", data_bin, "3", tmp_path / "first"])
    assert made.returncode == 0
    for side in ("src", "tgt"):
        ours = data_utils.load_indexed_dataset(str(tmp_path / f"first/test1.src-tgt.{side}"), None)
        theirs = data_utils.load_indexed_dataset(str(data_bin / f"test.src-tgt.{side}"), None)
        assert len(ours) == 3
        assert all((ours[index] == theirs[index]).all() for index in range(3))


def test_evaluate_makes_the_samples_split_where_there_is_none(evaluated, tmp_path):
    stub(
        tmp_path / "bin/python",
        f"""[[ ${{2:-}} == *first_lines ]] || exec {warm.python()} "$@"
        mkdir -p "$5"; touch "$5/dict.src.txt" """,
    )
    (tmp_path / "data/test1.src-tgt.src.idx").unlink()
    decoded = evaluated(SAMPLES="3")
    assert sum(line.startswith(f"{tmp_path}/report/first3 ") for line in decoded) == 2
    assert evaluated(SAMPLES="3") == []


def test_a_run_is_trained_by_one_process_at_a_time(recorded, tmp_path):
    (tmp_path / "run").mkdir()
    with subprocess.Popen(["flock", tmp_path / "run/lock", "sleep", "60"], start_new_session=True) as holder:
        time.sleep(0.5)
        refused = recorded(ROOT / "scripts/recipes/t_cvae.sh")
        os.killpg(holder.pid, 9)
    assert refused.returncode == 2
    assert "is being trained by another process" in refused.stderr
    assert not recorded.arguments.exists()


def test_a_training_knows_that_its_recipe_holds_the_lock(recorded, tmp_path):
    """fairseq-train locks the folder itself, unless this variable says so: compat/turns.py."""
    held = f'printf "%s" "$FAIRSEQ_LATENT_LOCKED" >{tmp_path}/held'
    stub(tmp_path / "bin/fairseq-train", f"{held}; flock -n {tmp_path}/run/lock touch {tmp_path}/free; exit 0")
    assert recorded(ROOT / "scripts/recipes/t_cvae.sh").returncode == 0
    assert (tmp_path / "held").read_text() == str((tmp_path / "run").resolve())
    assert not (tmp_path / "free").exists()


def test_parallel_jobs_end_with_what_they_started(tmp_path):
    """One job fails: the other, and the program it runs, are ended; the same at SIGTERM."""
    naptime = f"97.{os.getpid()}"  # found again by its name
    job = f"""job() {{ [[ $1 != *bad ]] || {{ sleep 1; exit 2; }}; sleep {naptime}; }}
    source {ROOT}/scripts/lib.sh; run_parallel label updates job {tmp_path}/good {tmp_path}/bad"""
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
    failed = subprocess.run(["bash", "-euc", job], capture_output=True, text=True, timeout=30)
    assert failed.returncode == 2
    assert subprocess.run(["pgrep", "-f", f"^sleep {naptime}$"], capture_output=True).returncode == 1
    running = subprocess.Popen(["bash", "-euc", job.replace("/bad", "/good")], stderr=subprocess.DEVNULL)
    time.sleep(1)
    running.terminate()
    assert running.wait(timeout=10) == 143
    assert subprocess.run(["pgrep", "-f", f"^sleep {naptime}$"], capture_output=True).returncode == 1


def test_parallel_jobs_end_where_nobody_reads_their_progress(tmp_path):
    """`... | head`: whoever read is gone, and the jobs must not outlive the script."""
    naptime = f"96.{os.getpid()}"
    job = f"""job() {{ sleep {naptime}; }}; source {ROOT}/scripts/lib.sh
    export PROGRESS_SECONDS=1; JOBS=2; run_parallel label updates job a b"""
    read, write = os.pipe()
    os.close(read)
    running = subprocess.Popen(["bash", "-euc", job], stdout=write, stderr=write)
    os.close(write)
    assert running.wait(timeout=60) == 141
    assert subprocess.run(["pgrep", "-f", f"^sleep {naptime}$"], capture_output=True).returncode == 1


@pytest.mark.parametrize(
    ("variables", "page"),
    [
        ({}, "docs/p.md"),
        ({"RUNS": "r"}, "r/results.md"),
        ({"SEED": "2"}, "r/results.md"),
        ({"PAGE": "x", "RUNS": "r"}, "x"),
    ],
)
def test_results_of_other_settings_have_a_page_of_their_own(variables, page):
    said = bash("-euc", f"source {ROOT}/scripts/lib.sh; choose_page r docs/p.md SEED; echo $page", **variables)
    assert said.stdout == f"{page}\n"


def test_parallel_jobs_say_that_they_finished():
    job = f"source {ROOT}/scripts/lib.sh; run_parallel label responses true /x/a /x/b"
    done = subprocess.run(["bash", "-euc", job], capture_output=True, text=True, timeout=30)
    assert done.stderr == "label  a 0 responses, finished  b 0 responses, finished\n"


def test_as_many_jobs_run_at_once_as_there_are_processors(tmp_path):
    """Not as many as OMP_NUM_THREADS says, which nproc would take for their number; the others wait, and are counted."""
    job = f"""job() {{ touch {tmp_path}/$1; sleep 1; ls {tmp_path} >&2; rm {tmp_path}/$1; }}
    source {ROOT}/scripts/lib.sh; cores; run_parallel label importance job a b c"""
    variables = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(["bash", "-euc", job], capture_output=True, text=True, timeout=30, env=variables)
    assert int(done.stdout) == len(os.sched_getaffinity(0))
    two = subprocess.run(["bash", "-euc", f"JOBS=2; {job}"], capture_output=True, text=True, timeout=30)
    lines = two.stderr.splitlines()
    assert lines[:2] == ["a", "b"]  # what the first job lists at its end
    assert "c" in lines and "label  a in work, finished  b in work, finished  c in work, finished" in lines
    refused = subprocess.run(["bash", "-euc", f"JOBS=0; {job}"], capture_output=True, text=True, timeout=30)
    assert refused.returncode == 2 and "JOBS=0 is no number of jobs; remedy: JOBS=2" in refused.stderr


def test_a_job_that_fails_may_leave_the_others_alone(tmp_path):
    job = f"""job() {{ [[ $1 != a ]] || exit 3; sleep 1; touch {tmp_path}/$1; }}
    source {ROOT}/scripts/lib.sh; JOBS=1; KEEP_GOING=1; run_parallel label updates job a b c"""
    done = subprocess.run(["bash", "-euc", job], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c"]


def table(tmp_path, **variables) -> subprocess.CompletedProcess:
    """paper2.sh, which only prints what it would train."""
    data = tmp_path / "data"
    data.mkdir(exist_ok=True)
    (data / "dict.src.txt").touch()
    own = {"DATA": str(data), "RUNS": str(tmp_path / "a&b"), "DRY_RUN": "1", "AUTOCAST": "none", "JOBS": "1"}
    return bash(ROOT / "scripts/tables/paper2.sh", **own | variables)


def test_the_tables_rows_differ_in_their_losses_alone(tmp_path):
    done = table(tmp_path, ROWS="t_cvae speculative_k5 spacefusion")
    assert done.returncode == 0, done.stderr
    lines = [line.split("&&", 1)[1] for line in done.stdout.splitlines()]
    assert [line.split("--save-dir ")[1].split()[0] for line in lines] == [
        shlex.quote(f"{tmp_path}/a&b/{row}").replace("'", "").replace("&", "\\&")
        for row in ("t_cvae", "speculative_k5", "spacefusion")
    ]
    budgets = {re.sub(r"--(save-dir|log-file|arch|criterion|k) \S+ ?", "", line) for line in lines}
    assert len(budgets) == 1
    assert [re.search(r"--arch (\S+)", line)[1] for line in lines] == ["t_cvae_small"] * 2 + ["t_spacefusion_small"]


def test_the_tables_size_and_rows_are_checked(tmp_path):
    assert "--arch t_cvae " in table(tmp_path, ROWS="t_cvae", SIZE="base").stdout
    for variables in ({"SIZE": "huge"}, {"ROWS": "nonsense"}, {"DATA": str(tmp_path)}):
        refused = table(tmp_path, **variables)
        assert refused.returncode == 2 and refused.stderr.startswith("error: ") and "remedy" in refused.stderr


def test_no_script_names_a_path_of_one_machine():
    for script in (ROOT / "scripts").rglob("*.sh"):
        lines = script.read_text().splitlines()[1:]
        assert not re.search(r"(?:^|[\s=:])/(?!dev/null|its/python)\w", "\n".join(lines)), script


def test_one_name_keeps_the_scripts_out_of_the_venv(tmp_path):
    """The setup that quickstart.sh and test.sh start looks for Python on PATH, not in .venv."""
    stub(tmp_path / "bin/python", "echo 2.7")
    path = f"{tmp_path}/bin{os.pathsep}{PATH}"
    for command, flag in (
        ("setup", []),
        ("test", []),
        ("test", ["--no-venv"]),
        ("quickstart", ["--no-venv"]),
        ("quickstart", []),
    ):
        variable = "" if flag else "1"
        result = bash(ROOT / f"scripts/{command}.sh", *flag, PATH=path, FAIRSEQ_LATENT_NO_VENV=variable)
        assert result.returncode == 2, (command, flag)
        assert f"{tmp_path}/bin/python is Python 2.7" in result.stderr, (command, flag)


def test_smoke_reads_gzipped_conversations(conversations, tmp_path):
    """As far as prepare.sh, which is stopped."""
    zipped = tmp_path / "my.jsonl.gz"
    zipped.write_bytes(gzip.compress(conversations.read_bytes()))
    stub(tmp_path / "bin/fairseq-preprocess", "exit 1")
    copy = tmp_path / "copy/scripts"
    copy.mkdir(parents=True)
    for script in ("quickstart", "prepare", "lib"):
        (copy / f"{script}.sh").symlink_to(ROOT / f"scripts/{script}.sh")
    stub(copy / "setup.sh", "true")
    path = f"{tmp_path}/bin{os.pathsep}{PATH}"
    options = ("--smoke", "--data", zipped, "--out", tmp_path / "out")
    result = bash(copy / "quickstart.sh", *options, PATH=path, PYTHONPATH=str(ROOT), VALID="0.2", TEST="0.2")
    assert "fairseq-preprocess failed" in result.stderr, result.stderr
    (folder,) = (tmp_path / "out/runs").iterdir()
    assert re.fullmatch(r"my-[0-9a-f]{8}-smoke", folder.name)
    assert (folder / "few.jsonl").read_text() == conversations.read_text()


def test_scripts_refuse_what_they_cannot_do(tmp_path):
    for command in (
        ("scripts/quickstart.sh", "--nonsense"),
        ("scripts/quickstart.sh", "--lang", "tlh"),
        ("scripts/quickstart.sh", "--data"),
        ("scripts/quickstart.sh", "--data", ""),
        ("scripts/quickstart.sh", "--out"),
        ("scripts/quickstart.sh", "--lang"),
        ("scripts/setup.sh", "--nonsense"),
        ("scripts/prepare.sh", "none.jsonl", tmp_path / "bin"),
        ("scripts/prepare.sh", __file__, tmp_path / "bin", "one-too-many"),
        ("scripts/evaluate.sh", "data", tmp_path / "report", "no-equals-sign"),
        ("scripts/evaluate.sh", "data", tmp_path / "report", f"a={tmp_path}"),
    ):
        result = bash(ROOT / command[0], *command[1:])
        assert result.returncode == 2, command
        assert result.stderr.startswith("error: "), result.stderr
    assert list(tmp_path.iterdir()) == []
