"""Mosaic: scenes cut from 16 real photographs, with exact labels and exact counterfactuals; no download."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np

from saev.checks import COUNT, between, check_arguments
from saev.data.attributes import ATTRIBUTES, CONCEPTS, OF_ITSELF, shown
from saev.data.photographs import PHOTOGRAPHS, Crop
from saev.data.sample import Regions, Sample
from saev.files import fingerprint

SPLITS = ("train", "val", "sealed")
SEALED = ("coffee", "gravel", "tissue", "temple")
"""The photographs of the sealed split, which no other split shows: two things and two textures, chosen before
anything was measured."""
SHARE = 0.15
"""Of the regions that have an attribute, each by itself."""


def held_out(photograph: str, attribute: str) -> bool:
    """Whether the two are never met in training: a sixth of the pairs, two photographs of each attribute."""
    open_ones = [name for name in PHOTOGRAPHS if name not in SEALED]
    if photograph not in open_ones:
        return False
    return (open_ones.index(photograph) + list(ATTRIBUTES).index(attribute)) % 6 == 0


@dataclass(frozen=True)
class Region:
    """A Voronoi cell of a scene, through which a crop of a photograph is seen."""

    site: tuple[float, float]
    """(row, column), as shares of the scene's height and width."""
    photograph: str
    crop: Crop
    attributes: frozenset[str]
    key: tuple[int, ...]
    """Seed of what is random in its attributes, so that each looks the same whatever others are there."""

    def picture(self, split: str, shape: tuple[int, int]) -> np.ndarray:
        """(h, w, 3) uint8: what is seen through it, over the whole scene."""
        (h, w), turned = shape, "turn" in self.attributes
        pixels = self.crop.cut(self.photograph, split, (w, h) if turned else (h, w))
        pixels = np.ascontiguousarray(np.rot90(pixels) if turned else pixels)
        for number, (name, lay) in enumerate(ATTRIBUTES.items()):
            if name in self.attributes:
                pixels = lay(pixels, np.random.default_rng([*self.key, number]))
        return pixels


@dataclass(frozen=True)
class Scene:
    """What a scene is made of. Its twins differ in exactly one region, and there in exactly one thing."""

    split: str
    shape: tuple[int, int]
    """(height, width)."""
    regions: tuple[Region, ...]

    def region_of(self) -> np.ndarray:
        """(h, w) uint16: the region of each pixel, that of the nearest site."""
        h, w = self.shape
        rows, columns = np.arange(h) + 0.5, np.arange(w) + 0.5
        sites = np.array([region.site for region in self.regions]) * self.shape
        from_row = (rows - sites[:, [0]]) ** 2
        from_column = (columns - sites[:, [1]]) ** 2
        return (from_row[:, :, None] + from_column[:, None, :]).argmin(0).astype(np.uint16)

    def render(self) -> Sample:
        """The image with its labels: of each pixel the photograph, of each region its concepts."""
        region = self.region_of()
        image = np.empty((*self.shape, 3), np.uint8)
        for r, of in enumerate(self.regions):
            np.copyto(image, of.picture(self.split, self.shape), where=(region == r)[..., None])
        names = list(PHOTOGRAPHS)
        label_r = np.array([names.index(of.photograph) for of in self.regions], np.uint16)
        concepts_rc = np.stack([shown(of.attributes, of.photograph) for of in self.regions])
        largest = np.bincount(region.ravel(), minlength=len(self.regions)).argmax()
        regions = Regions(concepts_rc, label_r.astype(np.uint32), region)
        return Sample(image, int(label_r[largest]), label_r[region], regions)

    def toggled(self, r: int, attribute: str) -> "Scene":
        """The same scene with one attribute of region r taken away or, if it has it not, laid on."""
        return self._with(r, attributes=self.regions[r].attributes ^ {attribute})

    def refilled(self, r: int, photograph: str) -> "Scene":
        """The same scene with another photograph in region r."""
        return self._with(r, photograph=photograph)

    def recropped(self, r: int, crop: Crop) -> "Scene":
        """The control of both: another crop of the same photograph in region r, with its attributes."""
        return self._with(r, crop=crop)

    def _with(self, r: int, **changes: object) -> "Scene":
        changed = replace(self.regions[r], **changes)
        return replace(self, regions=(*self.regions[:r], changed, *self.regions[r + 1 :]))


class Mosaic:
    """Scenes of 2 to 5 Voronoi regions, each filled with a random crop of one photograph.

    Scene i is a pure function of (seed, split, i). Photographs are drawn without replacement; the image label
    is that of the largest region. A region carries each attribute with a probability of SHARE, whatever the
    photograph: the photograph is an *instance*, the attributes and their families are *concepts*, seen on
    many. Training and validation share their photographs but no pixel of them; pairs of photograph and
    attribute that are `held_out` are in validation alone; the sealed split shows photographs of its own.

    Scenes have sides of 1 to 1.5 times `size`.

    Args:
        split: `train`, `val` or `sealed`.
        n: number of scenes.
        size: least side of a scene in pixels.
        seed: scenes of different seeds are unrelated.
    """

    classes = tuple(PHOTOGRAPHS)
    described: Literal["patches"] = "patches"
    concepts = CONCEPTS
    clusters = tuple(PHOTOGRAPHS)

    def __init__(
        self,
        *,
        split: Literal["train", "val", "sealed"],
        n: Annotated[int, COUNT],
        size: Annotated[int, between(32, 2**12)] = 224,
        seed: Annotated[int, between(0, 2**32 - 1)] = 0,
    ):
        check_arguments("data", Mosaic, {"split": split, "n": n, "size": size, "seed": seed})
        self.split, self.n, self.size, self.seed = split, n, size, seed
        self.fingerprint = fingerprint(["mosaic", 2, split, n, size, seed])

    def __len__(self) -> int:
        return self.n

    def name(self, i: int) -> str:
        return f"mosaic/{self.split}/{i}"

    def __getitem__(self, i: int) -> Sample:
        return self.scene(i).render()

    def scene(self, i: int) -> Scene:
        """What scene i is made of."""
        if not 0 <= i < self.n:
            raise IndexError(i)
        key = (self.seed, SPLITS.index(self.split), i)
        rng = np.random.default_rng(key)
        shape = tuple(round(self.size * side) for side in rng.uniform((1, 1), (1.25, 1.5)))
        if rng.random() < 0.5:
            shape = shape[::-1]
        names = [name for name in PHOTOGRAPHS if (name in SEALED) == (self.split == "sealed")]
        chosen = rng.choice(names, int(rng.integers(2, min(6, len(names) + 1))), replace=False).tolist()
        return Scene(
            self.split, shape, tuple(self._region(rng, name, (*key, r)) for r, name in enumerate(chosen))
        )

    def _region(self, rng: np.random.Generator, photograph: str, key: tuple[int, ...]) -> Region:
        site, crop, drawn = (
            tuple(rng.random(2).tolist()),
            Crop.drawn(rng),
            rng.random(len(ATTRIBUTES)) < SHARE,
        )
        attributes = frozenset(
            name
            for name, there in zip(ATTRIBUTES, drawn, strict=True)
            if there
            and photograph not in OF_ITSELF.get(name, ())
            and not (self.split == "train" and held_out(photograph, name))
        )
        return Region(site, photograph, crop, attributes, key)
