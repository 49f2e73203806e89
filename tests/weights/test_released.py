"""`fairseq-latent import`: checkpoints of the authors' code, as fairseq 0.8 writes them, against what that code decoded."""

from argparse import Namespace

import pytest
import torch

from fairseq_latent import portable
from fairseq_latent.weights.released import places

from ..helpers import programs
from ..models.test_parity import WORDS, Oracle

HEADS = 2


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with the oracle's 56 types, whose ids are those of fairseq."""
    text, target = tmp_path_factory.mktemp("text"), tmp_path_factory.mktemp("data-bin")
    names = [f"word{number}" for number in range(WORDS - 4)]
    (text / "dict.txt").write_text("".join(f"{name} 1\n" for name in names))
    for split in ("train", "valid", "test"):
        for side in ("src", "tgt"):
            (text / f"{split}.{side}").write_text("word1 word2\nword3\n")
    splits = [f"--{name}pref={text / name}" for name in ("train", "valid", "test")]
    sides = ("--source-lang", "src", "--target-lang", "tgt", "--joined-dictionary", "--srcdict", text / "dict.txt")
    programs.run("fairseq-preprocess", *sides, *splits, "--destdir", target)
    return target


def checkpoint(path, weights, **args):
    """What fairseq 0.8 saves, as far as it matters."""
    flags = Namespace(arch="t_cvae", task="translation", encoder_attention_heads=HEADS, **args)
    state = {
        "args": flags, "model": weights, "optimizer_history": [{"num_updates": 3}], "extra_state": {"epoch": 1},
        "last_optimizer_state": None,
    }  # fmt: skip
    torch.save(state, path)
    return path


def weights(name: str) -> dict[str, torch.Tensor]:
    found = Oracle(name).under("state/")
    return found | {"encoder.version": torch.tensor([3.0]), "decoder.version": torch.tensor([3.0])}


@pytest.mark.parametrize("name", ["t_cvae", "spacefusion"])
def test_what_is_imported_decodes_and_leaves_the_house(data, tmp_path, name):
    """Hypotheses of the latent's mean are those of the authors' code, and fairseq-generate reads it."""
    source = checkpoint(tmp_path / "theirs.pt", weights(name))
    done = programs.tool("import", source, tmp_path / "run/ours.pt", "--data", data)
    assert done.returncode == 0, done.stderr
    assert ("t_cvae" if name == "t_cvae" else "t_spacefusion") in done.stdout and "layers 2" in done.stdout
    oracle = Oracle(name)
    assert programs.tool("export", tmp_path / "run/ours.pt", tmp_path / "out").returncode == 0
    model = portable.load(tmp_path / "out", cpu=True)
    contexts = [model.words.string(row[row.ne(1)]) for row in oracle["batch/net_input/src_tokens"]]
    for length_penalty in (1.0, 1.2):
        expected = oracle[f"hyps_mean_{length_penalty}"]
        options = {"beam": 5, "max_length": 30, "lenpen": length_penalty, "latent_mean": True}
        for (reply,), hypotheses in zip(model.reply(contexts, 1, **options), expected, strict=True):
            assert reply.text == model.words.string(torch.tensor(hypotheses[0]["tokens"]))
            assert reply.score == pytest.approx(hypotheses[0]["score"], abs=1e-5)
    flags = ("--beam", "5", "--max-len-a", "0", "--max-len-b", "4")
    assert len(programs.decode(data, tmp_path / "run/ours.pt", *flags).hypotheses()) == 2


def refused(*words) -> str:
    done = programs.tool("import", *words)
    assert done.returncode == 2, done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ") and "remedy" in line
    return line


class Harmful:
    """What a pickle would run."""

    def __reduce__(self):
        return (print, ("run",))


def test_what_cannot_be_imported_is_refused(data, tmp_path):
    whole, out = weights("t_cvae"), tmp_path / "out.pt"

    def case(name, changed, **args):
        return refused(checkpoint(tmp_path / f"{name}.pt", changed, **args), out, "--data", data)

    fewer = {key: value[:50] if "embed_tokens" in key else value for key, value in whole.items()}
    assert "50 tokens" in case("words", fewer)
    layer = {key: value for key, value in whole.items() if not key.startswith("decoder.layers.1.")}
    assert "2 and 1 layers" in case("layers", layer)
    wide = whole | {"encoder.latent.post_net.weight": torch.zeros(7, 32)}
    assert "no T-CVAE has these sizes" in case("latent", wide)
    norm = whole | {"encoder.layers.0.final_layer_norm.weight": torch.zeros(31)}
    assert "final_layer_norm" in case("norm", norm)
    lacking = {key: value for key, value in whole.items() if key != "encoder.latent.query"}
    assert "query" in case("lacking", lacking)
    more = whole | {"encoder.other.weight": torch.zeros(3)}
    assert "encoder.other.weight" in case("more", more)
    nan = whole | {"encoder.latent.query": torch.full((1, 1, 32), float("nan"))}
    assert "no numbers" in case("nan", nan)
    assert "another architecture" in case("stock", {"encoder.layers.0.fc1.weight": torch.zeros(3, 3)})
    torch.save({"model": whole, "args": None}, tmp_path / "heads.pt")
    assert "--heads" in refused(tmp_path / "heads.pt", out, "--data", data)
    assert "do not divide" in refused(tmp_path / "heads.pt", out, "--data", data, "--heads", 5)
    torch.save({"model": Harmful()}, tmp_path / "harmful.pt")
    assert "run code" in refused(tmp_path / "harmful.pt", out, "--data", data)
    (tmp_path / "text.pt").write_text("no checkpoint")
    assert "text.pt" in refused(tmp_path / "text.pt", out, "--data", data)
    assert "no such file" in refused(tmp_path / "none.pt", out, "--data", data)
    assert "ends in .pt" in refused(tmp_path / "heads.pt", tmp_path / "out", "--data", data)
    assert "is there already" in refused(tmp_path / "heads.pt", tmp_path / "text.pt", "--data", data)
    assert not out.exists()


def test_every_name_of_theirs_has_one_of_ours():
    names = places(weights("t_cvae"))
    assert names["encoder.layers.0.self_attn.in_proj_weight"] == [
        f"encoder.layers.0.self_attn.{each}_proj.weight" for each in "qkv"
    ]
    assert names["decoder.latent_fc.weight"] == ["decoder.fusion.linear.weight"]
    assert not {"encoder.version", "latent.query"} & names.keys()
