"""What every image source provides."""

from typing import NamedTuple, Protocol

import numpy as np


class Sample(NamedTuple):
    """One image with what is known about it."""

    image: np.ndarray
    """(h, w, 3) uint8, RGB."""
    label: int
    """Index into `classes`: what the image shows."""
    pixel_labels: np.ndarray
    """(h, w) uint8 class index of every pixel, 255 where unknown."""


class ImageDataset(Protocol):
    """Images in a fixed order; item i is a pure function of i, so work on it can be resumed."""

    classes: tuple[str, ...]
    fingerprint: str
    """Changes whenever any item would."""

    def __len__(self) -> int: ...
    def __getitem__(self, i: int) -> Sample: ...
