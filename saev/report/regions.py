"""Maps of classes: flat colours, numbered where they are, and outlines of what changed."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from scipy.ndimage import distance_transform_edt

from saev.report.palette import ink
from saev.report.style import place

OTHERS = "#d9d9d9"
"""Of classes that have no colour of their own."""

Box = tuple[float, float, float, float]
"""Left, top, width and height on a sheet, in inches."""


class Mark(NamedTuple):
    """What a class is known by on a page."""

    number: int | str
    """Empty where classes share a colour."""
    colour: str


def draw_classes(axes: Axes, classes_hw: np.ndarray, marks: dict[int, Mark], box: Box) -> None:
    """The class of every patch as its colour, and each class's number where there is most room for it."""
    pixels = np.full((*classes_hw.shape, 3), to_rgb(OTHERS))
    for c, mark in marks.items():
        pixels[classes_hw == c] = to_rgb(mark.colour)
    place(axes, pixels, *box, interpolation="nearest")
    x, y, width, height = box
    rows, columns = classes_hw.shape
    for c, (number, colour) in marks.items():
        depth = distance_transform_edt(np.pad(classes_hw == c, 1))[1:-1, 1:-1]
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        if depth.max() * width / columns > 0.15:  # inches: there is room for a number
            at = x + (column + 0.5) * width / columns, y + (row + 0.5) * height / rows
            axes.text(*at, str(number), color=ink(colour), fontsize=8, ha="center", va="center_baseline")


def draw_grid(axes: Axes, shape: tuple[int, int], box: Box) -> None:
    """Faint lines between the patches of an image."""
    x, y, width, height = box
    rows, columns = shape
    across = [[(x, at), (x + width, at)] for at in np.linspace(y, y + height, rows + 1)[1:-1]]
    down = [[(at, y), (at, y + height)] for at in np.linspace(x, x + width, columns + 1)[1:-1]]
    axes.add_collection(LineCollection([*across, *down], colors="white", linewidths=0.4, alpha=0.45))


def draw_outline(axes: Axes, inside_hw: np.ndarray, box: Box) -> None:
    """A black line about the patches of a set, in white, to be seen on any colour."""
    x, y, width, height = box
    rows, columns = inside_hw.shape
    w, h = width / columns, height / rows
    framed = np.pad(inside_hw, 1)
    down = np.argwhere(framed[1:-1, 1:] != framed[1:-1, :-1])  # an edge on the left of (row, column)
    across = np.argwhere(framed[1:, 1:-1] != framed[:-1, 1:-1])  # an edge above it
    edges = [[(x + c * w, y + r * h), (x + c * w, y + (r + 1) * h)] for r, c in down]
    edges += [[(x + c * w, y + r * h), (x + (c + 1) * w, y + r * h)] for r, c in across]
    for colour, line in (("white", 2.6), ("black", 1.3)):
        axes.add_collection(LineCollection(edges, colors=colour, linewidths=line, capstyle="projecting"))
