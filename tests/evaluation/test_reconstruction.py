"""Metrics of SAEs against dense float64."""

import copy

import numpy as np
import pytest
import torch

from saev.data import Mosaic
from saev.errors import SaevError
from saev.evaluation import measure_reconstruction
from saev.evaluation.reconstruction import DENSE_ABOVE, coherence
from saev.sae import SAE, ReLU, TopK
from tests.activations.examples import MISSING, SPANS, Damaged, make


@pytest.fixture(scope="module")
def store(registers, tmp_path_factory):
    """20 scenes with every kind of token, without the images MISSING."""
    images = Damaged(MISSING, split="train", n=20, size=84)
    return make(registers, tmp_path_factory.mktemp("acts"), images, corrupt="missing", tokens=list(SPANS))


def saes_of(tokens):
    """A sparse one, and one with biases that make latents dead and dense."""
    mean, scale = tokens.normalisation()
    sparse, biased = (
        SAE(made, torch.from_numpy(mean) + 0.1, 1.1 * scale, seed=i).requires_grad_(False)
        for i, made in enumerate((TopK(d_sae=40, k=3), ReLU(d_sae=30)))
    )
    biased.b_enc.copy_(torch.linspace(-30, 10, 30))
    return {"sparse": sparse, "biased": biased}


@pytest.mark.parametrize(
    ("kinds", "images"), [(("patch",), None), (("cls", "register"), None), (("patch",), [13, 2, 5, 8, 19])]
)
def test_metrics_are_the_formulas(store, kinds, images):
    tokens = store.tokens(1, kinds)
    saes = saes_of(tokens)
    columns = np.concatenate([np.arange(*SPANS[kind]) for kind in kinds])
    acts = store.acts(1)[:][:, columns].astype(np.float32)
    x = acts[np.setdiff1d(np.arange(20) if images is None else images, MISSING)].reshape(-1, 24)
    mean = acts[np.setdiff1d(np.arange(20), MISSING)].reshape(-1, 24).mean(0, dtype=np.float64)
    found = measure_reconstruction(saes, tokens, images=images, batch_size=37)
    for name, sae in saes.items():
        metrics, density, sums_im = found[name]
        f = sae.encode(torch.from_numpy(x)).double().numpy()
        W_dec, b_dec = sae.W_dec.double().numpy(), sae.b_dec.double().numpy()
        x_hat = float(sae.scale) * (f @ W_dec + b_dec) + sae.mean.double().numpy()
        nmse = np.square(x - x_hat).sum() / np.square(x - mean).sum()
        share = (f > 0).mean(0)
        unit = W_dec / np.linalg.norm(W_dec, axis=1, keepdims=True)
        cosines = unit @ unit.T - 2 * np.eye(len(unit))
        np.testing.assert_allclose(density, share)
        squares = [np.square(x - of) for of in (x_hat, mean, sae.mean.double().numpy())]
        by_image = [of.reshape(-1, len(columns) * 24).sum(1) for of in squares]
        np.testing.assert_allclose(sums_im, np.stack(by_image, 1), rtol=1e-5)
        low, high = metrics.pop("low"), metrics.pop("high")
        assert (low, high) == (None, None) if len(sums_im) < 10 else low < nmse < high
        assert metrics == pytest.approx(
            {
                "nmse": nmse,
                "nmse_train_mean": squares[0].sum() / squares[2].sum(),
                "explained_variance": 1 - nmse,
                "l0": (f > 0).sum(1).mean(),
                "dead": (share == 0).mean(),
                "dense": (share > DENSE_ABOVE).mean(),
                "coherence": cosines.max(1).mean(),
                "n_tokens": len(x),
            },
            rel=1e-5,
        )
    dead, dense = (found["biased"][0][name] for name in ("dead", "dense"))
    assert 0 < dead < 1 and 0 < dense < 1


def test_a_perfect_and_an_empty_sae(store):
    tokens = store.tokens(1)
    mean, scale = tokens.normalisation()
    perfect, empty = (SAE(TopK(d_sae=48, k=48), torch.from_numpy(mean), scale) for _ in range(2))
    perfect.point(torch.cat([torch.eye(24), -torch.eye(24)]))  # f = (z, -z) as positive parts
    torch.nn.init.constant_(empty.b_enc, -1e6)  # says the mean
    found = measure_reconstruction({"perfect": perfect, "empty": empty}, tokens)
    assert found["perfect"][0]["nmse"] == pytest.approx(0, abs=1e-9)
    assert found["empty"][0]["nmse"] == pytest.approx(1) and found["empty"][0]["l0"] == 0


def test_an_sae_of_other_activations_is_refused(store):
    wrong = saes_of(store.tokens(1))["sparse"]
    wrong.origin = store.tokens(1).origin
    with pytest.raises(SaevError, match=r"^mine: kinds \('patch',\), but .* has kinds \('cls',\)"):
        measure_reconstruction({"mine": wrong}, store.tokens(1, ("cls",)))


def test_tokens_that_are_all_the_same_are_one_line(registers, tmp_path):
    class Same(Mosaic):
        def __getitem__(self, i):
            return super().__getitem__(0)

    tokens = make(registers, tmp_path, Same(split="train", n=3, size=84), tokens=["cls"]).tokens(1, ["cls"])
    sae = SAE(TopK(d_sae=4, k=1), torch.zeros(24), 1.0)
    with pytest.raises(SaevError, match=f"^{tokens.path}: .* are constant .scale 0.; nothing"):
        measure_reconstruction({"mine": sae}, tokens)


def test_on_another_device(store, elsewhere):
    tokens = store.tokens(1)
    saes = saes_of(tokens)
    expected = measure_reconstruction(copy.deepcopy(saes), tokens)
    found = measure_reconstruction(saes, tokens, device=elsewhere.device)
    for name, (metrics, density, _) in found.items():
        assert metrics == pytest.approx(expected[name].metrics, rel=1e-5)
        np.testing.assert_allclose(density, expected[name].density)
        assert saes[name].W_dec.device.type == "cpu"  # brought back


@pytest.mark.parametrize("block", [1, 3, 7, 100])
def test_coherence_is_the_mean_largest_cosine(block):
    rows = torch.randn(7, 4) * torch.arange(1, 8)[:, None]  # of any length
    expected = [
        max(float(torch.cosine_similarity(rows[i], rows[j], dim=0)) for j in range(7) if j != i)
        for i in range(7)
    ]
    assert coherence(rows, block) == pytest.approx(np.mean(expected), rel=1e-5)
    assert coherence(torch.eye(3)) == pytest.approx(0)
    assert coherence(torch.ones(2, 3)) == pytest.approx(1)
    assert coherence(torch.ones(1, 3)) == 0


def test_a_reconstruction_beyond_all_numbers_has_no_nmse(store):
    tokens = store.tokens(1)
    sae = saes_of(tokens)["sparse"]
    sae.decode = lambda codes: torch.full((len(codes.offsets) - 1, sae.d), torch.inf)
    metrics = measure_reconstruction({"sae": sae}, tokens)["sae"].metrics
    assert metrics["nmse"] is metrics["explained_variance"] is metrics["low"] is None and metrics["l0"] == 3
