"""Pictures of trainings and latents: functions from numbers to matplotlib figures, without pyplot's global state.

Text stays readable when a picture is as wide as a phone; every system keeps its colour in all pictures of a report.
"""

import io
from collections.abc import Mapping, Sequence
from functools import wraps

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

from .latent_samples import LatentSamples
from .training_log import TrainingLog

# Okabe and Ito's colours, which colour-blind readers tell apart; the pale yellow is left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", ":")  # the eighth system has the first colour again, and another line
MARKERS = "osD^vPX"
INK, PALE = "#222222", "#777777"
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": PALE,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "grid.color": "#E5E5E5",
    "legend.frameon": False,
    "svg.hashsalt": "fairseq_latent",  # same picture, same bytes
}
WIDTH = 5.4
SMOOTHED_POINTS = 5
FORMATS = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
LEAST_SPAN = 0.05  # nats a token: smaller differences are no difference to the eye, and must not look like one


def _styled(draw):
    @wraps(draw)
    def styled(*args, **kwargs) -> Figure:
        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return styled


def encoded(figure: Figure, kind: str = "png") -> bytes:
    """The picture's bytes; kind is a key of FORMATS. They hold no date."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format=kind, dpi=180, metadata=FORMATS[kind])
    return buffer.getvalue()


def colour(index: int) -> str:
    """Of the system at this place."""
    return COLOURS[index % len(COLOURS)]


def smoothed(values: Sequence[float], points: int = SMOOTHED_POINTS) -> list[float]:
    """Each value with those before it averaged, `points` in all: the past alone, so that the curve never runs ahead."""
    return [float(np.mean(values[max(0, end - points) : end])) for end in range(1, len(values) + 1)]


@_styled
def kl_curves(logs: Mapping[str, TrainingLog]) -> Figure:
    """KL(q || p) over updates: lines from training, points from validation; the KL weight below where it changes."""
    weights = {name: log.series("train", "kl_weight") for name, log in logs.items()}
    varies = any(len(set(values)) > 1 for _, values in weights.values())
    figure = Figure(figsize=(WIDTH, 5 if varies else 3.8), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1)) if varies else [figure.subplots()]
    _curves(axes[0], logs, "kl")
    axes[0].set_ylabel("KL(q‖p), nats a response")
    _limit_height(axes[0], logs)
    if varies:
        for index, (updates, values) in enumerate(weights.values()):
            axes[1].plot(updates, values, color=colour(index), linestyle=_line(index))
        axes[1].set_ylabel("KL weight")
        axes[1].set_ylim(bottom=0)
    _finish(figure, axes, logs)
    return figure


def _limit_height(axis, logs: Mapping[str, TrainingLog]) -> None:
    """The first updates' KL can hide all that follows: leave it out of the picture, and say so."""
    first, later = [], [value for log in logs.values() for value in log.series("valid", "kl")[1]]
    for log in logs.values():
        updates, values = log.series("train", "kl")
        line = list(zip(updates, values, strict=True))
        first += [value for update, value in line if update <= 0.15 * log.updates]
        later += [value for update, value in line if update > 0.15 * log.updates]
    top = 1.3 * max(later, default=0)
    if first and 0 < top < max(first):
        axis.set_ylim(0, top)
        axis.annotate(f"↑ begins at {max(first):.1f}", (1, 0.93), xycoords="axes fraction", ha="right", color=PALE)
    else:
        axis.set_ylim(bottom=0)


@_styled
def loss_curves(logs: Mapping[str, TrainingLog]) -> Figure:
    """Negative log-likelihood a response, and reconstruction perplexity a token, over updates."""
    figure = Figure(figsize=(WIDTH, 5.6), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True)
    _curves(axes[0], logs, "nll")
    axes[0].set_ylabel("NLL, nats a response")
    _curves(axes[1], logs, "rec_ppl")
    axes[1].set_yscale("log")
    axes[1].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes[1].yaxis.set_minor_locator(NullLocator())
    axes[1].yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes[1].set_ylabel("rec PPL, a token")
    _finish(figure, axes, logs)
    return figure


