"""Measures of an SAE against their formulas, over all tokens at once."""

import numpy as np
import pytest
import torch

from saev.evaluation import measure_reconstruction
from saev.evaluation.reconstruction import coherence
from saev.sae import SAE, ReLU, TopK

ARCHITECTURES = {"topk": TopK(d_sae=40, k=5), "relu": ReLU(d_sae=32), "one": TopK(d_sae=40, k=1)}


@pytest.fixture
def tokens(stores):
    return stores["val"].tokens(2)


@pytest.fixture
def saes(tokens):
    mean, scale = tokens.normalisation()
    return {name: SAE(one, torch.from_numpy(mean), scale) for name, one in ARCHITECTURES.items()}


def test_measures_are_their_formulas(tokens, saes):
    sae = saes["topk"]
    x = torch.from_numpy(tokens.store.acts(2)[:, 1:]).reshape(-1, 24).float()
    f, x_hat = sae.encode(x), sae(x)
    metrics, density = measure_reconstruction({"topk": sae}, tokens, batch_size=50)["topk"]
    nmse = ((x - x_hat).double() ** 2).sum() / ((x.double() - x.double().mean(0)) ** 2).sum()
    assert metrics["nmse"] == pytest.approx(nmse.item(), rel=1e-6)
    assert metrics["explained_variance"] == pytest.approx(1 - nmse.item(), rel=1e-6)
    assert metrics["l0"] == pytest.approx((f > 0).sum(1).double().mean().item())
    np.testing.assert_allclose(density, (f > 0).double().mean(0).numpy())
    assert metrics["dead"] == pytest.approx((density == 0).mean())
    assert metrics["dense"] == pytest.approx((density > 0.01).mean())
    cosines = sae.W_dec @ sae.W_dec.T - 2 * torch.eye(40)
    assert metrics["coherence"] == pytest.approx(cosines.max(1).values.mean().item(), rel=1e-5)
    assert coherence(sae.W_dec, block=7) == pytest.approx(metrics["coherence"], rel=1e-5)


def test_saes_measured_together_are_measured_as_alone(tokens, saes):
    together = measure_reconstruction(saes, tokens)
    for name, sae in saes.items():
        metrics, density = measure_reconstruction({name: sae}, tokens)[name]
        assert metrics == together[name][0] and np.array_equal(density, together[name][1])


def test_predicting_the_mean_has_nmse_one(tokens, saes):
    with torch.no_grad():
        saes["one"].b_enc.fill_(-1e6)
    found = measure_reconstruction({"one": saes["one"]}, tokens)["one"]
    assert found[0]["nmse"] == pytest.approx(1, abs=1e-6)
