"""Rankings against scikit-learn's, purity against all orders of tied units, and both on constructed truth."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from saev.errors import SaevError
from saev.probing.ranking import coverage, purity, rank, rank_one
from tests.probing.examples import classes_of, codes_of, concepts_of, random_codes, seeds

N, S, C = 40, 4, 3


def tied_codes(rng, n, s, levels):
    """(n, s) dense codes of so many values, 0 among them; with one level all are silent."""
    return rng.integers(0, levels, (n, s)).astype(np.float32)


def random_truth(rng, n):
    """What is known of each unit and concept; of the last concept all that is known is that it is shown."""
    truth = rng.choice([1, 0, -1], (n, C), p=[0.3, 0.4, 0.3])
    truth[:, -1] = np.abs(truth[:, -1])
    truth[truth[:, -1] == 0, -1] = -1
    return truth, rng.random(n) < 0.8


def check_against_sklearn(dense, truth, known):
    found = rank(codes_of(dense), concepts_of(truth, known))
    assert found.ap_cs.shape == found.auroc_cs.shape == (truth.shape[1], dense.shape[1])
    for c in range(truth.shape[1]):
        there = known & (truth[:, c] >= 0)
        shown = truth[there, c] > 0
        for s in range(dense.shape[1]):
            expected = (
                (average_precision_score(shown, dense[there, s]), roc_auc_score(shown, dense[there, s]))
                if len(np.unique(shown)) == 2
                else (np.nan, np.nan)
            )
            np.testing.assert_allclose((found.ap_cs[c, s], found.auroc_cs[c, s]), expected, rtol=1e-12)


@given(seeds)
@settings(max_examples=15, deadline=None)
def test_rankings_with_unknown_units_equal_sklearn(seed):
    rng = np.random.default_rng(seed)
    check_against_sklearn(random_codes(rng, N, S), *random_truth(rng, N))


@given(seeds, st.integers(1, 4))
@settings(max_examples=15, deadline=None)
def test_rankings_of_heavily_tied_codes_equal_sklearn(seed, levels):
    rng = np.random.default_rng(seed)
    check_against_sklearn(tied_codes(rng, N, S, levels), *random_truth(rng, N))


@given(seeds, st.integers(1, 7))
@settings(max_examples=30, deadline=None)
def test_purity_is_the_mean_over_all_orders_of_the_known_units(seed, k):
    rng = np.random.default_rng(seed)
    dense, (truth, known) = tied_codes(rng, 6, 3, 3), random_truth(rng, 6)
    found_cs = purity(codes_of(dense, per_image=2), concepts_of(truth, known, per_image=2), k)
    for c in range(C):
        there = np.flatnonzero(known & (truth[:, c] >= 0))
        if not len(there):
            assert np.isnan(found_cs[c]).all()
            continue
        orders = np.array(list(permutations(there)))
        for s in range(3):
            strongest = np.argsort(-dense[orders, s], axis=1, kind="stable")[:, :k]
            shown = truth[np.take_along_axis(orders, strongest, 1), c] > 0
            assert found_cs[c, s] == pytest.approx(shown.mean())


def test_perfect_silent_and_inverted_latents():
    labels = np.repeat([0, 1, 1, 1], 10)
    dense = np.stack([labels == 0, np.zeros(40), labels == 1], 1) * [3.0, 1, 1]
    codes, asked = codes_of(dense), classes_of(labels, 2)
    ap_cs, auroc_cs = rank(codes, asked)
    np.testing.assert_allclose(auroc_cs, [[1, 0.5, 0], [0, 0.5, 1]])
    # The inverted latent has the units of the concept in one tie block, which is the last.
    np.testing.assert_allclose(ap_cs, [[1, 0.25, 0.25], [0.75, 0.75, 1]])
    np.testing.assert_allclose(purity(codes, asked, 10), [[1, 0.25, 0], [0, 0.75, 1]])
    # Ten units of the concept, and ten of those on which the latent is silent.
    np.testing.assert_allclose(purity(codes, asked, 20)[0], [0.5, 0.25, 0])
    np.testing.assert_allclose(purity(codes, asked, 40), np.tile([[0.25], [0.75]], 3))


def test_a_rare_latent_is_filled_up_with_silent_units():
    """It fires on two units of the concept: of the other 38 units 8 show it."""
    labels = np.repeat([0, 1], [10, 30])
    dense = np.zeros((40, 1))
    dense[:2] = [[2.0], [1.0]]
    for k, expected in ((1, 1), (2, 1), (16, (2 + 14 * 8 / 38) / 16)):
        assert purity(codes_of(dense), classes_of(labels, 2), k)[0, 0] == pytest.approx(expected)


def test_a_concept_of_which_nothing_is_known_has_no_figure():
    asked = concepts_of(np.full((8, 1), -1))
    codes = codes_of(np.ones((8, 2)))
    assert all(np.isnan(figures).all() for figures in (*rank(codes, asked), purity(codes, asked, 3)))


def test_purity_is_of_one_unit_at_least():
    with pytest.raises(SaevError, match="k must be an integer >= 1, got 0"):
        purity(codes_of(np.ones((8, 2))), classes_of(np.zeros(8), 1), 0)


def test_coverage_is_of_the_concepts_that_have_an_ap():
    assert coverage(np.array([0.3, 0.29, np.nan, 0.9])) == pytest.approx(2 / 3)
    assert coverage(np.array([0.3, 0.29]), tau=0.5) == 0
    assert np.isnan(coverage(np.array([np.nan])))


@given(seeds, st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_one_score_is_ranked_as_by_scikit_learn(seed, levels):
    rng = np.random.default_rng(seed)
    score, shown = rng.integers(0, levels, N) - 2.5, rng.permutation(N) < rng.integers(1, N)
    expected = average_precision_score(shown, score), roc_auc_score(shown, score)
    assert rank_one(shown, score) == pytest.approx(expected)
    assert np.isnan([rank_one(shown | True, score), rank_one(shown & False, score)]).all()
