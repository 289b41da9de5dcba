"""Linear probes: how much of the labels the activations hold, and how much of that the codes keep."""

import numpy as np
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from saev.activations.store import Store
from saev.data.sample import IGNORE
from saev.features.codes import Split


def linear_probes(
    train: Split,
    val: Split,
    train_store: Store,
    val_store: Store,
    layer: int,
    *,
    seed: int,
    max_tokens: int = 30_000,
) -> dict:
    """Patch accuracy on validation of a multinomial-style logistic probe on activations and on codes.

    Both are sklearn's SGDClassifier (one-vs-rest log loss, averaged weights, default L2) on the
    same at most `max_tokens` random labelled training tokens, features scaled per column.
    """
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(train.labels != IGNORE)
    rows = np.sort(rng.choice(known, min(max_tokens, len(known)), replace=False))
    test = np.flatnonzero(val.labels != IGNORE)

    def accuracy(x_train, x_test, scaler) -> float:
        probe = make_pipeline(
            scaler, SGDClassifier(loss="log_loss", average=True, max_iter=10, tol=None, random_state=seed)
        )
        return float(probe.fit(x_train, train.labels[rows]).score(x_test, val.labels[test]))

    activations = accuracy(
        _tokens(train_store, layer, rows), _tokens(val_store, layer, test), StandardScaler()
    )
    codes = accuracy(train.codes[rows], val.codes[test], MaxAbsScaler())
    majority = np.bincount(val.labels[test]).max() / len(test)
    return {"activations": activations, "codes": codes, "majority": float(majority)}


def _tokens(store: Store, layer: int, rows: np.ndarray) -> np.ndarray:
    """Patch tokens by their number in the store, (len(rows), d) float32."""
    tokens = store.tokens(layer)
    return tokens.at(*np.divmod(rows, tokens.per_image)).astype(np.float32)
