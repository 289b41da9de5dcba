"""Which latents differ between two groups of images: compared within strata, and tested by exchanging the
labels of whole clusters."""

from math import ceil
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
import scipy.stats

from saev.errors import SaevError
from saev.features import Codes
from saev.probing.groups import LEVEL, Groups, Parts, centred
from saev.statistics import FEWEST_CLUSTERS, discoveries

ENOUGH = 10
"""A latent that so many exchanges have matched is tried no further."""


class Contrast(NamedTuple):
    """Of each latent, (s,) each; what was not measured is NaN.

    A latent is tested if it is not the same on all that is compared, within strata.
    """

    effect: np.ndarray
    """Mean code in b - in a: of clusters, within blocks, averaged with weights n_a n_b / (n_a + n_b)."""
    low: np.ndarray
    """95 % interval of the effect over clusters; none with fewer than FEWEST_CLUSTERS of them, or where the
    latent fires in fewer parts. With groups of like sizes it holds what it promises; with 10 clusters against
    90 and a latent that fires in a fifth of them it holds 4 times of 5, as codes are skewed."""
    high: np.ndarray
    standardised: np.ndarray
    """Effect / standard deviation of clusters within strata and groups (Cohen's d)."""
    larger: np.ndarray
    """Probability that of two clusters of a stratum, one of each group, that of b has the larger code, where
    ties count half (Mann & Whitney), averaged with weights n_a n_b / (n_a + n_b + 1) (van Elteren)."""
    p: np.ndarray
    """Of a difference as large or larger, either way, if the labels said nothing."""
    q: np.ndarray
    """The smallest false discovery rate over the latents at which the difference is still claimed."""
    p_best: np.ndarray
    """p corrected for the choice among all latents: of the largest difference of any."""
    fires_a: np.ndarray
    """Share of the images of a on which it fires."""
    fires_b: np.ndarray

    def rows(self) -> list[dict[str, Any]]:
        """A flat record of each latent that was tested, by q and then by how large the effect is."""
        tested = np.flatnonzero(~np.isnan(self.p))
        order = tested[np.lexsort((-np.abs(self.effect[tested]), self.q[tested]))]
        columns = [[None if value != value else value for value in of[order].tolist()] for of in self]
        return [
            {"latent": latent, **dict(zip(self._fields, of, strict=True))}
            for latent, *of in zip(order.tolist(), *columns, strict=True)
        ]


def contrast(codes: Codes, groups: Groups, *, times: int = 1000, seed: int = 0) -> Contrast:
    """Compare the codes of whole images (`Codes.pooled`) of two groups.

    The test exchanges labels within blocks: between clusters, or, of a pair, between its two parts. It is
    exact where the labels are as if drawn by lot. So groups of unlike sizes may be told apart by a latent's
    spread though its means are the same, and pairs by having more images of one group. Its statistic is the
    effect over its standard deviation under all exchanges, by which latents can be compared.

    Args:
        times: exchanges of labels for every latent; those that few of them match get more, until q can tell.

    Raises:
        SaevError: the codes are not those of the images of the groups.
    """
    if codes.csr.shape[0] != len(groups.group_i):
        raise SaevError(
            f"contrast: asks for the codes of whole images, {len(groups.group_i):,} of them, got {codes!r}"
        )
    parts, s = groups.parts, codes.d_sae
    x_ns = (parts.mean_ni @ codes.csr).tocsc()
    described = [_described(x_ns[:, some].toarray(), parts) for some in parts.steps(s)]
    effect, low, high, standardised, larger, spread = np.concatenate(described, axis=1)
    if len(np.unique(groups.cluster_i[groups.images])) < FEWEST_CLUSTERS:
        low, high = np.full((2, s), np.nan)
    p, q, p_best = np.full((3, s), np.nan)
    live = np.flatnonzero(spread)
    if len(live):
        x_sn = scipy.sparse.diags_array(1 / spread[live]) @ x_ns[:, live].T.tocsr()
        p[live], p_best[live] = _by_exchange(x_sn, parts, times, np.random.default_rng(seed))
        q[live] = discoveries(p[live].tolist())
    fires = [
        np.bincount(of.indices, minlength=s) / of.shape[0]
        for of in (codes.csr[groups.images & (groups.group_i == i)] for i in (0, 1))
    ]
    return Contrast(effect, low, high, standardised, larger, p, q, p_best, *fires)


def _described(x_ns: np.ndarray, parts: Parts) -> np.ndarray:
    """(6, s): effect, low, high, standardised, larger, and the standard deviation of sum_n z x over all
    exchanges of labels, 0 where x is the same in each block.

    With z the label less its mean in the block, effect = sum_n z x / sum_n z^2: least squares with a constant
    for each block.
    """
    z_n, size_n = parts.z_n, np.bincount(parts.block_n)[parts.block_n]
    within_ns = centred(x_ns, parts.block_n)
    effect = z_n @ within_ns / (z_n @ z_n)
    # n_a n_b / n^2 is the mean of z^2 in a block, and labels are exchanged without replacement.
    share_n = np.bincount(parts.block_n, z_n**2)[parts.block_n] / (size_n - 1)
    variance, of_all = share_n @ within_ns**2, share_n @ x_ns**2
    spread = np.sqrt(np.where(variance > 1e-12 * of_all, variance, 0))  # all but 0 is rounding
    low, high = _interval(within_ns, effect, parts)
    rare = (x_ns > 0).sum(0) < FEWEST_CLUSTERS
    low[rare] = high[rare] = np.nan
    label_n1 = centred(parts.b_n[:, None], parts.stratum_n)
    rest_ns = centred(x_ns, parts.stratum_n) - label_n1 * effect
    deviation = np.sqrt((rest_ns**2).sum(0) / (len(z_n) - parts.stratum_n.max() - 2))
    standardised = np.divide(effect, deviation, out=np.full(len(effect), np.nan), where=spread > 0)
    return np.stack([effect, low, high, standardised, _larger(x_ns, parts), spread])


