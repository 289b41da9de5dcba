"""Image files of strangers -> pixels, refused before they cost anything."""

import io
import warnings

import numpy as np
from PIL import Image

from saev.data.decode import CorruptImage, decode
from saev.errors import SaevError

BYTES = 20 * 2**20
PIXELS = 40 * 10**6
"""A decoded image has three to four bytes for each, several times over while it is turned."""
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""Pillow knows more, of which one starts another program (EPS)."""


def check_upload(data: bytes) -> None:
    """Raise SaevError unless it is an image of a known format that is not too large; nothing is decoded."""
    if not data:
        raise SaevError("the upload is empty; choose an image file")
    if len(data) > BYTES:
        raise SaevError(f"the upload has {len(data):,} bytes; at most {BYTES:,} are taken")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bombs, which are told below
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as file:
                width, height = file.size
        except Image.DecompressionBombError:
            raise SaevError(f"the upload has too many pixels; at most {PIXELS:,} are taken") from None
        except Exception:  # of many kinds, see saev.data.decode
            known = ", ".join(FORMATS)
            raise CorruptImage(f"the upload is no image that could be read ({known})") from None
    if width * height > PIXELS:
        raise SaevError(f"the upload has {width} x {height} pixels; at most {PIXELS:,} are taken")


def decode_upload(data: bytes) -> np.ndarray:
    """(h, w, 3) uint8, upright. Raises SaevError as `check_upload`, and of what is damaged further in."""
    check_upload(data)
    return decode(data, "the upload")
