"""Pictures of what a task predicts before and after an edit, and after the edit's control."""

from collections import Counter
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from saev.report.lettering import drawable, fit
from saev.report.palette import distinct, ink
from saev.report.regions import OTHERS, Box, Mark, draw_classes, draw_grid, draw_outline
from saev.report.style import GREY, place, sheet, styled


class EditedMap(NamedTuple):
    """An image, and the classes predicted of its patches; (1, 1) where the task decides on whole images."""

    name: str
    """The class whose latents were edited."""
    latents: tuple[int, ...]
    image: np.ndarray
    """(h, w, 3) uint8, exactly what the model saw."""
    before: np.ndarray
    after: np.ndarray
    """After the edit of the latents."""
    control: np.ndarray
    """After the control's edit in its stead."""


def title(row: EditedMap) -> str:
    """Which latents were edited for which class."""
    latents = ", ".join(map(str, row.latents))
    return f"{row.name}: latent{'s' * (len(row.latents) > 1)} {latents}"


SIDE, GAP, MARGIN = 2.0, 0.16, 0.2
"""Width of a map, space between maps, margin of the page, in inches."""
HEAD, ABOVE, BELOW = 1.0, 0.28, 0.5
"""Heights of the heading, of a row's title and of the words below its maps."""
KEY = 3.1
"""Width of a row's legend."""
NAMED = 9
"""Classes of a row that get a colour; the rest of them is grey and counted together."""


