import numpy as np
import pytest
import torch

from saev.data import IGNORE
from saev.errors import SaevError
from saev.features import encode_store, load_split, top_images
from saev.sae import SAE, TopK


@pytest.fixture(scope="module")
def sae(stores):
    mean, scale = stores["train"].tokens(2).normalisation()
    return SAE(TopK(d_sae=64, k=6), torch.from_numpy(mean), scale)


def test_codes_on_disk_are_the_saes_codes(stores, sae, tmp_path):
    encode_store(sae, stores["val"], 2, tmp_path / "val.safetensors", batch_size=50)
    split = load_split(tmp_path / "val.safetensors", stores["val"])
    x = torch.from_numpy(stores["val"].acts(2)[:, 1:]).reshape(-1, 24).float()
    f = sae.encode(x).numpy()
    np.testing.assert_allclose(split.codes.toarray(), f, rtol=1e-3)
    np.testing.assert_allclose(split.density, (f > 0).mean(0))
    np.testing.assert_allclose(split.maximum, f.max(0), rtol=1e-3)
    for latent in (0, 7, 63):
        np.testing.assert_allclose(split.images(latent), f[:, latent].reshape(12, 16), rtol=1e-3)
    codes, labels = split.labelled()
    assert (labels != IGNORE).all() and codes.shape[0] == len(labels) == (split.labels != IGNORE).sum()


def test_codes_of_another_store_are_refused(stores, sae, tmp_path):
    encode_store(sae, stores["val"], 2, tmp_path / "val.safetensors")
    with pytest.raises(SaevError, match="holds 192 tokens, .* has 640"):
        load_split(tmp_path / "val.safetensors", stores["train"])
    with pytest.raises(SaevError, match="no codes there"):
        load_split(tmp_path / "none.safetensors", stores["val"])


def test_an_sae_of_another_width_is_refused(stores, tmp_path):
    with pytest.raises(SaevError, match="activations have width 24, the SAE was trained on width 30"):
        encode_store(SAE(TopK(d_sae=64, k=6), torch.zeros(30), 1.0), stores["val"], 2, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_top_images_are_ordered_and_never_silent():
    codes = np.array([[0, 1.0], [0, 0], [3, 0], [0, 2]])
    assert top_images(codes, 2).tolist() == [2, 3]
    assert top_images(codes, 9).tolist() == [2, 3, 0]
