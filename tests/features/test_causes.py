"""Causes of firing, where the truth is built in, and against a slow loop."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from torch import nn

from saev.activations import Origin
from saev.backbones.backbone import Backbone
from saev.data.preprocess import Preprocess
from saev.errors import SaevError
from saev.features.causes import MOST, Cause, Curves, causes, groups, mean_colour, summarise
from saev.features.sight import Sight
from saev.sae import SAE, ReLU, TopK
from tests.activations.examples import CPU

GRID, SIDE = (12, 20), 2
"""Of the model below: patches of 2 x 2 px, in 6 x 10 groups of 2 x 2 patches."""
RED, DARK = (250, 20, 20), (20, 20, 20)


class Shifted(Backbone):
    """A patch's token is the mean colour of the patch `by` (rows, columns) further on, -1 to 1."""

    def __init__(self, by: tuple[int, int] = (0, 0)):
        self.by = by
        size = (GRID[0] * SIDE, GRID[1] * SIDE)
        preprocess = Preprocess(size=size, mean=(0.5,) * 3, std=(0.5,) * 3)
        super().__init__(nn.Linear(1, 1), name="shifted", preprocess=preprocess, patch=(SIDE, SIDE), n_cls=1)

    @property
    def blocks(self):
        return [nn.Identity()]

    def embed(self, images):
        seen = nn.functional.avg_pool2d(images, SIDE).roll([-step for step in self.by], (2, 3))
        return nn.functional.pad(seen.flatten(2).mT, (0, 0, 1, 0))

    def norm(self, tokens):
        return tokens

    def output(self, tokens):
        return tokens[:, 0]


def sight(by=(0, 0)) -> Sight:
    """Latent 0 fires for red."""
    sae = SAE(ReLU(d_sae=3), torch.zeros(3), 1.0)
    sae.point(torch.eye(3))
    return Sight(sae.requires_grad_(False), Shifted(by), 0, CPU)


