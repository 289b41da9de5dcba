"""Directions of a concept in activation space that need no SAE: what an edit of a latent must beat.

Each is fitted to training tokens (n, d), of which half show the concept where there are so many, so that a
rare concept is no matter of a few tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:  # which takes a second to load
    from saev.probing.concepts import Concepts
    from saev.probing.linear import Split

MOST = 10_000
"""Tokens that a direction is fitted to. With twice as many the probe's turned by 2 to 12 degrees and took
three times as long."""


def _difference_of_means(x_nd: np.ndarray, shown_n: np.ndarray, seed: int) -> np.ndarray:
    return x_nd[shown_n].mean(0, dtype=float) - x_nd[~shown_n].mean(0, dtype=float)


def _probe(x_nd: np.ndarray, shown_n: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    return _on_standardised(LogisticRegression(C=0.1, max_iter=1000, tol=1e-3), x_nd, shown_n)


def _svm(x_nd: np.ndarray, shown_n: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.linear_model import SGDClassifier

    # LinearSVC took 7 s where this takes one, and turned as little.
    svm = SGDClassifier(loss="hinge", alpha=1e-3, average=True, max_iter=20, tol=None, random_state=seed)
    return _on_standardised(svm, x_nd, shown_n)


DIRECTIONS: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "difference of means": _difference_of_means,
    "probe direction": _probe,
    "svm direction": _svm,
}
"""From tokens (n, d), whether they show the concept (n,), and a seed, to (d,) of any length, towards the
concept: the mean of the tokens that show it minus that of the others; along which the logit of logistic
regression, or the margin of a linear support vector machine, grows fastest in raw units."""


@dataclass(frozen=True, eq=False)
class Directions:
    """The directions of concepts, each fitted when it is first asked for."""

    train: "Split"
    """Codes, concepts and tokens of the training split. Where the concepts are of whole images, their mean
    tokens are what is fitted to."""
    seed: int

    @cache  # noqa: B019 (one for each trial and kind)
    def of(self, kind: str, concept: str) -> Float[Tensor, " d"] | None:
        """The unit direction of one of DIRECTIONS; None where training has no tokens with the concept, or
        none without, or there is nothing between them."""
        x_nd, shown_n = self._tokens(concept)
        if shown_n.all() or not shown_n.any():
            return None
        direction_d = np.asarray(DIRECTIONS[kind](x_nd, shown_n, self.seed), float)
        length = np.linalg.norm(direction_d)
        return torch.from_numpy(direction_d / length).float() if length > 0 else None

    @lru_cache(maxsize=1)  # noqa: B019 (a concept's directions are asked for one after the other)
    def _tokens(self, concept: str) -> tuple[np.ndarray, np.ndarray]:
        from saev.probing.linear import activations_of

        asked = self.train[1]
        units, shown_n = drawn(asked, asked.names.index(concept), MOST, self.seed)
        return activations_of(self.train, units), shown_n


def drawn(asked: "Concepts", c: int, most: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """At most so many random units of which concept c is known, in order, and whether they show it (n,): half
    of them do, unless either side has fewer."""
    units, shown = asked.of(c)
    yes, no = units[shown], units[~shown]
    n_yes = min(len(yes), max(most // 2, most - len(no)))
    rng = np.random.default_rng((seed, c))
    chosen = np.concatenate(
        [rng.choice(yes, n_yes, replace=False), rng.choice(no, min(len(no), most - n_yes), replace=False)]
    )
    order = np.argsort(chosen)
    return chosen[order], order < n_yes


def _on_standardised(model, x_nd: np.ndarray, shown_n: np.ndarray) -> np.ndarray:
    """w . (x - mean) / deviation grows fastest along w / deviation."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(x_nd)
    return model.fit(scaler.transform(x_nd), shown_n).coef_[0] / scaler.scale_
