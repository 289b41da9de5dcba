"""Likeness of what latents fire on: against loops over pairs and all permutations, and what p promises."""

from itertools import combinations, permutations

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from scipy.stats import kstest

from saev.errors import SaevError
from saev.probing.monosemantic import monosemanticity
from tests.probing.examples import random_codes, seeds


def measured(dense_us, embeddings_ud, **options):
    return monosemanticity(
        scipy.sparse.csr_array(np.asarray(dense_us, np.float32)), embeddings_ud, **{"times": 99} | options
    )


def directions(embeddings_ud):
    centred = embeddings_ud - embeddings_ud.mean(0)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


def by_pairs(code_u, unit_ud):
    """The weighted mean cosine, one pair at a time."""
    part = whole = 0.0
    for a, b in combinations(np.flatnonzero(code_u), 2):
        weight = float(code_u[a]) * float(code_u[b])
        part, whole = part + weight * (unit_ud[a] @ unit_ud[b]), whole + weight
    return part / whole if whole else np.nan


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_the_value_is_that_of_a_loop_over_pairs(seed):
    rng = np.random.default_rng(seed)
    dense, embeddings = random_codes(rng, 20, 6), rng.normal(1, 1, (20, 5))
    dense[:, 0], dense[:, 1], dense[3, 1] = 0, 0, 2.0  # silent, and on one unit
    found, unit = measured(dense, embeddings, times=0), directions(embeddings)
    null = np.mean([unit[a] @ unit[b] for a, b in combinations(range(20), 2)])
    assert found.null == pytest.approx(null)
    np.testing.assert_allclose(found.value_s, [by_pairs(code, unit) - null for code in dense.T], atol=1e-9)
    for of_latent in (found.value_s, found.p_s, found.q_s):
        assert np.isnan(of_latent[:2]).all()


def test_the_null_is_the_mean_over_all_permutations_whatever_the_weights():
    """And p the share of them that do as well, with ties."""
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(6, 3))
    dense = np.array([[3, 1, 0, 0, 0.2, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]]).T
    found, unit = measured(dense, embeddings, times=4000), directions(embeddings)
    for s, code in enumerate(dense.T):
        values = np.array([by_pairs(code, unit[list(moved)]) for moved in permutations(range(6))])
        assert values.mean() == pytest.approx(found.null)
        expected = (values >= by_pairs(code, unit) - 1e-12).mean()
        assert found.p_s[s] == pytest.approx(expected, abs=4 * (0.25 / 4000) ** 0.5)
    assert found.p_s[2] == 1  # it fires alike everywhere: every permutation does as well


def clustered(seed, n=200, s=200):
    """Embeddings of 4 clusters, and codes that know nothing of them but those of latent 7."""
    rng = np.random.default_rng(seed)
    cluster = rng.integers(0, 4, n)
    embeddings = 2 * rng.normal(size=(4, 16))[cluster] + rng.normal(size=(n, 16))
    dense = random_codes(rng, n, s, 0.1)
    dense[:, 7] = (cluster == 2) * rng.exponential(1, n)
    return dense, embeddings


def test_a_latent_of_one_cluster_is_found_and_few_others_are():
    false = []
    for seed in range(20):
        found = measured(*clustered(seed, s=50), times=1999)
        assert found.value_s.argmax() == 7 and found.value_s[7] > 0.4 and found.q_s[7] <= 0.05
        assert abs(np.delete(found.value_s, 7).mean()) < 0.03
        claimed = found.q_s <= 0.05
        assert found.share == pytest.approx(claimed.mean())
        false.append(1 - 1 / claimed.sum())
    assert np.mean(false) <= 0.05 + 3 * np.std(false) / 20**0.5


def test_p_of_random_latents_is_uniform():
    p = np.concatenate([np.delete(measured(*clustered(seed), seed=seed).p_s, 7) for seed in range(10)])
    # Latents of one draw are independent given its embeddings; p is a multiple of 1/100.
    assert kstest(p - 0.005, "uniform").pvalue > 0.01
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / len(p)) ** 0.5)


def test_a_common_direction_and_any_offset_and_scale_change_nothing():
    dense, embeddings = clustered(1)
    found = measured(dense, embeddings)
    common = 3 * np.linalg.norm(embeddings, axis=1).mean() * np.ones(16) / 4
    raw = embeddings + common
    raw /= np.linalg.norm(raw, axis=1, keepdims=True)
    assert by_pairs(dense[:, 0], raw) > 0.85  # what uncentred embeddings make of a random latent
    for other in (
        measured(dense, embeddings + common),
        measured(dense, 10 * embeddings - 5),
        measured(0.1 * dense, embeddings),
    ):
        np.testing.assert_allclose(other.value_s, found.value_s, atol=1e-6)
        np.testing.assert_array_equal(other.p_s, found.p_s)
        assert other.null == pytest.approx(found.null)


def test_of_many_units_a_draw_by_seed_is_judged():
    dense, embeddings = clustered(2, n=400, s=40)
    dense[:, 0] = 1
    whole, part = measured(dense, embeddings), measured(dense, embeddings, most=60)
    few = (dense > 0).sum(0) <= 60
    assert few.any() and not few[0]
    np.testing.assert_allclose(part.value_s[few], whole.value_s[few], atol=1e-9)
    drawn = [measured(dense, embeddings, most=60, seed=seed, times=0).value_s[0] for seed in range(40)]
    assert part.value_s[0] == drawn[0] and len(set(drawn)) == 40
    assert np.mean(drawn) == pytest.approx(whole.value_s[0], abs=4 * np.std(drawn) / 40**0.5)


def test_an_embedding_without_a_direction_is_named():
    def asked(embeddings_ud, n=3):
        return measured(np.ones((n, 1)), np.array(embeddings_ud, float))

    with pytest.raises(SaevError, match="embedding 1 of 3 is not finite"):
        asked([[1, 2], [np.nan, 0], [3, 1]])
    with pytest.raises(SaevError, match="embedding 2 of 3 is the mean of all"):
        asked([[1, 2], [-1, -2], [0, 0]])
    with pytest.raises(SaevError, match="embedding 0 of 3 is the mean of all"):
        asked(np.full((3, 2), 0.7))
    with pytest.raises(SaevError, match="3 embeddings of 4 units"):
        asked([[1, 2], [0, 0], [3, 1]], n=4)
