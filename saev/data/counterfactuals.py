"""Pairs of scenes that differ in exactly one thing: what an edit inside the model is held against."""

from typing import NamedTuple

import numpy as np

from saev.data.attributes import ATTRIBUTES, OF_ITSELF
from saev.data.mosaic import Mosaic, Scene
from saev.data.photographs import Crop


class Pair(NamedTuple):
    """A scene with an attribute in one region, the same without it, and the control: the same with another
    crop of the photograph in that region, and the attribute."""

    attribute: str
    region: int
    present: Scene
    absent: Scene
    control: Scene


def pair(scenes: Mosaic, i: int) -> Pair:
    """Pair i: of the i-th attribute in turn, in the largest region of scene i whose photograph does not look
    so of itself; of the next attribute if there is none. A pure function of the scenes' (seed, split) and
    i."""
    scene, names = scenes.scene(i), list(ATTRIBUTES)
    area = np.bincount(scene.region_of().ravel(), minlength=len(scene.regions))
    for k in range(len(names)):
        attribute = names[(i + k) % len(names)]
        fit = [of.photograph not in OF_ITSELF.get(attribute, ()) for of in scene.regions]
        if any(fit):
            break
    r = int(np.where(fit, area, -1).argmax())
    toggled = scene.toggled(r, attribute)
    present, absent = (scene, toggled) if attribute in scene.regions[r].attributes else (toggled, scene)
    crop = Crop.drawn(np.random.default_rng([*scene.regions[r].key, len(ATTRIBUTES)]))
    return Pair(attribute, r, present, absent, present.recropped(r, crop))
