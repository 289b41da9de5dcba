"""One dictionary against another on the same concepts and clusters: what the difference is, and how sure."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, TypeVar

import numpy as np

from saev.errors import SaevError
from saev.probing.f1 import ratio
from saev.probing.match import CLAIMED, Match
from saev.statistics import Estimate, discoveries, estimate, resample

Verdict = Literal["only here", "only there", "more here", "more there", "alike", "unsettled"]


class Judged(Protocol):
    """What can be compared: a `Match`, a `Coalition`, a `SparseProbe`."""

    @property
    def name(self) -> str:
        """Of the concept."""
        ...

    @property
    def sums_gm(self) -> np.ndarray:
        """(g, 2) of each cluster that it is judged on, what that adds to 2 hits and to fires + members."""
        ...

    @property
    def cluster_g(self) -> np.ndarray:
        """The numbers of these clusters."""
        ...


Side = TypeVar("Side", bound=Judged)


class Difference(NamedTuple):
    """What one dictionary and another reach on a concept."""

    name: str
    here: Match
    there: Match
    f1: Estimate
    """F1 here - F1 there, paired by cluster, with p and q, over the concepts, of no difference."""
    alike: float | None
    """q of "they differ by the margin or more": small, they are equivalent."""

    @property
    def verdict(self) -> Verdict:
        """What can be said at a false discovery rate of CLAIMED: a concept is *only* in one if its latent
        there beats its null, that of the other does not, and the two differ."""
        value, q = self.f1.value, self.f1.q
        if value is not None and q is not None and q <= CLAIMED:
            if value > 0:
                return "only here" if self.here.claimed and not self.there.claimed else "more here"
            return "only there" if self.there.claimed and not self.here.claimed else "more there"
        return "alike" if self.alike is not None and self.alike <= CLAIMED else "unsettled"


def mean_f1(matches: Sequence[Judged], seed: int = 0) -> Estimate:
    """Mean F1 over the concepts, with its interval over clusters."""
    if not matches:
        return Estimate(None)
    sums_gm = np.concatenate([match.sums_gm for match in matches], 1)
    return estimate(sums_gm, _mean, seed=seed, within=(0, 1))


def difference(here: Sequence[Judged], there: Sequence[Judged], seed: int = 0) -> Estimate:
    """Mean over the concepts that both have of F1 - F1, with its interval over clusters, which are resampled
    for both together."""
    pairs = paired(here, there)
    if not pairs:
        return Estimate(None)
    sums_gm = np.concatenate([side.sums_gm for pair in pairs for side in pair], 1)
    return estimate(sums_gm, _difference, seed=seed, within=(-1, 1))


def differences(
    here: Sequence[Match], there: Sequence[Match], *, margin: float = 0.05, seed: int = 0
) -> list[Difference]:
    """The same of each concept.

    Args:
        margin: F1 that differ by less are equivalent.
    """
    pairs = paired(here, there)
    found, p_differ, p_alike = [], [], []
    for one, other in pairs:
        sums_gm = np.concatenate([one.sums_gm, other.sums_gm], 1)
        value, drawn = float(_difference(sums_gm.sum(0)[None])[0]), resample(sums_gm, _difference, seed=seed)
        found.append(
            Estimate(value, *np.clip(drawn.interval(), -1, 1).tolist()) if drawn else Estimate(value)
        )
        two_sided = drawn and min(1.0, 2 * min(drawn.p_at_most(0.0), drawn.p_at_least(0.0)))
        p_differ.append(two_sided)
        p_alike.append(drawn and drawn.p_different(margin))
    q_differ, q_alike = discoveries(p_differ), discoveries(p_alike)
    return [
        Difference(one.name, one, other, of._replace(p=p, q=q), alike)
        for (one, other), of, p, q, alike in zip(pairs, found, p_differ, q_differ, q_alike, strict=True)
    ]


def paired(here: Sequence[Side], there: Sequence[Side]) -> list[tuple[Side, Side]]:
    """What both sides have of the concepts that both have.

    Raises:
        SaevError: they were judged on other clusters.
    """
    other = {match.name: match for match in there}
    pairs = [(match, other[match.name]) for match in here if match.name in other]
    for one, its in pairs:
        if not np.array_equal(one.cluster_g, its.cluster_g):
            n, m = len(one.cluster_g), len(its.cluster_g)
            raise SaevError(
                f"{one.name} was judged on {n} clusters here and {m} there, not on the same ones; "
                "compare what was recorded of the same images"
            )
    return pairs


def _mean(totals_rm: np.ndarray) -> np.ndarray:
    """Of (r, 2 c) totals, those of one concept after the other."""
    return ratio(totals_rm.reshape(len(totals_rm), -1, 2)).mean(1)


def _difference(totals_rm: np.ndarray) -> np.ndarray:
    """Of (r, 4 c) totals, of each concept those of one side and of the other."""
    here_rc, there_rc = np.moveaxis(ratio(totals_rm.reshape(len(totals_rm), -1, 2, 2)), 2, 0)
    return (here_rc - there_rc).mean(1)
