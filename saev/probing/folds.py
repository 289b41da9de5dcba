"""Which units choose a latent, and which ones judge it: never two of one cluster."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from saev.probing.concepts import Concepts

FOLDS = 4
"""Where the splits share clusters; fewer if there are fewer."""


class Folds(NamedTuple):
    """What is judged in part f was chosen by the training units of all other parts."""

    n: int
    train_u: np.ndarray
    """(units of training,) the part of each; n: it may choose for all."""
    val_u: np.ndarray
    """(units of validation,) the part of each."""


def folds(train: Concepts, val: Concepts, seed: int = 0) -> Folds:
    """One part that all of training chooses for, where training and validation have no cluster in common.

    Else cross-fitting: the clusters are dealt into FOLDS parts, and each part is judged by what the others
    chose. Every cluster then counts in the result, and none has chosen what it judges.
    """
    shared = np.intersect1d(_names(train), _names(val))
    n, order = min(FOLDS, len(shared)), np.random.default_rng(seed).permutation(shared)
    if n < 2:
        return Folds(1, np.ones(len(train.known), int), np.zeros(len(val.known), int))
    part_of = {name: i % n for i, name in enumerate(order.tolist())}
    return Folds(n, _parts(train, part_of, n), _parts(val, part_of, 0))


def _names(asked: Concepts) -> np.ndarray:
    """Of the clusters of which something is known."""
    there = asked.judged if asked.clusters else []
    return np.array([asked.clusters[cluster] for cluster in there], str)


def _parts(asked: Concepts, part_of: dict[str, int], other: int) -> np.ndarray:
    """(units,) the part that its cluster was dealt into; `other` if the other split lacks the cluster."""
    parts = np.array([*(part_of.get(name, other) for name in asked.clusters), other])
    return parts[np.where(asked.known, asked.cluster, -1)]


def over_folds(
    score: Callable[[np.ndarray, np.ndarray], float | tuple[float, ...]],
    shown_m: np.ndarray,
    value_m: np.ndarray,
    part_m: np.ndarray,
) -> np.ndarray:
    """Mean of a score, or of each of several, over folds, weighted by how many units show the concept: values
    of different latents or probes have no common order. Folds of which it is nan do not count; nan if none is
    left."""
    folds_m = [part_m == f for f in np.unique(part_m[shown_m])]
    values = np.array([score(shown_m[mine], value_m[mine]) for mine in folds_m])
    weights = np.array([shown_m[mine].sum() for mine in folds_m])
    there = ~np.isnan(values).reshape(len(values), -1).any(1)
    if not there.any():
        return np.full(values.shape[1:], np.nan)
    return np.average(values[there], 0, weights[there])
