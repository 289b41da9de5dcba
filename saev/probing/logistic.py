"""Logistic probes of one latent each: how well every latent alone predicts every concept.

The probe of latent s for concept c is p(u) = sigmoid(w f_s(u) + b), with w and b that minimise
mean_u cross-entropy(p(u), truth(u, c)) + ridge / 2 w^2 over the units of which c is known. The zero codes of
a latent share one logit, b, so they count as two numbers, and only its non-zero codes are read.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy.sparse

from saev.errors import SaevError
from saev.features import Codes
from saev.probing.concepts import Concepts

BLOCK = 2**15
"""Non-zero codes read at once, if no latent has more: what a processor's cache holds."""
MOST_STEPS = 200
"""Most pairs take five; what is left after these, as codes that differ by 1e-6 and separate a concept, stays
where it is."""
CONVERGED = 1e-12
"""A pair is done where the next step promises less than this share of what is left to minimise."""
FURTHEST = 8.0
"""Of a step, in logits, and as far again as the probe has come: beyond that the quadratic model means little.
Without the second part codes that saturate by hundreds of logits would take hundreds of steps."""
DAMPING, UNDAMPED, HOPELESS = 1e-3, 1e-10, 1e10
"""Levenberg and Marquardt's: at first, at least, and where no descent is to be had."""


class Logistic(NamedTuple):
    """Probes of all pairs. A latent that is silent has w = 0, and b for the prevalence."""

    w_cs: np.ndarray
    b_cs: np.ndarray
    loss_cs: np.ndarray
    """Mean cross-entropy in nats, without the ridge; never above that of the prevalence alone."""


def logistic_probes(codes: Codes, concepts: Concepts, ridge: float = 1e-6) -> Logistic:
    """Fit the probes of all pairs, in float64.

    A concept that all or none of its units show has w = 0, and a b that is as sure as float64 can be.

    Raises:
        SaevError: the ridge is not positive; without it separable concepts have no finite probe.
    """
    if not ridge > 0:
        raise SaevError(f"ridge={ridge} must be > 0")
    csc = codes.csr.tocsc()
    first = np.unique(np.searchsorted(csc.indptr, np.arange(0, csc.nnz, BLOCK), "right") - 1)
    blocks = list(pairwise([*first.tolist(), codes.d_sae]))
    shape = (len(concepts.names), codes.d_sae)
    probes = Logistic(np.zeros(shape), np.zeros(shape), np.zeros(shape))

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # numpy lets other threads run
        for c in range(len(concepts.names)):
            units, shown = concepts.of(c)
            sign_u = np.zeros(len(concepts.known))
            sign_u[units] = np.where(shown, 1.0, -1.0)
            probes.b_cs[c], probes.loss_cs[c] = _alone(shown)
            if len(np.unique(shown)) < 2:
                continue
            for latents, *fitted in pool.map(partial(_block, csc, sign_u, ridge), blocks):
                for of_all, of_these in zip(probes, fitted, strict=True):
                    of_all[c, latents] = of_these
    return probes


def cross_entropy(probes: Logistic, latent_c: np.ndarray, codes: Codes, concepts: Concepts) -> np.ndarray:
    """(c,) mean cross-entropy of one probe for each concept, on any units; nan where nothing is known.

    Args:
        latent_c: the latent that each concept's probe reads.
    """
    losses = []
    for c, s in enumerate(latent_c):
        units, shown = concepts.of(c)
        logit_m = probes.w_cs[c, s] * codes.column(s)[units].astype(float) + probes.b_cs[c, s]
        losses.append(np.logaddexp(0, np.where(shown, -logit_m, logit_m)).mean() if len(units) else np.nan)
    return np.array(losses)


def probe_r(losses: np.ndarray, concepts: Concepts) -> np.ndarray:
    """1 - loss / loss of the prevalence alone, the share of what is to be known of a concept that its probe
    knows; 0 where there is nothing to be known.

    Args:
        losses: (c,) or (c, s), on the units of `concepts`.
    """
    alone_c = np.array([_alone(concepts.of(c)[1])[1] for c in range(len(concepts.names))])
    alone = alone_c.reshape(-1, *[1] * (losses.ndim - 1))
    ratio = np.divide(losses, alone, out=np.ones(losses.shape), where=alone > 1e-12)
    return 1 - ratio


def _alone(shown: np.ndarray) -> tuple[float, float]:
    """(logit, mean cross-entropy) of the prevalence, kept from 0 and 1 by what float64 tells from 1; 1/2 of
    nothing."""
    eps = np.finfo(float).eps
    p = np.clip(shown.mean(), eps, 1 - eps) if len(shown) else 0.5
    return np.log(p) - np.log1p(-p), -p * np.log(p) - (1 - p) * np.log1p(-p)


class _Pairs(NamedTuple):
    """Latents p with one concept, and their non-zero codes m, one latent after the other."""

    sign_m: np.ndarray
    """1 where the unit shows the concept, -1 where it does not."""
    signed_m: np.ndarray
    """sign * code / the latent's scale."""
    size_p: np.ndarray
    """How many non-zero codes."""
    zeros_2p: np.ndarray
    """How many zero codes on units that do not show the concept, and on units that do."""
    ridge_p: np.ndarray
    """For a weight of codes in units of the scale."""

    def of(self, those_p: np.ndarray) -> "_Pairs":
        codes_m = np.repeat(those_p, self.size_p)
        return _Pairs(
            self.sign_m[codes_m],
            self.signed_m[codes_m],
            self.size_p[those_p],
            self.zeros_2p[:, those_p],
            self.ridge_p[those_p],
        )


