"""Neighbours of latents, against loops."""

import numpy as np
import pytest

from saev.features import fire_together, nearest_rows
from tests.probing.examples import codes_of, random_codes


def test_neighbours_are_those_of_loops(monkeypatch):
    monkeypatch.setattr("saev.features.neighbours.BLOCK", 3)
    rng = np.random.default_rng(0)
    rows, dense = rng.normal(size=(8, 5)).astype(np.float32), random_codes(rng, 40, 8, 0.4)
    near, together = nearest_rows(rows, 3), fire_together(codes_of(dense).csr, 3)
    fires = dense > 0
    for s in range(8):
        others = [t for t in range(8) if t != s]
        cosines = {t: rows[s] @ rows[t] / np.linalg.norm(rows[s]) / np.linalg.norm(rows[t]) for t in others}
        shares = {t: (fires[:, s] & fires[:, t]).sum() / (fires[:, s] | fires[:, t]).sum() for t in others}
        for found, expected in ((near, cosines), (together, shares)):
            best = sorted(expected.values(), reverse=True)[:3]
            np.testing.assert_allclose(found.nearness_sk[s], best, rtol=1e-5)
            assert [expected[t] for t in found.latents_sk[s]] == pytest.approx(best, rel=1e-5)
