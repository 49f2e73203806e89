"""Figure 5 of Cho et al. (2022): a point per profile, coloured by what it is about."""

from statistics import mean

import matplotlib
from matplotlib.figure import Figure

from ..analysis.perception import Perception
from .style import INK, MARKERS, STYLE, WIDTH, colour
from .text_layout import drawable, families

GREY = "#C4C4C4"
LINE = 0.22  # inches of a row of the legend


def perception_picture(found: Perception) -> Figure:
    """Profiles of no category in grey, below the others; the purity above."""
    fonts = families(found.names)
    columns = 2
    rows = -(-(len(found.names) + 1) // columns)
    with matplotlib.rc_context({**STYLE, "font.family": list(fonts)}):
        figure = Figure(figsize=(WIDTH, WIDTH + 0.5 + LINE * rows), layout="constrained")
        axis = figure.subplots()
        unnamed = [place for place, category in enumerate(found.categories) if category is None]
        if unnamed:
            axis.scatter(*found.points[unnamed].T, s=10, c=GREY, label=f"none of them ({len(unnamed)})", linewidths=0)
        for index, (name, count) in enumerate(found.counts().items()):
            places = [place for place, category in enumerate(found.categories) if category == name]
            label = f"\u200b{drawable(name, fonts)} ({count})".replace("$", r"\$")
            axis.scatter(
                *found.points[places].T, s=22, c=colour(index), marker=MARKERS[index % len(MARKERS)], label=label,
                linewidths=0, alpha=0.85,
            )  # fmt: skip
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
        axis.margins(0.04)
        axis.spines[:].set_visible(True)
        of = found.purity
        axis.set_title(
            f"{of.neighbours}-NN purity {of.value:.2f}, untrained {mean(found.untrained):.2f}, labels shuffled "
            f"{of.shuffled:.2f}", fontsize=11, loc="left", color=INK,
        )  # fmt: skip
        figure.legend(loc="outside lower left", ncols=columns, handlelength=1, fontsize=10)
        return figure
