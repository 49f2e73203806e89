"""`conversations.jsonl`, version 1: the one form in which conversations enter, whatever corpus they come from.

One conversation a line, a JSON object in UTF-8 (plain or `.gz`):

    {"id": "c1", "turns": [{"speaker": "A", "text": "Hello!"}, {"speaker": "B", "text": "Hi."}]}

    key of a conversation   id          string, printable, used once in a file
                            turns       list, one turn or more, in the order they were spoken
                            personas    optional: {speaker: [sentence, ...]}
                            lang        optional: string, e.g. "en"
                            source      optional: string, the corpus it comes from
    key of a turn           speaker     string, not empty
                            text        string
                            id          optional: string
                            time        optional: string, by convention ISO 8601
                            candidates  optional: list, one string or more: the replies offered, mostly the text among them

Other keys are refused: they are mostly typing errors. A first line `{"format": "conversations", "version": 1}` is written
and accepted; without it, version 1 is assumed.
"""

import gzip
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from orjson import dumps, loads

from fairseq_latent.errors import InputError
from fairseq_latent.files import written_whole

from .lines import decode, raw_lines
from .parallel import block_lines

FORMAT, VERSION = "conversations", 1
PART = "#part"  # conversation `c1`, cut in two, goes on as `c1` and `c1#part2`
BRANCH = "#branch"  # a thread `t1` with two ends: conversations `t1` and `t1#branch2`, which begin with the same turns
CUT = re.compile(f"(.+)(?:{PART}|{BRANCH})\\d+", re.DOTALL)
OPTIONAL_KEYS, TEXT_OR_NOTHING = ("lang", "source"), {str, type(None)}
PLAIN_KEYS, PLAIN_TURN_KEYS = {"id", "turns", *OPTIONAL_KEYS}, {"speaker", "text", "id", "time"}
SEPARATORS = re.compile(b"\xc2\x85|\xe2\x80[\xa8\xa9]")


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker said before another one spoke."""

    speaker: str
    text: str
    id: str | None = None
    time: str | None = None
    candidates: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """Turns in order, and what is known of their speakers."""

    id: str
    turns: Sequence[Turn]
    personas: Mapping[str, Sequence[str]] | None = None
    lang: str | None = None
    source: str | None = None


def part_id(conversation_id: str, number: int) -> str:
    """The id of the part `number` = 1, 2, ... of a conversation that was cut; the first part keeps the id."""
    return conversation_id if number == 1 else f"{conversation_id}{PART}{number}"


def whole_id(conversation_id: str) -> str:
    """The id of the thread that a conversation is a branch of, or a part that was cut off, once or again and again."""
    while found := CUT.fullmatch(conversation_id):
        conversation_id = found[1]
    return conversation_id


def read_conversations(
    path: str | Path, on_error: Callable[[InputError], None] | None = None
) -> Iterator[Conversation]:
    """Yield and validate one conversation after another, in memory that does not grow but for their ids.

    A bad line raises "FILE:LINE: what is wrong; remedy"; with `on_error`, that is called and the line is passed over.
    """
    seen: dict[str, int] = {}
    for number, line in raw_lines(path):
        try:
            record = _parse(decode(line))
            if number == 1 and "format" in record:
                _check_header(record)
                continue
            conversation = conversation_from(record)
            if conversation.id in seen:
                raise InputError(
                    f"id {conversation.id!r} stands in line {seen[conversation.id]} too; remedy: make ids unique"
                )
        except InputError as error:
            located = InputError(f"{path}:{number}: {error}")
            if on_error is None:
                raise located from None
            on_error(located)
            continue
        seen[conversation.id] = number
        yield conversation


def write_conversations(path: str | Path, conversations: Iterable[Conversation]) -> int:
    """Write a file that `read_conversations` accepts, whole or not at all (gzipped for `.gz`); the number written."""
    seen: set[str] = set()
    with written_whole(path, "wb") as plain, zipped(plain, path) as file:
        file.write(header_line())
        for conversation in conversations:
            try:
                line = line_of(conversation)
                if conversation.id in seen:
                    raise InputError("its id is used twice; remedy: make ids unique")
                file.write(line)
            except InputError as error:
                raise InputError(f"{path}: conversation {conversation.id!r} cannot be written: {error}") from None
            seen.add(conversation.id)
    return len(seen)


def checked_records(path: str, first: int, data: bytes) -> Iterator[tuple[int, dict]]:
    """(line number, JSON object) of the conversations in a block of lines, `first` the number of the first one.

    Valid as those of `read_conversations`, but for ids used twice, which only who sees all blocks can know.
    """
    for number, line in block_lines(first, data):
        try:
            record = loads(line)
        except ValueError:
            record = None  # for the slower way to say why
        if record is None or not _looks_right(record):
            try:
                record = _parse(decode(line))
                if number == 1 and "format" in record:
                    _check_header(record)
                    continue
                conversation_from(record)
            except InputError as error:
                raise InputError(f"{path}:{number}: {error}") from None
        yield number, record


def _looks_right(record: object) -> bool:
    """Whether a record, without personas and candidates, has at a glance nothing that `conversation_from` finds wrong."""
    if type(record) is not dict or not record.keys() <= PLAIN_KEYS:
        return False
    identity, turns = record.get("id"), record.get("turns")
    if type(identity) is not str or not identity.isprintable() or not identity or identity != identity.strip():
        return False
    if type(turns) is not list or not turns or {type(record.get(key)) for key in OPTIONAL_KEYS} - TEXT_OR_NOTHING:
        return False
    for turn in turns:
        if type(turn) is not dict or not turn.keys() <= PLAIN_TURN_KEYS or type(turn.get("text")) is not str:
            return False
        speaker = turn.get("speaker")
        if type(speaker) is not str or not speaker.strip():
            return False
        if type(turn.get("id", "")) not in TEXT_OR_NOTHING or type(turn.get("time", "")) not in TEXT_OR_NOTHING:
            return False
    return True


def header_line() -> bytes:
    """The first line of a file."""
    return dump_record({"format": FORMAT, "version": VERSION})


def line_of(conversation: Conversation) -> bytes:
    """A conversation's line, its end included; InputError where it could not be read again."""
    record = record_of(conversation)
    conversation_from(record)
    return dump_record(record)