def red_group(row: int, column: int) -> np.ndarray:
    image = np.full((GRID[0] * SIDE, GRID[1] * SIDE, 3), DARK, np.uint8)
    image[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = RED
    return image


def noise(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


places = st.tuples(st.integers(0, 5), st.integers(0, 9))


def test_a_patch_that_sees_only_itself_is_caused_by_its_own_group():
    image = noise((24, 40))
    found = causes(sight(), image, 0)
    red_hw = image[..., 0].reshape(12, 2, 20, 2).mean((1, 3)) / 127.5 - 1
    assert found.patch == np.unravel_index(red_hw.argmax(), GRID)
    assert found.group == (found.patch[0] // 2, found.patch[1] // 2)
    np.testing.assert_allclose(found.codes_hw, red_hw.clip(0), atol=1e-6)
    np.testing.assert_array_equal(found.fires_hw, found.codes_hw.reshape(6, 2, 10, 2).max((1, 3)))
    expected = np.zeros((6, 10))
    refilled = max(0, mean_colour(image)[0, 0, 0] / 127.5 - 1)
    expected[found.group] = red_hw.max() - refilled
    np.testing.assert_allclose(found.effect_hw, expected, atol=1e-6)
    assert found.beyond == found.elsewhere == 0
    for curves in (found.curves.insertion, found.curves.deletion):  # however much fires beside it
        np.testing.assert_allclose(curves["effect"], curves["firing"], atol=1e-6)


@settings(deadline=None, max_examples=10)
@given(places)
def test_a_latent_that_is_caused_where_it_fires_is_inserted_by_firing_as_well(place):
    found = causes(sight(), red_group(*place), 0)
    assert found.group == place and found.agreement == pytest.approx(1)
    for curves in (found.curves.insertion, found.curves.deletion):
        np.testing.assert_allclose(curves["effect"], curves["firing"], atol=1e-6)
    np.testing.assert_allclose(found.curves.insertion["effect"], found.curves.share_k > 0, atol=1e-6)
    np.testing.assert_allclose(found.curves.deletion["effect"], found.curves.share_k == 0, atol=1e-6)


@settings(deadline=None, max_examples=10)
@given(places, st.tuples(st.integers(0, 5), st.integers(1, 9)))
def test_a_patch_that_sees_another_is_caused_there_and_not_where_it_fires(place, steps):
    found = causes(sight((2 * steps[0], 2 * steps[1])), red_group(*place), 0)
    fires = ((place[0] - steps[0]) % 6, (place[1] - steps[1]) % 10)
    assert np.argwhere(found.fires_hw).tolist() == [list(fires)] == [list(found.group)]
    assert np.argwhere(found.effect_hw).tolist() == [list(place)]
    assert found.elsewhere == found.beyond == 1 and found.agreement < 0
    shown, taken = found.curves.areas(found.curves.insertion), found.curves.areas(found.curves.deletion)
    assert shown["effect"] > max(shown["firing"], shown["random"])
    assert taken["effect"] < min(taken["firing"], taken["random"])


def test_a_group_that_is_refilled_with_itself_has_no_effect():
    image = noise((24, 40))
    found = causes(sight((2, 4)), image, 0, refill=image)
    assert (found.effect_hw == 0).all() and found.agreement is found.elsewhere is found.beyond is None
    assert all((curve == 1).all() for curve in found.curves.insertion.values())
    refill = image.copy()
    refill[:4] = 0  # other than the image in the first row of groups alone
    assert (causes(sight((2, 4)), image, 0, refill=refill).effect_hw[1:] == 0).all()


def test_without_deletion_all_else_is_the_same():
    image = noise((24, 40))
    both, one = (causes(sight((2, 4)), image, 0, deletion=deletion) for deletion in (True, False))
    assert one.curves.deletion is None
    np.testing.assert_array_equal(one.effect_hw, both.effect_hw)
    for order, curve_k in both.curves.insertion.items():
        np.testing.assert_allclose(one.curves.insertion[order], curve_k, atol=1e-6)


def test_the_summary_is_of_the_deletions_that_there_are():
    image = noise((24, 40))
    both, one = (causes(sight((2, 4)), image, 0, deletion=deletion) for deletion in (True, False))
    assert summarise([one, both]).deletion == summarise([both]).deletion
    assert all(area.value is None for area in summarise([one]).deletion.values())


def sae_of(d: int) -> SAE:
    torch.manual_seed(0)
    return SAE(TopK(d_sae=64, k=6), torch.randn(d) / 9, 0.3).requires_grad_(False)


@pytest.mark.parametrize("name", ["tiny_vit", "registers"])
def test_equals_a_slow_loop(name, request):
    backbone = request.getfixturevalue(name)
    sae, image, (rows, columns) = sae_of(backbone.d), noise(backbone.preprocess.size), backbone.grid
    h, w = image.shape[0] // rows, image.shape[1] // columns

    def code(pixels: np.ndarray) -> torch.Tensor:
        (x_btd,) = backbone.prefix(backbone.preprocess.normalise(torch.tensor(pixels[None])), [1])
        return sae.encode(x_btd[0, backbone.n_special :])

    latent = int(code(image).max(0).values.argmax())
    codes_p = code(image)[:, latent]
    patch, colour = int(codes_p.argmax()), np.rint(image.mean((0, 1)))
    found = causes(Sight(sae, backbone, 1, CPU), image, latent)
    assert found.patch == divmod(patch, columns) and found.code == pytest.approx(float(codes_p.max()))

    def with_colour(image, squares) -> float:
        image = image.copy()
        for g in squares:
            row, column = divmod(int(g), columns)
            image[row * h : (row + 1) * h, column * w : (column + 1) * w] = colour
        return float(code(image)[patch, latent])

    effect_g = [codes_p[patch] - with_colour(image, [g]) for g in range(rows * columns)]
    np.testing.assert_allclose(found.effect_hw.ravel(), effect_g, atol=1e-5)
    first = np.argsort(-found.effect_hw.ravel())
    for share, shown, taken in zip(
        found.curves.share_k, found.curves.insertion["effect"], found.curves.deletion["effect"], strict=True
    ):
        k = round(share * rows * columns)
        assert shown == pytest.approx(with_colour(image, first[k:]) / found.code, abs=1e-4)
        assert taken == pytest.approx(with_colour(image, first[:k]) / found.code, abs=1e-4)
    ranks = np.corrcoef(rankdata(found.fires_hw), rankdata(found.effect_hw))[0, 1]
    assert found.agreement == pytest.approx(ranks)


@pytest.mark.parametrize("grid", [(1, 1), (8, 8), (16, 16), (37, 37), (4, 6), (2, 300), (24, 7)])
def test_groups_are_blocks_of_about_one_size_and_not_too_many(grid):
    group_hw, shape = groups(grid)
    assert group_hw.shape == grid and shape[0] * shape[1] <= MOST
    sizes = []
    for g in range(shape[0] * shape[1]):
        rows, columns = np.nonzero(group_hw == g)
        sizes.append((np.ptp(rows) + 1, np.ptp(columns) + 1))
        assert len(rows) == np.prod(sizes[-1])  # a whole rectangle
    assert (np.ptp(sizes, axis=0) <= 1).all()
    side = np.max(sizes)
    assert side == 1 or np.prod(-(-np.array(grid) // (side - 1))) > MOST  # a patch less would be too many


def test_tells_what_it_cannot_look_at(tiny_vit):
    with pytest.raises(SaevError, match=r"must be \(24, 40, 3\).*got \(20, 40, 3\)"):
        causes(sight(), noise((20, 40)), 0)
    with pytest.raises(SaevError, match="latent 1 does not fire"):
        causes(sight(), red_group(0, 0), 1)
    sae = sae_of(24)
    right = Origin(tiny_vit.name, tiny_vit.weights_hash(), tiny_vit.geometry, 1, ("patch",), "images")
    foreign = [("weights", "0123"), ("layer", 2), ("geometry", "another"), ("backbone", "big")]
    for field, value in [*foreign, ("kinds", ("cls",))]:
        sae.origin = right._replace(**{field: value})
        told = "must read patch tokens" if field == "kinds" else f"{field}.* do not belong together"
        with pytest.raises(SaevError, match=told):
            Sight(sae, tiny_vit, 1, CPU)
    sae.origin = right
    assert Sight(sae, tiny_vit, -2, CPU).code(noise((64, 64))[None], 0).shape == (1, 16)


def test_on_another_device(tiny_vit, elsewhere):
    image, sae = noise((64, 64)), sae_of(24)
    here = causes(Sight(sae, tiny_vit, 1, CPU), image, 3)
    there = causes(Sight(copy.deepcopy(sae), copy.deepcopy(tiny_vit), 1, elsewhere), image, 3)
    np.testing.assert_allclose(there.effect_hw, here.effect_hw, atol=1e-6)


def cause(effect_hw, fires_hw, insertion=(1.0, 0.5, 0.25)) -> Cause:
    share_k = np.array([0, 0.5, 1])
    curves = dict(zip(("effect", "firing", "random"), np.outer(insertion, np.ones(3)), strict=True))
    effect_hw, fires_hw = np.array(effect_hw, float), np.array(fires_hw, float)
    return Cause(0, 1.0, (0, 0), (0, 0), fires_hw, fires_hw, effect_hw, Curves(share_k, curves, curves))


def test_shares_are_of_positive_effects():
    found = cause([[2, 1], [1, -9]], [[1, 0], [1, 0]])
    assert found.elsewhere == 1 / 4 and found.beyond == 1 / 2
    curves = Curves(np.array([0, 0.25, 1]), {"effect": np.array([0, 1, 1])}, {})
    assert curves.areas(curves.insertion) == {"effect": 0.125 + 0.75}


def test_a_summary_is_the_mean_of_the_images_that_have_the_figure():
    known, flat = cause([[2, 1], [1, -9]], [[1, 0], [1, 0]]), cause([[0, 0], [0, 0]], [[1, 0], [1, 0]])
    few = summarise([known, flat])
    assert few.images == 2 and few.elsewhere == (1 / 4, *[None] * 5) and few.beyond.value == 1 / 2
    assert few.missed.value == 0.5 and few.told.value == 0.25 and few.insertion["firing"].value == 0.5
    assert summarise([flat]).agreement.value is None
    shares = np.linspace(0.1, 0.9, 20)
    found = summarise([cause([[1, share], [0, 0]], [[1, 0], [0, 0]], (share, 0, 0)) for share in shares])
    spread = 1.96 * np.std(shares, ddof=1) / 20**0.5
    assert found.missed.value == pytest.approx(0.5)
    assert found.missed.high - found.missed.low == pytest.approx(2 * spread, rel=0.2)
