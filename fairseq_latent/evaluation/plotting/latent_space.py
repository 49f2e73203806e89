"""Figure 2 of Sato et al. (2021, https://aclanthology.org/2021.findings-emnlp.407): for each pair, each model's latents.

Dots are samples of the prior, triangles of the posterior; colour is the log-probability of the reference response under
each latent. The paper gives no unit: "the probabilities were normalized for each model". Here that is, for each panel, from
its lowest to its highest (colours="panel"), with the nats of both above it, as a model that ignores its latent shows all
colours too. colours="pair" has one scale in nats per token for all models of a pair instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..analysis.latent_samples import LatentSamples, SampledPair
from ..runs.side_by_side import turns
from .style import INK, PALE, STYLE
from .text_layout import drawable, families, wrapped

MAP = "viridis"  # alike for colour-blind readers, and from dark to light in black and white
COLUMNS = {1: 1, 2: 2, 3: 3}  # of panels, for so many models; 4 for more
SIDES = {1: 5.0, 2: 2.55, 3: 2.4, 4: 2.3}  # inches of a panel, for so many columns
MARGIN, GAP, LINE, BAR = 0.12, 0.16, 0.2, 0.65  # inches; of a line of text; of a bar of colours with its labels
SMALL, SIZE = 9.5, 11  # points of text
TEXT_LINES, TITLE_LINES = 2, 2  # of a context and of a reference; of a model's name
LEAST_SPAN = (
    0.05  # nats per token, on a pair's scale: what is less is no difference to the eye, and must not look like one
)
FLAT = 0.01  # nats of the whole reference, on a panel's scale: a hundredth of its probability, which is nothing


@dataclass(frozen=True)
class _Page:
    """A figure that is filled from top to bottom, in inches."""

    figure: Figure
    width: float
    height: float

    def axes(self, left: float, top: float, width: float, height: float):
        """A rectangle whose upper left corner is here."""
        bottom = self.height - top - height
        return self.figure.add_axes((left / self.width, bottom / self.height, width / self.width, height / self.height))

    def text(self, left: float, top: float, text: str, **style) -> None:
        """A line of words, never a formula."""
        self.figure.text(
            left / self.width, 1 - top / self.height, text, va="top", parse_math=False, **{"fontsize": SMALL, **style}
        )


@dataclass(frozen=True)
class _Grid:
    """Square panels in rows, `above` each of them room for words; inches."""

    columns: int
    side: float
    above: float

    @property
    def row(self) -> float:
        """Height of a row with the gap below."""
        return self.above + self.side + GAP

    def rows(self, panels: int) -> int:
        """How many rows they take."""
        return -(-panels // self.columns)

    def corner(self, top: float, index: int) -> tuple[float, float]:
        """The upper left corner of a panel."""
        row, column = divmod(index, self.columns)
        return MARGIN + column * (self.side + GAP), top + row * self.row + self.above


def latent_picture(pairs: Sequence[SampledPair], colours: str = "panel", columns: int = 4) -> Figure:
    """A block a pair, its texts above its panels, at most `columns` of them side by side."""
    texts = [text for pair in pairs for text in (pair.context, pair.reference, *pair.samples)]
    fonts = families(texts)
    with matplotlib.rc_context({**STYLE, "font.family": list(fonts)}):
        return _drawn(pairs, colours, columns, fonts)


def _drawn(pairs: Sequence[SampledPair], colours: str, columns: int, fonts: Sequence[str]) -> Figure:
    models = len(pairs[0].samples)
    columns = min(columns, COLUMNS.get(models, 4))
    side = SIDES[columns]
    width = 2 * MARGIN + columns * side + (columns - 1) * GAP
    titles = [wrapped(drawable(name, fonts), side, SIZE, TITLE_LINES, fonts) for name in pairs[0].samples]
    grid = _Grid(columns, side, (max(map(len, titles)) + 2) * LINE)
    headings = [_heading(pair, width - 2 * MARGIN, fonts) for pair in pairs]
    legend_lines = 1 if width > 6 else 2
    top = MARGIN + legend_lines * 1.4 * LINE + GAP
    blocks = [len(heading) * LINE + GAP + grid.rows(models) * grid.row for heading in headings]
    bars = len(pairs) if colours == "pair" else 1
    height = top + sum(blocks) + bars * BAR + MARGIN
    page = _Page(Figure(figsize=(width, height)), width, height)
    _legend(page, legend_lines)
    for pair, heading, block in zip(pairs, headings, blocks, strict=True):
        for line, (words, weight) in enumerate(heading):
            page.text(MARGIN, top + line * LINE, words, weight=weight)
        limits = colour_limits(list(pair.samples.values())) if colours == "pair" else None
        _panels(page, top + len(heading) * LINE + GAP / 2, grid, titles, list(pair.samples.values()), limits)
        top += block
        if limits is not None:
            _bar(page, top, limits)
            top += BAR
    if colours == "panel":
        _bar(page, top, None)
    return page.figure


def _panels(page: _Page, top: float, grid: _Grid, titles: Sequence[Sequence[str]], samples, limits) -> None:
    """One pair's: names, numbers and maps."""
    for index, (title, found) in enumerate(zip(titles, samples, strict=True)):
        left, panel = grid.corner(top, index)
        for line, words in enumerate(reversed(title)):  # upwards from the numbers
            page.text(left, panel - (3 + line) * LINE, words, fontsize=SIZE)
        page.text(left, panel - 2 * LINE, f"KL(q‖p) = {found.kl:.2f} nats", color=INK)
        page.text(left, panel - LINE, _range(found), color=INK)
        _panel(page.axes(left, panel, grid.side, grid.side), found, limits)


