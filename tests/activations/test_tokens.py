"""Tokens of every mix of kinds against plain indexing of the arrays."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saev.activations import Origin
from saev.data import IGNORE, Mosaic
from saev.errors import SaevError
from tests.activations.examples import MISSING, SPANS, kinds_of_token, make


def columns(kinds):
    """Along the token axis, in its order."""
    return np.concatenate([np.arange(*ends) for kind, ends in SPANS.items() if kind in kinds])


def test_made_by_layer_and_kinds(damaged):
    tokens = damaged.tokens(-1, ["patch", "cls"])
    assert (tokens.layer, tokens.kinds, tokens.per_image, tokens.d) == (1, ("cls", "patch"), 25, 24)
    assert tokens.n_images == 20 and tokens.n_vectors == 17 * 25 and tokens.path == damaged.path
    np.testing.assert_array_equal(tokens.positions, [0, *range(5, 29)])
    assert tokens.grid is None and damaged.tokens(1).grid == (4, 6)
    assert tokens.origin == damaged.origin(1, ("cls", "patch"))
    attrs = damaged.attrs
    assert tokens.origin == Origin(
        "registers", attrs["weights"], attrs["geometry"], 1, ("cls", "patch"), attrs["data"]
    )


@pytest.mark.parametrize("kinds", [[], ["CLS"], ["patch", "class"], "patch"])
def test_kinds_that_are_not_there_are_named(damaged, kinds):
    with pytest.raises(
        SaevError, match=r"tokens must name some of \['cls', 'register', 'patch', 'meanpool'\], got"
    ):
        damaged.tokens(1, kinds)


@given(kinds=kinds_of_token, asked=st.none() | st.lists(st.integers(0, 19)))
@settings(max_examples=20, deadline=None)
def test_chunks_are_all_tokens_of_present_images_in_order(damaged, kinds, asked):
    present = np.setdiff1d(np.arange(20) if asked is None else asked, MISSING).astype(int)
    chunks = list(damaged.tokens(1, kinds).chunks(None if asked is None else np.array(asked, int)))
    assert all(len(images) == len(x_btd) > 0 and len(set(images // 8)) == 1 for images, x_btd in chunks)
    images = np.concatenate([chunk.images for chunk in chunks] or [[]])
    np.testing.assert_array_equal(images, present)
    expected = damaged.acts(1)[:][present][:, columns(kinds)]
    for chunk in chunks:
        np.testing.assert_array_equal(chunk.x_btd, expected[np.searchsorted(present, chunk.images)])


def test_a_chunk_without_a_present_image_is_left_out(second_chunk_missing):
    assert [len(images) for images, _ in second_chunk_missing.tokens(1).chunks()] == [8, 4]


@given(kinds=kinds_of_token, seed=st.integers(0, 2**32 - 1), n=st.integers(0, 40))
@settings(max_examples=20, deadline=None)
def test_any_images_and_positions_in_any_order(damaged, kinds, seed, n):
    tokens, rng = damaged.tokens(1, kinds), np.random.default_rng(seed)
    images, positions = rng.integers(0, 20, n), rng.integers(0, tokens.per_image, n)
    acts = damaged.acts(1)[:][:, columns(kinds)]
    np.testing.assert_array_equal(tokens.at(images, positions), acts[images, positions])
    every = tokens.at(images[:, None], np.arange(tokens.per_image))
    np.testing.assert_array_equal(every, acts[images])


@pytest.mark.parametrize(("image", "position"), [(20, 0), (-1, 0), (0, 24), (0, -1)])
def test_an_image_or_position_out_of_range(damaged, image, position):
    with pytest.raises(IndexError, match=r"(image must be in \[0, 19\]|position must be in \[0, 23\]), got"):
        damaged.tokens(1).at(np.array([3, image]), np.array([5, position]))


def test_labels_are_the_patchs_own_or_the_images(damaged):
    np.testing.assert_array_equal(damaged.tokens(1).labels(), damaged.patch_labels())
    labels = damaged.tokens(1, ["cls", "patch", "meanpool"]).labels()
    assert labels.shape == (20, 26) and labels.dtype == np.uint16
    np.testing.assert_array_equal(labels[:, 1:-1], damaged.patch_labels())
    for column in (0, -1):
        np.testing.assert_array_equal(labels[:, column], damaged.image_labels())
    assert (labels[list(MISSING)] == IGNORE).all()


@given(kinds=kinds_of_token)
@settings(max_examples=15, deadline=None)
def test_normalisation_is_the_formula(damaged, kinds):
    x = damaged.acts(1)[:].astype(np.float64)[damaged.present][:, columns(kinds)].reshape(-1, 24)
    mean, scale = damaged.tokens(1, kinds).normalisation()
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-9, atol=1e-12)
    assert scale == pytest.approx(np.linalg.norm(x - x.mean(0), axis=1).mean() / 24**0.5, rel=1e-6)


def test_the_residual_is_every_token_of_the_backbone(damaged):
    images = np.array([19, 0, 5])
    np.testing.assert_array_equal(damaged.residual(1, images), damaged.acts(1)[:][images][:, :29])


def test_constant_activations_have_no_scale(tiny_vit, tmp_path, monkeypatch):
    prefix = type(tiny_vit).prefix

    def constant(self, pixels, layers):
        return [torch.full_like(acts, 0.1) for acts in prefix(self, pixels, layers)]

    monkeypatch.setattr(type(tiny_vit), "prefix", constant)
    store = make(tiny_vit, tmp_path, Mosaic(split="train", n=9, size=64))
    for kinds in (["patch"], ["cls", "patch"]):
        with pytest.raises(SaevError, match="after block 1 are constant"):
            store.tokens(1, kinds).normalisation()


def test_weights_that_are_not_finite_record_nothing(tiny_vit, tmp_path):
    broken = deepcopy(tiny_vit)
    broken._hash = None
    with torch.no_grad():
        broken.model.norm.weight[3] = torch.nan  # behind every layer that is recorded
    with pytest.raises(SaevError, match="tiny: its weights are not finite, e.g. 'norm.weight'"):
        make(broken, tmp_path, Mosaic(split="train", n=9, size=64))
