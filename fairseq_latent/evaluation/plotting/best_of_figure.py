"""Quality and diversity against the number of candidates: what several latents, or samples, are good for."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..metrics.field.best_of import BestOf
from .style import PALE, WIDTH, colour, styled
from .text_layout import drawable

LABELS = {"bleu": "sentence BLEU", "relevance": "relevance", "distinct": "dist-2, percent"}


@styled
def best_of_picture(curves: Mapping[str, BestOf]) -> Figure:
    """A panel per measure, a colour per system: solid, the best by its scores; dashed, the best by BLEU."""
    shown = [name for name in LABELS if any(getattr(each.own, name) is not None for each in curves.values())]
    lines = -(-(len(curves) + 2) // 2)
    figure = Figure(figsize=(WIDTH, 2.1 * len(shown) + 0.6 + 0.25 * lines), layout="constrained")
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for panel, name in zip(panels, shown, strict=True):
        for index, pair in enumerate(curves.values()):
            for of, style in ((pair.own, "-"), (pair.oracle, "--")):
                values = None if of is None else getattr(of, name)
                if values is not None:
                    places = np.arange(1, len(values) + 1)
                    panel.plot(places, values, style, color=colour(index), linewidth=1.6)
        panel.set_ylabel(LABELS[name])
    panels[-1].set_xlabel("candidates per context")
    panels[-1].xaxis.set_major_locator(MaxNLocator(6, integer=True))
    handles = [Line2D([], [], color=colour(index), linewidth=3) for index in range(len(curves))]
    handles += [Line2D([], [], color=PALE, linestyle=style) for style in ("-", "--")]
    labels = [drawable(name, figure_fonts()).replace("$", r"\$") for name in curves]
    figure.legend(handles, [*labels, "best by its scores", "best by BLEU"], loc="outside upper left", ncols=2)
    return figure


def figure_fonts() -> tuple[str, ...]:
    """Those that `styled` has chosen."""
    import matplotlib

    return tuple(matplotlib.rcParams["font.family"])
