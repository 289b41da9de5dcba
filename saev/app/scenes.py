"""The counterfactual image: a scene made anew with one attribute of one region toggled, beside the edit."""

import numpy as np
from torch import Tensor

from saev.app.addresses import Address
from saev.app.bench import Asked, Bench
from saev.app.effects import effect
from saev.data import Mosaic, majority_labels
from saev.data.attributes import ATTRIBUTES, OF_ITSELF
from saev.data.sample import IGNORE


def regions(bench: Bench, of: Address) -> tuple[list[dict], np.ndarray]:
    """What each region of a scene shows and could show, and the region of each patch (patches,) uint16,
    IGNORE on borders; nothing of other images."""
    if not isinstance(bench.images, Mosaic) or of.upload is not None:
        return [], np.full(bench.n_patches, IGNORE, np.uint16)
    scene = bench.scene(of)
    told = [
        {
            "photograph": region.photograph,
            "shows": [name for name in ATTRIBUTES if name in region.attributes],
            "could": [name for name in ATTRIBUTES if region.photograph not in OF_ITSELF.get(name, ())],
        }
        for region in scene.regions
    ]
    seen = bench.backbone.preprocess.crop_labels(scene.region_of())
    return told, majority_labels(seen, bench.backbone.grid, 0.5)


def twin(bench: Bench, subject: Asked, of: Address, target: int | None) -> tuple[Tensor, dict]:
    """(1, u, c) logits of the toggled scene, and what toggling did to the answers, told as of an edit of the
    region's patches.

    Raises:
        SaevError: there is no such scene, region or attribute.
    """
    after_uc = bench.asked(f"{of.image}.{of.region}.{of.attribute}").before_uc
    _, region_p = regions(bench, Address(of.image))
    touched_u = region_p == of.region if subject.model.task.decides_patches else np.array([True])
    told = {"arm": "image", **effect(subject, after_uc, touched_u, target)}
    return after_uc[None], told
