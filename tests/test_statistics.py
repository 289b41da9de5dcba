"""Bootstrap and draws against loops."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from saev.statistics import (
    Estimate,
    by_chance,
    detectable,
    discoveries,
    estimate,
    resample,
    resamples,
    spread_over_classes,
)

seeds = st.integers(0, 2**32 - 1)


def test_resamples_are_draws_with_replacement():
    weights = resamples(7, times=20_000, seed=1)
    assert weights.shape == (20_000, 7) and (weights.sum(1) == 7).all()
    # How often each of n things is drawn in n draws: mean 1, variance 1 - 1 / n.
    np.testing.assert_allclose(weights.mean(0), 1, atol=0.05)
    np.testing.assert_allclose(weights.var(0), 6 / 7, atol=0.05)
    np.testing.assert_array_equal(weights, resamples(7, times=20_000, seed=1))
    assert (weights[:100] != resamples(7, times=100, seed=2)).any()


labels = st.lists(st.integers(-3, 6), max_size=40)


@given(labels, st.integers(0, 50), seeds)
@settings(max_examples=60, deadline=None)
def test_any_beginning_of_the_draw_is_spread_over_the_classes(classes, n, seed):
    """Counts of two classes differ by more than one only where the smaller is exhausted."""
    classes = np.array(classes, int)
    drawn = spread_over_classes(classes, n, seed)
    assert len(drawn) == min(n, len(classes)) == len(set(drawn.tolist()))
    names, sizes = np.unique(classes, return_counts=True)
    for end in range(len(drawn) + 1):
        counts = [(classes[drawn[:end]] == c).sum() for c in names]
        left = [count for count, size in zip(counts, sizes, strict=True) if count < size]
        assert not left or max(counts) - min(left) <= 1


@given(labels, seeds)
@settings(max_examples=30, deadline=None)
def test_all_of_a_draw_is_a_permutation_and_fewer_are_its_beginning(classes, seed):
    classes = np.array(classes, int)
    everything = spread_over_classes(classes, len(classes), seed)
    np.testing.assert_array_equal(np.sort(everything), np.arange(len(classes)))
    for n in range(len(classes)):
        np.testing.assert_array_equal(spread_over_classes(classes, n, seed), everything[:n])


def test_the_seed_decides_the_draw_and_every_thing_has_its_chance():
    classes = np.repeat([0, 1, 2], [50, 5, 1])
    first = [spread_over_classes(classes, 3, seed) for seed in range(400)]
    np.testing.assert_array_equal(first[7], spread_over_classes(classes, 3, 7))
    assert all(sorted(classes[drawn]) == [0, 1, 2] for drawn in first)
    counts = np.bincount(np.concatenate(first), minlength=56)
    assert counts[-1] == 400 and counts.min() > 0
    assert counts[50:55].min() > 40  # 80 expected of each
    assert len({tuple(classes[drawn]) for drawn in first}) > 1  # nor do the classes come in one order


def mean_of(totals_rm):
    """The mean, from sums of values and of ones."""
    return totals_rm[:, 0] / totals_rm[:, 1]


def values_as_sums(values_g):
    return np.stack([values_g, np.ones(len(values_g))], 1)


def draw_clusters(rng, g):
    """2 hits, and fires + members, of clusters of very different sizes and shares."""
    size, share = rng.gamma(3, 20, g), rng.beta(4, 4, g)
    hits, members = size * 0.2 * share, size * 0.2
    return np.stack([2 * hits, hits + size * rng.beta(1, 9, g) + members], 1)


def coverage(g, runs, times):
    totals = draw_clusters(np.random.default_rng(0), 400_000).sum(0)
    held = 0
    for seed in range(runs):
        found = resample(draw_clusters(np.random.default_rng([1, seed]), g), mean_of, times=times, seed=seed)
        low, high = found.interval()
        held += low <= totals[0] / totals[1] <= high
    return held / runs


def test_the_error_of_a_mean_is_that_of_textbooks():
    values = np.random.default_rng(0).normal(size=40)
    found = resample(values_as_sums(values), mean_of)
    assert found.value == pytest.approx(values.mean())
    assert found.error == pytest.approx(scipy.stats.sem(values), rel=1e-4)
    normal = scipy.stats.t.interval(0.95, 39, values.mean(), scipy.stats.sem(values))
    np.testing.assert_allclose(found.interval(), normal, atol=0.03)
    bca = scipy.stats.bootstrap((values,), np.mean, method="BCa", rng=np.random.default_rng(0))
    np.testing.assert_allclose(found.interval(), bca.confidence_interval, atol=0.05)


def test_equivalence_is_two_one_sided_tests():
    values = np.random.default_rng(1).normal(0.02, 1, 60)
    found = resample(values_as_sums(values), mean_of, times=20_000)
    one_sided = [
        scipy.stats.ttest_1samp(values, -0.4, alternative="greater").pvalue,
        scipy.stats.ttest_1samp(values, 0.4, alternative="less").pvalue,
    ]
    assert found.p_at_most(-0.4) == pytest.approx(one_sided[0], abs=0.005)
    assert found.p_at_least(0.4) == pytest.approx(one_sided[1], abs=0.005)
    assert found.p_different(0.4) == max(found.p_at_most(-0.4), found.p_at_least(0.4))
    assert found.p_different(0.01) > 0.4  # within no such margin


def test_intervals_hold_what_they_promise():
    assert abs(coverage(16, runs=300, times=400) - 0.95) < 0.04


@pytest.mark.slow
@pytest.mark.parametrize("g", [10, 16, 100])
def test_intervals_hold_what_they_promise_over_many_runs(g):
    assert 0.93 <= coverage(g, runs=4000, times=1000) <= 0.97


def test_few_clusters_give_no_interval_and_many_a_normal_one():
    rng = np.random.default_rng(2)
    few, many = draw_clusters(rng, 9), draw_clusters(rng, 2001)
    assert estimate(few, mean_of) == Estimate(float(mean_of(few.sum(0, keepdims=True))[0]))
    found = estimate(many, mean_of)
    boot = resample(many[:2000], mean_of)
    assert found.high - found.low == pytest.approx(np.subtract(*boot.interval()[::-1]), rel=0.05)
    assert estimate(np.zeros((20, 2)), lambda t: np.full(len(t), np.nan)) == Estimate(None)


def test_a_figure_that_never_varies_has_no_width():
    found = estimate(values_as_sums(np.ones(12)), mean_of)
    assert (found.low, found.value, found.high) == (1, 1, 1)


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=12))
@settings(max_examples=50, deadline=None)
def test_q_values_are_benjamini_and_hochbergs(p_values):
    """By their definition: the least over those as large of p * n / rank."""
    tested = sorted(p for p in p_values if p is not None)
    n = len(tested)
    for p, q in zip(p_values, discoveries(p_values), strict=True):
        if p is None:
            assert q is None
        else:
            steps = [other * n / (i + 1) for i, other in enumerate(tested) if other >= p]
            assert q == pytest.approx(min(1, min(steps)))


def test_p_by_permutation_counts_the_value_itself():
    assert by_chance(0.5, np.array([0.1, 0.5, 0.7])) == 3 / 4
    assert by_chance(0.9, np.zeros(99)) == 1 / 100


def test_a_planted_figure_is_found_with_the_declared_power():
    rng = np.random.default_rng(3)
    null, error = rng.normal(0.2, 0.05, 4000), 0.05
    least = detectable(null, error)
    found = rng.normal(least, error, 4000) > np.quantile(null, 0.95)
    assert found.mean() == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("wrong", [1, 2, 3])
def test_where_few_clusters_hold_all_that_is_wrong_the_bound_is_near_the_exact_one(wrong):
    right = np.arange(40) >= wrong
    low, high = resample(np.stack([right, np.ones(40)], 1), lambda t: t[:, 0] / t[:, 1]).interval()
    exact = scipy.stats.binomtest(int(right.sum()), 40).proportion_ci().low
    assert exact - 0.15 < low < exact + 0.05 and high > right.mean()  # of the t it is the longer side
