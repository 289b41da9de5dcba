"""Differences between two groups of images, against formulas by hand, scipy, all exchanges there are, and
planted truth."""

from itertools import combinations, product

import numpy as np
import pytest
import scipy.stats

from saev.errors import SaevError
from saev.probing.contrasts import contrast
from saev.probing.groups import Groups
from tests.probing.examples import codes_of, random_codes

HALVES = np.repeat([0, 1], 30)


def of(dense_is, *groups, **options):
    return contrast(codes_of(dense_is, 1), Groups(*groups), **options)


def few_enough(found, level=0.05):
    """A share of so many trials that is at most the level, plus 3 deviations."""
    return np.mean(found) <= level + 3 * (level * (1 - level) / len(found)) ** 0.5


def test_the_effect_and_its_size_by_hand():
    codes = np.float32([[1, 2, 4, 7, 5, 6, 0, 1]]).T
    found = of(codes, np.array([0, 0, 1, 1, 0, 1, 1, 1]), np.array([3, 3, 3, 3, 9, 9, 9, 9]))
    # 5.5 - 1.5 with weight 2 2 / 4, and 7 / 3 - 5 with weight 1 3 / 4.
    effect = (4 * 1 + (7 / 3 - 5) * 0.75) / 1.75
    assert found.effect == pytest.approx(effect)
    rest = [x - 3.5 - effect * z for x, z in zip([1, 2, 4, 7], [-0.5, -0.5, 0.5, 0.5], strict=True)]
    rest += [x - 3 - effect * z for x, z in zip([5, 6, 0, 1], [-0.75, 0.25, 0.25, 0.25], strict=True)]
    assert found.standardised == pytest.approx(effect / (np.square(rest).sum() / 5) ** 0.5)
    # All 4 pairs with weight 4 / 5, and 1 of 3 with weight 3 / 5.
    assert found.larger == pytest.approx((4 / 5 + 1 / 5) / (4 / 5 + 3 / 5))
    assert (found.fires_a, found.fires_b) == (1, 4 / 5)


def test_of_one_stratum_it_is_mann_whitney_cohen_and_welch():
    """Welch's interval with the degrees of freedom that it has where variances are equal."""
    dense, b = random_codes(np.random.default_rng(0), 60, 7, 0.6), np.arange(60) >= 20
    found, n = of(dense, b), np.array([[40], [20]])
    u = scipy.stats.mannwhitneyu(dense[b], dense[~b]).statistic
    np.testing.assert_allclose(found.larger, u / 800)
    variances = np.stack([dense[side].astype(float).var(0, ddof=1) for side in (b, ~b)])
    pooled = (variances * (n - 1)).sum(0) / 58
    np.testing.assert_allclose(found.standardised, found.effect / np.sqrt(pooled), rtol=1e-5)
    freedom = (1 / n).sum() ** 2 / (1 / n**2 / (n - 1)).sum()
    half = scipy.stats.t.ppf(0.975, freedom) * np.sqrt((variances / n).sum(0))
    np.testing.assert_allclose([found.low, found.high], [found.effect - half, found.effect + half], rtol=1e-5)


def test_of_pairs_it_is_the_paired_t_interval():
    rng = np.random.default_rng(1)
    cluster = np.repeat(np.arange(20), 2)
    dense = 5 + rng.normal(size=(40, 6)) + rng.normal(0, 3, (20, 6))[cluster]
    found = of(dense, np.tile([0, 1], 20), None, cluster)
    paired = scipy.stats.ttest_rel(dense[1::2], dense[::2])
    interval = paired.confidence_interval()
    np.testing.assert_allclose([found.low, found.high], [interval.low, interval.high], rtol=1e-5)
    np.testing.assert_allclose(found.p, paired.pvalue, atol=0.05)


