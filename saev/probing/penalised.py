"""The penalty of a logistic classifier of one concept: the one that does best on clusters which have neither
ranked nor fitted."""

from typing import NamedTuple

import numpy as np
import scipy.sparse

Features = np.ndarray | scipy.sparse.csc_array
"""(m, s) of m units."""

PARTS = 3
"""Of the clusters of training, each to judge the penalties with which the others are fitted."""


class Units(NamedTuple):
    """Units of which a concept is known: their rows among the features, and their parts among the folds."""

    row: np.ndarray
    shown: np.ndarray
    cluster: np.ndarray
    part: np.ndarray

    def of(self, those: np.ndarray) -> "Units":
        return Units(*(field[those] for field in self))

    @property
    def both(self) -> bool:
        return bool(self.shown.any() and not self.shown.all())


class Probe(NamedTuple):
    """A concept's logit of raw features."""

    features: np.ndarray | slice
    """Which it reads."""
    weights: np.ndarray
    intercept: float
    penalty: float

    def logits(self, x: Features, rows: np.ndarray) -> np.ndarray:
        return (x[:, self.features] @ self.weights.astype(x.dtype))[rows] + self.intercept


def constant(features: np.ndarray | slice, k: int, learn: Units, penalty: float) -> Probe:
    """Of k features, where one answer only is known: it is always given."""
    return Probe(features, np.zeros(k), 1.0 if learn.shown.all() else -1.0, penalty)


def trials(learn: Units, seed: int) -> list[tuple[Units, Units]]:
    """(units to fit with every penalty, units of other clusters to judge it): none where fewer than two
    clusters show the concept, or fewer than two lack it somewhere."""
    if min(len(np.unique(learn.cluster[learn.shown == shown])) for shown in (True, False)) < 2:
        return []
    part = _dealt(learn, seed)
    pairs = [(learn.of(part != i), learn.of(part == i)) for i in range(PARTS)]
    return [(rest, held) for rest, held in pairs if rest.both]


def _dealt(learn: Units, seed: int) -> np.ndarray:
    """(m,) in [0, PARTS). Clusters that show the concept are dealt apart from the others: so, unlike with
    scikit-learn's GroupKFold, no part gets all of the few."""
    clusters, of_m = np.unique(learn.cluster, return_inverse=True)
    shows = np.bincount(of_m, learn.shown) > 0
    order = np.random.default_rng(seed).permutation(len(clusters))
    order = order[np.argsort(shows[order], kind="stable")]
    turn = np.empty(len(order), int)
    turn[order] = np.arange(len(order)) % PARTS
    return turn[of_m]


def cross_entropy(logit_m: np.ndarray, shown_m: np.ndarray) -> float:
    """In nats, summed over units."""
    return float(np.logaddexp(0, np.where(shown_m, -logit_m, logit_m)).sum())


def best(loss_p: np.ndarray, penalties: tuple[float, ...]) -> float:
    """The C with the least loss; the middle one where nothing was tried."""
    return penalties[loss_p.argmin() if loss_p.any() else len(penalties) // 2]
