"""Task `self_play`: P²BOT's third stage (Liu et al., 2020): two agents talk, and agent 0 learns from rewards.

An update is an episode: `--rollouts` dialogues of one pair of personas, of (seed, update). Agent 0 samples, agent 1
answers greedily. With probability `--supervised-share` it is a supervised update instead. Data and decoding are those of
`persona_dialogue`; the frozen models are needed to train alone.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Optional

import numpy as np
import torch
from fairseq import utils
from fairseq.dataclass.configs import GenerationConfig
from fairseq.tasks import register_task
from torch import nn

from .. import rewards
from ..data.padding import padded
from ..data.speakers import Speaker
from ..decoding.competing_beam import CompetingBeam
from ..errors import InputError
from ..ranges import AMOUNT, COUNT, FINITE, SHARE, SHARE_BELOW_ONE, Range
from ..self_play.frozen import digest_of
from ..self_play.judges import Judges, judges_of
from ..self_play.people import people_of
from ..self_play.rollouts import Dialogues, Greedy, Sampled, drawn_pair, play, scene_of
from ..text.overlap import unigram_f1
from ..text.tokenizers import tokenizer_of
from .persona_dialogue import PersonaDialogueConfig, PersonaDialogueTask

logger = logging.getLogger(__name__)

OF_PLAY = 0x5E1F  # seeds of episodes are none of anything else
FROZEN = ("transmitter", "receiver", "reward_lm")


@dataclass
class SelfPlayTaskConfig(PersonaDialogueConfig):
    transmitter: Optional[str] = field(
        default=None,
        metadata={"help": "checkpoint of the first stage, frozen: it scores coherence; "
            "start from it by --finetune-from-model"},
    )  # fmt: skip
    receiver: Optional[str] = field(
        default=None, metadata={"help": "checkpoint of the second stage, frozen: it scores persona and repetition"}
    )
    reward_lm: Optional[str] = field(
        default=None,
        metadata={"help": "folder of a pre-trained language model in transformers' form: it scores the language"},
    )
    rollouts: int = field(default=6, metadata={"help": "dialogues per episode", "range": COUNT})
    self_play_turns: int = field(default=3, metadata={"help": "utterances per agent in a dialogue", "range": COUNT})
    play_temperature: float = field(
        default=0.7, metadata={"help": "temperature of agent 0's samples", "range": Range(1e-3, 1e3)}
    )
    play_topk: int = field(
        default=20, metadata={"help": "agent 0 samples from the N best words; 0: from all", "range": AMOUNT}
    )
    coherence_reward: float = field(
        default=0.1, metadata={"help": "weight of the coherence in the reward", "range": FINITE}
    )
    persona_reward: float = field(
        default=0.5, metadata={"help": "weight of the mutual persona perception in the reward", "range": FINITE}
    )
    lm_reward: float = field(
        default=0.5, metadata={"help": "weight of the language model's score in the reward", "range": FINITE}
    )
    repetition_reward: float = field(
        default=-0.1, metadata={"help": "weight of the repetition in the reward", "range": FINITE}
    )
    reward_discount: float = field(
        default=0.5,
        metadata={"help": "discount of later utterances in the persona reward", "range": SHARE},
    )
    supervised_share: float = field(
        default=0.1,
        metadata={
            "help": "share of updates that learn from right replies, not from an episode",
            "range": SHARE_BELOW_ONE,
        },
    )
    self_play_dropout: bool = field(
        default=False, metadata={"help": "use dropout also when the episode's utterances are scored with gradient"}
    )


@register_task("self_play", dataclass=SelfPlayTaskConfig)
class SelfPlayTask(PersonaDialogueTask):
    """--task self_play"""

    cfg: SelfPlayTaskConfig

    def __init__(self, cfg: SelfPlayTaskConfig, *args, **kwargs):
        super().__init__(cfg, *args, **kwargs)
        if cfg.rollouts < 2:
            raise InputError(
                f"--rollouts {cfg.rollouts}: the baseline is the rollouts' mean, and of one nothing is left to learn from; "
                "remedy: --rollouts 6"
            )
        self._judges: Judges | None = None
        self._digests: dict[str, str] = {}
        self._known: dict[str, str] | None = None  # the frozen models of a training that goes on
        self._people: list[Speaker] | None = None
        self._part = (-1, -1)  # the update, and which of its --update-freq parts
        self._f1: tuple[nn.Module, CompetingBeam] | None = None

    # --- before training -------------------------------------------------------------------------------------------

    def begin_epoch(self, epoch, model):
        """Load the earlier stages before the first update."""
        super().begin_epoch(epoch, model)
        if self._judges is None:
            if self.cfg.distributed_world_size > 1:
                raise InputError("self-play trains in one process; remedy: --distributed-world-size 1, --update-freq")
            if not hasattr(model, "branches"):
                raise InputError(f"{type(model).__name__} does not play with itself; remedy: --arch p2bot_transmitter")
            self._judges = self.judges()
            self._refuse_other_stages()
            self._warn_of_another_start(model)
        self.people()

    def judges(self) -> Judges:
        """The frozen models that the weights ask for."""
        weights = {name: getattr(self.cfg, f"{name}_reward") for name in rewards.NAMES}
        stages = {name: getattr(self.cfg, name) for name in FROZEN}
        data, end = utils.split_paths(self.cfg.data)[0], self.target_dictionary.eos()
        return judges_of(stages, weights, self.cfg.reward_discount, data, self.text, end, torch.device("cpu"))

    def _refuse_other_stages(self) -> None:
        paths = {name: path for name in FROZEN if (path := getattr(self.cfg, name))}
        self._digests = {name: digest_of(path) for name, path in paths.items()}
        for name, digest in (self._known or {}).items():
            if self._digests.get(name) != digest:
                raise InputError(
                    f"--{name.replace('_', '-')} {paths.get(name)}: not what this training began with; remedy: that one, "
                    "or another --save-dir"
                )

    def _warn_of_another_start(self, model: nn.Module) -> None:
        if self._known is not None or self._judges.transmitter is None:
            return
        mine, theirs = model.state_dict(), self._judges.transmitter.model.state_dict()
        if any(not torch.equal(value.cpu(), mine[name].cpu()) for name, value in theirs.items() if name in mine):
            logger.warning(
                "self-play starts from other weights than those of --transmitter; remedy: --finetune-from-model "
                f"{self.cfg.transmitter}"
            )

    def people(self) -> list[Speaker]:
        """All who have a profile and said something in the training set."""
        if self._people is None:
            split = self.cfg.train_subset
            end = self.target_dictionary.eos()
            self._people = people_of(self.folder(split, 1), split, self.dataset(split), self.end_of_turn, end)
        return self._people

    def text(self, tokens: Sequence[int]) -> str:
        """Tokens of the data as text."""
        decode = tokenizer_of(utils.split_paths(self.cfg.data)[0]).decode
        return decode(" ".join(self.target_dictionary[token] for token in tokens))

    # --- training --------------------------------------------------------------------------------------------------

    def train_step(self, sample, model, criterion, optimizer, update_num, ignore_grad=False):
        """An episode, or a supervised update."""
        update, part = self._part
        self._part = (update_num, part + 1 if update == update_num else 0)
        seed = (self.cfg.seed, OF_PLAY, *self._part)
        if ignore_grad or np.random.default_rng(seed).random() < self.cfg.supervised_share:
            return super().train_step(sample, model, criterion, optimizer, update_num, ignore_grad)
        model.set_num_updates(update_num)
        episode = self.episode(model, seed)
        model.train(self.cfg.self_play_dropout)
        loss, size, log = criterion(model, episode)
        optimizer.backward(loss)
        return loss, size, log

    def episode(self, model: nn.Module, seed: Sequence[int]) -> dict:
        """What agent 0 said in a batch of dialogues, as a batch of replies with advantages."""
        device = next(model.parameters()).device
        scene = scene_of(drawn_pair(self.people(), *seed, 1), self.cfg.rollouts, *seed, 2)
        dialogues = self.played([model, model], scene, *seed)
        judged = self._judges.to(device).judge(dialogues)[0]
        return self.scored(dialogues, judged, device)

    def played(self, models: Sequence[nn.Module], scene, *seed: int) -> Dialogues:
        """Agent 0 samples, agent 1 answers greedily."""
        forbidden = [self.target_dictionary.pad(), *self.never_said()]
        sampled = Sampled(forbidden, self.cfg.play_temperature, self.cfg.play_topk, *seed, 3)
        longest = models[0].max_positions()[1]
        end = self.target_dictionary.eos()
        return play(models, scene, self.cfg.self_play_turns, (sampled, Greedy(forbidden)), longest, end)

    def scored(self, dialogues: Dialogues, judged, device: torch.device) -> dict:
        """A batch for the criterion: utterances turn by turn, (T * B) rows."""
        words = self.target_dictionary
        prompts = [prompt for turn in dialogues.prompts[0] for prompt in turn]
        ended = dialogues.ended[0].flatten().tolist()
        said = [reply for turn in dialogues.said[0] for reply in turn]
        targets = [[*reply, words.eos()] if done else reply for reply, done in zip(said, ended, strict=True)]
        target = padded(targets, words.pad(), device)
        previous = target.roll(1, 1)
        previous[:, 0] = words.eos()
        read = padded(prompts, words.pad(), device)
        advantages = rewards.advantage(judged.reward)
        values = {f"reward_{name}": part for name, part in judged.parts.items()}
        values |= {"reward": judged.reward, "persona_score": judged.persona_score}
        values["baseline"] = rewards.baseline(judged.reward).expand_as(judged.reward)
        return {
            "id": torch.arange(len(target)),
            "net_input": {
                "src_tokens": read,
                "src_lengths": read.ne(words.pad()).sum(1),
                "prev_output_tokens": previous.masked_fill(target.eq(words.pad()), words.pad()),
                "prompt": read,
            },
            "target": target,
            "ntokens": int(target.ne(words.pad()).sum()),
            "nsentences": len(target),
            "advantages": advantages.T.flatten().to(device),
            "rewards": {name: value.T.flatten() for name, value in values.items()},
        }

    # --- validation ------------------------------------------------------------------------------------------------

    def valid_step(self, sample, model, criterion):
        """The loss of right replies, and the F1 of those that P²BOT's search finds with a beam of 2."""
        loss, size, log = super().valid_step(sample, model, criterion)
        log["f1"] = self._unigram_f1(sample, model)
        return loss, size, log

    def _unigram_f1(self, sample, model: nn.Module) -> float:
        """The sum over the batch, in percent."""
        if self._f1 is None or self._f1[0] is not model:
            flags = GenerationConfig(beam=2, max_len_a=0, max_len_b=model.max_positions()[1] - 1)
            self._f1 = model, self.build_generator([model], flags, seq_gen_cls=CompetingBeam)
        pad, end = self.target_dictionary.pad(), self.target_dictionary.eos()
        with torch.no_grad():
            found = self.inference_step(self._f1[1], [model], sample)
        total = 0.0
        for beam, target in zip(found, sample["target"], strict=True):
            texts = [
                self.text([token for token in row.tolist() if token not in (pad, end)])
                for row in (beam[0]["tokens"], target)
            ]
            total += 100 * unigram_f1(*texts)
        return total

    # --- checkpoints -----------------------------------------------------------------------------------------------

    def state_dict(self) -> dict:
        """Which frozen models judged, by the digests of their files; their weights are not here."""
        state = super().state_dict()
        return {**state, "frozen": dict(self._digests)} if self._digests else state

    def load_state_dict(self, state_dict: dict) -> None:
        """What `state_dict` gave."""
        self._known = state_dict.get("frozen", self._known)
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "frozen"})
