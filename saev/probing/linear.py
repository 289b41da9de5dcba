"""Linear probes: how much of the labels the activations hold, and how much of that the codes keep."""

import os
from typing import TYPE_CHECKING

import numpy as np

from saev.activations import Tokens
from saev.features import Codes
from saev.probing.concepts import Concepts

if TYPE_CHECKING:  # a second that most stages do not need
    from sklearn.preprocessing import MaxAbsScaler, StandardScaler

Split = tuple[Codes, Concepts, Tokens]


def linear_probes(
    train: Split, val: Split, *, seed: int, max_tokens: int = 30_000
) -> dict[str, float] | None:
    """Validation accuracy of a linear classifier of the concepts on activations, and on codes.

    Both are sklearn's SGDClassifier (one-vs-rest log loss, averaged weights, default L2) on the same at most
    `max_tokens` random training units that show exactly one concept, features scaled per column. Codes of
    whole images face the mean of their tokens' activations.

    Returns:
        `activations`, `codes`, and `majority`: always the most frequent validation concept. None where the
        training units are not of two concepts at least, or no validation unit shows exactly one.
    """
    from sklearn.linear_model import SGDClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MaxAbsScaler, StandardScaler

    rng = np.random.default_rng(seed)
    (y_train, rows), (y_val, test) = (
        (asked.single, np.flatnonzero(asked.single >= 0)) for _, asked, _ in (train, val)
    )
    rows = np.sort(rng.choice(rows, min(max_tokens, len(rows)), replace=False))
    if len(np.unique(y_train[rows])) < 2 or not len(test):
        return None

    def accuracy(x_train: np.ndarray, x_val: np.ndarray, scaler: "MaxAbsScaler | StandardScaler") -> float:
        sgd = SGDClassifier(
            loss="log_loss", average=True, max_iter=10, tol=None, random_state=seed, n_jobs=os.cpu_count()
        )
        return float(make_pipeline(scaler, sgd).fit(x_train, y_train[rows]).score(x_val, y_val[test]))

    return {
        "activations": accuracy(activations_of(train, rows), activations_of(val, test), StandardScaler()),
        "codes": accuracy(train[0].csr[rows], val[0].csr[test], MaxAbsScaler()),
        "majority": float(np.bincount(y_val[test]).max() / len(test)),
    }


def activations_of(split: Split, units: np.ndarray) -> np.ndarray:
    """What the codes of the units were made of, (len(units), d) float32."""
    codes, _, tokens = split
    if codes.per_image == tokens.per_image:
        images, positions = np.divmod(units, tokens.per_image)
        return tokens.at(images, positions).astype(np.float32)
    means_id = np.zeros((tokens.n_images, tokens.d), np.float32)
    for images, x_btd in tokens.chunks():
        means_id[images] = x_btd.mean(1, dtype=np.float32)
    return means_id[units]
