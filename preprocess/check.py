"""`python -m preprocess.check FILE`: validate a conversations.jsonl and say what is in it."""

import sys
from collections import Counter
from collections.abc import Iterable

from tqdm import tqdm

from fairseq_latent.errors import InputError, Parser, run

from .conversation import Conversation, read_conversations

MAX_SHOWN = 20


class Summary:
    """Counts of everything that was seen; memory does not grow with the file."""

    def __init__(self) -> None:
        self.conversations = self.with_personas = 0
        self.speakers, self.turns, self.words = Counter(), Counter(), Counter()

    def add(self, conversation: Conversation) -> None:
        """Count one conversation."""
        self.conversations += 1
        self.with_personas += bool(conversation.personas)
        self.speakers[len({turn.speaker for turn in conversation.turns})] += 1
        self.turns[len(conversation.turns)] += 1
        self.words.update(len(turn.text.split()) for turn in conversation.turns)

    def lines(self) -> list[str]:
        """The summary as it is printed."""
        return [
            f"conversations           {self.conversations:,}",
            f"turns                   {self.words.total():,}",
            f"speakers/conversation   {_spread(self.speakers)}",
            f"turns/conversation      {_spread(self.turns)}",
            f"words/turn              {_spread(self.words)}   (words: what stands between spaces)",
            f"with personas           {100 * self.with_personas / self.conversations:.1f} %",
        ]


def median(histogram: Counter[int]) -> float:
    """The median of the values a histogram counts."""
    count, below = histogram.total(), 0
    middle = []
    for value in sorted(histogram):
        below += histogram[value]
        # the (count - 1) // 2-th and the count // 2-th value, counted from 0: the same one where the count is odd
        while len(middle) < 2 and below > (count - 1 + len(middle)) // 2:
            middle.append(value)
    return sum(middle) / 2


def _spread(histogram: Counter[int]) -> str:
    return f"min {min(histogram)}   median {median(histogram):g}   max {max(histogram)}"


def check(path: str, shown: int = MAX_SHOWN) -> Summary:
    """Read the whole file, print the first bad lines on stderr and raise InputError where there was any."""
    errors: list[InputError] = []
    bad = Counter()

    def remember(error: InputError) -> None:
        bad["lines"] += 1
        if len(errors) < shown:
            errors.append(error)

    summary = Summary()
    for conversation in _progress(read_conversations(path, on_error=remember)):
        summary.add(conversation)
    if bad["lines"]:
        print(*errors, sep="\n", file=sys.stderr)
        more = f", the first {shown} are shown above" if bad["lines"] > shown else ""
        raise InputError(f"{path}: {bad['lines']:,} bad lines{more}; remedy: mend them and check again")
    if not summary.conversations:
        raise InputError(f"{path} has no conversations; remedy: write it again")
    return summary


def _progress(conversations: Iterable[Conversation]) -> Iterable[Conversation]:
    return tqdm(conversations, desc="check", unit=" conversations", disable=None)


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = Parser(
        prog="python -m preprocess.check",
        description="Validate a conversations.jsonl (see preprocess/conversation.py for its form) and summarise it. "
        f"Every line is read; the first {MAX_SHOWN} bad ones are shown, and the exit code is then 2.",
    )
    parser.add_argument("file", metavar="FILE", help="conversations.jsonl or conversations.jsonl.gz")
    print(*check(parser.parse_args(arguments).file).lines(), sep="\n")


if __name__ == "__main__":
    sys.exit(run(main))
