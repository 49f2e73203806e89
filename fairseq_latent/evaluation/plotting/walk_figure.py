"""Replies on the way from one latent to another in one context: what is decoded, nats of both replies, relevance."""

from typing import Any

import matplotlib
from matplotlib.figure import Figure

from ..analysis.interpolation import Walk
from .style import INK, STYLE, WIDTH, colour
from .text_layout import drawable, families

LONGEST = 60  # characters of a reply beside its step
ROW = 0.42  # inches of a step


def walk_picture(found: Walk) -> Figure:
    """A row per step, from the own reply's latent down to the other one's; panels of nats and of relevance."""
    texts = [found.context, found.reply, found.other, *(step.reply for step in found.steps)]
    fonts = families(texts)
    style: Any = {**STYLE, "font.family": list(fonts)}
    with matplotlib.rc_context(style):
        relevant = found.steps[0].relevance is not None
        figure = Figure(figsize=(2 * WIDTH, 1.8 + ROW * len(found.steps)), layout="constrained")
        panels = figure.subplots(1, 1 + relevant, sharey=True, squeeze=False)[0]
        places = list(range(len(found.steps)))
        labels = [f"{_cut(step.reply, fonts)}   {step.share:.2f}" for step in found.steps]
        panels[0].plot([step.nll for step in found.steps], places, marker="o", color=colour(0), label="own reply")
        panels[0].plot(
            [step.other_nll for step in found.steps], places, marker="s", color=colour(1), label="other reply"
        )
        panels[0].set_xlabel("nats per reply")
        panels[0].set_yticks(places, labels)
        panels[0].invert_yaxis()
        panels[0].legend(fontsize=10)
        if relevant:
            panels[1].plot([step.relevance for step in found.steps], places, marker="D", color=colour(2))
            panels[1].set_xlabel("cosine of reply and context")
        figure.suptitle(
            f"context: {_cut(found.context, fonts)}\nfrom: {_cut(found.reply, fonts)}   to: {_cut(found.other, fonts)}",
            fontsize=11, color=INK,
        )  # fmt: skip
        return figure


def _cut(text: str, fonts: tuple[str, ...]) -> str:
    """Of its last words as many as there is room for: the newest turn of a context."""
    shown = text if len(text) <= LONGEST else f"… {text[-LONGEST:]}"
    return drawable(shown, fonts).replace("$", r"\$")
