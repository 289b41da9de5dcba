"""Image -> tensor, with pixel labels kept aligned to it."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from saev.data.patch_labels import majority_labels
from saev.data.sample import ImageDataset


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

    def crop(self, pixels: np.ndarray, resample: Image.Resampling | None = None) -> np.ndarray:
        """(h, w[, 3]) uint8 -> size (+ channels): the part of the image that the backbone sees."""
        height, width = self.size
        scale = max(height / pixels.shape[0], width / pixels.shape[1]) / self.crop_share
        h, w = height / scale, width / scale
        top, left = (pixels.shape[0] - h) / 2, (pixels.shape[1] - w) / 2
        if (h, w) == (height, width) and top == int(top) and left == int(left):
            return pixels[int(top) : int(top) + height, int(left) : int(left) + width]
        resample = Image.Resampling[self.interpolation.upper()] if resample is None else resample
        # One resampling from the source box: resize-then-crop would round the labels
        # and the image differently.
        resized = Image.fromarray(pixels).resize((width, height), resample, box=(left, top, left + w, top + h))
        return np.asarray(resized)

    def crop_labels(self, pixel_labels: np.ndarray) -> np.ndarray:
        """(h, w) class indices -> size, nearest neighbour."""
        return self.crop(pixel_labels, Image.Resampling.NEAREST)

    def tensor(self, pixels: np.ndarray) -> torch.Tensor:
        """(height, width, 3) uint8 -> (3, height, width) float32, normalised."""
        x = torch.tensor(pixels).permute(2, 0, 1).float() / 255
        return (x - torch.tensor(self.mean)[:, None, None]) / torch.tensor(self.std)[:, None, None]


class Prepared(torch.utils.data.Dataset):
    """Map-style dataset of (image tensor, patch labels, image label), ready for a DataLoader."""

    def __init__(self, images: ImageDataset, preprocess: Preprocess, grid: tuple[int, int], purity: float):
        self.images, self.preprocess, self.grid, self.purity = images, preprocess, grid, purity

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, np.ndarray, int]:
        sample = self.images[i]
        labels = majority_labels(self.preprocess.crop_labels(sample.pixel_labels), self.grid, self.purity)
        return self.preprocess.tensor(self.preprocess.crop(sample.image)), labels, sample.label
