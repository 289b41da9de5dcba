"""One look for all figures, whatever the reader's own matplotlib settings are."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from saev.files import write_bytes
from saev.report.lettering import families
from saev.report.palette import COLOURS

GREY = "#6b6b6b"
"""Of what is not data: reference lines, notes."""

_STYLE: dict[Any, object] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.8,
    "axes.prop_cycle": cycler(color=COLOURS),
    "legend.frameon": False,
    "figure.constrained_layout.h_pad": 0.1,
    "figure.constrained_layout.w_pad": 0.1,
    "text.parse_math": False,  # a class may be called US$ and CA$
    "svg.hashsalt": "saev",  # names of clips and markers, which would be drawn at random
}


@contextmanager
def styled() -> Iterator[None]:
    """The project's matplotlib settings, over matplotlib's defaults, for the duration of the block.

    Over the defaults and not over what is set, so that a figure is the same bytes for everybody: a
    matplotlibrc in the working directory or in one's home would change it otherwise.
    """
    fonts = logging.getLogger("matplotlib.font_manager")
    level = fonts.level
    fonts.setLevel(logging.ERROR)  # it warns that a family of FALLBACKS has no bold
    try:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(_STYLE)
            matplotlib.rcParams["font.family"] = list(families())
            yield
    finally:
        fonts.setLevel(level)


_UNDATED = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}


def save(figure: Figure, path: str | Path, dpi: int = 110) -> None:
    """Write an SVG (for lines) or a PNG (for photographs), as `path` ends; whole or not at all.

    The same figure is the same bytes. In an SVG letters are outlines, so that it looks the same wherever it
    is opened, in whatever script its names are.
    """
    picture, kind = BytesIO(), Path(path).suffix.removeprefix(".")
    with styled():  # much is read from the settings only when a figure is drawn
        figure.savefig(picture, format=kind, dpi=dpi, metadata=_UNDATED[kind])
    write_bytes(path, picture.getvalue())


def save_pages(figures: Iterable[Figure], folder: Path, name: str) -> None:
    """Write the figures as `<name>-1.png`, `<name>-2.png`, ..."""
    for page, figure in enumerate(figures, start=1):
        save(figure, folder / f"{name}-{page}.png")


def sheet(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure whose only axes measure inches, from its upper left corner."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1), autoscale_on=False)
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    return figure, axes


def place(axes: Axes, pixels: np.ndarray, x: float, y: float, width: float, height: float, **how) -> None:
    """Put a picture on a sheet."""
    axes.imshow(pixels, extent=(x, x + width, y + height, y), aspect="auto", clip_on=False, **how)


def scale(axes: Axes, which: Literal["x", "y"], values: list[float]) -> None:
    """Make an axis logarithmic where positive values span a decade, else linear from 0; in plain numbers."""
    low, high = min(values, default=0), max(values, default=1)
    axis = getattr(axes, f"{which}axis")
    if low > 0 and high >= 10 * low:
        axes.set(**{f"{which}scale": "log"})
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
        axis.set_minor_formatter(NullFormatter())
    else:
        axes.set(**{f"{which}lim": (min(0, low), 1.08 * high or 1)})
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def percent(axis: Axis) -> None:
    """Label an axis of shares in percent, small ones in powers of ten."""

    def label(value: float, _) -> str:
        if value and abs(value) < 9e-6:
            return f"10{str(round(np.log10(value) + 2)).translate(_RAISED)} %"
        return f"{100 * value:g} %"

    axis.set_major_formatter(FuncFormatter(label))


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def nothing(axes: Axes, why: str) -> None:
    """Leave a plot empty, and say why it is."""
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", color=GREY)
    axes.set(xticks=[], yticks=[])
