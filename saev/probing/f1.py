"""F1 of every latent as a detector of every concept."""

from typing import NamedTuple

import numpy as np

from saev.features import Codes
from saev.probing.concepts import Concepts

THRESHOLDS = (0.0, 0.1, 0.3, 1.0, 3.0)
"""A latent says "yes" where its code exceeds the threshold, in units of normalised activations. The paper's
four, and 3: with TopK codes most classes choose the largest, so four ended the series too early."""


class Counts(NamedTuple):
    """What F1 is made of. Counts of several parts of the data add up, field by field."""

    hits_tcs: np.ndarray
    """Units of concept c on which latent s exceeds threshold t."""
    fires_tcs: np.ndarray
    """Units on which it does, of those of which the concept is known; (t, 1, s) if all are."""
    members_c: np.ndarray
    """Units of the concept."""


def count(codes: Codes, concepts: Concepts, thresholds: tuple[float, ...] = THRESHOLDS) -> Counts:
    """Count every (threshold, concept, latent): a product of sparse matrices, which costs as much as reading
    them."""
    csr, truth = codes.csr[concepts.known], concepts.truth[concepts.known]
    positive, unknown = (truth > 0).astype(np.int64).T, (truth < 0).astype(np.int64).T
    hits, fires = [], []
    for threshold in thresholds:
        yes = csr.copy()
        yes.data = (csr.data > threshold).astype(np.int64)
        hits.append((positive @ yes).toarray())
        fires.append(yes.sum(0)[None] - (unknown @ yes).toarray() if unknown.nnz else yes.sum(0)[None])
    return Counts(np.stack(hits), np.stack(fires), positive.sum(1))


def f1(counts: Counts) -> np.ndarray:
    """F1 = 2 TP / (2 TP + FP + FN) = 2 hits / (fires + members), (t, c, s); 0 where there is neither."""
    possible = counts.fires_tcs + counts.members_c[:, None]
    return np.divide(2 * counts.hits_tcs, possible, out=np.zeros(counts.hits_tcs.shape), where=possible > 0)
