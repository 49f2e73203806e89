"""The report: two tiny trainings, hand-written logs and responses, and what the page makes of them."""

import html
import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from fairseq_latent.cli import main
from fairseq_latent.errors import InputError
from fairseq_latent.evaluation import findings, score, settings
from fairseq_latent.evaluation.dialogues import spread_contexts, turns
from fairseq_latent.evaluation.report_page import markdown_text
from fairseq_latent.evaluation.run_folder import MADE_BY

from . import corpus, programs

TEST = corpus.pairs(21, seed=2)  # the test split of the shared corpus
SAMPLED = 8
EVIL = "<script>alert('x')</script> & | *b* [l](u)"
LATENTS = {
    "plain": {"kl": 0.02, "au": 0, "mi": 0.01, "rec_ppl": 30.25, "elbo_ppl": 31.5},
    "best of 5": {"kl": 1.96, "au": 4, "mi": 1.5, "rec_ppl": 20.25, "elbo_ppl": 24.5},
}
ANSWERS = {"plain": ["i see .", "i see .", "i see ."], "best of 5": [EVIL, "no , not tea", "why ?"]}


def generated(count, answers):
    """A fairseq-generate file for the first contexts, the last first, as fairseq shuffles."""
    lines = []
    for number in reversed(range(count)):
        source, reference = TEST[number]
        lines += [f"S-{number}\t{source}", f"T-{number}\t{reference}"]
        for answer in answers(number):
            lines += [f"H-{number}\t-1.0\t{answer}", f"D-{number}\t-1.0\t{answer}"]
    return "\n".join([*lines, "Generate test with beam=5: BLEU4 = 1.00, 1.0/1.0/1.0/1.0"]) + "\n"


def log(start):
    """Ten updates and two validations."""
    lines = []
    for update in range(1, 11):
        point = {"kl": start / update, "nll": 60 - update, "rec_ppl": 90 - update, "kl_weight": 1, "wall": 6.5 * update}
        lines.append({"epoch": 1, **{name: str(value) for name, value in point.items()}, "num_updates": str(update)})
        if update % 5 == 0:
            found = {"kl": start / update, "nll": 61 - update, "rec_ppl": 91 - update, "num_updates": update}
            lines.append({"epoch": 1, **{f"valid_{name}": str(value) for name, value in found.items()}})
    return "".join(json.dumps(line) + "\n" for line in lines)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data_bin):
    """Two runs with everything in their folders."""
    pytest.importorskip("openTSNE")
    home = tmp_path_factory.mktemp("runs")
    kinds = {"plain": ("elbo", "1"), "best of 5": ("speculative_elbo", "5")}
    for name, (criterion, k) in kinds.items():
        folder = home / name.replace(" ", "-")
        programs.fit(data_bin, folder, "--k", k, criterion=criterion)
        (folder / "train.log").write_text(log(3.0), encoding="utf-8")
        answers = ANSWERS[name]
        (folder / "generate.test.txt").write_text(generated(21, lambda n, a=answers: [a[n % 3]]), encoding="utf-8")
        (folder / "samples.test1.txt").write_text(generated(SAMPLED, lambda n, a=answers: a), encoding="utf-8")
        for split in ("valid", "test"):
            found = {**LATENTS[name], "sentences": 21, "tokens": 160, "signature": f"split:{split}|seed:1"}
            (folder / f"latents.{split}.json").write_text(json.dumps(found), encoding="utf-8")
    return home


@pytest.fixture
def runs(trained, tmp_path, monkeypatch):
    """A copy that a test may break; the test works beside it."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def report(data, *flags, out="page"):
    systems = ("plain=plain", "best of 5=best-of-5")
    small = ("--prior", "20", "--posterior", "10", "--cpu")
    return main(["report", *systems, "--data", str(data), "--out", str(out), *small, *flags])


@pytest.fixture(scope="module")
def pages(trained, data_bin, tmp_path_factory):
    """(HTML, Markdown, folder) of one report."""
    out = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(trained)
        assert report(data_bin, "--title", "A <b> & C", "--contexts", "4", out=out) == 0
    return *((out / f"report.{kind}").read_text(encoding="utf-8") for kind in ("html", "md")), out


class Page(HTMLParser):
    """Tables as lists of rows of words, and all attributes and tags."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.attributes, self.tags, self.cell = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.cell = ""

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data

    def handle_endtag(self, tag):
        if tag in ("th", "td"):
            self.tables[-1][-1].append(self.cell.strip())
            self.cell = None


