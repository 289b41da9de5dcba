"""Permutations of label maps, against loops over images; and what they promise."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.metrics import f1_score

from saev.probing import Splits, best_of_many, match_concepts
from saev.probing.folds import folds
from saev.probing.null import Detector, chosen_anew_f1, shuffled_f1
from tests.probing.examples import classes_of, codes_of, concepts_of, random_codes, seeds


def by_loops(dense_u, truth_u, known_u, judging_u, moved_i, per_image):
    """(hits, fires) of one detector where image i has the label map of image moved_i[i]."""
    hits = fires = 0
    for i, other in enumerate(moved_i):
        for p in range(per_image):
            u, v = i * per_image + p, other * per_image + p
            if dense_u[u] and known_u[v] and judging_u[v]:
                fires += 1
                hits += truth_u[v]
    return hits, fires


@given(seeds)
@settings(max_examples=15, deadline=None)
def test_shuffled_f1_is_that_of_whole_label_maps_moved(seed):
    rng = np.random.default_rng(seed)
    dense, truth = random_codes(rng, 40, 3, 0.4), rng.integers(-1, 2, (40, 1))
    known = rng.random(40) < 0.8
    known[:4] = False  # an image of which nothing is known, which takes no part
    parts = rng.integers(0, 2, 40)
    asked = concepts_of(truth, known=known)
    detectors = [Detector(1, 0.0, parts == 0), Detector(2, 0.3, parts == 1)]
    found = shuffled_f1(codes_of(dense), asked, 0, detectors, times=5, seed=3)
    units, shown = asked.of(0)
    images = np.unique(units // 4)
    moves = np.random.default_rng([3, 0]).permuted(np.tile(images, (5, 1)), axis=1)
    of_unit = (known & (truth[:, 0] >= 0)).astype(int)
    for value, moved in zip(found, moves, strict=True):
        where = np.arange(10)
        where[images] = moved
        hits, fires = np.sum(
            [
                by_loops(
                    (dense[:, d.latent] > np.float32(d.threshold)) & np.isin(np.arange(40) // 4, images),
                    truth[:, 0] == 1,
                    of_unit,
                    d.judging,
                    where,
                    4,
                )
                for d in detectors
            ],
            axis=0,
        )
        assert value == pytest.approx(2 * hits / (fires + shown.sum()) if fires + shown.sum() else 0)


def test_the_best_of_many_is_corrected_as_in_a_loop():
    rng = np.random.default_rng(1)
    dense, labels = random_codes(rng, 48, 6, 0.4), rng.integers(-1, 2, 48)
    asked = classes_of(labels, 2)
    found = best_of_many(codes_of(dense), asked, threshold=0.3, times=30, seed=5)

    def scores(of):
        known = of >= 0
        return np.array(
            [
                [
                    f1_score(of[known] == c, dense[known, s] > np.float32(0.3), zero_division=0)
                    for s in range(6)
                ]
                for c in range(2)
            ]
        )

    images, order = np.unique(np.flatnonzero(labels >= 0) // 4), np.random.default_rng(5)
    best = []
    for _ in range(30):
        moved = np.arange(12)
        moved[images] = order.permutation(images)
        best.append(scores(labels.reshape(12, 4)[moved].ravel()).max(1))
    expected = [
        [(1 + sum(b[c] >= value - 1e-12 for b in best)) / 31 for value in row]
        for c, row in enumerate(scores(labels))
    ]
    np.testing.assert_allclose(found, expected)


def test_a_planted_latent_survives_the_choice_and_no_other_does():
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.integers(0, 4, 100), 4)  # of images, whose units are all alike
    dense = np.repeat(random_codes(rng, 100, 200, 0.2), 4, axis=0)
    dense[:, 7] = 2.0 * (labels == 2)
    p_cs = best_of_many(codes_of(dense), classes_of(labels, 4), times=199)
    assert p_cs[2, 7] == 1 / 200 and np.delete(p_cs[2], 7).min() > 0.05


@pytest.mark.parametrize("seed", range(4))
def test_of_shuffled_labels_few_are_claimed(seed):
    """50 draws of 4 concepts each, the units of an image all alike: at most 5 % claimed, within error."""
    claims = []
    for draw in range(50):
        rng = np.random.default_rng([seed, draw])
        splits = []
        for _ in range(2):
            dense = np.repeat(random_codes(rng, 40, 20, 0.3), 4, axis=0)
            splits.append((codes_of(dense), classes_of(np.repeat(rng.integers(0, 4, 40), 4), 4)))
        (train, asked_train), (val, asked_val) = splits
        matches = match_concepts(Splits(train, val, asked_train, asked_val), (), times=99, seed=draw)
        claims.append(any(match.claimed for match in matches))
    # Nothing is true here, so a draw with any claim is a false discovery: 5 % of 50 draws, plus 3 deviations.
    assert np.mean(claims) <= 0.05 + 3 * (0.05 * 0.95 / 50) ** 0.5


def same_images(rng, n=40, s=12):
    """Codes of whole images, and a concept that means nothing; each image is a cluster of both splits."""
    truth = rng.permutation(np.arange(n) % 2)[:, None]
    asked = replace(concepts_of(truth, per_image=1), clusters=tuple(map(str, range(n))))
    return codes_of(random_codes(rng, n, s), 1), asked


def test_where_the_splits_are_the_same_images_each_permutation_chooses_anew():
    codes, asked = same_images(np.random.default_rng(0))
    found = chosen_anew_f1(codes, asked, 0, folds(asked, asked, 0), times=6, seed=5)
    rng = np.random.default_rng([5, 0])
    for value in found:
        moved = replace(asked, truth=asked.truth[rng.permutation(40)])
        (match,) = match_concepts(Splits(codes, codes, moved, moved), (), times=0)
        assert value == pytest.approx(match.scores["f1"])


def test_of_concepts_that_mean_nothing_few_are_claimed_where_the_splits_are_the_same_images():
    p = []
    for seed in range(60):
        codes, asked = same_images(np.random.default_rng(seed))
        (match,) = match_concepts(Splits(codes, codes, asked, asked), (), times=59, seed=seed)
        p.append(match.scores["p"])
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 2 * (0.05 * 0.95 / 60) ** 0.5
    assert np.mean(np.array(p) <= 0.5) > 0.25  # nor are they held down
