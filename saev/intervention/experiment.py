"""The controlled experiment: edit one concept at a time, and count which predictions change.

For every class the edit sets the latent that probing chose to `strength * max`, where max
is its largest code on the training split (0 ablates; the paper uses -2). Two controls
face it: a random live latent of similar density, edited in the same way, and a random
direction, pushed on every token by exactly the length of the chosen latent's edit. Each
acts in three places:

    all     every patch of the image
    class   the patches whose true class is the target's
    active  the patches on which the chosen latent (the control latent: its own) fires

Only the suffix of the model is rerun, from stored activations, and only for images in
which the edit changes anything at all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from saev.checks import check_int
from saev.data.sample import IGNORE
from saev.features.codes import Split
from saev.intervention.edits import Edit, push_along, random_direction, set_latent
from saev.machine.progress import track
from saev.probing.match import Match
from saev.sae.model import SAE
from saev.tasks.continuation import Predictor

METHODS = ("chosen latent", "random latent", "random direction")
PLACES = ("all", "class", "active")


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Options of the experiment."""

    strengths: tuple[float, ...] = (0.0, -0.5, -1.0, -2.0, -4.0)
    """Multiples of the latent's largest training code; 0 is ablation."""
    max_images: int = 48
    """The first so many validation images for the chosen latents."""
    control_images: int = 16
    """The first so many of them for the two controls, whose curves need less precision."""
    seed: int = 0
    """Of the random latents and directions."""

    def __post_init__(self):
        check_int("intervene.max_images", self.max_images, low=1)
        check_int("intervene.control_images", self.control_images, low=1, high=self.max_images)
        check_int("intervene.seed", self.seed, low=0)


class Counts(NamedTuple):
    """Changed and counted patches, every array (class, method, place, strength, image) int64."""

    target_changed: np.ndarray
    target: np.ndarray
    other_changed: np.ndarray
    other: np.ndarray


def run_experiment(
    sae: SAE,
    predict: Predictor,
    matches: list[Match],
    classes: tuple[str, ...],
    train: Split,
    val: Split,
    options: Experiment,
) -> tuple[Counts, list[int]]:
    """Run every (class, method, place, strength) on the images of `predict`, the first of the validation split.

    A prediction counts as changed if it differs from the one on the unedited activations,
    computed in the same precision. Unlabelled patches count nowhere.

    Returns:
        The counts, and for every match the control latent that was drawn.
    """
    sae.check_width(predict.patches.shape[-1], "intervene")
    n = len(predict)
    before = predict(torch.arange(n))
    target = torch.stack(
        [predict.labels == classes.index(match.name) for match in matches]
    )  # (class, image, patch)
    other = (predict.labels != IGNORE) & ~target
    controls = _control_latents(matches, train, options.seed)
    maximum = train.maximum

    counts = Counts(
        *(
            np.zeros((len(matches), len(METHODS), len(PLACES), len(options.strengths), n), np.int64)
            for _ in Counts._fields
        )
    )
    n_images = (n, min(options.control_images, n), min(options.control_images, n))  # per method
    for m, reach in enumerate(n_images):
        counts.target[:, m, ..., :reach] = target.sum(2).numpy()[:, None, None, :reach]
        counts.other[:, m, ..., :reach] = other.sum(2).numpy()[:, None, None, :reach]
    for c in track(range(len(matches)), "intervene", len(matches), unit="classes"):
        latents = (matches[c].latent, controls[c])
        codes = [torch.from_numpy(val.images(latent)[predict.images]) for latent in latents]
        for s, strength in enumerate(options.strengths):
            values = [strength * float(maximum[latent]) for latent in latents]
            for m, p, edit in _edits(sae, latents, values, codes, options.seed + c, target[c]):
                touched = (edit.amount_bp[: n_images[m]] != 0).any(-1).nonzero().flatten()
                changed = torch.zeros_like(target[c])
                changed[touched] = predict(touched, edit.change(touched)) != before[touched]
                counts.target_changed[c, m, p, s] = (changed & target[c]).sum(1).numpy()
                counts.other_changed[c, m, p, s] = (changed & other[c]).sum(1).numpy()
    return counts, controls


def _edits(
    sae: SAE,
    latents: tuple[int, int],
    values: list[float],
    codes_bp: list[Tensor],
    seed: int,
    target_bp: Tensor,
) -> Iterator[tuple[int, int, Edit]]:
    """Yield (method, place, edit) for one class at one strength; the pairs are (chosen latent, its control)."""
    chosen, random = (set_latent(sae, *pair) for pair in zip(latents, values, codes_bp, strict=True))
    active_bp = [codes > 0 for codes in codes_bp]
    methods = (
        (chosen, active_bp[0]),
        (random, active_bp[1]),
        (push_along(random_direction(sae.d, seed), chosen), active_bp[0]),
    )
    for m, (edit, fires_bp) in enumerate(methods):
        for p, where_bp in enumerate((torch.ones_like(target_bp), target_bp, fires_bp)):
            yield m, p, edit.where(where_bp)


def _control_latents(matches: list[Match], train: Split, seed: int) -> list[int]:
    """For each class a random live latent that fires about as often as the chosen one and was not chosen itself.

    Drawn from the 20 others nearest in log density.
    """
    rng = np.random.default_rng(seed)
    density = train.density
    free = np.setdiff1d(np.flatnonzero(density), [match.latent for match in matches])
    controls = []
    for match in matches:
        distance = np.abs(np.log(density[free]) - np.log(density[match.latent]))
        controls.append(int(rng.choice(free[np.argsort(distance, kind="stable")[:20]])))
    return controls
