"""Any corpus of JSON, by JMESPath expressions (https://jmespath.org) that say where its conversations and turns are."""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from fairseq_latent.errors import InputError, missing_extra
from fairseq_latent.text.json_values import loads

from ..conversation import Conversation
from .archives import Member, members
from .records import account_of, add_text_arguments, conversation, name_of, sentences, texts_of

LINES = (".jsonl", ".ndjson")
PLACES = {"conversations": "the file", "turns": "the first conversation", "text": "the first turn"}
DEEP, MANY = 3, 8  # of what is shown of a record

Search = Callable[[Any], Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where things are."""
    add = parser.add_argument
    add("file", metavar="FILE", help=".json, .jsonl, or a folder or an archive of them, plain or compressed")
    add(
        "--conversations",
        default="@",
        metavar="EXPR",
        help="of a file, or of a line of .jsonl: a list of conversations, an object of them (its keys are their ids), or "
        "one (default: the whole)",
    )
    add(
        "--turns",
        required=True,
        metavar="EXPR",
        help="of a conversation: the list of its turns, which may be plain texts",
    )
    add("--text", metavar="EXPR", help="of a turn: its text (default: text, or the turn itself)")
    add("--speaker", metavar="EXPR", help="of a turn: who says it (default: two take turns)")
    add("--id", metavar="EXPR", help="of a conversation: its id (default: its key, or the file's name and a number)")
    add(
        "--personas",
        metavar="EXPR",
        help="of a conversation: {speaker: persona}, a list of [speaker, persona], or personas alone, in the order in which "
        "the speakers speak; a persona is a list of sentences or a text",
    )
    add_text_arguments(parser)


def read(options: argparse.Namespace, counts: Counter) -> Iterator[Conversation]:
    """What the expressions find; InputError, with the form of the first record, where they find no conversation at all."""
    names = ("conversations", "turns", "speaker", "id", "personas")
    wanted = {name: _compiled(f"--{name}", getattr(options, name) or "") for name in names}
    wanted["text"] = _compiled("--text", options.text) if options.text else _text
    texts = texts_of(options)
    found, first = False, None
    for member in members(options.file, "*.json*"):
        for number, document in _documents(member):
            first = (f"{member.where}:{number}", document) if first is None else first
            for key, record in _records(document, wanted):
                said = _said(record, wanted, texts)
                identity = name_of(wanted["id"](record)) if options.id else key
                if options.id and identity is None:
                    counts["left out without id"] += 1
                    continue
                counts["number"] += 1
                identity = identity or f"{member.name.removesuffix('.gz').rpartition('.')[0]}-{counts['number']}"
                personas = _personas(wanted["personas"](record), said, counts) if options.personas else None
                made = conversation(identity, said, personas, member.stem, counts)
                if made is not None:
                    found = True
                    yield made
    if not found:
        raise _nothing(options, wanted, first)


def account(counts: Counter, kept: int) -> str:
    """One line about what was read."""
    return account_of(counts, kept)


def _text(turn: Any) -> Any:
    return turn.get("text") if isinstance(turn, dict) else turn


def _compiled(flag: str, expression: str) -> Search:
    try:
        import jmespath
    except ImportError:
        raise missing_extra("jmespath", "json") from None
    if not expression:
        return lambda value: None
    try:
        compiled = jmespath.compile(expression)
    except (jmespath.exceptions.JMESPathError, ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise InputError(f"{flag} {expression!r}: no JMESPath ({reason}); remedy: see https://jmespath.org") from None

    def search(value: Any) -> Any:
        try:
            return compiled.search(value)
        except (jmespath.exceptions.JMESPathError, TypeError, ValueError, ArithmeticError, RecursionError):
            return None  # a function of something that it is not for

    return search


def _documents(member: Member) -> Iterator[tuple[int, Any]]:
    """(line, value) of a file: one for each line of .jsonl, else one for all."""
    if any(mark in member.name for mark in LINES):
        for number, line in member.lines():
            if line.strip():
                try:
                    yield number, loads(line)
                except ValueError as error:
                    raise InputError(
                        f"{member.where}:{number}: no JSON ({error}); remedy: mend or remove the line"
                    ) from None
    else:
        yield 1, member.json()


def _records(document: Any, wanted: dict[str, Search]) -> Iterator[tuple[str | None, Any]]:
    """(key, conversation): of a list its elements, of an object itself if it has turns, else its values."""
    found = wanted["conversations"](document)
    if isinstance(found, list):
        yield from ((None, each) for each in found)
    elif isinstance(found, dict) and not isinstance(wanted["turns"](found), list | str):
        yield from found.items()
    elif found is not None:
        yield None, found


def _said(record: Any, wanted: dict[str, Search], texts: Callable[[str], list[str]]) -> list[tuple[Any, Any]]:
    """(speaker, text) of each turn."""
    turns = wanted["turns"](record)
    turns = [turns] if isinstance(turns, str) else turns if isinstance(turns, list) else []
    said: list[tuple[Any, Any]] = []
    for turn in turns:
        text = wanted["text"](turn)
        speaker = wanted["speaker"](turn)
        said += [(speaker, each) for each in texts(text)] if isinstance(text, str) else [(speaker, None)]
    return said


def _personas(found: Any, said: list[tuple[Any, Any]], counts: Counter) -> dict[str, list[str]] | None:
    speakers = list(dict.fromkeys(name_of(speaker) for speaker, _ in said))
    if isinstance(found, list):
        paired = all(isinstance(each, list) and len(each) == 2 and name_of(each[0]) in speakers for each in found)
        found = (
            dict(found) if paired else dict(zip(["A", "B"] if speakers == [None] else speakers, found, strict=False))
        )
    if not isinstance(found, dict):
        counts["personas left out"] += found is not None
        return None
    personas = {name_of(speaker): sentences(persona) for speaker, persona in found.items()}
    kept = {speaker: persona for speaker, persona in personas.items() if speaker and persona is not None}
    counts["personas left out"] += len(found) - len(kept)
    return kept or None


def _nothing(options: argparse.Namespace, wanted: dict[str, Search], first: tuple[str, Any] | None) -> InputError:
    """What each expression found in the first record, as far as any found something."""
    if first is None:
        return InputError(f"{options.file}: no JSON in it; remedy: another file")
    where, value = first
    for flag in ("conversations", "turns", "text"):
        expression = getattr(options, flag) or "text"
        if flag == "turns":
            value = next((record for _, record in _records(value, wanted)), None)
        elif flag == "text":
            turns = wanted["turns"](value)
            value = turns[0] if isinstance(turns, list) and turns else turns
        found = wanted[flag](value)
        kinds = (dict, list, str) if flag != "text" else str
        if not isinstance(found, kinds) or not found:
            break
    return InputError(
        f"{where}: --{flag} {expression!r} finds {shape(found)} in {PLACES[flag]}, which is {shape(value)}; "
        "remedy: another expression"
    )


def shape(value: Any, depth: int = DEEP) -> str:
    """The form of a value, in a line: {id: text, turns: list of 12 {speaker: number, text: text}}."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        if not depth:
            return "{...}"
        shown = [f"{key[:30]}: {shape(each, depth - 1)}" for key, each in list(value.items())[:MANY]]
        return "{" + ", ".join(shown + ["..."] * (len(value) > MANY)) + "}"
    if isinstance(value, list):
        return (
            f"a list of {len(value):,} {shape(value[0], depth - 1)}" if value and depth else f"a list of {len(value):,}"
        )
    return "true or false" if isinstance(value, bool) else "a text" if isinstance(value, str) else "a number"
