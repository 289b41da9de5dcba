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
    every = np.arange(cell.store("val").n_images)
    for row in rows:
        yield strongest_among(cell, "val", picture, row["latent"], (every, k), title(row))


def strongest_among(
    cell: Cell, split: str, picture: Picture, latent: int, most: tuple[np.ndarray, int], words: str
) -> "Exemplars":
    """Of some images those on which a latent is strongest, with its codes.

    Args:
        most: the numbers of the images, and how many of them.
    """
    from saev.features import top_images
    from saev.report import Exemplars

    (among, k), grid = most, cell.tokens(split).grid or (1, 1)
    code_it = cell.codes(split).maps(latent)
    top = among[top_images(code_it[among], k)]
    shown = [
        code.reshape(grid) if code.size == grid[0] * grid[1] else code.max().reshape(1, 1)
        for code in code_it[top]
    ]
    return Exemplars(words, [picture(int(i)) for i in top], shown)


def title(row: dict) -> str:
    """What is said of a latent."""
    from saev.report.bars import by_chance

    if "name" in row:
        doubt = ", by chance" if by_chance(row) else ""
        return f"{row['name']}: latent {row['latent']}, F1 {row['f1']:.2f}{doubt}"
    return f"latent {row['latent']}, fires on {row['density']:.2%}, at most {row['maximum']:.1f}"


def edited_maps(cell: Cell, picture: Picture, edited: "Iterable[EditedImage]") -> "Iterator[EditedMap]":
    """The predictions before and after each edit, as maps if the task decides on patches."""
    from saev.report import EditedMap

    grid = cell.store("val").grid
    for edit in edited:
        shape = grid if len(edit.before) > 1 else (1, 1)
        maps = (found.reshape(shape) for found in (edit.before, edit.after, edit.control))
        yield EditedMap(edit.name, edit.latents, picture(edit.image), *maps)
