"""MAUVE after its definition (Pillutla et al., 2021): areas in closed form and by a plain loop, and people as yardstick."""

import math

import numpy as np
import pytest

from fairseq_latent.evaluation.metrics.field import mauve as module
from fairseq_latent.evaluation.metrics.field.mauve import frontier_area, mauve, mauve_of
from tests.helpers.scored import rows


def plain_area(p, q, mixtures):
    """The same by loops, over the other axis: from (1, 0) up to (0, 1)."""
    points = [(1.0, 0.0)]
    for share in mixtures:
        mixed = [share * one + (1 - share) * other for one, other in zip(p, q, strict=True)]
        of_q, of_p = (
            sum(each * math.log(each / both) for each, both in zip(of, mixed, strict=True) if each) for of in (q, p)
        )
        points.append((math.exp(-5 * of_q), math.exp(-5 * of_p)))
    points.append((0.0, 1.0))
    return sum((b[1] - a[1]) * (a[0] + b[0]) / 2 for a, b in zip(points, points[1:], strict=False))


def test_equal_distributions_have_one():
    assert frontier_area(np.array([0.25, 0.75]), np.array([0.25, 0.75])) == pytest.approx(1)


def test_distributions_without_anything_in_common(monkeypatch):
    """KL(q | r) = -ln (1 - l), KL(p | r) = -ln l: the curve ((1 - l)^5, l^5), its area 5 B(6, 5) = 1 / 252."""
    p, q = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    assert frontier_area(p, q) == pytest.approx(1 / 252, rel=0.05)  # of 25 mixtures
    monkeypatch.setattr(module, "MIXTURES", np.linspace(1e-6, 1 - 1e-6, 20001))
    assert frontier_area(p, q) == pytest.approx(1 / 252, rel=1e-5)


@pytest.mark.parametrize(
    ("p", "q"), [([0.5, 0.5], [0.9, 0.1]), ([0.2, 0.8, 0.0], [0.0, 0.3, 0.7]), ([1.0, 0.0], [0.5, 0.5])]
)
def test_the_area_is_that_of_a_plain_loop(p, q):
    found = frontier_area(np.array(p), np.array(q))
    assert found == pytest.approx(plain_area(p, q, np.linspace(1e-6, 1 - 1e-6, 25)))
    assert found == pytest.approx(frontier_area(np.array(q), np.array(p)))
    assert 1 / 252 < found < 1


def clouds(*shares, count=200, seed=0):
    """Vectors around two far points, so many of a hundred around the first."""
    generator = np.random.default_rng(seed)
    found = []
    for share in shares:
        first = np.arange(count) < share * count
        centres = np.where(first[:, None], [1.0, 0, 0, 0], [0, 1.0, 0, 0])
        found.append(centres + generator.normal(scale=0.01, size=(count, 4)))
    return found


def test_clusters_are_counted(monkeypatch):
    """Two clouds, two clusters: the histograms are the shares themselves."""
    monkeypatch.setattr(module, "MOST_CLUSTERS", 2)
    ours, theirs = clouds(0.5, 0.9)
    assert mauve(ours, theirs, 1) == pytest.approx(frontier_area(np.array([0.5, 0.5]), np.array([0.9, 0.1])))
    assert mauve(ours, ours, 1) == pytest.approx(1)
    apart = mauve(*clouds(1.0, 0.0), 1)
    assert apart == pytest.approx(frontier_area(np.array([1.0, 0.0]), np.array([0.0, 1.0])))


def test_people_are_held_against_people():
    """One half of the references against the other; a system that says as they do has as much, another one less."""
    people, alike, other = clouds(0.5, 0.5, 0.95, count=400)
    generator = np.random.default_rng(1)
    for each in (people, alike, other):
        generator.shuffle(each)
    metric = mauve_of(people, "encoder:x", 1)
    found = [metric.score(list(each)) for each in (people, alike, other)]
    assert metric.halves.sum() == 200
    assert found[0].value > 0.9 and found[1].value == pytest.approx(found[0].value, abs=0.1)
    assert found[2].value < found[0].value - 0.1
    assert found[0].signature.startswith(
        "mauve|c:5|halves:200-and-200|per-cluster:10|pca:0.9|mixtures:25|encoder:x|seed:1|"
    )
    assert metric.score(list(people)) == found[0]  # the same seed, the same number
    several = metric.score([vector for vector in people for _ in range(2)])  # two responses to each context
    assert "halves:400-and-200" in several.signature
    assert mauve_of(people[:39], "encoder:x", 1) is None and mauve_of(people[:40], "encoder:x", 1) is not None


def test_equal_vectors_are_no_error():
    same = np.ones((50, 4))
    assert mauve(same, same, 1) == pytest.approx(1)
    assert mauve(np.zeros((50, 4)), same, 1) < 0.1


def test_score_has_it_where_asked(tmp_path, monkeypatch, capsys):
    pytest.importorskip("transformers")
    from tests.helpers.speakers import bert_of_words

    monkeypatch.chdir(tmp_path)
    encoder, _, _ = bert_of_words(tmp_path, "tea coffee sea yes no i like it")
    words = ("tea", "coffee", "sea", "it")
    (tmp_path / "r").write_text("".join(f"i like {words[place % 4]}\n" for place in range(60)))
    (tmp_path / "same").write_text("".join(f"i like {words[(place + 1) % 4]}\n" for place in range(60)))
    (tmp_path / "dull").write_text("yes\n" * 60)
    flags = ("--reference", "r", "--lang", "none", "--bootstrap", "0", "--field", "--encoder", str(encoder), "--cpu")
    found = {name: row["scores"]["MAUVE"] for name, row in rows(capsys, "s=same", "d=dull", *flags).items()}
    assert found["Reference"]["value"] > 0.9 and found["s"]["value"] > 0.9 and found["d"]["value"] < 0.1
    assert found["d"]["interval"] is None and "halves:30-and-30" in found["d"]["signature"]
    few = ("--reference", "few", *flags[2:])
    (tmp_path / "few").write_text("i like tea\n" * 20)
    from tests.helpers.scored import score

    assert score("f=few", *few, "--json") == 0
    out, err = capsys.readouterr()
    assert '"MAUVE"' not in out and "20 contexts are too few for MAUVE, which needs 40" in err
