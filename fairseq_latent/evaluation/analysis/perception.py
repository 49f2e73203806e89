"""`fairseq-latent plot perception`: what the perception variable makes of profiles (Cho et al., 2022, Figure 5).

Means of q(Zp|P) of all different profiles of a split, by t-SNE, coloured by what each profile is about; and beside the
picture, which proves little, how many of a profile's neighbours are about the same: against labels at random, and against
recognition networks with random weights, for which profiles of like words lie together as well.
"""

import argparse
import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean

import numpy as np

from fairseq_latent import __version__

from ..metrics.profile_categories import DEFAULT, by_inference, by_words, read_categories
from ..metrics.purity import Purity, purity


@dataclass(frozen=True)
class Profile:
    """One person's: `example` is the first line of the split that has it."""

    example: int
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        """All sentences."""
        return " ".join(self.sentences)


@dataclass(frozen=True)
class Perception:
    """Profiles with their categories (None: of none), places (N, 2) on the plane, and the purity of those with one.

    untrained: the purities of recognition networks with random weights.
    """

    profiles: tuple[Profile, ...]
    categories: tuple[str | None, ...]
    points: np.ndarray
    purity: Purity
    untrained: tuple[float, ...]
    names: tuple[str, ...]
    signature: str

    def counts(self) -> dict[str, int]:
        """Profiles of each category, in the order of the list."""
        return {name: self.categories.count(name) for name in self.names}


BATCH = 64
DRAWS = 5  # of random weights


def perceive(args: argparse.Namespace) -> Perception:
    """Load, infer, classify, project."""
    from fairseq_latent.text.tokenizers import tokenizer_of

    from .checkpoint import load
    from .latent_samples import project, require_tsne
    from .persona_decoding import profiles_of, require_latents

    require_tsne()
    categories = read_categories(args.categories or DEFAULT)
    trained = load(args.path, args.data, args.split, args.seed, args.cpu)
    require_latents(trained, args.path)
    string = trained.task.target_dictionary.string
    profiles = different(profiles_of(trained, args.data), string, tokenizer_of(args.data))
    if args.nli:
        labels = by_inference([profile.text for profile in profiles], list(categories), args.nli, args.cpu)
        classifier = f"nli:{Path(args.nli).name}"
    else:
        labels = [by_words(profile.sentences, categories) for profile in profiles]
        classifier = f"words:{Path(args.categories).name if args.categories else 'built-in'}"
    vectors = means(trained, [profile.example for profile in profiles])
    if not np.ptp(vectors, axis=0).any():
        print("all profiles have the same mean: the posterior of the perception has collapsed", file=sys.stderr)
    some = [place for place, label in enumerate(labels) if label is not None]
    examples, given = [profiles[place].example for place in some], [labels[place] for place in some]
    parts = [profiles[place].sentences for place in some]
    found = purity(vectors[some], given, args.seed, parts)
    random = with_random_weights(trained, args.path, range(args.seed, args.seed + DRAWS))
    untrained = tuple(purity(means(each, examples), given, args.seed, parts, shuffles=0).value for each in random)
    signature = (
        f"perception|split:{args.split}|z:posterior-mean|neighbours:without-common-sentence|categories:{classifier}|"
        f"random-weights:mean-of-{DRAWS}|t-sne:openTSNE|seed:{args.seed}|version:{__version__}"
    )
    return Perception(
        tuple(profiles), tuple(labels), project(vectors, args.seed), found, untrained, tuple(categories), signature
    )  # fmt: skip


def different(tokens: Sequence, string, subwords) -> list[Profile]:
    """Each profile once, in the order of the split; the order of its sentences makes no other one; blank ones are none."""
    from .persona_decoding import sentences

    found: dict[tuple[str, ...], Profile] = {}
    seen: set[bytes] = set()
    for example in range(len(tokens)):
        row = tokens[example]
        if (key := row.numpy().tobytes()) in seen:  # before it is decoded: a profile stands with many responses
            continue
        seen.add(key)
        text = tuple(filter(None, map(str.strip, sentences(subwords, string(row)))))
        if text:
            found.setdefault(tuple(sorted(text)), Profile(example, text))
    return list(found.values())


def with_random_weights(trained, path: str, seeds: Sequence[int]) -> Iterator:
    """The same, its recognition network with weights of before a training, over the words as the model has them now; one a
    seed."""
    import torch
    from fairseq.checkpoint_utils import load_checkpoint_to_cpu

    from fairseq_latent.compat.checkpoints.allowed_models import asked_for

    with asked_for(stock=False):
        config = load_checkpoint_to_cpu(path)["cfg"]["model"]
    for seed in seeds:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = trained.task.build_model(config, from_checkpoint=True)
        model.encoder.embedding = trained.model.encoder.embedding
        yield replace(trained, model=model.to(trained.device).eval())


def means(trained, examples: Sequence[int]) -> np.ndarray:
    """(N, D): of q(Zp|P), of the profiles of these examples, cut where training cuts them."""
    import torch

    dataset, encoder = trained.task.dataset(trained.split), trained.model.encoder
    rows = []
    for start in range(0, len(examples), BATCH):
        chunk = examples[start : start + BATCH]
        batch = dataset.collater([dataset[example] for example in chunk])
        order = {example: row for row, example in enumerate(batch["id"].tolist())}
        profile = batch["net_input"]["partner_tokens"][[order[example] for example in chunk]].to(trained.device)
        with torch.no_grad():
            posterior = encoder.latents.posterior(encoder.embedding.profile(profile), encoder.embedding)
        rows.append(posterior.mean.double().cpu().numpy())
    return np.concatenate(rows)


def summary(found: Perception) -> str:
    """What is printed."""
    counts = ", ".join(f"{name} {count}" for name, count in found.counts().items())
    return "\n".join(
        (
            str(found.purity),
            f"of {len(found.untrained)} recognition networks with random weights: {mean(found.untrained):.3f} "
            f"({min(found.untrained):.3f} to {max(found.untrained):.3f})",
            f"{found.purity.points} of {len(found.profiles)} different profiles: {counts}",
            found.signature,
        )
    )


def as_json(found: Perception) -> str:
    """The numbers beside the picture."""
    numbers = {
        "purity": asdict(found.purity),
        "untrained": {"value": mean(found.untrained), "draws": found.untrained},
        "profiles": len(found.profiles),
        "categories": found.counts(),
        "signature": found.signature,
    }
    return json.dumps(numbers, ensure_ascii=False, indent=2) + "\n"


def points_as_tsv(found: Perception) -> str:
    """A line per profile: its first example, its category (empty: of none), its place."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(("example", "category", "x", "y"))
    for profile, category, (x, y) in zip(found.profiles, found.categories, found.points.tolist(), strict=True):
        writer.writerow([profile.example, category or "", x, y])
    return text.getvalue()


def points_as_json(found: Perception) -> str:
    """The same with the sentences."""
    rows = [
        {"example": profile.example, "category": category, "x": x, "y": y, "profile": list(profile.sentences)}
        for profile, category, (x, y) in zip(found.profiles, found.categories, found.points.tolist(), strict=True)
    ]
    return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"


FORMATS = {"tsv": points_as_tsv, "json": points_as_json}
