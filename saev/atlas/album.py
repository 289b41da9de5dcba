"""Each image once, in sprite sheets: 50,000 files are slow to copy, and overlays of latents weigh 5 GB."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 4
"""Images in a row, and rows, of a sheet: a card needs few images, from anywhere, and loads whole sheets."""
QUALITY = 80


def write_album(
    out: Path, name: str, picture: Callable[[int], np.ndarray], ids: np.ndarray, longest: int
) -> dict:
    """Draw images of one size into sheets, `s/<name>/<number>.webp`.

    A sheet is encoded while the images of the next are read, so two are in memory.

    Args:
        picture: of the number of an image its pixels (h, w, 3) uint8.
        ids: the numbers of the images, as they are to follow each other.
        longest: pixels of the longer side of each, at most.

    Returns:
        What the page must know to find them, but for the ids.
    """
    folder, size = out / "s" / name, (longest, longest)
    folder.mkdir(parents=True)
    with ThreadPoolExecutor(1) as encoder:
        encoding: Future | None = None
        for number, first in enumerate(range(0, len(ids), SIDE**2)):
            small = [_thumbnail(picture(int(i)), longest) for i in ids[first : first + SIDE**2]]
            size = small[0].size
            if encoding:
                encoding.result()
            encoding = encoder.submit(_save, small, folder / f"{number}.webp")
        if encoding:
            encoding.result()
    return {"name": name, "side": SIDE, "width": size[0], "height": size[1]}


def _save(small: Sequence[Image.Image], file: Path) -> None:
    width, height = small[0].size
    sheet = Image.new("RGB", (SIDE * width, -(-len(small) // SIDE) * height))
    for i, image in enumerate(small):
        sheet.paste(image, (i % SIDE * width, i // SIDE * height))
    sheet.save(file, quality=QUALITY, method=4)


def kept(wanted: Iterable[np.ndarray], most: int) -> np.ndarray:
    """At most `most` different images, ascending, of arrays of which each is more dispensable than the one
    before; negative numbers are none."""
    chosen = np.empty(0, np.int64)
    for images in wanted:
        new = np.setdiff1d(images[images >= 0], chosen)
        chosen = np.concatenate([chosen, new[: most - len(chosen)]])
    return np.sort(chosen)


def _thumbnail(pixels: np.ndarray, longest: int) -> Image.Image:
    h, w, _ = pixels.shape
    scale = min(1, longest / max(h, w))
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
