"""Means over classes and their differences against loops, and how often their intervals hold zero."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saev.intervention.measures import Sums
from saev.intervention.resampling import clusters_of, levels, means, per_cluster, resampling


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_means_are_those_of_a_loop_over_resamples_and_classes(seed, c, n):
    rng = np.random.default_rng(seed)
    whole = rng.integers(0, 3, (c, n)).astype(float)
    sums, cluster = Sums(rng.normal(size=(c, n)) * (whole > 0), whole), rng.integers(0, 3, n)
    drawn = resampling(cluster, times=20, seed=seed)
    assert drawn.clusters == len(set(cluster.tolist())) and (drawn.weights_rn[0] == 1).all()
    for weights, found in zip(drawn.weights_rn, means(sums, drawn.weights_rn), strict=True):
        again = np.repeat(np.arange(n), weights.astype(int))
        ratios = [p[again].sum() / w[again].sum() for p, w in zip(*sums, strict=True) if w[again].sum()]
        assert found == pytest.approx(np.mean(ratios)) if ratios else np.isnan(found)


def test_sums_of_clusters_are_those_of_a_loop_in_the_order_of_their_names():
    rng = np.random.default_rng(0)
    values, cluster = rng.normal(size=(30, 2)), rng.choice(["b", "a", "d"], 30)
    expected = [sum(v for v, of in zip(values, cluster, strict=True) if of == name) for name in "abd"]
    np.testing.assert_allclose(per_cluster(values, cluster), expected)


def test_a_cluster_is_drawn_as_a_whole():
    cluster = np.array([7, 7, 2, 7, 2])
    weights = resampling(cluster, times=30).weights_rn
    assert (weights[:, [0, 0, 2]] == weights[:, [1, 3, 4]]).all()
    assert (weights[:, [0, 2]].sum(1) == 2).all()


def test_fewer_than_ten_clusters_give_no_interval():
    values = np.linspace(0, 1, 101)
    assert resampling(np.arange(9)).estimate(values)[:3] == (0, None, None)
    assert resampling(np.repeat(np.arange(9), 5)).estimate(values)[:3] == (0, None, None)
    assert resampling(np.arange(10)).estimate(values)[:3] == (0, *np.quantile(values[1:], levels(10)))
    assert resampling(np.arange(10)).estimate(np.array([np.nan, 1.0])).value is None


def test_the_interval_of_a_mean_is_about_as_long_as_students():
    """Whose 2.26 standard errors hold 95 % of 10 normal numbers."""
    values = np.random.default_rng(0).normal(size=10)
    drawn = resampling(np.arange(10), times=20000)
    found = drawn.estimate(drawn.weights_rn @ values / 10)
    assert length(found) / 2 == pytest.approx(2.262 * values.std(ddof=1) / np.sqrt(10), rel=0.07)
    np.testing.assert_allclose(levels(10**6), [0.025, 0.975], atol=1e-4)


def arms(rng, n, paired):
    """Target changed of two arms with the same effect, of images that are easily changed or hardly."""
    whole = rng.integers(5, 30, (3, n)).astype(float)
    ease = rng.beta(1, 1, n)
    other = ease if paired else rng.beta(1, 1, n)
    return [Sums(rng.binomial(whole.astype(int), of).astype(float), whole) for of in (ease, other)]


def length(estimate):
    return estimate.high - estimate.low


def test_a_paired_difference_is_surer_than_one_of_other_images():
    edit, control = arms(np.random.default_rng(0), 40, paired=True)
    one, another = (resampling(np.arange(40), seed=seed) for seed in (0, 1))
    paired = one.estimate(means(edit, one.weights_rn) - means(control, one.weights_rn))
    unpaired = one.estimate(means(edit, one.weights_rn) - means(control, another.weights_rn))
    assert length(paired) < 0.5 * length(unpaired)


def test_an_edit_that_is_like_its_control_is_found_so_as_often_as_is_said():
    """95 % of 300, of few clusters and of many; the standard error of the share is 1.3 %."""
    held = 0
    for seed in range(300):
        n = 16 if seed % 2 else 40
        edit, control = arms(np.random.default_rng(seed), n, paired=seed % 4 < 2)
        drawn = resampling(np.arange(n), seed=seed)
        found = drawn.estimate(means(edit, drawn.weights_rn) - means(control, drawn.weights_rn))
        held += found.low <= 0 <= found.high
    assert 0.92 <= held / 300 <= 0.98


def test_clusters_of_images(setup, monkeypatch):
    n = len(setup.model.images)
    assert len(set(clusters_of(setup).tolist())) == n  # scenes of several photographs each
    none, cluster = 2**32 - 1, np.full((setup.tokens.n_images, 4), 5, np.uint32)
    cluster[setup.model.images[0], :2], cluster[setup.model.images[1]] = none, none
    cluster[setup.model.images[2], 1] = 6
    monkeypatch.setattr(type(setup.tokens.store), "cluster", lambda store: cluster)
    found = clusters_of(setup).tolist()
    assert found[0] == found[3] == 5 and len({5, *found[1:3]}) == 3 and set(found[3:]) == {5}
    monkeypatch.setattr(type(setup.tokens.store), "cluster", lambda store: cluster[:, :0])
    assert len(set(clusters_of(setup).tolist())) == n