def test_p_is_that_of_all_exchanges_also_where_pairs_and_single_clusters_mix():
    """Clusters 0 to 3 lie in both groups; of the others two are of a and three of b. The effect is that of
    least squares with a constant for each block."""
    rng = np.random.default_rng(2)
    cluster = np.r_[np.repeat(np.arange(4), 2), np.arange(4, 9)]
    block = np.minimum(cluster, 4)
    b = np.r_[np.tile([0, 1], 4), 0, 0, 1, 1, 1]
    dense = np.abs(rng.normal(size=(13, 5)) + 0.8 * b[:, None])

    def effect(b_n):
        blocks = block[:, None] == np.arange(5)
        return np.linalg.lstsq(np.column_stack([b_n, blocks]), dense, rcond=None)[0][0]

    every = []
    for flips, chosen in product(product([0, 1], repeat=4), combinations(range(5), 3)):
        pairs = np.ravel([[flip, 1 - flip] for flip in flips])
        every.append(effect(np.r_[pairs, np.isin(np.arange(5), chosen)]))
    spread = np.sqrt(np.square(every).mean(0))
    every, mine = np.abs(every) / spread, np.abs(effect(b)) / spread - 1e-9
    found = of(dense, b, None, cluster, times=20_000)
    np.testing.assert_allclose(found.effect, effect(b), rtol=1e-5)
    np.testing.assert_allclose(found.p, (every >= mine).mean(0), atol=0.012)
    np.testing.assert_allclose(found.p_best, (every.max(1, keepdims=True) >= mine).mean(0), atol=0.012)
    assert Groups(b, None, cluster).smallest_p == 1 / len(every)


