"""What an edit is held against: the same done with a feature, or a direction, that nobody claims anything
of."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from saev.features import Codes
from saev.intervention.edits import Edit
from saev.intervention.trial import Trial

NEAREST = 20
"""A control latent is drawn from so many others nearest in log density."""


def similar_latents(latents: list[int], train: Codes, seed: int) -> list[int]:
    """For each latent a random live one that fires about as often and is none of them; itself if there is no
    other."""
    rng = np.random.default_rng(seed)
    density = train.density
    free = np.setdiff1d(np.flatnonzero(density), latents)
    similar = []
    for latent in latents:
        if not len(free) or not density[latent]:
            similar.append(latent)
            continue
        distance = np.abs(np.log(density[free]) - np.log(density[latent]))
        similar.append(int(rng.choice(free[np.argsort(distance, kind="stable")[:NEAREST]])))
    return similar


def random_direction(d: int, seed: int) -> Float[Tensor, " d"]:
    """A unit vector drawn uniformly from the sphere."""
    vector = torch.randn(d, generator=torch.Generator().manual_seed(seed))
    return vector / torch.linalg.vector_norm(vector)


def push_along(direction_d: Float[Tensor, " d"], like: Edit) -> Edit:
    """On every token as far as `like`, but along one unit vector."""
    return Edit(like.length()[..., None], direction_d[None], like.fires_bt)


def _random_latent(trial: Trial, kind: str, strength: float) -> Edit:
    return trial.edit([trial.similar], kind, strength)


def _random_direction(trial: Trial, kind: str, strength: float) -> Edit:
    chosen = trial.edit([trial.latent], kind, strength)
    return push_along(random_direction(chosen.directions_kd.shape[1], trial.seed), chosen)


CONTROLS: dict[str, Callable[[Trial, str, float], Edit]] = {
    "random latent": _random_latent,
    "random direction": _random_direction,
}
"""The control's edit in place of the chosen latent's: a random live latent of similar density, edited in the
same way; a random direction, pushed on every token by exactly the length of the chosen latent's edit."""
