"""Pictures of trainings: functions from numbers to matplotlib figures, without pyplot's global state.

Text stays readable when a picture is as wide as a phone; every system keeps its colour in all pictures of a report.
"""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

from ..runs.training_log import TrainingLog
from .style import INK, MARKERS, PALE, WIDTH, colour, styled
from .text_layout import drawable, wrapped

SMOOTHED_POINTS = 5
MOST_POINTS = 16  # validations a system; of more the last, and others at even distances, so that they stay apart
MANY = 6  # systems; more lines in one panel can't be told apart, so that each gets a panel of its own


def smoothed(values: Sequence[float], points: int = SMOOTHED_POINTS) -> list[float]:
    """Each value with those before it averaged, `points` in all: the past alone, so that the curve never runs ahead."""
    return [float(np.mean(values[max(0, end - points) : end])) for end in range(1, len(values) + 1)]


@styled
def kl_curves(logs: Mapping[str, TrainingLog]) -> Figure:
    """KL(q || p) over updates: lines from training, points from validation; the KL weight below where it changes."""
    if len(logs) > MANY:
        return _panels(logs, "kl", "KL(q‖p), nats an example")
    weights = {name: log.series("train", "kl_weight") for name, log in logs.items()}
    varies = any(len(set(values)) > 1 for _, values in weights.values())
    figure = Figure(figsize=(WIDTH, (5 if varies else 3.8) + _legend_height(logs)), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1)) if varies else [figure.subplots()]
    _curves(axes[0], logs, "kl")
    axes[0].set_ylabel("KL(q‖p), nats an example")
    _limit_height(axes[:1], logs)
    if varies:
        for index, (updates, values) in enumerate(weights.values()):
            axes[1].plot(updates, values, color=colour(index))
        axes[1].set_ylabel("KL weight")
        axes[1].set_ylim(bottom=0)
    _finish(figure, axes, logs, ("kl",))
    return figure


def _limit_height(axes: Sequence, logs: Mapping[str, TrainingLog], name: str = "kl") -> None:
    """The first updates' values can hide all that follows: leave them out of the picture, and say so.

    axes: one that all share, or one a log, of the same height.
    """
    first, later = [], [value for log in logs.values() for value in log.series("valid", name)[1]]
    for log in logs.values():
        updates, values = log.series("train", name)
        line = list(zip(updates, values, strict=True))
        first += [value for update, value in line if update <= 0.15 * log.updates]
        later += [value for update, value in line if update > 0.15 * log.updates]
    room = 1.3 if name == "kl" else 1.05
    top = room * max(later, default=0)
    bottom = 0 if name == "kl" else 0.95 * min([*first, *later], default=0)
    if not (first and 0 < top < max(first)):
        axes[0].set_ylim(bottom=bottom)
        return
    axes[0].set_ylim(bottom, top)
    shown = {"xycoords": "axes fraction", "ha": "right", "color": PALE, "backgroundcolor": "#FFFFFFC0"}
    each = [max(log.series("train", name)[1], default=0) for log in logs.values()]
    for axis, begin in zip(axes, each if len(axes) > 1 else [max(each)], strict=True):
        if begin > top:
            axis.annotate(f"↑ begins at {begin:,.1f}", (1, 0.93), fontsize="small", **shown)


@styled
def loss_curves(logs: Mapping[str, TrainingLog]) -> Figure:
    """NLL per response and reconstruction perplexity per token over updates; of many systems the latter alone."""
    if len(logs) > MANY:
        return _panels(logs, "rec_ppl", "rec PPL, a token")
    figure = Figure(figsize=(WIDTH, 5.6 + _legend_height(logs)), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True)
    _curves(axes[0], logs, "nll")
    axes[0].set_ylabel("NLL, nats per response")
    _curves(axes[1], logs, "rec_ppl")
    axes[1].set_yscale("log")
    axes[1].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes[1].yaxis.set_minor_locator(NullLocator())
    axes[1].yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes[1].set_ylabel("rec PPL, a token")
    _finish(figure, axes, logs, ("nll", "rec_ppl"))
    return figure


