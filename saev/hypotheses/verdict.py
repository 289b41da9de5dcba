"""From the sums that clusters add to the verdicts on a set of hypotheses."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from saev.hypotheses.hypothesis import Hypothesis
from saev.hypotheses.ledger import Standing
from saev.hypotheses.subsets import Subsets, detectable, over_subsets
from saev.statistics import FEWEST_CLUSTERS, discoveries

LEVEL = 0.05
"""Of each test, and of the false discoveries among the hypotheses that are called supported."""
POWER = 0.9
"""With which an effect of `Verdict.detectable` is found."""


class Evidence(NamedTuple):
    """What each cluster g adds to the [part, whole] of ratios; a row of zeros: nothing, it has no such
    unit."""

    edit_g2: np.ndarray
    """Of the measure of the target's units under the edit."""
    controls_rg2: np.ndarray
    """The same of the same units, so that the wholes are the same, under each draw of the control."""
    others_g2: np.ndarray | None = None
    """Of the change of all else under the edit, whichever way: parts that cannot cancel."""

    @classmethod
    def of(cls, sums: object) -> "Evidence":
        """From lists by field, as a file has them.

        Raises:
            ValueError: they are no sums of the same units.
        """
        if not isinstance(sums, dict) or sums.keys() != set(cls._fields):
            raise ValueError(f"evidence must be of {', '.join(cls._fields)}")
        edit_g2, controls_rg2, others_g2 = (np.array(sums[key], float) for key in cls._fields)
        two = [of.shape[-1:] == (2,) and np.isfinite(of).all() for of in (edit_g2, controls_rg2, others_g2)]
        if not all(two) or (edit_g2.ndim, others_g2.ndim) != (2, 2) or not len(controls_rg2):
            raise ValueError("evidence must be finite, a part and a whole of each cluster")
        if controls_rg2.shape[1:] != edit_g2.shape or not np.allclose(controls_rg2[..., 1], edit_g2[:, 1]):
            raise ValueError("the edit and its controls are not of the same units")
        return cls(edit_g2, controls_rg2, others_g2)


class Verdict(NamedTuple):
    """What became of a hypothesis. What was not measured is None."""

    name: str
    verdict: Literal["supported", "refuted", "inconclusive"]
    effect: float | None
    """The edit's ratio less the mean of its controls', positive if it is as predicted (of `changes`: if it is
    up)."""
    low: float | None
    """One-sided 95 % bounds over clusters, and of `changes` 97.5 %; none with fewer than FEWEST_CLUSTERS.
    They are of these draws of the control, not of all that there could be."""
    high: float | None
    others: float | None
    """The change of all else under the edit, from which no control's is taken: one that breaks the model too
    would be an excuse."""
    others_high: float | None
    """Its one-sided 95 % upper bound."""
    p: float | None
    """Of what was seen, if the effect were no larger than `smallest` or, with a margin, others changed by as
    much: the larger of the two, for both are claimed (intersection-union, which takes no correction)."""
    q: float | None
    """By Benjamini & Hochberg over the set."""
    clusters: int
    """That have the target's units."""
    detectable: float | None
    """The effect that clusters like these would have found with POWER, by itself and as to the target; None
    where they are too few to find any."""
    registered: int | None
    """The line of its registration in the ledger."""
    kind: Literal["exploratory", "confirmatory"]
    reason: str
    """Why it is of this kind."""

    def row(self) -> dict[str, float | int | str | None]:
        """A flat record."""
        return self._asdict()


def judge(
    hypotheses: Sequence[Hypothesis],
    evidence: Sequence[Evidence | None],
    standings: Sequence[Standing],
    *,
    seed: int = 0,
) -> list[Verdict]:
    """The verdicts on a set of hypotheses, in its order.

        supported     q <= LEVEL: the effect is above `smallest` and, with a margin, others change by less
        refuted       the effect's upper bound is below `smallest`, or others' lower bound above the margin,
                      each at LEVEL
        inconclusive  neither, or there is nothing to go by (evidence None, or no unit)

    The tests flip the signs of clusters (`Subsets`), which says something of few clusters too, where an
    interval would promise too much: with 5 the least p is 1 / 32, so fewer support and refute nothing (of
    `changes`: fewer than 6).
    """
    tests = [
        _Test() if of is None else _test(hypothesis, of, seed)
        for hypothesis, of in zip(hypotheses, evidence, strict=True)
    ]
    q_values = discoveries([test.p for test in tests])
    return [
        _verdict(hypothesis.name, test, q, standing)
        for hypothesis, test, q, standing in zip(hypotheses, tests, q_values, standings, strict=True)
    ]


