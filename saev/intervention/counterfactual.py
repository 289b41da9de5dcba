"""An edit inside the model against the same change made in the image.

Of a scene with an attribute in one region there is another that lacks it and is the same in all else. With
l_c the mean logit of attribute c over the region's patches, what the change of the image does, and what an
edit of the scene's own tokens does, are

    image_c = l_c(scene without the attribute) - l_c(scene)
    edit_c  = l_c(scene, tokens of the region edited) - l_c(scene)

An edit that stands for the attribute makes the two alike, in the attribute's own logit and in the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from saev.backbones.backbone import Backbone
from saev.data.attributes import ATTRIBUTES
from saev.data.counterfactuals import Pair
from saev.machine import Machine, track
from saev.probing.pairs import pictures, region_patches
from saev.tasks import Continuation, Task


class Moved(NamedTuple):
    """By how much logits of m pairs move, in float64."""

    own_m: np.ndarray
    """That of the pair's attribute, the mean over the region's patches."""
    off_m: np.ndarray
    """The mean |move| of those of the other attributes, each the mean over the region's patches."""
    outside_m: np.ndarray
    """That of the pair's attribute again, the mean |move| over all other patches."""


@dataclass(frozen=True)
class Twins:
    """m pairs, as a model that is asked for c attributes sees them."""

    pairs: list[Pair]
    model: Continuation
    """The scenes with the attribute, cut open at a layer."""
    inside_mt: np.ndarray
    """(m, t) bool: the patches of the toggled region, at least one of each pair."""
    absent_mtc: np.ndarray
    """float32 logits of the patches of the scenes without."""

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def patches(self) -> slice:
        """Along the model's tokens."""
        return slice(*self.model.backbone.tokens["patch"])

    @property
    def attribute_m(self) -> list[str]:
        """What each pair toggles."""
        return [of.attribute for of in self.pairs]

    @property
    def photograph_m(self) -> list[str]:
        """What its region shows."""
        return [of.present.regions[of.region].photograph for of in self.pairs]

    @cached_property
    def present_mtc(self) -> np.ndarray:
        """float32 logits of the patches of the scenes with it."""
        return self.model.logits().numpy()

    def after(self, change_mtd: Float[Tensor, "m t d"]) -> np.ndarray:
        """(m, t, c) logits of the patches, where the region's own are changed."""
        whole = torch.zeros_like(self.model.x_btd)
        whole[:, self.patches] = change_mtd * torch.from_numpy(self.inside_mt)[..., None]
        return self.model.logits(change_btd=whole).numpy()

    def moved(self, after_mtc: np.ndarray) -> Moved:
        """From the logits of the scenes with the attribute to these."""
        change_mtc, classes = after_mtc.astype(float) - self.present_mtc, self.model.task.classes
        inside_mc = _mean(change_mtc.swapaxes(1, 2), self.inside_mt[:, None])
        # Of families, of which the attribute is one, nobody claims that they stay as they are.
        is_other_mc = np.array(
            [[name in ATTRIBUTES and name != own for name in classes] for own in self.attribute_m]
        )
        each, own = np.arange(len(self)), [classes.index(name) for name in self.attribute_m]
        return Moved(
            inside_mc[each, own],
            _mean(np.abs(inside_mc), is_other_mc),
            _mean(np.abs(change_mtc[each, :, own]), ~self.inside_mt),
        )


def see_twins(pairs: Sequence[Pair], backbone: Backbone, task: Task, layer: int, machine: Machine) -> Twins:
    """Run both scenes of every pair whose region has a patch of its own, cropped as recorded images are."""
    inside_mt = np.array([region_patches(of, backbone)[0] for of in pairs])
    kept = np.flatnonzero(inside_mt.any(1)).tolist()
    present, absent = [], []
    for m in track(kept, "counterfactual", len(kept), "pairs"):
        with_it, without, _ = pictures(pairs[m])
        both = torch.from_numpy(np.stack([backbone.preprocess.crop(image) for image in (with_it, without)]))
        model = Continuation.from_pixels(backbone, task, layer, both, machine)
        present.append(model.x_btd[:1])
        absent.append(model.logits(torch.tensor([1])))
    model = Continuation(backbone, task, layer, torch.cat(present), machine)
    return Twins([pairs[m] for m in kept], model, inside_mt[kept], torch.cat(absent).numpy())


def _mean(value_t: np.ndarray, among_t: np.ndarray) -> np.ndarray:
    """Over the last axis, where `among`; 0 where that is nowhere."""
    return (value_t * among_t).sum(-1) / np.maximum(among_t.sum(-1), 1)