def _curves(axis, logs: Mapping[str, TrainingLog], name: str) -> None:
    for index, log in enumerate(logs.values()):
        updates, values = log.series("train", name)
        axis.plot(updates, smoothed(values), color=colour(index), linestyle=_line(index), linewidth=1.2, alpha=0.75)
        updates, values = log.series("valid", name)
        axis.plot(updates, values, color=colour(index), linestyle="none", **_marker(index))


def _line(index: int) -> str:
    return LINES[index // len(COLOURS) % len(LINES)]


def _marker(index: int) -> dict:
    """Hollow: where two systems measure the same, both are seen."""
    return {"marker": MARKERS[index % len(MARKERS)], "markersize": 8, "markeredgewidth": 2, "fillstyle": "none"}


def _finish(figure: Figure, axes: Sequence, logs: Mapping[str, TrainingLog]) -> None:
    """One axis of updates, one legend above all panels: the systems, then what line and point mean."""
    axes[-1].set_xlabel("updates")
    axes[-1].xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes[-1].xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    systems = [Line2D([], [], color=colour(i), linestyle=_line(i), linewidth=3, **_marker(i)) for i in range(len(logs))]
    marks = [
        Line2D([], [], color=PALE, linewidth=1.2),
        Line2D([], [], color=PALE, linestyle="none", **_marker(0)),
    ]
    labels = [*map(_label, logs), f"training, mean of {SMOOTHED_POINTS}", "validation"]
    figure.legend([*systems, *marks], labels, loc="outside upper left", ncols=2, handlelength=1.4)


@_styled
def latent_picture(named: Mapping[str, LatentSamples]) -> Figure:
    """In the manner of Figure 2 of Sato et al. (2021): one panel a model, dots from the prior, triangles from the posterior.

    Colour: log-probability of the reference response under each latent, on one scale for all panels.
    """
    columns = min(2, len(named))
    rows = -(-len(named) // columns)
    figure = Figure(figsize=(WIDTH, 1.5 + rows * (3.1 if columns == 2 else 5.4)), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    low, high = colour_limits(list(named.values()))
    for panel in panels[len(named) :]:
        panel.set_axis_off()
    for (name, samples), panel in zip(named.items(), panels, strict=False):
        shades = {"cmap": "viridis", "vmin": low, "vmax": high}
        for kind, marker, size, edge in (("prior", "o", 16, "none"), ("posterior", "^", 46, INK)):
            rows_of = samples.of(kind)
            x, y = samples.points[rows_of].T
            drawn = panel.scatter(
                x, y, s=size, c=samples.log_prob[rows_of], marker=marker, edgecolors=edge, linewidths=0.7, **shades
            )
        panel.set_title(f"{_label(name)}\nKL(q‖p) = {samples.kl:.2f} nats", fontsize=12, loc="left", linespacing=1.4)
        panel.set(xticks=[], yticks=[])
        panel.set_box_aspect(1)
        panel.spines[:].set_visible(True)
    bar = figure.colorbar(drawn, ax=list(panels), location="bottom", aspect=32, shrink=0.9, pad=0.03)
    bar.set_label("log-probability of the reference, nats a token")
    bar.ax.xaxis.set_major_locator(MaxNLocator(5))
    bar.outline.set_visible(False)
    marks = [
        Line2D([], [], color=PALE, linestyle="none", marker="o", markersize=5),
        Line2D([], [], color=PALE, linestyle="none", marker="^", markersize=8, markeredgecolor=INK),
    ]
    labels = ["prior p(z | context)", "posterior q(z | context, reference)"]
    figure.legend(marks, labels, loc="outside upper left", handlelength=1)
    return figure


def colour_limits(samples: Sequence[LatentSamples]) -> tuple[float, float]:
    """Least and largest log-probability of all panels, at least LEAST_SPAN apart: a collapsed model has one colour."""
    values = np.concatenate([each.log_prob for each in samples])
    low, high = float(values.min()), float(values.max())
    missing = max(0.0, LEAST_SPAN - (high - low)) / 2
    return low - missing, high + missing


def _label(name: str) -> str:
    """A system's name is no formula to matplotlib, and may begin with an underscore."""
    plain = name.replace("$", r"\$")
    return f"\u200b{plain}" if plain.startswith("_") else plain
