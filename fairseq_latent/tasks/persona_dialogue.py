"""Task `persona_dialogue`: context -> response, and in training the partner's profile for the latents to learn from.

Reads what task `dialogue` reads and, where the data folder has them, `SPLIT.partner-None.partner`, the profiles, and
`SPLIT.fader`, a line each with the similarity of profile and response; with `--profile-of own`, `SPLIT.own-None.own` and
`SPLIT.own_fader`. Profiles never reach a model that decodes. Without them this is the task `dialogue`, for models that need
no profile.
"""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import numpy as np
from fairseq import utils
from fairseq.data import ConcatDataset, data_utils
from fairseq.dataclass import ChoiceEnum
from fairseq.tasks import register_task
from fairseq.token_generation_constraints import unpack_constraints
from torch import Tensor

from ..data.binarised import check_files, parts
from ..data.candidates import DISTRACTORS
from ..data.persona_dataset import POSTERIOR_INPUTS, PersonaDataset
from ..data.prompt_dataset import PROMPT_INPUTS, PromptDataset
from ..errors import InputError
from ..ranges import AMOUNT, SHARE, Range
from ..text.tokenizers import gpt2_tokens
from .dialogue import DialogueConfig, DialogueTask
from .own_persona import PREPARE, OwnPersonaConfig, OwnPersonaTask

logger = logging.getLogger(__name__)


@dataclass
class PersonaDialogueConfig(OwnPersonaConfig, DialogueConfig):
    profile_of: ChoiceEnum(["partner", "own"]) = field(  # type: ignore[valid-type]
        default="partner",
        metadata={
            "help": "whose profile q(Zp|P) reads, in training alone: the partner's, as in the paper, or that of who "
            "responds, a positive control"
        },
    )
    partner: str = field(default="partner", metadata={"help": "suffix of the partner's profiles"})
    max_partner_tokens: int = field(
        default=128, metadata={"help": "longest profile in tokens; longer ones are cut, in training", "range": Range(2)}
    )
    fader: Optional[float] = field(
        default=None,
        metadata={
            "help": "decode with the fader variable at this value, from 0 to 1, not at the prior's",
            "range": SHARE,
        },
    )
    fader_noise: float = field(
        default=0.0,
        metadata={
            "help": "each dimension of --fader varies by normal noise of this share (released: 0.25)",
            "range": AMOUNT,
        },
    )
    repetition_penalty: float = field(
        default=1.0,
        metadata={
            "help": "factor on the log probabilities of words that a response already has (the authors' code: 2)",
            "range": Range(1),
        },
    )