def map_pages(
    rows: list[EditedMap], classes: Sequence[str], edit: str, per_page: int = 6
) -> Iterator[Figure]:
    """What a task predicts before an edit, after it, and after its control, image by image.

    On a page every class has one colour and one number, which are no other's. A black outline holds the
    patches that changed. Of tasks that decide on whole images the predictions are told in words.

    Args:
        edit: what was done, for the heading.
    """
    n_pages = -(-len(rows) // per_page)
    for page in range(n_pages):
        here = rows[page * per_page : (page + 1) * per_page]
        draw = _cards if all(row.before.size == 1 for row in here) else _maps
        with styled():
            figure = draw(here, classes, edit, f" ({page + 1} of {n_pages})" if n_pages > 1 else "")
        yield figure


def _maps(rows: list[EditedMap], classes: Sequence[str], edit: str, page: str) -> Figure:
    """A line per image: image, three maps, and the legend with the patches that each class has in them."""
    heights = [SIDE * row.image.shape[0] / row.image.shape[1] for row in rows]
    lines = [ABOVE + max(height + BELOW, 0.19 * (NAMED + 3)) for height in heights]
    width = 2 * MARGIN + 4 * (SIDE + GAP) + KEY
    figure, axes = sheet(width, HEAD + sum(lines))
    _heading(axes, width, edit, page, "outlined: patches of which another class is predicted than before")
    named = [_named(row, classes) for row in rows]
    marks = _marks(sum(named, Counter()))
    y = HEAD
    for row, own, height, line in zip(rows, named, heights, lines, strict=True):
        axes.text(MARGIN, y + 0.16, fit(title(row), width / 2, 9.5, "bold"), **_TITLE)
        marked = {c: mark for c, mark in marks.items() if c in own}
        _pictures(axes, row, marked, list(classes).index(row.name), (MARGIN, y + ABOVE, SIDE, height))
        _legend(axes, row, marked, classes, MARGIN + 4 * (SIDE + GAP) + 0.1, y + ABOVE)
        y += line
    return figure


_TITLE = {"fontsize": 9.5, "weight": "bold"}


def _named(row: EditedMap, classes: Sequence[str]) -> Counter:
    """Patches of the classes that get a colour: the edited one and the largest of the three maps together."""
    found = Counter(np.concatenate([row.before, row.after, row.control], axis=None).tolist())
    target = list(classes).index(row.name)
    largest = sorted(found, key=lambda c: (c != target, -found[c], c))[:NAMED]
    return Counter({c: found[c] for c in largest})


def _marks(found: Counter) -> dict[int, Mark]:
    """A number and a colour for every class of a page; the most frequent get the most different colours."""
    ranked = sorted(found, key=lambda c: (-found[c], c))
    colours = enumerate(distinct(len(ranked)), 1)
    return {c: Mark(number, colour) for c, (number, colour) in zip(ranked, colours, strict=True)}


def _heading(axes: Axes, width: float, edit: str, page: str, note: str) -> None:
    axes.text(MARGIN, 0.28, f"Predictions before and after an edit{page}", fontsize=12, weight="bold")
    told = wrap(drawable(f"the latent of the class: {edit}"), int(12 * (width - 2 * MARGIN)))
    for i, line in enumerate([*told[:2], note]):
        axes.text(MARGIN, 0.5 + 0.17 * i, line, fontsize=8.5, color=GREY)


def _pictures(axes: Axes, row: EditedMap, marks: dict[int, Mark], target: int, box: Box) -> None:
    x, y, width, height = box
    place(axes, row.image, *box)
    draw_grid(axes, row.before.shape, box)
    rows, columns = row.before.shape
    axes.text(x, y + height + 0.16, "what the model saw", fontsize=8, weight="bold")
    axes.text(x, y + height + 0.3, f"{rows} by {columns} patches", fontsize=8)
    own = row.before == target
    for i, (what, map_hw) in enumerate(
        (("predicted", row.before), ("after the edit", row.after), ("after the control", row.control)), 1
    ):
        at = (x + i * (SIDE + GAP), y, width, height)
        draw_classes(axes, map_hw, marks, at)
        changed = map_hw != row.before
        draw_outline(axes, changed, at)
        axes.text(at[0], y + height + 0.16, what, fontsize=8, weight="bold")
        counts = (
            f"{(changed & own).sum()} of {own.sum()} of the class changed",
            f"{(changed & ~own).sum()} of {(~own).sum()} others changed",
        )
        for line, words in enumerate(counts if i > 1 else (f"{own.sum()} patches as the class",)):
            axes.text(at[0], y + height + 0.3 + 0.14 * line, words, fontsize=8)


def _legend(
    axes: Axes, row: EditedMap, marks: dict[int, Mark], classes: Sequence[str], x: float, y: float
) -> None:
    """Colour, number and name of the classes of a row, and how many patches of each map are predicted so."""
    columns = [x + KEY - MARGIN + shift for shift in (-0.9, -0.45, 0)]
    for at, word in zip(columns, ("before", "edit", "control"), strict=True):
        axes.text(at, y + 0.1, word, fontsize=8, color=GREY, ha="right")
    maps = (row.before, row.after, row.control)
    lines = [(mark, classes[c], [(m == c).sum() for m in maps]) for c, mark in marks.items()]
    rest = [m.size - sum(counts[i] for *_, counts in lines) for i, m in enumerate(maps)]
    if any(rest):
        others = len(set(np.concatenate(maps, axis=None).tolist()) - set(marks))
        lines.append((Mark("", OTHERS), f"{others} other{'s' * (others > 1)}", rest))
    for i, (mark, name, counts) in enumerate(lines):
        top = y + 0.19 * (i + 1)
        axes.add_patch(Rectangle((x, top), 0.2, 0.15, color=mark.colour, linewidth=0))
        middle = {"fontsize": 8, "va": "center_baseline"}
        axes.text(x + 0.1, top + 0.075, str(mark.number), color=ink(mark.colour), ha="center", **middle)
        weight = "bold" if name == row.name else "normal"
        axes.text(x + 0.28, top + 0.075, fit(name, columns[0] - x - 0.7, 8, weight), weight=weight, **middle)
        for at, n in zip(columns, counts, strict=True):
            axes.text(at, top + 0.075, str(n), ha="right", **middle)


def _cards(rows: list[EditedMap], classes: Sequence[str], edit: str, page: str) -> Figure:
    """Two images a line, each with its three predictions in words."""
    card, words = 5.4, 3.1
    heights = [SIDE * row.image.shape[0] / row.image.shape[1] for row in rows]
    line = ABOVE + max([*heights, 1.1]) + 0.2
    width = 2 * MARGIN + 2 * card
    figure, axes = sheet(width, HEAD + line * -(-len(rows) // 2))
    _heading(axes, width, edit, page, "the task decides on the whole image")
    for i, (row, height) in enumerate(zip(rows, heights, strict=True)):
        x, y = MARGIN + card * (i % 2), HEAD + line * (i // 2)
        axes.text(x, y + 0.16, fit(title(row), card - 0.2, 9.5, "bold"), **_TITLE)
        place(axes, row.image, x, y + ABOVE, SIDE, height)
        before = int(row.before.item())
        for k, (what, found) in enumerate(
            (("predicted", row.before), ("after the edit", row.after), ("after the control", row.control))
        ):
            at = y + ABOVE + 0.13 + 0.4 * k
            axes.text(x + SIDE + 0.14, at, what, fontsize=8, color=GREY)
            changed = int(found.item()) != before
            style = {"fontsize": 10, "weight": "bold" if changed else "normal"}
            name = fit(classes[int(found.item())] + " (changed)" * changed, words, 10, style["weight"])
            axes.text(x + SIDE + 0.14, at + 0.18, name, **style)
    return figure
