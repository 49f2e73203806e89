"""Does it listen? The sentence that answers this for a system, from its context worth, relevance and duplicates."""

from dataclasses import dataclass

from ..tables import Estimate

CLEAR = 1.0  # nats per response that a context must save: less is a word's form here and there
SHARE_OF_PEOPLE = 0.5  # of the relevance that people's responses have
REPEATS = 50.0  # percent of responses that repeat another one
NO, LITTLE, YES = range(3)
VERDICTS = {NO: "does not listen", LITTLE: "hardly listens", YES: "listens"}


@dataclass(frozen=True)
class Answer:
    """The sentence, its verdict (NO, LITTLE, YES; None: nothing was measured), and a warning if it does not listen."""

    sentence: str
    verdict: int | None
    warning: str | None = None


def answer(
    name: str,
    context_worth: Estimate | None = None,
    relevance: Estimate | None = None,
    of_people: float | None = None,
    duplicates: float | None = None,
) -> Answer:
    """Whether the system `name` takes its context in; what was not measured is None.

    context_worth: nats per response. relevance: difference of cosines; of_people: that of the references. duplicates:
    percent. The verdict is the worse one of context worth and relevance: a model that has taken in the context may still
    decode what it says to everyone.
    """
    verdicts, parts = [], []
    if context_worth is not None:
        verdicts.append(_verdict(context_worth, CLEAR))
        parts.append(f"its own context saves {_with_margin(context_worth, 2)} nats per response over a stranger's")
    if relevance is not None:
        verdicts.append(_verdict(relevance, SHARE_OF_PEOPLE * max(0.0, of_people or 0.0)))
        yardstick = f" (people: {of_people:.3f})" if of_people is not None else ""
        parts.append(
            f"its responses are nearer to their own context than to a stranger's by {_with_margin(relevance, 3)}{yardstick}"
        )
    if duplicates is not None:
        parts.append(f"{duplicates:.1f} % of its responses repeat another one")
    if not verdicts:
        return Answer(f"{name}: whether it listens was not measured{': ' if parts else ''}{_joined(parts)}.", None)
    verdict = min(verdicts)
    return Answer(f"{name} {VERDICTS[verdict]}: {_joined(parts)}.", verdict, _warning(name, verdict, duplicates))


def _verdict(found: Estimate, clear: float) -> int:
    """NO where chance may have made it, or it is not above 0; YES from `clear` on."""
    low = found.interval[0] if found.interval else found.value
    if low <= 0 or found.value <= 0:
        return NO
    return YES if found.value >= clear else LITTLE


def _warning(name: str, verdict: int, duplicates: float | None) -> str | None:
    if verdict == YES:
        return None
    what = "ignores what was said to it" if verdict == NO else "takes little notice of what was said to it"
    more = ""
    if duplicates is not None and duplicates > REPEATS:
        more = " and mostly says the same"
    return (
        f"{name} {what}{more}: its diversity and its latents say nothing about its use as a partner; remedy: more data or "
        "updates, pre-trained weights, --best-checkpoint-metric context_worth --maximize-best-checkpoint-metric"
    )


def _with_margin(found: Estimate, decimals: int) -> str:
    number = f"{found.value:.{decimals}f}"
    number = number.removeprefix("-") if not float(number) else number
    if found.interval is None:
        return number
    low, high = found.interval
    return f"{number} ± {(high - low) / 2:.{decimals}f}"


def _joined(parts: list[str]) -> str:
    return "".join(parts) if len(parts) < 2 else f"{', '.join(parts[:-1])}, and {parts[-1]}"