def _interval(within_ns: np.ndarray, effect: np.ndarray, parts: Parts) -> tuple[np.ndarray, np.ndarray]:
    """(s,) low and high: effect -+ t error, with error^2 = sum_n g e^2 / (sum_n z^2)^2 of the residuals e,
    g = z^2 / (1 - h) of their leverages h (HC2), and the degrees of freedom of Bell & McCaffrey (2002).

    In one stratum the error is Welch's, of pairs it is that of their differences: the two residuals of a pair
    are each other's mirror image, and 1 - h is half of what it is for one of two that are independent.
    """
    z_n, block_n = parts.z_n, parts.block_n
    total, size_k = z_n @ z_n, np.bincount(block_n)
    h_n = 1 / size_k[block_n] + z_n**2 / total
    if h_n.max() > 1 - 1e-9:  # one cluster against all others tells nothing of its group's spread
        return np.full_like(effect, np.nan), np.full_like(effect, np.nan)
    g_n = z_n**2 / (1 - h_n)
    error = np.sqrt(g_n @ (within_ns - z_n[:, None] * effect) ** 2) / total
    # The trace of (G M)^2, of which M = 1 - (1 / n within blocks) - z z' / total makes the residuals.
    squares = g_n**2 @ (1 - 2 * h_n) + (g_n @ z_n**2 / total) ** 2
    for_block = np.bincount(block_n, g_n) ** 2 / size_k + 2 * np.bincount(block_n, g_n * z_n) ** 2 / total
    freedom = total**2 / (squares + (for_block / size_k).sum())
    reach = scipy.stats.t.ppf(0.975, freedom) * error
    return effect - reach, effect + reach


def _larger(x_ns: np.ndarray, parts: Parts) -> np.ndarray:
    """(s,) sum_h U / (n + 1) / sum_h n_a n_b / (n + 1) over strata h, of Mann and Whitney's U."""
    above, possible = np.zeros(x_ns.shape[1]), 0.0
    for h in range(parts.stratum_n.max() + 1):
        mine = parts.stratum_n == h
        b_n, n = parts.b_n[mine] > 0, mine.sum()
        n_b = b_n.sum()
        ranks_b = scipy.stats.rankdata(x_ns[mine], axis=0)[b_n].sum(0)
        above += (ranks_b - n_b * (n_b + 1) / 2) / (n + 1)
        possible += n_b * (n - n_b) / (n + 1)
    return above / possible


def _by_exchange(
    x_sn: scipy.sparse.csr_array, parts: Parts, times: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(s,) p, and p of the largest of all latents (max-T, Westfall & Young 1993), of |sum_n z x| where x has
    a standard deviation of 1 over all exchanges.

    With many latents no q is small unless p is far smaller, so latents that fewer than ENOUGH exchanges
    matched get ten times as many, and so on (Besag & Clifford 1991).
    """
    s = x_sn.shape[0]
    found = np.abs(x_sn @ parts.z_n) * (1 - 1e-9)  # an exchange that matches it does so up to rounding
    matched, best_r = _exchanged(x_sn, found, parts, times, rng)
    p_best = (1 + times - np.searchsorted(np.sort(best_r), found)) / (1 + times)
    p = (1 + matched) / (1 + times)
    left = np.flatnonzero(matched < ENOUGH)
    # Until one alone can be claimed, or all that are left are claimed already.
    while times < s / LEVEL and 0 < len(left) * LEVEL < s * ENOUGH / (1 + times):
        more = min(9 * times, ceil(s / LEVEL) - times)
        matched[left] += _exchanged(x_sn[left], found[left], parts, more, rng)[0]
        times += more
        p[left] = (1 + matched[left]) / (1 + times)
        left = left[matched[left] < ENOUGH]
    return p, p_best


def _exchanged(
    x_sn: scipy.sparse.csr_array, found: np.ndarray, parts: Parts, times: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """How many of so many exchanges match each latent, (s,), and the largest value in each exchange, (r,)."""
    matched, best_r = np.zeros(len(found), int), np.zeros(times)
    ends = np.cumsum(np.bincount(parts.block_n)).tolist()
    for some in parts.steps(times):
        z_rn = np.tile(parts.z_n, (some.stop - some.start, 1))
        for start, end in zip([0, *ends], ends, strict=False):
            rng.permuted(z_rn[:, start:end], axis=1, out=z_rn[:, start:end])
        z_nr = np.ascontiguousarray(z_rn.T)
        for latents in parts.steps(len(found)):
            value_sr = np.abs(x_sn[latents] @ z_nr)
            matched[latents] += (value_sr >= found[latents, None]).sum(1)
            best_r[some] = np.maximum(best_r[some], value_sr.max(0))
    return matched, best_r
