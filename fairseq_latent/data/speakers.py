"""What a speaker says in a dialogue, and his own profile, gathered from the examples of a split."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from .own_persona import texts_between

Text = tuple[int, ...]  # tokens of the data, without its end


@dataclass(frozen=True)
class Speaker:
    """One of the two in a dialogue: his utterances in their order, the sentences of his profile."""

    utterances: tuple[Text, ...]
    persona: tuple[Text, ...]


def speakers(
    ids: Sequence[str], rows: Iterable[tuple[Tensor, Tensor, Tensor]], end_of_turn: int, end: int
) -> list[Speaker]:
    """Examples (context, response, own profile) with ids CONVERSATION:TURN -> one Speaker per profile in a conversation.

    The two take turns: who responds at turn t said t - 2, t - 4, ... of the context, too. Who has no profile is left out.
    """
    said: dict[str, dict[int, Text]] = {}
    personas: dict[tuple[str, int], list[Text]] = {}
    for identity, (context, response, own) in zip(ids, rows, strict=True):
        conversation, _, number = identity.rpartition(":")
        turn, turns = int(number), said.setdefault(conversation, {})
        before = texts_between(context, end_of_turn, end)
        turns.update((turn - place, tuple(text)) for place, text in enumerate(reversed(before), 1))
        turns[turn] = tuple(response.tolist()[:-1])
        personas[conversation, turn % 2] = [tuple(text) for text in texts_between(own, end_of_turn, end) if text]
    found = []
    for (conversation, side), persona in personas.items():
        utterances = tuple(text for turn, text in sorted(said[conversation].items()) if text and turn % 2 == side)
        if utterances and persona:
            found.append(Speaker(utterances, tuple(persona)))
    return found