@register_task("persona_dialogue", dataclass=PersonaDialogueConfig)
class PersonaDialogueTask(OwnPersonaTask, DialogueTask):
    """--task persona_dialogue"""

    cfg: PersonaDialogueConfig
    reads_profiles = True

    def __init__(self, cfg: PersonaDialogueConfig, *args, **kwargs):
        if cfg.fader_noise and cfg.fader is None:
            raise InputError(f"--fader-noise {cfg.fader_noise} without --fader; remedy: both, or neither")
        super().__init__(cfg, *args, **kwargs)

    def load_dataset(self, split, epoch=1, combine=False, **kwargs):
        """Read one split, with its profiles where there are any."""
        super().load_dataset(split, epoch=epoch, combine=combine, **kwargs)
        self.add_prompts(split, epoch, combine)
        if self._model is not None and POSTERIOR_INPUTS[0] not in getattr(self._model, "posterior_inputs", ()):
            return  # it has no use for profiles
        folder, pairs = Path(self.folder(split, epoch)), self.datasets[split]
        own = str(self.cfg.profile_of) == "own"
        field = "own" if own else self.cfg.partner
        prefix = folder / f"{split}.{field}-None.{field}"
        found, times, profiles = self.profiles(folder, split, field, combine, len(pairs))
        if profiles is None and own:
            raise InputError(f"--profile-of own: {prefix}.idx is not there; {PREPARE}")
        if profiles is None:
            return
        similarity = np.concatenate([
            np.tile(read_similarity(folder / f"{part}.{'own_fader' if own else 'fader'}", len(of_part)), count)
            for (part, of_part), count in zip(found.items(), times, strict=True)
        ])  # fmt: skip
        long = int((np.asarray(profiles.sizes) > self.cfg.max_partner_tokens).sum())
        if long:
            logger.warning(f"{prefix}: {long:,} profiles cut at --max-partner-tokens {self.cfg.max_partner_tokens}")
        pad = self.target_dictionary.pad()
        self.datasets[split] = PersonaDataset(pairs, profiles, similarity, pad, self.cfg.max_partner_tokens)

    def dataset_of_pairs(self, sources, targets, profiles=None, similarity=None, personas=None):
        """Pairs, and what the model reads beside them: partners' profiles and their similarity, or own personas, as ids."""
        pairs, words = super().dataset_of_pairs(sources, targets), self.target_dictionary
        if personas is not None:
            pairs = PromptDataset(pairs, personas, self.prompt_layout, self.end_of_turn, words.eos(), words.pad())
        if profiles is not None:
            values = np.array(similarity, np.float32)
            pairs = PersonaDataset(pairs, profiles, values, words.pad(), self.cfg.max_partner_tokens)
        return pairs

    def profiles(self, folder: Path, split: str, field: str, combine: bool, count: int):
        """Of a split's parts their profiles, how often each part is taken, and all together, None where there are none."""
        rest = f".{field}-None.{field}"
        found = {part: self._read_profiles(f"{folder / part}{rest}") for part in parts(folder, split, rest, combine)}
        times = [self.first_part_times if len(found) > 1 else 1] + [1] * (len(found) - 1)
        if found[split] is None:
            return found, times, None
        profiles = ConcatDataset(list(found.values()), times) if len(found) > 1 else found[split]
        if len(profiles) != count:
            raise InputError(f"{folder / split}{rest}: {len(profiles)} profiles of {count} pairs; {PREPARE}, again")
        return found, times, profiles

    def _read_profiles(self, prefix: str):
        """The profiles of a part of a split; None where it has none."""
        check_files(prefix, len(self.target_dictionary))
        return data_utils.load_indexed_dataset(prefix, self.target_dictionary, self.cfg.dataset_impl)

    def build_model(self, cfg, from_checkpoint=False):
        """A checkpoint brings GPT-2's weights, without the folder that they came from."""
        if from_checkpoint and getattr(cfg, "gpt2_path", None):
            cfg.gpt2_path = None
        elif getattr(cfg, "freeze_embeddings", False) and not cfg.gpt2_path:
            logger.warning(
                "--freeze-embeddings without --gpt2-path: random words stay random, but in a checkpoint's place"
            )
        elif getattr(cfg, "gpt2_path", None):
            self._refuse_other_tokens(cfg.gpt2_path)
        return super().build_model(cfg, from_checkpoint)

    def _refuse_other_tokens(self, folder: str) -> None:
        """Ids of two tokenizers are the same numbers: they are told apart by the files that lie beside data and weights."""
        data = utils.split_paths(self.cfg.data)[0]
        ours, theirs = gpt2_tokens(data), gpt2_tokens(folder)
        if ours and not theirs:
            logger.warning(f"{folder}: no tokenizer there, taken for that of {data}")
        # tokens that were added at its end make no difference
        if ours and theirs and theirs.types[: len(ours.types)] != ours.types:
            raise InputError(
                f"{folder}: its tokenizer is not that of {data}; remedy: prepare the data with GPT2=that folder"
            )

    def build_generator(self, models, args, **kwargs):
        """fairseq's; a fixed fader is for models that have one."""
        if self.cfg.fader is not None and any(getattr(model.encoder, "latents", None) is None for model in models):
            raise InputError(f"--fader {self.cfg.fader}: this model has no fader; remedy: one that has latents")
        return super().build_generator(models, args, **kwargs)

    def restrictions(self, models) -> tuple[list[int], float]:
        """No special token of ours within a response, and less of what it has already."""
        return self.never_said(), self.cfg.repetition_penalty

    def sampling_inputs(self) -> dict:
        """A fixed fader, where it was set."""
        by_hand = {"fader": self.cfg.fader, "fader_noise": self.cfg.fader_noise}
        return super().sampling_inputs() | ({} if self.cfg.fader is None else by_hand)

    def inference_step(self, generator, models, sample, prefix_tokens=None, constraints=None):
        """Decode from the context alone: the profile stays here."""
        if constraints is not None:
            self._refuse_unsaid(constraints)
        unread = (*POSTERIOR_INPUTS, DISTRACTORS)
        net_input = {name: value for name, value in sample["net_input"].items() if name not in unread}
        if self.prompt_layout is not None and PROMPT_INPUTS[0] not in net_input:
            net_input |= self.prompts_of(net_input["src_tokens"])
        return super().inference_step(generator, models, {**sample, "net_input": net_input}, prefix_tokens, constraints)

    def _refuse_unsaid(self, constraints: Tensor) -> None:
        """InputError for words that no response has: a search would look for them until its end."""
        words, unsaid = self.target_dictionary, set(self.never_said())
        for constraint in (constraint for row in constraints for constraint in unpack_constraints(row)):
            if found := unsaid.intersection(constraint.tolist()):
                what = "a word that the dictionary lacks" if words.unk() in found else words[min(found)]
                raise InputError(
                    f"--constraints: {what}, which no response has; remedy: words of the data's dict.tgt.txt"
                )


def read_similarity(path: Path, count: int) -> np.ndarray:
    """(N,) float32 from 0 to 1, one per line; InputError where they are not."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; {PREPARE}, again")
    try:
        values = np.array(path.read_text("utf-8").split(), np.float32)
    except ValueError as error:
        raise InputError(f"{path}: {error}; {PREPARE}, again") from None
    if len(values) != count:
        raise InputError(f"{path}: {len(values)} numbers of {count} pairs; {PREPARE}, again")
    if not ((values >= 0) & (values <= 1)).all():
        raise InputError(f"{path}: similarities are from 0 to 1; {PREPARE}, again")
    return values
