"""The report of trainings on data with personas: columns, findings, pictures and the table of Cho et al. (2022)."""

import json
import shutil

import pytest

from fairseq_latent.cli import main
from fairseq_latent.evaluation.analysis.sweep import Point, Sweep, as_json
from fairseq_latent.evaluation.reporting import collect
from fairseq_latent.human_evaluation.results.tables import FORMAT
from tests.helpers import programs
from tests.helpers.report_runs import TEST, log, write_measured

from .test_report import Page

ANSWERS = ["i like tea .", "no .", "do you like dogs ?"]
LATENTS = {
    "kl": 1.5, "au": 3, "mi": 0.9, "prior_ppl": 30.0, "prior_word_ppl": 40.0, "rec_word_ppl": 39.0, "fader_kl": 0.1,
    "worth": 0.5, "worth_low": -0.25, "worth_high": 1.25, "worth_over_prior": 0.75, "dialogues": 17,
}  # fmt: skip
WITHOUT = {"kl": 0.0, "mi": 0.0, "prior_ppl": 33.0, "prior_word_ppl": 44.0, "rec_word_ppl": 44.0}
VECTORS = "4 2\ntea 1 0\ndogs 0 1\nlike 1 1\ncats 0.5 1\n"


@pytest.fixture(scope="module")
def runs(tmp_path_factory, persona_bin, persona_run):
    """One with latents and one without, measured, with three responses per context, a sweep and a picture of profiles."""
    home = tmp_path_factory.mktemp("runs")
    for name, latents in (("full", LATENTS), ("plain", WITHOUT)):
        folder = write_measured(home / name, ANSWERS, **latents)
        lines = (folder / "generate.test.txt").read_text().splitlines()
        lines = [line for line in lines for _ in range(3 if line[:2] in ("H-", "D-") else 1)]
        (folder / "generate.test.txt").write_text("\n".join(lines) + "\n")
    shutil.copy(persona_run[0], home / "full/checkpoint_best.pt")
    flags = ("--task", "persona_dialogue", "--max-update", "1", "--no-latents", "--disable-validation")
    programs.fit(persona_bin, home / "trained", *flags, arch="persona_cvae_gpt2_tiny")
    shutil.copy(home / "trained/checkpoint_last.pt", home / "plain/checkpoint_best.pt")
    points = tuple(Point(fader, 1, 0.4, 0.3, 10.0 + (fader or 0)) for fader in (None, 0.0, 0.5, 1.0))
    (home / "full/sweep.json").write_text(as_json(Sweep(points, Point(None, 0, 0.5, 0.3, 9.0), "sweep", 0.25)))
    (home / "full/perception.png").write_bytes(b"\x89PNG\r\n\x1a\n...")
    purity = {"purity": {"value": 0.5, "shuffled": 0.25, "points": 9}, "untrained": {"value": 0.375}}
    (home / "full/perception.json").write_text(json.dumps({**purity, "profiles": 12, "signature": "perception"}))
    (home / "vectors.txt").write_text(VECTORS)
    (home / "profiles.txt").write_text("i have dogs\n" * (len(TEST) - 1) + "i drink tea <eot> i sing\n")
    return home


def report(runs, data, out, *flags):
    words = ["report", f"full={runs}/full", f"plain={runs}/plain", "--data", str(data), "--out", str(out), "--cpu"]
    return main([*words, "--bootstrap", "50", "--profiles", f"{runs}/profiles.txt", *flags])


@pytest.fixture(scope="module")
def pages(runs, persona_bin):
    assert report(runs, persona_bin, runs / "page", "--vectors", f"{runs}/vectors.txt") == 0
    return tuple((runs / f"page/report.{kind}").read_text(encoding="utf-8") for kind in ("html", "md"))


def test_columns_are_those_of_personas(pages):
    rows = {row[0]: row[1:] for row in Page(pages[0]).tables["Results"]}
    assert rows["system"] == [
        *("prior PPL/word", "rec PPL/word", "worth", "over prior", "KL", "fader KL", "AU", "MI"),
        *("Distinct-1", "Distinct-2", "P.Distance", "to others", "F1", "length", "dup."),
    ]
    assert rows["full"][:8] == ["40.00", "39.00", "0.500±0.750", "0.750", "1.50", "0.100", "3", "0.90"]
    assert rows["plain"][:8] == ["44.00", *["–"] * 7]
    assert rows["Reference"][:8] == ["–"] * 8
    assert "–" not in rows["full"][8:]