def test_what_differs_is_found_under_a_nuisance_that_without_strata_is_taken_for_it():
    strata, none, found = [], [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        site = np.repeat([0, 1, 2], [30, 30, 20])
        group = (rng.random(80) < np.array([0.2, 0.7, 0.5])[site]).astype(int)
        dense = random_codes(rng, 80, 60, 0.7)
        dense[:, 20:40] += 2 * (site == 1)[:, None]
        dense[:, :5] += 1.2 * group[:, None]
        for stratum, shares in ((site, strata), (None, none)):
            claimed = of(dense, group, stratum, times=200, seed=seed).q <= 0.05
            shares.append(claimed[5:].sum() / max(claimed.sum(), 1))
            if stratum is site:
                found.append(claimed[:5].mean())
    deviation = np.std(strata) / len(strata) ** 0.5
    assert np.mean(found) > 0.9 and np.mean(strata) <= 0.05 + 3 * deviation < 0.1
    assert np.mean(none) > 0.5


def test_copies_within_a_cluster_change_nothing_and_taken_for_images_they_make_false_claims():
    rng = np.random.default_rng(3)
    dense, again = random_codes(rng, 60, 50, 0.7), np.repeat(np.arange(60), 10)
    once = of(dense, HALVES)
    copied = of(dense[again], HALVES[again], None, again)
    for value, expected in zip(copied, once, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert few_enough(once.p <= 0.05)
    assert np.mean(of(dense[again], HALVES[again]).p <= 0.05) > 0.3


def mixed(rng):
    """Two strata of unequal groups, one of which has pairs too, and clusters of one to three images."""
    group = np.r_[np.repeat([0, 1], [4, 9]), np.repeat([0, 1], [6, 3]), np.tile([0, 1], 5)]
    stratum, cluster = np.repeat([0, 1], [13, 19]), np.r_[np.arange(22), np.repeat(np.arange(22, 27), 2)]
    of_image = np.repeat(np.arange(32), rng.integers(1, 4, 32))
    return of_image, (group[of_image], stratum[of_image], cluster[of_image])


def test_without_a_difference_p_is_uniform():
    rng = np.random.default_rng(4)
    part, groups = mixed(rng)
    shared = rng.exponential(size=(27, 2000))[groups[2]] + rng.normal(5, 1, (2, 2000))[groups[1]]
    dense = shared + 0.5 * rng.exponential(size=(32, 2000))[part]
    p = of(dense, *groups, times=400).p
    assert scipy.stats.kstest(p, "uniform").pvalue > 0.01
    assert few_enough(p <= 0.01, 0.01)


def test_without_a_difference_few_draws_claim_any_latent():
    claims = []
    for seed in range(60):
        rng = np.random.default_rng([5, seed])
        part, groups = mixed(rng)
        found = of(random_codes(rng, 32, 40, 0.3)[part], *groups, times=100, seed=seed)
        claims.append((np.nanmin(found.q) <= 0.05, np.nanmin(found.p_best) <= 0.05))
    assert few_enough(np.array(claims)[:, 0]) and few_enough(np.array(claims)[:, 1])


def test_one_latent_among_many_is_found_though_few_exchanges_cannot_tell():
    dense = random_codes(np.random.default_rng(6), 60, 1000, 0.4)
    dense[:, 123] += 3 * HALVES
    found = of(dense, HALVES, times=100)
    assert np.flatnonzero(found.q <= 0.05).tolist() == [123] == np.flatnonzero(found.p_best <= 0.05).tolist()
    assert found.p[123] < 1e-4 and found.rows()[0]["latent"] == 123


@pytest.mark.parametrize(("clusters", "least", "most"), [(30, 0.93, 0.97), (10, 0.91, 0.98)])
@pytest.mark.parametrize("strata", [1, 3])
def test_the_interval_holds_what_it_promises(clusters, least, most, strata):
    """Of codes that are 0 on half of the clusters in a and fewer in b, and exponential elsewhere."""
    rng = np.random.default_rng(7)
    group = np.repeat([0, 1], clusters)
    stratum = np.tile(np.arange(clusters) % strata, 2)
    fires = rng.random((2 * clusters, 1500)) < np.array([0.5, 0.8])[group, None]
    dense = fires * (rng.exponential(size=fires.shape) + 0.5 * stratum[:, None])
    truth = 0.3 * np.mean(1 + 0.5 * stratum)
    found = of(dense, group, stratum, times=1)
    there = ~np.isnan(found.low)
    assert there.mean() > 0.8
    assert least <= np.mean((found.low <= truth) & (truth <= found.high), where=there) <= most


def test_no_interval_of_few_clusters_or_of_a_latent_that_fires_in_few():
    dense = np.ones((60, 3)) + np.random.default_rng(8).random((60, 3))
    dense[9:, 1], dense[:, 2] = 0, 0
    found = of(dense, HALVES)
    assert np.isnan(found.low).tolist() == np.isnan(found.high).tolist() == [False, True, True]
    assert np.isnan(of(dense[26:35], HALVES[26:35]).low).all()
    for n in range(20, 60, 3):
        assert np.isnan(of(dense[:n], np.arange(n) == 0, times=1).low).all()  # one against all others


def test_records_are_of_the_tested_latents_in_order():
    dense = random_codes(np.random.default_rng(9), 60, 30, 0.4)
    dense[:, 4], dense[:, 5] = 0, 0.1
    cluster = np.repeat(np.arange(60), 7)  # whose means of 0.1 are 0.1 up to rounding
    rows = of(dense[cluster], HALVES[cluster], None, cluster).rows()
    keys = [(row["q"], -abs(row["effect"])) for row in rows]
    assert keys == sorted(keys) and sorted(row["latent"] for row in rows) == [*range(4), *range(6, 30)]
    assert all(value is None or value == value for row in rows for value in row.values())


def test_what_has_no_counterpart_is_left_out_and_counted():
    rng = np.random.default_rng(10)
    dense, group = random_codes(rng, 70, 20, 0.4), np.r_[HALVES, np.zeros(7, int), np.full(3, -1)]
    groups = Groups(group, np.repeat([5, 6, 8], [60, 6, 4]))
    assert groups.left_out == {6: 6, 8: 1} and groups.clusters == (30, 30)
    np.testing.assert_equal(contrast(codes_of(dense, 1), groups), of(dense[:60], HALVES))


TEN = np.tile([0, 1], 5)


@pytest.mark.parametrize(
    ("groups", "complaint"),
    [
        (([0, 1, 2],), "group 0 or 1, or -1 for neither, got 2"),
        ((TEN, TEN[:4]), "stratum_i must be of as many images as group_i, 10, got 4"),
        ((TEN, TEN), "no stratum has images of both a and b"),
        (([0, 0, 1],), r"too few clusters, 2 of a and 1 of b: .* p is never below 0.33, and 0.05"),
        ((TEN, None, TEN), "1 of a and 1 of b: .* never below 1, and 0.05"),
        ((np.repeat([0, 1], 10), TEN.repeat(2), np.tile(np.arange(10), 2)), "cluster 0 lies in strata 0, 1"),
    ],
)
def test_groups_that_cannot_be_compared_are_refused(groups, complaint):
    with pytest.raises(SaevError, match=complaint):
        Groups(*(None if of_i is None else np.array(of_i) for of_i in groups))


def test_codes_of_patches_are_refused():
    with pytest.raises(SaevError, match=r"whole images, 10 of them, got Codes\(40 units of 10 images"):
        contrast(codes_of(np.ones((40, 2))), Groups(TEN))
