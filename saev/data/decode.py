"""Image files -> arrays, with every way in which a file can be broken as one error."""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from saev.data.sample import IGNORE
from saev.errors import SaevError

# What PIL raises on broken files, as seen with truncated and altered JPEG, PNG, TIFF, WebP and GIF.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


class CorruptImage(SaevError):
    """An image that cannot be decoded."""


def decode(source: str | Path | bytes, name: object) -> np.ndarray:
    """A file or its bytes -> (h, w, 3) uint8. Raises CorruptImage with `name`.

    EXIF orientation is ignored, as the reference loaders of ImageNet and ADE20K do, because
    masks are stored in the orientation of the pixels.
    """
    try:
        with _open(source) as file:
            if file.mode.startswith("I;16"):  # Pillow would cut 16 bits off at 255
                return np.repeat((np.asarray(file) >> 8).astype(np.uint8)[..., None], 3, axis=-1)
            if file.mode in ("I", "F"):
                raise ValueError(
                    f"pixels of mode {file.mode!r} have no known range; save them with 8 or 16 bits"
                )
            return np.array(file.convert("RGB"))
    except BROKEN as error:
        raise CorruptImage(f"{name}: cannot be decoded as an image ({error})") from None


def decode_mask(
    source: str | Path | bytes, name: object, shape: tuple[int, ...], n_classes: int
) -> np.ndarray:
    """A single-channel mask -> (h, w) uint16; values that are no class become IGNORE. Raises CorruptImage."""
    try:
        with _open(source) as file:
            mask = np.asarray(file).astype(np.int64)
    except BROKEN as error:
        raise CorruptImage(f"{name}: cannot be decoded as a mask ({error})") from None
    if mask.shape != shape:
        raise CorruptImage(f"{name}: mask is {mask.shape}, its image {shape}")
    return np.where(mask < n_classes, mask, IGNORE).astype(np.uint16)


@contextmanager
def _open(source: str | Path | bytes) -> Iterator[Image.Image]:
    with warnings.catch_warnings():
        # Pillow warns of odd metadata in millions of good files, and where pixels are lost it raises.
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
            yield file
