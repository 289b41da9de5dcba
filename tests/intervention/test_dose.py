"""Areas, crossings and ranks over strengths by hand."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saev.intervention.dose import (
    Curve,
    against,
    alone,
    alpha_crit,
    at_most_of_target,
    monotonicity,
    response_area,
    selectivity,
    when_reached,
)
from saev.intervention.resampling import resampling

SHARE = st.floats(0, 1)
EXACT = pytest.approx


def test_selectivity_by_hand():
    assert selectivity([(0.5, 0.5)]) == EXACT(0.5)
    assert selectivity([(1.0, 0.0)]) == EXACT(1.0)
    assert selectivity([(0.0, 1.0)]) == EXACT(0.0)
    # (0,0) - (0.2,0.8) - (1,1): 0.08 + 0.72
    assert selectivity([(0.8, 0.2)]) == EXACT(0.8)
    # in the order of other change, whatever that of the strengths: 0.02 + 0.06 + 0.72
    assert selectivity([(0.8, 0.2), (0.4, 0.1)]) == selectivity([(0.4, 0.1), (0.8, 0.2)]) == EXACT(0.8)


@given(
    st.integers(1, 4).flatmap(
        lambda a: st.lists(st.lists(st.tuples(SHARE, SHARE), min_size=a, max_size=a), min_size=1, max_size=4)
    )
)
@settings(deadline=None)
def test_selectivity_is_an_area_and_that_of_each_resample(curves):
    found = selectivity(curves)
    assert found.shape == (len(curves),) and ((found >= 0) & (found <= 1 + 1e-12)).all()
    for area, points in zip(found, curves, strict=True):
        line = [(0.0, 0.0), *sorted((other, target) for target, other in points), (1.0, 1.0)]
        steps = pairwise(line)
        assert area == EXACT(sum((x - w) * (y + z) / 2 for (w, z), (x, y) in steps), abs=1e-12)
        assert selectivity([(other, other) for other, _ in points]) == EXACT(0.5)


def test_what_has_changed_when_the_target_has_by_hand():
    def at(share, *points):
        target, other = np.array(points).T
        return when_reached(share, target[None], other[None])[0]

    points = [(0.4, 0.0), (0.6, 0.1), (1.0, 0.3)]  # (target, other)
    assert at(0.8, *points) == EXACT(0.2)
    assert at(0.2, *points) == EXACT(0.0)
    assert at(1.0, *points) == EXACT(0.3)
    assert at(0.8, *points[:2]) == np.inf
    assert at(0.4, (0.8, 0.4)) == EXACT(0.2)  # from (0, 0) on
    assert at(0.55, (0.4, 0.0), (0.2, 0.9), (0.9, 0.5)) == EXACT(0.9 - 0.4 * 0.5)


def test_there_is_no_interval_where_resamples_too_often_never_reach_it():
    drawn = resampling(np.arange(20), times=999)
    for never, known in ((25, True), (26, False)):
        target = np.full((1000, 1), 0.8)
        target[1 : never + 1] = 0.7
        other = np.linspace(0.1, 0.3, 1000)[:, None]
        found = at_most_of_target(Curve((-1.0,), target, other, other / 2), drawn)
        assert found["other_at_80"] == EXACT(0.1) and found["collateral_at_80"] == EXACT(0.05)
        low, high = found["other_at_80_interval"] if known else (None, None)
        assert known == (found["other_at_80_interval"] is not None)
        assert not known or 0.1 < low < 0.12 < 0.28 < high < 0.3
    nowhere = at_most_of_target(Curve((-1.0,), np.full((1000, 1), 0.7), other, other), drawn)
    assert set(nowhere.values()) == {None}


def test_the_response_area_is_the_mean_effect_over_sizes():
    assert response_area((0.0, -1.0, -4.0), np.array([0.0, 0.4, 1.0])) == EXACT((0.2 + 3 * 0.7) / 4)
    assert response_area((-4.0, 0.0, -1.0), np.array([1.0, 0.0, 0.4])) == EXACT((0.2 + 3 * 0.7) / 4)
    assert response_area((-2.0,), np.array([0.3])) == 0.3
    assert response_area((-2.0, 2.0), np.array([0.2, 0.6])) == EXACT(0.4)  # both signs count alike
    effects = np.random.default_rng(0).random((5, 3))
    each = [response_area((1.0, -2.0, 3.0), effect) for effect in effects]
    np.testing.assert_allclose(response_area((1.0, -2.0, 3.0), effects), each)


def test_half_of_the_target_is_reached_between_strengths():
    assert alpha_crit((0.0, -1.0, -2.0), (0.1, 0.3, 0.7)) == EXACT(1.5)
    assert alpha_crit((-2.0, 0.0, -1.0), (0.7, 0.1, 0.3)) == EXACT(1.5)
    assert alpha_crit((-1.0, -2.0), (0.5, 0.9)) == 1.0  # or before
    assert alpha_crit((-1.0, -2.0), (0.1, 0.49)) is None
    assert alpha_crit((-1.0, -2.0, 1.0, 1.5), (0.1, 0.6, 0.2, 0.8)) == EXACT(1.25)  # the nearer of both signs
    assert alpha_crit((-1.0, -2.0, -3.0), (0.6, 0.2, 0.7)) == 1.0  # the first time


@given(st.lists(SHARE, min_size=3, max_size=6, unique=True))
@settings(max_examples=30, deadline=None)
def test_monotonicity_is_a_rank_correlation(targets):
    strengths = [-float(i) for i in range(len(targets))]
    found = monotonicity(strengths, targets)
    assert monotonicity(strengths, sorted(targets)) == EXACT(1)
    assert monotonicity(strengths, sorted(targets, reverse=True)) == EXACT(-1)
    order = np.argsort(np.argsort(targets))
    assert found == EXACT(np.corrcoef(range(len(targets)), order)[0, 1])


def test_what_does_not_vary_has_no_rank():
    assert monotonicity((-1.0, -2.0), (0.3, 0.3)) is None and monotonicity((-1.0,), (0.3,)) is None


def curve(target, other, noise=0.0):
    """Of resamples that add the same noise to every arm."""
    other_ra = np.repeat([other], np.size(noise) or 1, 0)
    return Curve((-1.0, -2.0), np.array([target]) + noise, other_ra, other_ra)


def test_areas_are_held_against_the_controls_on_the_same_resamples():
    drawn = resampling(np.arange(20), times=50)
    noise = np.concatenate([[0], np.random.default_rng(0).normal(0, 0.05, 50)])[:, None]
    edit, control = curve((0.5, 0.7), (0.1, 0.2), noise), curve((0.3, 0.3), (0.1, 0.2), noise)
    found = against(edit, control, drawn)
    assert found["selectivity_null"] == EXACT(selectivity([(0.3, 0.1), (0.3, 0.2)]))
    own = alone(edit, drawn)
    assert own["selectivity"] - found["selectivity_null"] == EXACT(found["selectivity_effect"])
    assert own["area"] == EXACT(0.6) and found["area_effect"] == EXACT(0.3)
    for name in ("selectivity", "area"):  # what both share is no doubt about their difference
        assert found[f"{name}_effect_interval"] == EXACT([found[f"{name}_effect"]] * 2)
    assert against(edit, control, resampling(np.arange(9)))["area_effect_interval"] is None


def test_a_target_that_is_nowhere_has_no_figures():
    curve = Curve((-1.0,), np.full((3, 1), np.nan), *np.zeros((2, 3, 1)))
    assert alone(curve, resampling(np.arange(2), times=2)) == {}
