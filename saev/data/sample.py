"""What every image source provides."""

from typing import NamedTuple, Protocol

import numpy as np

IGNORE = 65535
"""The label of an image, pixel or patch that counts in no statistic. (uint16: iNat2021 has 10,000.)"""


class Sample(NamedTuple):
    """One image with what is known about it."""

    image: np.ndarray
    """(h, w, 3) uint8, RGB."""
    label: int
    """Index into `classes`: what the image shows; IGNORE if unknown."""
    pixel_labels: np.ndarray | None = None
    """(h, w) uint16 class index of every pixel, IGNORE where unknown. None: every pixel carries the image's
    label; labels as weak as that let probes and interventions run on images without segmentations."""


class ImageDataset(Protocol):
    """Images in a fixed order; item i is a pure function of i, so work on it can be resumed.

    `dataset[i]` raises CorruptImage where image i is not there or cannot be decoded, and any other error
    where the disk failed, since that image may be read another time.
    """

    classes: tuple[str, ...]
    """Their names; () for a source without labels, where every label is IGNORE."""
    fingerprint: str
    """Changes whenever any item would, as far as names, sizes and times of files tell."""

    def __len__(self) -> int: ...
    def __getitem__(self, i: int) -> Sample: ...
    def name(self, i: int) -> str:
        """Where image i comes from: a path, or a source and a row."""
        ...
