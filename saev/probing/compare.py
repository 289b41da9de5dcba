"""One dictionary against another on the same concepts and clusters: what the difference is, and how sure."""

from collections.abc import Sequence

import numpy as np

from saev.probing.match import Match, ratio
from saev.statistics import Estimate, estimate


def mean_f1(matches: Sequence[Match], seed: int = 0) -> Estimate:
    """Mean F1 over the concepts, with its interval over clusters."""
    if not matches:
        return Estimate(None)
    sums_gm = np.concatenate([match.sums_gm for match in matches], 1)
    return estimate(sums_gm, _mean, seed=seed, within=(0, 1))


def difference(mine: Sequence[Match], theirs: Sequence[Match], seed: int = 0) -> Estimate:
    """Mean over the concepts that both have of F1 - F1, with its interval over clusters, which are resampled
    for both together."""
    pairs = [(m, t) for m in mine for t in theirs if m.name == t.name]
    if not pairs:
        return Estimate(None)
    sums_gm = np.concatenate([side.sums_gm for pair in pairs for side in pair], 1)
    return estimate(sums_gm, _difference, seed=seed, within=(-1, 1))


def _mean(totals_rm: np.ndarray) -> np.ndarray:
    """Of (r, 2 c) totals, those of one concept after the other."""
    return np.mean([ratio(totals_rm[:, i : i + 2]) for i in range(0, totals_rm.shape[1], 2)], 0)


def _difference(totals_rm: np.ndarray) -> np.ndarray:
    """Of (r, 4 c) totals, of each concept those of one side and of the other."""
    mine = [totals_rm[:, i : i + 2] for i in range(0, totals_rm.shape[1], 4)]
    theirs = [totals_rm[:, i : i + 2] for i in range(2, totals_rm.shape[1], 4)]
    return np.mean([ratio(m) - ratio(t) for m, t in zip(mine, theirs, strict=True)], 0)
