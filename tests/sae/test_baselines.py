"""Baselines against scikit-learn, scipy and what they are by definition."""

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA as SklearnPCA

from saev.errors import SaevError
from saev.sae import PCA, SAE, KMeans, Neurons, RandomDirections, SemiNMF, TopK, load_sae, save_sae

D = 24


def data(store):
    """All patches at layer 2, (n, d)."""
    return torch.cat([torch.from_numpy(x_btd).flatten(0, 1).float() for _, x_btd in store.tokens(2).chunks()])


def fitted(architecture, stores):
    """Fitted to all training patches."""
    mean, scale = stores["train"].tokens(2).normalisation()
    sae = SAE(architecture, torch.from_numpy(mean), scale, seed=3)
    z = sae.normalise(data(stores["train"]))
    architecture.initialise(sae, z[: architecture.sample_size], 3)
    return sae.requires_grad_(False)


def test_pca_is_that_of_scikit_learn(stores):
    sae = fitted(PCA(d_sae=10), stores)
    train, val = data(stores["train"]), data(stores["val"])
    reference = SklearnPCA(5).fit(train.double())
    expected = reference.inverse_transform(reference.transform(val.double()))
    np.testing.assert_allclose(sae(val), expected, atol=1e-3)
    f = sae.encode(val)
    np.testing.assert_allclose(
        (f[:, ::2] - f[:, 1::2]).abs(),
        np.abs(reference.transform(val.double()) / sae.scale.item()),
        atol=1e-3,
    )
    assert (f[:, ::2] * f[:, 1::2] == 0).all()


def test_neurons_are_the_axes_and_reconstruct_exactly(stores):
    sae = fitted(Neurons(d_sae=2 * D), stores)
    x = data(stores["val"])
    torch.testing.assert_close(sae(x), x, atol=1e-5, rtol=1e-5)
    z, f = sae.normalise(x), sae.encode(x)
    torch.testing.assert_close(f[:, ::2], z.relu())
    torch.testing.assert_close(f[:, 1::2], (-z).relu())
    for kind, d_sae in ((Neurons, 2 * D - 2), (PCA, 2 * D + 2), (PCA, 7)):
        with pytest.raises(
            SaevError,
            match=f"sae.d_sae must be even and at most twice the width of the activations, 48.*got {d_sae}",
        ):
            fitted(kind(d_sae=d_sae), stores)


def test_kmeans_codes_are_the_nearest_centroids(stores):
    sae = fitted(KMeans(d_sae=8), stores)
    centroids = sae.W_enc.T
    x = data(stores["val"])
    z, f = sae.normalise(x), sae.encode(x)
    nearest = torch.cdist(z, centroids).argmin(1)
    assert torch.equal(f.argmax(1), nearest) and ((f > 0).sum(1) == 1).all()
    torch.testing.assert_close(sae(x), centroids[nearest] * sae.scale + sae.mean, atol=1e-4, rtol=1e-4)
    # As good as scikit-learn's own clustering of the same activations.
    reference = MiniBatchKMeans(8, n_init=3, random_state=0).fit(sae.normalise(data(stores["train"])).numpy())
    ours = (z - centroids[nearest]).square().sum().item()
    assert ours < 1.1 * -reference.score(z.numpy())


def test_kmeans_starts_where_scikit_learn_does_in_float64(stores):
    sae = fitted(KMeans(d_sae=30), stores)
    z = sae.normalise(data(stores["train"]))[: sae.architecture.sample_size].double().numpy()
    reference = MiniBatchKMeans(30, batch_size=4096, n_init=1, random_state=3).fit(z)
    np.testing.assert_allclose(sae.W_enc.T, reference.cluster_centers_, atol=1e-4)


def test_semi_nmf_codes_solve_non_negative_least_squares(stores):
    sae = fitted(SemiNMF(d_sae=30, rounds=20, iterations=400), stores)
    x = data(stores["val"])
    z, f = sae.normalise(x).double(), sae.encode(x)
    for i in range(0, len(x), 19):
        _, least = nnls(sae.W_dec.T.double().numpy(), z[i].numpy())
        error, energy = (
            (z[i] - f[i].double() @ sae.W_dec.double()).square().sum().item(),
            z[i].square().sum().item(),
        )
        assert error == pytest.approx(least**2, abs=1e-3 * energy)
    torch.testing.assert_close(
        sae.encode(x[:7]), f[:7], rtol=1e-2, atol=1e-3
    )  # whatever else is in the batch
    before = fitted(SemiNMF(d_sae=30, rounds=1, iterations=400), stores)
    assert (x - sae(x)).square().sum() < 0.9 * (x - before(x)).square().sum()


def test_random_directions_are_an_untrained_topk(stores):
    sae = fitted(RandomDirections(d_sae=64, k=6), stores)
    untrained = SAE(TopK(d_sae=64, k=6), sae.mean, sae.scale.item(), seed=3)
    x = data(stores["val"])
    assert torch.equal(sae.encode(x), untrained.encode(x))


@pytest.mark.parametrize(
    "architecture",
    [
        PCA(d_sae=10),
        Neurons(d_sae=2 * D),
        KMeans(d_sae=8),
        SemiNMF(d_sae=12),
        RandomDirections(d_sae=16, k=2),
    ],
)
def test_checkpoints_and_second_fits_are_the_same(architecture, stores, tmp_path):
    sae, again = fitted(architecture, stores), fitted(architecture, stores)
    assert again.digest() == sae.digest()
    save_sae(sae, tmp_path / "sae")
    loaded, x = load_sae(tmp_path / "sae"), data(stores["val"])
    assert loaded.architecture == architecture and loaded.digest() == sae.digest()
    assert torch.equal(loaded.encode(x), sae.encode(x))


@pytest.mark.parametrize("kind", [Neurons, PCA, KMeans])
def test_a_baseline_of_as_many_active_latents_as_an_sae(kind):
    """With k, each is the k largest positive products with its unit directions, by hand."""
    z_md = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
    architecture = kind(d_sae=16, k=3)
    sae = SAE(architecture, torch.zeros(8), 1.0)
    architecture.initialise(sae, z_md, 0)
    rows = sae.W_dec.detach()
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(16))
    products = z_md @ rows.T
    kept = products >= products.topk(3).values[:, -1:]
    expected = torch.where(kept, products, 0).relu() / (3 if kind is KMeans else 1)
    torch.testing.assert_close(sae.encode(z_md), expected, atol=1e-5, rtol=1e-5)
