"""The 16 real photographs that installed packages carry."""

from functools import cache
from typing import NamedTuple

import numpy as np
from PIL import Image

from saev.files import package_folder

# name -> (package, file); all are bundled with scikit-image and scikit-learn.
PHOTOGRAPHS = {
    "brick": ("skimage", "data/brick.png"),
    "grass": ("skimage", "data/grass.png"),
    "gravel": ("skimage", "data/gravel.png"),
    "coins": ("skimage", "data/coins.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "astronaut": ("skimage", "data/astronaut.png"),
    "hubble": ("skimage", "data/hubble_deep_field.jpg"),
    "tissue": ("skimage", "data/ihc.png"),
    "moon": ("skimage", "data/moon.png"),
    "page": ("skimage", "data/page.png"),
    "retina": ("skimage", "data/retina.jpg"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "temple": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
}

TRAIN_SHARE = 0.6
"""Training crops come from this left share of each photograph, those of the other splits from the rest."""


class Crop(NamedTuple):
    """A window of a photograph's part, in shares, so that it can be cut for any shape of scene."""

    side: float
    """Its longer side, over the longest there may be, which is the short side of the photograph's validation
    part whatever the split: were it relative to each split's own part, validation would also be seen at a
    larger magnification than training."""
    top: float
    left: float
    """Where it lies in the room that it leaves, 0 to 1."""
    mirrored: bool

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> "Crop":
        side, top, left = rng.uniform(0.35, 1.0), *rng.random(2)
        return cls(float(side), float(top), float(left), bool(rng.random() < 0.5))

    def cut(self, name: str, split: str, shape: tuple[int, int]) -> np.ndarray:
        """The crop of the photograph, resampled to (h, w, 3) uint8."""
        part, longest = part_of(name, split)
        h, w = shape
        height, width = (self.side * longest * side / max(h, w) for side in shape)
        top, left = self.top * (part.height - height), self.left * (part.width - width)
        box = (left, top, left + width, top + height)
        pixels = np.asarray(part.resize((w, h), Image.Resampling.BILINEAR, box=box))
        return pixels[:, ::-1] if self.mirrored else pixels


@cache
def part_of(name: str, split: str) -> tuple[Image.Image, float]:
    """The part of a photograph that is the split's, and the longest side of a crop, in its pixels.

    Shrunk so that the longest crop is at most 448 px, which makes cropping quick.
    """
    package, file = PHOTOGRAPHS[name]
    with Image.open(package_folder(package) / file) as opened:
        photograph = opened.convert("RGB")
    width, height = photograph.size
    edge = round(width * TRAIN_SHARE)
    part = photograph.crop((0, 0, edge, height) if split == "train" else (edge, 0, width, height))
    longest = min(height, width - edge)
    shrink = min(1.0, 448 / longest)
    resized = part.resize([round(side * shrink) for side in part.size], Image.Resampling.BICUBIC)
    return resized, min(longest * shrink, *resized.size)
