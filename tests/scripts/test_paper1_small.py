"""scripts/tables/paper1_small.sh: one GPT-2 that all rows start from, rows by their recipes, and going on where it was."""

import hashlib
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from fairseq_latent.evaluation.analysis.sweep import Point, Sweep, as_json

from .stand_ins import VALUE, path_with, run_table, the_real, trains

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/tables/paper1_small.sh"
DIFFERENCES = {  # what makes a row
    "full": "--criterion podi_elbo --podi-weight 1 --podi-target 0.15 --podi-form per_dim",
    "no_podi": "--criterion elbo",
    "no_latents": "--no-latents --symbols-from end --criterion elbo",
    "full_scaled": "--criterion podi_elbo --podi-weight 1 --podi-target 0.15 --podi-form per_dim --podi-form auto",
    "full_released": "--criterion podi_elbo --podi-weight 1 --podi-target 0.15 --podi-form per_dim --loss-scale released",
    "full_best5": "--criterion podi_elbo --podi-weight 1 --podi-target 0.15 --podi-form per_dim --k 5",
}


def table(tmp_path, *arguments, **variables) -> subprocess.CompletedProcess:
    own = {name.upper(): str(tmp_path / name) for name in ("runs", "data", "chat")}
    own |= {"PAGE": str(tmp_path / "docs/page.md"), "VECTORS": str(tmp_path / "own.vec"), "MAX_UPDATE": "8"}
    return run_table(SCRIPT, *arguments, **own | variables)


@pytest.fixture
def prepared(tmp_path):
    """Folders that look prepared, and word vectors."""
    for name in ("data", "chat"):
        (tmp_path / name).mkdir()
        for file in ("dict.src.txt", "test.src-tgt.src.idx"):
            (tmp_path / name / file).touch()
    (tmp_path / "own.vec").write_text("1 2\ntea 1 0\n")
    return tmp_path


def test_rows_differ_in_their_latents_and_losses_alone(prepared):
    from fairseq import options

    done = table(prepared, ROWS=" ".join(DIFFERENCES), DRY_RUN="1", JOBS="1")
    assert done.returncode == 0, done.stderr
    rest, found = set(), {}
    chat, convert, *rows = done.stdout.splitlines()
    assert f"--save-dir {prepared}/runs/chat " in chat and "--no-latents" in chat and "--gpt2-path" not in chat
    assert convert.split() == [
        *("fairseq-latent", "convert", f"{prepared}/runs/chat/checkpoint_last.pt", f"{prepared}/runs/gpt2"),
        *("--data", f"{prepared}/chat"),
    ]
    assert not (prepared / "runs").exists()
    for line in rows:
        words = shlex.split(line.split("&&", 1)[1])
        args = options.parse_args_and_arch(options.get_training_parser(), words[1:])  # real parser, real dataclasses
        assert (args.arch, args.embed_dim, args.gpt2_path) == ("persona_cvae_gpt2_tiny", 192, f"{prepared}/runs/gpt2")
        assert not getattr(args, "freeze_embeddings", False)
        assert 0 < args.save_interval_updates < 630  # a row that was stopped goes on from within its first epoch, too
        row = Path(words[words.index("--save-dir") + 1]).name
        found[row] = words
        line = line.replace(f"/runs/{row}", "/runs/ROW")
        for words in re.split(" (?=--)", DIFFERENCES[row]):
            assert f" {words} " in line, line
            line = line.replace(f" {words} ", " ")
        rest.add(" ".join(line.split()))
    assert set(found) == set(DIFFERENCES) and len(rest) == 1


def test_rows_of_systems_that_see_no_profile(prepared):
    """By their recipes, at the small size, from nothing; the others' sizes are none of theirs."""
    from fairseq import options

    names = ("hred", "vhred", "rnn_cvae")
    done = table(prepared, ROWS=" ".join(names), DRY_RUN="1", JOBS="1")
    assert done.returncode == 0, done.stderr
    for name, line in zip(names, done.stdout.splitlines()[2:], strict=True):
        words = shlex.split(line.split("&&", 1)[1])
        args = options.parse_args_and_arch(options.get_training_parser(), words[1:])
        assert (args.arch, args.max_update, args.batch_size) == (f"{name}_small", 8, 32)
        assert args.best_checkpoint_metric == "prior_ppl" and f"--save-dir {prepared}/runs/{name} " in line


def test_rows_of_other_language_models(prepared):
    """By their recipes, from the GPT-2 that the persona model starts from."""
    from fairseq import options

    done = table(prepared, ROWS="dialogpt transfertransfo", DRY_RUN="1", JOBS="1")
    assert done.returncode == 0, done.stderr
    for name, line in zip(("dialogpt", "transfertransfo"), done.stdout.splitlines()[2:], strict=True):
        words = shlex.split(line.split("&&", 1)[1])
        args = options.parse_args_and_arch(options.get_training_parser(), words[1:])
        assert (args.arch, args.max_update, args.batch_size) == (f"{name}_tiny", 8, 32)
        assert args.update_freq == [1] and args.gpt2_path == f"{prepared}/runs/gpt2"


