"""What each latent is like: how often and how strongly it fires, which are near it, on what it fires."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import scipy.sparse

from saev.features.codes import Codes

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
BLOCK = 512
"""Latents whose counts with all others are in memory at once."""
POOLS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "max": lambda codes_it: codes_it.max(1),
    "sum": lambda codes_it: codes_it.sum(1),
}
"""What the code of an image is, of those of its units."""


class Profile(NamedTuple):
    """Of every latent, over the units of a split; dead latents have 0 throughout."""

    density_s: np.ndarray
    """(s,) share of units on which it fires."""
    images_s: np.ndarray
    """(s,) share of images."""
    mean_s: np.ndarray
    """(s,) mean of its codes above 0."""
    maximum_s: np.ndarray
    quantiles_sq: np.ndarray
    """(s, QUANTILES) of its codes above 0."""


class Near(NamedTuple):
    """The k latents nearest to each, nearest first."""

    latents_sk: np.ndarray
    nearness_sk: np.ndarray


def profile(codes: Codes) -> Profile:
    """Count and sort the codes of every latent; nothing dense is made of them."""
    s, csr = codes.d_sae, codes.csr
    n_s = np.bincount(csr.indices, minlength=s)
    order = np.lexsort((csr.data, csr.indices))  # by latent, then by code
    values, ends = csr.data[order], n_s.cumsum()
    last_s = np.maximum(n_s - 1, 0)
    ranks_sq = (ends - n_s)[:, None] + np.rint(last_s[:, None] * np.array(QUANTILES)).astype(int)
    live = n_s > 0
    quantiles_sq = np.zeros((s, len(QUANTILES)), np.float32)
    quantiles_sq[live] = values[ranks_sq[live]]
    total_s = np.bincount(csr.indices, csr.data.astype(np.float64), minlength=s)
    return Profile(
        codes.density,
        codes.pooled("max").density,
        total_s / np.maximum(n_s, 1),
        codes.maximum,
        quantiles_sq,
    )


def nearest_rows(W_dec: np.ndarray, k: int) -> Near:
    """Of each latent the k others whose decoder rows have the largest cosine with its own."""
    unit_sd = W_dec / np.maximum(np.linalg.norm(W_dec, axis=1, keepdims=True), 1e-12)
    return _nearest(len(W_dec), k, lambda some: unit_sd[some] @ unit_sd.T)


def fire_together(codes: Codes, k: int) -> Near:
    """Of each latent the k others that fire most on the same units: |both| / |either| (Jaccard)."""
    yes = scipy.sparse.csc_array(codes.csr, copy=True)
    yes.data = np.ones(len(yes.data), np.int32)
    by_unit, n_s = yes.tocsr(), np.diff(yes.indptr)

    def jaccard(some: slice) -> np.ndarray:
        both = (yes[:, some].T.tocsr() @ by_unit).toarray()
        return both / np.maximum(n_s[some, None] + n_s - both, 1)

    return _nearest(codes.d_sae, k, jaccard)


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


def spread_images(codes_it: np.ndarray, k: int, by: Literal["max", "sum"] = "max") -> np.ndarray:
    """At most k images on which a latent fires, from its strongest to its weakest, evenly by rank: the top
    alone hides that weak codes may mean another thing.

    Args:
        codes_it: (n_images, units) codes of one latent.
        by: how the code of an image is made of those of its units.
    """
    strength = POOLS[by](codes_it)
    fires = np.flatnonzero(strength > 0)
    ranked = fires[np.argsort(-strength[fires], kind="stable")]
    return ranked[np.unique(np.rint(np.linspace(0, len(ranked) - 1, min(k, len(ranked)))).astype(int))]
