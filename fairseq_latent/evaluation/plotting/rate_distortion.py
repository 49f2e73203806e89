"""Rate and distortion of several remedies: each measure against the KL, a line per remedy through its strengths."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .style import COLOURS, MARKERS, WIDTH, colour, styled

Points = Sequence[Mapping[str, float]]
LINES = ("-", "--", ":")  # after each round of colours another one
RATE = "kl"


@styled
def curves(remedies: Mapping[str, Points], measures: Mapping[str, str]) -> Figure:
    """Remedy -> its points, by names of measures; measures: name -> label of its panel. All share the axis of the KL."""
    rows = -(-len(measures) // 2)
    legend = 0.24 * -(-len(remedies) // 2)
    figure = Figure(figsize=(WIDTH * 1.25, 0.8 + 2.2 * rows + legend), layout="constrained")
    panels = figure.subplots(rows, 2, sharex=True, squeeze=False).flatten()
    for panel, (name, label) in zip(panels, measures.items(), strict=False):
        for index, points in enumerate(remedies.values()):
            known = sorted((point[RATE], point[name]) for point in points if name in point)
            panel.plot(*zip(*known, strict=True), **_look(index)) if known else None
        panel.set_title(label, loc="left", fontsize=10)
        panel.tick_params(labelsize=9)
        panel.set_xscale("symlog", linthresh=1)
    for panel in panels[len(measures) :]:
        panel.set_visible(False)
    for panel in panels[max(0, len(measures) - 2) : len(measures)]:
        panel.tick_params(labelbottom=True)
    figure.supxlabel("KL(q‖p), nats per sentence", fontsize=10)
    marks = [Line2D([], [], **_look(index)) for index in range(len(remedies))]
    figure.legend(marks, list(remedies), loc="outside upper left", ncols=2, fontsize=9, handlelength=2.2)
    return figure


def _look(index: int) -> dict:
    """Of the remedy at this place."""
    return {
        "color": colour(index),
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": LINES[index // len(COLOURS) % len(LINES)],
        "linewidth": 1.2,
        "markersize": 5,
        "fillstyle": "none",
    }
