"""One sequence of a speaker's own persona and the history, up to where the reply begins: for TransferTransfo and P²BOT.

Tokens are ids. Special tokens of a layout are ids too: symbols of the dictionary, or numbers from its length on, whose
vectors the model has beside its word table (`modules.prompts.embedding`). Who said an utterance is counted back from the
reply: the last utterance of the history is the partner's, the one before it the speaker's own, and so on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

Ids = Sequence[int]
Around = tuple[tuple[int, ...], tuple[int, ...]]  # special tokens before a text, and after it


@dataclass(frozen=True)
class PromptLayout:
    """Which special tokens stand around the parts of a prompt, and how long it may become.

    persona: around all sentences of the persona together; own, partner: around an utterance of the speaker's or of the
    partner's; reply: before the reply, where a decoder starts. no_persona: in place of the sentences of an empty persona.
    types: token types of what is the speaker's (persona and reply too) and of what is the partner's; None: no types.
    max_utterances: newest utterances of the history that are read, 0: all. longest: tokens of a prompt, without `reply`.
    """

    persona: Around = ((), ())
    own: Around = ((), ())
    partner: Around = ((), ())
    reply: tuple[int, ...] = ()
    no_persona: tuple[int, ...] = ()
    types: tuple[int, int] | None = None
    max_utterances: int = 0
    longest: int = 1024

    def prompt(self, persona: Sequence[Ids], history: Sequence[Ids]) -> tuple[list[int], list[int]]:
        """Tokens of the prompt and their types, [] without types, of at most `longest` tokens each.

        If the prompt would be longer, the oldest utterances are left out whole, then sentences of the persona from its
        end, then the oldest tokens of the newest utterance.
        """
        history = history[-self.max_utterances :] if self.max_utterances else history
        persona, history = self._fitting(list(persona), list(history))
        ours, theirs = self.types or (0, 0)
        said = [token for sentence in persona for token in sentence] or list(self.no_persona)
        tokens = [*self.persona[0], *said, *self.persona[1]]
        types = [ours] * len(tokens)
        for place, utterance in enumerate(history):
            of_partner = (len(history) - place) % 2 == 1
            before, after = self.partner if of_partner else self.own
            tokens += [*before, *utterance, *after]
            types += [theirs if of_partner else ours] * (len(before) + len(utterance) + len(after))
        return tokens, types if self.types else []

    def _fitting(self, persona: list[Ids], history: list[Ids]) -> tuple[list[Ids], list[Ids]]:
        while len(history) > 1 and self._length(persona, history) > self.longest:
            history = history[1:]
        while persona and self._length(persona, history) > self.longest:
            persona = persona[:-1]
        if history and (excess := self._length(persona, history) - self.longest) > 0:
            history = [history[-1][excess:]]
        return persona, history

    def _length(self, persona: Sequence[Ids], history: Sequence[Ids]) -> int:
        around = [self.partner if (len(history) - place) % 2 else self.own for place in range(len(history))]
        said = sum(map(len, persona)) or len(self.no_persona)
        return (
            sum(map(len, history)) + said + sum(len(before) + len(after) for before, after in (self.persona, *around))
        )


def texts_between(tokens: Tensor | Ids, separator: int, end: int) -> list[list[int]]:
    """t1 <eot> t2 ... </s> -> [t1, t2, ...]: the turns of a context or the sentences of a profile; [] of an empty line.

    An empty turn between others stays one, so that speakers still alternate.
    """
    ids = tokens.tolist() if isinstance(tokens, Tensor) else list(tokens)
    texts: list[list[int]] = [[]]
    for token in ids[:-1] if ids and ids[-1] == end else ids:
        if token == separator:
            texts.append([])
        else:
            texts[-1].append(token)
    return texts if any(texts) else []


def rotated(sentences: Sequence[Ids], times: int) -> list[Ids]:
    """The last sentence moved to the front, `times` times: TransferTransfo's persona permutations (Wolf et al., 2019)."""
    if not sentences:
        return []
    first = -times % len(sentences)
    return [*sentences[first:], *sentences[:first]]


def shuffled(sentences: Sequence[Ids], *seed: int) -> list[Ids]:
    """In an order sampled from these numbers alone, e.g. (seed, epoch, dialogue)."""
    order = np.random.default_rng([number % 2**32 for number in seed]).permutation(len(sentences))
    return [sentences[place] for place in order]
