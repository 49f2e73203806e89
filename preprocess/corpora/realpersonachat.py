"""Reads RealPersonaChat (Yamashita et al., 2023, https://github.com/nu-dialogue/real-persona-chat): Japanese chat.

`dialogues/*.json` hold a dialogue each: `utterances` with `interlocutor_id`, `text` and `timestamp` ("NaT": unknown).
`interlocutors.json` holds the `persona` of every speaker, ten sentences about the real person. Personality scores, other
facts about the speakers and their ratings are left out.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from fairseq_latent.errors import InputError

from ..conversation import Conversation, conversation_from
from .archives import members

SOURCE = "realpersonachat"
UNKNOWN_TIME = "NaT"


def read_realpersonachat(path: str | Path, counts: Counter | None = None) -> Iterator[Conversation]:
    """Yield every dialogue with both personas; its id is its file's name, its speakers' ids are the corpus's.

    `path`: the archive or its folder, which is read twice, since the personas may lie behind the dialogues. `counts` is
    filled with "conversations", "turns" and "personas" (of speakers who take part). InputError where a file is damaged,
    has another form, or a speaker no persona.
    """
    counts = Counter() if counts is None else counts
    personas = _personas(path)
    speakers = set()
    for member in members(path, "dialogues/*.json"):
        record = member.json()
        try:
            conversation = conversation_from(_renamed(member.stem, record, personas))
        except (InputError, KeyError, TypeError) as error:
            raise member.other_form(1, error) from None
        speakers.update(conversation.personas)
        counts.update(conversations=1, turns=len(conversation.turns))
        counts["personas"] = len(speakers)
        yield conversation


def _personas(path: str | Path) -> dict[str, list[str]]:
    """Speaker's id -> sentences."""
    for member in members(path, "interlocutors.json"):
        record = member.json()
        try:
            return {speaker: facts["persona"] for speaker, facts in record.items()}
        except (AttributeError, KeyError, TypeError) as error:
            raise member.other_form(1, error) from None
    return {}


def _renamed(identity: str, record: dict, personas: dict[str, list[str]]) -> dict:
    """A dialogue with the keys of conversations.jsonl."""
    turns = []
    for utterance in record["utterances"]:
        turn = {"speaker": utterance["interlocutor_id"], "text": utterance["text"]}
        time = utterance["timestamp"]
        turns.append(turn if time == UNKNOWN_TIME else turn | {"time": time})
    for speaker in (*record["interlocutors"], *(turn["speaker"] for turn in turns)):
        if speaker not in personas:
            raise InputError(f"speaker {speaker!r} has no persona in interlocutors.json")
    own = {speaker: personas[speaker] for speaker in record["interlocutors"]}
    return {"id": identity, "turns": turns, "personas": own, "lang": "ja", "source": SOURCE}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this corpus."""
    parser.add_argument("file", metavar="FILE", help="the archive (.tar.xz, .tar.gz, .zip), or its folder")


def read(options: argparse.Namespace, counts: Counter) -> Iterator[Conversation]:
    """What the flags ask for; counts what is read and what is left out."""
    return read_realpersonachat(options.file, counts)


def account(counts: Counter, kept: int) -> str:
    """One line about what was read, once `kept` conversations are written."""
    read = f"{counts['conversations']:,} conversations, {counts['turns']:,} turns, {counts['personas']:,} personas read"
    return f"{read}, {kept:,} kept"
