"""The report: two tiny trainings, hand-written logs and responses, and what the page makes of them."""

import html
import re
import shutil
from html.parser import HTMLParser

import pytest

from fairseq_latent.cli import main
from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.metrics import score
from fairseq_latent.evaluation.reporting.page import markdown_text
from fairseq_latent.evaluation.runs import training_config
from fairseq_latent.evaluation.runs.run_folder import CHECKPOINT, MADE_BY
from fairseq_latent.evaluation.runs.side_by_side import spread_contexts, turns
from tests.helpers import programs
from tests.helpers.report_runs import EVIL, SAMPLED, TEST, write_measured

LATENTS = {
    "plain": {},
    "best of 5": {"kl": 1.96, "au": 4, "mi": 1.5, "rec_ppl": 20.25, "elbo_ppl": 24.5, "iw_ppl": 22.5},
}
ANSWERS = {"plain": ["i see .", "i see .", "i see ."], "best of 5": [EVIL, "no , not tea", "why ?"]}
SMALL = ("--prior", "20", "--posterior", "10", "--cpu", "--bootstrap", "100")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, data_bin):
    """Two runs with everything in their folders."""
    pytest.importorskip("openTSNE")
    home = tmp_path_factory.mktemp("runs")
    kinds = {"plain": ("elbo", "1"), "best of 5": ("speculative_elbo", "5")}
    for name, (criterion, k) in kinds.items():
        folder = home / name.replace(" ", "-")
        programs.fit(data_bin, folder, "--k", k, "--label-smoothing", "0.1", criterion=criterion)
        write_measured(folder, ANSWERS[name], **LATENTS[name])
    return home


@pytest.fixture
def runs(trained, tmp_path, monkeypatch):
    """A copy that a test may break; the test works beside it."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def report(data, *flags, out="page"):
    systems = ("plain=plain", "best of 5=best-of-5")
    return main(["report", *systems, "--data", str(data), "--out", str(out), *SMALL, *flags])


@pytest.fixture(scope="module")
def pages(trained, data_bin, tmp_path_factory):
    """(HTML, Markdown, folder) of one report."""
    out = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(trained)
        assert report(data_bin, "--title", "A <b> & C", "--contexts", "4", out=out) == 0
    return *((out / f"report.{kind}").read_text(encoding="utf-8") for kind in ("html", "md")), out


class Page(HTMLParser):
    """Tables by their label as lists of rows of words, and all attributes and tags."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.attributes, self.tags, self.cell, self.label = {}, [], [], None, ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        self.label = dict(attributes).get("aria-label") or self.label
        if tag == "table":
            self.tables[self.label] = []
        elif tag == "tr":
            self.tables[self.label].append([])
        elif tag in ("th", "td"):
            self.cell = ""

    def handle_data(self, data):
        if self.cell is not None:
            self.cell += data

    def handle_endtag(self, tag):
        if tag in ("th", "td"):
            self.tables[self.label][-1].append(self.cell.strip())
            self.cell = None


def test_the_tables_numbers_are_those_of_score_and_latents(pages, trained):
    files = [f"{name}={trained / name.replace(' ', '-')}/generate.test.txt" for name in LATENTS]
    expected = score.measure_systems(score.read_systems(files), resamples=100, seed=1)
    rows = {row[0]: row[1:] for row in Page(pages[0]).tables["Results"]}
    assert rows["system"] == [
        "BLEU",
        "dist-1",
        "dist-2",
        "KLD",
        "rec PPL",
        "elbo PPL",
        "iw PPL",
        "AU",
        "MI",
        "length",
        "dup.",
    ]
    for row in expected:
        for name, place, decimals in (("BLEU", 0, 2), ("dist-1", 1, 2), ("dist-2", 2, 2), ("length", 9, 1)):
            if name not in row.scores:
                assert rows[row.name][place] == "–"
                continue
            low, high = row.scores[name].interval
            star = "*" if row.comparison and row.comparison.p_values.get(name, 1) < 0.05 else ""
            value = f"{row.scores[name].value:.{decimals}f}{star}±{(high - low) / 2:.{decimals}f}"
            assert rows[row.name][place] == value
    assert rows["plain"][3:9] == ["0.02", "30.25", "31.50", "–", "0", "0.01"]
    assert rows["best of 5"][3:9] == ["1.96", "20.25", "24.50", "22.50", "4", "1.50"]
    assert rows["Reference"][3:9] == ["–"] * 6
    assert "*±" in rows["best of 5"][1]  # dist-1 of "i see ." and of three answers
    assert "*: differs from plain (p &lt; 0.05" in pages[0]


