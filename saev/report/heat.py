"""Codes as colours: where in an image a latent fires, and how strongly."""

import numpy as np
from matplotlib import colormaps

_FROM = 0.4
"""The colours are inferno's from here on: the stronger the lighter, and all lighter than where nothing fires,
so that they are read by lightness alone, without colour vision or in print."""

_SHARE = 0.85
"""Of the colour, against the grey of the image."""


def heat(share: np.ndarray, grey: np.ndarray | float = 0.5) -> np.ndarray:
    """(..., 3) uint8 colours of codes as shares (...,) of the largest, over an image's grey in [0, 1].

    Where a code is 0 the image stays, dark and grey.
    """
    share, grey = np.broadcast_arrays(share, grey)
    colours = colormaps["inferno"](_FROM + (1 - _FROM) * np.clip(share, 0, 1))[..., :3]
    fires = _SHARE * colours + (1 - _SHARE) * grey[..., None]
    silent = 0.08 + 0.18 * grey[..., None]
    return np.rint(255 * np.where(share[..., None] > 0, fires, silent)).astype(np.uint8)


def overlay(image: np.ndarray, codes_hw: np.ndarray, peak: float) -> np.ndarray:
    """The image (h, w, 3) uint8 in grey, under the colours of the codes (rows, columns) of its patches.

    Each patch is one colour, from edge to edge: nothing is smoothed.

    Args:
        peak: the code of the lightest colour.
    """
    (h, w), (rows, columns) = image.shape[:2], codes_hw.shape
    each = codes_hw[(np.arange(h) * rows // h)[:, None], np.arange(w) * columns // w]
    return heat(each / (peak or 1.0), image @ (0.299 / 255, 0.587 / 255, 0.114 / 255))
