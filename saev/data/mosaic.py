"""Mosaic: labelled scenes cut from 16 real photographs that need no download."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from PIL import Image

from saev.checks import COUNT, between, check_arguments
from saev.data.sample import Sample
from saev.files import fingerprint

# class -> (package, file); all are bundled with scikit-image and scikit-learn.
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
"""Training crops come from this left share of each photograph, validation crops from the rest."""


class Mosaic:
    """Scenes of 2 to 5 Voronoi regions, each filled with a random crop of one photograph.

    Scene i is a pure function of (seed, split, i). Region classes are drawn without
    replacement. A crop is a square, flipped at random, resampled to the whole scene and
    seen through its region. Its side is 0.35 to 1.0 times the short side of the
    photograph's validation part in both splits: were it relative to each split's own part,
    validation would also be seen at a larger magnification than training. The image label
    is the class of the largest region.

    Args:
        split: `train` or `val`; the two never share a pixel of a photograph.
        n: number of scenes.
        size: side of the square scene in pixels.
        seed: scenes of different seeds are unrelated.
    """

    classes = tuple(PHOTOGRAPHS)

    def __init__(
        self,
        *,
        split: Literal["train", "val"],
        n: Annotated[int, COUNT],
        size: Annotated[int, between(32, 2**12)] = 224,
        seed: Annotated[int, between(0, 2**32 - 1)] = 0,
    ):
        check_arguments("data", Mosaic, {"split": split, "n": n, "size": size, "seed": seed})
        self.split, self.n, self.size, self.seed = split, n, size, seed
        self.fingerprint = fingerprint(["mosaic", 1, split, n, size, seed])

    def __len__(self) -> int:
        return self.n

    def name(self, i: int) -> str:
        return f"mosaic/{self.split}/{i}"

    def __getitem__(self, i: int) -> Sample:
        if not 0 <= i < self.n:
            raise IndexError(i)
        rng = np.random.default_rng([self.seed, self.split == "val", i])
        n_regions = int(rng.integers(2, 6))
        region_classes = rng.choice(len(self.classes), n_regions, replace=False)
        region = _voronoi(rng.random((n_regions, 2)) * self.size, self.size)

        image = np.empty((self.size, self.size, 3), np.uint8)
        for r, c in enumerate(region_classes):
            crop = _random_crop(rng, *_part(self.classes[c], self.split), self.size)
            np.copyto(image, crop, where=(region == r)[..., None])
        area = np.bincount(region.ravel(), minlength=n_regions)
        return Sample(image, int(region_classes[area.argmax()]), region_classes.astype(np.uint16)[region])


def _voronoi(sites: np.ndarray, size: int) -> np.ndarray:
    """(size, size) index of the nearest site (row, column) of each pixel centre."""
    centre = np.arange(size) + 0.5
    from_row, from_column = ((centre - sites[:, axis, None]) ** 2 for axis in (0, 1))  # each (n, size)
    return (from_row[:, :, None] + from_column[:, None, :]).argmin(0)


@cache
def _part(name: str, split: str) -> tuple[Image.Image, float]:
    """The split's part of a photograph, and the longest side of a crop, in its pixels.

    Shrunk so that the longest crop is at most 448 px, which makes cropping quick.
    """
    package, file = PHOTOGRAPHS[name]
    # find_spec locates the file without importing the package.
    with Image.open(Path(find_spec(package).submodule_search_locations[0], file)) as opened:
        photograph = opened.convert("RGB")
    width, height = photograph.size
    edge = round(width * TRAIN_SHARE)
    part = photograph.crop((0, 0, edge, height) if split == "train" else (edge, 0, width, height))
    longest = min(height, width - edge)
    shrink = min(1.0, 448 / longest)
    resized = part.resize([round(side * shrink) for side in part.size], Image.Resampling.BICUBIC)
    return resized, min(longest * shrink, *resized.size)


def _random_crop(rng: np.random.Generator, part: Image.Image, longest: float, size: int) -> np.ndarray:
    side = rng.uniform(0.35, 1.0) * longest
    left, top = (rng.random(2) * (np.array(part.size) - side)).tolist()
    crop = part.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
    pixels = np.asarray(crop)
    return pixels[:, ::-1] if rng.random() < 0.5 else pixels
