"""Pillow's kinds of image -> 8-bit RGB, as one sees them."""

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, TiffImageFile

WHITE = (255, 255, 255, 255)


def to_rgb(file: Image.Image) -> np.ndarray:
    """A loaded image of any mode -> (h, w, 3) uint8.

    Where it is transparent it lies on white, as on a page: what a cut-out's hidden pixels hold is an accident
    of the program that made it, mostly black, and would be an edge and a background that nobody has seen.

    Raises:
        ValueError: pixels without a known range (32-bit integers, floats).
    """
    # Mode I is what Pillow makes of a 16-bit PGM, and before version 11 of a 16-bit PNG.
    if file.mode.startswith("I;16") or (file.mode == "I" and file.format in ("PNG", "PPM")):
        return np.repeat(_deep_grey(file)[..., None], 3, axis=-1)
    if file.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {file.mode!r} have no known range; save them with 8 or 16 bits")
    if file.has_transparency_data:
        rgba = file.convert("RGBA")
        file = Image.alpha_composite(Image.new("RGBA", rgba.size, WHITE), rgba)
    return np.array(file.convert("RGB"))


def _deep_grey(file: Image.Image) -> np.ndarray:
    """Grey of more than 8 bits -> (h, w) uint8: round(255 v / (2^bits - 1)), as the PNG standard says.

    Pillow's own conversion cuts off at 255.
    """
    tags = file.tag_v2 if isinstance(file, TiffImageFile) else {}
    top = 2 ** tags.get(BITSPERSAMPLE, (16,))[0] - 1  # 12 bits of a TIFF come in 16
    deep = np.asarray(file).astype(np.uint32)
    grey = ((deep * 255 + top // 2) // top).astype(np.uint8)
    if tags.get(PHOTOMETRIC_INTERPRETATION) == 0:  # white is zero: Pillow heeds it in 8 bits only
        grey = 255 - grey
    transparent = file.info.get("transparency")
    return grey if transparent is None else np.where(deep == transparent, np.uint8(255), grey)
