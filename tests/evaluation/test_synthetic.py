import numpy as np
import pytest
import torch

from saev.errors import SaevError
from saev.evaluation.synthetic import Truth, recovery, train_on
from saev.sae import SAE, BatchTopK, ReLU, TopK


def test_samples_are_what_the_setting_says():
    truth = Truth(d=16, n_features=40, active=3.0, decay=1.0, spread=0.2, noise=0.1)
    x, amplitudes = truth.sample(20_000, 5)
    np.testing.assert_allclose((amplitudes > 0).double().mean(0), truth.probability, atol=0.015)
    assert (amplitudes > 0).sum(1).double().mean() == pytest.approx(3.0, abs=0.1)
    assert amplitudes[amplitudes > 0].std() == pytest.approx(0.2, abs=0.01)
    assert (x - amplitudes @ truth.dictionary).std() == pytest.approx(0.1, abs=0.002)
    assert torch.equal(truth.sample(10, 5)[0], truth.sample(10, 5)[0])
    with pytest.raises(SaevError, match="active must be a number > 0 and <= 40, got 41"):
        Truth(n_features=40, active=41)


def test_the_truth_itself_is_recovered_and_noise_is_not():
    truth = Truth(d=64, n_features=32, active=2.0, spread=0.1, noise=0.0)
    sae = SAE(TopK(d_sae=32, k=8), torch.zeros(64), 1.0)
    with torch.no_grad():
        sae.W_dec.copy_(truth.dictionary)
        sae.W_enc.copy_(torch.linalg.pinv(truth.dictionary))  # inner products with the dual: exact amplitudes
        sae.b_enc.fill_(-1e-3)
    found = recovery(sae, truth)
    assert found["mmcs"] == pytest.approx(1) and found["f1"] == pytest.approx(1) and found["nmse"] < 1e-4
    assert found["l0"] == pytest.approx(2, abs=0.1)
    assert recovery(SAE(TopK(d_sae=32, k=2), torch.zeros(64), 1.0, seed=9), truth)["mmcs"] < 0.5


@pytest.mark.parametrize(
    "architecture",
    [TopK(d_sae=64, k=3, lr=3e-3), BatchTopK(d_sae=64, k=3, lr=3e-3), ReLU(d_sae=64, l1=1.0, lr=3e-3)],
    ids=["TopK", "BatchTopK", "ReLU"],
)
def test_training_finds_an_easy_dictionary(architecture):
    truth = Truth(d=32, n_features=40, active=2.0)
    (sae,) = train_on(truth, [architecture], steps=1200, batch_size=512)
    found, random = recovery(sae, truth), recovery(SAE(architecture, torch.zeros(32), 1.0, seed=9), truth)
    assert found["mmcs"] > 0.95 > 0.7 > random["mmcs"]
    assert found["f1"] > 0.6
    with pytest.raises(SaevError, match="seed 0 is the dictionary's own"):
        train_on(truth, [architecture], steps=1, seed=0)
