"""Counts against a direct computation, and F1 against scikit-learn's."""

import numpy as np
from hypothesis import given, settings

from saev.probing.f1 import THRESHOLDS, Counts, count, f1
from tests.probing.examples import classes_of, codes_of, concepts_of, random_codes, seeds, sklearn_f1

N, S, C = 40, 6, 5


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_f1_of_classes_equals_sklearn(seed):
    rng = np.random.default_rng(seed)
    dense, labels = random_codes(rng, N, S), rng.integers(-1, C - 1, N)  # the last class is nowhere
    table = f1(count(codes_of(dense), classes_of(labels, C)))
    assert table.shape == (len(THRESHOLDS), C, S)
    known = labels >= 0
    for t, threshold in enumerate(THRESHOLDS):
        for c in range(C):
            truth = np.repeat(labels[known, None] == c, S, axis=1)
            expected = sklearn_f1(truth, dense[known] > np.float32(threshold))
            np.testing.assert_allclose(table[t, c], expected)


def random_concepts(rng, known_share=0.8, unknown_share=0.3):
    truth = rng.choice([1, 0, -1], (N, C), p=[0.3, 0.7 - unknown_share, unknown_share])
    return truth, rng.random(N) < known_share


def directly(dense, truth, known, thresholds=THRESHOLDS):
    """hits, fires and members by masks, each entry on its own."""
    hits, fires, members = (np.zeros((len(thresholds), C, S), int) for _ in range(3))
    for t, threshold in enumerate(thresholds):
        for c in range(C):
            asked = known & (truth[:, c] >= 0)
            for s in range(S):
                yes = dense[:, s] > np.float32(threshold)
                hits[t, c, s] = (asked & yes & (truth[:, c] > 0)).sum()
                fires[t, c, s] = (asked & yes).sum()
                members[t, c, s] = (asked & (truth[:, c] > 0)).sum()
    return hits, fires, members[0, :, 0]


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_counts_with_unknown_entries_are_those_of_masks(seed):
    rng = np.random.default_rng(seed)
    dense, (truth, known) = random_codes(rng, N, S), random_concepts(rng)
    counts = count(codes_of(dense), concepts_of(truth, known))
    for found, expected in zip(counts, directly(dense, truth, known), strict=True):
        np.testing.assert_array_equal(np.broadcast_to(found, expected.shape), expected)
    table = f1(counts)
    for c in range(C):
        units, shown = concepts_of(truth, known).of(c)
        expected = sklearn_f1(np.repeat(shown[:, None], S, axis=1), dense[units] > 0)
        np.testing.assert_allclose(table[0, c], expected)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_counts_of_parts_add_up(seed):
    """Also where everything is known of one part, and not of the other."""
    rng = np.random.default_rng(seed)
    dense, (truth, known) = random_codes(rng, N, S), random_concepts(rng)
    truth[:12] = np.abs(truth[:12])
    parts = [
        count(codes_of(dense[part]), concepts_of(truth[part], known[part]))
        for part in (slice(0, 12), slice(12, 32), slice(32, N))
    ]
    total = Counts(*(sum(fields) for fields in zip(*parts, strict=True)))
    for found, expected in zip(total, directly(dense, truth, known), strict=True):
        np.testing.assert_array_equal(np.broadcast_to(found, expected.shape), expected)
    np.testing.assert_array_equal(f1(total), f1(count(codes_of(dense), concepts_of(truth, known))))


def test_nothing_known_and_nothing_firing_is_zero():
    silent, loud = np.zeros((8, S)), np.ones((8, S))
    shown = np.ones((8, C))
    assert not f1(count(codes_of(silent), concepts_of(shown))).any()
    assert not f1(count(codes_of(silent), concepts_of(0 * shown))).any()
    assert not f1(count(codes_of(loud), concepts_of(shown, known=np.zeros(8, bool)))).any()
    assert (f1(count(codes_of(loud), concepts_of(shown), thresholds=(0.0,))) == 1).all()
