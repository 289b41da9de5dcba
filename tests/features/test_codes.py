"""Codes on disk and in memory against the SAE itself and dense arrays."""

import copy
import json

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from saev.activations import Origin
from saev.errors import SaevError
from saev.features import Codes, encode_tokens, load_codes
from saev.files import digest
from saev.sae import SAE, TopK
from tests.activations.examples import MISSING, SPANS, Damaged, kinds_of_token, make

ORIGIN = Origin("a model", "0123", "of some geometry", 1, ("patch",), "images")


@pytest.fixture(scope="module")
def store(registers, tmp_path_factory):
    """20 scenes with every kind of token, without the images MISSING."""
    images = Damaged(MISSING, split="train", n=20, size=84)
    return make(registers, tmp_path_factory.mktemp("acts"), images, corrupt="missing", tokens=list(SPANS))


@pytest.fixture(scope="module")
def sae(store):
    return sae_of(store.tokens(1, tuple(SPANS)))


def sae_of(tokens, **options):
    mean, scale = tokens.normalisation()
    made = SAE(TopK(**{"d_sae": 64, "k": 6, **options}), torch.from_numpy(mean), scale)
    return made.requires_grad_(False)


def encoded(sae, tokens, path, **options):
    encode_tokens(sae, tokens, path, what="some SAE", **options)
    return load_codes(path, tokens, sae)


def dense_of(sae, store, kinds):
    """f of every token of these kinds, (n_images, t, s); 0 where no image is."""
    positions = np.concatenate([np.arange(*ends) for kind, ends in SPANS.items() if kind in kinds])
    x_btd = torch.from_numpy(store.acts(1)[:].astype(np.float32)[:, positions])
    f_bts = torch.stack([sae.encode(x_td) for x_td in x_btd.nan_to_num()]).numpy()
    f_bts[list(MISSING)] = 0
    return f_bts


@given(kinds=kinds_of_token)
@settings(max_examples=8, deadline=None)
def test_codes_on_disk_are_the_saes_codes(store, sae, tmp_path_factory, kinds):
    tokens = store.tokens(1, kinds)
    codes = encoded(sae, tokens, tmp_path_factory.mktemp("codes") / "all", batch_size=50)
    f_bts = dense_of(sae, store, kinds)
    f = f_bts.reshape(-1, 64)
    np.testing.assert_allclose(codes.csr.toarray(), f, rtol=1e-3, atol=1e-6)
    assert (codes.n_images, codes.per_image, codes.d_sae) == (20, tokens.per_image, 64)
    assert (codes.origin, codes.sae) == (tokens.origin, sae.digest())
    assert codes.csr.dtype == np.float32 and (codes.csr.data > 0).all()
    np.testing.assert_array_equal(codes.image, np.repeat(np.arange(20), tokens.per_image))
    np.testing.assert_allclose(codes.density, (f > 0).mean(0))
    np.testing.assert_allclose(codes.maximum, f.max(0), rtol=1e-3)


def test_images_that_are_missing_are_silent(store, sae, tmp_path):
    codes = encoded(sae, store.tokens(1), tmp_path / "codes")
    silent = codes.csr.toarray().reshape(20, -1).max(1) == 0
    assert np.flatnonzero(silent).tolist() == list(MISSING)


def test_the_file_says_whose_codes_of_what_it_holds(store, sae, tmp_path):
    tokens = store.tokens(1, ("cls",))
    encode_tokens(sae, tokens, tmp_path / "deep" / "codes", what="some SAE")
    facts = facts_of(tmp_path / "deep" / "codes")
    assert facts.pop("sha256") == digest(facts, load_file(tmp_path / "deep" / "codes"))
    assert Origin.of(facts.pop("origin")) == tokens.origin
    assert facts == {"d_sae": 64, "n_images": 20, "sae": sae.digest()}


def test_wide_dictionaries_need_wider_indices(store, tmp_path):
    tokens = store.tokens(1, ("cls",))
    for d_sae, dtype in ((2**16, np.uint16), (2**16 + 1, np.int32)):
        wide = sae_of(tokens, d_sae=d_sae, k=2)
        codes = encoded(wide, tokens, tmp_path / "codes")
        assert load_file(tmp_path / "codes")["latents"].dtype == dtype
        expected = dense_of(wide, store, ("cls",)).reshape(-1, d_sae)
        np.testing.assert_allclose(codes.csr.toarray(), expected, rtol=1e-3)