def test_budget_and_differences_come_from_logs_and_checkpoints(pages):
    tables = Page(pages[0]).tables
    # 6.5 s an update, 10 updates: 65 s; TINY_TRAINING writes its checkpoint at update 5.
    budget = tables["Budget of each training"]
    assert budget[1][:3] + budget[1][4:] == ["plain", "t_cvae_tiny", "elbo", "10", "update 5", "1 min 5 s"]
    assert tables["Flags that differ"] == [
        ["system", "--criterion", "--k"],
        ["plain", "elbo", "1"],
        ["best of 5", "speculative_elbo", "5"],
    ]
    assert "120 for training" in pages[0]
    assert "21 for validation" in pages[0]


def test_parameters_are_counted_once(trained):
    from fairseq_latent.evaluation.analysis import checkpoint

    found = training_config.training_settings(trained / "plain" / CHECKPOINT)
    loaded = checkpoint.load(trained / "plain" / CHECKPOINT, found.flag("data"), "test", cpu=True)
    assert found.parameters == sum(parameter.numel() for parameter in loaded.model.parameters())


def test_the_page_is_one_file(pages):
    page = Page(pages[0])
    outside = [value for name, value in page.attributes if name in ("src", "href", "srcset")]
    assert len([value for value in outside if value.startswith("data:image/png;base64,")]) == 3
    assert all(value.startswith(("data:", "#")) for value in outside)
    assert not {"script", "iframe"} & set(page.tags)
    assert "@import" not in pages[0]
    assert not re.search(r"https?://|url\(", pages[0])
    assert "default-src 'none'" in html.unescape(pages[0])
    assert {value for name, value in page.attributes if name == "scope"} == {"col", "row"}
    assert all(value for name, value in page.attributes if name == "alt")
    anchors = [value.removeprefix("#") for value in outside if value.startswith("#")]
    assert set(anchors) <= {value for name, value in page.attributes if name == "id"}


