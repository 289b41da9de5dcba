"""Image -> tensor, with pixel labels kept aligned to it."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from saev.data.decode import CorruptImage
from saev.data.patch_labels import majority_labels
from saev.data.sample import IGNORE, ImageDataset


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """Resize the short side, crop the centre, normalise: what the backbone was trained with."""

    size: tuple[int, int]
    """(height, width) of the input in pixels."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    crop_share: float = 1.0
    """Share of the resized image that the crop keeps, per side."""
    interpolation: str = "bicubic"
    squash: bool = False
    """Resize both sides alike to `size`, whatever the image's shape, and crop nothing (SigLIP)."""

    def box(self, h: int, w: int) -> tuple[float, float, float, float]:
        """(top, left, height, width), in pixels of an image of h x w, of the part that the backbone sees."""
        if self.squash:
            return 0.0, 0.0, float(h), float(w)
        scale = max(self.size[0] / h, self.size[1] / w) / self.crop_share
        # Rounding may not push the box over the edge: Pillow refuses what lies 1e-13 outside.
        height, width = min(self.size[0] / scale, h), min(self.size[1] / scale, w)
        return (h - height) / 2, (w - width) / 2, height, width

    def crop(self, image: np.ndarray) -> np.ndarray:
        """(h, w, 3) uint8 -> (height, width, 3) uint8: the part of the image that the backbone sees."""
        top, left, height, width = self.box(*image.shape[:2])
        if (height, width) == self.size and top == int(top) and left == int(left):
            return image[int(top) : int(top) + self.size[0], int(left) : int(left) + self.size[1]]
        # One resampling from the source box: resize-then-crop would round the labels
        # and the image differently.
        resample, corners = (
            Image.Resampling[self.interpolation.upper()],
            (left, top, min(left + width, image.shape[1]), min(top + height, image.shape[0])),
        )
        return np.array(Image.fromarray(image).resize(self.size[::-1], resample, box=corners))

    def crop_labels(self, pixel_labels: np.ndarray) -> np.ndarray:
        """(h, w) class indices -> (height, width): of each pixel of `crop`, the label at its centre."""
        top, left, height, width = self.box(*pixel_labels.shape)
        rows = (top + (np.arange(self.size[0]) + 0.5) * (height / self.size[0])).astype(np.int64)
        columns = (left + (np.arange(self.size[1]) + 0.5) * (width / self.size[1])).astype(np.int64)
        return pixel_labels[np.ix_(rows, columns)]

    def normalise(self, pixels_bhwc: Tensor) -> Tensor:
        """(b, h, w, 3) uint8 -> (b, 3, h, w) float32 on the same device, (x / 255 - mean) / std."""
        x = pixels_bhwc.permute(0, 3, 1, 2).float().contiguous() / 255
        mean, std = (torch.tensor(values, device=x.device)[:, None, None] for values in (self.mean, self.std))
        return (x - mean) / std


class Prepared(torch.utils.data.Dataset):
    """Map-style dataset of (pixels, patch labels, image label, present), ready for a DataLoader.

    Pixels stay uint8 here: a quarter of the bytes between processes and to a device, and
    `Preprocess.normalise` takes the whole batch at once.

    Args:
        corrupt_ok: give an image that cannot be decoded as (0, IGNORE, IGNORE, False), not as an error.
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
        self.images, self.preprocess, self.grid, self.purity, self.corrupt_ok = (
            images,
            preprocess,
            grid,
            purity,
            corrupt_ok,
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray, np.uint16, np.bool]:
        n_patches = self.grid[0] * self.grid[1]
        try:
            image, label, pixel_labels = self.images[i]
        except CorruptImage:
            if not self.corrupt_ok:
                raise
            return (
                np.zeros((*self.preprocess.size, 3), np.uint8),
                np.full(n_patches, IGNORE, np.uint16),
                np.uint16(IGNORE),
                np.False_,
            )
        if pixel_labels is None:
            labels = np.full(n_patches, label, np.uint16)
        else:
            labels = majority_labels(self.preprocess.crop_labels(pixel_labels), self.grid, self.purity)
        return self.preprocess.crop(image), labels, np.uint16(label), np.True_