class _Test(NamedTuple):
    """Of one hypothesis by itself; the fields as a verdict has them."""

    effect: float | None = None
    low: float | None = None
    high: float | None = None
    others: float | None = None
    others_high: float | None = None
    p: float | None = None
    against: float | None = None
    """p of what was seen, if the hypothesis were true."""
    clusters: int = 0
    detectable: float | None = None


def _verdict(name: str, test: _Test, q: float | None, standing: Standing) -> Verdict:
    measured = test._asdict()
    against = measured.pop("against")
    verdict = "inconclusive"
    if q is not None and q <= LEVEL:
        verdict = "supported"
    elif against is not None and against <= LEVEL:
        verdict = "refuted"
    return Verdict(name=name, verdict=verdict, **measured, q=q, **standing._asdict())


def _test(hypothesis: Hypothesis, evidence: Evidence, seed: int) -> _Test:
    target_g2 = _over_controls(hypothesis, evidence)
    target = over_subsets(target_g2, seed=seed)
    clusters = int((target_g2 != 0).any(1).sum())
    if target is None:
        return _Test(clusters=clusters)
    tail = LEVEL / 2 if hypothesis.direction == "changes" else LEVEL
    p, against = _against(target, hypothesis)
    low, high = _shown(target, clusters, tail)
    away = detectable(target_g2, tail, POWER, seed=seed)
    of_target = _Test(
        effect=target.value,
        low=low,
        high=high,
        p=p,
        against=against,
        clusters=clusters,
        detectable=None if away is None else hypothesis.smallest + away,
    )
    if evidence.others_g2 is None:
        return of_target
    others_g2 = np.asarray(evidence.others_g2, float)
    return _with_others(of_target, others_g2, hypothesis.margin, seed)


def _over_controls(hypothesis: Hypothesis, evidence: Evidence) -> np.ndarray:
    """(g, 2) part of the edit less the mean of its controls', as predicted, and whole."""
    edit_g2, controls_rg2 = np.asarray(evidence.edit_g2, float), np.asarray(evidence.controls_rg2, float)
    if not np.allclose(controls_rg2[..., 1], edit_g2[:, 1]):
        raise ValueError(f"{hypothesis.name}: the edit and its controls are not of the same units")
    if hypothesis.margin is not None and evidence.others_g2 is None:
        raise ValueError(f"{hypothesis.name}: has a margin for others, of which there is no evidence")
    part_g = edit_g2[:, 0] - controls_rg2[..., 0].mean(0)
    return np.stack([-part_g if hypothesis.direction == "down" else part_g, edit_g2[:, 1]], 1)


def _against(target: Subsets, hypothesis: Hypothesis) -> tuple[float, float]:
    """p of what was seen if the effect were no larger than `smallest`, and if it were."""
    smallest = hypothesis.smallest
    p, against = target.p_at_most(smallest), target.p_at_least(smallest)
    if hypothesis.direction != "changes":
        return p, against
    # Either of two one-sided tests is enough, so each has half the level; equivalence takes both.
    p, against = min(p, target.p_at_least(-smallest)), max(against, target.p_at_most(-smallest))
    return min(1.0, 2 * p), min(1.0, 2 * against)


def _with_others(test: _Test, others_g2: np.ndarray, margin: float | None, seed: int) -> _Test:
    others = over_subsets(others_g2, seed=seed)
    if others is None:  # with a margin, half of the claim is untested
        return test if margin is None else test._replace(p=None)
    _, high = _shown(others, int((others_g2 != 0).any(1).sum()), LEVEL)
    test = test._replace(others=others.value, others_high=high)
    if margin is None or test.p is None or test.against is None:
        return test
    return test._replace(
        p=max(test.p, others.p_at_least(margin)), against=min(test.against, others.p_at_most(margin))
    )


def _shown(of: Subsets, clusters: int, tail: float) -> tuple[float | None, float | None]:
    """The bounds, where there are enough clusters to show any."""
    if clusters < FEWEST_CLUSTERS:
        return None, None
    low, high = of.interval(tail)
    return (low if np.isfinite(low) else None), (high if np.isfinite(high) else None)
