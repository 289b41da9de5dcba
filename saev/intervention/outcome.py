"""From outcomes to the figures that an experiment is reported by."""

from collections.abc import Iterable
from itertools import groupby

import numpy as np

from saev.intervention.experiment import Counts, Outcome
from saev.statistics import Estimate, mean_of_ratios, resamples


def summarise(outcomes: Iterable[Outcome], *, seed: int = 0) -> dict[str, list[dict]]:
    """Target change and other change of every method and place, over strengths and in one number.

        target change = changed units of the class / units of the class
        other change  = changed labelled units of other classes / all of those

    Each is the mean over classes, so that a dominant class does not decide, with the 95 % interval of a
    bootstrap over images; `pooled` sums over classes before dividing, as the paper does.

    Returns:
        points: one per method, place and strength. curves: one per method and place, with `selectivity` and
        `other_at_80`, see there. classes: one per class, method, place and strength, null where the images
        that were drawn do not show the class, with the number of images that do.
    """
    outcomes = sorted(outcomes, key=_curve)
    points, curves = [], []
    for (method, place), of_curve in groupby(outcomes, key=_curve):
        by_strength: dict[float, list[Counts]] = {}
        for outcome in of_curve:
            by_strength.setdefault(outcome.strength, []).append(outcome.counts)
        means = []
        for strength, counts in by_strength.items():
            where = {"method": method, "place": place, "strength": strength}
            point = where | _point(Counts(*map(np.stack, zip(*counts, strict=True))), seed)
            points.append(point)
            if point["target"] is not None:
                means.append((point["target"], point["other"] or 0.0))
        curve = {"selectivity": selectivity(means), "other_at_80": other_at(means, 0.8)} if means else {}
        curves.append({"method": method, "place": place, **curve})
    return {"points": points, "curves": curves, "classes": [_class_row(outcome) for outcome in outcomes]}


def selectivity(points: list[tuple[float, float]]) -> float:
    """Area under target change as a function of other change, both in [0, 1].

    The curve runs from (0, 0) through the points in order of other change, and on to (1, 1), as an ROC curve
    does: 0.5 for an edit that changes target and others alike, 1 for one that changes the target alone.
    """
    x, y = zip((0.0, 0.0), *sorted((other, target) for target, other in points), (1.0, 1.0), strict=True)
    return float(np.trapezoid(y, x))


def other_at(points: list[tuple[float, float]], target: float) -> float | None:
    """Other change where the target change first reaches `target`, linearly between strengths from (0, 0)
    on."""
    previous = (0.0, 0.0)
    for point in points:
        if point[0] >= target:
            share = (target - previous[0]) / (point[0] - previous[0])
            return float(previous[1] + share * (point[1] - previous[1]))
        previous = point
    return None


def _curve(outcome: Outcome) -> tuple[str, str]:
    return outcome.arm.method, outcome.arm.place


def _point(counts: Counts, seed: int) -> dict[str, float | list[float] | None]:
    """The figures of one method, place and strength, from counts (class, image)."""
    weights = resamples(counts.target.shape[1], seed=seed)
    point = {}
    for name, changed, there in (
        ("target", counts.target_changed, counts.target),
        ("other", counts.other_changed, counts.other),
    ):
        mean: Estimate = mean_of_ratios(changed, there, weights)
        point[name] = mean.value
        point[f"{name}_interval"] = None if mean.value is None else [mean.low, mean.high]
        point[f"{name}_pooled"] = _ratio(changed, there)
    return point


def _class_row(outcome: Outcome) -> dict:
    counts = outcome.counts
    return {
        "class": outcome.target,
        "method": outcome.arm.method,
        "place": outcome.arm.place,
        "strength": outcome.strength,
        "target": _ratio(counts.target_changed, counts.target),
        "other": _ratio(counts.other_changed, counts.other),
        "images": int((counts.target > 0).sum()),
    }


def _ratio(changed: np.ndarray, there: np.ndarray) -> float | None:
    return float(changed.sum() / there.sum()) if there.sum() else None
