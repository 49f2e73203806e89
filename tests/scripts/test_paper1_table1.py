"""scripts/tables/paper1_table1.sh: one budget for all, records that are never made again, the page from records alone."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from fairseq_latent.evaluation.metrics.dialogues.sums import as_json as sums_as_json
from fairseq_latent.evaluation.metrics.dialogues.sums import by_dialogue
from fairseq_latent.evaluation.reporting.published_results import CONVAI2
from fairseq_latent.evaluation.reporting.records.record import read_record

from .stand_ins import VALUE, path_with, run_table, the_real, trains

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/tables/paper1_table1.sh"
ON_A_LANGUAGE_MODEL = {
    "dialogpt": ("dialogpt", "elbo"),
    "transfertransfo": ("transfertransfo", "double_heads"),
    "paper": ("persona_cvae_gpt2", "podi_elbo"),
    "ours": ("persona_cvae_gpt2", "elbo"),
    "own": ("persona_cvae_gpt2", "elbo"),
    "p2bot": ("p2bot_transmitter", "double_heads"),
}
FROM_NOTHING = {"hred": "hred_small", "cvae": "rnn_cvae_small"}


def table(tmp_path, *arguments, **variables) -> subprocess.CompletedProcess:
    own = {name.upper(): str(tmp_path / name) for name in ("runs", "records", "data")}
    own |= {"PAGE": str(tmp_path / "page.md"), "VECTORS": str(tmp_path / "own.vec")}
    return run_table(SCRIPT, *arguments, **own | variables)


@pytest.fixture
def prepared(tmp_path):
    """A folder that looks prepared, with its text, and word vectors."""
    for name in ("data", "data.text"):
        (tmp_path / name).mkdir()
    for file in ("data/dict.src.txt", "data/test.src-tgt.src.idx", "data.text/test.tgt"):
        (tmp_path / file).touch()
    (tmp_path / "data.text/test.ids").write_text("d0:1\nd1:1\n")
    (tmp_path / "own.vec").write_text("1 2\ntea 1 0\n")
    return tmp_path


def commands(done: subprocess.CompletedProcess) -> dict[str, list[str]]:
    """Run, or stage of one -> the words of its training."""
    assert done.returncode == 0, done.stderr
    found = {}
    for line in done.stdout.splitlines():
        words = shlex.split(line.split("&&", 1)[1])
        found[words[words.index("--save-dir") + 1].partition("/convai2/")[2]] = words
    return found


@pytest.fixture(scope="module")
def dry(tmp_path_factory):
    return commands(table(tmp_path_factory.mktemp("dry"), DRY_RUN="1", LM_PATH="smollm2", SEEDS="2", VECTORS=""))


def test_fairseq_takes_every_systems_flags(dry):
    """Real parser, real dataclasses; the same responses, blocks and learning rate for all on a language model."""
    from fairseq import options

    stages = {"p2bot.2/transmitter", "p2bot.2/receiver", "p2bot.2"}
    assert set(dry) == {f"{name}.2" for name in (*ON_A_LANGUAGE_MODEL, *FROM_NOTHING)} | stages
    for name, words in dry.items():
        args = options.parse_args_and_arch(options.get_training_parser(), words[1:])
        system, seen = name.partition(".")[0], args.batch_size * args.update_freq[0] * args.max_update
        assert args.seed == 2
        if system in FROM_NOTHING:
            assert (args.arch, args.patience) == (FROM_NOTHING[system], 3) and not getattr(
                args, "encoder_embed_path", None
            )
        elif name in ("p2bot.2/receiver", "p2bot.2"):
            continue
        else:
            assert (args.arch, args.criterion) == ON_A_LANGUAGE_MODEL[system]
            assert seen == 16 * 2 * 60 and args.lr == [2e-4]
            assert args.gpt2_path == "smollm2" and args.freeze_embeddings and args.train_blocks == 15
    assert dry["p2bot.2"][dry["p2bot.2"].index("--reward-lm") + 1] == "smollm2"


def test_small_models_from_nothing_need_no_weights(prepared):
    words = commands(table(prepared, DRY_RUN="1", LM_PATH="none", SYSTEMS="dialogpt ours"))
    for line in words.values():
        assert "--gpt2-path" not in line and "--train-blocks" not in line and "--embed-dim" in line
    assert words["dialogpt.1"][words["dialogpt.1"].index("--arch") + 1] == "dialogpt_tiny"


def test_systems_of_the_paper_have_its_names():
    text = SCRIPT.read_text(encoding="utf-8")
    rows = re.search(r"^rows=\(([^)]*)\)", text, re.MULTILINE)[1].split()
    function = re.search(r"^heading\(\) \{.*?^\}", text, re.MULTILINE | re.DOTALL)[0]
    loop = f"{function}\nfor row in {' '.join(rows)}; do heading $row; done"
    said = subprocess.run(["bash", "-c", loop], capture_output=True, text=True).stdout.splitlines()
    assert len(said) == len(rows) == 8 and set(CONVAI2) <= set(said)


@pytest.fixture
def programs_of_ours(prepared):
    """Run the script with programs that leave what the real ones do; gives (result, what they were asked)."""
    asked = prepared / "asked"
    log = '{"num_updates": "4", "kl": "0.5", "wall": "36"}'
    numbers = (
        '"kl": 0.0, "au": 0, "mi": 0.0, "rec_ppl": 90.0, "elbo_ppl": 90.0, "sentences": 2, "tokens": 13, "words": 9'
    )
    row = '"scores": {"F1": {"value": 12.5, "signature": "f1", "extra": {}}}'
    scores = f'{{"rows": [{{"name": "Reference", {row}}}, {{"name": "s", {row}}}]}}'
    sums = by_dialogue(["d0", "d1"], {"F1": ([10.0, 15.0], [1, 1])})
    (prepared / "two.json").write_text(sums_as_json({"Reference": sums, "s": sums}))
    (prepared / "one.json").write_text(
        sums_as_json({"s": by_dialogue(["d0", "d1"], {"rec_ppl": ([9.0, 9.5], [2, 2])})})
    )
    ranking = '[{"Hits@1": 50.0, "Hits@5": 100.0, "MRR": 0.75, "signature": "rank"}]'
    ours = f"""{VALUE}
        [[ $1 == compare || $1 == record ]] || echo "$*" >>{asked}
        case $1 in
            latents) cp {prepared}/one.json "$(value --by-dialogue "$@")"; echo '{{{numbers}, "signature": "seed:1"}}' ;;
            score) cp {prepared}/two.json "$(value --by-dialogue "$@")"; echo '{scores}' ;;
            rank) cp {prepared}/one.json "$(value --by-dialogue "$@")"; echo '{ranking}' ;;
            *) {the_real()} ;;
        esac"""
    generate = f'echo "generate $*" >>{asked}; echo "H-0 -1 tea"'
    path = path_with(prepared, train=trains(asked, log, "last", "best"), generate=generate, latent=ours)

    def run(**variables):
        asked.unlink(missing_ok=True)
        done = table(prepared, **{"PATH": path, "LM_PATH": "none", "ENCODER": "none"} | variables)
        lines = asked.read_text().splitlines() if asked.exists() else []
        return done, [f"{re.search(r'/convai2/([a-z0-9.]+)', line)[1]} {line.split()[0]}" for line in lines]

    return run


def test_each_system_leaves_a_record_and_is_not_made_again(programs_of_ours, prepared):
    done, asked = programs_of_ours(SYSTEMS="dialogpt hred", SEEDS="1 2")
    assert done.returncode == 0, done.stderr
    each = ("train", "generate", "score", "latents", "rank")
    runs = [f"{system}.{seed}" for seed in (1, 2) for system in ("dialogpt", "hred")]
    assert asked == [f"{run} {what}" for run in runs for what in each]
    assert sorted(path.name for path in (prepared / "records/convai2").iterdir()) == sorted(
        f"{run}.json" for run in runs
    )
    found = read_record(prepared / "records/convai2/hred.2.json")
    assert found.again.endswith(
        "LM_PATH=none ENCODER=none SYSTEMS=hred SEEDS=2 bash scripts/tables/paper1_table1.sh FILE"
    )
    assert found.seed == 2 and found.trainings[0].updates == 4 and found.trainings[0].cpu_hours is not None
    assert not list((prepared / "runs").rglob("checkpoint_last.pt")) and list(
        (prepared / "runs").rglob("checkpoint_best.pt")
    )
    page = (prepared / "page.md").read_text(encoding="utf-8")
    assert "Not there yet: CVAE; TransferTransfo; P²BOT; the paper's model; ours; ours, own profile." in page
    assert "12.50" in page and "50.00" in page and "21.095" in page
    assert programs_of_ours(SYSTEMS="dialogpt hred", SEEDS="1 2")[1] == []
    (prepared / "page.md").unlink()
    for folder in ("runs", "data", "data.text"):
        (prepared / folder).rename(prepared / f"gone-{folder}")
    shown, asked = programs_of_ours(SHOW="1", VECTORS="")
    assert shown.returncode == 0 and asked == []
    assert (prepared / "page.md").read_text(encoding="utf-8") == page


def test_a_system_that_fails_leaves_the_others(programs_of_ours, prepared):
    done, asked = programs_of_ours(SYSTEMS="dialogpt hred", FAIL="/dialogpt.1")
    assert done.returncode == 2 and "some systems failed" in done.stderr and "hred.1 rank" in asked
    assert [path.name for path in (prepared / "records/convai2").iterdir()] == ["hred.1.json"]
    done, asked = programs_of_ours(SYSTEMS="dialogpt hred")
    assert done.returncode == 0 and asked[0] == "dialogpt.1 train" and "hred.1 train" not in asked


def test_a_record_cut_short_ends_in_one_line(programs_of_ours, prepared):
    programs_of_ours(SYSTEMS="hred")
    record = prepared / "records/convai2/hred.1.json"
    record.write_text(record.read_text()[:400])
    refused, asked = programs_of_ours(SYSTEMS="hred")
    assert refused.returncode == 2 and asked == []
    assert f"{record}: this is no record of a training; remedy: remove it" in refused.stderr
    record.unlink()
    done, asked = programs_of_ours(SYSTEMS="hred")
    assert done.returncode == 0 and asked == [] and record.is_file()  # the run is still there


def test_what_it_cannot_do_is_one_line(prepared):
    (prepared / "data/dict.src.txt").unlink()
    for variables, said in (
        ({"SYSTEMS": "nonsense"}, "SYSTEMS: nonsense is no system; remedy: hred"),
        ({"CORPUS": "nonsense"}, "CORPUS=nonsense is unknown"),
        ({"SEEDS": "one"}, "SEEDS: one is no seed"),
        ({"VECTORS": ""}, "VECTORS is not set"),
        ({"VECTORS": "none.vec"}, "no such file"),
        ({}, "is not prepared"),
    ):
        refused = table(prepared, **{"LM_PATH": "none", "ENCODER": "none"} | variables)
        (line,) = [line for line in refused.stderr.splitlines() if line.startswith("error: ")]
        assert refused.returncode == 2 and said in line and "remedy: " in line
    assert not (prepared / "records").exists()


def test_the_committed_page_is_made_of_the_committed_records(tmp_path):
    """SHOW=1 changes nothing about what is committed."""
    records, page = ROOT / "docs/table1", ROOT / "docs/results_table1.md"
    if not list(records.glob("convai2/*.json")):
        pytest.skip("no records are committed yet")
    (tmp_path / "page.md").write_text(page.read_text(encoding="utf-8"), encoding="utf-8")
    for corpus in sorted(folder.name for folder in records.iterdir()):
        shown = table(tmp_path, SHOW="1", CORPUS=corpus, RECORDS=str(records))
        assert shown.returncode == 0, shown.stderr
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == page.read_text(encoding="utf-8")
