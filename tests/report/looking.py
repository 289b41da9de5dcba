"""Where things are in a figure, in pixels."""

from collections.abc import Iterable

from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from saev.report.style import styled


def settled(figure: Figure) -> Figure:
    """The figure, laid out as it is drawn."""
    with styled():
        figure.draw_without_rendering()
    return figure


def boxes(texts: Iterable[Text]) -> list[Bbox]:
    """Of words alone; of an annotation matplotlib's own would take in its arrow."""
    return [Text.get_window_extent(text) for text in texts if text.get_text()]


def overlap(boxes: list[Bbox]) -> bool:
    """Whether any two do."""
    return any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
