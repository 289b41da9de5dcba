"""How alike the things are that a latent fires on, in the eyes of another model, beside what chance does."""

from typing import NamedTuple

import numpy as np
import scipy.sparse

from saev.errors import SaevError
from saev.statistics import discoveries

BLOCK = 256
"""Latents that are multiplied at once, of which each is padded to the longest."""
TIE = 1e-5
"""Relative difference of float32 sums that were added in another order."""


class Monosemanticity(NamedTuple):
    """Of every latent; nan for those that fire on fewer than two units."""

    value_s: np.ndarray
    """(s,) weighted mean cosine of the units that it fires on, less `null`."""
    null: float
    """What that cosine is on average if the units are taken at random: it is the same for all latents."""
    p_s: np.ndarray
    """(s,) share of permutations of the embeddings that do as well."""
    q_s: np.ndarray
    """(s,) the smallest false discovery rate over the latents at which it still counts as alike."""

    @property
    def share(self) -> float:
        """Of the latents that were judged, those that fire on like things: at q = 0.05."""
        judged = ~np.isnan(self.q_s)
        return float((self.q_s[judged] <= 0.05).mean()) if judged.any() else np.nan


def monosemanticity(
    codes_us: scipy.sparse.csr_array,
    embeddings_ud: np.ndarray,
    *,
    most: int = 1000,
    times: int = 1000,
    seed: int = 0,
) -> Monosemanticity:
    """MS_s = sum_{a<b} w_a w_b cos(e_a, e_b) / sum_{a<b} w_a w_b - null, with w the codes of latent s.

    The embeddings are centred: what all units share would count as likeness, and lifts every latent alike.

        sum_{a<b} w_a w_b cos(e_a, e_b) = (|sum_a w_a e_a|^2 - sum_a w_a^2) / 2      for |e_a| = 1

    null = (|sum e|^2 - N) / (N (N - 1)) over all N units. Proof: permuted, a pair of units is as likely to
    have the embeddings of any pair, so each cosine has the mean of all pairs as its expectation, and so has
    each weighted mean of them, whatever the weights.

    p permutes the embeddings among all units, so units must be independent of each other: one of each image
    (or of each cluster), not its patches. No p is below 1 / (1 + times): of S latents, q reaches 0.05 only if
    20 S / (1 + times) of them are beyond all permutations.

    Args:
        codes_us: of the units, whatever they are: images, or crops around the strongest patch of each.
        embeddings_ud: of the same units, by any model but the one that was encoded; the same one for all
            backbones that are compared.
        most: units of a latent; where it fires on more, so many are drawn by seed.

    Raises:
        SaevError: there are not as many embeddings as units; or one is not finite, or is the mean of all, and
            so has no direction.
    """
    n, units = len(embeddings_ud), codes_us.shape[0]
    if n != units:
        raise SaevError(f"{n} embeddings of {units} units: there must be one of each")
    order = np.random.default_rng(seed).permutation(n)
    unit_ud = _directions(embeddings_ud)[order]
    weights_su = _first(codes_us[order], most)  # in random order the first are a draw
    sums_s, squares_s = weights_su.sum(1), weights_su.power(2).sum(1)
    judged = np.diff(weights_su.indptr) > 1
    pairs_s = np.where(judged, sums_s**2 - squares_s, np.nan)
    found_s = np.square(weights_su @ unit_ud).sum(1)
    cosine_s = (found_s - squares_s) / pairs_s
    null = float((np.square(unit_ud.sum(0)).sum() - n) / (n * (n - 1)))
    p_s = np.where(judged, _chance(weights_su, unit_ud, found_s, times, seed), np.nan)
    q_s = np.array(discoveries([None if np.isnan(p) else p for p in p_s.tolist()]), float)
    return Monosemanticity(cosine_s - null, null, p_s, q_s)


def _directions(embeddings_ud: np.ndarray) -> np.ndarray:
    """Of length 1 after the mean is taken off."""
    x_ud = np.asarray(embeddings_ud, np.float64)
    _check(np.all(np.isfinite(x_ud), axis=1), "is not finite")
    centred_ud = x_ud - x_ud.mean(0)
    length_u = np.linalg.norm(centred_ud, axis=1)
    _check(length_u > 1e-9 * np.linalg.norm(x_ud, axis=1), "is the mean of all, and so has no direction")
    return centred_ud / length_u[:, None]


def _check(good_u: np.ndarray, what: str) -> None:
    if not good_u.all():
        raise SaevError(f"embedding {good_u.argmin()} of {len(good_u)} {what}")


def _first(codes_us: scipy.sparse.csr_array, most: int) -> scipy.sparse.csr_array:
    """(s, units) float64: of each latent its codes on the first `most` units on which it fires."""
    by_latent = codes_us.T.tocsr().astype(np.float64)
    n_s = np.diff(by_latent.indptr)
    kept = np.arange(by_latent.nnz) - np.repeat(by_latent.indptr[:-1], n_s) < most
    ends = np.concatenate([[0], np.minimum(n_s, most).cumsum()])
    return scipy.sparse.csr_array((by_latent.data[kept], by_latent.indices[kept], ends), by_latent.shape)


def _chance(
    weights_su: scipy.sparse.csr_array, unit_ud: np.ndarray, found_s: np.ndarray, times: int, seed: int
) -> np.ndarray:
    """(s,) p of |sum_a w_a e_a|^2, which is all that a permutation changes of the value.

    Permuted, the units of a latent have embeddings of which each sequence is as likely. So the first of one
    random sequence do for every latent: a dense product, which is ten times as fast as the sparse one.
    """
    rng, unit = np.random.default_rng([seed, 1]), unit_ud.astype(np.float32)
    blocks, longest = _padded(weights_su), np.diff(weights_su.indptr).max()
    above_s = np.zeros(len(found_s), int)
    for _ in range(times):
        drawn = unit[rng.permutation(len(unit))[:longest]]
        for some, dense in blocks:
            sums = dense @ drawn[: dense.shape[1]]
            above_s[some] += np.einsum("sd,sd->s", sums, sums) >= found_s[some] * (1 - TIE)
    return (1 + above_s) / (1 + times)


def _padded(weights_su: scipy.sparse.csr_array) -> list[tuple[np.ndarray, np.ndarray]]:
    """(latents, their weights (latents, units of the longest) float32, zeros behind), longest first."""
    n_s, starts = np.diff(weights_su.indptr), weights_su.indptr[:-1]
    position = np.arange(weights_su.nnz) - np.repeat(starts, n_s)
    packed = scipy.sparse.csr_array((weights_su.data, position, weights_su.indptr), weights_su.shape)
    order = np.argsort(-n_s, kind="stable")
    blocks = [order[first : first + BLOCK] for first in range(0, len(order), BLOCK)]
    return [(some, packed[some, : n_s[some[0]]].toarray().astype(np.float32)) for some in blocks]
