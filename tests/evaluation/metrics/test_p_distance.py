"""P.Distance: its keywords, its values by hand, and `fairseq-latent score --profiles`."""

import gzip
import hashlib

import pytest

from fairseq_latent.errors import InputError
from fairseq_latent.evaluation.metrics.p_distance import CONTRACTED, p_distance, read_profiles, stop_words
from fairseq_latent.evaluation.metrics.response_metrics import measure
from tests.helpers.scored import BASE, REFERENCES, fails, generated, rows, score, text, write_files

pytest.importorskip("gensim")

# cos(tea, coffee) = 0.6 * 1 = 0.6; cos(tea, dog) = 0; cos(coffee, dog) = 0.8; "the" is a stop word with a vector
VECTORS = {"tea": (2, 0), "coffee": (0.6, 0.8), "dog": (0, 1), "cold": (-1, 0), "the": (1, 0), "green": (1, 0)}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Word vectors, and the systems that `score` reads; the test runs inside it."""
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    lines = [f"{word} {x} {y}" for word, (x, y) in VECTORS.items()]
    (tmp_path / "vectors.txt").write_text(text([f"{len(lines)} 2", *lines]), encoding="utf-8")
    return tmp_path


def value(folder, response, profile, **files):
    return measure(p_distance([profile], folder / "vectors.txt", **files), [response], [profile]).value


def test_the_same_keywords_make_1(folder):
    assert value(folder, "the dog drinks TEA !", "tea for my dog") == pytest.approx(1)


def test_the_mean_over_profile_keywords_of_the_largest_cosine(folder):
    # tea: max(cos coffee .6, cos cold -1) = .6; dog: max(.8, 0) = .8; their mean is .7
    assert value(folder, "cold coffee", "tea , dog") == pytest.approx(0.7)
    # the other way round: coffee: max(.6, .8) = .8; cold: max(-1, 0) = 0; so it is no symmetric measure
    assert value(folder, "tea , dog", "cold coffee") == pytest.approx(0.4)
    assert value(folder, "tea", "cold") == pytest.approx(-1)


def test_words_that_repeat_count_once(folder):
    assert value(folder, "coffee coffee", "tea tea tea dog") == value(folder, "coffee", "dog tea")


def test_stop_words_change_nothing(folder):
    plain = value(folder, "coffee", "tea dog")
    assert value(folder, "the coffee , isn't it ?", "i'm the one with the tea and the dog") == plain
    (folder / "stop.txt").write_text("Green\ntea's\n", encoding="utf-8")
    # with one's own list "the" is a keyword, as near to the profile's dog as tea is, and tea is none
    assert value(folder, "the", "tea dog", stopwords="stop.txt") == pytest.approx(0)
    assert value(folder, "the", "tea dog") == 0


def test_the_mean_over_pairs_and_what_was_covered(folder):
    metric = p_distance(["tea", "dog"], "vectors.txt")
    found = measure(metric, ["coffee", "yes !", "tea"], ["dog", "dog", "unknown words"])
    assert found.value == pytest.approx(0.8 / 3)  # .8, and 0 where one side has no keyword
    assert found.extra["responses_with_keywords"] == found.extra["profiles_with_keywords"] == pytest.approx(2 / 3)
    assert metric.statistics(["tea", "x"], ["x", "dog"]) == [(0, 1, 1, 0, 0), (0, 1, 0, 1, 0)]
    assert measure(metric, [], []).value == 0


def test_profiles_of_others_show_what_any_words_have(folder):
    """Coffee with the dog of the other pair .8, dog with its tea 0: .4 beside (.6 + 1) / 2."""
    found = measure(p_distance(["tea", "dog"], "vectors.txt"), ["coffee", "dog"], ["tea", "dog"])
    assert (found.value, found.extra["to_other_profiles"]) == (pytest.approx(0.8), pytest.approx(0.4))


def test_keywords_are_rare_in_the_training_text(folder):
    """Of 4,004 words 4 are a thousandth: tea (5) is too frequent, cold (1) too rare, dog (2) a keyword."""
    words = ["tea"] * 5 + ["dog"] * 2 + ["cold"] + ["filler"] * 3996
    (folder / "train.txt").write_text(" ".join(words) + "\n", encoding="utf-8")
    metric = p_distance(["dog"], "vectors.txt", train_text=["train.txt"])
    assert metric.keywords("the tea , the dog , cold coffee") == ["dog"]
    assert metric.keywords("the cold tea") == ["cold", "tea"]  # none is rare: all but stop words
    assert "|train:4004-words|keywords:count>=2,rate<0.001|" in metric.keywords.signature


def test_a_line_of_the_training_text_counts_once(folder):
    """A profile stands there for each of its responses."""
    (folder / "train.txt").write_text("dog <eot> dog\n" * 9 + "tea\n", encoding="utf-8")
    metric = p_distance(["dog"], "vectors.txt", train_text=["train.txt"])
    assert metric.keywords.frequencies.counts == {"dog": 2, "tea": 1}


def test_the_signature_names_the_file_and_its_hash(folder):
    (folder / "vectors.txt.gz").write_bytes(gzip.compress((folder / "vectors.txt").read_bytes()))
    found = measure(p_distance(["tea"], "vectors.txt.gz"), ["tea"], ["tea"])
    digest = hashlib.sha256((folder / "vectors.txt.gz").read_bytes()).hexdigest()[:16]
    assert found.signature.startswith(
        f"p-distance|higher:closer|case:lower|vectors:vectors.txt.gz|sha256:{digest}|6x2|"
    )
    assert "|train:none|stopwords:scikit-learn-" in found.signature
    assert found.value == pytest.approx(1)


def test_stop_words_of_languages():
    assert {"the", "i"} | CONTRACTED <= stop_words().words
    assert not stop_words(language="ja").words


PROFILES = ["i drink tea .", "my dog <eot> likes coffee", "it is cold"]
ASKED = ("--lang", "none", "--bootstrap", "0", "--profiles", "profiles.txt", "--vectors", "vectors.txt")


@pytest.fixture
def asked(folder):
    """With profiles of the three contexts."""
    (folder / "profiles.txt").write_text(text(PROFILES), encoding="utf-8")
    return folder


def test_score_has_a_column(asked, capsys):
    """References and base differ in no keyword: green tea against tea (1), none against two (0), none against cold (0)."""
    assert score("base=base.txt", "--reference", "references.txt", *ASKED) == 0
    out = capsys.readouterr().out
    assert "P.Distance" in out.splitlines()[0].split()
    assert [line.split()[-2] for line in out.splitlines()[2:4]] == ["0.333", "0.333"]
    assert ", keywords in 33.3 % of responses and 100.0 % of profiles; BLEU" in out
    assert "\np-distance|higher:closer|" in out


def test_several_responses_a_context_are_averaged(asked, capsys):
    (asked / "two.gen").write_text(generated([["tea", "coffee"], ["dog", "x"], ["x", "x"]]), encoding="utf-8")
    found = rows(capsys, "two=two.gen", *ASKED, "--hypothesis", "all")["two"]["scores"]["P.Distance"]
    # 1, .6; coffee .8 and dog 1: .9, 0; 0, 0: 2.5 over six
    assert found["value"] == pytest.approx(2.5 / 6)
    bootstrapped = rows(capsys, "two=two.gen", *ASKED[:2], *ASKED[4:], "--hypothesis", "all", "--bootstrap", "100")
    low, high = bootstrapped["two"]["scores"]["P.Distance"]["interval"]
    assert 0 <= low < 2.5 / 6 < high < 0.81


def test_japanese_words_are_told_apart_first(asked, capsys):
    pytest.importorskip("MeCab")
    (asked / "ja.vec").write_text("2 2\n犬 1 0\n天気 0 1\n", encoding="utf-8")
    (asked / "ja.txt").write_text("犬が好きです\n", encoding="utf-8")
    (asked / "ja.partner").write_text("犬と天気<eot>です\n", encoding="utf-8")
    flags = ("--lang", "ja", "--profiles", "ja.partner", "--vectors", "ja.vec", "--bootstrap", "0")
    found = rows(capsys, "ja=ja.txt", *flags)["ja"]["scores"]["P.Distance"]
    assert found["value"] == pytest.approx(0.5)
    assert "|stopwords:none|tok:mecab-ipadic|" in found["signature"]


def test_what_does_not_fit(asked, capsys):
    assert "P.Distance needs word vectors" in fails(capsys, "a=base.txt", "--profiles", "profiles.txt")
    assert "--vectors is for P.Distance" in fails(capsys, "a=base.txt", "--vectors", "vectors.txt")
    assert "--train-text is for P.Distance" in fails(capsys, "a=base.txt", "--train-text", "base.txt")
    for name, content, complaint in (
        ("profiles.txt", "tea\n", "profiles.txt: 1 profiles of 3 contexts"),
        ("profiles.txt", "\n<eot>\n \n", "profiles.txt: all 3 profiles are blank"),
        ("profiles.txt", "nothing\nof\nthis\n", "vectors.txt: no vector of any word of the profiles"),
        ("vectors.txt", "tea\n", "vectors.txt has no vectors in word2vec's or GloVe's text form"),
        (
            "vectors.txt",
            "2 999999999999\ntea 1 0\n",
            "text form (the first line is no likely `count width`",
        ),
        ("vectors.txt", "2 3\ntea 1 0\ndog 0 1\n", "text form (line 2: a word and 2 numbers, not 3)"),
    ):
        kept = (asked / name).read_bytes()
        (asked / name).write_text(content, encoding="utf-8")
        assert complaint in fails(capsys, "a=base.txt", *ASKED)
        (asked / name).write_bytes(kept)
    (asked / "blank.txt").write_text("\n", encoding="utf-8")
    assert "blank.txt: no words" in fails(capsys, "a=base.txt", *ASKED, "--train-text", "blank.txt")
    assert "blank.txt has no words" in fails(capsys, "a=base.txt", *ASKED, "--stopwords", "blank.txt")
    with pytest.raises(InputError, match="2 profiles of 3"):
        (asked / "profiles.txt").write_text("tea\ndog\n", encoding="utf-8")
        read_profiles("profiles.txt", 3)


# --- distinct n-grams on a part of the dialogues --------------------------------------------------------------------------


@pytest.fixture
def dialogues(folder):
    """60 dialogues of two turns, the words of each its own, but for the full stop."""
    (folder / "test.ids").write_text(text([f"a:b-{line // 2}:{line % 2 + 4}" for line in range(120)]), encoding="utf-8")
    (folder / "all.txt").write_text(text([f"d{line // 2} w{line} ." for line in range(120)]), encoding="utf-8")
    return folder


def test_distinct_on_50_dialogues(dialogues, capsys):
    flags = ("--lang", "none", "--dialogues", "test.ids", "--bootstrap", "100")
    found = rows(capsys, "a=all.txt", *flags)["a"]["scores"]
    # 60 dialogue words + 120 others + 1 of 360; in 50 dialogues 50 + 100 + 1 of 300; bigrams: two a line, all different
    assert found["Distinct-1"]["value"] == pytest.approx(181 / 360)
    assert found["Distinct-1@50"]["value"] == pytest.approx(151 / 300)
    assert found["dist-1@50"]["value"] == pytest.approx(100 * 151 / 300)
    assert (found["dist-2@50"]["value"], found["Distinct-2@50"]["value"]) == (pytest.approx(100), pytest.approx(2 / 3))
    assert "|level:corpus|dialogues:50-of-60|lines:100|" in found["Distinct-1@50"]["signature"]
    low, high = found["Distinct-1@50"]["interval"]
    assert low <= 151 / 300 <= high
    assert rows(capsys, "b=all.txt", *flags, "--seed", "5")["b"]["scores"]["Distinct-1@50"]["value"] == 151 / 300


def test_dialogues_that_do_not_fit(dialogues, capsys):
    assert "120 ids of 3 contexts" in fails(capsys, "a=base.txt", "--dialogues", "test.ids")
    (dialogues / "few.ids").write_text(text([f"c:{turn}" for turn in range(3)]), encoding="utf-8")
    assert "1 dialogues, no more than the subset's 50" in fails(capsys, "a=base.txt", "--dialogues", "few.ids")
    (dialogues / "no.ids").write_text(text(["c:1", "c"]), encoding="utf-8")
    assert "no.ids: line 2: not conversation:turn" in fails(capsys, "a=base.txt", "--dialogues", "no.ids")
    assert len(BASE) == len(REFERENCES) == 3