def test_the_page_explains_profiles_and_not_a_posterior_that_sees_the_response(pages):
    for page in pages:
        assert "comes from q(Zp|P), which reads a profile" in page.replace("\n", " ").replace("\\", "")
        assert "sees the response" not in page
        assert "full: KL(Zp) 1.50 nats" in page.replace("\\", "")
        assert "within the noise" in page
        assert "plain: KL" not in page
        assert "None" not in page
    assert "A’s profile, which no system reads: i have dogs" in pages[0]


def test_beside_stands_the_persona_papers_table(pages):
    tables = Page(pages[0]).tables
    rows = {row[0]: row[1:] for row in tables["Beside the paper's numbers"]}
    assert rows["system"][:2] == ["PPL", "PPL reported"]
    assert rows["full"][0] == "30.000"
    assert rows["full"][1::2][:4] == ["15.671", "0.167", "0.538", "0.401"]
    assert rows["full"][-1] == "persona CVAE + L_Po-di"
    assert rows["plain"][1] == "–"
    assert rows["plain"][-1] == "language model without latents: no row of the paper"
    assert ["P²BOT", "16.620", "0.083", "0.268", "0.370"] in tables["Cho et al. (2022), Table 1, ConvAI2"]
    assert not any("Sato" in label for label in tables)


def test_pictures_are_the_fader_and_the_profiles(pages, runs):
    assert sorted(path.name for path in (runs / "page").glob("*.png")) == [
        *("full.perception.png", "full.sweep.png", "kl.png", "loss.png")
    ]
    assert "50% are about the same, 38% with random weights" in pages[0]


def test_without_vectors_the_page_goes_without_p_distance(runs, persona_bin, tmp_path):
    broken = tmp_path / "full"
    shutil.copytree(runs / "full", broken)
    (broken / "perception.png").write_bytes(b"<svg onload=alert(1)>")
    (broken / "sweep.json").write_text("{}")
    words = ["report", f"full={broken}", "--data", str(persona_bin), "--out", str(tmp_path / "page"), "--cpu"]
    assert main([*words, "--bootstrap", "0"]) == 0
    page = (tmp_path / "page/report.html").read_text(encoding="utf-8")
    assert "P.Distance" not in "".join(row[0] for row in Page(page).tables["Results"])
    assert "perception.png: no PNG" in page
    assert "this is no sweep" in page
    assert "onload" not in page


@pytest.fixture(scope="module")
def mixed(runs, persona_bin, sentences_bin, tmp_path_factory):
    """(HTML, Markdown, folder) of a page of persona models and an autoencoder of sentences, with scores of before."""
    home = tmp_path_factory.mktemp("mixed")
    flags = (
        "--task",
        "text_vae",
        "--max-update",
        "1",
        "--disable-validation",
        "--kl-schedule",
        "linear",
        "--kl-warmup",
        "1",
    )
    programs.fit(sentences_bin, home / "vae", *flags, arch="gru_vae_tiny")
    (home / "vae/checkpoint_last.pt").rename(home / "vae/checkpoint_best.pt")
    (home / "vae/train.log").write_text(log(2.0))
    for split in ("valid", "test"):
        found = {"kl": 3.5, "au": 2, "mi": 1.25, "rec_ppl": 80.0, "elbo_ppl": 95.0, "sentences": 21, "tokens": 160}
        (home / f"vae/latents.{split}.json").write_text(json.dumps({**found, "signature": f"split:{split}"}))
    ranking = {"Hits@1": 37.5, "Hits@1_low": 30.0, "Hits@1_high": 45.0}
    ranking |= {f"{name}{end}": 50.0 for name in ("Hits@5", "MRR") for end in ("", "_low", "_high")}
    shutil.copytree(runs / "full", home / "full")
    (home / "full/rank.test.json").write_text(json.dumps([ranking]))
    judged = {
        "format": FORMAT, "protocol": "sensibleness-specificity", "criteria": ["sensibleness"], "decimals": 2,
        "means": {"full": {"sensibleness": {"value": 3.25, "interval": [3.0, 3.5]}}}, "agreement": [],
    }  # fmt: skip
    (home / "agreement.json").write_text(json.dumps(judged))
    latents = home / "full/latents.test.json"
    worth = {"context_worth": 0.25, "context_worth_low": 0.125, "context_worth_high": 0.375}
    latents.write_text(json.dumps(json.loads(latents.read_text()) | worth))
    responses = [f"{name}={home}/{name}/generate.test.txt" for name in ("full",)]
    assert main(["score", *responses, "--bootstrap", "40", "--format", "json", "--out", f"{home}/scores.json"]) == 0
    words = [
        "report",
        f"full={home}/full",
        f"vae={home}/vae",
        "--data",
        str(persona_bin),
        "--out",
        f"{home}/page",
        "--cpu",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collect, "measure_systems", None)  # nothing is measured twice
        assert main([*words, "--scores", f"{home}/scores.json", "--agreement", f"{home}/agreement.json"]) == 0
    return *((home / f"page/report.{kind}").read_text(encoding="utf-8") for kind in ("html", "md")), home