def test_codes_of_another_sae_or_store_are_refused(store, stores, sae, tmp_path):
    tokens, file = store.tokens(1), tmp_path / "codes"
    encode_tokens(sae, tokens, file, what="some SAE")
    other = sae_of(tokens, k=7)
    other.b_enc.add_(0.1)
    whose = f"the codes of SAE {sae.digest()}, not of the one given, {other.digest()}"
    kinds = rf"kinds \('patch',\), but {store.path} has kinds \('cls',\)"
    everything = (
        f"backbone 'registers' .* layer 1 .*, but {stores['val'].path} has backbone 'tiny' .* layer 2 "
    )
    cases = [
        (tokens, other, f"^{file}: {whose}; run the features stage again"),
        (store.tokens(1, ("cls",)), sae, f"^the codes {file}: {kinds}"),
        (stores["val"].tokens(2), sae, f"^the codes {file}: {everything}"),
    ]
    for asked_tokens, asked_sae, line in cases:
        with pytest.raises(SaevError, match=line) as error:
            load_codes(file, asked_tokens, asked_sae)
        assert "\n" not in str(error.value)


def test_an_sae_of_other_activations_is_refused(store, sae, tmp_path):
    wide = SAE(TopK(d_sae=64, k=6), torch.zeros(30), 1.0)
    elsewhere = copy.deepcopy(sae)
    elsewhere.origin = store.tokens(1).origin._replace(weights="0123")
    for wrong, line in (
        (wide, "have width 24, some SAE was trained on width 30"),
        (elsewhere, "^some SAE: weights '0123', but"),
    ):
        with pytest.raises(SaevError, match=line):
            encode_tokens(wrong, store.tokens(1), tmp_path / "codes", what="some SAE")
    assert not (tmp_path / "codes").exists()


def test_tiny_codes_still_fire_and_huge_ones_are_refused(store, tmp_path):
    tokens = store.tokens(1)
    shrunk, grown = sae_of(tokens), sae_of(tokens)
    for changed, factor in ((shrunk, 1e-9), (grown, 1e6)):
        changed.W_enc_sd.mul_(factor)
    codes = encoded(shrunk, tokens, tmp_path / "tiny")
    np.testing.assert_array_equal(
        codes.csr.toarray() > 0, dense_of(shrunk, store, ("patch",)).reshape(-1, 64) > 0
    )
    assert codes.csr.nnz and (codes.csr.data > 0).all()
    with pytest.raises(SaevError, match=f"^some SAE: a code of .* on {store.path} is beyond float16"):
        encode_tokens(grown, tokens, tmp_path / "huge", what="some SAE")


def facts_of(file):
    from safetensors import safe_open

    with safe_open(file, "np") as opened:
        return json.loads(opened.metadata()["saev"])


def broken(key, change):
    def damage(arrays):
        arrays[key] = change(arrays[key].copy())

    return damage


def set_to(i, value):
    def change(array):
        array[i] = value
        return array

    return change


@pytest.mark.parametrize(
    "damage",
    [
        broken("latents", set_to(5, 64)),
        broken("latents", lambda latents: latents[:-1]),
        broken("values", set_to(0, 0)),
        broken("values", set_to(0, np.nan)),
        broken("offsets", set_to(1, -4)),
        broken("offsets", set_to(3, 2**40)),
        broken("offsets", set_to(-1, 3)),
        broken("offsets", set_to(0, 1)),
        broken("offsets", lambda offsets: offsets[:-1]),
        broken("offsets", lambda offsets: offsets[:0]),
        broken("values", set_to(0, np.inf)),
        broken("values", lambda values: values.astype(np.float32)),
        broken("latents", lambda latents: latents[:, None]),
    ],
)
def test_arrays_that_are_no_codes_are_one_line(store, sae, tmp_path, damage):
    """scipy would walk out of memory."""
    tokens, file = store.tokens(1), tmp_path / "codes"
    encode_tokens(sae, tokens, file, what="some SAE")
    arrays, facts = load_file(file), facts_of(file)
    damage(arrays)
    del facts["sha256"]  # the writer was wrong, not the disk
    facts["sha256"] = digest(facts, arrays)
    save_file(arrays, file, metadata={"saev": json.dumps(facts)})
    with pytest.raises(
        SaevError, match=f"^{file}: damaged: .* 480 units by 64 latents; run the features stage"
    ):
        load_codes(file, tokens, sae)