def conversation_from(record: dict) -> Conversation:
    """A validated conversation from its JSON object; InputError says what is wrong, without file and line."""
    _check_keys(record, ("id", "turns"), ("personas", "lang", "source"), "the conversation")
    identity = _string(record, "id", "the conversation")
    if not identity.isprintable() or identity != identity.strip() or not identity:
        raise InputError(f"id {identity!r} is empty or has invisible characters; remedy: use printable characters only")
    turns = record["turns"]
    if not isinstance(turns, list) or not turns:
        raise InputError("turns must be a list of one turn or more; remedy: leave out conversations without turns")
    return Conversation(
        id=identity,
        turns=tuple(_turn_from(turn, f"turns[{index}]") for index, turn in enumerate(turns)),
        personas=_personas_from(record.get("personas")),
        lang=_string(record, "lang", "the conversation", optional=True),
        source=_string(record, "source", "the conversation", optional=True),
    )


def record_of(conversation: Conversation) -> dict:
    """The JSON object of a conversation, without the keys that are not set."""
    record = {"id": conversation.id, "turns": [_without_none(_turn_record(turn)) for turn in conversation.turns]}
    if conversation.personas is not None:
        record["personas"] = {speaker: list(sentences) for speaker, sentences in conversation.personas.items()}
    return record | _without_none({"lang": conversation.lang, "source": conversation.source})


def _turn_record(turn: Turn) -> dict:
    candidates = None if turn.candidates is None else list(turn.candidates)
    return {"speaker": turn.speaker, "text": turn.text, "id": turn.id, "time": turn.time, "candidates": candidates}


