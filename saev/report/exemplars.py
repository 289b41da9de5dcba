"""Pictures of what latents fire on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from saev.report.heat import heat, overlay
from saev.report.lettering import fit
from saev.report.style import GREY, place, sheet, styled


class Exemplars(NamedTuple):
    """A latent and the images on which its codes are largest."""

    title: str
    images: list[np.ndarray]
    """(h, w, 3) uint8, exactly what the model saw."""
    codes: list[np.ndarray]
    """(rows, columns) of the patch grid; (1, 1) where the unit is the whole image."""

    @property
    def peak(self) -> float:
        """The largest code of the row: what its colours are shares of."""
        return max((float(code.max()) for code in self.codes), default=0.0)


@dataclass(frozen=True)
class _Layout:
    """Where things are on a page, in inches."""

    n: int
    """Exemplars of a line."""
    pictures: int
    """Of an exemplar: the crop, and beside it the crop under its codes."""
    width: float
    height: float
    """Of a picture."""
    margin: float = 0.2
    head: float = 0.74
    title: float = 0.24
    value: float = 0.17
    gap: float = 0.2
    """Between exemplars."""
    pair: float = 0.03
    """Between the two pictures of one."""
    foot: float = 0.5

    @classmethod
    def of(cls, rows: Sequence[Exemplars]) -> "_Layout":
        images = [image for row in rows for image in row.images]
        whole = all(code.size == 1 for row in rows for code in row.codes)
        ratio = max((image.shape[0] / image.shape[1] for image in images), default=1.0)
        n = max((len(row.images) for row in rows), default=0)
        width = 1.2 / max(1, ratio) ** 0.5
        return cls(max(n, 1), 1 if whole else 2, width, width * ratio)

    @property
    def step(self) -> float:
        return self.pictures * (self.width + self.pair) + self.gap

    @property
    def line(self) -> float:
        return self.title + self.value + self.height + self.gap

    @property
    def page_width(self) -> float:
        return max(2 * self.margin + self.n * self.step - self.gap - self.pair, 6.6)  # so wide is the heading


def exemplar_pages(rows: list[Exemplars], per_page: int = 12) -> Iterator[Figure]:
    """The images on which latents fire most, each as the model saw it and again under its patches' codes.

    The strongest patch is framed in both and its code written above; colours are shares of the row's largest
    code. Where a row has fewer images than others, white is left.
    """
    layout = _Layout.of(rows)
    n_pages = -(-len(rows) // per_page)
    for page in range(n_pages):
        here = rows[page * per_page : (page + 1) * per_page]
        with styled():
            figure, axes = sheet(layout.page_width, layout.head + len(here) * layout.line + layout.foot)
            _heading(axes, layout, f" ({page + 1} of {n_pages})" if n_pages > 1 else "")
            for i, row in enumerate(here):
                _row(axes, row, layout, layout.head + i * layout.line)
            _colour_bar(axes, layout, layout.head + len(here) * layout.line + 0.08)
        yield figure


def _heading(axes: Axes, layout: _Layout, page: str) -> None:
    x = layout.margin
    axes.text(x, 0.28, f"Images with the largest codes of each latent{page}", fontsize=12, weight="bold")
    told = (
        "each as the model saw it; above it its code, which its bar shows as a colour"
        if layout.pictures == 1
        else "left: what the model saw; right: the code of each patch, the strongest framed, its value above"
    )
    axes.text(x, 0.5, told, fontsize=8.5, color=GREY)


def _row(axes: Axes, row: Exemplars, layout: _Layout, y: float) -> None:
    title = fit(row.title, layout.page_width - 2 * layout.margin, 9.5, "bold")
    axes.text(layout.margin, y + 0.14, title, fontsize=9.5, weight="bold")
    y += layout.title + layout.value
    if not row.images:
        axes.text(layout.margin, y + 0.1, "fires on none of these images", fontsize=8.5, color=GREY)
    for i, (image, codes) in enumerate(zip(row.images, row.codes, strict=True)):
        x = layout.margin + i * layout.step
        shrink = min(layout.width / image.shape[1], layout.height / image.shape[0])
        h, w = image.shape[0] * shrink, image.shape[1] * shrink
        place(axes, image, x, y, w, h)
        value = number(codes.max())
        if layout.pictures == 1:
            axes.text(x, y - 0.05, value, fontsize=8)
            place(axes, heat(codes / (row.peak or 1.0)), x, y + h + 0.02, w, 0.07)
            continue
        beside = x + w + layout.pair
        place(axes, overlay(image, codes, row.peak), beside, y, w, h)
        axes.text(beside, y - 0.05, value, fontsize=8)
        for left in (x, beside):
            frame(axes, codes, left, y, w, h)


def number(value: float) -> str:
    """Three digits, or as many as there are before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def frame(axes: Axes, codes: np.ndarray, x: float, y: float, width: float, height: float) -> None:
    """A frame about the strongest patch: outside of it, and white in black, to be seen on anything."""
    w, h = width / codes.shape[1], height / codes.shape[0]
    row, column = np.unravel_index(codes.argmax(), codes.shape)
    for colour, line, out in (("black", 2.4, 0.012), ("white", 1.0, 0.01)):
        at = (x + column * w - out, y + row * h - out)
        axes.add_patch(Rectangle(at, w + 2 * out, h + 2 * out, fill=False, color=colour, linewidth=line))


def _colour_bar(axes: Axes, layout: _Layout, y: float) -> None:
    x, width = layout.margin, 2.2
    place(axes, heat(np.zeros((1, 1))), x, y, 0.22, 0.12)
    axes.text(x, y + 0.27, "does not fire", fontsize=8)
    x += 1.0
    place(axes, heat(np.linspace(1e-9, 1, 256)[None]), x, y, width, 0.12)
    for share, align in ((0, "left"), (0.5, "center"), (1, "right")):
        axes.text(x + share * width, y + 0.27, f"{100 * share:g} %", fontsize=8, ha=align)
    axes.text(x + width + 0.12, y + 0.1, "code, as a share of the largest of its row", fontsize=8)
