"""Ratios in subsets, against all signs of all clusters one by one."""

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from saev.hypotheses.subsets import ALL_OF, detectable, over_subsets

whole_numbers = st.lists(st.tuples(st.integers(-20, 20), st.integers(1, 9)), min_size=1, max_size=7)


def by_signs(sums_g2, bound, side):
    """p by turning the signs of the scores, every way."""
    scores = [side * (part - bound * whole) for part, whole in sums_g2]
    totals = [
        sum(sign * score for sign, score in zip(signs, scores, strict=True))
        for signs in product((1, -1), repeat=len(scores))
    ]
    return np.mean([total >= sum(scores) - 1e-7 for total in totals])


@given(whole_numbers, st.integers(-8, 8))
@settings(deadline=None)
def test_p_is_the_share_of_signs_that_do_as_well(sums, quarters):
    found, bound = over_subsets(np.array(sums, float)), quarters / 4
    assert found.value == pytest.approx(sum(part for part, _ in sums) / sum(whole for _, whole in sums))
    assert found.p_at_most(bound) == pytest.approx(by_signs(sums, bound, 1))
    assert found.p_at_least(bound) == pytest.approx(by_signs(sums, bound, -1))


@given(whole_numbers, st.floats(-25, 25), st.sampled_from([0.01, 0.05, 0.1, 0.3]))
@settings(deadline=None)
def test_the_interval_holds_what_the_tests_do_not_refuse(sums, bound, tail):
    found = over_subsets(np.array(sums, float))
    low, high = found.interval(tail)
    if min(abs(bound - low), abs(bound - high)) > 1e-6:
        assert (found.p_at_most(bound) <= tail) == (bound < low)
        assert (found.p_at_least(bound) <= tail) == (bound > high)


@given(whole_numbers, st.floats(-3, 3))
@settings(deadline=None)
def test_signs_of_the_measure_and_empty_clusters_change_nothing(sums, bound):
    sums_g2 = np.array(sums, float)
    found, with_empty = over_subsets(sums_g2), over_subsets(np.vstack([sums_g2, np.zeros((3, 2))]))
    turned, both = over_subsets(sums_g2 * [-1, 1]), over_subsets(-sums_g2)
    assert with_empty.p_at_most(bound) == found.p_at_most(bound) == turned.p_at_least(-bound)
    # A loss over a loss is a share like any other: what taking something out of the image does is negative.
    assert both.p_at_most(bound) == found.p_at_most(bound)


@given(
    st.lists(st.tuples(st.integers(-20, 20), st.integers(-9, 9)), min_size=1, max_size=7), st.integers(-8, 8)
)
@settings(deadline=None)
def test_clusters_whose_whole_has_another_sign_only_make_it_less_sure(sums, quarters):
    assume(all(any(of) for of in sums) and sum(whole for _, whole in sums) > 0)
    found, bound = over_subsets(np.array(sums, float)), quarters / 4
    assert found.p_at_most(bound) >= by_signs(sums, bound, 1) - 1e-9
    assert found.p_at_least(bound) >= by_signs(sums, bound, -1) - 1e-9


def test_a_whole_that_is_hardly_there_has_no_bounds():
    sums_g2 = np.array([[1.0, 5.0], [1, -4.9], [1, 5], [1, -4.9], [1, 5], [1, -4.9]])
    found = over_subsets(sums_g2)
    assert found.interval(0.05) == (-np.inf, np.inf) and found.p_at_most(-1e9) > 0.05
    assert detectable(sums_g2, 0.05, 0.9) is None


def test_wholes_that_add_up_to_nothing_give_no_ratio():
    assert over_subsets(np.array([[1.0, 2.0], [1, -2]])) is None
    assert over_subsets(np.zeros((4, 2))) is None


def test_drawn_subsets_are_as_all_of_them():
    """With one cluster more than are looked at in full, against all 2^13."""
    rng = np.random.default_rng(5)
    sums_g2 = np.stack([rng.normal(3, 2, ALL_OF + 1), rng.uniform(1, 4, ALL_OF + 1)], 1)
    found = over_subsets(sums_g2)
    assert found.without + len(found.ratio_r) == 2**ALL_OF and found.without >= 1
    every = np.array(list(product((0, 1), repeat=ALL_OF + 1)))[1:] @ sums_g2
    for bound in (0.5, 0.8, 1.0, 1.3):
        exact = (1 + (every[:, 0] / every[:, 1] <= bound).sum()) / (1 + len(every))
        assert found.p_at_most(bound) == pytest.approx(exact, abs=4 * np.sqrt(0.25 / 2**ALL_OF))
    assert over_subsets(sums_g2).interval(0.05) == found.interval(0.05)


@pytest.mark.parametrize(("g", "tail", "any_found"), [(4, 0.05, False), (5, 0.05, True), (5, 0.025, False)])
def test_so_few_clusters_find_nothing(g, tail, any_found):
    sums_g2 = np.stack([np.arange(g) + 100.0, np.ones(g)], 1)
    found = over_subsets(sums_g2)
    assert (found.p_at_most(0) <= tail) == any_found
    assert (detectable(sums_g2, tail, 0.9) is not None) == any_found
    assert np.isfinite(found.interval(tail)).all() == any_found


def test_what_is_detectable_shrinks_with_noise_and_grows_with_power():
    rng = np.random.default_rng(1)
    noise = rng.standard_normal(15)
    of = [
        detectable(np.stack([5 + size * noise, np.ones(15)], 1), 0.05, power)
        for size, power in ((1, 0.9), (2, 0.9), (1, 0.5), (0, 0.9))
    ]
    assert of[1] == pytest.approx(2 * of[0]) and of[2] < of[0] and of[3] == pytest.approx(0, abs=1e-9)
    assert detectable(np.array([[1.0, 5.0]]), 0.05, 0.9) is None
