"""Whatever a notebook has as an image -> pixels."""

from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from saev.data.colours import to_rgb
from saev.data.decode import UPRIGHT, CorruptImage, decode
from saev.errors import SaevError, first_line

Picture = Image.Image | np.ndarray | str | Path | bytes
"""An image, its pixels, its file, or the file's content."""


def pixels_of(picture: Picture) -> np.ndarray:
    """(h, w, 3) uint8, upright and as one sees it, of any mode; an array is (h, w, 3), or (h, w) of grey, in
    uint8.

    Raises:
        SaevError: it is none of these, or cannot be decoded.
    """
    if isinstance(picture, (str, Path, bytes)):
        return decode(picture, "the image" if isinstance(picture, bytes) else picture)
    if isinstance(picture, np.ndarray):
        grey, colour = picture.ndim == 2, picture.ndim == 3 and picture.shape[2] == 3
        if picture.dtype != np.uint8 or not picture.size or not (grey or colour):
            what = f"{picture.dtype} of shape {picture.shape}"
            raise SaevError(f"an image's array must be uint8 of shape (h, w, 3) or (h, w), got {what}")
        return np.repeat(picture[..., None], 3, -1) if grey else picture
    if not isinstance(picture, Image.Image):
        kinds = "a PIL image, an array, a path or bytes"
        raise SaevError(f"the image must be {kinds}, got a {type(picture).__name__}")
    try:
        picture.load()
        orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
        return np.ascontiguousarray(UPRIGHT.get(orientation, UPRIGHT[1])(to_rgb(picture)))
    except Exception as error:  # of many kinds, see saev.data.decode
        raise CorruptImage(f"the image cannot be decoded ({first_line(error)})") from None
