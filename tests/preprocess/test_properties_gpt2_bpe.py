"""Property tests: whatever stands in a tokenizer's files, text becomes tokens, or one line says why not."""

import json

from hypothesis import given
from hypothesis import strategies as st

from preprocess import gpt2_bpe

from ..helpers.hostile import altered, edited, folder, outcome, refused_or_written
from ..helpers.releases import packed
from .corpora.test_properties_readers import text_of
from .test_gpt2_bpe import own  # noqa: F401  a fixture
from .test_properties_steps import split_files


@given(st.data())
def test_gpt2_bpe(own, data):  # noqa: F811
    files = {path.name: path.read_bytes() for path in own.iterdir()}
    encoder = json.loads(files["encoder.json"])
    files["encoder.json"] = data.draw(
        st.just(files["encoder.json"]) | edited(files["encoder.json"]) | altered(encoder).map(text_of)
    )
    files["vocab.bpe"] = data.draw(st.just(files["vocab.bpe"]) | edited(files["vocab.bpe"]))
    with folder() as here:
        packed(
            here, split_files(data.draw, "src", "tgt", "partner") | {f"g/{name}": text for name, text in files.items()}
        )
        found = outcome(gpt2_bpe.main, here / "d", "--gpt2", here / "g")
        refused_or_written(found, here / "d/bpe")
        if not found.code:
            outcome(gpt2_bpe.main, "--decode", here / "d/bpe", stdin=data.draw(edited(b"15 16 <eot> 3\n")))
