"""How the effect of an edit grows with its strength: one number for all strengths, held against the control.

A curve of one arm is its target and its other change at each strength a, means over classes, under each
resample r of images; row 0 is of the images as they are.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

from saev.intervention.resampling import Resampling

HALF, MOST = 0.5, 0.8
"""Of the target: at `alpha_crit`, and where it is asked what else has changed."""
SELDOM = 0.025
"""Share of resamples that may never reach MOST of the target where an interval is given: beyond that one of
its ends is nowhere."""


class Curve(NamedTuple):
    strengths: tuple[float, ...]
    target_ra: np.ndarray
    other_ra: np.ndarray
    """0 where there are no others."""
    collateral_ra: np.ndarray
    """That in images without the target; 0 where there are none."""

    def selectivity(self) -> np.ndarray:
        return selectivity(np.stack([self.target_ra, self.other_ra], -1))

    def area(self) -> np.ndarray:
        return response_area(self.strengths, self.target_ra)


def selectivity(points: Sequence | np.ndarray) -> np.ndarray:
    """Area under target change as a function of other change, both in [0, 1].

    The curve runs from (0, 0) through the points in order of other change, and on to (1, 1), as an ROC curve
    does: 1 for an edit that changes the target alone, 0.5 for one that changes target and others alike. But
    0.5 is not what an edit of no meaning has: random edits reach 0.7 where a class is easily lost, and almost
    1 where the others are not edited. Its null is the area of the control.

    Args:
        points: (..., a, 2) target and other change.
    """
    target, other = np.moveaxis(np.asarray(points, float), -1, 0)
    order = np.lexsort((target, other), axis=-1)
    ends = (*target.shape[:-1], 1)
    y, x = (
        np.concatenate([np.zeros(ends), np.take_along_axis(of, order, -1), np.ones(ends)], -1)
        for of in (target, other)
    )
    return np.asarray(np.trapezoid(y, x, axis=-1))


def when_reached(share: float, target_ra: np.ndarray, other_ra: np.ndarray) -> np.ndarray:
    """(r,) another change where the target's first reaches a share above 0, linearly between strengths from
    (0, 0) on; infinite where it never does."""
    nothing, each = np.zeros((len(target_ra), 1)), np.arange(len(target_ra))
    target, other = (np.concatenate([nothing, of_ra], 1) for of_ra in (target_ra, other_ra))
    reached = target >= share
    first = np.maximum(reached.argmax(1), 1)
    (low, other_low), (high, other_high) = ((target[each, at], other[each, at]) for at in (first - 1, first))
    way = np.divide(share - low, high - low, where=reached.any(1), out=np.full(len(each), np.inf))
    with np.errstate(invalid="ignore"):
        return np.where(reached.any(1), other_low + way * (other_high - other_low), np.inf)


def response_area(strengths: Sequence[float], effect_ra: np.ndarray) -> np.ndarray:
    """(...,) mean effect between the smallest and the largest |strength|: the area under the effect as a
    function of |strength|, linear between strengths, over their range; of one |strength| its effect.

    Strengths a and -a count as one, with their mean effect.

    Args:
        effect_ra: (..., a).
    """
    size, of_a = np.unique(np.abs(strengths), return_inverse=True)
    mean_as = (of_a[:, None] == np.arange(len(size))) / np.bincount(of_a)
    effect = effect_ra @ mean_as
    if len(size) == 1:
        return effect[..., 0]
    return np.trapezoid(effect, size, axis=-1) / (size[-1] - size[0])


def alpha_crit(strengths: Sequence[float], target_a: Sequence[float]) -> float | None:
    """The smallest |strength| at which half of the target's units have changed, linear between strengths of
    one sign; None where that is never. At the smallest strength of all it may have been passed before."""
    found = []
    for sign in (-1, 1):
        curve = sorted((abs(s), t) for s, t in zip(strengths, target_a, strict=True) if s * sign >= 0)
        i = next((i for i, (_, changed) in enumerate(curve) if changed >= HALF), None)
        if i is not None:
            sizes, changed = zip(*curve[max(i - 1, 0) : i + 1], strict=True)
            found.append(float(np.interp(HALF, changed, sizes)))
    return min(found, default=None)


def monotonicity(strengths: Sequence[float], target_a: Sequence[float]) -> float | None:
    """Spearman's correlation of |strength| and target change; None if one of them is constant."""
    size = np.abs(strengths)
    if len(set(size)) < 2 or len(set(target_a)) < 2:
        return None
    return float(spearmanr(size, target_a).statistic)


def at_most_of_target(curve: Curve, drawn: Resampling) -> dict:
    """Other change and collateral where MOST of the target has changed, None where that is never; no interval
    where resamples too often say never."""
    found = {}
    for name in ("other", "collateral"):
        at_r = when_reached(MOST, curve.target_ra, getattr(curve, f"{name}_ra"))
        of = drawn.estimate(at_r)
        known = of.low is not None and (~np.isfinite(at_r)).mean() <= SELDOM
        found |= {f"{name}_at_80": of.value, f"{name}_at_80_interval": [of.low, of.high] if known else None}
    return found


def alone(curve: Curve, drawn: Resampling) -> dict:
    """The figures of one arm; none of an arm whose target is nowhere."""
    target_a = curve.target_ra[0]
    if not np.isfinite(target_a).all():
        return {}
    return {
        "selectivity": float(curve.selectivity()[0]),
        **at_most_of_target(curve, drawn),
        "area": float(curve.area()[0]),
        "alpha_crit": alpha_crit(curve.strengths, target_a),
        "monotonicity": monotonicity(curve.strengths, target_a),
    }


def against(curve: Curve, control: Curve, drawn: Resampling) -> dict:
    """The areas of an arm minus those of its control, both on the same images, classes and strengths."""
    found: dict = {"selectivity_null": float(control.selectivity()[0])}
    for name, area in (("selectivity", Curve.selectivity), ("area", Curve.area)):
        effect = drawn.estimate(area(curve) - area(control))
        found[f"{name}_effect"] = effect.value
        found[f"{name}_effect_interval"] = None if effect.low is None else [effect.low, effect.high]
    return found
