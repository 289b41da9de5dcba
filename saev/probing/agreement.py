"""Whether a latent answers to its concept: read on scenes that differ in that concept and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import scipy.sparse

from saev.data.attributes import CONCEPTS, shown
from saev.data.counterfactuals import Pair
from saev.probing.match import Match
from saev.probing.pairs import Seen
from saev.statistics import Estimate, by_chance, discoveries, estimate

OTHERS = 99
"""Latents that a chosen one is held against: the smallest p is 1 %."""


class Chosen(NamedTuple):
    """A concept and what stands for it, as in a Match."""

    name: str
    latent: int
    threshold: float


@dataclass(frozen=True)
class Agreement:
    """What the latent of a concept does where exactly that concept is taken out of an image.

    With f the mean code in the region, summed over pairs,

        drop      sum f(present) - f(absent)  / sum f(present)      1: it switches off, 0: nothing happens
        control   sum f(present) - f(control) / sum f(present)
        outside   sum of the mean |change| of patches without a pixel of the region / sum f(present)

    and with "yes" where the code exceeds the threshold on at least half of the region's patches,

        agreement  share of the pairs with yes(present) and not yes(absent)
        kept       share with yes(control), of those with yes(present)

    Both crops are drawn alike, so that `control` is 0 in the mean whatever the latent: it says how far chance
    moves `drop`. What a latent of something else in the crop fails is `kept`.

    Intervals are over photographs. The null of `agreement` are the OTHERS live latents that exceed the same
    threshold on most nearly as many patches of all scenes; p is the share that does as well. A share of
    nothing is None.
    """

    name: str
    latent: int
    threshold: float
    pairs: int
    photographs: int
    drop: Estimate
    control: Estimate
    outside: Estimate
    kept: Estimate
    agreement: Estimate

    def row(self) -> dict:
        """A flat record."""
        told = {key: getattr(self, key) for key in ("name", "latent", "threshold", "pairs", "photographs")}
        for key in ("drop", "control", "outside", "kept", "agreement"):
            of: Estimate = getattr(self, key)
            told |= {key: of.value, f"{key}_low": of.low, f"{key}_high": of.high}
        return told | {key: getattr(self.agreement, key) for key in ("null", "p", "q")}


def agreements(seen: Seen, choices: Sequence[Match | Chosen], *, seed: int = 0) -> list[Agreement]:
    """Of each concept that some pair takes out, what the latent chosen for it does; q is over these concepts.

    A family is taken out where its last member is: its pairs are those of its members, less those of regions
    that still show another.
    """
    found = []
    for choice in choices:
        mine = np.flatnonzero([_takes_out(of, choice.name) for of in seen.pairs])
        if len(mine):
            found.append(_agreement(seen, mine, choice, seed))
    q = discoveries([of.agreement.p for of in found])
    return [replace(of, agreement=of.agreement._replace(q=value)) for of, value in zip(found, q, strict=True)]


def _takes_out(of: Pair, concept: str) -> bool:
    """Whether the region shows the concept in `present`, and for certain not in `absent`."""
    regions = (scene.regions[of.region] for scene in (of.present, of.absent))
    told = [shown(region.attributes, region.photograph)[CONCEPTS.index(concept)] for region in regions]
    return told == [1, 0]


def _agreement(seen: Seen, mine: np.ndarray, of: Match | Chosen, seed: int) -> Agreement:
    """The figures of the pairs that are `mine`, numbers (m,)."""
    inside_mt, outside_mt = seen.inside_mt[mine], seen.outside_mt[mine]
    latents = [of.latent, *_alike(seen.csr, of.latent, of.threshold)]
    code_mktn = _codes(seen, mine, latents)
    code_mkt = code_mktn[..., 0].astype(float)
    present, absent, control = _mean(code_mkt, inside_mt[:, None]).T
    spilt = _mean(np.abs(code_mkt[:, 0] - code_mkt[:, 1]), outside_mt)
    yes, without, again = _yes(code_mktn, inside_mt, of.threshold).swapaxes(0, 1)
    agrees_mn = yes & ~without
    toggled = [seen.pairs[m].present.regions[seen.pairs[m].region] for m in mine]
    names, cluster = np.unique([region.photograph for region in toggled], return_inverse=True)

    def share(part_m: np.ndarray, whole_m: np.ndarray, low: float, high: float) -> Estimate:
        sums = [np.bincount(cluster, of_pair, len(names)) for of_pair in (part_m, whole_m)]
        return estimate(np.stack(sums, 1), _ratio, seed=seed, within=(low, high))

    agreed = share(agrees_mn[:, 0], np.ones(len(mine)), 0, 1)
    if len(latents) > 1:
        null_n = agrees_mn[:, 1:].mean(0)
        agreed = agreed._replace(null=float(null_n.mean()), p=by_chance(agrees_mn[:, 0].mean(), null_n))
    return Agreement(
        *(of.name, of.latent, of.threshold, len(mine), len(names)),
        drop=share(present - absent, present, -np.inf, 1),
        control=share(present - control, present, -np.inf, 1),
        outside=share(spilt, present, 0, np.inf),
        kept=share((yes & again)[:, 0], yes[:, 0], 0, 1),
        agreement=agreed,
    )


def _alike(csr: scipy.sparse.csr_array, latent: int, threshold: float) -> np.ndarray:
    """The OTHERS live latents that exceed the threshold on most nearly as many units."""
    n_s = np.bincount(csr.indices[csr.data > threshold], minlength=csr.shape[1])
    others = np.flatnonzero(n_s)
    others = others[others != latent]
    return others[np.argsort(np.abs(n_s[others] - n_s[latent]), kind="stable")[:OTHERS]]


def _codes(seen: Seen, mine: np.ndarray, latents: Sequence[int]) -> np.ndarray:
    """(m, k, t, n) codes of a few latents in some pairs."""
    t = seen.inside_mt.shape[1]
    units = (mine[:, None] * 3 * t + np.arange(3 * t)).ravel()
    return seen.csr[units][:, latents].toarray().reshape(len(mine), 3, t, -1)


def _mean(value_t: np.ndarray, among_t: np.ndarray) -> np.ndarray:
    """Over the last axis, where `among`; 0 where that is nowhere."""
    return (value_t * among_t).sum(-1) / np.maximum(among_t.sum(-1), 1)


def _yes(code_mktn: np.ndarray, inside_mt: np.ndarray, threshold: float) -> np.ndarray:
    """(m, k, n) bool: whether each latent exceeds the threshold on at least half of the region's patches."""
    # Not on any, which is what their largest code says: on the embedded study's layer 4 the chosen latents
    # then say yes of 42 % of the regions without (half: 4 %), and the null agrees with 10 % of pairs (1 %).
    fires_mkn = ((code_mktn > threshold) & inside_mt[:, None, :, None]).sum(2)
    return 2 * fires_mkn >= inside_mt.sum(1)[:, None, None]


def _ratio(totals_rm: np.ndarray) -> np.ndarray:
    """Not a number where there is nothing to be a share of."""
    part, whole = totals_rm.T
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
