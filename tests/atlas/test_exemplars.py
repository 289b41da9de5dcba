"""Codes from a file, and the maps of exemplars, against dense arrays."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from saev.arrays import save_arrays
from saev.atlas import StoredCodes, exemplar_maps, write_look
from saev.atlas.exemplars import LEVELS, levels
from saev.atlas.looks import MOST
from saev.errors import SaevError
from tests.atlas.reading import read, unpacked

IMAGES, TOKENS, LATENTS = 7, 9, 12


@pytest.fixture
def dense() -> np.ndarray:
    """(images, tokens, latents) float16 codes, most of them 0."""
    rng = np.random.default_rng(0)
    codes = rng.random((IMAGES, TOKENS, LATENTS)) * (rng.random((IMAGES, TOKENS, LATENTS)) < 0.3)
    codes[2] = 0
    return codes.astype(np.float16)


def store(dense: np.ndarray, file, sae: str = "mine") -> None:
    csr = scipy.sparse.csr_array(dense.reshape(-1, LATENTS).astype(np.float32))
    arrays = {
        "values": csr.data.astype(np.float16),
        "latents": csr.indices.astype(np.uint16),
        "offsets": csr.indptr.astype(np.int64),
    }
    save_arrays(arrays, {"sae": sae, "n_images": IMAGES}, file)


def test_the_codes_of_an_image_are_those_of_the_file(dense, tmp_path):
    store(dense, tmp_path / "train.safetensors")
    codes = StoredCodes(tmp_path / "train.safetensors", "mine")
    for i in range(IMAGES):
        found = np.zeros((TOKENS, LATENTS), np.float32)
        token, latent, code = codes.of(i)
        found[token, latent] = code
        assert np.array_equal(found, dense[i]) and (np.diff(token) >= 0).all()


def test_damaged_or_foreign_codes_are_refused_in_a_line(dense, tmp_path):
    file = tmp_path / "train.safetensors"
    with pytest.raises(SaevError, match="not there; run the features stage"):
        StoredCodes(file, "mine")
    store(dense, file)
    with pytest.raises(SaevError, match="SAE mine, not of the one given, yours"):
        StoredCodes(file, "yours")
    content = file.read_bytes()
    rng = np.random.default_rng(1)
    cut = [content[:n] for n in (0, 4, 30, len(content) - 1)]
    flipped = [
        content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        for at in rng.integers(len(content), size=40)
    ]
    for damaged in (*cut, *flipped, b"text\n" * 40):
        file.write_bytes(damaged)
        with pytest.raises(SaevError, match="damaged|not of the one given"):
            StoredCodes(file, "mine")


@pytest.mark.parametrize("pooled", [False, True])
def test_maps_are_those_of_the_dense_codes(dense, tmp_path, pooled):
    store(dense, tmp_path / "train.safetensors")
    maximum_s = dense.max((0, 1)).astype(np.float32)
    image_sk = np.random.default_rng(2).integers(-1, IMAGES, (LATENTS, 3))
    shown = exemplar_maps(
        StoredCodes(tmp_path / "train.safetensors", "mine"), image_sk, maximum_s, pooled=pooled
    )
    for s, k in np.ndindex(image_sk.shape):
        if image_sk[s, k] < 0:
            assert shown.map_sk[s, k] is None and shown.peak_sk[s, k] == 0
            continue
        code_t = dense[image_sk[s, k], :, s].astype(np.float32)
        token, level = shown.map_sk[s, k]
        assert shown.peak_sk[s, k] == code_t.max()
        if pooled:
            assert (
                token.tolist() == [0] * bool(code_t.any())
                and (level == levels(code_t.max(), maximum_s[s])).all()
            )
        else:
            assert token.tolist() == np.flatnonzero(code_t).tolist()
            assert np.allclose(level / LEVELS * maximum_s[s], code_t[token], atol=maximum_s[s] / LEVELS)


@given(st.floats(2**-24, 65504), st.floats(2**-24, 65504))
def test_what_fires_has_a_level_and_the_largest_code_the_last(code, maximum):
    level = levels(np.float32([code]), np.float32(maximum))
    assert 1 <= level[0] <= LEVELS
    assert levels(np.float32([maximum]), np.float32(maximum))[0] == LEVELS
    assert levels(np.float32([code]), np.float32(0))[0] == LEVELS


def test_a_look_has_every_code_of_the_image_the_nearest_to_its_maximum_first(dense, tmp_path):
    store(dense, tmp_path / "val.safetensors")
    maximum_s = dense.max((0, 1)).astype(np.float32)
    fired = StoredCodes(tmp_path / "val.safetensors", "mine").of(4)
    write_look(tmp_path, "look", fired, maximum_s, TOKENS, pooled=False)
    look = read(tmp_path, "look")
    count, latent, level = (unpacked(look[key]) for key in ("count", "latent", "level"))
    assert count.tolist() == (dense[4] > 0).sum(1).tolist() and look["left"] == 0
    for t, (first, last) in enumerate(np.stack([count.cumsum() - count, count.cumsum()], 1)):
        assert sorted(latent[first:last]) == np.flatnonzero(dense[4, t]).tolist()
        assert (np.diff(level[first:last].astype(int)) <= 0).all()


def test_of_a_dense_patch_the_weak_codes_are_left_out_and_counted(tmp_path):
    n = MOST + 5
    fired = type("Fired", (tuple,), {})(
        (np.zeros(n, int), np.arange(n), np.arange(1, n + 1, dtype=np.float32))
    )
    write_look(tmp_path, "look", fired, np.full(n, float(n), np.float32), 1, pooled=False)
    look = read(tmp_path, "look")
    assert look["left"] == 5 and sorted(unpacked(look["latent"])) == list(range(5, n))
