"""Which latents are near each other: by what they write, and by when they fire."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.sparse

BLOCK = 512
"""Latents whose nearness to all others is in memory at once."""


class Near(NamedTuple):
    """The k latents nearest to each, nearest first."""

    latents_sk: np.ndarray
    nearness_sk: np.ndarray


def nearest_rows(W_dec: np.ndarray, k: int) -> Near:
    """Of each latent the k others whose decoder rows have the largest cosine with its own."""
    unit_sd = W_dec / np.maximum(np.linalg.norm(W_dec, axis=1, keepdims=True), 1e-12)
    return _nearest(len(W_dec), k, lambda some: unit_sd[some] @ unit_sd.T)


def fire_together(csr: scipy.sparse.csr_array, k: int) -> Near:
    """Of each latent the k others that fire most on the same units: |both| / |either| (Jaccard)."""
    yes = scipy.sparse.csc_array(csr, copy=True)
    yes.data = np.ones(len(yes.data), np.int32)
    by_unit, n_s = yes.tocsr(), np.diff(yes.indptr)

    def jaccard(some: slice) -> np.ndarray:
        both = (yes[:, some].T.tocsr() @ by_unit).toarray()
        return both / np.maximum(n_s[some, None] + n_s - both, 1)

    return _nearest(csr.shape[1], k, jaccard)


def _nearest(s: int, k: int, nearness: Callable[[slice], np.ndarray]) -> Near:
    """From the nearness of some latents to all, block by block."""
    k = min(k, s - 1)
    latents, values = [], []
    for first in range(0, s, BLOCK):
        near_bs = nearness(slice(first, first + BLOCK))
        rows = np.arange(len(near_bs))
        near_bs[rows, first + rows] = -np.inf  # itself
        found = np.argpartition(-near_bs, np.arange(k), axis=1)[:, :k]
        latents.append(found)
        values.append(near_bs[rows[:, None], found])
    return Near(np.concatenate(latents), np.concatenate(values))
