"""Means over classes under resamples of images: the same ones for an edit and its control, which pairs
them."""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm, t

from saev.data.sample import NO_CLUSTER
from saev.intervention.measures import Sums
from saev.intervention.trial import Setup
from saev.statistics import FEWEST_CLUSTERS, Estimate, resamples


class Resampling(NamedTuple):
    """How often each image is drawn: once in the first row, and then with its whole cluster."""

    weights_rn: np.ndarray
    clusters: int

    def estimate(self, values_r: np.ndarray) -> Estimate:
        """A figure of all images, the first of `values_r`, with its 95 % interval; no interval of fewer
        clusters than FEWEST_CLUSTERS, and no value where it is not a number."""
        value, again = float(values_r[0]), values_r[1:][np.isfinite(values_r[1:])]
        if not np.isfinite(value):
            return Estimate(None)
        if self.clusters < FEWEST_CLUSTERS or not len(again):
            return Estimate(value)
        return Estimate(value, *np.quantile(again, levels(self.clusters)).tolist())


def levels(g: int) -> tuple[float, float]:
    """The quantiles of resamples of g clusters that bound 95 %: Phi(-+ sqrt(g / (g - 1)) t) with the .975
    quantile t of Student's law of g - 1, the expanded percentile interval (Hesterberg 2015).

    Of 16 clusters, plain percentiles held the truth 92 % of the time; bootstrap-t, which
    `saev.statistics` has for smooth figures, knows no area or crossing.
    """
    low = float(norm.cdf(-np.sqrt(g / (g - 1)) * t.ppf(0.975, g - 1)))
    return low, 1 - low


def resampling(cluster_n: np.ndarray, *, times: int = 1000, seed: int = 0) -> Resampling:
    """Draw clusters with replacement.

    Args:
        cluster_n: the cluster of each image, any integers.
    """
    there, of_n = np.unique(cluster_n, return_inverse=True)
    weights_rg = resamples(len(there), times, seed)
    return Resampling(np.concatenate([np.ones((1, len(of_n))), weights_rg[:, of_n]]), len(there))


def means(sums_cn: Sums, weights_rn: np.ndarray) -> np.ndarray:
    """(r,) the mean over classes of sum_n w part / sum_n w whole, so that a dominant class does not decide.

    A class that a row of weights does not draw is left out of that row; where none is left it is NaN.
    """
    whole_rc = weights_rn @ sums_cn.whole.T
    there_rc = whole_rc > 0
    ratio_rc = np.divide(weights_rn @ sums_cn.part.T, whole_rc, where=there_rc, out=np.zeros(whole_rc.shape))
    classes_r = there_rc.sum(1)
    return np.divide(ratio_rc.sum(1), classes_r, where=classes_r > 0, out=np.full(len(classes_r), np.nan))


def per_cluster(values_mk: np.ndarray, cluster_m: np.ndarray) -> np.ndarray:
    """(g, k) sums over the m things of each cluster, in the order of the clusters' names."""
    names, of_m = np.unique(cluster_m, return_inverse=True)
    sums_gk = np.zeros((len(names), values_mk.shape[1]))
    np.add.at(sums_gk, of_m, values_mk)
    return sums_gk


def clusters_of(setup: Setup) -> np.ndarray:
    """(n,) the cluster of each image of `setup.model`, if it is of one alone; an image of several, or of none
    that is known, is a cluster of its own."""
    cluster_nu = setup.tokens.store.cluster()[setup.model.images].astype(np.int64)
    own_n = NO_CLUSTER + 1 + np.arange(len(cluster_nu))
    if not cluster_nu.shape[1]:
        return own_n
    known_nu = cluster_nu != NO_CLUSTER
    lowest_n = cluster_nu.min(1)  # NO_CLUSTER is the largest there is
    highest_n = np.where(known_nu, cluster_nu, -1).max(1)
    return np.where(lowest_n == highest_n, lowest_n, own_n)