def _heading(pair: SampledPair, inches: float, fonts: Sequence[str]) -> list[tuple[str, str]]:
    """Lines with their weights."""
    lines = [(f"example {pair.id}", "bold")]
    for word, text, keep in (("context", spoken(pair.context), "end"), ("reference", pair.reference, "start")):
        shown = drawable(text, fonts) or "(empty)"
        fitted = wrapped(shown, inches, SMALL, TEXT_LINES, fonts, f"{word}: ", keep)
        lines += [(line, "normal") for line in fitted]
    return lines


def spoken(context: str) -> str:
    """Several turns with who says them."""
    said = turns(context)
    return " · ".join(f"{speaker}: {words}" for speaker, words in said) if len(said) > 1 else context


def _range(samples: LatentSamples) -> str:
    values = samples.log_likelihood
    low, high = values.min(), values.max()
    if high - low < FLAT:
        return _minus(f"log p = {low:.2f} nats, whatever z")
    decimals = 1 if high - low >= 1 else 2
    return _minus(f"log p: {low:.{decimals}f} … {high:.{decimals}f} nats")


def _minus(text: str) -> str:
    return text.replace("-", "\u2212")


def _panel(axis, samples: LatentSamples, limits: tuple[float, float] | None) -> None:
    shades = normalised(samples.log_likelihood) if limits is None else samples.log_prob
    low, high = (0.0, 1.0) if limits is None else limits
    for kind, marker, size, edge, line in (("prior", "o", 17, INK, 0.2), ("posterior", "^", 44, INK, 0.9)):
        rows = samples.of(kind)
        x, y = samples.points[rows].T
        axis.scatter(
            x, y, s=size, c=shades[rows], marker=marker, edgecolors=edge, linewidths=line, cmap=MAP, vmin=low, vmax=high
        )
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    axis.margins(0.06)
    axis.spines[:].set_visible(True)


def normalised(values: np.ndarray) -> np.ndarray:
    """(N,) nats -> (N,) from 0, the lowest, to 1, the highest; all one half where they hardly differ."""
    low, high = values.min(), values.max()
    if high - low < FLAT:
        return np.full_like(values, 0.5)
    return (values - low) / (high - low)


def colour_limits(samples: Sequence[LatentSamples]) -> tuple[float, float]:
    """Least and largest log-probability a token, at least LEAST_SPAN apart: a collapsed model has one colour."""
    values = np.concatenate([each.log_prob for each in samples])
    low, high = float(values.min()), float(values.max())
    missing = max(0.0, LEAST_SPAN - (high - low)) / 2
    return low - missing, high + missing


def _bar(page: _Page, top: float, limits: tuple[float, float] | None) -> None:
    inches = min(page.width - 2 * MARGIN - 0.4, 5.5)
    axis = page.axes((page.width - inches) / 2, top, inches, 0.16)
    bar = page.figure.colorbar(ScalarMappable(Normalize(*(limits or (0, 1))), MAP), cax=axis, orientation="horizontal")
    bar.outline.set_visible(False)
    axis.grid(False)
    axis.tick_params(labelsize=SMALL)
    if limits is None:
        bar.set_ticks([0, 1], labels=["lowest of its panel", "highest of its panel"])
        for label, side in zip(axis.get_xticklabels(), ("left", "right"), strict=True):
            label.set_ha(side)
        bar.set_label("log p(reference | context, z), normalised", fontsize=SMALL)
    else:
        axis.xaxis.set_major_locator(MaxNLocator(5))
        bar.set_label("log p(reference | context, z), nats per token", fontsize=SMALL)


def _legend(page: _Page, lines: int) -> None:
    marks = [
        Line2D([], [], color=PALE, linestyle="none", marker="o", markersize=5),
        Line2D([], [], color=PALE, linestyle="none", marker="^", markersize=8, markeredgecolor=INK),
    ]
    labels = ["prior p(z | context)", "posterior q(z | context, reference)"]
    place = (MARGIN / page.width, 1 - MARGIN / page.height)
    page.figure.legend(
        marks,
        labels,
        loc="upper left",
        bbox_to_anchor=place,
        ncols=3 - lines,
        handlelength=1,
        borderpad=0,
        borderaxespad=0,
        fontsize=SIZE,
    )