def _without_none(record: dict) -> dict:
    return {key: value for key, value in record.items() if value is not None}


def _turn_from(record: object, where: str) -> Turn:
    _check_keys(record, ("speaker", "text"), ("id", "time", "candidates"), where)
    speaker = _string(record, "speaker", where)
    if not speaker.strip():
        raise InputError(f"{where}: speaker is empty; remedy: name the speaker, e.g. A and B")
    text = _string(record, "text", where)
    identity, time = _string(record, "id", where, True), _string(record, "time", where, True)
    return Turn(speaker, text, identity, time, _candidates_from(record.get("candidates"), where))


def _candidates_from(candidates: object, where: str) -> tuple[str, ...] | None:
    if candidates is None:
        return None
    if not isinstance(candidates, list) or not candidates or not all(isinstance(each, str) for each in candidates):
        raise InputError(f'{where}: candidates must be a list of one string or more; remedy: e.g. ["Hi."]')
    return tuple(candidates)


def _personas_from(personas: object) -> dict[str, tuple[str, ...]] | None:
    if personas is None:
        return None
    right = isinstance(personas, dict) and all(
        isinstance(sentences, list) and all(isinstance(sentence, str) for sentence in sentences)
        for sentences in personas.values()
    )
    if not right:
        raise InputError('personas must map speakers to lists of sentences; remedy: e.g. {"A": ["I like tea."]}')
    return {speaker: tuple(sentences) for speaker, sentences in personas.items()}


def _string(record: dict, key: str, where: str, optional: bool = False) -> str | None:
    value = record.get(key)
    if isinstance(value, str) or (optional and value is None):
        return value
    raise InputError(f"{where}: {key} must be a string, not {json.dumps(value)[:40]}; remedy: put it in quotes")


def _check_keys(record: object, required: tuple[str, ...], optional: tuple[str, ...], where: str) -> None:
    if not isinstance(record, dict):
        raise InputError(f"{where} must be a JSON object; remedy: see the form in preprocess/conversation.py")
    for key in required:
        if key not in record:
            raise InputError(f"{where} has no {key!r}; remedy: add it")
    unknown = sorted(record.keys() - {*required, *optional})
    if unknown:
        allowed = ", ".join((*required, *optional))
        raise InputError(f"{where} has the unknown key {unknown[0]!r}; remedy: remove it, the keys are {allowed}")


def _check_header(record: dict) -> None:
    if record["format"] != FORMAT or not isinstance(record.get("version"), int) or len(record) > 2:
        raise InputError(f'not a conversations file; remedy: start with {{"format": "{FORMAT}", "version": {VERSION}}}')
    if record["version"] > VERSION:
        raise InputError(f"version {record['version']} is newer than {VERSION}; remedy: update fairseq_latent")


def _parse(line: str) -> dict:
    if not line.strip():
        raise InputError("the line is empty; remedy: delete it")
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"no JSON ({error}); remedy: write one object a line") from None
    if not isinstance(record, dict):
        raise InputError("not a JSON object; remedy: write one conversation a line")
    if "\\ud" in line.lower():
        dump_record(record)
    return record


def dump_record(record: dict) -> bytes:
    """One line of JSON; the line separators that JSON may hold are escaped, since many tools would split there."""
    try:
        line = dumps(record)
    except TypeError:  # orjson's for what UTF-8 has no form of
        raise InputError("half of a surrogate pair (\\ud800 ...) in a text; remedy: write the text as UTF-8") from None
    if SEPARATORS.search(line):
        for separator in "\x85\u2028\u2029":
            line = line.replace(separator.encode(), f"\\u{ord(separator):04x}".encode())
    return line + b"\n"


def zipped(file: IO[bytes], path: str | Path) -> AbstractContextManager[IO[bytes]]:
    """`file`, or where `path` says .gz what compresses into it."""
    if not str(path).endswith(".gz"):
        return nullcontext(file)
    return gzip.GzipFile("", "wb", 6, file, mtime=0)  # no time stamp: same conversations, same bytes