def _panels(logs: Mapping[str, TrainingLog], name: str, label: str) -> Figure:
    """A small panel a system, its line before those of all others in grey; its KL weight dotted where it changes."""
    rows = -(-len(logs) // 2)
    figure = Figure(figsize=(WIDTH, 1.1 + 1.75 * rows), layout="constrained")
    panels = figure.subplots(rows, 2, sharex=True, sharey=True).flatten()
    lines = {system: (log.series("train", name), log.series("valid", name)) for system, log in logs.items()}
    weights = {system: log.series("train", "kl_weight") for system, log in logs.items()}
    for index, (system, ((updates, values), points)) in enumerate(lines.items()):
        panel = panels[index]
        for other, (line, _) in lines.items():
            if other != system:
                panel.plot(line[0], smoothed(line[1]), color="#CFCFCF", linewidth=0.7)
        panel.plot(updates, smoothed(values), color=colour(index), linewidth=1.8)
        _points(panel, *points, colour(index), **{**_marker(0), "markersize": 5})
        if name == "kl" and len(set(weights[system][1])) > 1:
            beside = panel.twinx()
            beside.plot(*weights[system], color=INK, linestyle=":", linewidth=1)
            beside.set(ylim=(0, 1.05 * max(weights[system][1])), yticks=[])
        panel.set_title(_label(system, 2.1, 9.5), fontsize=9.5, loc="left")
        panel.tick_params(labelsize=9)
    for panel in panels[len(logs) :]:
        panel.set_visible(False)
    _limit_height(panels[: len(logs)], logs, name)
    for panel in panels[len(logs) - 2 : len(logs)]:
        panel.tick_params(labelbottom=True)
        panel.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        panel.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    figure.supxlabel("updates", fontsize=11)
    figure.supylabel(label, fontsize=11)
    marks = [
        Line2D([], [], color=PALE, linewidth=1.8),
        Line2D([], [], color=PALE, linestyle="none", **{**_marker(0), "markersize": 5}),
        Line2D([], [], color="#CFCFCF", linewidth=0.9),
    ]
    labels = [f"training, mean of {SMOOTHED_POINTS}", "validation", "the others"]
    if name == "kl" and any(len(set(values)) > 1 for _, values in weights.values()):
        marks.append(Line2D([], [], color=INK, linestyle=":", linewidth=1))
        labels.append("KL weight, from 0")
    figure.legend(marks, labels, loc="outside upper left", ncols=2, handlelength=1.4, fontsize=10)
    return figure


def _legend_height(logs: Mapping[str, TrainingLog]) -> float:
    """Inches for the lines of the legend beyond two."""
    return 0.25 * max(0, -(-(len(logs) + 2) // 2) - 2)


def _curves(axis, logs: Mapping[str, TrainingLog], name: str) -> None:
    for index, log in enumerate(logs.values()):
        updates, values = log.series("train", name)
        axis.plot(updates, smoothed(values), color=colour(index), linewidth=1.2, alpha=0.75)
        _points(axis, *log.series("valid", name), colour(index), **_marker(index))


def _points(axis, updates: Sequence[int], values: Sequence[float], shade: str, **marker) -> None:
    step = max(1, -(-len(updates) // MOST_POINTS))
    shown = slice((len(updates) - 1) % step, None, step)
    axis.plot(updates[shown], values[shown], color=shade, linestyle="none", **marker)


def _marker(index: int) -> dict:
    """Hollow: where two systems measure the same, both are seen."""
    return {"marker": MARKERS[index % len(MARKERS)], "markersize": 8, "markeredgewidth": 2, "fillstyle": "none"}


def _finish(figure: Figure, axes: Sequence, logs: Mapping[str, TrainingLog], names: Sequence[str]) -> None:
    """One axis of updates, one legend above all panels: the systems that have a line, then what line and point mean.

    names: of the series that are drawn.
    """
    axes[-1].set_xlabel("updates")
    axes[-1].xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes[-1].xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    drawn = {
        name: index
        for index, (name, log) in enumerate(logs.items())
        if any(log.series(split, series)[1] for split in ("train", "valid") for series in names)
    }
    systems = [Line2D([], [], color=colour(index), linewidth=3, **_marker(index)) for index in drawn.values()]
    marks = [
        Line2D([], [], color=PALE, linewidth=1.2),
        Line2D([], [], color=PALE, linestyle="none", **_marker(0)),
    ]
    labels = [*(_label(name, 2.0, 12) for name in drawn), f"training, mean of {SMOOTHED_POINTS}", "validation"]
    figure.legend([*systems, *marks], labels, loc="outside upper left", ncols=2, handlelength=1.4)


def _label(name: str, inches: float, size: float) -> str:
    """A system's name is no formula to matplotlib, may begin with an underscore, and may be too long."""
    fonts = matplotlib.rcParams["font.family"]
    fitted = wrapped(drawable(name, fonts), inches, size, 2, fonts)
    plain = "\n".join(fitted).replace("$", r"\$")
    return f"\u200b{plain}" if plain.startswith("_") else plain