def test_words_stay_words(pages):
    page, markdown, _ = pages
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; | *b* [l](u) \\u001b[31m \\u202egnp.exe" in page
    assert r"&lt;script&gt;alert('x')&lt;/script&gt; &amp; \| \*b\* \[l\](u) \\u001b\[31m \\u202egnp.exe" in markdown
    for text in (page, markdown):
        assert "<script" not in text
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", text)
    assert "<title>A &lt;b&gt; &amp; C</title>" in page
    assert markdown.startswith("# A &lt;b&gt; &amp; C\n")
    assert markdown_text("- *a* <b> | [c](d)\n# e") == r"&#8203;- \*a\* &lt;b&gt; \| \[c\](d) \# e"
    assert markdown_text("see https://a.b and www.c.d") == "see https&#58;//a.b and www&#46;c.d"
    assert "\n" not in markdown_text("a\r\n# b\u2028c\x0b")


def test_hostile_names_are_shown_as_text(runs, data_bin, capsys):
    name = "\x1b[2J</td><img src=x onerror=alert(1)>|[a](b)\u202e"
    (runs / "plain" / "latents.test.json").unlink()
    arguments = ["--data", str(data_bin), "--out", "page", *SMALL]
    assert main(["report", f"{name}=plain", "c=best-of-5", *arguments]) == 0
    out, err = capsys.readouterr()
    page, markdown = ((runs / "page" / f"report.{kind}").read_text(encoding="utf-8") for kind in ("html", "md"))
    for text in (page, markdown, out, err):
        assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", text)
    code = [line for line in markdown.splitlines() if line.startswith("    ")]  # where nothing is markup
    assert "<img src=x" not in page
    assert not any("<img src=x" in line for line in markdown.splitlines() if line not in code)
    assert [row[0] for row in Page(page).tables["Results"]][
        2
    ] == "\\u001b[2J</td><img src=x onerror=alert(1)>|[a](b)\\u202e"
    for line in markdown.splitlines():
        if line.startswith("| \\") and "onerror" in line:
            assert r"\|\[a\](b)" in line


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


def test_several_pairs_have_a_picture_each(runs, data_bin):
    assert report(data_bin, "--example", "3", "0") == 0
    for name in ("latents.3.png", "latents.0.png"):
        assert (runs / "page" / name).is_file()
    assert "Latents for test line 3 " in (runs / "page" / "report.md").read_text(encoding="utf-8")


def test_both_pages_say_what_the_numbers_say(pages):
    for text in (html.unescape(pages[0]), pages[1]):
        assert "plain: KLD 0.02 nats (0.02 on test), MI 0.01 nats, 0 of 8 dimensions active. The posterior has " in text
        assert "collapsed onto the prior: the latent carries next to nothing about the response." in text
        assert "up to 1.96 nats about the response pass through the latent (more than the toss of a coin" in text
        assert "plain: 3 latents give 1.0 different responses to a context on average; in 8 of 8 contexts" in text
        assert "elbo PPL on validation, lowest first: best of 5 24.5, plain 31.5." in text
        assert "The responses of best of 5 are more varied (p = 0.0" in text
        assert "not what another training could" in text


def test_the_papers_numbers_stand_beside_and_are_marked_as_its(pages):
    tables = Page(pages[0]).tables
    beside = {row[0]: row[1:] for row in tables["Beside the paper's numbers"]}
    theirs = [place for place, header in enumerate(beside["system"]) if header.endswith("reported")]
    assert [beside["system"][place] for place in theirs] == [
        f"{name} reported" for name in ("BLEU", "dist-1", "dist-2", "KLD")
    ]
    assert [beside["plain"][place] for place in theirs] == ["0.71", "0.71", "3.55", "0.00"]
    assert [beside["best of 5"][place] for place in theirs] == ["0.51", "0.89", "5.48", "1.96"]
    assert beside["best of 5"][-1] == "T-CVAE + speculative, K = 5"
    assert ["T-CVAE", "2.48", "1.14", "4.24", "0.00"] in tables["Sato et al. (2021), Table 2, Japanese"]
    assert "<b>not comparable</b>" in pages[0]
    assert "BLEU (reported)" in pages[1]


def test_same_inputs_same_bytes(pages, runs, data_bin):
    assert report(data_bin, "--title", "A <b> & C", "--contexts", "4") == 0
    for path in pages[2].iterdir():
        assert (runs / "page" / path.name).read_bytes() == path.read_bytes(), path.name


def test_one_system_alone(runs, data_bin):
    arguments = ["--data", str(data_bin), "--out", "page", *SMALL]
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


LACKED = {  # without this file of best-of-5, what is still said and what is not
    "checkpoint_best.pt": ("3 distinct of 3", "T-CVAE + speculative, K = 5 |"),
    "train.log": ("KLD 1.96 nats", "| best of 5 | t_cvae_tiny | speculative_elbo | 5"),
    "generate.test.txt": ("3 distinct of 3", "dist-2: "),
    "samples.test1.txt": ("The responses of best of 5 are more varied", "3 distinct of 3"),
    "latents.valid.json": ("3 distinct of 3", "KLD 1.96 nats"),
    "latents.test.json": ("KLD 1.96 nats, MI", "1.96 on test"),
}


@pytest.mark.parametrize("name", MADE_BY)
@pytest.mark.parametrize("damage", ["removed", "cut"])
def test_a_missing_or_broken_file_is_named_with_the_command_and_the_rest_is_reported(
    runs, data_bin, capsys, name, damage
):
    path = runs / "best-of-5" / name
    if damage == "removed":
        path.unlink()
    else:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] if name != "train.log" else b"killed\n")
    assert report(data_bin) == 0
    err = capsys.readouterr().err
    assert err.startswith(f"note: best of 5: best-of-5/{name}")
    markdown = (runs / "page" / "report.md").read_text(encoding="utf-8")
    page = (runs / "page" / "report.html").read_text(encoding="utf-8")
    there, gone = LACKED[name]
    assert there in markdown
    assert gone not in markdown
    assert "## What is missing" in markdown
    assert "plain: KLD 0.02 nats" in markdown
    assert f"best-of-5/{name}" in page
    if (name, damage) != ("checkpoint_best.pt", "cut"):
        assert MADE_BY[name].split()[0] in page


def test_a_folder_that_is_not_there_is_a_missing_run(runs, data_bin, capsys):
    arguments = ["--data", str(data_bin), "--out", "page", *SMALL]
    assert main(["report", "plain=plain", "K=5=not-started", *arguments]) == 0
    assert "note: K=5: not-started: no such folder" in capsys.readouterr().err
    assert [row[0] for row in Page((runs / "page" / "report.html").read_text()).tables["Results"]][1:] == [
        "Reference",
        "plain",
        "K=5",
    ]
    assert main(["report", "a=nowhere", *arguments]) == 2
    (runs / "empty").mkdir()
    assert main(["report", "a=empty", *arguments]) == 2
    assert "nothing to report of 1 runs: empty: checkpoint_best.pt, train.log, " in capsys.readouterr().err


def test_responses_to_another_test_set_are_not_compared(runs, data_bin, capsys):
    shutil.copytree(runs / "plain", runs / "third")
    path = runs / "plain" / "generate.test.txt"
    path.write_text(path.read_text(encoding="utf-8").replace("T-3\t", "T-3\tanother "), encoding="utf-8")
    arguments = ["--data", str(data_bin), "--out", "page", *SMALL]
    assert main(["report", "plain=plain", "best of 5=best-of-5", "third=third", *arguments]) == 0
    assert "note: plain: plain/generate.test.txt: not the test set of the other runs" in capsys.readouterr().err
    rows = {
        row[0]: row[1:] for row in Page((runs / "page" / "report.html").read_text(encoding="utf-8")).tables["Results"]
    }
    assert rows["plain"][:3] == ["–"] * 3
    assert "–" not in rows["third"][:3]


