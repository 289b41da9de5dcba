"""Scenes that differ in one thing, as an SAE sees them."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse

from saev.backbones.backbone import Backbone
from saev.data.attributes import ATTRIBUTES
from saev.data.counterfactuals import Pair, pair
from saev.data.mosaic import Mosaic
from saev.data.patch_labels import majority_labels
from saev.features.sight import Sight
from saev.machine import track

PURITY = 0.9
"""Share of a patch's pixels that are of the region, where the patch counts as its own: that of a store."""
BATCH = 5
"""Pairs per forward pass: 15 images, about as many as recording finds fastest on a CPU."""


class Seen(NamedTuple):
    """What an SAE makes of m pairs, each of k = 3 scenes: present, absent, control."""

    pairs: list[Pair]
    csr: scipy.sparse.csr_array
    """(m k t, s) float32 codes of their patches, scene by scene."""
    inside_mt: np.ndarray
    """(m, t) bool: the patches of the toggled region, at least one of each pair."""
    outside_mt: np.ndarray
    """(m, t) bool: those without a pixel of it."""


def first_pairs(scenes: Mosaic, n: int = 24, of: Collection[str] = tuple(ATTRIBUTES)) -> list[Pair]:
    """The first n pairs of each attribute, or of some of them, or as many as there are scenes for."""
    turns = list(ATTRIBUTES)
    mine = (i for i in range(min(n * len(turns), len(scenes))) if turns[i % len(turns)] in of)
    return [found for found in (pair(scenes, i) for i in mine) if found.attribute in of]


def encode_pairs(pairs: Sequence[Pair], sight: Sight) -> Seen:
    """The codes of the pairs' patches, every scene run once.

    Scenes are cropped as the recorded ones were. A pair whose region has no patch of its own is left out.
    """
    backbone, s = sight.backbone, sight.sae.s
    inside_mt, outside_mt = (
        np.array(of) for of in zip(*(region_patches(of, backbone) for of in pairs), strict=True)
    )
    kept = np.flatnonzero(inside_mt.any(1))
    pairs = [pairs[m] for m in kept.tolist()]
    parts = [scipy.sparse.csr_array((0, s), dtype=np.float32)]
    for start in track(range(0, len(pairs), BATCH), "agreement", len(pairs), "pairs", BATCH):
        images = [image for of in pairs[start : start + BATCH] for image in pictures(of)]
        codes = sight.codes(np.stack([backbone.preprocess.crop(image) for image in images]))
        values, latents, offsets = (part.cpu().numpy() for part in codes)
        parts.append(scipy.sparse.csr_array((values, latents, offsets), shape=(len(offsets) - 1, s)))
    return Seen(pairs, scipy.sparse.vstack(parts, "csr"), inside_mt[kept], outside_mt[kept])


def region_patches(of: Pair, backbone: Backbone) -> tuple[np.ndarray, np.ndarray]:
    """(t,) bool each: the patches of the toggled region, and those that have no pixel of it."""
    of_region = backbone.preprocess.crop_labels(of.present.region_of()) == of.region
    inside, outside = (
        majority_labels(of_region.astype(np.uint16), backbone.grid, purity) for purity in (PURITY, 1.0)
    )
    return inside == 1, outside == 0


def pictures(of: Pair) -> Iterator[np.ndarray]:
    """The pictures of the three scenes. All but the toggled region is alike, and is rendered once."""
    present, there = of.present.render(), of.present.region_of() == of.region
    yield present.image
    for scene in (of.absent, of.control):
        image, region = present.image.copy(), scene.regions[of.region]
        np.copyto(image, region.picture(scene.split, scene.shape), where=there[..., None])
        yield image