@pytest.fixture
def programs_of_ours(prepared):
    """Run the script with programs that leave what the real ones do; gives (result, what they were asked)."""
    asked = prepared / "asked"
    log = '{"num_updates": "4", "kl": "0.5", "kl_weight": "1", "wall": "36"}'
    generate = f"""echo "generate $*" >>{asked}; echo "H-0 -1 tea" """
    numbers = '"kl": 2.5, "au": 3, "mi": 1.25, "rec_ppl": 90.0, "elbo_ppl": 101.5, "sentences": 21, "tokens": 130'
    scores = (
        '{"rows": [{"name": "latents and L_Po-di", "scores": {"F1": {"value": 12.5, "signature": "", "extra": {}}}}]}'
    )
    purity = '"purity": {"value": 0.5, "shuffled": 0.2, "points": 4}, "untrained": {"value": 0.3}'
    perception = f'{{{purity}, "profiles": 6, "signature": "p"}}'
    points = (Point(None, 1, 0.1, 0.2, 5.0), Point(0.0, 1, 0.1, 0.2, 5.0))
    sweep = as_json(Sweep(points, Point(None, 0, 0.1, 0.2, 5.0), "sweep", 0.5))
    ours = f"""{VALUE}
        [[ $1 == table ]] || echo "$*" >>{asked}
        case $1 in
            convert) mkdir "$3"; touch "$3/config.json" ;;
            latents) echo '{{{numbers}, "fader_kl": 0.5, "signature": "seed:1"}}' ;;
            score) echo '{scores}' ;;
            sweep) echo '{sweep}'; touch "$(value --plot "$@")" ;;
            plot) file=$(value --out "$@"); touch "$file"; echo purity; echo '{perception}' >"${{file%.png}}.json" ;;
            *) {the_real()} ;;
        esac"""
    path = path_with(prepared, train=trains(asked, log, "last", "best"), generate=generate, latent=ours)

    def run(**variables):
        asked.unlink(missing_ok=True)
        done = table(prepared, **{"PATH": path, "JOBS": "1"} | variables)
        lines = asked.read_text().splitlines() if asked.exists() else []
        return done, [f"{re.search(r'/runs/(?!gpt2)([a-z_0-9]+)', line)[1]} {line.split()[0]}" for line in lines]

    return run


def test_rows_start_from_one_model_are_measured_and_not_again(programs_of_ours, prepared):
    rows = "full no_latents"
    done, asked = programs_of_ours(ROWS=rows)
    assert done.returncode == 0, done.stderr
    assert asked == [
        "chat train", "chat convert", "full train", "no_latents train",
        *(f"full {what}" for what in ("generate", "latents", "latents", "sweep", "plot")),
        *(f"no_latents {what}" for what in ("generate", "latents", "latents")), "full score",
    ]  # fmt: skip
    page = (prepared / "docs/page.md").read_text(encoding="utf-8")
    assert "| 12.50 " in page and "![latents and L_Po-di](pictures/page_full_sweep.png)" in page
    assert (prepared / "docs/pictures/page_full_perception.png").is_file()
    assert len((prepared / "docs/page.csv").read_text().splitlines()) == 3
    assert programs_of_ours(ROWS=rows)[1] == []
    (prepared / "docs/page.md").unlink()
    assert programs_of_ours(ROWS=rows, SHOW="1")[1] == []
    assert (prepared / "docs/page.md").read_text(encoding="utf-8") == page
    refused, asked = programs_of_ours(ROWS="full", LR="1e-2")
    assert refused.returncode == 2 and "some rows failed" in refused.stderr and asked == []


def test_a_row_that_fails_leaves_the_others(programs_of_ours, prepared):
    done, asked = programs_of_ours(ROWS="no_podi no_latents", FAIL="/no_podi")
    assert done.returncode == 2 and "some rows failed" in done.stderr and "no_latents generate" in asked
    assert "Not finished yet: latents, no L_Po-di (not begun)" in (prepared / "docs/page.md").read_text(
        encoding="utf-8"
    )
    done, asked = programs_of_ours(ROWS="no_podi no_latents")
    assert done.returncode == 0 and asked[0] == "no_podi train" and "no_latents train" not in asked


def test_data_of_other_settings(programs_of_ours, prepared):
    """What was prepared before is not taken for what is asked for now."""
    vectors = hashlib.sha256((prepared / "own.vec").read_bytes()).hexdigest()
    (prepared / "chat/prepare.options").write_text("VOCABULARY=5000\nSEED=1\n")
    (prepared / "data/prepare.options").write_text(f"WORD_VECTORS={vectors}\n")
    assert programs_of_ours(ROWS="no_latents", VOCABULARY="5000")[0].returncode == 0
    (prepared / "other.vec").write_text("1 2\nsea 1 0\n")
    for variables, said in (
        ({"VOCABULARY": "8000"}, f"{prepared}/chat was prepared with another VOCABULARY; remedy: CHAT="),
        (
            {"VECTORS": str(prepared / "other.vec")},
            f"{prepared}/data was prepared with another WORD_VECTORS; remedy: DATA=",
        ),
    ):
        refused, asked = programs_of_ours(ROWS="no_latents", **variables)
        assert refused.returncode == 2 and said in refused.stderr and asked == []


def test_what_it_cannot_do_is_one_line(prepared):
    (prepared / "data/dict.src.txt").unlink()
    for variables, said in (
        ({"ROWS": "nonsense"}, "is no row"),
        ({"VECTORS": ""}, "VECTORS is not set"),
        ({"VECTORS": "none.vec"}, "no such file"),
        ({}, "is not prepared"),
    ):
        refused = table(prepared, **variables)
        (line,) = [line for line in refused.stderr.splitlines() if line.startswith("error: ")]
        assert refused.returncode == 2 and said in line and "remedy: " in line
