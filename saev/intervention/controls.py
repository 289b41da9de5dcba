"""What an edit is held against: the same done with a feature, or a direction, that nobody claims anything of,
or that needs no SAE, or is of another one."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from saev.intervention.edits import Edit
from saev.intervention.trial import Trial

CHOSEN = "chosen latent"
"""What a control is in place of."""
NEAREST = 20
"""A control latent is drawn from so many others nearest in log density."""
DRAWN = ("random latent", "random direction")
"""The controls of which there are several draws."""


def similar_latents(
    latents: Sequence[int], density_s: np.ndarray, seed: int, *, draws: int = 1, avoid: Sequence[int] = ()
) -> list[tuple[int, ...]]:
    """`draws` sets of random live latents, all different and none of `latents` or `avoid`, each with one for
    every latent that fires about as often as it; fewer sets where there are not so many, none for a dead
    latent.

    Args:
        density_s: share of the training tokens on which each latent fires.
    """
    rng = np.random.default_rng(seed)
    free = np.setdiff1d(np.flatnonzero(density_s), [*latents, *avoid])
    sets: list[tuple[int, ...]] = []
    while len(sets) < draws and len(free) >= len(latents) and density_s[list(latents)].all():
        similar = []
        for latent in latents:
            distance = np.abs(np.log(density_s[free]) - np.log(density_s[latent]))
            similar.append(int(rng.choice(free[np.argsort(distance, kind="stable")[:NEAREST]])))
            free = free[free != similar[-1]]
        sets.append(tuple(similar))
    return sets


def random_direction(d: int, seed: int, draw: int = 0) -> Float[Tensor, " d"]:
    """A unit vector drawn uniformly from the sphere."""
    vector = np.random.default_rng((seed, draw)).standard_normal(d)
    return torch.from_numpy(vector / np.linalg.norm(vector)).float()


def push_along(direction_d: Float[Tensor, " d"], like: Edit) -> Edit:
    """On every token as far as `like`, but along one unit vector."""
    return Edit(like.length()[..., None], direction_d[None], like.fires_bt)


def follow(direction_d: Float[Tensor, " d"], like: Edit) -> Edit:
    """On every token as far as `like`: along a unit vector where `like` raises codes, against it where it
    lowers them."""
    return Edit(_signed_length(like)[..., None], direction_d[None], like.fires_bt)


def from_mean(x_btd: Float[Tensor, "b t d"], mean_d: Float[Tensor, " d"], like: Edit) -> Edit:
    """On every token as far as `like`: away from the mean of the data where `like` raises codes, towards it
    where it lowers them. Each token has a direction of its own, so the axes are those of the edit."""
    away_btd = F.normalize(x_btd - mean_d, dim=-1)
    return Edit(_signed_length(like)[..., None] * away_btd, torch.eye(len(mean_d)), like.fires_bt)


def _signed_length(like: Edit) -> Tensor:
    """(b, t) of `like`, negative where it lowers codes, in sum."""
    length_bt = like.length()
    return torch.where(like.amounts_btk.sum(-1) < 0, -length_bt, length_bt)


def _chosen(trial: Trial, kind: str, strength: float) -> Edit:
    return trial.edit(trial.latents, kind, strength)


def _random_latent(trial: Trial, kind: str, strength: float, draw: int) -> Edit | None:
    train, avoid = trial.setup.train, trial.avoid
    sets = similar_latents(trial.latents, train.density, trial.seed, draws=draw + 1, avoid=avoid)
    return trial.edit(sets[draw], kind, strength) if draw < len(sets) else None


def _random_direction(trial: Trial, kind: str, strength: float, draw: int) -> Edit:
    chosen = _chosen(trial, kind, strength)
    return push_along(random_direction(trial.setup.sae.d, trial.seed, draw), chosen)


def _away_from_mean(trial: Trial, kind: str, strength: float, draw: int) -> Edit:
    setup = trial.setup
    return from_mean(setup.x_btd, setup.sae.mean, _chosen(trial, kind, strength))


def _of_class(direction: str, trial: Trial, kind: str, strength: float, draw: int) -> Edit | None:
    directions = trial.setup.directions
    direction_d = directions.of(direction, trial.name) if directions else None
    return None if direction_d is None else follow(direction_d, _chosen(trial, kind, strength))


def _of_rival(rival: str, trial: Trial, kind: str, strength: float, draw: int) -> Edit | None:
    found = trial.setup.rivals.get(rival)
    if found is None or trial.name not in found.latents:
        return None
    row_d = found.sae.W_dec[found.latents[trial.name]].detach()
    return follow(F.normalize(row_d, dim=0), _chosen(trial, kind, strength))


CONTROLS: dict[str, Callable[[Trial, str, float, int], Edit | None]] = {
    "random latent": _random_latent,
    "random direction": _random_direction,
    "away from the mean": _away_from_mean,
    "difference of means": lambda *edit: _of_class("difference of means", *edit),
    "probe direction": lambda *edit: _of_class("probe direction", *edit),
    "svm direction": lambda *edit: _of_class("svm direction", *edit),
    "frozen-decoder latent": lambda *edit: _of_rival("frozen-decoder", *edit),
    "frozen-encoder latent": lambda *edit: _of_rival("frozen-encoder", *edit),
    "frozen-soft latent": lambda *edit: _of_rival("frozen-soft", *edit),
    "pca latent": lambda *edit: _of_rival("pca", *edit),
    "kmeans latent": lambda *edit: _of_rival("kmeans", *edit),
    "neurons latent": lambda *edit: _of_rival("neurons", *edit),
}
"""The control's edit in place of the chosen latents', of this kind, strength and draw; None where there is no
such control.

random latent       live latents of similar density, edited in the same way: of the length that they have
all others          every token is moved by exactly the length of the chosen edit, and so where that acts:
random direction    along a random unit vector
away from the mean  along the token's own deviation from the mean of the data, which is what amplifying all of
                    a token's latents comes to (2506.01247). The mean of a class minus that of all tokens
                    needs no row: it is the difference of means, shortened
the next three      along the class's own direction (DIRECTIONS)
the rest            along the decoder row of the best latent of a rival (`Setup.rivals`)

The last three kinds go against their direction where the chosen edit lowers codes.
"""
