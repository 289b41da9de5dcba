"""Whether another seed finds the same latents, against loops."""

import numpy as np
import pytest
import torch

from saev.evaluation import measure_stability
from saev.sae import SAE, TopK


def of_rows(rows):
    sae = SAE(TopK(d_sae=len(rows), k=1), torch.zeros(rows.shape[1]), 1.0).requires_grad_(False)
    sae.W_dec.copy_(rows)
    return sae


def random_rows(seed, s=60, d=16):
    rows = torch.randn(s, d, generator=torch.Generator().manual_seed(seed))
    return rows / rows.norm(dim=1, keepdim=True)


def test_the_same_latents_in_another_order_are_stable():
    rows = random_rows(0)
    found = measure_stability(of_rows(rows), [of_rows(rows.flip(0)), of_rows(rows[torch.randperm(60)])])
    np.testing.assert_allclose(found.cosine_s, 1, atol=1e-5)
    assert found.share == 1 and found.overlap == pytest.approx(1, abs=1e-4)


def test_unrelated_latents_are_as_stable_as_the_null():
    shares = [
        measure_stability(of_rows(random_rows(i)), [of_rows(random_rows(i + 50))]).share for i in range(20)
    ]
    assert np.mean(shares) == pytest.approx(0.05, abs=0.03)


def test_each_latent_has_its_mean_best_cosine():
    mine, others = random_rows(1, 9, 5), [random_rows(2, 7, 5), random_rows(3, 7, 5)]
    found = measure_stability(of_rows(mine), [of_rows(other) for other in others])
    for s in range(9):
        best = [max(float(mine[s] @ row) for row in other) for other in others]
        assert found.cosine_s[s] == pytest.approx(np.mean(best), abs=1e-5)


def test_latents_that_span_the_same_plane_overlap_though_none_is_the_same():
    angles = torch.linspace(0, 3, 40)

    def plane(turn):
        rows = torch.zeros(40, 64)
        rows[:, 0], rows[:, 1] = torch.cos(angles + turn), torch.sin(angles + turn)
        return rows + 0.01 * torch.randn(40, 64, generator=torch.Generator().manual_seed(int(turn * 10)))

    found = measure_stability(of_rows(plane(0.0)), [of_rows(plane(0.7))])
    unrelated = measure_stability(of_rows(random_rows(5, 40, 64)), [of_rows(random_rows(6, 40, 64))])
    assert found.cosine_s.max() < 1 and unrelated.overlap < 0.75
