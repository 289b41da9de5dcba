"""From counts to the figures that an experiment is reported by."""

import numpy as np

from saev.intervention.experiment import METHODS, PLACES, Counts


def summarise(
    counts: Counts,
    class_names: list[str],
    strengths: tuple[float, ...],
    *,
    seed: int = 0,
    n_bootstrap: int = 1000,
) -> dict:
    """Target change and other change per method, place and strength, with one number per curve.

        target change = changed patches of the class / patches of the class
        other change  = changed labelled patches of other classes / all of those

    `pooled` sums over classes before dividing (the paper's figure); `mean` averages the
    classes' own ratios, with the 95 % interval of a bootstrap over images. For each
    (method, place): `selectivity`, see there, and `other_at_80`, the pooled other change
    where the curve first reaches 80 % target change (null if it never does).
    """
    rng = np.random.default_rng(seed)
    n_images = counts.target.shape[-1]
    weights = rng.multinomial(n_images, np.full(n_images, 1 / n_images), size=n_bootstrap)
    points, curves = [], []
    for m, method in enumerate(METHODS):
        for p, place in enumerate(PLACES):
            pooled = []
            for s, strength in enumerate(strengths):
                cell = [array[:, m, p, s] for array in counts]  # each (class, image)
                target, other = _ratio(cell[0].sum(), cell[1].sum()), _ratio(cell[2].sum(), cell[3].sum())
                pooled.append((target, other))
                points.append(
                    {
                        "method": method,
                        "place": place,
                        "strength": strength,
                        "target": target,
                        "other": other,
                        **_mean(cell, weights),
                    }
                )
            curves.append(
                {
                    "method": method,
                    "place": place,
                    "selectivity": selectivity(pooled),
                    "other_at_80": other_at(pooled, 0.8),
                }
            )
    return {"points": points, "curves": curves, "classes": _per_class(counts, class_names, strengths)}


def selectivity(points: list[tuple[float, float]]) -> float:
    """Area under target change as a function of other change, both in [0, 1].

    The curve runs from (0, 0) through the points in order of other change, and on to
    (1, 1), as an ROC curve does: 0.5 for an edit that changes target and others alike,
    1 for one that changes the target alone.
    """
    x, y = zip((0.0, 0.0), *sorted((other, target) for target, other in points), (1.0, 1.0), strict=True)
    return float(np.trapezoid(y, x))


def other_at(points: list[tuple[float, float]], target: float) -> float | None:
    """Other change where the target change first reaches `target`, linearly between strengths from (0, 0) on."""
    previous = (0.0, 0.0)
    for point in points:
        if point[0] >= target:
            share = (target - previous[0]) / (point[0] - previous[0])
            return float(previous[1] + share * (point[1] - previous[1]))
        previous = point
    return None


def _ratio(changed: np.ndarray, counted: np.ndarray) -> float:
    return float(changed / counted) if counted else 0.0


def _mean(cell: list[np.ndarray], weights: np.ndarray) -> dict[str, float | list[float]]:
    """Mean over classes of the target and other change, with bootstrap intervals over images."""
    out = {}
    for name, changed, counted in (("target", cell[0], cell[1]), ("other", cell[2], cell[3])):
        present = counted.sum(1) > 0
        ratio = changed[present].sum(1) / counted[present].sum(1)
        # A resample may lack every image of a class: that class is then left out of its mean.
        samples = np.divide(
            weights @ changed[present].T,
            total := weights @ counted[present].T,
            where=total > 0,
            out=np.full(total.shape, np.nan),
        )
        low, high = np.nanquantile(np.nanmean(samples, axis=1), [0.025, 0.975])
        out[f"{name}_mean"], out[f"{name}_interval"] = float(ratio.mean()), [float(low), float(high)]
    return out


def _per_class(counts: Counts, class_names: list[str], strengths: tuple[float, ...]) -> list[dict]:
    """The chosen latent's edit, class by class."""
    rows = []
    for c, name in enumerate(class_names):
        for p, place in enumerate(PLACES):
            for s, strength in enumerate(strengths):
                changed, counted, other_changed, other = (array[c, 0, p, s].sum() for array in counts)
                rows.append(
                    {
                        "class": name,
                        "place": place,
                        "strength": strength,
                        "target": _ratio(changed, counted),
                        "other": _ratio(other_changed, other),
                    }
                )
    return rows
