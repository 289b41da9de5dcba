"""Words beside points of a plot, none over another."""

from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from saev.report.lettering import width
from saev.report.palette import lettered

SIZE = 8
"""Of the words, in points."""

_DIRECTIONS = [(1, 0), (0.7, 0.7), (0.7, -0.7), (0, 1), (0, -1), (-0.7, 0.7), (-0.7, -0.7), (-1, 0)]
_STEPS = [(r * x, r * y) for r in (8, 15, 24, 36) for x, y in _DIRECTIONS]
"""Where words may go, from their point, in points: right of it at best."""


class Words:
    """Puts words beside points, where the fewest other things are: words, lines, the frame of the plot.

    The layout of the figure and the limits of the axes must be final.
    """

    def __init__(self, axes: Axes, lines: list[np.ndarray]):
        """`lines` are the polygons (n, 2) that are drawn, in data coordinates."""
        self._axes = axes
        self._unit = axes.figure.dpi / 72  # pixels per point, of sizes
        self._frame = axes.bbox
        self._taken: list[Bbox] = []
        drawn = [_along(axes.transData.transform(line)) for line in lines if len(line)]
        self._ink = np.concatenate(drawn) if drawn else np.empty((0, 2))

    def put(self, xy: np.ndarray, words: list[str], colour: str) -> None:
        """Label the points `xy` (n, 2) in their order; neighbours that lie on each other share one label."""
        at = self._axes.transData.transform(xy) if len(xy) else xy
        start = 0
        for i in range(1, len(at) + 1):
            if i == len(at) or np.hypot(*(at[i] - at[start])) > 4 * self._unit:
                self._put_one(xy[start], at[start], ", ".join(words[start:i]), colour)
                start = i

    def _put_one(self, xy: np.ndarray, at: np.ndarray, text: str, colour: str) -> None:
        size = np.array([72 * width(text, SIZE), SIZE]) * self._unit
        boxes = [_box(at + np.array(step) * self._unit, np.sign(step), size) for step in _STEPS]
        costs = [self._cost(box) + 0.1 * np.hypot(*step) for box, step in zip(boxes, _STEPS, strict=True)]
        best = int(np.argmin(costs))
        self._taken.append(boxes[best])
        far = np.hypot(*_STEPS[best]) > 9
        label = self._axes.annotate(
            text,
            (xy[0], xy[1]),
            xytext=_STEPS[best],
            textcoords="offset points",
            ha=("center", "left", "right")[int(np.sign(_STEPS[best][0]))],
            va=("center_baseline", "bottom", "top")[int(np.sign(_STEPS[best][1]))],
            fontsize=SIZE,
            color=lettered(colour),
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.7, "shrinkB": 4} if far else None,
        )
        label.set_in_layout(False)

    def _cost(self, box: Bbox) -> float:
        """Words over words are worst, then words cut by the frame, then words on a line."""
        outside = not (self._frame.contains(*box.min) and self._frame.contains(*box.max))
        inside = ((self._ink > box.min) & (self._ink < box.max)).all(1).sum()
        return 1000 * sum(box.overlaps(other) for other in self._taken) + 200 * outside + inside


def _box(corner: np.ndarray, towards: np.ndarray, size: np.ndarray) -> Bbox:
    """Where words of this size are that lie from `corner` in a direction, or about it in the middle."""
    low = corner + size * (towards - 1) / 2
    return Bbox([low, low + size])


def _along(corners: np.ndarray) -> np.ndarray:
    """Points on a polygon, about two pixels apart; at its corners, where markers are, a heap of them."""
    points = [np.repeat(corners, 9, axis=0)]
    for a, b in pairwise(corners):
        n = int(np.hypot(*(b - a)) / 2)
        points.append(a + (b - a) * np.linspace(0, 1, n + 1)[:, None])
    return np.concatenate(points)
