"""Nobody judges what it has chosen."""

from dataclasses import replace

import numpy as np
import pytest

from saev.probing import Splits, difference, match_concepts, mean_f1
from saev.probing.folds import folds, over_folds
from tests.probing.examples import codes_of, concepts_of, random_codes

NAMES = tuple(f"site {i}" for i in range(6))


def clustered(rng, n, names=NAMES):
    """Units of two concepts, in clusters drawn at random; each fifth is unknown."""
    asked = concepts_of(rng.integers(0, 2, (n, 2)), known=np.arange(n) % 5 > 0)
    return replace(asked, cluster=rng.integers(0, len(names), n), clusters=names)


def test_what_is_judged_was_chosen_by_other_clusters():
    rng = np.random.default_rng(0)
    train, val = clustered(rng, 200), clustered(rng, 120, (*NAMES[3:], "new"))
    parts = folds(train, val)
    assert parts.n == 3  # of three clusters in common
    for f in range(parts.n):
        choose = {train.clusters[c] for c in train.cluster[train.known & (parts.train_u != f)]}
        judge = {val.clusters[c] for c in val.cluster[val.known & (parts.val_u == f)]}
        assert not choose & judge
        assert {"site 0", "site 1", "site 2"} <= choose  # which validation lacks
    assert sum((val.known & (parts.val_u == f)).sum() for f in range(parts.n)) == val.known.sum()


def test_images_that_are_their_own_clusters_are_not_shared():
    asked = concepts_of(np.ones((8, 1), int))
    assert folds(asked, asked).n == 1


def test_a_latent_of_one_photograph_is_no_latent_of_the_concept():
    """Each latent knows the concept in one cluster: perfect within it, nothing across clusters."""
    rng = np.random.default_rng(1)
    n = 480
    cluster, truth = np.repeat(np.arange(12), 40), rng.integers(0, 2, n)
    dense = 2.0 * ((cluster[:, None] == np.arange(12)) & (truth[:, None] > 0))
    asked = replace(concepts_of(truth[:, None]), cluster=cluster, clusters=tuple(map(str, range(12))))
    (match,) = match_concepts(Splits(codes_of(dense), codes_of(dense), asked, asked), (), times=19)
    assert match.scores["f1"] == 0 and match.scores["f1_train"] > 0.1 and match.scores["clusters"] == 12
    own = replace(asked, clusters=())  # as if the images had nothing to do with each other
    (match,) = match_concepts(Splits(codes_of(dense), codes_of(dense), own, own), (), times=19)
    assert match.scores["f1"] > 0.1


def test_the_difference_of_two_dictionaries_is_paired():
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, (400, 2))
    good, bad = (2.0 * (truth ^ (rng.random(truth.shape) < share)) for share in (0.05, 0.4))
    asked = concepts_of(truth)
    matched = [
        match_concepts(Splits(codes_of(d), codes_of(d), asked, asked), (), times=0) for d in (good, bad)
    ]
    values = [mean_f1(matches) for matches in matched]
    found = difference(*matched)
    assert found.value == pytest.approx(values[0].value - values[1].value) and found.low > 0.2
    same = difference(matched[0], matched[0])
    assert same.value == same.low == same.high == 0
    assert mean_f1([]).value is None and difference([], matched[0]).value is None
    assert [match.scores["q"] for match in matched[0]] == [None, None] and not matched[0][0].claimed


def test_random_codes_have_no_advantage_over_each_other():
    rng = np.random.default_rng(3)
    asked = concepts_of(rng.integers(0, 2, (400, 3)))
    one, other = (codes_of(random_codes(rng, 400, 9)) for _ in range(2))
    sides = [match_concepts(Splits(codes, codes, asked, asked), (), times=0) for codes in (one, other)]
    found = difference(*sides)
    assert found.low < 0 < found.high or abs(found.value) < 0.03


def test_a_score_of_folds_is_weighted_by_the_units_that_show_the_concept():
    part, shown = np.repeat([0, 1, 2], 4), np.array([1, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0]) > 0
    value = np.repeat([2.0, 6.0, 100.0], 4)  # the last fold shows nothing

    def mean(shown_m, value_m):
        return value_m.mean(), np.nan if value_m[0] > 2 else 1.0

    assert over_folds(lambda *of: mean(*of)[0], shown, value, part) == (2 * 1 + 6 * 3) / 4
    np.testing.assert_array_equal(over_folds(mean, shown, value, part), [2, 1])  # not known of all
    assert np.isnan(over_folds(mean, shown, value + 5, part)).all()