def test_every_changed_byte_is_noticed(store, sae, tmp_path):
    tokens, file = store.tokens(1), tmp_path / "codes"
    encode_tokens(sae, tokens, file, what="some SAE")
    whole = file.read_bytes()
    for place in np.random.default_rng(0).integers(len(whole), size=200):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(SaevError, match=f"{file}"):
            load_codes(file, tokens, sae)


def test_files_that_hold_no_codes_are_one_line(store, sae, tmp_path):
    tokens, file = store.tokens(1), tmp_path / "codes"
    with pytest.raises(SaevError, match=f"^{file}: not there; run the features stage"):
        load_codes(file, tokens, sae)
    encode_tokens(sae, tokens, file, what="some SAE")
    whole = file.read_bytes()
    for content in (whole[:1000], b"", b"junk" * 100):
        file.write_bytes(content)
        with pytest.raises(
            SaevError, match=rf"^{file}: damaged \(.+\); run the features stage again"
        ) as error:
            load_codes(file, tokens, sae)
        assert "\n" not in str(error.value)
    save_file({name: np.zeros(1) for name in ("values", "latents", "offsets")}, file)
    with pytest.raises(SaevError, match=f"^{file}: damaged"):
        load_codes(file, tokens, sae)


def test_on_another_device(store, sae, tmp_path, elsewhere):
    tokens = store.tokens(1, ("cls", "patch"))
    expected = encoded(sae, tokens, tmp_path / "here").csr
    moved = copy.deepcopy(sae)
    encode_tokens(moved, tokens, tmp_path / "there", what="some SAE", device=elsewhere.device, batch_size=50)
    found = load_codes(tmp_path / "there", tokens, sae).csr
    np.testing.assert_allclose(found.toarray(), expected.toarray(), rtol=1e-3)


@st.composite
def dense_codes(draw):
    """(n_images, units, s), many of them 0, some latents and images silent."""
    n, units, s = draw(st.integers(1, 5)), draw(st.integers(1, 4)), draw(st.integers(1, 6))
    values = st.sampled_from([0, 0, 0, 0.5, 1, 1.5, 7])
    return np.array(
        draw(st.lists(values, min_size=n * units * s, max_size=n * units * s)), np.float32
    ).reshape(n, units, s)


@given(dense_codes())
@settings(max_examples=60, deadline=None)
def test_columns_maps_and_pools_of_dense_codes(f_bts):
    n, _, s = f_bts.shape
    codes = Codes(scipy.sparse.csr_array(f_bts.reshape(-1, s)), n, ORIGIN, "0123")
    assert (codes.n_images, codes.per_image, codes.d_sae) == f_bts.shape
    np.testing.assert_array_equal(codes.density, (f_bts > 0).mean((0, 1)))
    np.testing.assert_array_equal(codes.maximum, f_bts.max((0, 1)))
    for latent in range(s):
        np.testing.assert_array_equal(codes.column(latent), f_bts[..., latent].ravel())
        np.testing.assert_array_equal(codes.maps(latent), f_bts[..., latent])
    for how, expected in (("max", f_bts.max(1)), ("mean", f_bts.mean(1))):
        pooled = codes.pooled(how)
        np.testing.assert_allclose(pooled.csr.toarray(), expected, rtol=1e-6)
        assert (pooled.n_images, pooled.per_image, pooled.csr.dtype) == (n, 1, np.float32)
        assert (pooled.origin, pooled.sae) == (codes.origin, codes.sae)
        np.testing.assert_array_equal(pooled.image, np.arange(n))
        np.testing.assert_allclose(pooled.maximum, expected.max(0), rtol=1e-6)
