"""Image -> tensor, with pixel labels kept aligned to it."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from saev.data.decode import CorruptImage
from saev.data.patch_labels import majority_labels
from saev.data.sample import IGNORE, NO_CLUSTER, UNKNOWN, ImageDataset, Regions, is_described


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """What the backbone was trained with: resize, crop the centre, normalise.

    The part of the image that is seen, and how it is scaled, are those of timm's and open_clip's
    evaluation transforms to the pixel: an image of h x w is thought of as resized to a whole number
    of pixels, H x W, then cropped at a whole offset. `crop` and `crop_labels` share that one box.
    """

    size: tuple[int, int]
    """(height, width) of the input in pixels."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop_share: float = 1.0
    """Share of the resized image that the crop keeps, per side; timm's `crop_pct`, in (0, 1]."""
    interpolation: str = "bicubic"
    squash: bool = False
    """Resize both sides to the target, whatever the image's shape, instead of keeping its proportions
    (SigLIP, and timm's `crop_mode: squash`)."""

    def __str__(self) -> str:
        """All of it in one line, for records."""
        height, width = self.size
        resize = f"{'squashed ' if self.squash else ''}{self.interpolation}"
        mean, std = (tuple(map(float, values)) for values in (self.mean, self.std))
        return f"{height}x{width} px {resize}, crop {self.crop_share:g}, mean {mean}, std {std}"

    def resized(self, h: int, w: int) -> tuple[int, int]:
        """(H, W), the whole pixels to which an image of h x w is resized before the crop.

        With t = floor(size / crop_share) per side: t itself if squashed; else the image covers t, and
        its longer side is rounded as the libraries do, down for square inputs (torchvision's Resize),
        to the nearest for others (ResizeKeepRatio of timm and open_clip).
        """
        rows, columns = (math.floor(side / self.crop_share) for side in self.size)
        if self.squash:
            return rows, columns
        if rows == columns:
            return (rows, int(rows * w / h)) if h <= w else (int(rows * h / w), rows)
        scale = min(h / rows, w / columns)
        return round(h / scale), round(w / scale)

    def box(self, h: int, w: int) -> tuple[float, float, float, float]:
        """(top, left, bottom, right) of what the backbone sees, in pixels of an image of h x w."""
        (height, width), (rows, columns) = self.size, self.resized(h, w)
        top, left = round((rows - height) / 2), round((columns - width) / 2)
        # Product before quotient: the far edges of an uncropped image are then exactly h and w.
        return top * h / rows, left * w / columns, (top + height) * h / rows, (left + width) * w / columns

    def crop(self, image: np.ndarray) -> np.ndarray:
        """(h, w, 3) uint8 -> (height, width, 3) uint8: the part of the image that the backbone sees."""
        top, left, bottom, right = self.box(*image.shape[:2])
        if (bottom - top, right - left) == self.size and top == int(top) and left == int(left):
            return image[int(top) : int(bottom), int(left) : int(right)]
        # One resampling out of the box, not a resized image that is then cropped: that one takes
        # 500 MB for an image of 1 x 900 px. All that is left between the two is rounding, since Pillow
        # chooses by the size of the result whether it passes over rows or over columns first.
        resample, (height, width) = Image.Resampling[self.interpolation.upper()], self.size
        seen = Image.fromarray(image).resize((width, height), resample, box=(left, top, right, bottom))
        return np.array(seen)

    def crop_labels(self, pixel_labels: np.ndarray) -> np.ndarray:
        """(h, w) class indices -> (height, width): of each pixel of `crop`, the label at its centre."""
        top, left, bottom, right = self.box(*pixel_labels.shape)
        rows, columns = (
            (low + (np.arange(n) + 0.5) * ((high - low) / n)).astype(np.int64)
            for low, high, n in ((top, bottom, self.size[0]), (left, right, self.size[1]))
        )
        return pixel_labels[np.ix_(rows, columns)]

    def normalise(self, pixels_bhwc: Tensor) -> Tensor:
        """(b, h, w, 3) uint8 -> (b, 3, h, w) float32 on the same device, (x / 255 - mean) / std."""
        x = pixels_bhwc.permute(0, 3, 1, 2).float().contiguous() / 255
        mean, std = (torch.tensor(values, device=x.device)[:, None, None] for values in (self.mean, self.std))
        return (x - mean) / std


class Item(NamedTuple):
    """One image as a backbone and a store take it; a DataLoader stacks each field."""

    pixels: np.ndarray
    """(height, width, 3) uint8."""
    patch_labels: np.ndarray
    """(n_patches,) uint16, row by row."""
    label: np.uint16
    present: np.bool
    """False in place of an image that cannot be decoded."""
    concepts: np.ndarray
    """(u, c) int8, u of the patches or, u = 1, of the image: see `saev.data.sample.Regions`."""
    cluster: np.ndarray
    """(u,) uint32."""


class Prepared(torch.utils.data.Dataset):
    """Map-style dataset of `Item`s, ready for a DataLoader.

    Pixels stay uint8 here: a quarter of the bytes between processes and to a device, and
    `Preprocess.normalise` takes the whole batch at once.

    Args:
        corrupt_ok: give an image that cannot be decoded as a black one with labels IGNORE and `present`
            False, not as an error.
    """

    def __init__(
        self,
        images: ImageDataset,
        preprocess: Preprocess,
        grid: tuple[int, int],
        *,
        purity: float,
        corrupt_ok: bool = False,
    ):
        self.images, self.preprocess, self.grid = images, preprocess, grid
        self.purity, self.corrupt_ok = purity, corrupt_ok

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Item:
        n_patches = self.grid[0] * self.grid[1]
        try:
            image, label, pixel_labels, regions = self.images[i]
        except CorruptImage:
            if not self.corrupt_ok:
                raise
            black, labels = (
                np.zeros((*self.preprocess.size, 3), np.uint8),
                np.full(n_patches, IGNORE, np.uint16),
            )
            return Item(black, labels, np.uint16(IGNORE), np.False_, *self._described(None))
        if pixel_labels is None:
            labels = np.full(n_patches, label, np.uint16)
        else:
            labels = self._of_patches(pixel_labels)
        seen = self.preprocess.crop(image)
        return Item(seen, labels, np.uint16(label), np.True_, *self._described(regions))

    def _of_patches(self, pixel_labels: np.ndarray) -> np.ndarray:
        return majority_labels(self.preprocess.crop_labels(pixel_labels), self.grid, self.purity)

    def _described(self, regions: Regions | None) -> tuple[np.ndarray, np.ndarray]:
        """(u, c) concepts and (u,) clusters; all unknown where there is no image."""
        units, n_concepts = described_units(self.images, self.grid)
        concepts_uc = np.full((units, n_concepts), UNKNOWN, np.int8)
        cluster_u = np.full(units, NO_CLUSTER, np.uint32)
        if units and regions is not None:
            of_unit = np.zeros(1, int) if regions.of_pixel is None else self._of_patches(regions.of_pixel)
            pure = of_unit != IGNORE
            concepts_uc[pure] = regions.concepts_rc[of_unit[pure]]
            cluster_u[pure] = regions.cluster_r[of_unit[pure]]
        return concepts_uc, cluster_u


def described_units(images: ImageDataset, grid: tuple[int, int]) -> tuple[int, int]:
    """(u, c): of how many units of each image how many concepts are told; (0, 0) of a source that tells
    none."""
    if not is_described(images):
        return 0, 0
    return grid[0] * grid[1] if images.described == "patches" else 1, len(images.concepts)
