"""Numbers with evidence: a value, its interval, what it would be without the effect, and how often chance
does as well."""

from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """The one way in which a number with evidence leaves saev. What was not measured is None."""

    value: float | None
    low: float | None = None
    """95 % interval over resampled clusters."""
    high: float | None = None
    null: float | None = None
    """Mean of the same figure where there is no effect."""
    p: float | None = None
    """Probability of such a value, or a better one, without an effect."""
    q: float | None = None
    """The smallest false discovery rate at which it is still claimed."""


def resamples(n: int, times: int = 1000, seed: int = 0) -> np.ndarray:
    """Bootstrap weights (times, n): how often each of n independent things is drawn in each resample."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=times)


def mean_of_ratios(part_cn: np.ndarray, whole_cn: np.ndarray, weights_rn: np.ndarray) -> Estimate:
    """The mean over classes of sum_n part / sum_n whole, with the 95 % percentile interval of a bootstrap
    over n.

    A class that is nowhere (whole = 0) is left out; so is, of a resample, a class that it lacks. Where no
    class is left the value is None.

    Args:
        part_cn, whole_cn: counts of each class in each independent thing (an image).
        weights_rn: of `resamples`.
    """
    there = whole_cn.sum(1) > 0
    part_cn, whole_cn = part_cn[there], whole_cn[there]
    if not len(part_cn):
        return Estimate(None)
    total_rc = weights_rn @ whole_cn.T
    ratio_rc = np.divide(weights_rn @ part_cn.T, total_rc, where=total_rc > 0, out=np.zeros(total_rc.shape))
    classes_r = (total_rc > 0).sum(1)
    means = ratio_rc[classes_r > 0].sum(1) / classes_r[classes_r > 0]
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float((part_cn.sum(1) / whole_cn.sum(1)).mean()), float(low), float(high))


def spread_over_classes(labels_n: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Up to n of the things, drawn by seed and spread over their classes: one of each class, then a second of
    each, ...

    So any beginning of the answer is spread alike, and a rare class is there where "the first n" of a sorted
    folder would be of a few classes.

    Args:
        labels_n: the class of each thing; any integers.

    Returns:
        Indices into `labels_n`, in the order of the draw.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels_n))
    _, class_of, size = np.unique(labels_n[order], return_inverse=True, return_counts=True)
    turn = np.empty(len(order), np.int64)  # how many of its class were drawn before it
    first = np.repeat(size.cumsum() - size, size)
    turn[np.argsort(class_of, kind="stable")] = np.arange(len(order)) - first
    return order[np.argsort(turn, kind="stable")][:n]