def test_the_tables_numbers_are_those_of_score_and_latents(pages, trained):
    files = [f"{name}={trained / name.replace(' ', '-')}/generate.test.txt" for name in LATENTS]
    expected = score.measure_systems(score.read_systems(files))
    rows = {row[0]: row[1:] for row in Page(pages[0]).tables[2]}
    assert rows["system"] == ["BLEU", "dist-1", "dist-2", "KLD", "rec PPL", "elbo PPL", "AU", "MI", "length"]
    for row in expected:
        for name, place, decimals in (("BLEU", 0, 2), ("dist-1", 1, 2), ("dist-2", 2, 2), ("length", 8, 1)):
            value = f"{row.scores[name].value:.{decimals}f}" if name in row.scores else "–"
            assert rows[row.name][place] == value
    assert rows["plain"][3:8] == ["0.02", "30.2", "31.5", "0", "0.01"]
    assert rows["best of 5"][3:8] == ["1.96", "20.2", "24.5", "4", "1.50"]
    assert rows["Reference"][3:8] == ["–"] * 5


def test_budget_and_differences_come_from_logs_and_checkpoints(pages):
    budget, differences = Page(pages[0]).tables[:2]
    # 6.5 s an update, 10 updates: 65 s; TINY_TRAINING writes its checkpoint at update 5.
    assert budget[1][:3] + budget[1][4:] == ["plain", "t_cvae_tiny", "elbo", "10", "update 5", "1 min 5 s"]
    assert differences[1:] == [["--criterion", "elbo", "speculative_elbo"], ["--k", "1", "5"]]
    assert "120 for training" in pages[0]
    assert "21 for validation" in pages[0]


def test_parameters_are_counted_once(trained):
    from fairseq_latent.evaluation import checkpoint

    found = settings.training_settings(trained / "plain" / "checkpoint_best.pt")
    loaded = checkpoint.load(trained / "plain" / "checkpoint_best.pt", found.flag("data"), "test", cpu=True)
    assert found.parameters == sum(parameter.numel() for parameter in loaded.model.parameters())


def test_the_page_is_one_file(pages):
    page = Page(pages[0])
    outside = [value for name, value in page.attributes if name in ("src", "href", "srcset")]
    assert len(outside) == 3
    assert all(value.startswith("data:image/png;base64,") for value in outside)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert "@import" not in pages[0]
    assert not re.search(r"https?://", pages[0])


def test_words_stay_words(pages):
    page, markdown, _ = pages
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; | *b* [l](u)" in page
    assert r"&lt;script&gt;alert('x')&lt;/script&gt; &amp; \| \*b\* \[l\](u)" in markdown
    assert "<script" not in page
    assert "<script" not in markdown
    assert "<title>A &lt;b&gt; &amp; C</title>" in page
    assert markdown.startswith("# A &lt;b&gt; &amp; C\n")
    assert markdown_text("- *a* <b> | [c](d)\n# e") == r"&#8203;- \*a\* &lt;b&gt; \| \[c\](d) \# e"


def test_identical_responses_are_counted(pages):
    page, markdown, _ = pages
    assert page.count("1 distinct of 3") == page.count("3 distinct of 3") == 4
    assert "- i see . **×3**\n" in markdown


def test_pictures_lie_beside_the_markdown(pages):
    _, markdown, out = pages
    names = re.findall(r"!\[[^]]+\]\(([^)]+)\)", markdown)
    assert names == ["kl.png", "loss.png", "latents.png"]
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in names)
    assert sorted(path.name for path in out.iterdir()) == sorted([*names, "report.html", "report.md"])


def test_both_pages_say_what_the_numbers_say(pages):
    for text in (html.unescape(pages[0]), pages[1]):
        assert "plain: KLD 0.02 nats (0.02 on test), MI 0.01 nats, 0 of 8 dimensions active. The posterior has " in text
        assert "collapsed onto the prior: the latent carries next to nothing about the response." in text
        assert "up to 1.96 nats about the response pass through the latent (more than the toss of a coin" in text
        assert "plain: 3 latents give 1.0 different responses to a context on average; in 8 of 8 contexts" in text
        assert "elbo PPL on validation, lowest first: best of 5 24.5, plain 31.5." in text


