"""F1 of every latent as a detector of every class."""

import numpy as np
import scipy.sparse

THRESHOLDS = (0.0, 0.1, 0.3, 1.0, 3.0)
"""A latent says "yes" where its code exceeds the threshold, in units of normalised activations. The paper's four, and
3: with TopK codes most classes choose the largest, so four ended the series too early."""


def f1_table(
    codes: scipy.sparse.csr_array,
    labels: np.ndarray,
    n_classes: int,
    thresholds: tuple[float, ...] = THRESHOLDS,
) -> np.ndarray:
    """F1 = 2 TP / (2 TP + FP + FN) for every (threshold, class, latent).

    TP + FP is the number of tokens on which the latent exceeds the threshold and TP + FN
    the number of tokens of the class, so F1 = 2 TP / (fires + members), and TP is one
    histogram over the non-zeros: the table costs no more than reading the codes.

    Args:
        codes: (n, s), values > 0. labels: (n,) in [0, n_classes).

    Returns:
        (len(thresholds), n_classes, s) float64; 0 where a class is absent and the latent silent.
    """
    s = codes.shape[1]
    members = np.bincount(labels, minlength=n_classes)
    pair = np.repeat(labels.astype(np.int64), np.diff(codes.indptr)) * s + codes.indices
    table = np.empty((len(thresholds), n_classes, s))
    for t, threshold in enumerate(thresholds):
        hits = np.bincount(pair[codes.data > threshold], minlength=n_classes * s).reshape(n_classes, s)
        possible = hits.sum(0) + members[:, None]
        table[t] = np.divide(2 * hits, possible, out=np.zeros((n_classes, s)), where=possible > 0)
    return table