def test_kinds_have_sections_of_their_own(mixed):
    html, markdown, home = mixed
    tables = Page(html).tables
    personas = {row[0]: row[1:] for row in tables["Results (Persona models)"]}
    assert personas["full"][personas["system"].index("Hits@1")] == "37.50±7.50"
    sentences = tables["Results (Autoencoders of sentences)"]
    assert sentences == [
        ["system", *("rec PPL", "elbo PPL", "AU", "KL", "MI")],
        ["vae", "80.00", "95.00", "2", "3.50", "1.25"],
    ]
    beside = {row[0]: row[1:] for row in tables["Beside the paper's numbers (Autoencoders of sentences)"]}
    assert beside["vae"] == ["80.00", "53.56", "2", "3", "3.50", "2.51", "GRU-VAE + linear annealing"]
    assert "Sentences: 120 for training" in html and "sizes of the data" not in html
    said = "vae: KLD 3.50 nats (3.50 on test), MI 1.25 nats, 2 of 8 dimensions active. The posterior has not collapsed"
    for text in (html, markdown):
        assert said in text.replace("\\", "") and "nats about the sentence pass" in text
        assert text.index("Persona models") < text.index("Autoencoders of sentences")
    anchors = [value for name, value in Page(html).attributes if name == "id"]
    assert len(anchors) == len(set(anchors))
    assert {"kl.png", "sentences.kl.png"} <= {path.name for path in (home / "page").glob("*.png")}


def test_how_people_judged_stands_beside_the_papers_numbers(mixed):
    html, markdown, _ = mixed
    rows = Page(html).tables["Judged by people"]
    assert rows[:2] == [["system", "rated", "sensibleness"], ["full", "here", "3.25±0.25"]]
    assert any("Sato et al." in row[1] for row in rows[2:])
    assert markdown.index("## Judged by people") < markdown.index("## How this was measured")


def test_the_page_begins_with_whether_a_system_listens(mixed):
    html, markdown, _ = mixed
    said = "full hardly listens: its own context saves 0.25 ± 0.12 nats per response over a stranger's, and"
    for text in (html.replace("&#39;", "'"), markdown):
        place = text.index("Persona models", text.index("</nav>") if "</nav>" in text else 0)
        assert place < text.index(said) < text.index("Each reads a conversation so far")
        assert "full takes little notice of what was said to it" in text
        assert text.count("listens: its own") == 1  # an autoencoder has no context
    rows = {row[0]: row[1:] for row in Page(html).tables["Results (Persona models)"]}
    assert rows["full"][rows["system"].index("context worth")] == "0.250±0.125"


def test_scores_of_before_are_the_pages(mixed):
    html, _, home = mixed
    scores = {row["name"]: row["scores"] for row in json.loads((home / "scores.json").read_text())["rows"]}
    rows = {row[0]: row[1:] for row in Page(html).tables["Results (Persona models)"]}
    place = rows["system"].index("Distinct-2")
    for name, shown in (("full", "full"), ("Reference", "Reference")):
        assert rows[shown][place].startswith(f"{scores[name]['Distinct-2']['value']:.3f}")
    assert f"--scores {home}/scores.json" in html and scores["full"]["F1"]["signature"] in html
