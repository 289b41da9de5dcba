"""Small images that say what they are."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


def coordinates(h: int, w: int) -> np.ndarray:
    """An image that encodes its own coordinates: red is the row, green the column."""
    row, column = np.mgrid[:h, :w].astype(np.uint8)
    return np.stack([row, column, 0 * row], axis=-1)


def encoded(pixels: np.ndarray | Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """The bytes of an image file."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    out = io.BytesIO()
    if kind == "JPEG":
        options = {"quality": 100, "subsampling": 0, **options}
    image.save(out, kind, **options)
    return out.getvalue()


def exif(orientation: int) -> Image.Exif:
    """Metadata that say how the pixels are to be turned."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def write(path: Path, content: bytes | None = None) -> Path:
    """A file with its folders; without content a small picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(coordinates(4, 5)) if content is None else content)
    return path
