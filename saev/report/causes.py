"""Pictures of where a latent fires beside what it fires for."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from saev.report.exemplars import frame, number
from saev.report.heat import heat, overlay
from saev.report.lettering import fit
from saev.report.palette import COLOURS, lettered
from saev.report.style import GREY, percent, place, sheet, styled


class Caused(NamedTuple):
    """An image on which a latent fires, and what its largest code there comes from."""

    name: str
    """Of the latent."""
    image: np.ndarray
    """(h, w, 3) uint8, exactly what the model saw."""
    codes: np.ndarray
    """(rows, columns) of the patch grid."""
    effect: np.ndarray
    """(rows, columns) of blocks of patches: what the largest code loses without each."""
    elsewhere: float | None
    """Share of the positive effects that is of blocks in which it does not fire."""
    share: np.ndarray
    """(k,) of the blocks."""
    insertion: dict[str, np.ndarray]
    """(k,) code with so many blocks in sight, as a share of the whole image's, by the keys of ORDERS."""


ORDERS = {
    "effect": ("those of most effect first", {"color": COLOURS[0], "marker": "o"}),
    "firing": ("where it fires most first", {"color": COLOURS[1], "marker": "s"}),
    "random": (
        "in random order (control)",
        {"color": GREY, "marker": "D", "markerfacecolor": "white", "linestyle": "--", "linewidth": 1.2},
    ),
}
"""In which blocks are put back: in words, and how their curve looks."""

LEAST = 0.01
"""Share of the code: a block that causes less is dark, since the colours of weak effects are clear to see."""
SIDE, GAP, MARGIN = 1.75, 0.14, 0.2
"""Width of a picture, space between pictures, margin of the page, in inches."""
HEAD, BELOW, FOOT = 0.98, 0.52, 0.62
"""Heights of the heading, of the words below an image's pictures, and of the keys."""
PLOT, AXIS, AREAS = 2.5, 0.5, 0.5
"""Widths of the curves, of what is written left of them, and of their areas on the right."""
WIDTH = 2 * MARGIN + 3 * (SIDE + GAP) + AXIS + PLOT + AREAS
COLUMNS = ("what the model saw", "fires here", "caused by", "its code as blocks are put back")


def cause_pages(title: str, rows: list[Caused], per_page: int = 5) -> Iterator[Figure]:
    """Images on which a latent is strong, with its codes, with what its largest code there comes from, and
    with how much of that code is there when some blocks alone are seen.

    The patch whose code is explained is framed. Each map has its own lightest colour, which is told below it.

    Args:
        title: what is said of the latent.
    """
    n_pages = -(-len(rows) // per_page)
    for page in range(n_pages):
        here = rows[page * per_page : (page + 1) * per_page]
        heights = [SIDE * row.image.shape[0] / row.image.shape[1] for row in here]
        tall = HEAD + sum(heights) + BELOW * len(here) + FOOT
        with styled():
            figure, axes = sheet(WIDTH, tall)
            _heading(axes, title, f" ({page + 1} of {n_pages})" if n_pages > 1 else "")
            y, top = HEAD, max(1.0, *(curve.max() for row in here for curve in row.insertion.values()))
            for row, height in zip(here, heights, strict=True):
                _pictures(axes, row, y, height)
                _curves(figure, row, y, height, 1.06 * top)
                _areas(axes, row, y)
                y += height + BELOW
            _keys(axes, y + 0.04)
        yield figure


def _heading(axes: Axes, title: str, page: str) -> None:
    name = fit(title, WIDTH - 2 * MARGIN - 0.9, 12, "bold")
    axes.text(MARGIN, 0.28, f"{name}{page}", fontsize=12, weight="bold")
    told = (
        "What a block of patches causes of the framed patch's code is what is lost when it is painted over."
    )
    axes.text(MARGIN, 0.5, told, fontsize=8.5, color=GREY)
    for i, words in enumerate(COLUMNS):
        axes.text(_left(i) + AXIS * (i == 3), HEAD - 0.09, words, fontsize=9, weight="bold")


def _left(i: int) -> float:
    """Where a picture begins, or what follows the last."""
    return MARGIN + i * (SIDE + GAP)


def _pictures(axes: Axes, row: Caused, y: float, height: float) -> None:
    code, most = row.codes.max(), row.effect.max()
    felt = np.where(row.effect < LEAST * code, 0, row.effect)
    pictures = (row.image, overlay(row.image, row.codes, code), overlay(row.image, felt, most))
    for i, picture in enumerate(pictures):
        place(axes, picture, _left(i), y, SIDE, height)
        frame(axes, row.codes, _left(i), y, SIDE, height)
    silent = "no block causes it alone"
    if row.elsewhere is not None:
        silent = f"{100 * row.elsewhere:.0f} % of all from where it is silent"
    below = y + height
    axes.text(_left(0), below + 0.16, fit(row.name, SIDE, 8, "bold"), fontsize=8, weight="bold")
    axes.text(_left(1), below + 0.16, f"largest code {number(code)}", fontsize=8)
    axes.text(_left(2), below + 0.16, f"at most {100 * max(most / code, 0):.0f} % by one block", fontsize=8)
    axes.text(_left(2), below + 0.3, silent, fontsize=8)


def _curves(figure: Figure, row: Caused, y: float, height: float, top: float) -> None:
    width, tall = figure.get_size_inches()
    left = _left(3) + AXIS
    axes = figure.add_axes((left / width, 1 - (y + height) / tall, PLOT / width, height / tall))
    for order, (_, look) in ORDERS.items():
        axes.plot(row.share, row.insertion[order], markersize=4, clip_on=False, **look)
    axes.set(xlim=(0, 1), ylim=(0, top))
    for axis in (axes.xaxis, axes.yaxis):
        percent(axis)
    axes.tick_params(labelsize=8)
    axes.set_xlabel("share of the blocks in sight", fontsize=8, labelpad=2)


def _areas(axes: Axes, row: Caused, y: float) -> None:
    """Under the curves, right of them."""
    x = _left(3) + AXIS + PLOT + 0.2
    axes.text(x, y + 0.1, "area", fontsize=8, color=GREY)
    for line, (order, (_, look)) in enumerate(ORDERS.items(), 1):
        area = f"{np.trapezoid(row.insertion[order], row.share):.2f}"
        axes.text(x, y + 0.1 + 0.19 * line, area, fontsize=9, color=lettered(look["color"]), weight="bold")


def _keys(axes: Axes, y: float) -> None:
    """What the colours of maps, and of curves, are."""
    x, width = _left(1), SIDE
    place(axes, heat(np.zeros((1, 1))), MARGIN, y, 0.22, 0.12)
    for line, words in enumerate(("does not fire, or", f"less than {100 * LEAST:g} % is lost")):
        axes.text(MARGIN + 0.3, y + 0.1 + 0.14 * line, words, fontsize=8)
    place(axes, heat(np.linspace(1e-9, 1, 256)[None]), x, y, width, 0.12)
    for share, align in ((0, "left"), (0.5, "center"), (1, "right")):
        axes.text(x + share * width, y + 0.27, f"{100 * share:g} %", fontsize=8, ha=align)
    axes.text(x + width + 0.12, y + 0.1, "of the largest in its map", fontsize=8)
    handles = [Line2D([], [], markersize=4, **look, label=words) for words, look in ORDERS.values()]
    axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(_left(3) + AXIS - 0.1, y - 0.05),
        bbox_transform=axes.transData,
        fontsize=8,
        borderpad=0,
        labelspacing=0.2,
    )