def test_the_papers_figures_stand_apart(pages):
    published = Page(pages[0]).tables[3]
    assert ["T-CVAE", "0.71", "0.71", "3.55", "0.00"] in published
    assert ["T-CVAE + speculative, K = 5", "0.51", "0.89", "5.48", "1.96"] in published
    assert "<b>not comparable</b>" in pages[0]


def test_same_inputs_same_bytes(pages, runs, data_bin):
    assert report(data_bin, "--title", "A <b> & C", "--contexts", "4") == 0
    for path in pages[2].iterdir():
        assert (runs / "page" / path.name).read_bytes() == path.read_bytes(), path.name


def test_one_system_alone(runs, data_bin):
    arguments = ["--data", str(data_bin), "--out", "page", "--prior", "20", "--posterior", "10", "--cpu"]
    assert main(["report", "plain=plain", *arguments, "--example", "20", "--contexts", "100"]) == 0
    markdown = (runs / "page" / "report.md").read_text(encoding="utf-8")
    assert markdown.count("### Test line") == SAMPLED
    assert "Latents for test line 20" in markdown


def fails(capsys, data, *flags):
    """Exit code 2, one line, no page."""
    assert report(data, *flags) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "remedy: " in err
    return err


@pytest.mark.parametrize("name", MADE_BY)
def test_a_missing_file_is_named_with_the_command_that_makes_it(runs, data_bin, capsys, name):
    (runs / "best-of-5" / name).unlink()
    err = fails(capsys, data_bin)
    assert f"best-of-5/{name} is missing; remedy: fairseq" in err
    assert not (runs / "page").exists()


def test_inputs_that_do_not_fit_together(runs, data_bin, capsys):
    assert "--contexts 0" in fails(capsys, data_bin, "--contexts", "0")
    assert "--example 21: test has no such line; remedy: 0 to 20" in fails(capsys, data_bin, "--example", "21")
    path = runs / "plain" / "latents.valid.json"
    path.write_text('{"kl": 1}', encoding="utf-8")
    assert "these are not the statistics of a latent" in fails(capsys, data_bin)
    shutil.copy(runs / "plain" / "latents.test.json", path)
    samples = runs / "plain" / "samples.test1.txt"
    original = samples.read_text(encoding="utf-8")
    samples.write_text(original.replace("S-3\t", "S-3\tanother "), encoding="utf-8")
    assert "samples.test1.txt of plain: context 3 is not that of the test set" in fails(capsys, data_bin)
    shutil.copy(runs / "plain" / "generate.test.txt", samples)
    assert "answer 21 and 8 contexts" in fails(capsys, data_bin)
    assert not (runs / "page").exists()


def test_turns_alternate_and_the_last_one_is_answered():
    assert turns("hi <eot> hello there<eot>how are you") == (("A", "hi"), ("B", "hello there"), ("A", "how are you"))
    assert turns("one <eou> two") == (("A", "one  /  two"),)
    assert [speaker for speaker, _ in turns("a<eot>b")] == ["B", "A"]


def test_contexts_lie_at_equal_distances():
    assert spread_contexts(48, 4) == [0, 12, 24, 36]
    assert spread_contexts(3, 8) == [0, 1, 2]


def test_collapse_is_read_from_the_numbers():
    def says(kl, au):
        statistics = findings.LatentStatistics(kl, au, 0.1, 10, 11, 20, 100, "")
        system = findings.MeasuredSystem(
            findings.RunFolder("x", None), None, statistics, statistics, None,
            settings.TrainingSettings("a", "c", {"latent_dim": "8"}, 5, 1.0, 10), [],
        )  # fmt: skip
        return findings.latent(system)

    assert "has collapsed" in says(kl=0.1, au=0)
    assert "lies apart from the prior, but" in says(kl=3.0, au=0)
    assert "has not collapsed" in says(kl=0.3, au=2)


def test_flags_that_name_places_are_no_difference(trained):
    one, other = (settings.training_settings(trained / name / "checkpoint_best.pt") for name in ("plain", "best-of-5"))
    assert settings.differences([one, one]) == []
    assert [flag for flag, _ in settings.differences([one, other])] == ["--criterion", "--k"]
    assert one.flag("no_such_flag") == "–"


def test_latent_statistics_of_another_file(tmp_path):
    from fairseq_latent.evaluation.latents import read_statistics

    (tmp_path / "x.json").write_text("nothing", encoding="utf-8")
    with pytest.raises(InputError, match="remedy: fairseq-latent latents … --format json"):
        read_statistics(tmp_path / "x.json")
