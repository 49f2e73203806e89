"""Figure 6 of Cho et al. (2022): what grows with the fader, and what falls."""

import matplotlib
from matplotlib.figure import Figure

from ..analysis.sweep import Sweep
from .style import INK, PALE, STYLE, WIDTH, colour

LABELS = {"p_distance": "P.Distance", "one_minus": "1 − P.Distance", "length": "words per response"}


def sweep_picture(sweep: Sweep) -> Figure:
    """A panel a measure: a point per seed, a line through the means, dashed what the prior's own faders give."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 6.6), layout="constrained")
        panels = figure.subplots(len(LABELS), 1, sharex=True)
        for place, (panel, (name, label)) in enumerate(zip(panels, LABELS.items(), strict=True)):
            _panel(panel, sweep, name, colour(place))
            panel.set_ylabel(label)
        panels[-1].set_xlabel("fader")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=2, handlelength=1.6, fontsize=10)
        return figure


def _panel(panel, sweep: Sweep, name: str, shade: str) -> None:
    swept = [point for point in sweep.points if point.fader is not None]
    panel.plot(
        [point.fader for point in swept], [getattr(point, name) for point in swept], color=shade, linestyle="none",
        marker="o", markersize=4, alpha=0.45, markeredgewidth=0, label="a seed",
    )  # fmt: skip
    panel.plot(sweep.faders, [sweep.mean(fader, name) for fader in sweep.faders], color=shade, label="mean")
    panel.axhline(sweep.mean(None, name), color=PALE, linestyle="--", linewidth=1.2, label="the prior's own fader")
    if name == "p_distance":
        others = [sweep.mean(fader, "to_others") for fader in sweep.faders]
        panel.plot(sweep.faders, others, color=PALE, linestyle=":", linewidth=1.5, label="to profiles of others")
    found = sweep.correlation(name)
    text = "constant" if found is None else f"Spearman's ρ = {found[0]:+.2f}".replace("-", "−")
    panel.set_title(text, fontsize=11, loc="right", color=INK)
