"""What `fairseq-latent score` measures beside the rest where asked: P.Distance, and diversity on a part of the dialogues."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from fairseq_latent.errors import InputError
from fairseq_latent.text.line_ngrams import Words
from fairseq_latent.text.word_tokenizers import UNSPACED, Tokenizer

from . import p_distance
from .dialogue_subset import Subset, read_subset, subset_or_none
from .p_distance import PDistance
from .response_metrics import Distinct
from .system_scores import Measurement


@dataclass(frozen=True)
class PersonaMeasures:
    """proximity: to `profiles`, one per context. subset: contexts on which distinct n-grams are counted once more."""

    proximity: PDistance | None = None
    profiles: Sequence[str] = ()
    subset: Subset | None = None

    def measure(self, lines: Sequence[str], texts: Sequence[str], signature: str, samples: int) -> list[Measurement]:
        """Of `samples` responses per context, one after the other: `lines` for n-grams, `texts` for keywords."""
        found = []
        if self.proximity is not None:
            profiles = [profile for profile in self.profiles for _ in range(samples)]
            found.append(Measurement(self.proximity, self.proximity.statistics(texts, profiles), samples))
        if self.subset is not None:
            contexts = [lines[start : start + samples] for start in range(0, len(lines), samples)]
            chosen = [line for responses in self.subset.chosen(contexts) for line in responses]
            found += distinct(chosen, signature, samples, self.subset.dialogues, self.subset.of)
        return found


NOTHING = PersonaMeasures()


def distinct(
    lines: Sequence[str], signature: str, samples: int, dialogues: int = 0, of_dialogues: int = 0
) -> list[Measurement]:
    """Distinct 1- and 2-grams, by both denominators; of some of the dialogues, or of all."""
    found, words = [], Words.of(lines)
    for n in (1, 2):
        statistics = words.ngrams(n)  # the same for both denominators
        found += [
            Measurement(Distinct(n, signature, denominator, dialogues, of_dialogues), statistics, samples)
            for denominator in ("ngrams", "words")
        ]
    return found


def persona_measures(
    args: argparse.Namespace, contexts: int, words: Tokenizer, vectors_serve: bool = False
) -> PersonaMeasures:
    """What the flags ask for, of so many contexts; InputError where they do not fit together.

    vectors_serve: --vectors has another use than P.Distance, too.
    """
    subset = None
    if getattr(args, "dialogues", None):
        few = getattr(args, "by_dialogue", None)  # which --dialogues serves, too
        subset = (subset_or_none if few else read_subset)(args.dialogues, contexts)
    if not args.profiles:
        for flag, given in (("vectors", args.vectors), ("stopwords", args.stopwords), ("train-text", args.train_text)):
            if given and not (flag == "vectors" and vectors_serve):
                raise InputError(f"--{flag} is for P.Distance, which needs profiles; remedy: --profiles FILE")
        return PersonaMeasures(subset=subset)
    if not args.vectors:
        raise InputError("--profiles: P.Distance needs word vectors; remedy: --vectors FILE")
    profiles = p_distance.read_profiles(args.profiles, contexts)
    if args.lang not in UNSPACED:
        metric = p_distance.p_distance(profiles, args.vectors, args.stopwords, args.train_text, args.lang)
    else:  # words have to be told apart first
        profiles = words(profiles)
        metric = p_distance.p_distance(
            profiles, args.vectors, args.stopwords, args.train_text, args.lang, words, words.signature
        )
    return PersonaMeasures(metric, profiles, subset)
