"""How figures look, and how they become files: fixed colours and sizes, no date, without pyplot's global state."""

import io
from collections.abc import Iterable
from functools import wraps
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from fairseq_latent.errors import InputError

from .text_layout import FONT, families

# Okabe and Ito's colours, which colour-blind readers tell apart; the pale yellow is left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
INK, PALE = "#222222", "#777777"
STYLE = {
    "font.family": FONT,
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
DPI, PALETTE = 180, 128
FORMATS = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}


def ending(path: str, known: Iterable[str], what: str) -> str:
    """The ending of a file's name, one of those that are `known`."""
    kind = Path(path).suffix.removeprefix(".")
    if kind not in known:
        endings = " or ".join(f".{each}" for each in known)
        raise InputError(f"{path}: not the name of a {what}; remedy: a name that ends in {endings}")
    return kind


def styled(draw):
    """Decorates a function of NAME -> anything that draws; names in any script find an installed font that has it."""

    @wraps(draw)
    def drawn(named, *args, **kwargs) -> Figure:
        with matplotlib.rc_context({**STYLE, "font.family": list(families(named))}):
            return draw(named, *args, **kwargs)

    return drawn


def encoded(figure: Figure, kind: str = "png") -> bytes:
    """The picture's bytes; kind is a key of FORMATS. They hold no date."""
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=FORMATS[kind])
    return _with_palette(buffer) if kind == "png" else buffer.getvalue()


def _with_palette(png: io.BytesIO) -> bytes:
    """PNG -> PNG of 128 colours, which no eye tells from 16 million in a figure: a third of the size."""
    from PIL import Image  # matplotlib needs it

    small = io.BytesIO()
    image = Image.open(png).convert("RGB").quantize(PALETTE, dither=Image.Dither.NONE)
    image.save(small, "png", optimize=True, dpi=(DPI, DPI))
    return small.getvalue()


def colour(index: int) -> str:
    """Of the system at this place."""
    return COLOURS[index % len(COLOURS)]
