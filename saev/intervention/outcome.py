"""From outcomes to the figures that an experiment is reported by, each beside its control."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import numpy as np

from saev.intervention.dose import Curve, against, alone
from saev.intervention.experiment import Outcome
from saev.intervention.measures import MEASURES, Sums
from saev.intervention.resampling import Resampling, means, resampling
from saev.statistics import Estimate

MATCHED = ("random latent", "random direction")
"""The controls that an effect is measured against: the first of them that was run with the same edit, in the
same place."""

Run = dict[float, list[Outcome]]
"""Of one method in one place: by strength, its outcomes for every class."""


def summarise(
    outcomes: Iterable[Outcome], *, cluster_n: np.ndarray | None = None, seed: int = 0
) -> dict[str, list[dict]]:
    """Every measure of every method and place, over strengths and in one number, and minus its control's.

    Measures are means over classes, so that a dominant class does not decide, with the 95 % interval of a
    bootstrap over clusters of images; `pooled` sums over classes before dividing, as the paper does.

        effect = target change - that of the matched control, on the same images and classes

    Args:
        cluster_n: the cluster of each image of the experiment; None: each is one.

    Returns:
        points: one per method, place and strength. Each of MEASURES, `effect` and `other_effect`, each with
        its interval; the `control` that they are against and its `control_target`, on `effect_images` images;
        how many `images` and `clusters` were resampled; balanced accuracy before and after the edit, the mean
        over the edits of all classes. curves: one per method and place, see `dose`. classes: one per class,
        method, place and strength, null where the images that were drawn do not show the class, with the
        number of images that do, and with the answer to which most units that were taken for the class go.
    """
    runs: dict[tuple[str, str], Run] = {}
    for outcome in outcomes:
        run = runs.setdefault((outcome.arm.method, outcome.arm.place), {})
        run.setdefault(outcome.strength, []).append(outcome)
    runs = dict(sorted(runs.items()))
    draw = partial(_draw, cluster_n=cluster_n, seed=seed)
    points, curves = [], []
    for (method, place), run in runs.items():
        control, matched = _matched(run, runs)
        where = {"method": method, "place": place}
        for strength, of_point in run.items():
            effect = _effect(of_point, matched.get(strength, []), draw)
            named = {"control": control if effect["effect"] is not None else None}
            points.append({**where, "strength": strength, **_point(of_point, draw), **named, **effect})
        curves.append({**where, **_curve(run, matched, draw)})
    rows = [_class_row(one) for run in runs.values() for of_point in run.values() for one in of_point]
    return {"points": points, "curves": curves, "classes": rows}


def _draw(outcomes: list[Outcome], cluster_n: np.ndarray | None, seed: int) -> Resampling:
    """Resamples of the images that all of these were run on."""
    n = _images(outcomes)
    return resampling(np.arange(n) if cluster_n is None else cluster_n[:n], seed=seed)


def _images(outcomes: list[Outcome]) -> int:
    return min(len(outcome.sums["target"].whole) for outcome in outcomes)


def _matched(run: Run, runs: dict[tuple[str, str], Run]) -> tuple[str | None, Run]:
    """The control that is matched to a run, and its own run; none of a run that is such a control."""
    arm = next(iter(run.values()))[0].arm
    if arm.control not in MATCHED:
        for control in MATCHED:
            method = replace(arm, control=control).method
            if (method, arm.place) in runs:
                return method, runs[method, arm.place]
    return None, {}


def _stacked(outcomes: list[Outcome], name: str, classes: list[str], n: int) -> Sums:
    """A measure on the first n images, (c, n); several outcomes of one class are added."""
    sums_cn = Sums(np.zeros((len(classes), n)), np.zeros((len(classes), n)))
    for outcome in outcomes:
        if outcome.target in classes:
            for total_cn, of_n in zip(sums_cn, outcome.sums[name], strict=True):
                total_cn[classes.index(outcome.target)] += of_n[:n]
    return sums_cn


def _classes(outcomes: list[Outcome]) -> list[str]:
    return list(dict.fromkeys(outcome.target for outcome in outcomes))


def _with_interval(name: str, estimate: Estimate) -> dict[str, float | list[float] | None]:
    interval = None if estimate.low is None else [estimate.low, estimate.high]
    return {name: estimate.value, f"{name}_interval": interval}


def _point(outcomes: list[Outcome], draw) -> dict[str, float | list[float] | None]:
    """The figures of one method, place and strength."""
    drawn, point = draw(outcomes), {}
    for name in MEASURES:
        sums_cn = _stacked(outcomes, name, _classes(outcomes), drawn.weights_rn.shape[1])
        point |= _with_interval(name, drawn.estimate(means(sums_cn, drawn.weights_rn)))
        if name in ("target", "other"):
            point[f"{name}_pooled"] = _ratio(sums_cn)
    balanced = [of for of in (outcome.recall.balanced() for outcome in outcomes) if of is not None]
    before, after = np.mean(balanced, axis=0).tolist() if balanced else (None, None)
    counted = {"images": drawn.weights_rn.shape[1], "clusters": drawn.clusters}
    return {**point, "balanced_before": before, "balanced_after": after, **counted}


def _effect(outcomes: list[Outcome], controls: list[Outcome], draw) -> dict:
    """Target change and other change minus those of the control."""
    classes = [name for name in _classes(outcomes) if name in _classes(controls)]
    if not classes:
        keys = ("effect", "effect_interval", "other_effect", "other_effect_interval", "control_target")
        return {**dict.fromkeys(keys), "effect_images": 0}
    drawn = draw([*outcomes, *controls])
    n, found = drawn.weights_rn.shape[1], {}
    for key, name in (("effect", "target"), ("other_effect", "other")):
        edit_r, control_r = (
            means(_stacked(of, name, classes, n), drawn.weights_rn) for of in (outcomes, controls)
        )
        found |= _with_interval(key, drawn.estimate(edit_r - control_r))
        if name == "target":
            found["control_target"] = drawn.estimate(control_r).value
    return {**found, "effect_images": n}


def _curve(run: Run, matched: Run, draw) -> dict:
    """The figures of one method and place over its strengths, and those minus the control's."""
    everything = [outcome for of_point in run.values() for outcome in of_point]
    drawn = draw(everything)
    found = alone(_means(run, tuple(run), _classes(everything), drawn), drawn)
    strengths = tuple(strength for strength in run if strength in matched)
    both = [*everything, *(outcome for strength in strengths for outcome in matched[strength])]
    classes = [name for name in _classes(everything) if all(name in _classes(matched[s]) for s in strengths)]
    if not found or not strengths or not classes:
        return found
    drawn = draw(both)
    curve, control = (_means(of, strengths, classes, drawn) for of in (run, matched))
    return found | against(curve, control, drawn)


def _means(run: Run, strengths: tuple[float, ...], classes: list[str], drawn: Resampling) -> Curve:
    n = drawn.weights_rn.shape[1]
    target_ra, *rest = (
        np.stack([means(_stacked(run[s], name, classes, n), drawn.weights_rn) for s in strengths], -1)
        for name in ("target", "other", "collateral")
    )
    return Curve(strengths, target_ra, *map(np.nan_to_num, rest))


def _class_row(outcome: Outcome) -> dict:
    target, goes = outcome.sums["target"], outcome.moves.largest(1, outcome.target)
    return {
        "class": outcome.target,
        "method": outcome.arm.method,
        "place": outcome.arm.place,
        "strength": outcome.strength,
        "target": _ratio(target),
        "other": _ratio(outcome.sums["other"]),
        "images": int((target.whole > 0).sum()),
        "to": goes[0]["to"] if goes else None,
        "to_share": goes[0]["share"] if goes else None,
    }


def _ratio(sums: Sums) -> float | None:
    return float(sums.part.sum() / sums.whole.sum()) if sums.whole.sum() else None
