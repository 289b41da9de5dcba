"""Records with the pictures that belong to them: images exactly as the model saw them."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from pipeline.cell import Cell
from saev.errors import SaevError

if TYPE_CHECKING:
    from saev.intervention.illustrate import EditedImage
    from saev.report import EditedMap, Exemplars


Picture = Callable[[int], np.ndarray]
"""Of the number of an image its pixels."""


def seen(cell: Cell, split: str) -> Picture:
    """Of the number of an image its pixels (h, w, 3) uint8, as the model saw them.

    Raises:
        SaevError: the images are no longer those that were recorded.
    """
    images, store = cell.images(split), cell.store(split)
    if images.fingerprint != store.attrs["data"]:
        raise SaevError(
            f"{store.path}: recorded from other images than data.splits.{split} names now; record it again"
        )
    return lambda i: store.preprocess.crop(images[i].image)


def exemplars(cell: Cell, picture: Picture, rows: list[dict], k: int) -> "Iterator[Exemplars]":
    """The k validation images on which the latent of each record is strongest, with its codes."""
    from saev.features import top_images
    from saev.report import Exemplars

    codes, grid = cell.codes("val"), cell.tokens("val").grid or (1, 1)
    for row in rows:
        code_it = codes.maps(row["latent"])
        top = top_images(code_it, k)
        shown = [
            code.reshape(grid) if code.size == grid[0] * grid[1] else code.max().reshape(1, 1)
            for code in code_it[top]
        ]
        yield Exemplars(title(row), [picture(int(i)) for i in top], shown)


def title(row: dict) -> str:
    """What is said of a latent."""
    if "name" in row:
        return f"{row['name']}: latent {row['latent']}, F1 {row['f1']:.2f}"
    return f"latent {row['latent']}, fires on {row['density']:.2%}, at most {row['maximum']:.1f}"


def edited_maps(cell: Cell, picture: Picture, edited: "Iterable[EditedImage]") -> "Iterator[EditedMap]":
    """The predictions before and after each edit, as maps if the task decides on patches."""
    from saev.report import EditedMap

    grid = cell.store("val").grid
    for edit in edited:
        shape = grid if len(edit.before) > 1 else (1, 1)
        maps = (found.reshape(shape) for found in (edit.before, edit.after, edit.control))
        yield EditedMap(edit.name, edit.latent, picture(edit.image), *maps)