def _block(
    csc: scipy.sparse.csc_array, sign_u: np.ndarray, ridge: float, block: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of the latents in a block that fire where the concept is known: which they are, w, b and loss."""
    first, last = block
    codes_m = slice(csc.indptr[first], csc.indptr[last])
    sign_m, code_m = sign_u[csc.indices[codes_m]], csc.data[codes_m].astype(float)
    latent_m = np.repeat(np.arange(last - first), np.diff(csc.indptr[first : last + 1]))
    known = sign_m != 0
    if not known.all():
        sign_m, code_m, latent_m = sign_m[known], code_m[known], latent_m[known]
    size = np.bincount(latent_m, minlength=last - first)
    there = np.flatnonzero(size)
    size_p, sums_p = size[there], np.bincount(latent_m, sign_m)[there]
    # Scaled to a root mean square of 1 codes of 1e-4 and of 1e4 take the same steps.
    scale_p = np.sqrt(np.bincount(latent_m, code_m**2)[there] / size_p)
    members = np.array([[(sign_u < 0).sum()], [(sign_u > 0).sum()]])
    fires = np.stack([size_p - sums_p, size_p + sums_p]) / 2
    signed_m = sign_m * code_m / np.repeat(scale_p, size_p)
    pairs = _Pairs(sign_m, signed_m, size_p, members - fires, ridge / scale_p**2)
    w, b, loss = _fitted(pairs)
    return there + first, w / scale_p, b, loss


def _fitted(pairs: _Pairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(w, b, loss) of each pair, by Newton's method with damping after Levenberg and Marquardt."""
    at_2p, point_6p = _start(pairs)
    damping_p = np.full(len(pairs.size_p), DAMPING)
    left = np.arange(len(pairs.size_p))  # that are not done
    mine = pairs
    for _ in range(MOST_STEPS):
        point = point_6p[:, left]
        promised = -(point[1:3] * _step(point, UNDAMPED)).sum(0) / 2
        going = (promised > CONVERGED * point[0]) & (damping_p[left] < HOPELESS)
        if not going.all():
            left, mine, point = left[going], mine.of(going), point[:, going]
        if not len(left):
            break
        step = _step(point, damping_p[left])
        furthest = FURTHEST + np.abs(at_2p[:, left]).max(0)
        trial = at_2p[:, left] + step * np.minimum(1, furthest / np.maximum(np.abs(step).max(0), furthest))
        found = _evaluated(mine, trial)
        lower = found[0] <= point[0]
        at_2p[:, left[lower]], point_6p[:, left[lower]] = trial[:, lower], found[:, lower]
        damping_p[left] = np.maximum(damping_p[left] * np.where(lower, 0.1, 10), UNDAMPED)
    b, w = at_2p
    return w, b, point_6p[0] - pairs.ridge_p / 2 * w**2


def _start(pairs: _Pairs) -> tuple[np.ndarray, np.ndarray]:
    """The better of two places to start from, (b, w), and what is found there: the prevalence, and the
    solution for a latent whose non-zero codes are all alike, where rare concepts would else be many steps
    away."""
    yes = np.add.reduceat(pairs.sign_m > 0, _first(pairs), dtype=float)
    no = pairs.size_p - yes
    zero_no, zero_yes = pairs.zeros_2p
    alone = np.stack([np.log((yes + zero_yes) / (no + zero_no)), np.zeros(len(yes))])
    b = np.log((zero_yes + 0.5) / (zero_no + 0.5))
    alike = np.stack([b, np.log((yes + 0.5) / (no + 0.5)) - b])
    (at, point), (other, found) = ((start, _evaluated(pairs, start)) for start in (alone, alike))
    lower = found[0] < point[0]
    return np.where(lower, other, at), np.where(lower, found, point)


def _first(pairs: _Pairs) -> np.ndarray:
    """(p,) where the codes of each latent begin."""
    return pairs.size_p.cumsum() - pairs.size_p


def _evaluated(pairs: _Pairs, at_2p: np.ndarray) -> np.ndarray:
    """(6, p) at (b, w): what is minimised, its gradient (b, w) and its Hessian (bb, bw, ww).

    All is a function of the margin, sign * logit: as differences of large sums the tails of separable
    concepts would drown in rounding.
    """
    b, w = at_2p
    sign, signed = pairs.sign_m, pairs.signed_m
    loss, wrong, bend = of_margin(np.repeat(b, pairs.size_p) * sign + np.repeat(w, pairs.size_p) * signed)
    bend_signed = bend * signed
    rows = (loss, -wrong * sign, -wrong * signed, bend, bend_signed * sign, bend_signed * signed)
    first = _first(pairs)
    sums = np.stack([np.add.reduceat(row, first) for row in rows])
    for zeros, side in zip(pairs.zeros_2p, (-1, 1), strict=True):
        loss, wrong, bend = of_margin(side * b)
        sums[[0, 1, 3]] += zeros * np.stack([loss, -side * wrong, bend])
    sums /= pairs.size_p + pairs.zeros_2p.sum(0)
    sums[0] += pairs.ridge_p / 2 * w**2
    sums[2] += pairs.ridge_p * w
    sums[5] += pairs.ridge_p
    return sums


def of_margin(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log(1 + exp(-z)), minus its slope, and its curvature."""
    e = np.exp(-np.abs(z))
    share = 1 / (1 + e)
    return np.log1p(e) + np.maximum(-z, 0), np.maximum(e, z < 0) * share, e * share**2


def _step(point_6p: np.ndarray, damping: np.ndarray | float) -> np.ndarray:
    """(2, p) (b, w): minus the inverse of the Hessian, its diagonal raised by a share, times the gradient."""
    _, g_b, g_w, bb, bw, ww = point_6p
    bb, ww = bb * (1 + damping), ww * (1 + damping)
    determinant = bb * ww - bw**2
    return np.stack([bw * g_w - ww * g_b, bw * g_b - bb * g_w]) / determinant
