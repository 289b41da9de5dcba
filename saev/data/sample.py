"""What every image source provides."""

from typing import Literal, NamedTuple, Protocol, TypeGuard

import numpy as np

IGNORE = 65535
"""The label of an image, pixel or patch that counts in no statistic. (uint16: iNat2021 has 10,000.)"""
UNKNOWN = -1
"""Of a concept: nobody knows whether it shows."""
NO_CLUSTER = 2**32 - 1
"""Of a patch that shows several regions, or an image that is not there."""


class Regions(NamedTuple):
    """What else is known of r regions of an image, which together are all of it."""

    concepts_rc: np.ndarray
    """(r, c) int8: 1 where the region shows a concept of the data set, 0 where not, -1 where nobody knows."""
    cluster_r: np.ndarray
    """(r,) uint32: the independent thing that each is of, an index into the data set's `clusters`."""
    of_pixel: np.ndarray | None = None
    """(h, w) uint16: the region of every pixel. None: there is one, the whole image."""


class Sample(NamedTuple):
    """One image with what is known about it."""

    image: np.ndarray
    """(h, w, 3) uint8, RGB."""
    label: int
    """Index into `classes`: what the image shows; IGNORE if unknown."""
    pixel_labels: np.ndarray | None = None
    """(h, w) uint16 class index of every pixel, IGNORE where unknown. None: every pixel carries the image's
    label; labels as weak as that let probes and interventions run on images without segmentations."""
    regions: Regions | None = None
    """None: of a source that is not `Described`."""


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


class Described(ImageDataset, Protocol):
    """A source that knows more of its images than a class: every sample has `regions`."""

    described: Literal["patches", "images"]
    """Whether it knows it of regions within an image, or of whole images."""
    concepts: tuple[str, ...]
    """Names of properties of which a region may show any number."""
    clusters: tuple[str, ...]
    """Names of the independent things that regions are of (a patient, a site, a photograph); (): each image
    is one, and its number stands in the place of the index."""


def is_described(images: ImageDataset) -> TypeGuard[Described]:
    """Whether a source is `Described`; one that may be, such as `Cub`, says None where it is not."""
    return getattr(images, "described", None) is not None