def test_references_may_be_the_text_itself(runs, data_bin, capsys):
    """What a dictionary lacks is `<<unk>>` in T- lines; the numbers are those of `score` with the same flag."""
    for path in runs.glob("*/*.txt"):
        lines = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r"(?m)^(T-\d+\t)\S+", r"\1<<unk>>", lines), encoding="utf-8")
    (runs / "test.tgt").write_text("".join(f"{reference}\n" for _, reference in TEST), encoding="utf-8")
    assert report(data_bin) == 0
    without = (runs / "page" / "report.html").read_text(encoding="utf-8")
    assert report(data_bin, "--reference", "test.tgt") == 0
    page = (runs / "page" / "report.html").read_text(encoding="utf-8")
    assert "&lt;&lt;unk&gt;&gt;" in without and "&lt;&lt;unk&gt;&gt;" not in page
    assert "--reference test.tgt" in page
    files = [f"{name}={runs / name.replace(' ', '-')}/generate.test.txt" for name in LATENTS]
    expected = score.measure_systems(score.read_systems(files, ["test.tgt"]))
    rows = {row[0]: row[1:] for row in Page(page).tables["Results"]}
    assert [rows[row.name][1].partition("±")[0].rstrip("*") for row in expected] == [
        f"{row.scores['dist-1'].value:.2f}" for row in expected
    ]
    (runs / "short.txt").write_text("one\n", encoding="utf-8")
    capsys.readouterr()
    assert "21 responses, but short.txt has 1 lines" in fails(capsys, data_bin, "--reference", "short.txt")


def test_samples_of_other_contexts_are_left_out(runs, data_bin, capsys):
    samples = runs / "plain" / "samples.test1.txt"
    original = samples.read_text(encoding="utf-8")
    samples.write_text(original.replace("S-3\t", "S-3\tanother "), encoding="utf-8")
    assert report(data_bin) == 0
    assert "plain/samples.test1.txt: context 3 is not that of the test set" in capsys.readouterr().err
    markdown = (runs / "page" / "report.md").read_text(encoding="utf-8")
    assert "1 distinct of 3" not in markdown
    assert "3 distinct of 3" in markdown


def test_statistics_that_are_no_numbers(runs, data_bin, capsys):
    path = runs / "plain" / "latents.valid.json"
    path.write_text(path.read_text(encoding="utf-8").replace("0.02", '"<b>"'), encoding="utf-8")
    assert report(data_bin) == 0
    assert "latents.valid.json: kl: not a number" in capsys.readouterr().err


def test_wrong_flags_are_refused(runs, data_bin, capsys):
    assert "--contexts 0" in fails(capsys, data_bin, "--contexts", "0")
    assert "--example 21: test has no such line; remedy: 0 to 20" in fails(capsys, data_bin, "--example", "21")
    assert "--bootstrap 5" in fails(capsys, data_bin, "--bootstrap", "5")
    assert "nowhere: no such folder" in fails(capsys, "nowhere")
    assert not (runs / "page").exists()


def test_without_a_bootstrap_there_are_no_intervals(runs, data_bin):
    assert report(data_bin, "--bootstrap", "0") == 0
    text = (runs / "page" / "report.md").read_text(encoding="utf-8")
    assert "±" not in text
    assert "no significance test was made" in text


def test_turns_alternate_and_the_last_one_is_answered():
    assert turns("hi <eot> hello there<eot>how are you") == (("A", "hi"), ("B", "hello there"), ("A", "how are you"))
    assert turns("one <eou> two") == (("A", "one  /  two"),)
    assert [speaker for speaker, _ in turns("a<eot>b")] == ["B", "A"]


def test_contexts_lie_at_equal_distances():
    assert spread_contexts(48, 4) == [0, 12, 24, 36]
    assert spread_contexts(3, 8) == [0, 1, 2]
    assert spread_contexts(0, 8) == []


def test_flags_that_name_places_are_no_difference(trained):
    one, other = (training_config.training_settings(trained / name / CHECKPOINT) for name in ("plain", "best-of-5"))
    assert training_config.differences([one, one]) == []
    assert [flag for flag, _ in training_config.differences([one, other])] == ["--criterion", "--k"]
    assert one.flag("no_such_flag") == "–"


def test_latent_statistics_of_another_file(tmp_path):
    from fairseq_latent.evaluation.analysis.latent_statistics import read_statistics

    (tmp_path / "x.json").write_text("nothing", encoding="utf-8")
    with pytest.raises(InputError, match="remedy: fairseq-latent latents … --format json"):
        read_statistics(tmp_path / "x.json")
