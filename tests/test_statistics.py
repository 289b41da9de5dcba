"""Bootstrap and draws against loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saev.statistics import Estimate, mean_of_ratios, resamples, spread_over_classes

seeds = st.integers(0, 2**32 - 1)


def test_resamples_are_draws_with_replacement():
    weights = resamples(7, times=20_000, seed=1)
    assert weights.shape == (20_000, 7) and (weights.sum(1) == 7).all()
    # How often each of n things is drawn in n draws: mean 1, variance 1 - 1 / n.
    np.testing.assert_allclose(weights.mean(0), 1, atol=0.05)
    np.testing.assert_allclose(weights.var(0), 6 / 7, atol=0.05)
    np.testing.assert_array_equal(weights, resamples(7, times=20_000, seed=1))
    assert (weights[:100] != resamples(7, times=100, seed=2)).any()


def by_loops(part_cn, whole_cn, weights_rn):
    """The same, one resample and one class at a time, with each thing repeated as often as it was drawn."""
    there = [c for c in range(len(whole_cn)) if whole_cn[c].sum() > 0]
    if not there:
        return Estimate(None)
    value = np.mean([part_cn[c].sum() / whole_cn[c].sum() for c in there])
    means = []
    for weights_n in weights_rn:
        drawn = np.repeat(np.arange(len(weights_n)), weights_n)
        ratios = [
            part_cn[c, drawn].sum() / whole_cn[c, drawn].sum() for c in there if whole_cn[c, drawn].sum()
        ]
        means += [np.mean(ratios)] if ratios else []
    return Estimate(value, *np.quantile(means, [0.025, 0.975]))


@given(seeds, st.integers(0, 4), st.integers(1, 8))
@settings(max_examples=30, deadline=None)
def test_mean_of_ratios_is_the_bootstrap_of_a_loop(seed, n_classes, n):
    rng = np.random.default_rng(seed)
    whole = rng.integers(0, 9, (n_classes, n)) * (rng.random((n_classes, n)) < 0.4)
    part = rng.binomial(whole, 0.3)
    weights = resamples(n, times=60, seed=seed)
    found, expected = mean_of_ratios(part, whole, weights), by_loops(part, whole, weights)
    assert found == pytest.approx(expected)
    assert (found.value is None) == (whole.sum() == 0)
    if found.value is not None:
        assert 0 <= found.low <= found.high <= 1


def test_the_interval_covers_what_it_should():
    """Of 40 images with their own rates, in 200 repetitions: the true mean lies within nearly always."""
    rng, inside = np.random.default_rng(3), []
    for seed in range(200):
        rates = rng.beta(2, 3, 40)
        whole = rng.integers(5, 20, (1, 40))
        found = mean_of_ratios(rng.binomial(whole, rates), whole, resamples(40, times=200, seed=seed))
        inside.append(found.low <= 2 / 5 <= found.high)
    assert 0.88 <= np.mean(inside) <= 0.99


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
