"""Profiles of latents, against dense loops."""

import numpy as np
import pytest
from hypothesis import given, settings

from saev.features.profiles import QUANTILES, fire_together, nearest_rows, profile, spread_images
from tests.probing.examples import codes_of, random_codes, seeds


@given(seeds)
@settings(max_examples=15, deadline=None)
def test_a_profile_is_that_of_the_dense_codes(seed):
    dense = random_codes(np.random.default_rng(seed), 40, 7, 0.3)
    dense[:, 3] = 0
    found = profile(codes_of(dense))
    for s in range(7):
        active = np.sort(dense[:, s][dense[:, s] > 0])
        assert found.density_s[s] == len(active) / 40
        assert found.images_s[s] == (dense[:, s].reshape(10, 4).max(1) > 0).mean()
        assert found.maximum_s[s] == active.max(initial=0)
        assert found.mean_s[s] == pytest.approx(active.mean() if len(active) else 0)
        if len(active):
            lower, higher = (np.quantile(active, QUANTILES, method=how) for how in ("lower", "higher"))
            assert ((lower <= found.quantiles_sq[s]) & (found.quantiles_sq[s] <= higher)).all()
        else:
            assert not found.quantiles_sq[s].any()


def test_neighbours_are_those_of_loops(monkeypatch):
    monkeypatch.setattr("saev.features.profiles.BLOCK", 3)
    rng = np.random.default_rng(0)
    rows, dense = rng.normal(size=(8, 5)).astype(np.float32), random_codes(rng, 40, 8, 0.4)
    near, together = nearest_rows(rows, 3), fire_together(codes_of(dense), 3)
    fires = dense > 0
    for s in range(8):
        others = [t for t in range(8) if t != s]
        cosines = {t: rows[s] @ rows[t] / np.linalg.norm(rows[s]) / np.linalg.norm(rows[t]) for t in others}
        shares = {t: (fires[:, s] & fires[:, t]).sum() / (fires[:, s] | fires[:, t]).sum() for t in others}
        for found, expected in ((near, cosines), (together, shares)):
            best = sorted(expected.values(), reverse=True)[:3]
            np.testing.assert_allclose(found.nearness_sk[s], best, rtol=1e-5)
            assert [expected[t] for t in found.latents_sk[s]] == pytest.approx(best, rel=1e-5)


def test_images_are_spread_from_the_strongest_to_the_weakest():
    codes = np.zeros((20, 4))
    codes[:15, 1] = np.arange(15, 0, -1)  # image 0 the strongest, 14 the weakest that fires
    assert spread_images(codes, 3).tolist() == [0, 7, 14]
    assert spread_images(codes, 40).tolist() == list(range(15))
    codes[14] = 5  # much of it, though none of it is large
    assert spread_images(codes, 1, "sum").tolist() == [14] and spread_images(codes, 1).tolist() == [0]
    assert not len(spread_images(codes * 0, 3))
