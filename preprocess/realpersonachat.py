"""Reads RealPersonaChat (Yamashita et al., 2023, https://github.com/nu-dialogue/real-persona-chat): Japanese chat.

`dialogues/*.json` hold a dialogue each: `utterances` with `interlocutor_id`, `text` and `timestamp` ("NaT": unknown).
`interlocutors.json` holds the `persona` of every speaker, ten sentences about the real person. Personality scores, other
facts about the speakers and their ratings are left out.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from fairseq_latent.errors import InputError, run

from .archives import members
from .conversation import Conversation, conversation_from, write_conversations

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


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m preprocess.realpersonachat",
        description="Write RealPersonaChat (Japanese), with both personas and times, as conversations.jsonl.",
    )
    parser.add_argument("file", metavar="FILE", help="the archive (.tar.xz, .tar.gz, .zip), or its folder")
    parser.add_argument("--out", required=True, metavar="FILE", help="conversations.jsonl (or .jsonl.gz) to write")
    options = parser.parse_args(arguments)
    counts = Counter()
    conversations = read_realpersonachat(options.file, counts)
    kept = write_conversations(options.out, tqdm(conversations, "realpersonachat", unit=" conversations", disable=None))
    read = f"{counts['conversations']:,} conversations, {counts['turns']:,} turns, {counts['personas']:,} personas read"
    print(f"{read}, {kept:,} kept -> {options.out}")


if __name__ == "__main__":
    sys.exit(run(main))
